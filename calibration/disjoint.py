"""Prove that sets of pictures share none, and no view: a score on a seen scene proves nothing.

Where one fixed camera gave all pictures they all show one view; then only equal pictures can be
looked for, and the card says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from calibration.frames import some
from contract.errors import InputError
from contract.same_view import same_view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from calibration.frames import FrameFacts

__all__ = ["require_disjoint", "seen_in"]


def require_disjoint(sets: Mapping[str, Sequence[FrameFacts]], *, one_camera: bool) -> None:
    """Refuse sets of which two share a picture or a view.

    Args:
        sets: by the name that a message gives them.
        one_camera: look for equal pictures only.

    Raises:
        InputError: naming the two sets and pictures.
    """
    names = list(sets)
    for at, name in enumerate(names):
        for other in names[at + 1 :]:
            shared = _shared(sets[name], sets[other], one_camera=one_camera)
            if shared:
                first = {of: (by, sign) for of, by, sign in reversed(shared)}
                said = some(
                    f"{sets[name][of].path.name} {sign} {sets[other][by].path.name}"
                    for of, (by, sign) in sorted(first.items())
                )
                raise InputError(
                    f"{len(first)} of {len(sets[name])} pictures of {name} also stand in {other} "
                    f"or show the same view ({said}); scores there would prove nothing: take them "
                    "out of one list, split by scene, or say --one-camera where all pictures are "
                    "of one fixed camera"
                )


def seen_in(
    frames: Sequence[FrameFacts], others: Iterable[Sequence[FrameFacts]], *, one_camera: bool
) -> frozenset[int]:
    """Positions of the frames that share a picture or a view with any of the other sets."""
    return frozenset(
        of for other in others for of, _, _ in _shared(frames, other, one_camera=one_camera)
    )


def _shared(
    frames: Sequence[FrameFacts], others: Sequence[FrameFacts], *, one_camera: bool
) -> list[tuple[int, int, str]]:
    """Position here, position there, "=" for an equal picture and "~" for the same view."""
    known = {each.sha256: at for at, each in enumerate(others)}
    found = {
        (at, known[each.sha256]): "=" for at, each in enumerate(frames) if each.sha256 in known
    }
    if not one_camera and frames and others:
        looks = np.stack([each.look for each in (*frames, *others)])
        for first, second in zip(*same_view(looks), strict=True):
            if first < len(frames) <= second:
                found.setdefault((int(first), int(second) - len(frames)), "~")
    return [(*pair, sign) for pair, sign in sorted(found.items())]
