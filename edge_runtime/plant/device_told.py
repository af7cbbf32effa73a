"""The plant process' word on the device: read on a thread, told by the desk on the loop.

A device that cannot be read, whatever the reason, is told as such and read again: tags that stand
still would say that all is well.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contract.audit import Category, Entry
from edge_runtime.device.clock_watch import ClockWatch
from edge_runtime.device.disk_probe import DiskProbe
from edge_runtime.device.health import missed_in
from edge_runtime.device.reading import device_tags, read_device, troubles

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator

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
_UNREAD = "device"


class DeviceTold:
    """What the desk is told of the device.

    Args:
        desk: keeps tags and alarms; used on its own loop only.
        config: limits.
        plant: where state and evidence are kept.
        sysfs: the kernel's view of the device.
        folder: of the daemon, where its parent says which processes are missed; None asks nobody.
    """

    def __init__(
        self,
        desk: Desk,
        config: DeviceConfig,
        plant: PlantConfig,
        sysfs: Path = Path("/sys"),
        *,
        folder: Path | None = None,
    ) -> None:
        self._desk, self._config, self._sysfs = desk, config, sysfs
        self._clock = ClockWatch(time_server=config.time_server)
        evidence = plant.evidence.folder if plant.evidence is not None else None
        self._state_dir, self._folder = plant.state_dir, folder
        folders = [each for each in (plant.state_dir, evidence) if each is not None]
        self._probes = [DiskProbe(folder) for folder in folders]
        self._hangs = False
        self._unread: str | None = None  # why the device could not be read last
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
            self._desk.note(Entry(Category.SYSTEM, "clock", comment=said))
        self._desk.tell_device(device_tags(reading, clock))
        for reason, text in troubles(reading, clock, self._config).items():
            self._desk.maintain(reason, text)
        state = reading.disks.get(self._state_dir) if self._state_dir is not None else None
        hangs = state is not None and not state.answers
        if hangs and not self._hangs:
            self._desk.disk_hangs(f"{self._state_dir}: the disk does not answer; see to it")
        self._hangs = hangs

    def missed(self, roles: list[str]) -> None:
        """Tell the desk which processes do not serve; on its loop."""
        text = f"{', '.join(roles)}: does not serve, is started again and again; see the log"
        self._desk.maintain("processes", text if roles else None)

    def _told(self, *tells: Callable[[], None]) -> None:
        """Tell the desk, or that it cannot be told; on its loop."""
        try:
            for tell in tells:
                tell()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not go unnoticed
            self._lost(error)
        else:
            self._unread = None
            self._desk.maintain(_UNREAD, None)

    def _lost(self, error: Exception) -> None:
        """Nothing is known of the device; on the desk's loop."""
        if str(error) != self._unread:
            self._unread = str(error)
            _log.error("the device cannot be watched: %s", error, exc_info=error)
        self._desk.tell_device({})
        self._desk.maintain(_UNREAD, f"the device cannot be watched ({error}); see the log")

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        disks: dict[Path, DiskWord] = {}
        asked_s = float("-inf")
        reading: Reading | None = None
        while True:
            tells: list[Callable[[], None]] = []
            try:
                now_s = time.monotonic()
                if now_s - asked_s >= _DISK_S or not all(each.answers for each in disks.values()):
                    asked_s = now_s
                    disks = {each.folder: each.word(_DISK_ANSWERS_S) for each in self._probes}
                reading = read_device(disks, reading, self._sysfs)
                tells.append(partial(self.take, reading))
                missed = missed_in(self._folder) if self._folder is not None else None
                if missed is not None:
                    tells.append(partial(self.missed, missed))
                told = partial(self._told, *tells)
            except Exception as error:  # noqa: BLE001 - likewise
                told = partial(self._lost, error)
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(told)
            if self._done.wait(_READ_S):
                return
