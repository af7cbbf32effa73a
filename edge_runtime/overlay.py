"""The picture that a person sees: the camera's frame with the mask and the state drawn in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from contract.label_map import CLASSES
from contract.packages import need
from contract.tags import HealthCode, LeakState, Quality
from edge_runtime.pixels import CameraPicture, bgr_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contract.tags import CameraSnapshot
    from edge_runtime.leaks.config import ZoneConfig
    from edge_runtime.leaks.judge import Judged, LeakSight

__all__ = [
    "RAW_MAX_WIDTH",
    "RAW_QUALITY",
    "blind_card",
    "caption",
    "draw_overlay",
    "jpeg_from_picture",
]

RAW_MAX_WIDTH = 1280
"""Of a picture that is kept as evidence; most cameras for gas have fewer pixels."""
RAW_QUALITY = 92

_MAX_WIDTH = 960  # of what is drawn: more costs the device and shows an operator nothing
_MIN_WIDTH = 480  # less has no room for the words
_OPACITY = 0.5
_COLOURS = np.zeros((256, 1, 3), np.uint8)
for _class in CLASSES:
    _COLOURS[_class.index, 0] = _class.colour_rgb[::-1]

_LEAK_BGR = (255, 255, 255)
_TEXT_BGR = {
    LeakState.NONE: (80, 200, 80),
    LeakState.SUSPECT: (0, 200, 255),
    LeakState.LEAK: (0, 0, 255),
    LeakState.UNKNOWN: (255, 0, 255),
}


def caption(snapshot: CameraSnapshot) -> tuple[str, LeakState]:
    """What the state is in words, and the state."""
    if snapshot.quality is Quality.BAD:
        code = HealthCode(int(snapshot.values.get("Health/Code") or 0))  # type: ignore[arg-type]
        why = " ".join(bit.name or "" for bit in HealthCode if bit in code)
        return f"{snapshot.camera}: UNKNOWN {why}", LeakState.UNKNOWN
    state = LeakState(int(snapshot.values.get("Leak/State", 255)))  # type: ignore[arg-type]
    area = float(snapshot.values.get("Leak/AreaFraction") or 0.0)  # type: ignore[arg-type]
    still = " STILL" if snapshot.values.get("Leak/Still") else ""
    code = HealthCode(int(snapshot.values.get("Health/Code") or 0))  # type: ignore[arg-type]
    drill = "DRILL " if HealthCode.DRILL in code and state is not LeakState.NONE else ""
    what = f"{drill}{state.name}{still} {area:.2%} {snapshot.quality.name}"
    return f"{snapshot.camera}: {what}", state


def draw_overlay(
    picture: CameraPicture,
    mask: NDArray[np.uint8] | None,
    snapshot: CameraSnapshot,
    judged: Judged | None = None,
    zones: Sequence[ZoneConfig] = (),
) -> NDArray[np.uint8]:
    """Draw mask, leaks, zones and state over a copy of a picture.

    A leak has its number, a cross at its likely source and an arrow to where it drifts.

    Args:
        picture: of any size.
        mask: class indices of the valid field, of any size; None where nothing was segmented.
        snapshot: the camera's values.
        judged: the leaks behind them.
        zones: of the camera.

    Returns:
        BGR, 480 to 960 pixels wide.
    """
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    scale = min(max(1.0, _MIN_WIDTH / width), _MAX_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    plain = bgr_of(picture)
    drawn = cv2.resize(plain, size) if scale != 1 else plain.copy()
    if mask is not None:
        shown = cv2.resize(np.ascontiguousarray(mask), size, interpolation=cv2.INTER_NEAREST)
        colours = cv2.applyColorMap(shown, _COLOURS)
        drawn = cv2.addWeighted(drawn, 1.0, colours, _OPACITY, 0)
    text, state = caption(snapshot)
    box = snapshot.values.get("Leak/BBox")
    if mask is not None and isinstance(box, tuple):
        x, y, w, h = (round(v * scale) for v in box)
        cv2.rectangle(drawn, (x, y), (x + w, y + h), _TEXT_BGR[state], 1)
    if judged is not None:
        for zone, seen in zip(zones, judged.zones, strict=False):
            _draw_zone(drawn, zone, _TEXT_BGR[seen.verdict.state], scale)
        for leak in judged.leaks:
            if leak.number:
                _draw_leak(drawn, leak)
    _write(drawn, text, state)
    return np.asarray(drawn, np.uint8)


def blind_card(snapshot: CameraSnapshot, width: int = 480, height: int = 270) -> NDArray[np.uint8]:
    """A picture that says that there is none, so that nobody takes the last one for the present."""
    card = np.full((height, width, 3), 32, np.uint8)
    _write(card, *caption(snapshot))
    return card


def jpeg_from_picture(
    picture: CameraPicture, quality: int = 80, max_width: int | None = None
) -> bytes:
    """Encode a picture as JPEG, made smaller where it is wider than `max_width`."""
    cv2 = need("cv2", extra="cpu")
    height, width = picture.shape[:2]
    plain = bgr_of(picture)
    if max_width is not None and width > max_width:
        size = max_width, max(1, round(height * max_width / width))
        plain = np.asarray(cv2.resize(plain, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", plain, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def _draw_leak(drawn: NDArray[np.uint8], leak: LeakSight) -> None:
    cv2 = need("cv2", extra="cpu")
    height, width = drawn.shape[:2]
    place = leak.source or leak.centroid
    if place is None:
        return
    x, y = round(place[0] * width), round(place[1] * height)
    words = f"#{leak.number}" + ("" if leak.moves else " still")
    if leak.source is not None:
        cv2.drawMarker(drawn, (x, y), _LEAK_BGR, cv2.MARKER_CROSS, max(8, width // 40), 2)
        if leak.drift_deg is not None:
            angle, reach = math.radians(leak.drift_deg), 0.1 * width
            tip = round(x + reach * math.cos(angle)), round(y - reach * math.sin(angle))
            cv2.arrowedLine(drawn, (x, y), tip, _LEAK_BGR, 1, cv2.LINE_AA, tipLength=0.2)
    _label(drawn, words, (x + 6, y - 6), _LEAK_BGR)


def _draw_zone(
    drawn: NDArray[np.uint8], zone: ZoneConfig, colour: tuple[int, int, int], scale: float
) -> None:
    cv2 = need("cv2", extra="cpu")
    corners = np.rint(np.array(zone.polygon) * scale).astype(np.int32)
    cv2.polylines(drawn, [corners], True, colour, 1, cv2.LINE_AA)  # noqa: FBT003
    left, bottom = int(corners[:, 0].min()), int(corners[:, 1].max())
    _label(drawn, zone.name, (left + 3, bottom - 4), colour)


def _label(
    drawn: NDArray[np.uint8], words: str, at: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    cv2 = need("cv2", extra="cpu")
    line = cv2.FONT_HERSHEY_SIMPLEX, max(0.45, drawn.shape[1] / 1400)
    cv2.putText(drawn, words, at, *line, (0, 0, 0), 2, cv2.LINE_AA)  # readable on any ground
    cv2.putText(drawn, words, at, *line, colour, 1, cv2.LINE_AA)


def _write(drawn: NDArray[np.uint8], text: str, state: LeakState) -> None:
    cv2 = need("cv2", extra="cpu")
    scale = max(0.35, drawn.shape[1] / 1000)
    line = cv2.FONT_HERSHEY_SIMPLEX, scale
    (_, height), below = cv2.getTextSize(text, *line, 1)
    cv2.rectangle(drawn, (0, 0), (drawn.shape[1], height + below + 8), (0, 0, 0), cv2.FILLED)
    cv2.putText(drawn, text, (4, height + 4), *line, _TEXT_BGR[state], 1, cv2.LINE_AA)
