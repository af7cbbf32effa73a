"""One camera's leaks: from a picture and its mask to a state, the leaks behind it and the zones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.tags import LeakState
from edge_runtime.leaks.cells import CellGrid
from edge_runtime.leaks.drift import drift_degrees
from edge_runtime.leaks.motion import MotionField
from edge_runtime.leaks.persistence import Persistence
from edge_runtime.leaks.tracks import LeakTracks
from edge_runtime.leaks.vote import UNDECIDED, GasField, LeakVerdict, MovingVote
from edge_runtime.regions import counting_pixels, within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contract.geometry import FrameFit
    from edge_runtime.leaks.cells import GasCells
    from edge_runtime.leaks.config import IgnoreConfig, LeakConfig, ZoneConfig
    from edge_runtime.leaks.tracks import Track
    from edge_runtime.pixels import CameraPicture

__all__ = ["Judged", "LeakJudge", "LeakSight", "ZoneSight"]

_SEEN = 8  # looks in which a leak must be seen to get a number, or `votes` if fewer
_SHOWN = 4  # leaks that are told of
_FOLLOW_S = 0.08  # leaks are followed this often at most; the vote takes every frame
_STAYS = 1.5  # how much larger another leak must be to lead
_CLEAR = GasField(0.0, 0, 0.0)


@dataclass(frozen=True, slots=True)
class LeakSight:
    """What is known of one leak; places are shares of the picture's width and height."""

    number: int  # 0 until it was seen in enough frames
    onset_ns: int  # UTC
    moves: bool
    area_fraction: float
    growth_per_s: float | None  # of the area fraction
    centroid: tuple[float, float] | None  # None while no gas of it is to be seen
    bbox: tuple[int, int, int, int] | None  # x, y, width, height in camera pixels
    source: tuple[float, float] | None
    drift_deg: float | None  # 0 right, 90 up
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ZoneSight:
    """What is known of one zone."""

    name: str
    gas: GasField
    verdict: LeakVerdict


@dataclass(frozen=True, slots=True)
class Judged:
    """What a frame and those before it say; `leaks` has the leading ones, first the first."""

    verdict: LeakVerdict
    gas: GasField
    count: int = 0  # separate regions
    leaks: tuple[LeakSight, ...] = ()
    zones: tuple[ZoneSight, ...] = ()
    disturbed: bool = False

    @property
    def first_sign(self) -> LeakState:
        """State of the whole picture, or of the first zone that is not NONE where that one is."""
        states = (self.verdict.state, *(zone.verdict.state for zone in self.zones))
        return next((each for each in states if each is not LeakState.NONE), LeakState.NONE)


