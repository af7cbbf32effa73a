"""Pictures that stand twice in a folder, and what that does to a split."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from contract.data_folder import read_stems
from contract.errors import InputError
from contract.same_view import same_view
from train.splits import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from train.checking.facts import FolderFacts
    from train.checking.findings import Findings

__all__ = ["find_list_faults", "find_twins", "split_lists"]

Pair = tuple[str, str]  # stems
Sides = dict[str, list[str]]  # stems by split


def split_lists(folder: Path) -> Sides:
    """Read the lists that a training writes.

    Raises:
        InputError: when none is there or one cannot be read.
    """
    files = {side: folder / f"{side}.txt" for side in SPLITS}
    there = {side: file for side, file in files.items() if file.is_file()}
    if not there:
        raise InputError(f"{folder}: holds none of {', '.join(f.name for f in files.values())}")
    # a training without a test split writes an empty list
    return {side: read_stems(file) for side, file in there.items() if file.stat().st_size}


def find_twins(facts: FolderFacts, sides: Sides, findings: Findings) -> None:
    """Equal pictures and pictures of one view, by how much harm they do."""
    pictures, groups = facts.pictures, facts.groups
    if not pictures:
        return
    first, second = same_view(np.stack([p.look for p in pictures]))
    alike = {(pictures[a].stem, pictures[b].stem) for a, b in zip(first, second, strict=True)}
    by_content = defaultdict(list)
    for p in pictures:
        by_content[p.content].append(p)
    exact = [(same[0], other) for same in by_content.values() for other in same[1:]]
    equal = {(a.stem, b.stem) for a, b in exact}
    side = {stem: name for name, stems in sides.items() for stem in stems}
    across = {
        (a, b) for a, b in alike | equal if side.get(a, side.get(b)) != side.get(b, side.get(a))
    }
    findings.fault(
        "one picture, two masks",
        "both cannot be true",
        _shown((a.stem, b.stem) for a, b in exact if a.mask and b.mask and a.mask != b.mask),
    )
    findings.fault(
        "one view on two sides of the split",
        "scores on val and test are too good: split anew",
        _shown(across),
    )
    findings.note("equal pictures", "keep one", _shown(equal))
    rest = alike - equal - across
    if groups is None:
        findings.note(
            "near-duplicates",
            "of one view: a training keeps them on one side, unless near_duplicates = false",
            _shown(rest),
        )
        return
    findings.note(
        "one view in two groups",
        "a training joins these groups, unless near_duplicates = false",
        _of_groups(rest, groups),
    )


def find_list_faults(facts: FolderFacts, sides: Sides, findings: Findings) -> None:
    """Lists that name a picture twice, one that is not there, or tear a group apart."""
    named = Counter(stem for stems in sides.values() for stem in set(stems))
    there = {p.stem for p in facts.pictures}
    torn: dict[str, set[str]] = defaultdict(set)
    for side, stems in sides.items():
        for stem in stems:
            if facts.groups and stem in facts.groups:
                torn[facts.groups[stem]].add(side)
    findings.fault(
        "in two lists",
        "a picture is trained on or scored, never both",
        (stem for stem, n in named.items() if n > 1),
    )
    findings.fault(
        "listed and not there", "a list names what cannot be read", sorted(named.keys() - there)
    )
    findings.fault(
        "a group on two sides",
        "of the split, which was made by image",
        (f"{group}: {', '.join(sorted(on))}" for group, on in torn.items() if len(on) > 1),
    )


def _shown(pairs: Iterable[Pair]) -> list[str]:
    return [f"{a} = {b}" for a, b in sorted(pairs)]


def _of_groups(pairs: Iterable[Pair], groups: Mapping[str, str]) -> Sequence[str]:
    """Each pair of groups once, with an example."""
    found: dict[Pair, list[Pair]] = defaultdict(list)
    for a, b in sorted(pairs):
        if groups[a] != groups[b]:
            low, high = sorted((groups[a], groups[b]))
            found[low, high].append((a, b))
    return [
        f"{one} and {other}: {len(same)} pairs, as {same[0][0]} = {same[0][1]}"
        for (one, other), same in sorted(found.items())
    ]
