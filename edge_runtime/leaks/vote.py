"""From what each mask shows to a leak state that neither flickers nor remembers while blind.

Order of the rules: hysteresis on a frame, a vote of M in N frames, an on-delay, an off-delay
(the practice of OPC UA Part 9 and ISA-18.2 for analogue alarms). Gas votes twice: what moves for a
leak, all of it for a suspect. Pure: time comes as an argument.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contract.tags import LeakState

if TYPE_CHECKING:
    from edge_runtime.leaks.config import LeakRule

__all__ = ["UNDECIDED", "GasField", "LeakTracker", "LeakVerdict", "MovingVote"]

_VOTE_AGE_S = 30.0  # a vote older than this says nothing about now, however slow the frames are


@dataclass(frozen=True, slots=True)
class GasField:
    """Gas in one picture, or in a part of it."""

    area_fraction: float  # of the valid field less what is ignored, 0..1
    area_px: int  # camera pixels
    score: float  # mean gas probability of the gas pixels, 0 without any


@dataclass(frozen=True, slots=True)
class LeakVerdict:
    """The state after a frame."""

    state: LeakState
    onset_ns: int | None = None  # capture time of the frame in which the leak began, UTC
    duration_s: float = 0.0  # since the onset
    still: bool = False  # a suspect that would be a leak if it moved


UNDECIDED = LeakVerdict(LeakState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class _Vote:
    at_s: float
    captured_ns: int
    gas: bool


class LeakTracker:
    """Leak state of a camera or a zone.

    Args:
        config: thresholds, vote and delays.
    """

    def __init__(self, config: LeakRule) -> None:
        self._config = config
        self._votes: deque[_Vote] = deque(maxlen=config.window)
        self._state = LeakState.UNKNOWN
        self._onset: _Vote | None = None
        self._passed_since_s: float | None = None
        self._clear_since_s: float | None = None

    def reset(self) -> None:
        """Forget everything: nobody was looking, or the picture is of something else now."""
        self._votes.clear()
        self._state = LeakState.UNKNOWN
        self._onset = self._passed_since_s = self._clear_since_s = None

    def update(self, gas: GasField, now_s: float, captured_ns: int) -> LeakVerdict:
        """Take in one frame.

        Args:
            gas: what its mask shows.
            now_s: its capture time on the monotonic clock.
            captured_ns: its capture time in UTC.

        Returns:
            UNKNOWN until enough frames were seen to decide the vote either way.
        """
        while self._votes and now_s - self._votes[0].at_s > _VOTE_AGE_S:
            self._votes.popleft()
        self._votes.append(_Vote(now_s, captured_ns, self._is_gas(gas)))
        positive = [vote for vote in self._votes if vote.gas]
        negatives = len(self._votes) - len(positive)
        if len(positive) >= self._config.votes:
            self._vote_passed(positive[0], now_s)
        elif negatives > self._config.window - self._config.votes:
            self._vote_failed(now_s)
        elif self._state is not LeakState.LEAK:
            self._state = LeakState.UNKNOWN
            self._onset = self._passed_since_s = None
        return self._verdict(now_s)

    def _is_gas(self, gas: GasField) -> bool:
        config = self._config
        before = bool(self._votes) and self._votes[-1].gas
        area = config.area_off if before else config.area_on
        score = config.score_off if before else config.score_on
        return gas.area_px > 0 and gas.area_fraction >= area and gas.score >= score

    def _vote_passed(self, first: _Vote, now_s: float) -> None:
        self._clear_since_s = None
        if self._state is LeakState.LEAK:
            return
        if self._passed_since_s is None or self._onset is None:
            self._passed_since_s, self._onset = now_s, first
        held = now_s - self._passed_since_s >= self._config.on_delay_s
        self._state = LeakState.LEAK if held else LeakState.SUSPECT

    def _vote_failed(self, now_s: float) -> None:
        if self._state is LeakState.LEAK:
            if self._clear_since_s is None:
                self._clear_since_s = now_s
            if now_s - self._clear_since_s < self._config.off_delay_s:
                return
        self._state = LeakState.NONE
        self._onset = self._passed_since_s = self._clear_since_s = None

    def _verdict(self, now_s: float) -> LeakVerdict:
        if self._onset is None:
            return LeakVerdict(self._state)
        return LeakVerdict(self._state, self._onset.captured_ns, now_s - self._onset.at_s)


class MovingVote:
    """Leak state of a camera or a zone, by what moves and by what does not.

    Args:
        rule: thresholds, vote and delays.
    """

    def __init__(self, rule: LeakRule) -> None:
        self._all, self._moving = LeakTracker(rule), LeakTracker(rule)

    def reset(self) -> None:
        """Forget everything."""
        self._all.reset()
        self._moving.reset()

    def update(
        self, gas: GasField, moving: GasField, now_s: float, captured_ns: int
    ) -> LeakVerdict:
        """Take in one frame: all its gas, and the part of it that moves."""
        by_all = self._all.update(gas, now_s, captured_ns)
        by_moving = self._moving.update(moving, now_s, captured_ns)
        if by_moving.state is LeakState.LEAK:
            return by_moving
        if by_all.state is LeakState.LEAK:
            waits = by_moving.state is LeakState.SUSPECT
            return replace(by_all, state=LeakState.SUSPECT, still=not waits)
        return by_all
