"""A daemon with real peers round it: cameras, a broker, a reader of events, a Modbus watcher."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo_line import free_port
from watched_daemon import WatchedDaemon

from contract.closing import Closing
from contract.precision import Precision
from tests.plant.mqtt_brokers import Broker, Listener, that_keeps

from .network import copies
from .pictures import clip
from .records import Records
from .stream import CameraStream
from .watch import StateWatch
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from contract.tags import HealthCode

__all__ = ["ROOT", "Rig", "Setting"]

ROOT = Path(__file__).resolve().parents[2]
START_S = 90.0
_PLAYED = "?fps=5&loop"
# Alarms as quick as they may be, so that many come and go meanwhile. By default values are unknown
# after two seconds without a picture: that is the limit itself, and telling it takes its time, too.
_TABLES = """
[leak]
votes = 2
window = 3
on_delay_s = 0.2
off_delay_s = 0.5
motion_over_rest = 0.0
[alarm]
starting_s = 2.0
chatter_count = 20
chatter_s = 10.0
[alarm.failure]
on_delay_s = 0.5
off_delay_s = 0.5
[health]
lost_after_s = 1.5
[plant]
bad_after_s = 1.5
state_dir = "{state}"
[plant.events]
site = "yard"
brokers = ["{broker}"]
keepalive_s = 2
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a rig is made of."""

    name: str
    camera: bool = False  # the first camera is a stream of ours, not a simulation
    tables: str = ""  # further TOML, with {folder}, {page} and {broker}
    environment: Callable[[Rig], dict[str, str]] | None = None  # of the daemon
    state: Callable[[Rig], Path] | None = None  # makes [plant] state_dir
    own_bundle: bool = False  # a copy that may be changed, with an older one beside it
    slots: bool = False  # the daemon runs what was applied to its slots
    broker: Callable[[Path], Broker] = lambda folder: Broker(folder, that_keeps(folder))


class Rig(Closing):
    """Everything that faults are done to; a context manager.

    Args:
        folder: for all its files.
        bundle: what the daemon runs.
        setting: what is special.
    """

    def __init__(self, folder: Path, bundle: Path, setting: Setting) -> None:
        self.folder, self.setting = folder, setting
        self.stack = contextlib.ExitStack()
        self.bundle = bundle

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.stack.close()
            raise
        return self

    def _begin(self) -> None:
        folder, setting, stack = self.folder, self.setting, self.stack
        folder.mkdir(parents=True)
        self.state = folder / "state" if setting.state is None else setting.state(self)
        keeping = folder / "broker"
        keeping.mkdir()
        self.broker = setting.broker(keeping)
        stack.callback(self.broker.stop)
        self.broker.start()
        self.events = Listener(
            self.broker.port, "gasedge/#", client_id="witness", clean=False, host=self.broker.host
        )
        stack.enter_context(self.events)
        first = f"folder:{clip(folder / 'quiet', gas=False)}{_PLAYED}"
        second = f"folder:{clip(folder / 'leaking', gas=True)}{_PLAYED}"
        if setting.camera:
            self.stream = stack.enter_context(CameraStream(folder))
            first = self.stream.source
        if setting.own_bundle:
            self.bundle = copies(self.bundle, folder)
        self.page = free_port()
        places = {"state": self.state, "page": self.page, "folder": folder}
        tables = _TABLES + setting.tables
        for name, value in (places | {"broker": self.broker.url}).items():
            tables = tables.replace("{" + name + "}", str(value))
        environment = setting.environment(self) if setting.environment else None
        self.daemon = WatchedDaemon(
            folder,
            self.bundle,
            Precision.FP32,
            [first, second],
            threads=1,
            tables=tables,
            sizes=[self.stream.size] if setting.camera else [],
            environment=environment,
        )
        if setting.slots:
            self._apply_first()
        self.watch = StateWatch(self.daemon.modbus, cameras=2)
        stack.enter_context(self.daemon)
        stack.enter_context(self.watch)
        self.settle(START_S)
        self.records = Records(self.state, self.events, self.watch)

    def _apply_first(self) -> None:
        config = self.daemon.config
        text = config.read_text()
        config.write_text(text.replace(f'"{self.bundle}"', f'"{self.folder / "slots"}"'))
        done = self.gasedge("apply", self.bundle, config, "--shadow", 0)
        if done.returncode:
            raise WrongError(f"the first model cannot be applied: {done.stderr.strip()}")

    def close(self) -> None:
        """End all of it."""
        self.stack.close()

    def settle(self, within_s: float) -> float:
        """Seconds until both cameras are watched and everything is served.

        Raises:
            WrongError: when that does not come about by itself.
        """
        begin_s = time.monotonic()
        for unit in (1, 2):
            left_s = within_s - (time.monotonic() - begin_s)
            if self.watch.until(lambda r: r.is_watched, unit, left_s) is None:
                raise WrongError(
                    f"camera {unit} is not watched {within_s:.0f} s later: {self.watch.now(unit)}"
                )
        return time.monotonic() - begin_s

    def processes(self, role: str) -> list[int]:
        """Process ids of a part of the daemon."""
        return [pid for pid, is_ in self.daemon.family().items() if is_ == role]

    def process(self, role: str) -> int:
        """The process id of a part of the daemon, once it is there.

        Raises:
            WrongError: when it does not come.
        """
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                found = self.processes(role)
                if found:
                    return found[0]
            time.sleep(0.05)
        raise WrongError(f"there is no {role} process")

    def said(self, text: str, *, since: int = 0) -> bool:
        """Whether the daemon's log holds a text behind its first `since` bytes."""
        return text.encode() in self.daemon.log.read_bytes()[since:]

    def told(self, bits: HealthCode, within_s: float) -> bool:
        """Whether bits of Health/Code come to stand."""
        return self.watch.until(lambda r: bits in r.code, 1, within_s) is not None

    def gasedge(self, *words: object) -> subprocess.CompletedProcess[str]:
        """Run a command of ours to its end."""
        return subprocess.run(
            [sys.executable, "-m", "gasedge", *map(str, words)],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
