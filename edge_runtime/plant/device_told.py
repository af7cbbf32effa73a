"""The plant process' word on the device: read on a thread, told by the desk on the loop."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.audit import Category, Entry
from edge_runtime.device.clock_watch import ClockWatch
from edge_runtime.device.disk_probe import DiskProbe
from edge_runtime.device.reading import device_tags, read_device, troubles

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from edge_runtime.alarms.desk import Desk
    from edge_runtime.device.config import DeviceConfig
    from edge_runtime.device.disk_probe import DiskWord
    from edge_runtime.device.reading import Reading
    from edge_runtime.plant.config import PlantConfig

__all__ = ["DeviceTold"]

_log = logging.getLogger(__name__)

_READ_S = 2.0
_DISK_S = 30.0  # each question costs a write
_DISK_ANSWERS_S = 3.0


class DeviceTold:
    """What the desk is told of the device.

    Args:
        desk: keeps tags and alarms; used on its own loop only.
        config: limits.
        plant: where state and evidence are kept.
        sysfs: the kernel's view of the device.
    """

    def __init__(
        self, desk: Desk, config: DeviceConfig, plant: PlantConfig, sysfs: Path = Path("/sys")
    ) -> None:
        self._desk, self._config, self._sysfs = desk, config, sysfs
        self._clock = ClockWatch(time_server=config.time_server)
        evidence = plant.evidence.folder if plant.evidence is not None else None
        self._state_dir = plant.state_dir
        folders = [each for each in (plant.state_dir, evidence) if each is not None]
        self._probes = [DiskProbe(folder) for folder in folders]
        self._hangs = False
        self._done = threading.Event()

    @contextlib.contextmanager
    def watched(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Read the device every other second for as long as this lasts."""
        thread = threading.Thread(
            target=self._run, args=(loop,), name="gasedge-device", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join(_DISK_ANSWERS_S + 1.0)

    def take(self, reading: Reading) -> None:
        """Tell the desk; on its loop."""
        clock = self._clock.look(reading.mono_ns, reading.utc_ns, synchronised=reading.synchronised)
        if clock.stepped_s:
            said = f"the clock was stepped by {clock.stepped_s:+.1f} s"
            _log.warning("%s", said)
            self._desk.audit(Entry(Category.SYSTEM, "clock", comment=said))
        self._desk.tell_device(device_tags(reading, clock))
        for reason, text in troubles(reading, clock, self._config).items():
            self._desk.maintain(reason, text)
        state = reading.disks.get(self._state_dir) if self._state_dir is not None else None
        if state is not None and not state.answers and not self._hangs:
            self._hangs = True
            self._desk.disk_hangs(f"{self._state_dir}: the disk does not answer; see to it")

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        disks: dict[Path, DiskWord] = {}
        asked_s = float("-inf")
        reading: Reading | None = None
        while True:
            now_s = time.monotonic()
            if now_s - asked_s >= _DISK_S or not all(each.answers for each in disks.values()):
                asked_s = now_s
                disks = {each.folder: each.word(_DISK_ANSWERS_S) for each in self._probes}
            reading = read_device(disks, reading, self._sysfs)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self.take, reading)
            if self._done.wait(_READ_S):
                return
