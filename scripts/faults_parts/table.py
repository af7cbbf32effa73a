"""What came of the faults, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .fault import Outcome

__all__ = ["as_json", "verdict", "written"]

_HEADS = ("fault", "injected how", "detected in", "state published", "recovered in", "lost", "")


def written(outcomes: Sequence[Outcome]) -> str:
    """A Markdown table."""
    rows = [_HEADS, tuple("---" for _ in _HEADS)]
    for each in outcomes:
        what = f"{each.fault.group}: {each.fault.name}"
        if each.times > 1:
            what += f" ({each.times} times)"
        seconds = [_seconds(each.detected_s), _seconds(each.recovered_s)]
        rows.append(
            (what, each.fault.how, seconds[0], each.shown, seconds[1], each.lost, verdict(each))
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def verdict(outcome: Outcome) -> str:
    """In a word, or why not."""
    if outcome.skipped:
        return f"not tried: {outcome.skipped}"
    return f"FAILED: {'; '.join(outcome.faults)}" if outcome.faults else "passed"


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """The same for a machine."""
    return [
        {
            "group": each.fault.group,
            "fault": each.fault.name,
            "how": each.fault.how,
            "right": each.fault.shown.value,
            "detected_s": each.detected_s,
            "shown": each.shown,
            "recovered_s": each.recovered_s,
            "lost": each.lost,
            "times": each.times,
            "faults": list(each.faults),
            "skipped": each.skipped,
        }
        for each in outcomes
    ]


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} s"
