"""What disks do: fill up, turn read-only, hang, lose a page, lose the end of a log."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from contract.tags import HealthCode
from edge_runtime.database import FILE

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["rows"]

_PAGE = 4096
_SMALL_MB = 24  # the smallest that ext4 likes
_START_S = 15.0  # of the plant process, on a busy machine
_LOOK_S = 30.0  # between two looks of the device at its disk, which cost a write each


@functools.cache
def why_no_disk() -> str:
    """Why no disk can be made here, or "": root in a container may make none, so one is tried."""
    missing = [each for each in ("mkfs.ext4", "mount", "fsfreeze") if not shutil.which(each)]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install e2fsprogs mount util-linux"
    with tempfile.TemporaryDirectory(prefix="gasedge-disk-") as folder:
        try:
            _do("umount", _mounted(Path(folder)))
        except WrongError as error:
            return f"no disk of its own can be made here: {error}"
    return ""


def _disk(rig: Rig) -> Path:
    """A small disk of its own for the state."""
    place = _mounted(rig.folder)
    rig.stack.callback(_do, "umount", "-l", place)
    return place / "state"


def _mounted(folder: Path) -> Path:
    """An empty disk on a loop device.

    Raises:
        WrongError: when that may not be.
    """
    image, place = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(_SMALL_MB << 20)
    place.mkdir()
    _do("mkfs.ext4", "-q", "-m", "0", image)
    _do("mount", "-o", "loop", image, place)
    return place


def _do(*words: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongError(f"{' '.join(map(str, words))}: {' '.join(done.stderr.split())}")
    return done.stdout.strip()


_SMALL = Setting("disk", state=_disk, tables="[device]\ndisk_free_mb = 4\n")
_ANY = Setting("file")


def rows() -> Iterator[Fault]:
    """One for each thing that a disk may do."""
    yield Fault(
        "disk",
        "full",
        f"another file takes every byte that becomes free; looked at each {_LOOK_S:.0f} s",
        _SMALL,
        _full,
        Shown.TOLD,
        HealthCode.DEVICE,
        hold_s=_LOOK_S + 6,
        told_in_s=_LOOK_S + 2,
        needs=why_no_disk,
    )
    yield Fault(
        "disk",
        "hangs",
        "the file system is frozen: what is written waits in the kernel",
        _SMALL,
        _hangs,
        Shown.HONEST,  # who writes cannot say it: a client gets no answer, and no heartbeat
        other=Shown.HONEST,
        hold_s=_LOOK_S,
        recover_s=60.0,
        needs=why_no_disk,
    )
    yield Fault(
        "disk",
        "read-only",
        "it is remounted while the plant process is killed and starts anew",
        _SMALL,
        _read_only,
        Shown.HONEST,
        seen=HealthCode.NOT_KEPT,
        other=Shown.HONEST,
        hold_s=_START_S + 8,
        told_in_s=_START_S,
        recover_s=90.0,
        needs=why_no_disk,
    )
    yield Fault(
        "disk",
        "corrupt page",
        "a page of the journal is overwritten, the plant process killed",
        _ANY,
        _corrupt,
        Shown.HONEST,
        other=Shown.HONEST,
        breaks=True,
        hold_s=4.0,
    )
    yield Fault(
        "disk",
        "truncated log",
        "the database's log loses its second half, the plant process is killed",
        _ANY,
        _truncate,
        Shown.HONEST,
        other=Shown.HONEST,
        hold_s=4.0,
    )


@contextlib.contextmanager
def _full(rig: Rig) -> Iterator[float]:
    filler = rig.state.parent / "filler"
    end = threading.Event()

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while not end.wait(0.02):
                with contextlib.suppress(OSError):
                    for size in (1 << 20, 1 << 16, 1 << 12, 1 << 9):
                        while True:
                            try:
                                file.write(bytes(size))
                            except OSError:
                                break

    thread = threading.Thread(target=fill, name="faults-fill")
    thread.start()
    try:
        while shutil.disk_usage(rig.state).free > _PAGE:
            time.sleep(0.02)
        yield time.monotonic()
    finally:
        end.set()
        thread.join()
        filler.unlink()


@contextlib.contextmanager
def _hangs(rig: Rig) -> Iterator[float]:
    place = rig.state.parent
    _do("fsfreeze", "-f", place)
    try:
        yield time.monotonic()
    finally:
        _do("fsfreeze", "-u", place)


@contextlib.contextmanager
def _read_only(rig: Rig) -> Iterator[float]:
    """As a disk with errors is after the next start; while a file is open, no kernel does it."""
    place = rig.state.parent
    os.kill(rig.process("plant"), signal.SIGKILL)
    begin_s = time.monotonic()
    while True:
        try:
            _do("mount", "-o", "remount,ro", place)
            break
        except WrongError:
            if time.monotonic() - begin_s > 1:
                raise
    try:
        yield begin_s
    finally:
        _do("mount", "-o", "remount,rw", place)


@contextlib.contextmanager
def _corrupt(rig: Rig) -> Iterator[float]:
    file = rig.state / FILE
    begin_s = time.monotonic()
    os.kill(rig.process("plant"), signal.SIGKILL)
    _bring_the_log_in(file)
    content = file.read_bytes()
    place = content.rindex(b'"category":"alarm"') // _PAGE * _PAGE
    with file.open("r+b") as opened:
        opened.seek(place)
        opened.write(os.urandom(_PAGE))
    yield begin_s


def _bring_the_log_in(file: Path) -> None:
    """So that the page is overwritten where it stays."""
    with contextlib.closing(sqlite3.connect(file, timeout=0)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextlib.contextmanager
def _truncate(rig: Rig) -> Iterator[float]:
    log = rig.state / f"{FILE}-wal"
    begin_s = time.monotonic()
    os.kill(rig.process("plant"), signal.SIGKILL)
    if log.exists():
        os.truncate(log, log.stat().st_size // 2)
    yield begin_s
