"""The children of `gasedge run`: frames, plant, OPC UA and the recorder, a process each.

Each says with a byte a second on its standard output that it starts or serves; one whose loops do
not come round says nothing and is killed by the supervisor, whatever holds it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import logging
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import GasedgeError
from contract.packages import need
from edge_runtime.beat import HUNG, Beat
from edge_runtime.config import kept_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edge_runtime.config import DaemonConfig

__all__ = ["SOCKET", "main"]

_log = logging.getLogger(__name__)

SOCKET = "plant.sock"
_ALIVE_S = 1.0
# at the start, too, when each has its packages to load: the first mask waits for nobody's
_NICE = {
    "frames": 0,
    "plant": 5,  # a third of the frames process' share of a busy core, whatever clients ask
    "opcua": 10,  # what a flood of clients asks comes after alarms and the other interfaces
    "recorder": 10,
}


def main(arguments: list[str]) -> int:
    """Run one child.

    Exit codes: 0 done, 1 failed, 2 configuration, 4 the backend needs a new process.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=_NICE)
    parser.add_argument("config", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--log", type=int, default=logging.INFO)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--until-end", action="store_true")
    given = parser.parse_args(arguments)
    os.nice(_NICE[given.role])
    logging.basicConfig(
        level=given.log,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s {given.role} %(name)s: %(message)s",
    )
    try:
        if given.role == "frames":
            _import_for_frames()
        sys.stdin.read()  # it ends once the supervisor has written the configuration
        config = kept_settings(given.config)
        if given.role == "plant":
            return _plant(config, given.folder / SOCKET)
        if given.role == "opcua":
            return _opcua(config, given.folder)
        if given.role == "recorder":
            return _recorder(config, given.folder)
        return _frames(config, given.folder, given.video, until_end=given.until_end)
    except GasedgeError as error:
        _log.critical("%s", error)
        return error.exit_code
    except Exception:  # noqa: BLE001 - the log is the only one who can still tell
        _log.critical("unexpected failure", exc_info=True)
        return 1


def _import_for_frames() -> None:
    """Have what `_frames` imports there before its configuration is."""
    # its threads would wait behind the network's for tasks of a few microseconds
    need("cv2", extra="cpu").setNumThreads(1)
    for module in ("model", "pipeline", "slots.opener", "slots.door"):
        importlib.import_module(f"edge_runtime.{module}")


def _frames(config: DaemonConfig, folder: Path, video: Path | None, *, until_end: bool) -> int:
    from edge_runtime.drill_door import DrillDoor, door_path
    from edge_runtime.model import ModelOpener
    from edge_runtime.model_trust import keep_counter, trust_of
    from edge_runtime.overlay_video import OverlayVideo
    from edge_runtime.pipeline import Pipeline
    from edge_runtime.plant.link import PlantLink
    from edge_runtime.slots.door import SlotDoor
    from edge_runtime.slots.opener import SlotOpener
    from edge_runtime.slots.store import SlotStore, is_slots_folder

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with contextlib.ExitStack() as cleanup:
        link = cleanup.enter_context(PlantLink(folder / SOCKET))
        written = cleanup.enter_context(OverlayVideo(video)) if video is not None else None
        state_dir = config.plant.state_dir
        trust = partial(trust_of, config, keep=True)
        keep = partial(keep_counter, state_dir)
        slots = SlotStore(config.model.bundle) if is_slots_folder(config.model.bundle) else None
        if slots is not None:
            slots.seal_here()
        opener: ModelOpener | SlotOpener = (
            SlotOpener(slots, config.update, trust) if slots else ModelOpener(trust, keep)
        )
        cleanup.enter_context(opener)
        raw = None
        if config.plant.evidence is not None:  # its own link: encoding holds up no value
            raw = cleanup.enter_context(PlantLink(folder / SOCKET))
        pipeline = Pipeline(
            config, link, open_model=opener, video=written, folder=folder, raw_link=raw
        )
        if config.plant.state_dir is not None:
            cleanup.enter_context(DrillDoor(door_path(config.plant.state_dir), pipeline))
        if slots is not None and isinstance(opener, SlotOpener):
            opened = partial(opener.opened, config.model)
            cleanup.enter_context(SlotDoor(slots, pipeline, opened, config.update, keep))
        cleanup.enter_context(_says_how_it_does(pipeline.word))
        code = pipeline.run(stop, until_end=until_end)
        if isinstance(opener, SlotOpener):
            if pipeline.failure:
                opener.failed(pipeline.failure, pipeline.standing.manifest_sha256)
            elif code == 0:
                opener.ended()
        return code


def _plant(config: DaemonConfig, socket: Path) -> int:
    from edge_runtime.alarms.watched import watched_cameras
    from edge_runtime.plant.gateway import run_gateway
    from edge_runtime.slots.store import is_slots_folder

    model = config.model.bundle
    beat = Beat(time.monotonic())
    with _says_how_it_does(beat.word):
        run_gateway(
            config.plant,
            [camera.name for camera in config.camera],
            socket,
            watched=watched_cameras(config),
            config_sha256=config.sha256,
            device=config.device,
            beat=lambda: beat.mark(time.monotonic()),
            slots=model if is_slots_folder(model) else None,
        )
    return 0


def _opcua(config: DaemonConfig, folder: Path) -> int:
    from edge_runtime.alarms.watched import watched_cameras
    from edge_runtime.plant.relay import RELAY

    need("asyncua", extra="scada")
    process = need("edge_runtime.plant.opcua_process", extra="scada")
    beat = Beat(time.monotonic())
    with _says_how_it_does(beat.word):
        process.run_opcua(
            config.plant,
            [camera.name for camera in config.camera],
            folder / RELAY,
            longest_s={each.name: each.config.shelve_max_s for each in watched_cameras(config)},
            beat=lambda: beat.mark(time.monotonic()),
        )
    return 0


def _recorder(config: DaemonConfig, folder: Path) -> int:
    from edge_runtime.evidence.recorder import run_recorder
    from edge_runtime.plant.relay import RELAY

    need("cv2", extra="cpu").setNumThreads(1)
    beat = Beat(time.monotonic())
    with _says_how_it_does(beat.word):
        run_recorder(
            config.plant,
            [camera.name for camera in config.camera],
            folder / RELAY,
            config_sha256=config.sha256,
            beat=lambda: beat.mark(time.monotonic()),
        )
    return 0


@contextlib.contextmanager
def _says_how_it_does(word: Callable[[float], bytes]) -> Iterator[None]:
    """Write what `word` says of a monotonic time to standard output, once a second."""
    done = threading.Event()

    def say() -> None:
        hung = False
        with contextlib.suppress(OSError):
            while not done.wait(_ALIVE_S):
                said = word(time.monotonic())
                if said == HUNG and not hung:
                    _log.error("this process makes no progress: a disk, a library or the GPU hangs")
                hung = said == HUNG
                os.write(sys.stdout.fileno(), said)

    thread = threading.Thread(target=say, name="gasedge-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
