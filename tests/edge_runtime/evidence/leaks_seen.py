"""Alarms, pictures and values as the recorder hears them, on a clock of the test's own."""

from __future__ import annotations

import io

import cv2
import numpy as np

from contract.alarms import Alarm, AlarmKind, AlarmState
from contract.mask_encoding import encode_mask
from edge_runtime.evidence.preroll import Moment
from edge_runtime.evidence.recording import Recordings
from edge_runtime.plant.messages import OVERLAY, RAW

START_NS = 1_790_000_000_000_000_000


def leak(event="e1", camera="north", *, active=True, **given):
    return Alarm(
        **{
            "id": f"{camera}.leak",
            "camera": camera,
            "kind": AlarmKind.LEAK,
            "zone": None,
            "state": AlarmState.UNACK if active else AlarmState.RTN_UNACK,
            "active": active,
            "acked": False,
            "confirmed": False,
            "severity": 800,
            "message": "Gas leak",
            "event_id": event,
            "onset_ns": START_NS,
            "changed_ns": START_NS,
        }
        | given
    )


def jpeg(number, size=(48, 64)):
    picture = np.full((*size, 3), 60, np.uint8)
    cv2.putText(picture, str(number), (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 1, (255, 255, 255), 2)
    return cv2.imencode(".jpg", picture)[1].tobytes()


def mask(number):
    gas = np.zeros((48, 64), bool)
    gas[: number % 48] = True
    return encode_mask(
        gas,
        frame_seq=number,
        captured_ns=START_NS + number,
        monotonic_ns=number,
        score=0.5,
        state=2,
        model_sha256="ab" * 32,
    )


def recordings(**given):
    return Recordings(
        ("north", "south"),
        **{
            "pre_s": 10.0,
            "post_s": 20.0,
            "memory_bytes": 8 << 20,
            "new_spool": io.BytesIO,
            "known": set(),
        }
        | given,
    )


def play(many, begin_s, end_s, *, camera="north", every_s=0.2):
    """Show a picture of both views, values and a mask every so often."""
    for number in range(round(begin_s / every_s), round(end_s / every_s)):
        at_s = number * every_s
        captured_ns = START_NS + round(at_s * 1e9)
        for view in (RAW, OVERLAY):
            many.saw(camera, Moment(at_s, captured_ns, view, jpeg(number)))
        values = {"Leak/State": 2, "Model/Id": "m", "Model/Sha256": "ab" * 32, "quality": "GOOD"}
        many.saw(camera, Moment(at_s, captured_ns, None, mask(number), values))
