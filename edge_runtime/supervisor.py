"""The parent of `gasedge run`: keeps the frames process, the plant process and others alive.

It does nothing else, so there is little in it that could fail. When the frames process is gone the
plant process says *unknown* by itself; when the plant process is gone the frames go on. A child
that hangs or takes too much memory is ended and started again; systemd, where it started us, is
told how all of them stand. The service stands and falls with frames and plant: one of the others
that never comes is tried again and again, and the plant process, which is told, asks for
maintenance.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import select
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.atomic import write_text
from contract.errors import ConfigError, GasedgeError
from edge_runtime.beat import SERVING
from edge_runtime.child_process import SETTINGS, end_group, python_command
from edge_runtime.device.feeding import Feeding, Progress
from edge_runtime.device.health import PREFIX, mark_progress
from edge_runtime.device.memory import allowed_bytes, resident_bytes
from edge_runtime.device.sd_notify import Notifier
from edge_runtime.restart import RestartPolicy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from edge_runtime.config import DaemonConfig

__all__ = ["INTERRUPTED", "supervise"]

_log = logging.getLogger(__name__)

INTERRUPTED = 130
_VITAL = ("plant", "frames")
_SILENT_S = 15.0  # a child says that it lives every second
_FIRST_WORD_S = 120.0  # importing and loading on a small board takes its time
_PATIENCE_S = 5.0  # to finish a video or close its servers
_TICK_MS = 100
_FED_S = 20.0  # where no watchdog of systemd says how often
_WEIGH_S = 1.0  # between two looks at a child's memory


class _Child:
    """One child process and its restarts.

    Args:
        role: what it is called.
        command: that starts it.
        memory: bytes that it may hold; None takes no notice.
    """

    def __init__(self, role: str, command: list[str], memory: int | None = None) -> None:
        self.role = role
        self.memory = memory
        self.policy = RestartPolicy()
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.has_served = False  # ever
        self._command = command
        self._serves = self._spoke = False  # since its start; since it was last asked
        self._started_s = self._heard_s = self._weighed_s = self._next_s = 0.0
        self._served_s = time.monotonic()  # when it last did; it is not missed from the beginning

    def start(self, *, waits: bool = False) -> None:
        """Start it; with `waits` it imports its packages, and begins when `begin` says so."""
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                self._command,
                stdin=subprocess.PIPE if waits else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the parent, who ends its children in order
            )
        except OSError as error:  # no memory, no descriptor, no room for a process: for now
            self._plan(0.0)
            _log.error(
                "the %s process cannot be started (%s); next try in %.1f s",
                self.role,
                error,
                self.wait_s,
            )
            return
        self.starts += 1
        self._serves = self._spoke = False
        self._started_s = time.monotonic()
        self._heard_s = self._started_s + _FIRST_WORD_S - _SILENT_S

    def begin(self) -> None:
        """Let it read its configuration, which is there now."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()

    def listen(self) -> None:
        """Take in what the child said; kill it when it is silent for too long, or too large."""
        if self.process is None or self.process.stdout is None or self.process.stdout.closed:
            return  # closed: it was killed, but the kernel has not let go of it yet
        pipe = self.process.stdout.fileno()
        now_s = time.monotonic()
        if select.select([pipe], [], [], 0)[0] and (said := os.read(pipe, 4096)):
            self._heard_s = now_s
            if SERVING in said:
                self._served_s = now_s
                self._serves = self._spoke = self.has_served = True
        if now_s - self._heard_s > _SILENT_S:
            _log.error("the %s process hangs and is killed", self.role)
            end_group(self.process)
        elif self.memory is not None and now_s - self._weighed_s >= _WEIGH_S:
            self._weighed_s = now_s
            held = resident_bytes(self.process.pid) or 0
            if held > self.memory:
                _log.error(
                    "the %s process holds %d MiB of memory, %d are allowed, and is ended: see "
                    "[device] memory_mb",
                    self.role,
                    held >> 20,
                    self.memory >> 20,
                )
                end_group(self.process)

    def ended(self) -> int | None:
        """The exit code of a child that just ended; its restart is planned."""
        if self.process is None or self.process.poll() is None:
            return None
        code = int(self.process.returncode)
        end_group(self.process)  # what it started goes with it
        self.process = None
        self._serves = self._spoke = False
        self._plan(time.monotonic() - self._started_s)
        return code

    def _plan(self, ran_s: float) -> None:
        now_s = time.monotonic()
        self._next_s = now_s + self.policy.ended(now_s, ran_s, random.random())

    def restart_if_due(self) -> None:
        if self.process is None and time.monotonic() >= self._next_s:
            self.start()

    @property
    def progress(self) -> Progress:
        """What it did since `forget_progress`."""
        if self._spoke:
            return Progress.MADE
        # one that serves and falls silent hangs; one that is silent from the start may still come
        return Progress.NONE if self._serves else Progress.IN_REPAIR

    def forget_progress(self) -> None:
        self._spoke = False

    @property
    def standing(self) -> str:
        """How it stands, for who reads the service's status; "" when it serves."""
        if self.process is None:
            return f"{self.role} is down, next start in {self.wait_s:.0f} s"
        return "" if self._serves else f"{self.role} starts"

    def is_missed(self, now_s: float) -> bool:
        """Whether it has not served for longer than a start takes."""
        return now_s - self._served_s > _FIRST_WORD_S

    @property
    def wait_s(self) -> float:
        """Seconds until the restart."""
        return max(0.0, self._next_s - time.monotonic())

    def close(self) -> None:
        if self.process is not None:
            end_group(self.process, patience_s=_PATIENCE_S)
            self.process = None


