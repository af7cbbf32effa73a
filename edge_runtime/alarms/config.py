"""`[alarm]`: delays, latches, shelving and the rest, for each camera and zone, within bounds.

The bounds are narrow on purpose: no delay can keep a leak from the operator for longer than a
minute, no shelving for longer than a shift. `suppressed` and the thresholds can; tags tell still.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from contract.config import Section

__all__ = ["AlarmConfig", "AlarmRule", "LeakAlarm", "ZoneAlarm"]

Share = Annotated[float, Field(ge=0, le=1)]
OffDelay = Annotated[float, Field(ge=0, le=3600)]
Severity = Annotated[int, Field(ge=1, le=1000)]  # as OPC UA counts it


class AlarmRule(Section):
    """What every alarm has; `[alarm.failure]`, `[alarm.off_spec]`, `[alarm.maintenance]`."""

    on_delay_s: Annotated[float, Field(ge=0, le=300)] = 5.0
    off_delay_s: OffDelay = 5.0
    severity: Severity = 500
    latch: bool = False  # stays until it is acknowledged and reset


class ZoneAlarm(AlarmRule):
    """`[camera.zone.alarm]`: a zone's leak alarm."""

    on_delay_s: Annotated[float, Field(ge=0, le=60)] = 0.0  # beside that of [leak]
    off_delay_s: OffDelay = 0.0  # beside that of [leak]
    severity: Severity = 800
    area_above: Annotated[float, Field(ge=0, le=0.2)] = 0.0  # of the valid field; 0: any leak
    area_deadband: Share = 0.0  # how far below that it must fall for the alarm to end
    suppressed: bool = False  # by design: never announced, always told in the tags

    @model_validator(mode="after")
    def _deadband_fits(self) -> ZoneAlarm:
        if self.area_deadband > self.area_above:
            raise ValueError(
                f"area_deadband = {self.area_deadband} is more than area_above = "
                f"{self.area_above}: the alarm would never end"
            )
        return self


class LeakAlarm(ZoneAlarm):
    """`[alarm.leak]`: a camera's leak alarm."""

    score_above: Annotated[float, Field(ge=0, le=0.9)] = 0.0  # mean probability; 0: any leak
    score_deadband: Share = 0.0

    @model_validator(mode="after")
    def _score_deadband_fits(self) -> LeakAlarm:
        if self.score_deadband > self.score_above:
            raise ValueError(
                f"score_deadband = {self.score_deadband} is more than score_above = "
                f"{self.score_above}: the alarm would never end"
            )
        return self


class AlarmConfig(Section):
    """`[alarm]`, and `[camera.alarm]` instead of it."""

    leak: LeakAlarm = LeakAlarm()
    failure: AlarmRule = AlarmRule(severity=700)
    off_spec: AlarmRule = AlarmRule(on_delay_s=10.0, off_delay_s=30.0, severity=500)
    maintenance: AlarmRule = AlarmRule(on_delay_s=10.0, off_delay_s=30.0, severity=300)
    starting_s: Annotated[float, Field(ge=0, le=600)] = 60.0  # to start before that is a failure
    shelve_s: Annotated[float, Field(ge=60, le=28_800)] = 1800.0  # where nobody says how long
    shelve_max_s: Annotated[float, Field(ge=60, le=28_800)] = 28_800.0
    chatter_count: Annotated[int, Field(ge=3, le=20)] = 3  # beginnings ...
    chatter_s: Annotated[float, Field(ge=10, le=600)] = 60.0  # ... within so long hold the alarm
    realarm_s: Annotated[float, Field(ge=60, le=86_400)] = 1800.0  # standing so long is told again

    @model_validator(mode="after")
    def _default_fits(self) -> AlarmConfig:
        if self.shelve_s > self.shelve_max_s:
            raise ValueError(
                f"shelve_s = {self.shelve_s} is more than shelve_max_s = {self.shelve_max_s}"
            )
        return self
