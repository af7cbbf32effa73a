"""Time several ways of running the network in turns, so that a busy machine slows all alike.

Times say little on a shared machine; the ratio within one round says much.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from contract.segmenter import Segmenter

__all__ = ["Timing", "speed_up", "time_in_turns"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Latencies of one contestant, ms a call, by round."""

    rounds: tuple[tuple[float, ...], ...]
    batch: int

    @property
    def latencies(self) -> NDArray[np.float64]:
        """All latencies in ms."""
        return np.concatenate([np.array(each) for each in self.rounds])

    def percentile(self, share: float) -> float:
        """Latency in ms that `share` percent of the calls do not exceed."""
        return float(np.percentile(self.latencies, share))

    @property
    def frames_per_second(self) -> float:
        """Frames a second, one call after another."""
        return float(self.batch * 1000 / self.latencies.mean())


def time_in_turns(
    contestants: Mapping[str, Segmenter],
    frames: NDArray[np.uint8],
    *,
    rounds: int,
    calls: int,
    warm_up: int,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, Timing]:
    """Give every contestant `calls` calls in each round, and first `warm_up` that do not count.

    Args:
        contestants: name -> the opened segmenter.
        frames: (N, H, W, 3), the batch that every call gets.
        rounds: how often each has its turn.
        calls: timed calls a turn.
        warm_up: untimed calls before the first round.
        clock_ns: monotonic clock in ns.
    """
    for segmenter in contestants.values():
        for _ in range(warm_up):
            segmenter.segment(frames)
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in contestants}
    for _ in tqdm(range(rounds), desc="rounds", delay=2):
        for name, segmenter in contestants.items():
            turn = []
            for _ in range(calls):
                begun = clock_ns()
                segmenter.segment(frames)
                turn.append((clock_ns() - begun) / 1e6)
            found[name].append(tuple(turn))
    return {name: Timing(tuple(turns), len(frames)) for name, turns in found.items()}


def speed_up(of: Timing, against: Timing) -> float:
    """How many times faster `of` is: the median over rounds of the ratio of their medians."""
    ratios = [
        statistics.median(slow) / statistics.median(fast)
        for fast, slow in zip(of.rounds, against.rounds, strict=True)
    ]
    return statistics.median(ratios)
