"""A drill: a made-up leak is laid beside what a camera really sees, and followed to the plant.

The camera's own judge goes on undisturbed. A second one sees the same masks with a plume in them;
what it says is published only while the first says *no leak*, and only with the bits TEST_SOURCE
and DRILL. The first sign of real gas, or a blind camera, ends the drill. The plume is laid into the
mask and into the picture that motion is looked for in, not into what the network sees: that the
network finds gas is what the known-answer test says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import GAS_SMOKE
from contract.packages import need
from contract.simulated_plume import Plume, Release
from contract.tags import LeakState
from edge_runtime.pixels import bgr_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from contract.geometry import FrameFit
    from edge_runtime.frames import Frame
    from edge_runtime.leaks.config import LeakRule
    from edge_runtime.leaks.judge import Judged, LeakJudge

__all__ = ["MOST_S", "Drill", "DrillPlume", "DrillReport"]

MOST_S = 300.0
"""A drill ends by itself after so long at the latest."""
_FPS = 25.0  # of the plume's own time
_COARSE = 4  # pixels of the network's input a cell of the plume
_LEAST_SHARE = 0.02  # of the field that the plume fills, or
_OVER = 3.0  # so many times what counts as a leak, if that is more,
_MOST_SHARE = 0.3  # but not more: a picture that changes as a whole counts as disturbed
_HALF = 0.5  # how much of the picture behind it the plume hides
_SCORE = 250  # gas probability of the plume, 0..255
_CELLS_S = 0.1  # the plume is drawn anew so often: it takes milliseconds of the frames' time


@dataclass(frozen=True, slots=True)
class DrillReport:
    """How a drill stands."""

    leak_ns: int | None  # monotonic, when the made-up leak was first published as one
    ended: str  # why, "" while it goes on


class DrillPlume:
    """The plume of a drill, any size of the network's input; the same for the same seed."""

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._seed = seed
        self._plume: Plume | None = None
        self._drawn: NDArray[np.bool_] = np.zeros((0, 0), np.bool_)
        self._drawn_s = 0.0

    def cells(self, rows: int, columns: int, at_s: float) -> NDArray[np.bool_]:
        """Where the plume stands `at_s` after its beginning, (rows, columns)."""
        if self._plume is None or self._drawn.shape != (rows, columns):
            random = np.random.default_rng(self._seed)
            self._plume = Plume(_release(rows, columns), random, columns, rows)
        elif 0 <= at_s - self._drawn_s < _CELLS_S:
            return self._drawn
        density = self._plume.density(1.0 + at_s * _FPS).ravel()
        count = max(1, round(self._share * density.size))
        least = np.partition(density, -count)[-count]
        self._drawn = ((density >= least) & (density > 0)).reshape(rows, columns)
        self._drawn_s = at_s
        return self._drawn


class Drill:
    """One drill of one camera; time is the capture time of its frames.

    Args:
        judge: one of its own, with the camera's rule, zones and ignored places.
        rule: the camera's rule, for the size of the plume.
        begin_ns: monotonic.
        seconds: how long it lasts, at most `MOST_S`.
    """

    def __init__(self, judge: LeakJudge, rule: LeakRule, *, begin_ns: int, seconds: float) -> None:
        share = min(max(_LEAST_SHARE, _OVER * rule.area_on), _MOST_SHARE)
        self.judge = judge
        self._plume = DrillPlume(share, begin_ns & 0xFFFF)
        self._plume.cells(8, 8, 0.0)  # eddies are made once, in a fifth of a second: not in a frame
        self._begin_ns = begin_ns
        self._seconds = min(seconds, MOST_S)
        self._leak_ns: int | None = None
        self._ended = ""

    @property
    def report(self) -> DrillReport:
        """How it stands."""
        return DrillReport(self._leak_ns, self._ended)

    @property
    def is_on(self) -> bool:
        """Whether what is published may be made up."""
        return not self._ended

    def end(self, why: str) -> None:
        """End it; the first reason counts."""
        self._ended = self._ended or why

    def take(
        self,
        frame: Frame,
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        fit: FrameFit,
        real: Judged,
        now_ns: int,
    ) -> Judged | None:
        """Judge a frame with the plume in it.

        Args:
            frame: the picture.
            mask: (H, W) class indices of the network's input; stays as it is.
            score: (H, W) gas-smoke probability, 0..255; stays as it is.
            fit: where the picture lies in them.
            real: what the camera's own judge says of the same frame.
            now_ns: monotonic.

        Returns:
            What to publish in the place of `real`; None to publish that.
        """
        at_s = (frame.monotonic_ns - self._begin_ns) / 1e9
        if real.first_sign is not LeakState.NONE:
            self.end(f"the camera itself says {real.first_sign.name.lower()}")
        elif at_s > self._seconds:
            self.end("its time is over")
        if not self.is_on or at_s < 0:
            return None
        laid = self._laid(bgr_of(frame.picture), mask, score, fit, at_s)
        judged = self.judge.update(*laid, fit, frame.monotonic_ns / 1e9, frame.captured_ns)
        if judged.verdict.state not in (LeakState.SUSPECT, LeakState.LEAK):
            return None
        if judged.verdict.state is LeakState.LEAK and self._leak_ns is None:
            self._leak_ns = now_ns
        return judged

    def _laid(
        self,
        picture: NDArray[np.uint8],
        mask: NDArray[np.uint8],
        score: NDArray[np.uint8],
        fit: FrameFit,
        at_s: float,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        cv2 = need("cv2", extra="cpu")
        rows, columns = max(fit.height // _COARSE, 8), max(fit.width // _COARSE, 8)
        cells = self._plume.cells(rows, columns, at_s).view(np.uint8)
        inside = cv2.resize(cells, (fit.width, fit.height), interpolation=cv2.INTER_NEAREST) > 0
        mask, score = mask.copy(), score.copy()
        mask[fit.valid][inside] = GAS_SMOKE
        score[fit.valid][inside] = _SCORE
        height, width = picture.shape[:2]
        hidden = cv2.resize(cells, (width, height), interpolation=cv2.INTER_NEAREST) > 0
        behind = picture[hidden]
        light = 255.0 if behind.size and behind.mean() < 128 else 0.0
        picture = picture.copy()
        picture[hidden] = (behind * (1 - _HALF) + light * _HALF).astype(np.uint8)
        return picture, mask, score


def _release(rows: int, columns: int) -> Release:
    """A steady plume from left of the middle, blown to the right and rising."""
    side = float(min(rows, columns))
    return Release(
        source=complex(columns * 0.35, rows * 0.6),
        wind=complex(side / 60, -side / 300),
        gusts=0.4,
        turbulence=side / 150,
        eddy_size=max(side / 4, 2.0),
        nozzle=max(side / 40, 0.5),
        growth=side / 200,
        life=50.0,
        jet=0j,
        rise=complex(0, -side / 8),
        pulsing=0.3,
    )
