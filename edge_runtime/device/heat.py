"""What is done about heat: fewer pictures, told, until it is cooler. Without a clock."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_runtime.device.config import DeviceConfig

__all__ = ["HeatRule"]

_log = logging.getLogger(__name__)


class HeatRule:
    """Says how many pictures there are to each that is segmented.

    Args:
        config: from which heat on, until which, and how many.
    """

    def __init__(self, config: DeviceConfig) -> None:
        self._config = config
        self._is_hot = False

    @property
    def every(self) -> int:
        """1: pictures are segmented as they come; n: one in n."""
        return self._config.hot_every if self._is_hot else 1

    @property
    def is_told(self) -> bool:
        """Whether pictures are left out, which somebody must know."""
        return self.every > 1

    def look(self, temp_c: float | None) -> None:
        """Take in how hot the hottest place is; a sensor that fails changes nothing."""
        config = self._config
        if temp_c is None or config.hot_every == 1:
            return
        if not self._is_hot and temp_c >= config.hot_c:
            self._is_hot = True
            _log.warning(
                "the device is at %.0f C: one picture in %d is segmented until it is at %.0f C",
                temp_c,
                config.hot_every,
                config.cool_c,
            )
        elif self._is_hot and temp_c <= config.cool_c:
            self._is_hot = False
            _log.warning("the device is at %.0f C: every picture is segmented again", temp_c)
