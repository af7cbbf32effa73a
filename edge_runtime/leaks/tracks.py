"""Connected regions linked over time into leaks that keep their number while they flicker.

The rules. A region belongs to the leaks whose cells it overlaps or touches. Pieces that come off
stay with their leak: a puff has no outlet of its own. Where two meet, the younger is a part of the
elder if it is younger than ten seconds; else both go on, each with the cells it had, and the elder
takes what was nobody's. A leak keeps its cells while it is not to be seen, until it is forgotten.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from contract.packages import need
from edge_runtime.leaks.drift import (
    DriftSums,
    displacement_products,
    heading,
    source_cell,
)
from edge_runtime.leaks.persistence import weight_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edge_runtime.leaks.cells import GasCells

__all__ = ["LeakTracks", "Track"]

_MOST = 16  # regions and leaks that are followed at a time; the largest
_PART_S = 10.0
_STANDING_S = 8.0  # time constant of where gas stands
_DRIFT_S = 0.18  # between the pictures that the drift is taken from: slow plumes need some ...
_GAP_S = 1.0  # ... and no longer than this
_SOURCE_S = 0.5
_AREA_S = 2.0
_GROWTH_S = 10.0
_GROWTH_EVERY_S = 0.25
_GROWTH_LEAST_S = 2.0
_STANDING_UNIT = 1 << 16
_SWEEP_S = 1.0  # between two looks for cells that are forgotten


@dataclass(slots=True, eq=False)
class Track:
    """One leak as far as it is known; positions in cells."""

    slot: int  # its mark on the grid
    serial: int  # in the order of birth
    onset_ns: int  # capture time of the first frame, UTC
    onset_s: float
    seen_s: float
    number: int = 0  # public; 0 until it was seen in enough frames
    frames: int = 0
    pixels: int = 0  # gas in this frame, pixels of the network's input
    score: int = 0  # their scores' sum
    cells: NDArray[np.intp] = field(default_factory=lambda: np.zeros(0, np.intp))  # flat, now
    weight: float = 0.0  # smoothed pixels
    drift: DriftSums = field(default_factory=DriftSums)
    source: tuple[float, float] | None = None  # x, y
    sourced_s: float = 0.0
    heading: tuple[float, float] | None = None  # x, y of any length
    moves: bool = False
    areas: deque[tuple[float, int]] = field(default_factory=deque)
    growth: float | None = None  # pixels a second, over the last ten; None before two are known

    def remember_area(self, at_s: float) -> None:
        """Keep the area four times a second, and work out the growth by least squares."""
        if self.areas and at_s - self.areas[-1][0] < _GROWTH_EVERY_S:
            return
        self.areas.append((at_s, self.pixels))
        while at_s - self.areas[0][0] > _GROWTH_S:
            self.areas.popleft()
        if at_s - self.areas[0][0] < _GROWTH_LEAST_S:
            return
        zero_s, n = self.areas[0][0], len(self.areas)
        mean_s = sum(at - zero_s for at, _ in self.areas) / n
        mean = sum(pixels for _, pixels in self.areas) / n
        up = sum((at - zero_s - mean_s) * (pixels - mean) for at, pixels in self.areas)
        self.growth = up / sum((at - zero_s - mean_s) ** 2 for at, _ in self.areas)


class LeakTracks:
    """The leaks of one camera.

    Args:
        shape: rows and columns of the grid.
        frames: in how many frames a leak must be seen to get a number.
        memory_s: how long a leak that is not to be seen keeps its number and its cells.
        numbered: the last number that was given before.
    """

    def __init__(
        self, shape: tuple[int, int], *, frames: int, memory_s: float, numbered: int = 0
    ) -> None:
        self._frames, self._memory_s = frames, memory_s
        self._owner = np.zeros(shape, np.uint8)  # slot of the leak that was here last
        self._owned_s = np.zeros(shape, np.float64)
        self._standing = np.zeros(shape, np.float32)  # 0..1
        self._before = np.zeros(shape, np.int32)  # gas of the last picture for the drift
        self._before_s: float | None = None
        self._at_s: float | None = None
        self._tracks: dict[int, Track] = {}  # by slot
        self._serial, self.numbered = 0, numbered
        self._swept_s = 0.0

    @property
    def tracks(self) -> list[Track]:
        """All leaks that are not forgotten, eldest first."""
        return sorted(self._tracks.values(), key=lambda each: each.serial)

    def update(
        self, labels: NDArray[np.int32] | None, gas: GasCells | None, at_s: float, captured_ns: int
    ) -> None:
        """Take in the regions of a frame, (rows, columns) numbered from 1, and its gas."""
        passed_s = 0.0 if self._at_s is None else at_s - self._at_s
        self._at_s = at_s
        if labels is None and not self._tracks:
            return
        self._forget(at_s)
        held = np.zeros(self._owner.shape, np.int32)
        for each in self._tracks.values():
            each.pixels, each.score, each.cells = 0, 0, each.cells[:0]
        if labels is not None and gas is not None:
            np.multiply(gas.count, labels > 0, out=held)
            self._link(labels, held, at_s, captured_ns)
        share = np.float32(weight_of(passed_s, _STANDING_S))
        self._standing += ((held > 0) - self._standing) * share
        if gas is not None:
            self._measure(held, gas, at_s)
        fade = weight_of(passed_s, _AREA_S)
        for each in self.tracks:
            each.weight += (each.pixels - each.weight) * fade
            each.remember_area(at_s)
            if each.pixels:
                each.seen_s = at_s
                each.frames += 1
                if not each.number and each.frames >= self._frames:
                    self.numbered += 1
                    each.number = self.numbered
        self._drift(held, at_s)

    def _forget(self, at_s: float) -> None:
        gone = [t.slot for t in self._tracks.values() if at_s - t.seen_s > self._memory_s]
        for slot in gone:
            del self._tracks[slot]
        if not self._tracks:
            self._standing[:] = 0
        if at_s - self._swept_s >= _SWEEP_S:
            self._swept_s = at_s
            self._owner[at_s - self._owned_s > self._memory_s] = 0
        for slot in gone:
            self._owner[self._owner == slot] = 0

    def _link(
        self, labels: NDArray[np.int32], held: NDArray[np.int32], at_s: float, captured_ns: int
    ) -> None:
        """Give every cell of the regions to a leak."""
        cv2 = need("cv2", extra="cpu")
        cells = np.flatnonzero(labels)
        region = labels.ravel()[cells]
        here = self._owner.ravel()[cells]
        near = cv2.dilate(self._owner, np.ones((3, 3), np.uint8)).ravel()[cells]
        owner = np.where(here > 0, here, near)
        sizes = np.bincount(region, held.ravel()[cells]).astype(np.int64)
        followed = np.argsort(-sizes, kind="stable")[:_MOST]
        parts: dict[int, int] = {}  # slot of a leak -> slot of the one it was taken into
        for number in sorted(int(each) for each in followed if sizes[each]):
            inside = np.flatnonzero(region == number)
            slots = {parts.get(int(each), int(each)) for each in np.unique(owner[inside]) if each}
            found = sorted(
                (self._tracks[slot] for slot in slots),
                key=lambda each: (each.onset_s, each.serial),
            )
            elder = found[0] if found else self._new(at_s, captured_ns)
            if elder is None:
                continue
            mine = np.full(len(inside), elder.slot, np.uint8)
            for other in found[1:]:
                if at_s - other.onset_s < _PART_S:
                    parts = {
                        slot: elder.slot if to == other.slot else to for slot, to in parts.items()
                    }
                    parts[other.slot] = elder.slot
                    self._owner[self._owner == other.slot] = elder.slot
                    del self._tracks[other.slot]
                else:
                    mine[owner[inside] == other.slot] = other.slot
            self._owner.ravel()[cells[inside]] = mine
            self._owned_s.ravel()[cells[inside]] = at_s
        now = self._owner.ravel()[cells]
        fresh = self._owned_s.ravel()[cells] == at_s
        for each in self._tracks.values():
            each.cells = cells[fresh & (now == each.slot)]

    def _new(self, at_s: float, captured_ns: int) -> Track | None:
        free = next((slot for slot in range(1, _MOST + 1) if slot not in self._tracks), None)
        if free is None:
            return None
        self._serial += 1
        self._tracks[free] = Track(free, self._serial, captured_ns, at_s, at_s)
        return self._tracks[free]

    def _measure(self, held: NDArray[np.int32], gas: GasCells, at_s: float) -> None:
        for each in self._tracks.values():
            each.pixels = int(held.ravel()[each.cells].sum())
            each.score = int(gas.score.ravel()[each.cells].sum())
            towards = each.drift.direction()
            if each.pixels and towards and at_s - each.sourced_s >= _SOURCE_S:
                each.sourced_s = at_s
                cells = np.flatnonzero(self._owner == each.slot)
                standing = (self._standing.ravel()[cells] * _STANDING_UNIT).astype(np.int64)
                rows, columns = np.divmod(cells, self._owner.shape[1])
                each.source = source_cell(standing, rows, columns, towards)
                if each.source is not None:
                    each.heading = heading(standing, rows, columns, each.source, towards)

    def _drift(self, held: NDArray[np.int32], at_s: float) -> None:
        """Add the motion since the last picture to each leak's sums."""
        before_s = self._before_s
        if before_s is not None and at_s - before_s < _DRIFT_S:
            return
        before, self._before, self._before_s = self._before, held, at_s
        if before_s is None or at_s - before_s > _GAP_S:
            return
        either = (before + held) > 0
        rows, columns = np.flatnonzero(either.any(1)), np.flatnonzero(either.any(0))
        if not len(rows):
            return
        box = (
            slice(max(0, int(rows[0]) - 2), int(rows[-1]) + 3),
            slice(max(0, int(columns[0]) - 2), int(columns[-1]) + 3),
        )
        products = displacement_products(before[box], held[box])
        owner = self._owner[box]
        for each in self._tracks.values():
            if each.pixels:
                each.drift.add(products[:, owner == each.slot].sum(1), at_s - before_s)
