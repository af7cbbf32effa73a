"""`[device]`: heat, memory, disk and clock of the device itself, and its daily check."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from contract.config import Section

__all__ = ["DeviceConfig"]

Celsius = Annotated[float, Field(ge=0, le=150)]


class DeviceConfig(Section):
    """`[device]`."""

    hot_c: Celsius = 92.0  # from here on one picture in `hot_every` is segmented ...
    cool_c: Celsius = 84.0  # ... until the hottest place is this cool again
    hot_every: Annotated[int, Field(ge=1, le=100)] = 3  # 1 never leaves one out
    memory_mb: Annotated[int, Field(ge=64)] | None = None  # of one process; None: 70 % of all
    disk_free_mb: Annotated[int, Field(ge=0)] = 200  # less, where state is kept, is told
    time_server: bool = True  # false: none keeps this clock, and that is no reason for maintenance
    # "03:30", local time: network and view are checked then, daily; None: never
    daily_check: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None

    @model_validator(mode="after")
    def _cools_down(self) -> DeviceConfig:
        if self.cool_c >= self.hot_c:
            raise ValueError(
                f"cool_c = {self.cool_c:g} is not below hot_c = {self.hot_c:g}: the rule would "
                "begin and end at once"
            )
        return self
