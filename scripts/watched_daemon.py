"""`gasedge run` as its plant sees it: read by a Modbus client, weighed by the kernel's figures."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from contract.closing import Closing
from contract.errors import DeviceError
from contract.tags import Quality, tag

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from typing_extensions import Self

    from contract.precision import Precision

__all__ = ["Throughput", "WatchedDaemon"]

PATIENCE_S = 60.0
WARM_UP_S = 1.0
_ROLES = ("frames", "plant", "opcua", "recorder")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True, slots=True)
class Throughput:
    """What the daemon did in a while."""

    fps: float  # segmented, all cameras
    processor_s: dict[str, float]  # a frame, by the process' part


class WatchedDaemon(Closing):
    """A daemon with Modbus and OPC UA on loopback; a context manager.

    Args:
        folder: for its configuration and log.
        bundle: what it runs.
        precision: of it.
        sources: one camera each.
        threads: CPU threads of the network, None for all.
        tables: further TOML.
        sizes: that each camera must have, "" for any.
        environment: variables beside this process' own.
    """

    def __init__(
        self,
        folder: Path,
        bundle: Path,
        precision: Precision,
        sources: Sequence[str],
        *,
        threads: int | None,
        tables: str = "",
        sizes: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        from demo_line import free_port
        from signed_copy import signed_copy

        self._environment = {**os.environ, **(environment or {})}

        self.config = folder / f"daemon-{bundle.parent.name}-{precision}-{len(sources)}.toml"
        self.modbus, self.opcua, self._cameras = free_port(), free_port(), len(sources)
        limit = f"threads = {threads}\n" if threads else ""
        cameras = "".join(
            f'[[camera]]\nname = "camera{number}"\nsource = "{source}"\n'
            + (f'size = "{size}"\n' if size else "")
            for number, (source, size) in enumerate(zip_longest(sources, sizes, fillvalue=""))
        )
        signed, key = signed_copy(bundle, folder)
        self.config.write_text(
            f'[trust]\nkeys = ["{key}"]\n'
            f'[model]\nbundle = "{signed}"\nprecision = "{precision}"\n{limit}{cameras}'
            f"[plant.modbus]\nport = {self.modbus}\n"
            f'[plant.opcua]\nport = {self.opcua}\nsecurity = "none"\n{tables}',
            encoding="utf-8",
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Start the daemon, as after an end of it."""
        self._begin_s = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gasedge", "run", str(self.config)],
                stderr=log,
                env=self._environment,
            )
        self._client = ModbusTcpClient("127.0.0.1", port=self.modbus, timeout=2, retries=0)

    def close(self) -> None:
        """End the daemon."""
        self._client.close()
        self._process.send_signal(signal.SIGCONT)  # what was stopped cannot end
        self._process.terminate()
        self._process.wait(30)

    @property
    def log(self) -> Path:
        """What it said on standard error."""
        return self.config.with_suffix(".log")

    @property
    def has_ended(self) -> bool:
        """Whether nobody is there any more to restart its parts."""
        return self._process.poll() is not None

    def first_mask_s(self) -> float:
        """Seconds from the start of the command until every camera's mask is published.

        Raises:
            DeviceError: when that takes over a minute.
        """
        while time.monotonic() - self._begin_s < PATIENCE_S:
            with contextlib.suppress(ModbusException, OSError):
                if all(self._quality(unit) != Quality.BAD for unit in range(1, self._cameras + 1)):
                    return time.monotonic() - self._begin_s
            time.sleep(0.01)
        raise DeviceError(f"no mask within a minute; see {self.log}")

    def throughput(self, seconds: float) -> Throughput:
        """Frames a second and the processor time that each took, once all interfaces serve."""
        self._wait_until_served()
        before, spent, begin_s = sum(self._segmented()), self.spent_s(), time.monotonic()
        time.sleep(seconds)
        frames = sum(self._segmented()) - before
        took_s = time.monotonic() - begin_s
        after = self.spent_s()
        return Throughput(
            frames / took_s, {role: (after[role] - spent.get(role, 0)) / frames for role in after}
        )

    def latency_ms(self, seconds: float) -> tuple[float, float]:
        """Median and 99th percentile of `ages_ms`."""
        ages = self.ages_ms(seconds)
        return float(np.percentile(ages, 50)), float(np.percentile(ages, 99))

    def ages_ms(self, seconds: float) -> list[int]:
        """Age of each frame when its tags first show.

        Modbus tells the age of the frame behind the values in whole milliseconds; each time it
        falls there is a new one. It is asked every five milliseconds, which are part of what is
        found, once all interfaces serve: more often, and asking takes a third of a core.
        """
        self._wait_until_served()
        at, ages, last = tag("Frame/AgeMs").scaled_register, [], 0
        if at is None:
            raise DeviceError("Frame/AgeMs has no register")
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            age = self._words(1, at, 1)[0]
            if age < last:
                ages.append(age)
            last = age
            time.sleep(0.005)
        return ages

    def spread(self, seconds: float) -> float:
        """Largest less smallest number of frames segmented of a camera, as a share of the mean."""
        before = np.array(self._segmented())
        time.sleep(seconds)
        done = np.array(self._segmented()) - before
        return float((done.max() - done.min()) / done.mean())

    def spent_s(self) -> dict[str, float]:
        """Processor time that each part has taken since its start."""
        spent: dict[str, float] = {}
        for pid, role in self.family().items():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds = (int(fields[11]) + int(fields[12])) * _TICK_S
            spent[role] = spent.get(role, 0.0) + seconds
        return spent

    def rss_mb(self) -> float:
        """Resident memory of the frames process in MB."""
        pid = next(pid for pid, role in self.family().items() if role == "frames")
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB

    def _wait_until_served(self) -> None:
        """OPC UA comes last: its tree takes seconds of processor time to make."""
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.opcua)):
                break
            if time.monotonic() - self._begin_s > PATIENCE_S:
                raise DeviceError(f"no OPC UA within a minute; see {self.config}")
            time.sleep(0.1)
        time.sleep(WARM_UP_S)

    def _quality(self, unit: int) -> int:
        return self._words(unit, tag("Health/Quality").register or 0, 1)[0]

    def _segmented(self) -> list[int]:
        counts = []
        for unit in range(1, self._cameras + 1):
            captured, dropped = (
                int.from_bytes(b"".join(w.to_bytes(2, "big") for w in words), "big")
                for words in (
                    self._words(unit, tag(name).register or 0, 4)
                    for name in ("Frame/Seq", "Frame/Dropped")
                )
            )
            counts.append(captured - dropped)
        return counts

    def _words(self, unit: int, first: int, count: int) -> list[int]:
        if not self._client.connected and not self._client.connect():
            raise ConnectionError("no Modbus server yet")
        answer = self._client.read_input_registers(first, count=count, device_id=unit)
        if answer.isError():
            raise ConnectionError(f"Modbus answered {answer}")
        return list(answer.registers)

    def family(self) -> dict[int, str]:
        """Process id -> part of the daemon."""
        found, waiting = {self._process.pid: "supervisor"}, [self._process.pid]
        while waiting:
            parent = waiting.pop()
            for child in Path(f"/proc/{parent}/task").glob("*/children"):
                for pid in map(int, child.read_text().split()):
                    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                    found[pid] = next(
                        (each for each in _ROLES if each.encode() in words),
                        "decoders",
                    )
                    waiting.append(pid)
        return found
