"""A page of training pictures and what augmentation makes of them, with their masks.

Each setting of [augment] is shown alone, by its name and as often as it takes to see it, then all
together as the training draws them: figure 6 of the 2020 study, for one's own pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from contract.gallery import ShownPicture
from contract.pictures import fit_mask, fit_picture
from contract.score_page import LEGEND, heading, paragraph, picture_rows, write_page
from train.augment import Augmentation
from train.config import AugmentConfig
from train.datasets import gather

if TYPE_CHECKING:
    from pathlib import Path

    from train.config import TrainConfig
    from train.datasets import DataSet

__all__ = ["OFF", "alone", "write_augmentation_page"]

_TOGETHER = 6  # draws of all effects at once
_SEED = 11

OFF = AugmentConfig(
    horizontal_flip=0,
    shift=0,
    scale=1,
    rotate_degrees=0,
    random_crop=0,
    gaussian_noise=0,
    intensity=0,
    sharpen=0,
    blur=0,
    grey=0,
    invert=0,
)
_CHANCES = ("horizontal_flip", "sharpen", "blur", "grey", "invert")


def alone(config: AugmentConfig, name: str) -> AugmentConfig | None:
    """`config` with one setting left in force; None where it is off.

    What happens by chance happens for certain; a crop needs a magnified view, inversion a grey one.
    """
    value = getattr(config, name)
    if value == getattr(OFF, name):
        return None
    update = {name: 1.0 if name in _CHANCES else value}
    if name == "random_crop":
        update["scale"] = max(config.scale, 1.5)
    if name == "invert":
        update["grey"] = 1.0
    return OFF.model_copy(update=update)


def write_augmentation_page(config: TrainConfig, out: Path, *, samples: int) -> int:
    """Write the page for pictures of the train split.

    Args:
        config: of a training.
        out: HTML file.
        samples: pictures of each data set, spread over its train split.

    Returns:
        Number of pictures shown as originals.

    Raises:
        GasedgeError: when the data or the disk do not allow it.
    """
    sections = [
        (
            f"<p>{LEGEND}. Each pair is a training frame and its mask over it. "
            f"{config.input.width} x {config.input.height} pixels, {config.input.fit.value}.</p>"
        )
    ]
    count = 0
    for data in gather(config):
        stems = data.stems["train"]
        places = np.linspace(0, len(stems) - 1, min(samples, len(stems))).round().astype(int)
        for stem in (stems[at] for at in places):
            sections += [heading(f"{data.name}/{stem}"), *_of_picture(config, data, stem)]
            count += 1
    write_page(out, "What augmentation makes of training pictures", sections)
    return count


def _of_picture(config: TrainConfig, data: DataSet, stem: str) -> list[str]:
    picture, mask, _ = data.read(stem)
    geometry = config.input
    shown = [ShownPicture("original", fit_picture(picture, geometry), fit_mask(mask, geometry))]
    off = []
    for name in AugmentConfig.model_fields:
        only = alone(config.augment, name)
        if only is None:
            off.append(name)
            continue
        caption = f"{name} = {getattr(config.augment, name):g}"
        shown.append(_most_changed(only, config, picture, mask, shown[0], caption))
    augmentation = Augmentation(config.augment, geometry)
    together = []
    for seed in range(_TOGETHER):
        frame, truth, _ = augmentation(picture, mask, np.random.default_rng([_SEED, seed]))
        together.append(ShownPicture(f"all together, {seed + 1}", frame, truth))
    note = [paragraph(f"Switched off: {', '.join(off)}.")] if off else []
    return [picture_rows(shown), *note, picture_rows(together)]


def _most_changed(
    only: AugmentConfig,
    config: TrainConfig,
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]],
    original: ShownPicture,
    caption: str,
) -> ShownPicture:
    """The clearest of a few draws: a single one may change next to nothing."""
    augmentation = Augmentation(only, config.input)
    draws = [augmentation(picture, mask, np.random.default_rng([_SEED, s])) for s in range(8)]
    away = [np.abs(frame.astype(np.int16) - original.frame).mean() for frame, _, _ in draws]
    frame, truth, _ = draws[int(np.argmax(away))]
    return ShownPicture(caption, frame, truth)
