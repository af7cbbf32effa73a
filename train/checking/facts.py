"""Everything that a check needs to know of a data folder, read once; nothing stops it.

Opening a folder for training ends at the first fault. Here every fault becomes a finding, and what
can be read is read.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.atomic import sha256_of_bytes, sha256_of_file
from contract.data_folder import DataFolder
from contract.errors import ConfigError, InputError
from contract.label_map import BACKGROUND, BINARY_VALUES, CLASS_VALUES, CLASSES, GAS_SMOKE, IGNORE
from contract.mask_meaning import EMPTY, MaskMeaning, declared_meaning
from contract.packages import need
from contract.pictures import PICTURE_SUFFIXES, read_mask_values, read_picture
from contract.same_view import look_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from train.checking.findings import Findings

__all__ = ["FolderFacts", "PictureFacts", "read_facts"]

_SPECK = 4  # pixels; a part of a mask no larger is rather a slip of the hand
_BLANK = 2.0  # grey levels; standard deviation of a picture that shows nothing
_KNOWN = frozenset(CLASS_VALUES)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """One picture that could be read, and its mask if that could be."""

    stem: str
    width: int
    height: int
    grey: bool  # equal channels
    blank: bool
    content: str  # SHA-256 of the file
    look: NDArray[np.float32] = field(repr=False)
    mask: str | None  # SHA-256 of its class indices
    pixels: dict[int, int]  # by class index and IGNORE
    border: float  # share of the picture's edge that is gas
    specks: int

    @property
    def gas(self) -> float:
        """Share of gas among the pixels that count."""
        counted = sum(n for index, n in self.pixels.items() if index != IGNORE)
        return self.pixels.get(GAS_SMOKE, 0) / counted if counted else 0.0


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """The folder as far as it could be read."""

    path: Path
    meaning: MaskMeaning
    pictures: tuple[PictureFacts, ...]
    groups: dict[str, str] | None  # None: nothing says which pictures belong together


def read_facts(path: Path, findings: Findings) -> FolderFacts:
    """Read a data folder, with masks or declared empty; what cannot be read goes to `findings`.

    Raises:
        InputError: when it is no folder or holds no picture.
        ConfigError: when its `labels.toml` is wrong.
    """
    if not path.is_dir():
        raise InputError(f"{path}: is not a folder")
    declared = declared_meaning(path)
    empty = bool(declared and declared.empty)
    inside = path / "images"
    if not inside.is_dir() and not empty:
        raise InputError(f"{path}: has no folder images/; expected images/ and masks/")
    images = _files(inside if inside.is_dir() else path, "picture", findings)
    if not images:
        raise InputError(f"{path}: holds no picture ({', '.join(PICTURE_SUFFIXES)})")
    masks = {} if empty else _files(path / "masks", "mask", findings)
    if not empty:
        findings.fault("no mask", "add masks/<same stem>.png", sorted(images.keys() - masks))
        findings.note("no picture", "a mask by itself is left out", sorted(masks - images.keys()))
    values = {} if declared else _values(masks, findings)
    meaning = declared or _meaning(values, findings)
    pictures = []
    for stem in tqdm(sorted(images), "pictures", delay=2, leave=False):
        facts = _picture(stem, images[stem], masks.get(stem), meaning, findings)
        if facts:
            pictures.append(facts)
    groups = _groups(path, images, findings)
    return FolderFacts(path, meaning, tuple(pictures), groups)


def _files(folder: Path, what: str, findings: Findings) -> dict[str, Path]:
    files: dict[str, Path] = {}
    twice: list[str] = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                twice.append(path.name)
            files.setdefault(path.stem, path)
    findings.fault(f"two {what}s of one name", "keep one of each stem", twice)
    return files


def _values(masks: dict[str, Path], findings: Findings) -> dict[str, NDArray[np.int64]]:
    """How often each value occurs in each mask that can be read."""
    counts: dict[str, NDArray[np.int64]] = {}
    for stem, path in tqdm(masks.items(), "masks", delay=2, leave=False):
        try:
            counts[stem] = np.bincount(read_mask_values(path).ravel(), minlength=256)
        except InputError as error:
            findings.fault("broken mask", "replace it", [str(error)])
    return counts


def _meaning(counts: dict[str, NDArray[np.int64]], findings: Findings) -> MaskMeaning:
    """What undeclared values mean; soft edges count as the nearer end, so that the rest is seen."""
    strange = {s: n for s, n in counts.items() if set(np.flatnonzero(n).tolist()) - _KNOWN}
    soft = [s for s, n in strange.items() if n[0] + n[255] > 0.5 * n.sum()]
    findings.fault(
        "soft mask",
        "grey edges, as JPEG leaves them: mend with gasedge data import --format masks --threshold",
        [f"masks/{s}: {int(np.count_nonzero(counts[s]))} values" for s in soft],
    )
    findings.fault(
        "undeclared values",
        "say what they mean in labels.toml",
        [
            f"masks/{s}: {sorted(set(np.flatnonzero(n).tolist()) - _KNOWN)[:6]}"
            for s, n in strange.items()
            if s not in soft
        ],
    )
    sound = {s: n for s, n in counts.items() if s not in strange}
    indexed = [s for s, n in sound.items() if n[1] + n[2]]
    binary = [s for s, n in sound.items() if n[255] and not n[1] + n[2]]
    if indexed and (binary or soft):
        findings.fault(
            "values of two kinds",
            "255 may be gas or a pixel to ignore: say which in labels.toml",
            [f"masks/{binary[0] if binary else soft[0]} against masks/{indexed[0]}"],
        )
    if indexed:
        return MaskMeaning(values=CLASS_VALUES)
    if not strange:
        return MaskMeaning(values=BINARY_VALUES)
    return MaskMeaning(values={v: GAS_SMOKE if v >= 128 else BACKGROUND for v in range(256)})


def _picture(
    stem: str, image: Path, mask: Path | None, meaning: MaskMeaning, findings: Findings
) -> PictureFacts | None:
    cv2 = need("cv2", extra="train")
    try:
        pixels = read_picture(image)
    except InputError as error:
        findings.fault("broken picture", "replace or remove it", [str(error)])
        return None
    indices = _indices(mask, meaning, pixels.shape[:2], findings)
    edge = np.empty(0, np.uint8)
    specks, counts = 0, np.zeros(256, np.int64)
    if indices is not None:
        counts = np.bincount(indices.ravel(), minlength=256)
        edge = np.concatenate([indices[0], indices[-1], indices[:, 0], indices[:, -1]])
        gas = (indices == GAS_SMOKE).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(gas, connectivity=8)
        specks = int((stats[1:, cv2.CC_STAT_AREA] <= _SPECK).sum())
    small = pixels[::4, ::4].astype(np.int16)
    return PictureFacts(
        stem=stem,
        width=pixels.shape[1],
        height=pixels.shape[0],
        grey=bool((abs(small - small[..., :1]) <= 2).all()),
        blank=bool(small.std() < _BLANK),
        content=sha256_of_file(image),
        look=look_of(pixels),
        mask=None if indices is None else sha256_of_bytes(indices.tobytes()),
        pixels={c: int(counts[c]) for c in [*(each.index for each in CLASSES), IGNORE]},
        border=float((edge == GAS_SMOKE).mean()) if edge.size else 0.0,
        specks=specks,
    )


def _indices(
    mask: Path | None, meaning: MaskMeaning, size: tuple[int, int], findings: Findings
) -> NDArray[np.uint8] | None:
    if meaning.empty:
        return np.full(size, BACKGROUND, np.uint8)
    if mask is None:
        return None
    try:
        indices = meaning.read(mask)
    except InputError as error:
        # with undeclared values each was found already
        if meaning.values not in (CLASS_VALUES, BINARY_VALUES):
            findings.fault("unreadable mask", "mend or replace it", [str(error)])
        return None
    if indices.shape != size:
        findings.fault(
            "sizes differ",
            "a mask lies over its picture as a viewer shows that; export it anew",
            [f"masks/{mask.name}: {indices.shape[1]}x{indices.shape[0]}, not {size[1]}x{size[0]}"],
        )
        return None
    return indices


def _groups(path: Path, images: dict[str, Path], findings: Findings) -> dict[str, str] | None:
    folder = DataFolder(path, tuple(sorted(images)), EMPTY, images, {}, {})
    if not folder.has_index:
        findings.note(
            "no groups",
            'nothing says which are of one scene: add index.csv, or train with by = "image"',
            [path.name],
        )
        return None
    try:
        return folder.groups()
    except (InputError, ConfigError, csv.Error) as error:
        findings.fault("index not sound", "mend it", [str(error)])
        return None
