"""What may be published now: the last snapshot while it is fresh, and *unknown* when it is not.

The gateway asks again and again, so that values grow stale and bad by time alone, when nothing
arrives any more. Time is an argument, in ns of the monotonic clock, which all processes of a
machine share: a step of the wall clock makes nothing fresh.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

from contract.tags import CameraSnapshot, HealthCode, LeakState, Ne107, Quality

if TYPE_CHECKING:
    from contract.tags import Value

__all__ = ["Heard", "Limits", "Published", "hear", "published"]

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """When values grow old, in seconds since the frame behind them."""

    stale_after_s: float  # or three frame periods, if longer
    bad_after_s: float


@dataclass(frozen=True, slots=True)
class Heard:
    """The last snapshot of a camera and when its parts came about, monotonic ns."""

    snapshot: CameraSnapshot
    sent_ns: int  # when the frames process sent it
    captured_ns: int  # when the frame behind it was taken
    changed_ns: int  # when a snapshot with another frame was last sent


@dataclass(frozen=True, slots=True)
class Published:
    """What every protocol shows of a camera at one instant."""

    snapshot: CameraSnapshot  # derived tags filled in, quality as it is now
    heard: bool  # the frames process speaks: facts about camera and model are known


def hear(last: Heard | None, snapshot: CameraSnapshot, *, sent_ns: int, age_ns: int) -> Heard:
    """Take in a snapshot.

    Args:
        last: what was heard of this camera before.
        snapshot: what came.
        sent_ns: when it was sent, monotonic ns.
        age_ns: how old its frame was by the wall clock when it was sent; less than 0 counts as 0.
    """
    same = last is not None and last.snapshot.source_time_ns == snapshot.source_time_ns
    return Heard(
        snapshot=snapshot,
        sent_ns=sent_ns,
        captured_ns=sent_ns - max(age_ns, 0),
        changed_ns=last.changed_ns if same and last is not None else sent_ns,
    )


def published(
    camera: str, unit_id: int, heard: Heard | None, *, now_ns: int, limits: Limits
) -> Published:
    """What to publish of a camera at `now_ns`.

    Silence of the frames process, a frame that stays the same and a frame that is old all count:
    the worst decides, and quality is never better than the frames process says. A good quality
    with an unknown leak state contradicts itself and is bad.
    """
    if heard is None:
        code = HealthCode.STARTING | HealthCode.PLANT_LINK
        nothing = CameraSnapshot(camera, unit_id, Quality.BAD, 0, 0)
        return Published(_with_derived(nothing, code, age_ms=None), heard=False)
    snapshot = replace(heard.snapshot, camera=camera, unit_id=unit_id)
    silence_s = (now_ns - heard.sent_ns) / _SECOND
    age_s = (now_ns - min(heard.captured_ns, heard.changed_ns)) / _SECOND
    by_silence = _quality_at(silence_s, snapshot, limits)
    by_age = _quality_at(age_s, snapshot, limits)
    quality = max(snapshot.quality, by_silence, by_age)
    code = HealthCode(cast("int", snapshot.values.get("Health/Code") or 0))
    if by_silence > Quality.GOOD:
        code |= HealthCode.PLANT_LINK
    elif by_age > snapshot.quality:
        code |= HealthCode.STALLED
    state = snapshot.values.get("Leak/State")
    if state is None or state == LeakState.UNKNOWN:
        quality = Quality.BAD
    silent = by_silence is Quality.BAD
    values = snapshot.values
    if silent:
        values = {name: value for name, value in values.items() if not name.startswith("Camera/")}
    if quality is Quality.BAD:
        values = {**values, "Frame/Fps": 0.0, "Frame/LatencyP99Ms": None}
    snapshot = replace(snapshot, quality=quality, values=values)
    age_ms = min(int(age_s * 1000), 0xFFFF_FFFF)
    return Published(_with_derived(snapshot, code, age_ms=age_ms), heard=not silent)


def _quality_at(age_s: float, snapshot: CameraSnapshot, limits: Limits) -> Quality:
    fps = cast("float", snapshot.values.get("Frame/Fps") or 0.0)
    periods_s = 3 / fps if fps > 0 else 0.0
    if age_s > limits.bad_after_s:
        return Quality.BAD
    if age_s > max(limits.stale_after_s, periods_s):
        return Quality.STALE
    return Quality.GOOD


def _with_derived(
    snapshot: CameraSnapshot, code: HealthCode, *, age_ms: int | None
) -> CameraSnapshot:
    """Fill in the derived tags, and a failure where quality is bad and health says normal."""
    bad = snapshot.quality is Quality.BAD
    ne107 = snapshot.value("Health/NE107")
    if bad and ne107 == Ne107.NORMAL:
        ne107 = Ne107.FAILURE.value
    state = LeakState.UNKNOWN.value if bad else snapshot.value("Leak/State")
    derived: dict[str, Value] = {
        "Leak/Active": state == LeakState.LEAK,
        "Leak/Suspect": state == LeakState.SUSPECT,
        "Frame/AgeMs": age_ms,
        "Health/NE107": ne107,
        "Health/Fault": ne107 == Ne107.FAILURE,
        "Health/Maintenance": ne107 == Ne107.MAINTENANCE_REQUIRED,
        "Health/DataGood": snapshot.quality is Quality.GOOD,
        "Health/Quality": snapshot.quality.value,
        "Health/Heartbeat": snapshot.heartbeat & 0xFFFF,
        "Health/Code": int(code),
    }
    return replace(snapshot, values={**snapshot.values, **derived})
