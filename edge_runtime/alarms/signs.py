"""From what is published of a camera to the signs of its alarms. Pure.

While nobody is looking there is no sign of a leak either way: its alarm is held as it is, and the
failure alarm says why.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from contract.tags import HealthCode, LeakState, Ne107, Quality
from edge_runtime.alarms.machine import Sign

if TYPE_CHECKING:
    from contract.tags import CameraSnapshot
    from edge_runtime.alarms.config import LeakAlarm, ZoneAlarm

__all__ = ["failure_sign", "leak_sign", "ne107_sign", "zone_sign"]

_NO_CAUSE = HealthCode.TEST_SOURCE | HealthCode.DRILL
_JUST_STARTED = HealthCode.STARTING | HealthCode.PLANT_LINK | HealthCode.TEST_SOURCE


def leak_sign(snapshot: CameraSnapshot, rule: LeakAlarm, *, active: bool) -> Sign:
    """Sign of a camera's leak alarm."""
    above = _above(snapshot.value("Leak/Score"), rule.score_above, rule.score_deadband, active)
    above &= _above(
        snapshot.value("Leak/AreaFraction"), rule.area_above, rule.area_deadband, active
    )
    onset_ns = cast("int | None", snapshot.value("Leak/OnsetTime"))
    there = _there(snapshot, snapshot.value("Leak/State"), above=above, active=active)
    text = _leak_text(snapshot, "Gas leak", there)
    return Sign(there, text, onset_ns, rule.suppressed, test=_is_test(snapshot))


def zone_sign(snapshot: CameraSnapshot, number: int, rule: ZoneAlarm, *, active: bool) -> Sign:
    """Sign of the leak alarm of zone `number`, counted from 1."""
    area = snapshot.value(f"Zone/AreaFraction{number}")
    above = _above(area, rule.area_above, rule.area_deadband, active)
    there = _there(snapshot, snapshot.value(f"Zone/State{number}"), above=above, active=active)
    name = str(snapshot.value(f"Zone/Name{number}") or number)
    text = _leak_text(snapshot, f"Gas leak in zone {name}", there)
    return Sign(there, text, suppressed=rule.suppressed, test=_is_test(snapshot))


def failure_sign(snapshot: CameraSnapshot) -> Sign:
    """Sign of a camera's failure alarm: whatever keeps it from being watched."""
    code = _code(snapshot)
    blind = snapshot.quality >= Quality.STALE
    if not blind and snapshot.value("Health/NE107") != Ne107.FAILURE:
        return Sign(there=False, text="")
    text = _because(code, "Not watched: pictures are old" if blind else "The device failed")
    return Sign(
        there=True, text=text, patient=not code & ~_JUST_STARTED and HealthCode.STARTING in code
    )


def ne107_sign(snapshot: CameraSnapshot, state: Ne107, text: str, *, suppressed: bool) -> Sign:
    """Sign of off-spec or maintenance.

    Args:
        snapshot: of the camera.
        state: OFF_SPEC or MAINTENANCE_REQUIRED.
        text: where health gives no cause.
        suppressed: whether a failure says more.
    """
    blind = snapshot.quality >= Quality.STALE
    there = None if blind else snapshot.value("Health/NE107") == state
    return Sign(there, _because(_code(snapshot), text), suppressed=suppressed)


def _there(snapshot: CameraSnapshot, state: object, *, above: bool, active: bool) -> bool | None:
    if snapshot.quality >= Quality.STALE or state in (None, LeakState.UNKNOWN):
        return None
    # what once was a leak is over when not even a suspicion is left
    gas = state == LeakState.LEAK or (active and state == LeakState.SUSPECT)
    return gas and above


def _above(value: object, limit: float, deadband: float, active: bool) -> bool:  # noqa: FBT001
    if not limit or value is None:
        return True
    return cast("float", value) >= (limit - deadband if active else limit)


def _leak_text(snapshot: CameraSnapshot, text: str, there: bool | None) -> str:  # noqa: FBT001
    test = "TEST: " if _is_test(snapshot) else ""
    held = "; held, nobody is looking" if there is None else ""
    return f"{test}{text}{held}"


@cache
def _because(code: HealthCode, otherwise: str) -> str:
    causes = [each.meaning for each in HealthCode if each in code & ~_NO_CAUSE]
    return "; ".join(causes) or otherwise


def _is_test(snapshot: CameraSnapshot) -> bool:
    return HealthCode.TEST_SOURCE in _code(snapshot)


def _code(snapshot: CameraSnapshot) -> HealthCode:
    return HealthCode(cast("int", snapshot.value("Health/Code") or 0))
