"""Pictures and masks for the leak rules: a still, noisy plant and what stands before it."""

from __future__ import annotations

import numpy as np

from contract.geometry import FrameFit
from contract.label_map import GAS_SMOKE
from edge_runtime.leaks.config import LeakConfig
from edge_runtime.leaks.judge import LeakJudge

SIDE = 96
FIT = FrameFit(SIDE, SIDE, 0, 0, SIDE, SIDE)
UTC = 1_800_000_000_000_000_000


def blob(x: float, y: float, across: float = 12, down: float = 8):
    """An ellipse, (h, w) bool, in pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return ((columns - x) / across) ** 2 + ((rows - y) / down) ** 2 < 1


NOTHING = np.zeros((SIDE, SIDE), bool)


class Watched:
    """A camera at ten pictures a second whose gas is told."""

    def __init__(self, config: LeakConfig | None = None, zones=(), ignored=(), fps: float = 10.0):
        self.judge = LeakJudge(config or LeakConfig(), zones, ignored)
        self.fps, self.index = fps, 0
        self.said: list = []
        rows, columns = np.mgrid[:SIDE, :SIDE]
        self.scene = 90 + 30.0 * (((rows // 12) + (columns // 12)) % 2)

    def picture(self, gas, *, billows, light: float = 1.0):
        random = np.random.default_rng(self.index)
        picture = self.scene * light
        if billows is not False:
            picture = picture + (gas if billows is True else billows) * (
                25 + 20 * np.sin(self.index * 0.9)
            )
        noisy = picture[..., None] + random.normal(0, 3, (SIDE, SIDE, 3))
        return noisy.clip(0, 255).astype(np.uint8)

    def see(self, gas, seconds: float, *, billows=True, light: float = 1.0, score=220):
        """Show gas, (h, w) bool or a function of the seconds since this began, for some time.

        It billows, or stands still, or billows only where `billows` says so.
        """
        begin = len(self.said)
        for number in range(round(seconds * self.fps)):
            shown = gas(number / self.fps) if callable(gas) else gas
            mask = np.where(shown, np.uint8(GAS_SMOKE), np.uint8(0))
            at_s = 100 + self.index / self.fps
            found = self.judge.update(
                self.picture(shown, billows=billows, light=light),
                mask,
                np.where(shown, np.uint8(score), np.uint8(0)),
                FIT,
                at_s,
                UTC + round((at_s - 100) * 1e9),
            )
            self.said.append(found)
            self.index += 1
        return self.said[begin:]


def states(said) -> list:
    return [each.verdict.state for each in said]
