"""The recorder process: hears the gateway's relay, keeps the last seconds, writes what leaks show.

It stands behind everything else: when it is slow, hung or dead no value, alarm or frame waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import shutil
import signal
import tempfile
import time
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from contract.alarms import Alarm, Outcome
from contract.atomic import PARTIAL
from contract.audit import Category, Entry
from contract.errors import ConfigError, GasedgeError
from contract.tags import TagType, tag
from edge_runtime.alarms.clock import machine_now
from edge_runtime.evidence.device_key import device_key
from edge_runtime.evidence.event_folder import (
    MANIFEST,
    Device,
    Written,
    event_name,
    read_written,
    write_event,
)
from edge_runtime.evidence.preroll import Moment
from edge_runtime.evidence.recording import Recordings
from edge_runtime.evidence.retention import make_room
from edge_runtime.heap import give_back_large_pieces
from edge_runtime.plant.evidence_told import Evidence
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.messages import Picture, Sent
from edge_runtime.plant.receiver import Board
from edge_runtime.plant.relay import RelayClient

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edge_runtime.evidence.recording import Recording
    from edge_runtime.evidence.retention import Room
    from edge_runtime.plant.config import EvidenceConfig, PlantConfig

__all__ = ["run_recorder"]

_log = logging.getLogger(__name__)

_TICK_S = 0.25
_ROOM_S = 600.0  # between two looks at the limits while nothing happens
_VALUES_S = 0.2  # of a camera's values and masks at most so often
_UNTOLD = ".untold-"  # and the folder's name: what the gateway has not written down yet
_MASK = "Mask/Data"
_REASON = "evidence"
_TROUBLES = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


def run_recorder(
    config: PlantConfig,
    cameras: Sequence[str],
    relay: Path,
    *,
    config_sha256: str,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Record until SIGTERM or SIGINT; the process' main thread runs it.

    Args:
        config: of the plant; its evidence table and state_dir must be there.
        cameras: their names.
        relay: the gateway's relay socket.
        config_sha256: of the whole configuration, for the manifests.
        beat: called whenever the process still works.

    Raises:
        ConfigError: when folder or key cannot be used.
    """
    evidence, state_dir = config.evidence, config.state_dir
    if evidence is None or state_dir is None:
        raise ConfigError("[plant.evidence] and [plant] state_dir are needed to record")
    os.umask(0o077)
    give_back_large_pieces()
    device = Device(config.serial, config_sha256, device_key(state_dir))
    try:
        evidence.folder.mkdir(parents=True, exist_ok=True)
        for left in evidence.folder.glob(f"{PARTIAL}*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        _new_spool(evidence.folder).close()
    except OSError as error:
        if error.errno in _TROUBLES:  # told at each event, and no reason not to start
            _log.error("[plant.evidence] folder %s: %s", evidence.folder, error)
        else:
            raise ConfigError(
                f"[plant.evidence] folder {evidence.folder}: cannot be written ({error})"
            ) from error
    known = _known_events(evidence.folder)
    board = Board(cameras, Limits(config.stale_after_s, config.bad_after_s))
    asyncio.run(_Recorder(evidence, board, device, known, relay, beat).run())


class _Recorder:
    """All that one process does, on one loop; clips are written in a thread."""

    def __init__(
        self,
        config: EvidenceConfig,
        board: Board,
        device: Device,
        known: set[str],
        relay: Path,
        beat: Callable[[], None],
    ) -> None:
        self._config = config
        self._device = device
        self._beat = beat
        self._recordings = Recordings(
            board.cameras,
            pre_s=config.pre_s,
            post_s=config.post_s,
            memory_bytes=config.memory_mb << 20,
            new_spool=lambda: _new_spool(config.folder),
            known=known,
        )
        self._client = RelayClient(relay, board, pictures=True, heard=self._heard)
        self._last_s: dict[str, float] = {}  # when a camera's values were last kept
        self._untold = _untold(config.folder)
        self._missed: set[str] = set()  # events of which it is noted that they were not kept
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Until a signal says stop; recordings under way are written before."""
        stop = self._stop
        loop = self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        hearing = asyncio.create_task(self._client.run(), name="gasedge-recorder-relay")
        telling = asyncio.create_task(self._tell(), name="gasedge-recorder-tells")
        writing: asyncio.Task[None] | None = None
        waiting: list[Recording] = []
        looked_s = float("-inf")
        _log.info("evidence is kept in %s", self._config.folder)
        while not stop.is_set():
            self._beat()
            waiting += self._recordings.finished(time.monotonic())
            if hearing.done():
                hearing.result()  # it never ends by itself: fail loudly and be started anew
            if writing is not None and writing.done():
                writing.result()
                writing = None
            if self._untold and telling.done():
                telling.result()
                telling = asyncio.create_task(self._tell(), name="gasedge-recorder-tells")
            if writing is None and (waiting or time.monotonic() - looked_s >= _ROOM_S):
                looked_s = time.monotonic()
                # one at a time: clips take memory and a core
                writing = asyncio.create_task(self._write(waiting[:1]), name="gasedge-evidence")
                del waiting[:1]
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK_S)
        if writing is not None:
            await writing
        await self._write([*waiting, *self._recordings.all_running()])
        for task in (telling, hearing):
            task.cancel()
        await asyncio.gather(telling, hearing, return_exceptions=True)

    def _heard(self, message: Sent | Picture | Alarm) -> None:
        now_s = time.monotonic()
        try:
            if isinstance(message, Alarm):
                self._recordings.heard(message, now_s)
            elif isinstance(message, Picture):
                moment = Moment(now_s, message.captured_ns, message.view, message.jpeg)
                self._recordings.saw(message.camera, moment)
            elif now_s - self._last_s.get(message.snapshot.camera, 0.0) >= _VALUES_S:
                self._last_s[message.snapshot.camera] = now_s
                self._recordings.saw(message.snapshot.camera, _moment(message, now_s))
        except OSError as error:
            self._troubled(f"a recording was given up: the disk refuses it ({error})")
            camera = message.snapshot.camera if isinstance(message, Sent) else message.camera
            if (given_up := self._recordings.give_up(camera)) is not None:
                given_up.close()
                self._not_kept(given_up)

    async def _write(self, recordings: Sequence[Recording]) -> None:
        failed = False
        for recording in recordings:
            try:
                self._untold.append(await asyncio.to_thread(self._write_one, recording))
            except (GasedgeError, OSError) as error:
                failed = True
                self._troubled(f"{recording.camera}: evidence of a leak was not kept: {error}")
                self._not_kept(recording)
            finally:
                recording.close()
        try:
            room = await asyncio.to_thread(self._make_room)
        except OSError as error:
            self._troubled(f"{self._config.folder}: cannot be looked at ({error})")
            return
        if room.is_short:
            self._troubled(
                f"the disk of {self._config.folder} has less than {self._config.free_mb} MB free: "
                f"events are kept without clips"
            )
        elif recordings and not failed:
            self._client.maintain(_REASON, None)

    def _not_kept(self, recording: Recording) -> None:
        for event_id in recording.event_ids:
            if event_id in self._missed:  # a leak that stands is tried again and again
                continue
            self._missed.add(event_id)
            self._client.note(Entry(Category.SYSTEM, f"evidence {event_id}", result="not kept"))

    def _write_one(self, recording: Recording) -> Written:
        root = self._config.folder
        marker = root / f"{_UNTOLD}{event_name(recording)}"
        marker.touch()  # before there is anything to tell: a kill in between loses nothing
        room = self._make_room()
        try:
            why = "the disk had too little room" if room.is_short else ""
            why = "the process ended" if self._stop.is_set() else why
            try:
                stopping = self._stop.is_set
                return write_event(
                    root, recording, self._device, no_clips=why, is_stopping=stopping
                )
            except GasedgeError as error:
                _log.warning("%s; once more without clips", error)
                return write_event(root, recording, self._device, no_clips=str(error))
        except BaseException:
            marker.unlink()
            raise

    def _make_room(self) -> Room:
        """Remove what the limits do not allow; in a thread."""
        now = machine_now()
        # a clock that nobody keeps must not make all evidence too old
        room = make_room(self._config, now.utc_ns / 1e9 if now.clock_ok else None)
        for name in room.removed:
            removed = Entry(Category.SYSTEM, f"evidence {name}", new="removed for room")
            self._loop.call_soon_threadsafe(self._client.note, removed)
        return room

    async def _tell(self) -> None:
        """Tell the gateway what was kept, until it has written it down."""
        while self._untold:
            written = self._untold[0]
            for event_id in written.event_ids:
                evidence = Evidence(written.camera, event_id, written.sha256, written.folder)
                if await self._client.tell(evidence) is not Outcome.DONE:
                    return
            _log.info("evidence %s, manifest %s", written.folder, written.sha256)
            self._untold.pop(0)
            _forget(self._config.folder / f"{_UNTOLD}{written.folder}")

    def _troubled(self, text: str) -> None:
        _log.error("%s", text)
        self._client.maintain(_REASON, text)


def _moment(message: Sent, now_s: float) -> Moment:
    snapshot = message.snapshot
    values: dict[str, Any] = {
        name: value
        for name, value in snapshot.values.items()
        if tag(name).type is not TagType.BYTES
    }
    values |= {"quality": snapshot.quality.name, "heartbeat": snapshot.heartbeat}
    mask = cast("bytes", snapshot.values.get(_MASK) or b"")
    return Moment(now_s, snapshot.source_time_ns, None, mask, values)


def _new_spool(folder: Path) -> BinaryIO:
    """A file that is gone as soon as it is closed, on the disk that will hold the event."""
    return cast("BinaryIO", tempfile.TemporaryFile(dir=folder, buffering=0))


def _untold(folder: Path) -> list[Written]:
    """What a process before this one kept and could not tell any more."""
    found = []
    for marker in sorted(folder.glob(f"{_UNTOLD}*")):
        name = marker.name[len(_UNTOLD) :]
        try:
            found.append(read_written(folder / name))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            _forget(marker)
        except OSError as error:  # the next start tries again
            _log.error("%s: cannot be read (%s)", folder / name, error)
    return found


def _forget(marker: Path) -> None:
    """Take a marker away; where the disk refuses, its event is told once more later."""
    try:
        marker.unlink(missing_ok=True)
    except OSError as error:
        _log.error("%s: cannot be removed (%s)", marker, error)


def _known_events(folder: Path) -> set[str]:
    """Ids of the events that have evidence already."""
    known: set[str] = set()
    for path in folder.glob(f"[!.]*/{MANIFEST}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known.update(map(str, json.loads(path.read_bytes())["event_ids"]))
    return known
