"""Heat, power and power mode of the device, read from where the kernel shows them.

Thermal zones, cooling devices and hwmon are as the kernel's documentation of sysfs describes them
(driver-api/thermal/sysfs-api, hwmon/sysfs-interface); the power monitors of a Jetson are INA3221
behind hwmon, with the rails' names as labels. Power modes stand in the files of nvpmodel. What
cannot be read is unknown.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["hottest_c", "is_throttled", "over_currents", "power_mode", "power_w"]

_SYSFS = Path("/sys")
_LIKELY_C = (-40.0, 150.0)  # a sensor that is off says something else
_WHOLE = ("VDD_IN", "POM_5V_IN")  # the rail that feeds all others, where there is one
_FANS = ("fan", "Fan")


def hottest_c(sysfs: Path = _SYSFS) -> float | None:
    """The hottest thermal zone, in degrees Celsius."""
    found = (_number(zone / "temp") for zone in sysfs.glob("class/thermal/thermal_zone*"))
    celsius = [each / 1000 for each in found if each is not None]
    return max((each for each in celsius if _LIKELY_C[0] < each < _LIKELY_C[1]), default=None)


def is_throttled(sysfs: Path = _SYSFS) -> bool:
    """Whether heat holds anything back: a cooling device other than a fan is at work."""
    for device in sysfs.glob("class/thermal/cooling_device*"):
        kind = _text(device / "type") or ""
        if not any(fan in kind for fan in _FANS) and (_number(device / "cur_state") or 0) > 0:
            return True
    return False


def over_currents(sysfs: Path = _SYSFS) -> int:
    """How often a Jetson was held back since its start, for too much current or too low voltage."""
    counts = (_number(each) for each in sysfs.glob("class/hwmon/hwmon*/oc*_event_cnt"))
    return sum(int(each) for each in counts if each is not None)


def power_w(sysfs: Path = _SYSFS) -> float | None:
    """Power that the whole device takes, in watts; the sum of all rails where none feeds all."""
    rails = [rail for hwmon in sysfs.glob("class/hwmon/hwmon*") for rail in _rails(hwmon)]
    whole = [watts for name, watts in rails if name in _WHOLE]
    parts = whole or [watts for name, watts in rails if not name.startswith("sum of")]
    return sum(parts) if parts else None


def power_mode(
    status: Path = Path("/var/lib/nvpmodel/status"), modes: Path = Path("/etc/nvpmodel.conf")
) -> str | None:
    """The power mode of a Jetson by its name, or by its number where that is not known."""
    found = re.search(r"pmode:(\d+)", _text(status) or "")
    if found is None:
        return None
    number = int(found[1])
    for mode in re.finditer(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", _text(modes) or ""):
        if int(mode[1]) == number:
            return mode[2]
    return str(number)


def _rails(hwmon: Path) -> Iterator[tuple[str, float]]:
    """Name and watts of each rail that one chip measures."""
    for power in hwmon.glob("power*_input"):
        microwatts = _number(power)
        if microwatts is not None:
            yield _text(hwmon / power.name.replace("_input", "_label")) or "", microwatts / 1e6
    for current in hwmon.glob("curr*_input"):
        number = current.name[len("curr") : -len("_input")]
        milliamperes, millivolts = _number(current), _number(hwmon / f"in{number}_input")
        if milliamperes is not None and millivolts is not None:
            yield _text(hwmon / f"in{number}_label") or "", milliamperes * millivolts / 1e6


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _number(path: Path) -> float | None:
    text = _text(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
