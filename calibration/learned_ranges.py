"""Ranges that a network was fine-tuned with take the place of those measured on frames."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from calibration.range_methods import DEFAULT_METHOD, LEARNED
from contract.calibrated_ranges import INT8_MAX
from contract.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from calibration.ranges import TensorRange

__all__ = ["take_learned"]

_log = logging.getLogger(__name__)


def take_learned(
    watched: Mapping[str, TensorRange], scales: Mapping[str, float], method: str
) -> str:
    """Give each activation the range that belongs to the step it was fine-tuned with.

    Args:
        watched: what the calibration frames showed; changed in place.
        scales: steps by activation, as the bundle keeps them; empty where nothing was learned.
        method: that was asked for.

    Returns:
        The method to take: LEARNED where there are steps, else as asked.

    Raises:
        InputError: when there is a step for what this calibration does not quantise.
    """
    if not scales:
        return method
    if absent := sorted(scales.keys() - watched.keys()):
        raise InputError(
            f"the network was fine-tuned with {absent[0]} in int8, which is not quantised now; "
            "give the --stem, --head and --concat-scale of the bundle that it learned from"
        )
    for name, scale in scales.items():
        watched[name].learned = scale * INT8_MAX
    if method != DEFAULT_METHOD:
        _log.warning("the network was fine-tuned with its own ranges: --method %s is idle", method)
    _log.info("%d ranges are those that the network was fine-tuned with", len(scales))
    return LEARNED