class LeakJudge:
    """Follows the leaks of one camera.

    Args:
        config: the camera's rule.
        zones: its zones.
        ignored: polygons in which nothing counts.
    """

    def __init__(
        self,
        config: LeakConfig,
        zones: Sequence[ZoneConfig] = (),
        ignored: Sequence[IgnoreConfig] = (),
    ) -> None:
        self._config, self._zones, self._ignored = config, zones, ignored
        rules = [config, *(zone.leak for zone in zones if zone.leak)]
        self._seed = min(rule.score_on for rule in rules)
        self._grow = min(rule.score_off for rule in rules)
        self._vote = MovingVote(config)
        self._zone_votes = [MovingVote(zone.leak or config) for zone in zones]
        self._view: _View | None = None
        self._numbered = 0
        self._verdict = UNDECIDED
        self._zone_verdicts = [UNDECIDED] * len(zones)

    def reset(self) -> None:
        """Forget everything: nobody was looking, or the picture is of something else now."""
        self._vote.reset()
        for vote in self._zone_votes:
            vote.reset()
        if self._view is not None:
            self._numbered = self._view.tracks.numbered  # no two leaks have one number
        self._view = None
        self._verdict = UNDECIDED
        self._zone_verdicts = [UNDECIDED] * len(self._zones)

    def update(
        self,
        picture: CameraPicture,
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        fit: FrameFit,
        at_s: float,
        captured_ns: int,
        cells: NDArray[np.uint32] | None = None,
    ) -> Judged:
        """Take in one frame.

        Args:
            picture: of the camera.
            mask: (H, W) class indices of the network's input.
            score: (H, W) gas-smoke probability, 0..255.
            fit: where the picture lies in them.
            at_s: capture time on the monotonic clock.
            captured_ns: capture time in UTC.
            cells: of the mask and score, where the backend counted them.
        """
        if self._view is None or self._view.grid.fit != fit:
            self.reset()
            self._view = _View(fit, self._config, self._zones, self._ignored, self._numbered)
        view = self._view
        taken = view.cells = view.grid.take(mask, score, cells)
        view.motion.update(picture, view.kept > 0 if view.kept is not None else None, at_s)
        view.persistence.update(taken, at_s)
        labels = view.persistence.regions(self._seed, self._grow)
        due = at_s - view.followed_s >= _FOLLOW_S
        if due:
            view.followed_s = at_s
            view.tracks.update(labels, taken, at_s, captured_ns)
        disturbed = view.motion.is_disturbed(at_s)
        gas = moving = _CLEAR
        zoned = [(_CLEAR, _CLEAR)] * len(self._zones)
        count = 0
        view.kept = labels
        if labels is not None and taken is not None:
            inside = np.flatnonzero(labels)
            pixels, scores = taken.count.ravel()[inside], taken.score.ravel()[inside]
            if due:
                view.moving = self._moving_cells(view, labels, at_s)
                moves = view.moving.ravel()[inside]
            else:  # a region moves if a part of it did when that was last looked at
                region = labels.ravel()[inside]
                moves = np.bincount(region, view.moving.ravel()[inside])[region] > 0
            gas, moving = view.field(pixels, scores), view.field(pixels[moves], scores[moves])
            for number, zone in enumerate(view.zones):
                here = zone.ravel()[inside]
                also = here & moves
                zoned[number] = (
                    view.field(pixels[here], scores[here]),
                    view.field(pixels[also], scores[also]),
                )
            count = int(np.count_nonzero(np.bincount(labels.ravel()[inside], pixels)))
        if due:
            view.sights = tuple(self._sight(view, each) for each in view.led()[:_SHOWN])
        if not disturbed:
            self._verdict = self._vote.update(gas, moving, at_s, captured_ns)
            self._zone_verdicts = [
                vote.update(*fields, at_s, captured_ns)
                for vote, fields in zip(self._zone_votes, zoned, strict=True)
            ]
        return Judged(
            self._verdict,
            gas,
            count=count,
            leaks=view.sights,
            zones=tuple(
                ZoneSight(zone.name, fields[0], verdict)
                for zone, fields, verdict in zip(
                    self._zones, zoned, self._zone_verdicts, strict=True
                )
            ),
            disturbed=disturbed,
        )

    def mask(self) -> NDArray[np.bool_]:
        """Gas of the last frame (height, width) of the valid field that the areas count."""
        if self._view is None:
            return np.zeros((1, 1), np.bool_)
        grid, kept = self._view.grid, self._view.kept
        if kept is None:
            return np.zeros((grid.fit.height, grid.fit.width), np.bool_)
        return grid.kept_pixels(kept > 0)

    def _moving_cells(
        self, view: _View, labels: NDArray[np.int32], at_s: float
    ) -> NDArray[np.bool_]:
        """Cells of the leaks that change more than the rest of the picture does."""
        kept = labels > 0
        least = self._config.motion_over_rest
        if least == 0 or view.motion.is_restless(at_s):
            for each in view.tracks.tracks:
                each.moves = True
            return kept
        quiet = view.motion.quiet(kept)
        rest, moves = kept.copy(), np.zeros_like(kept)
        for each in view.tracks.tracks:
            if len(each.cells):
                each.moves = view.motion.unrest(each.cells) >= least * quiet
                rest.ravel()[each.cells] = False
                moves.ravel()[each.cells] = each.moves
        others = np.flatnonzero(rest)
        if len(others):
            moves.ravel()[others] = view.motion.unrest(others) >= least * quiet
        return moves

    def _sight(self, view: _View, track: Track) -> LeakSight:
        fit, grid = view.grid.fit, view.grid
        source = view.share(*track.source) if track.source else None
        growth, towards = track.growth, track.heading
        centroid = box = None
        if track.pixels and view.cells is not None:
            count = view.cells.count.ravel()[track.cells].astype(np.int64)
            rows, columns = np.divmod(track.cells, grid.columns)
            x2, y2 = (int((count * (2 * each + 1)).sum()) for each in (columns, rows))
            centroid = view.share(x2 / (2 * track.pixels), y2 / (2 * track.pixels))
            box = view.box(rows[count > 0], columns[count > 0])
        if towards is not None:
            stretch = (fit.picture_width / fit.width, fit.picture_height / fit.height)
            towards = towards[0] * stretch[0], towards[1] * stretch[1]
        return LeakSight(
            number=track.number,
            onset_ns=track.onset_ns,
            moves=track.moves,
            area_fraction=track.pixels / grid.pixels if grid.pixels else 0.0,
            growth_per_s=growth / grid.pixels if growth is not None and grid.pixels else None,
            centroid=centroid,
            bbox=box,
            source=source,
            drift_deg=drift_degrees(towards) if towards else None,
            zone=view.zone_at(source or centroid, self._zones),
        )


