"""A folder laid out as the kernel's /sys, with what a Jetson shows there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def make_zone(root: Path, number: int, kind: str, milli_c: str) -> Path:
    """One thermal zone; the answer is its file."""
    return _written(root / f"class/thermal/thermal_zone{number}", type=kind, temp=milli_c)


def make_cooler(root: Path, number: int, kind: str, state: int) -> None:
    """One cooling device."""
    _written(root / f"class/thermal/cooling_device{number}", type=kind, cur_state=str(state))


def make_monitor(root: Path, *rails: tuple[str, int, int]) -> None:
    """One INA3221 with (label, mV, mA) of each rail."""
    values = {"name": "ina3221"}
    for number, (label, millivolts, milliamperes) in enumerate(rails, start=1):
        values |= {
            f"in{number}_label": label,
            f"in{number}_input": str(millivolts),
            f"curr{number}_input": str(milliamperes),
        }
    _written(root / "class/hwmon/hwmon3", **values)


def make_over_currents(root: Path, *counts: int) -> None:
    """The counters of a Jetson's over-current events."""
    values = {f"oc{n}_event_cnt": str(count) for n, count in enumerate(counts, start=1)}
    _written(root / "class/hwmon/hwmon5", name="soctherm_oc", **values)


def _written(folder: Path, **values: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in values.items():
        path = folder / name
        path.write_text(f"{text}\n")
    return path
