"""Ranges end where their method says, from one pass and whatever order the frames come in."""

from __future__ import annotations

import numpy as np
import pytest

from calibration.range_methods import INT8_MAX, METHODS, PERCENTILE
from calibration.ranges import TensorRange, range_table
from contract.errors import ConfigError, GasedgeError


def _watched(parts):
    seen = TensorRange()
    for part in parts:
        seen.add(part)
    return seen


def _error(values, end):
    """Mean squared error of values in INT8 with that range."""
    step = end / INT8_MAX
    return np.mean((values - np.clip(np.rint(values / step), -INT8_MAX, INT8_MAX) * step) ** 2)


@pytest.mark.parametrize("order", [1, -1])
def test_percentile_is_numpys_whatever_order_the_frames_come_in(order):
    random = np.random.default_rng(0)
    parts = [(random.normal(0, s, 40_000)).astype(np.float32) for s in (0.01, 1, 30, 2, 500)]
    seen = _watched(parts[::order])
    values = np.abs(np.concatenate(parts))
    assert seen.covering("max") == values.max()
    assert seen.counts.sum() == values.size
    expected = np.percentile(values, PERCENTILE)
    assert abs(seen.covering("percentile") - expected) <= 2 * seen.top / len(seen.counts)


def test_mse_gives_less_error_on_the_values_themselves_than_any_other_method():
    values = np.random.default_rng(1).laplace(0, 1, 200_000).astype(np.float32)
    values[::2] = 0.0  # as behind a ReLU
    seen = _watched(np.split(values, 4))
    errors = {method: _error(values, seen.covering(method)) for method in METHODS}
    assert min(errors, key=errors.get) == "mse"
    best = min(_error(values, end) for end in np.linspace(0.5, seen.largest, 200))
    assert errors["mse"] <= 1.02 * best


def test_entropy_cuts_a_lone_outlier_and_keeps_what_fills_its_range():
    random = np.random.default_rng(2)
    spread = np.abs(random.normal(0, 1, 100_000)).astype(np.float32)
    lone = _watched([spread, np.array([60], np.float32)])
    assert 2.5 < lone.covering("entropy") < 8
    even = _watched([random.uniform(0, 1, 100_000).astype(np.float32)])
    assert even.covering("entropy") > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_frames_and_no_range_exceeds_what_was_seen(method):
    random = np.random.default_rng(3)
    seen = TensorRange()
    size = seen.counts.nbytes
    for frame in range(1, 30):
        seen.add((random.normal(0, frame, 500)).astype(np.float32))
    assert seen.counts.nbytes == size
    assert 0 < seen.covering(method) <= seen.largest


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_is_always_zero_has_range_zero(method):
    assert _watched([np.zeros(9, np.float32)]).covering(method) == 0.0


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_of_one_value_keeps_it(method):
    ones = _watched([np.full(1000, 3, np.float32)])
    assert ones.covering(method) == pytest.approx(3, rel=0.02)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(GasedgeError, match="not finite"):
        TensorRange().add(np.array([1, np.inf], np.float32))


def test_unknown_method_is_refused():
    with pytest.raises(ConfigError, match="take one of percentile, max, mse, entropy"):
        TensorRange().covering("kl")


def test_the_kept_table_counts_every_value_and_names_the_chosen_range():
    seen = _watched([np.random.default_rng(4).normal(0, 2, 5000).astype(np.float32)])
    table = range_table({"layer": seen}, ["max", "mse"], "mse")
    kept = table.tensors["layer"]
    assert sum(kept.counts) == 5000
    assert kept.chosen == kept.largest["mse"] == seen.covering("mse")
    assert kept.edge == seen.top >= kept.largest["max"]
