"""What scripts/gpu_check found, for a person and for a program."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

__all__ = ["Check", "Report", "text_of"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked."""

    name: str
    passed: bool
    detail: str


@dataclass
class Report:
    """What came of it all."""

    machine: str
    bundle: str
    checks: list[Check] = field(default_factory=list)
    transfer: dict[str, object] = field(default_factory=dict)
    latency_ms: dict[str, dict[str, float]] = field(default_factory=dict)  # medians by precision
    ratios: dict[str, dict[str, float]] = field(default_factory=dict)  # medians of rounds' ratios

    def add(self, name: str, detail: str, *, passed: bool) -> None:
        """Keep a check and say it at once."""
        self.checks.append(Check(name, passed, detail))
        print(f"{'ok  ' if passed else 'FAIL'} {name}: {detail}", file=sys.stderr)


def text_of(report: Report) -> str:
    """The report for a person."""
    lines = [report.machine, f"bundle: {report.bundle}"]
    lines += [f"{'ok  ' if c.passed else 'FAIL'} {c.name}: {c.detail}" for c in report.checks]
    for unit, tables in (("ms", report.latency_ms), ("times", report.ratios)):
        lines += ["", f"{unit:32}" + "".join(f"{precision:>10}" for precision in tables)]
        names = dict.fromkeys(name for table in tables.values() for name in table)
        lines += [f"{n:32}" + "".join(f"{t[n]:>10.3f}" for t in tables.values()) for n in names]
    return "\n".join(lines)
