"""Charts are well-formed and their marks lie where the numbers say."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from contract.svg_charts import Line, bar_chart, line_chart


def drawn(chart, tag):
    return ET.fromstring(chart).findall(tag)


def bars(values):
    chart = bar_chart("a < b", ["x"], [("one", values)], notes=["n=1"], x_title="t")
    return [float(r.get("height")) for r in drawn(chart, "rect") if r.find("title") is not None]


def points(line):
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def test_bars_are_as_high_as_their_values_and_none_has_no_bar():
    (whole,), (half,) = bars([1.0]), bars([0.5])
    assert half == pytest.approx(whole / 2, abs=0.1)
    assert bars([None]) == []


def test_lines_go_up_and_leave_out_what_is_not_known():
    chart = line_chart("t", [Line("a", [0, 1, 2], [0, math.nan, 1])], x_title="x")
    (line,) = drawn(chart, "polyline")
    (x0, y0), (x1, y1) = points(line)
    assert x1 > x0
    assert y1 < y0  # up is less in SVG


def test_two_lines_share_one_scale():
    lines = [Line("a", [0, 10], [0, 5]), Line("b", [0, 5], [0, 2.5])]
    long, short = (points(each) for each in drawn(line_chart("t", lines, x_title="x"), "polyline"))
    assert short[1][0] - short[0][0] == pytest.approx((long[1][0] - long[0][0]) / 2, abs=0.2)
    assert short[1][1] - short[0][1] == pytest.approx((long[1][1] - long[0][1]) / 2, abs=0.2)


@pytest.mark.parametrize("lines", [[], [Line("a", [], [])], [Line("a", [1], [math.nan])]])
def test_chart_of_nothing_is_an_empty_one(lines):
    assert ET.fromstring(line_chart("t", lines, x_title="x")).tag == "svg"


def test_a_single_epoch_is_a_point():
    chart = line_chart("t", [Line("a", [1], [0.5])], x_title="x", y_limits=(0, 1))
    assert len(drawn(chart, "circle")) == 1


def test_names_with_markup_stay_text():
    chart = line_chart("<script>&", [Line('"<b>', [0, 1], [0, 1])], x_title="<i>")
    words = [each.text for each in drawn(chart, "text")]
    assert {"<script>&", '"<b>', "<i>"} <= set(words)
