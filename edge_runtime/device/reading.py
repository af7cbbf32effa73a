"""What the device says of itself at one instant, and from it the tags and what needs a person."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.alarms.clock import machine_now
from edge_runtime.device import sensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from contract.tags import Value
    from edge_runtime.device.clock_watch import ClockWord
    from edge_runtime.device.config import DeviceConfig
    from edge_runtime.device.disk_probe import DiskWord

__all__ = ["Reading", "device_tags", "read_device", "troubles"]

_MB = 1 << 20
_STEP_MB = 10  # a log that grows is no news by itself


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read."""

    mono_ns: int
    utc_ns: int
    synchronised: bool
    temp_c: float | None = None
    power_w: float | None = None
    power_mode: str | None = None
    throttled: bool = False  # now by heat, or since the reading before by current
    over_currents: int = 0  # since the device's start
    disks: Mapping[Path, DiskWord] = field(default_factory=dict)


def read_device(
    disks: Mapping[Path, DiskWord], before: Reading | None, sysfs: Path = Path("/sys")
) -> Reading:
    """Read everything but the disks, which are asked elsewhere: they may hang.

    Args:
        disks: what they said.
        before: the reading before this one; None for the first.
        sysfs: the kernel's view of the device.
    """
    now = machine_now()
    over_currents = sensors.over_currents(sysfs)
    pulled = before is not None and over_currents > before.over_currents
    return Reading(
        mono_ns=time.monotonic_ns(),
        utc_ns=time.time_ns(),
        synchronised=now.clock_ok,
        temp_c=sensors.hottest_c(sysfs),
        power_w=sensors.power_w(sysfs),
        power_mode=sensors.power_mode(),
        throttled=pulled or sensors.is_throttled(sysfs),
        over_currents=over_currents,
        disks=disks,
    )


def device_tags(reading: Reading, clock: ClockWord) -> dict[str, Value]:
    """The tags of the group Device; what is unknown is None."""
    free = [each.free_bytes for each in reading.disks.values() if each.free_bytes is not None]
    return {
        "Device/TempC": reading.temp_c,
        "Device/PowerW": reading.power_w,
        "Device/PowerMode": reading.power_mode,
        "Device/Throttled": reading.throttled,
        "Device/DiskFreeMb": min(free) // _MB // _STEP_MB * _STEP_MB if free else None,
        "Device/ClockBad": clock.bad,
    }


def troubles(reading: Reading, clock: ClockWord, config: DeviceConfig) -> dict[str, str | None]:
    """For each thing that may need a person a sentence, None while it does not."""
    hanging = [str(folder) for folder, disk in reading.disks.items() if not disk.answers]
    full = [
        f"{folder}: {disk.free_bytes // _MB} MiB are free, less than {config.disk_free_mb}: "
        f"make room"
        for folder, disk in reading.disks.items()
        if disk.free_bytes is not None and disk.free_bytes < config.disk_free_mb * _MB
    ]
    heat = None if reading.temp_c is None else f" at {reading.temp_c:.0f} C"
    return {
        "clock": clock.trouble,
        "disk that hangs": f"{', '.join(hanging)}: the disk does not answer" if hanging else None,
        "disk room": "; ".join(full) or None,
        "throttled": (
            f"the device holds its processors back{heat or ''}: see to its cooling and its supply"
            if reading.throttled
            else None
        ),
    }
