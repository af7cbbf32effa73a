from __future__ import annotations

import numpy as np
import pytest

from calibration.ranges import METHODS, TensorRange
from contract.errors import ConfigError, GasedgeError


def _watched(parts):
    seen = TensorRange()
    for part in parts:
        seen.add(part)
    return seen


@pytest.mark.parametrize("order", [1, -1])
def test_percentile_is_numpys_whatever_order_the_frames_come_in(order):
    random = np.random.default_rng(0)
    parts = [(random.normal(0, s, 40_000)).astype(np.float32) for s in (0.01, 1, 30, 2, 500)]
    seen = _watched(parts[::order])
    values = np.abs(np.concatenate(parts))
    assert seen.covering("max") == values.max()
    assert seen.counts.sum() == values.size
    expected = np.percentile(values, METHODS["percentile"])
    assert abs(seen.covering("percentile") - expected) <= 2 * seen.top / len(seen.counts)


def test_a_tensor_that_is_always_zero_has_range_zero():
    assert _watched([np.zeros(9, np.float32)]).covering("percentile") == 0.0


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(GasedgeError, match="not finite"):
        TensorRange().add(np.array([1, np.inf], np.float32))


def test_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="take one of max, percentile"):
        TensorRange().covering("entropy")
