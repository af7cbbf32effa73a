"""Follows a daemon over Modbus, fifty times a second, and keeps what it said."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from contract.closing import Closing
from faults_parts.reading import WORDS, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

__all__ = ["StateWatch"]

_POLL_S = 0.02
_ANSWER_S = 0.5  # a server that says nothing for so long says nothing
_AT_LEAST_S = 0.25  # between two readings that are kept, where nothing changes


class StateWatch(Closing):
    """One client, one thread, all cameras; a context manager.

    Args:
        port: of the Modbus server on loopback.
        cameras: how many there are.
    """

    def __init__(self, port: int, cameras: int) -> None:
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        self._port, self._units = port, range(1, cameras + 1)
        self._kept: dict[int, list[Reading]] = {unit: [] for unit in self._units}
        self._last: dict[int, Reading] = {}
        self._ages: list[int] = []
        self._beat_s: dict[int, float] = {}
        self._lock, self._end = threading.Lock(), threading.Event()
        self.raised: dict[tuple[int, int], int] = {}  # (unit, alarm) -> how often seen to begin
        self.false: list[str] = []  # a leak state was believed while nothing was segmented
        self._thread = threading.Thread(target=self._run, name="faults-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def close(self) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()

    def forget(self) -> None:
        """Keep only what comes from here on."""
        with self._lock:
            for kept in self._kept.values():
                del kept[:-1]

    def readings(self, unit: int) -> list[Reading]:
        """What was kept of a camera."""
        with self._lock:
            return list(self._kept[unit])

    def ages_ms(self) -> list[int]:
        """How old each new frame of any camera was when its tags showed, since the last asking."""
        with self._lock:
            found, self._ages = self._ages, []
        return found

    def now(self, unit: int) -> Reading:
        """The last reading of a camera."""
        return self._last.get(unit, Reading(time.monotonic(), ()))

    def until(self, truth: Callable[[Reading], bool], unit: int, within_s: float) -> float | None:
        """Seconds until a camera's reading fits; None when it does not in time."""
        begin_s = time.monotonic()
        while time.monotonic() - begin_s < within_s:
            if truth(self.now(unit)):
                return time.monotonic() - begin_s
            time.sleep(_POLL_S)
        return None

    def _run(self) -> None:
        client = ModbusTcpClient("127.0.0.1", port=self._port, timeout=_ANSWER_S, retries=0)
        while not self._end.wait(_POLL_S):
            for unit in self._units:
                words: tuple[int, ...] = ()
                with contextlib.suppress(ModbusException, OSError):
                    if client.connected or client.connect():
                        answer = client.read_input_registers(0, count=WORDS, device_id=unit)
                        words = () if answer.isError() else tuple(answer.registers)
                if not words:
                    client.close()
                self._take(unit, words)
        client.close()

    def _take(self, unit: int, words: tuple[int, ...]) -> None:
        now_s = time.monotonic()
        before = self._last.get(unit)
        reading = Reading(now_s, words)
        if before is None or not words or not before.words:
            self._beat_s[unit] = now_s  # who was away does not know how long it stood still
        elif reading.heartbeat != before.heartbeat:
            self._beat_s[unit] = now_s
        reading = Reading(now_s, words, now_s - self._beat_s[unit])
        self._last[unit] = reading
        if reading.is_false:
            self.false.append(f"camera {unit}: {reading}, heartbeat still {reading.still_s:.1f} s")
        if before is not None:
            for number, (was, becomes) in enumerate(
                zip(before.alarms, reading.alarms, strict=True)
            ):
                if becomes == 1 and was in (0, 3):
                    self.raised[unit, number] = self.raised.get((unit, number), 0) + 1
        with self._lock:
            if before is not None and before.words and reading.age_ms < before.age_ms:
                self._ages.append(reading.age_ms)
            kept = self._kept[unit]
            same = bool(kept) and _essence(kept[-1]) == _essence(reading)
            if not same or now_s - kept[-1].at_s >= _AT_LEAST_S:
                kept.append(reading)


def _essence(reading: Reading) -> tuple[object, ...]:
    return bool(reading.words), reading.state, reading.quality, reading.code, reading.is_watched
