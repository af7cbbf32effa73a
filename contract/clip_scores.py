"""How soon a leak is told on a clip, and how often a clip without one alarms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict

from contract.alarm_rules import RULES, AlarmRule, alarms, area_under_roc, rising_edges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "ClipScores",
    "OnsetScore",
    "TileRuleScore",
    "TileScores",
    "WatchedClip",
    "onset_scores",
    "tile_scores",
]


class WatchedClip(BaseModel):
    """Gas share of each frame of one clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    times_s: tuple[float, ...]
    shares: tuple[float, ...]
    onset_s: float | None  # when the gas comes; None where it never does


class OnsetScore(BaseModel):
    """All clips under one alarm rule.

    What counts after the onset are votes of frames since then: a false alarm is no detection.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: AlarmRule
    clips_with_gas: int
    found: int  # of these, alarmed after the onset
    median_delay_s: float | None  # from the onset to the alarm, over the found
    worst_delay_s: float | None
    already_alarming: int  # clips whose alarm stood wrongly when the gas came
    false_alarms: int  # that began before the onset, or in clips without gas
    quiet_s: float  # how long these clips showed no gas


class ClipScores(BaseModel):
    """Clips in which a leak begins, or none does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clips: tuple[WatchedClip, ...]
    rules: tuple[OnsetScore, ...]


class TileRuleScore(BaseModel):
    """Tiles that alarm at any frame under one rule."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    found: float | None  # share of the tiles with smoke
    false_alarms: float | None  # share of the tiles without


class TileScores(BaseModel):
    """Short clips, each labelled as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tiles_with_smoke: int
    tiles_without: int
    every: int  # of the mosaics' frames, every so many-th was looked at
    area_under_roc: float | None  # of the median gas share
    rules: tuple[TileRuleScore, ...]


def onset_scores(
    clips: Sequence[WatchedClip], rules: Sequence[AlarmRule] = RULES
) -> tuple[OnsetScore, ...]:
    """Time to first detection and false alarms before it, for each rule."""
    return tuple(_onset_score(clips, rule) for rule in rules)


def _onset_score(clips: Sequence[WatchedClip], rule: AlarmRule) -> OnsetScore:
    delays: list[float] = []
    with_gas = already = false_alarms = 0
    quiet_s = 0.0
    for clip in clips:
        times, shares = np.array(clip.times_s), np.array(clip.shares)
        before = times < (np.inf if clip.onset_s is None else clip.onset_s)
        standing = alarms(shares[before], rule)
        false_alarms += len(rising_edges(standing))
        quiet_s += _lasting(times, before)
        if clip.onset_s is None:
            continue
        with_gas += 1
        already += bool(standing.size and standing[-1])
        found = np.flatnonzero(alarms(shares[~before], rule))
        if found.size:
            delays.append(float(times[~before][found[0]]) - clip.onset_s)
    return OnsetScore(
        rule=rule,
        clips_with_gas=with_gas,
        found=len(delays),
        median_delay_s=float(np.median(delays)) if delays else None,
        worst_delay_s=max(delays, default=None),
        already_alarming=already,
        false_alarms=false_alarms,
        quiet_s=quiet_s,
    )


def _lasting(times: NDArray[np.float64], chosen: NDArray[np.bool_]) -> float:
    """How long the chosen frames last together: each until the next, the last as its neighbour."""
    steps = np.diff(times)
    lasts = np.append(steps, steps[-1] if steps.size else 0.0)
    return float(lasts[chosen].sum())


def tile_scores(
    shares: Mapping[str, Sequence[float]],
    with_smoke: Mapping[str, bool],
    *,
    every: int,
    rules: Sequence[AlarmRule] = RULES,
) -> TileScores:
    """Found rate, false alarms per clip and ROC area.

    Args:
        shares: tile -> gas share of each frame looked at.
        with_smoke: tile -> its label.
        every: of the frames, every so many-th was looked at.
        rules: that alarms are given by, beside the median of the gas share.
    """
    median = {name: float(np.median(values)) for name, values in shares.items()}
    table = []
    for area in sorted({rule.area for rule in rules}):
        told = {name: value >= area for name, value in median.items()}
        table.append(_tile_rule(f"median gas share {area:g} or more", told, with_smoke))
    for rule in rules:
        told = {name: bool(alarms(values, rule).any()) for name, values in shares.items()}
        table.append(_tile_rule(str(rule), told, with_smoke))
    smoke = [median[name] for name in median if with_smoke[name]]
    clear = [median[name] for name in median if not with_smoke[name]]
    return TileScores(
        tiles_with_smoke=len(smoke),
        tiles_without=len(clear),
        every=every,
        area_under_roc=area_under_roc(smoke, clear),
        rules=tuple(table),
    )


def _tile_rule(
    rule: str, told: Mapping[str, bool], with_smoke: Mapping[str, bool]
) -> TileRuleScore:
    smoke = [told[name] for name in told if with_smoke[name]]
    clear = [told[name] for name in told if not with_smoke[name]]
    return TileRuleScore(
        rule=rule,
        found=sum(smoke) / len(smoke) if smoke else None,
        false_alarms=sum(clear) / len(clear) if clear else None,
    )
