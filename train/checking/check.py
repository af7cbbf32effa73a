"""Check a data folder: what it holds, what is odd about it, and what must be mended."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.label_map import CLASSES, GAS_SMOKE, IGNORE
from train.checking.facts import read_facts
from train.checking.findings import Finding, Findings
from train.checking.twins import find_list_faults, find_twins, split_lists

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.checking.facts import FolderFacts

__all__ = ["PLUME_SIZES", "FolderCheck", "check_folder"]

PLUME_SIZES = (0.0, 0.0001, 0.001, 0.01, 0.1, 1.0)  # upper ends of the histogram, of the picture
_FULL = 0.99  # of a picture
_BORDER = 0.9  # of a picture's edge
_MANY = 3  # pictures with one and the same mask


@dataclass(frozen=True, slots=True)
class FolderCheck:
    """What was found."""

    path: str
    pictures: int
    groups: int | None
    sizes: dict[str, int]  # "640x480" -> pictures
    grey_pictures: int
    colour_pictures: int
    labelled: tuple[str, ...]
    pixel_share: dict[str, float]  # of all mask pixels, by class and "ignore"
    pictures_with: dict[str, int]  # by class
    plume_sizes: dict[str, int]  # pictures by share of gas
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing must be mended."""
        return not any(each.must_mend for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self) | {"sound": self.sound}


def check_folder(path: Path, lists: Path | None = None) -> FolderCheck:
    """Read and judge a data folder.

    Args:
        path: the folder.
        lists: folder of train.txt, val.txt and test.txt, as a training writes them.

    Raises:
        InputError: when there is nothing to check.
        ConfigError: when `labels.toml` is wrong.
    """
    sides = split_lists(lists) if lists else {}
    findings = Findings()
    facts = read_facts(path, findings)
    if not facts.meaning.empty:
        _masks(facts, findings)
    _pictures(facts, findings)
    find_twins(facts, sides, findings)
    find_list_faults(facts, sides, findings)
    masked = [each for each in facts.pictures if each.mask]
    names = {each.index: each.name for each in CLASSES} | {IGNORE: "ignore"}
    pixels = {name: sum(p.pixels[index] for p in masked) for index, name in names.items()}
    total = max(1, sum(pixels.values()))
    return FolderCheck(
        path=str(path),
        pictures=len(facts.pictures),
        groups=len(set(facts.groups.values())) if facts.groups else None,
        sizes=dict(Counter(f"{p.width}x{p.height}" for p in facts.pictures).most_common()),
        grey_pictures=sum(p.grey for p in facts.pictures),
        colour_pictures=sum(not p.grey for p in facts.pictures),
        labelled=tuple(names[index] for index in sorted(facts.meaning.labelled)),
        pixel_share={name: n / total for name, n in pixels.items() if n},
        pictures_with={n: sum(p.pixels[i] > 0 for p in masked) for i, n in names.items()},
        plume_sizes=_histogram([p.gas for p in masked]),
        findings=findings.all(),
    )


def _histogram(shares: Sequence[float]) -> dict[str, int]:
    ends = [f"{end:g}" for end in PLUME_SIZES]
    names = ["none", *(f"up to {end}" for end in ends[1:])]
    places = np.searchsorted(PLUME_SIZES, shares)
    return {name: int((places == at).sum()) for at, name in enumerate(names)}


def _masks(facts: FolderFacts, findings: Findings) -> None:
    masked = [each for each in facts.pictures if each.mask]
    clear = [p.stem for p in masked if not p.pixels[GAS_SMOKE]]
    if masked and len(clear) == len(masked):
        if any(p.pixels[IGNORE] for p in masked):
            what = "what is ignored may be gas: this folder shows only where there is none"
            findings.note("no gas anywhere", what, [f"all {len(clear)} masks"])
        else:
            what = "if that is so, say empty = true and leave the masks out"
            findings.fault("no gas anywhere", what, [f"all {len(clear)} masks"])
        return
    by_mask = defaultdict(list)
    for p in masked:
        if p.pixels[GAS_SMOKE]:
            by_mask[p.mask].append(p.stem)
    findings.note("empty mask", "pictures without gas, if that is so", clear)
    findings.note("full mask", "gas all over", (p.stem for p in masked if p.gas > _FULL))
    findings.note(
        "gas along the edge",
        "a mask turned inside out looks like this",
        (p.stem for p in masked if p.border > _BORDER and p.gas <= _FULL),
    )
    findings.note(
        "specks",
        "parts of 4 pixels and less",
        (f"{p.stem}: {p.specks}" for p in masked if p.specks),
    )
    findings.note(
        "one mask for many pictures",
        "frames copied without their own masks look like this",
        (f"{len(s)}: {', '.join(s[:4])}" for s in by_mask.values() if len(s) >= _MANY),
    )


def _pictures(facts: FolderFacts, findings: Findings) -> None:
    grey = sum(p.grey for p in facts.pictures)
    mixed = f"{grey} grey, {len(facts.pictures) - grey} in colour"
    findings.note("blank picture", "shows nothing", (p.stem for p in facts.pictures if p.blank))
    findings.note(
        "grey and colour mixed",
        "fine for training; score them apart",
        [mixed] if 0 < grey < len(facts.pictures) else [],
    )
