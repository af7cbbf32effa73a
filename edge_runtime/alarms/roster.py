"""Which alarms there are: those of every camera and zone, and the device's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contract.alarms import AlarmKind
from contract.errors import ConfigError
from edge_runtime.alarms.config import AlarmConfig, ZoneAlarm
from edge_runtime.alarms.machine import AlarmMachine

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DEVICE_ALARM", "WatchedCamera", "roster"]

DEVICE_ALARM = "device.maintenance"


@dataclass(frozen=True, slots=True)
class WatchedCamera:
    """A camera and how its alarms behave."""

    name: str
    config: AlarmConfig = field(default_factory=AlarmConfig)
    zones: tuple[tuple[str, ZoneAlarm], ...] = ()  # name and rule, in the order of their numbers


def roster(cameras: Sequence[WatchedCamera]) -> dict[str, AlarmMachine]:
    """One machine for each alarm, by id; a camera's failure comes before what it suppresses.

    Raises:
        ConfigError: when two alarms would have one id.
    """
    made: list[AlarmMachine] = []
    for each in cameras:
        name, config = each.name, each.config
        made.append(AlarmMachine(f"{name}.leak", name, AlarmKind.LEAK, None, config.leak, config))
        made += [
            AlarmMachine(f"{name}.leak.{zone}", name, AlarmKind.LEAK, zone, rule, config)
            for zone, rule in each.zones
        ]
        made += [
            AlarmMachine(f"{name}.{kind.value}", name, kind, None, rule, config)
            for kind, rule in (
                (AlarmKind.FAILURE, config.failure),
                (AlarmKind.OFF_SPEC, config.off_spec),
                (AlarmKind.MAINTENANCE, config.maintenance),
            )
        ]
    common = AlarmConfig()
    rule = common.maintenance.model_copy(update={"on_delay_s": 0.0, "off_delay_s": 0.0})
    made.append(AlarmMachine(DEVICE_ALARM, "", AlarmKind.MAINTENANCE, None, rule, common))
    machines = {each.id: each for each in made}
    if len(machines) < len(made):
        ids = [each.id for each in made]
        twice = next(each for each in ids if ids.count(each) > 1)
        raise ConfigError(
            f"two alarms would be called {twice}: rename the camera or the zone of that name"
        )
    return machines
