"""The insides of a plant process for targets that need one: two cameras, their alarms, a leak."""

from __future__ import annotations

import contextlib
import time

from contract.alarms import AlarmState
from contract.tags import CameraSnapshot, Quality
from edge_runtime.alarms.desk import Desk, WatchedCamera
from edge_runtime.database import Database
from edge_runtime.plant.freshness import Limits
from edge_runtime.plant.messages import encode_snapshot
from edge_runtime.plant.receiver import Board

CAMERAS = ("north", "south")
_PREFIX = 12  # bytes before a message's header


def snapshot(camera=CAMERAS[0], **values):
    """A camera that sees a leak; `Leak__Score=0.5` sets Leak/Score."""
    named = {name.replace("__", "/"): value for name, value in values.items()}
    seen = {
        "Leak/State": 2,
        "Leak/Score": 0.8125,
        "Leak/BBox": (10, 20, 300, 400),
        "Leak/OnsetTime": 1_700_000_000_123_000_000,
        "Leak/Id": 1,
        "Frame/Seq": 2**40 + 5,
        "Frame/Fps": 12.5,
        "Camera/Connected": True,
        "Model/Id": "unet-test",
        "Mask/Data": bytes(range(200)),
    }
    return CameraSnapshot(
        camera=camera,
        unit_id=1,
        quality=Quality.GOOD,
        heartbeat=7,
        source_time_ns=time.time_ns(),
        values=seen | named,
    )


def new_board():
    """What both cameras said last."""
    board = Board(CAMERAS, Limits(3600.0, 7200.0))
    for camera in CAMERAS:
        wire = encode_snapshot(snapshot(camera), sent_ns=time.monotonic_ns(), age_ns=0)
        size = int.from_bytes(wire[4:8], "big")
        board.take(wire[_PREFIX : _PREFIX + size], wire[_PREFIX + size :])
    return board


@contextlib.contextmanager
def new_desk():
    """Their alarms, kept in memory."""
    with Database(None) as database:
        desk = Desk([WatchedCamera(camera) for camera in CAMERAS], database)
        assert any(alarm.state in AlarmState for alarm in desk.alarms())
        yield desk