class _View:
    """Everything that belongs to one way the picture lies in the network's input."""

    def __init__(
        self,
        fit: FrameFit,
        config: LeakConfig,
        zones: Sequence[ZoneConfig],
        ignored: Sequence[IgnoreConfig],
        numbered: int,
    ) -> None:
        counts = counting_pixels([each.polygon for each in ignored], fit) if ignored else None
        self.grid = CellGrid(fit, counts)
        shape = self.grid.rows, self.grid.columns
        self.zones = [within(zone.polygon, fit, shape, self.grid.side) for zone in zones]
        self.persistence = Persistence(shape, config.smooth_s)
        self.motion = MotionField(shape)
        self.tracks = LeakTracks(
            shape,
            frames=min(config.votes, _SEEN),
            memory_s=max(config.off_delay_s, 1.0),
            numbered=numbered,
        )
        self.cells: GasCells | None = None
        self.kept: NDArray[np.int32] | None = None  # regions of the last frame
        self.moving = np.zeros(shape, np.bool_)  # cells, when that was last looked at
        self.sights: tuple[LeakSight, ...] = ()
        self.followed_s = float("-inf")
        self._leader: int | None = None

    def field(self, pixels: NDArray[np.int32], scores: NDArray[np.int32]) -> GasField:
        """Gas of some cells, (n,) each."""
        total = int(pixels.sum())
        if not total:
            return _CLEAR
        fit = self.grid.fit
        scale = fit.picture_width * fit.picture_height / (fit.width * fit.height)
        score = int(scores.sum()) / total / 255
        return GasField(total / self.grid.pixels, round(total * scale), score)

    def led(self) -> list[Track]:
        """The leaks with the leading one first: one that moves, and by its area."""
        tracks = self.tracks.tracks
        tracks.sort(
            key=lambda each: (
                -each.moves,
                -each.weight * (_STAYS if each.serial == self._leader else 1.0),
                each.serial,
            )
        )
        self._leader = tracks[0].serial if tracks else None
        return tracks

    def share(self, x: float, y: float) -> tuple[float, float]:
        """A place in cells as shares of the picture's width and height."""
        fit, side = self.grid.fit, self.grid.side
        return min(x * side / fit.width, 1.0), min(y * side / fit.height, 1.0)

    def box(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[int, int, int, int]:
        """Gas of some cells that hold some, as x, y, width, height in camera pixels."""
        fit = self.grid.fit
        left, top, right, bottom = self.grid.box(rows, columns)
        x, y = fit.to_picture(fit.left + left, fit.top + top)
        x_end, y_end = fit.to_picture(fit.left + right, fit.top + bottom)
        return round(x), round(y), round(x_end - x), round(y_end - y)

    def zone_at(self, place: tuple[float, float] | None, zones: Sequence[ZoneConfig]) -> str:
        """Name of the first zone that holds a place."""
        if place is None:
            return ""
        fit, side = self.grid.fit, self.grid.side
        row = min(int(place[1] * fit.height / side), self.grid.rows - 1)
        column = min(int(place[0] * fit.width / side), self.grid.columns - 1)
        at = next((n for n, cells in enumerate(self.zones) if cells[row, column]), None)
        return zones[at].name if at is not None else ""