def supervise(
    config: Path,
    *,
    check: Callable[[DaemonConfig], None] = lambda _: None,
    duration_s: float | None = None,
    until_end: bool = False,
    video: Path | None = None,
    log_level: int = logging.INFO,
) -> int:
    """Run the daemon until SIGTERM, SIGINT, `duration_s` or, with `until_end`, its sources' end.

    Args:
        config: the daemon's configuration.
        check: is shown what it says, and raises where that cannot run.
        duration_s: stop after so long.
        until_end: stop when every source came to its end.
        video: where the first camera's overlay is kept.
        log_level: of the children.

    Returns:
        0 done, 1 a source or the model failed with `until_end`, 130 interrupted.

    Raises:
        ConfigError: when frames or plant cannot work with the configuration, or `check` says so.
        GasedgeError: when there is no room for its own folder.
    """
    deadline_s = None if duration_s is None else time.monotonic() + duration_s
    with contextlib.ExitStack() as cleanup:
        stopped = cleanup.enter_context(_stop_signals())
        manager = cleanup.enter_context(Notifier())
        folder = cleanup.enter_context(_own_folder())
        kept = folder / SETTINGS  # a file that somebody writes just then keeps no child from coming
        common = [str(kept), "--folder", str(folder), "--log", str(log_level)]
        of_frames = ["--video", str(video)] if video is not None else []
        of_frames += ["--until-end"] if until_end else []

        def made(role: str, *more: str) -> _Child:
            child = _Child(role, python_command("edge_runtime.daemon", role, *common, *more))
            cleanup.callback(child.close)
            return child

        plant, frames = made("plant"), made("frames", *of_frames)
        frames.start(waits=True)  # its packages take longest, and need no configuration
        from edge_runtime.config import load_daemon_config  # a third of a second

        settings = load_daemon_config(config)
        check(settings)
        write_text(kept, settings.model_dump_json())
        frames.begin()
        children = [plant, frames, *(made(role) for role in _beside(settings))]
        for child in children:
            child.memory = allowed_bytes(settings.device.memory_mb)
            if child.process is None:
                child.start()
        cleanup.callback(manager.say, "STOPPING=1")
        report = _Report(manager, folder)
        while stopped() is None:
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return 0
            for child in children:
                child.listen()
                code = child.ended()
                if code is not None:
                    done = _judge(child, code, until_end=until_end)
                    if done is not None:
                        return done
                child.restart_if_due()
            report.tell(children, time.monotonic())
            select.select([], [], [], _TICK_MS / 1000)
        return INTERRUPTED if stopped() == signal.SIGINT else 0


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder of this daemon alone, for as long as it runs.

    It has mode 0700: nobody else may speak to the plant process. systemd-tmpfiles, which tidies up
    what is older than ten days, leaves alone what is locked (tmpfiles.d(5)).
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=PREFIX)
    except OSError as error:
        raise GasedgeError(
            f"{tempfile.gettempdir()}: cannot hold the daemon's sockets ({error.strerror}); make "
            "room there, or name another folder in TMPDIR"
        ) from error
    with made as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield Path(name)
        finally:
            os.close(lock)


class _Report:
    """Tells systemd, and who asks by `gasedge health`, how the children stand."""

    def __init__(self, manager: Notifier, folder: Path) -> None:
        self._manager, self._folder = manager, folder
        self._ready = False
        self._feeding = Feeding(manager.watchdog_s or _FED_S, time.monotonic())

    def tell(self, children: Sequence[_Child], now_s: float) -> None:
        standing = "; ".join(each.standing for each in children if each.standing)
        self._manager.status(standing or "every process serves")
        vital = [each for each in children if each.role in _VITAL]
        if not self._ready and all(each.has_served for each in vital):
            self._ready = True
            self._manager.say("READY=1")
        if self._feeding.is_due(now_s, [each.progress for each in vital]):
            if self._manager.watchdog_s is not None:
                self._manager.say("WATCHDOG=1")
            missed = [e.role for e in children if e.role not in _VITAL and e.is_missed(now_s)]
            mark_progress(self._folder, now_s, standing, missed)
            for child in children:
                child.forget_progress()


def _beside(config: DaemonConfig) -> list[str]:
    """The processes that this configuration asks for beside frames and plant."""
    tables = {"opcua": config.plant.opcua, "recorder": config.plant.evidence}
    return [role for role, table in tables.items() if table is not None]


def _judge(child: _Child, code: int, *, until_end: bool) -> int | None:
    """What the end of a child means for the whole; None goes on with a restart."""
    if code == ConfigError.exit_code and child.starts == 1 and child.role in _VITAL:
        raise ConfigError(
            f"the {child.role} process cannot work with this configuration: see above"
        )
    if child.role == "frames" and until_end and code in (0, 1):
        return code
    spent = "; its budget of restarts is spent" if child.policy.is_spent else ""
    _log.error(
        "the %s process ended with code %d%s; next start in %.1f s",
        child.role,
        code,
        spent,
        child.wait_s,
    )
    return None


@contextlib.contextmanager
def _stop_signals() -> Iterator[Callable[[], int | None]]:
    """Remember SIGTERM and SIGINT instead of dying of them; yield what asks for the first."""
    seen: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        seen.append(number)

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(number, remember) for number in numbers]
    try:
        yield lambda: seen[0] if seen else None
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
