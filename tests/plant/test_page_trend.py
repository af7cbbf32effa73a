"""The trend never draws a line through a time in which nobody was looking."""

from __future__ import annotations

import pytest

from contract.tags import Quality
from edge_runtime.plant.page_trend import SAMPLE_S, Trend


def test_what_was_not_seen_is_a_gap(plant):
    trend = Trend(("north", "south"))
    for number, quality in enumerate(Quality):
        trend.add(plant.snapshot(quality=quality, Leak__AreaFraction=0.25), number * 10**9)
    found = trend.of("north")
    assert found["t_ms"] == [0, 1000, 2000, 3000]
    assert found["area"] == [0.25, 0.25, None, None]  # stale and bad are no sight
    assert found["state"] == [2, 2, 255, 255]
    assert trend.of("south")["t_ms"] == []
    with pytest.raises(KeyError):
        trend.of("elsewhere")


def test_half_an_hour_is_kept_and_no_more(plant):
    trend = Trend(("north",))
    shown = plant.snapshot()
    for number in range(5000):
        trend.add(shown, round(number * SAMPLE_S * 1e9))
    times = trend.of("north")["t_ms"]
    assert times[-1] - times[0] == pytest.approx(1800_000, rel=0.01)
    assert times[-1] == 4999 * SAMPLE_S * 1000
