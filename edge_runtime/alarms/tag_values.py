"""What the plant process itself says of a camera, beside what the frames process says. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from contract.alarms import Alarm, AlarmKind, AlarmState
from contract.tags import HealthCode, Ne107, Quality

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from contract.tags import Value
    from edge_runtime.outbox import Figures
    from edge_runtime.plant.freshness import Published

__all__ = ["OwnWord", "own_word", "with_own_word"]

_INHIBITED = (AlarmState.SHELVED, AlarmState.OUT_OF_SERVICE)
_HEARD = (AlarmState.UNACK, AlarmState.RTN_UNACK, AlarmState.LATCH_UNACK)
_STATE_TAGS = {
    AlarmKind.FAILURE: "Alarm/FailureState",
    AlarmKind.OFF_SPEC: "Alarm/OffSpecState",
    AlarmKind.MAINTENANCE: "Alarm/MaintenanceState",
}
_LARGEST = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class OwnWord:
    """Tags that the plant process fills in, and warnings that it adds to a camera's health."""

    values: Mapping[str, Value] = field(default_factory=dict)
    warnings: HealthCode = field(default_factory=lambda: HealthCode(0))


def own_word(
    alarms: Sequence[Alarm],
    zones: Sequence[str],
    *,
    count: int,
    device: HealthCode,
    figures: Figures | None,
    config_sha256: str = "",
    more: Mapping[str, Value] | None = None,
) -> OwnWord:
    """The word of the plant process on a camera.

    Args:
        alarms: of the camera.
        zones: their names, in the order of their numbers.
        count: activations of its leak alarms so far.
        device: warnings that concern the device.
        figures: of the outbox, None without one.
        config_sha256: of all settings, "" where nobody knows.
        more: tags of the device itself.
    """
    leaks = [each for each in alarms if each.kind is AlarmKind.LEAK]
    watched = [each for each in alarms if each.kind in (AlarmKind.LEAK, AlarmKind.FAILURE)]
    chattering = any(each.chattering for each in alarms)
    values: dict[str, Value] = {
        **(more or {}),
        "Leak/Unacked": any(each.state in _HEARD for each in leaks),
        "Leak/EventCount": min(count, _LARGEST),
        "Health/Inhibited": any(each.state in _INHIBITED for each in watched),
        "Alarm/Chattering": chattering,
        "Config/Sha256": config_sha256 or None,
    }
    for each in alarms:
        if each.kind is AlarmKind.LEAK and each.zone is None:
            values["Leak/AlarmState"] = each.state.value
            values["Leak/EventId"] = each.event_id or None
        elif each.kind is AlarmKind.LEAK and each.zone in zones:
            number = zones.index(each.zone) + 1
            values[f"Zone/AlarmState{number}"] = each.state.value
        elif each.kind in _STATE_TAGS:
            values[_STATE_TAGS[each.kind]] = each.state.value
    if figures is not None:
        values["Outbox/Depth"] = min(figures.depth, _LARGEST)
        values["Outbox/OldestAgeS"] = min(int(figures.oldest_age_s), _LARGEST)
        values["Outbox/Dropped"] = min(figures.dropped, _LARGEST)
    return OwnWord(values, device | (HealthCode.CHATTERING if chattering else HealthCode(0)))


def with_own_word(shown: Published, word: OwnWord) -> Published:
    """What every protocol shows: the camera's values with the plant process' own among them.

    A warning turns normal health into maintenance required; it touches no quality and no state.
    """
    snapshot = shown.snapshot
    values: dict[str, Value] = {**snapshot.values, **word.values}
    if word.warnings:
        code = HealthCode(int(values.get("Health/Code") or 0))  # type: ignore[arg-type]
        values["Health/Code"] = int(code | word.warnings)
        if values.get("Health/NE107") == Ne107.NORMAL and snapshot.quality is not Quality.BAD:
            values["Health/NE107"] = Ne107.MAINTENANCE_REQUIRED.value
            values["Health/Maintenance"] = True
    return replace(shown, snapshot=replace(snapshot, values=values))
