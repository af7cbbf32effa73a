"""`[update]`: what a new model must show beside the one that runs, and after the switch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from contract.config import Section

__all__ = ["UpdateConfig"]

Share = Annotated[float, Field(ge=0, le=1)]


class UpdateConfig(Section):
    """Limits of `gasedge apply`."""

    # the shadow run, before the switch
    shadow_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    shadow_share: Annotated[float, Field(gt=0, le=1)] = 0.25  # of the time that it may compute
    least_frames: Annotated[int, Field(ge=1)] = 20  # compared, of each camera
    disagreement_limit: Share = 0.05  # of pixels whose class differs
    missed_limit: Share = 0.05  # of frames with the running model's gas that the new one misses
    extra_limit: Share = 0.05  # of frames in which only the new one does
    gas_from: Share = 0.001  # of the valid field: fewer gas pixels are none
    golden_gas_least: Share = 0.5  # of the gas in the running model's golden frames; 0 does without
    slower_limit: Annotated[float, Field(ge=1)] = 1.5  # times the running model's time a frame
    # probation, after the switch
    probation_s: Annotated[float, Field(ge=0, le=604_800)] = 600.0  # of frames being segmented
    steady_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0  # of them make a start a good one
    crash_starts: Annotated[int, Field(ge=1, le=100)] = 3  # starts in a row that are no good ones
    slow_s: Annotated[float, Field(gt=0, le=86_400)] = 30.0  # slower, or stalled, for so long
