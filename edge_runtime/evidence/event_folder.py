"""An event's folder: clips, masks, values, alarms and the signed manifest; whole or not there."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.atomic import new_folder, sha256_of_bytes, sha256_of_file
from contract.errors import GasedgeError
from contract.packages import need
from contract.signing_key import public_pem
from edge_runtime.evidence.device_key import fingerprint
from edge_runtime.overlay_video import OverlayVideo
from edge_runtime.plant.messages import OVERLAY, RAW

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from contract.alarms import Alarm
    from edge_runtime.evidence.recording import Recording

__all__ = [
    "MANIFEST",
    "PUBLIC",
    "SIGNATURE",
    "Device",
    "Written",
    "event_name",
    "read_written",
    "write_event",
]

MANIFEST, SIGNATURE, PUBLIC = "manifest.json", "manifest.sig", "public.pem"
_SCHEMA = "gasedge-evidence-1"
_FPS = 6.0  # a little more than pictures come, so that each is in the clip


@dataclass(frozen=True, slots=True)
class Device:
    """What the manifest says of the device."""

    serial: str
    config_sha256: str
    key: Any  # Ed25519 private key


@dataclass(frozen=True, slots=True)
class Written:
    """An event whose folder is there."""

    folder: str  # its name
    camera: str
    event_ids: tuple[str, ...]
    sha256: str  # of the manifest's bytes


def write_event(
    root: Path,
    recording: Recording,
    device: Device,
    *,
    no_clips: str = "",
    is_stopping: Callable[[], bool] = lambda: False,
) -> Written:
    """Write the folder of a recording below `root`.

    Args:
        root: where all events are kept.
        recording: what was seen; its spool stays open.
        device: who saw it.
        no_clips: why the videos are left out, where they are.
        is_stopping: asked between pictures; True ends the work.

    Raises:
        GasedgeError: when the disk refuses or the work is ended; nothing is left behind.
    """
    name = event_name(recording)
    with new_folder(root / name) as folder:
        pictures = {}
        for view in (RAW, OVERLAY):
            pictures[view] = 0 if no_clips else _write_clip(folder, view, recording, is_stopping)
        (folder / "masks.gem1").write_bytes(b"".join(recording.masks()))
        _write_lines(folder / "values.jsonl", recording.values())
        changes = (json.dumps(_plain(each), separators=(",", ":")) for each in recording.changes)
        _write_lines(folder / "alarms.jsonl", changes)
        public = public_pem(device.key)
        (folder / PUBLIC).write_bytes(public)
        manifest = _manifest(recording, device, public, pictures)
        manifest["clips"] = f"left out: {no_clips}" if no_clips else "kept"
        manifest["files"] = {
            file.name: {"sha256": sha256_of_file(file), "bytes": file.stat().st_size}
            for file in sorted(folder.iterdir())
        }
        data = (json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()
        (folder / MANIFEST).write_bytes(data)
        (folder / SIGNATURE).write_bytes(device.key.sign(data))
    return Written(name, recording.camera, tuple(recording.event_ids), sha256_of_bytes(data))


def event_name(recording: Recording) -> str:
    """Name of the folder: when, where and which; names sort by time."""
    first = recording.alarms[0]
    return f"{_stamp(first.onset_ns)}_{recording.camera}_{first.event_id}"


def read_written(folder: Path) -> Written:
    """What `write_event` told of a folder that is there.

    Raises:
        OSError, ValueError, KeyError, TypeError: when it is not, or not whole.
    """
    data = (folder / MANIFEST).read_bytes()
    manifest = json.loads(data)
    ids = tuple(str(each) for each in manifest["event_ids"])
    return Written(folder.name, str(manifest["camera"]), ids, sha256_of_bytes(data))


def _manifest(
    recording: Recording, device: Device, public: bytes, pictures: dict[str, int]
) -> dict[str, Any]:
    values = recording.last_values()
    begin_ns, end_ns = recording.span_ns()
    return {
        "schema": _SCHEMA,
        "serial": device.serial,
        "camera": recording.camera,
        "event_ids": recording.event_ids,
        "onset_ns": recording.alarms[0].onset_ns,
        "from_ns": begin_ns,
        "to_ns": end_ns,
        "made_ns": int(dt.datetime.now(dt.timezone.utc).timestamp() * 1e9),
        "test": any(each.test for each in recording.alarms),
        "alarms": [_plain(each) for each in recording.alarms],
        "pictures": pictures,
        "model_id": values.get("Model/Id"),
        "model_sha256": values.get("Model/Sha256"),
        "model_backend": values.get("Model/Backend"),
        "software": values.get("Sw/Version"),
        "config_sha256": device.config_sha256,
        "public_key_sha256": fingerprint(public),
    }


def _write_clip(
    folder: Path, view: str, recording: Recording, is_stopping: Callable[[], bool]
) -> int:
    """Write the clip of a view and the capture time of its pictures; how many there were."""
    cv2 = need("cv2", extra="cpu")
    times: list[str] = []
    with contextlib.ExitStack() as stack:
        video: OverlayVideo | None = None
        for captured_ns, jpeg in recording.pictures(view):
            if is_stopping():
                raise GasedgeError("the process ends")
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
            if picture is None:
                continue
            if video is None:
                video = stack.enter_context(_open_clip(folder, view, picture.shape))
            video.write(picture, captured_ns / 1e9)
            times.append(f"{len(times)},{captured_ns},{sha256_of_bytes(jpeg)}")
    if times:
        _write_lines(folder / f"{view}.csv", ["picture,captured_ns,jpeg_sha256", *times])
    return len(times)


def _open_clip(folder: Path, view: str, shape: tuple[int, ...]) -> OverlayVideo:
    """VP8, which browsers play; Motion-JPEG where OpenCV here cannot write that."""
    size = max(2, shape[1] & ~1), max(2, shape[0] & ~1)
    probe = OverlayVideo(folder / ".probe.webm")
    try:
        with probe:
            probe.write(np.zeros((size[1], size[0], 3), np.uint8))
    except GasedgeError:
        return OverlayVideo(folder / f"{view}.avi", _FPS)
    finally:
        (folder / ".probe.webm").unlink(missing_ok=True)
    return OverlayVideo(folder / f"{view}.webm", _FPS)


def _write_lines(path: Path, lines: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        for line in lines:
            file.write(line + "\n")


def _stamp(at_ns: int) -> str:
    """UTC, so that names sort by time."""
    return dt.datetime.fromtimestamp(at_ns / 1e9, dt.timezone.utc).strftime("%Y%m%dT%H%M%SZ")


def _plain(alarm: Alarm) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, Enum) and isinstance(value.value, str) else value
        for name, value in (asdict(alarm) | {"state": alarm.state.name}).items()
    }
