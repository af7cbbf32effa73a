"""Linear, sigmoid or softmax: the first table of the 2020 study, on our data, with its spread.

Each activation is taught with the loss that fits it (`train/losses.py`), so losses of different
activations are not comparable with each other; IoU and F1 are.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from contract.score_page import LEGEND, heading, picture_rows
from train.datasets import ValidationFrames, gather
from train.networks.checkpoint import network_from_checkpoint
from train.picture_counts import read_pictures
from train.run_folder import result_file
from train.scoring import score_split
from train.study.measures import measures_of
from train.study.papers import write_papers
from train.study.runner import Arm, listed, run_arms, run_folder
from train.study.spread import Spread

if TYPE_CHECKING:
    from pathlib import Path

    from contract.gallery import Gallery
    from train.config import TrainConfig
    from train.networks.frame_network import Activation

__all__ = ["study_activations"]

_SHOWN = 4
# what the study of 2020 printed, of 60 test pictures of its own three data sets
_STUDY: dict[Activation, tuple[float, float, float]] = {
    "linear": (0.41345, 0.34182, 0.4696),
    "sigmoid": (0.069833, 0.80855, 0.8908),
    "softmax": (0.1253, 0.84532, 0.91119),
}
_MEASURES = ("loss", "image mean IoU", "image mean F1", "gas-smoke IoU")


def study_activations(config: TrainConfig, seeds: int, out: Path) -> str:
    """Train each activation with each seed and compare them on the test pictures.

    Args:
        config: everything but activation and seed.
        seeds: how many, counted up from the configuration's.
        out: the study's folder; a study that was stopped goes on.

    Returns:
        The result in Markdown.

    Raises:
        GasedgeError: as of a training.
    """
    kept = listed(config, out)
    names = {
        (activation, seed): f"{activation}-seed{config.learning.seed + seed}"
        for activation in _STUDY
        for seed in range(seeds)
    }
    arms = [
        Arm(name, _with(kept, activation, config.learning.seed + seed))
        for (activation, seed), name in names.items()
    ]
    run_arms(arms, out)
    spreads: dict[Activation, dict[str, Spread]] = {}
    for activation in _STUDY:
        runs = [_test_scores(run_folder(out, names[activation, seed])) for seed in range(seeds)]
        spreads[activation] = {key: Spread.of([run[key] for run in runs]) for key in _MEASURES}
    pictures = read_pictures(run_folder(out, arms[0].name), "test")
    data = sorted({each.data for each in pictures})
    return write_papers(
        out,
        "Final activation: linear, sigmoid, softmax",
        _notes(config, seeds, len(pictures), data),
        [_ours(spreads), _theirs()],
        {
            "seeds": seeds,
            "test_pictures": len(pictures),
            "data": data,
            "ours": {
                name: {key: spread.as_dict() for key, spread in each.items()}
                for name, each in spreads.items()
            },
            "study_of_2020": {
                name: dict(zip(("loss", "mean IoU", "mean F1"), row, strict=True))
                for name, row in _STUDY.items()
            },
        },
        _rows(kept, out, [names[each, 0] for each in _STUDY]),
    )


def _with(config: TrainConfig, activation: Activation, seed: int) -> TrainConfig:
    learning = config.learning.model_copy(update={"activation": activation, "seed": seed})
    return config.model_copy(update={"learning": learning})


def _test_scores(run: Path) -> dict[str, float]:
    tested = [
        each
        for each in json.loads((run / "scores.json").read_text(encoding="utf-8"))
        if each["split"] == "test"
    ]
    count = sum(each["scores"]["n_images"] for each in tested)
    loss = sum(each["loss"] * each["scores"]["n_images"] for each in tested) / count
    return {"loss": loss, **measures_of(read_pictures(run, "test"))}


def _notes(config: TrainConfig, seeds: int, pictures: int, data: list[str]) -> list[str]:
    learning = config.learning
    done = (
        f"Network {config.network.name}, {learning.epochs} epochs, batch {learning.batch}, rate "
        f"{learning.rate:g}, {seeds} seeds; only the activation, its loss and the seed differ. "
        f"Tested on the {pictures} test pictures of {', '.join(data)}, which share no group with "
        "training; the best epoch was chosen on validation."
    )
    reading = (
        "Values are mean ± standard deviation over seeds. IoU and F1 are means over the classes "
        "in a picture, averaged over pictures as the study does; gas-smoke IoU is pooled over "
        "pixels. Each activation has a loss of its own (softmax: cross-entropy and Dice; sigmoid: "
        "binary cross-entropy and Dice; linear: squared error), so losses compare within a row "
        "only. The study does not say which loss its linear network had."
    )
    return [done, reading]


def _ours(spreads: dict[Activation, dict[str, Spread]]) -> tuple[list[str], list[list[str]]]:
    rows = [[name, *(each[key].text() for key in _MEASURES)] for name, each in spreads.items()]
    return ["activation, ours", *_MEASURES], rows


def _theirs() -> tuple[list[str], list[list[str]]]:
    heads = ["activation, the study of 2020 on its own data", "loss", "mean IoU", "mean F1"]
    return heads, [[name, *(f"{value:g}" for value in row)] for name, row in _STUDY.items()]


def _rows(config: TrainConfig, out: Path, arms: list[str]) -> list[str]:
    """Worst and best test pictures of one run of each activation, as in the study's figure 7."""
    data_sets = gather(config)
    frames = ValidationFrames(data_sets, "test", config.input)
    sections = [f"<p>Rows show the picture, its truth and the result: {LEGEND}.</p>"]
    for arm in arms:
        network = network_from_checkpoint(result_file(run_folder(out, arm))).network
        ranked: Gallery = score_split(network, frames, "test", data_sets, config.learning).pictures
        sections += [
            heading(f"{arm}: worst"),
            picture_rows(ranked.lowest()[:_SHOWN]),
            heading(f"{arm}: best"),
            picture_rows(ranked.highest()[:_SHOWN]),
        ]
    return sections
