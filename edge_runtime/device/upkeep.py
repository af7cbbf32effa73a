"""What the frames process does for the device: fewer pictures in heat, and the daily check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.tags import HealthCode
from edge_runtime.device.daily_check import DailyCheck
from edge_runtime.device.heat import HeatRule
from edge_runtime.device.schedule import Schedule
from edge_runtime.device.sensors import hottest_c

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import Self

    from contract.tags import Value
    from edge_runtime.device.config import DeviceConfig
    from edge_runtime.model import RunningModel
    from edge_runtime.view_watch import SeenView

__all__ = ["Upkeep"]

_FEEL_S = 2.0  # between two looks at the temperature


class Upkeep(Closing):
    """Heat rule and daily check of one frames process; a context manager.

    Args:
        config: of both.
        state_dir: where checks are kept; None makes none.
        views: asked for what each camera shows.
        sysfs: where the temperature is read.
    """

    def __init__(
        self,
        config: DeviceConfig,
        state_dir: Path | None,
        views: Mapping[str, Callable[[float], SeenView]],
        *,
        sysfs: Path = Path("/sys"),
    ) -> None:
        self._heat = HeatRule(config)
        self._sysfs = sysfs
        self._felt_s = float("-inf")
        self._check: DailyCheck | None = None
        if config.daily_check is not None and state_dir is not None:
            self._check = DailyCheck(Schedule(config.daily_check), state_dir, views)

    def __enter__(self) -> Self:
        if self._check is not None:
            self._check.__enter__()
        return self

    def close(self) -> None:
        """End a check that is on."""
        if self._check is not None:
            self._check.close()

    @property
    def every(self) -> int:
        """How many pictures there are to each that is segmented."""
        return self._heat.every

    def fault_of(self, model: RunningModel) -> str:
        """Why this model must not be believed any more; "" while it may."""
        return self._check.fault_of(model) if self._check is not None else ""

    def tick(self, now_s: float, utc_s: float, model: RunningModel | None) -> None:
        """What is due by time alone; `now_s` is monotonic, `utc_s` UTC."""
        if now_s - self._felt_s >= _FEEL_S:
            self._felt_s = now_s
            self._heat.look(hottest_c(self._sysfs))
        if self._check is not None:
            self._check.tick(now_s, utc_s, model)

    def word(self, camera: str, utc_s: float) -> tuple[dict[str, Value], HealthCode]:
        """Tags of a camera, and what a person should see to."""
        values: dict[str, Value] = {"Frame/Every": self.every}
        warnings = HealthCode.HOT if self._heat.is_told else HealthCode(0)
        if self._check is not None:
            values |= self._check.values(camera)
            warnings |= self._check.warnings(camera, utc_s)
        return values, warnings

    def question(self, model: RunningModel) -> NDArray[np.uint8] | None:
        """A golden frame to ask between two pictures; None most of the time."""
        return self._check.question(model) if self._check is not None else None

    def answer(self, mask: NDArray[np.uint8]) -> None:
        """Take in the (H, W) mask of the last question."""
        if self._check is not None:
            self._check.answer(mask)
