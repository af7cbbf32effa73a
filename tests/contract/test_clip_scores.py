"""Alarm rules on clips and tiles, on clips so short that the answer is seen by eye."""

from __future__ import annotations

import numpy as np
import pytest

from contract.alarm_rules import RULES, AlarmRule, alarms, area_under_roc, rising_edges
from contract.clip_scores import WatchedClip, onset_scores, tile_scores

TWO_OF_THREE = AlarmRule(votes=2, window=3, area=0.01)
GAS, NONE = 0.02, 0.0


def shares(text):
    return [GAS if mark == "x" else NONE for mark in text]


def clip(text, onset_s, fps=2.0):
    times = tuple(at / fps for at in range(len(text)))
    return WatchedClip(name=text, times_s=times, shares=tuple(shares(text)), onset_s=onset_s)


def only(clips, rule=TWO_OF_THREE):
    (found,) = onset_scores(clips, [rule])
    return found


def test_alarm_stands_while_enough_of_the_last_frames_show_gas():
    standing = alarms(shares("x.xx...xx"), TWO_OF_THREE)
    assert "".join("!" if each else "." for each in standing) == "..!!!...!"
    assert rising_edges(standing).tolist() == [2, 8]
    assert rising_edges(alarms(shares("xx"), AlarmRule(votes=1, window=1, area=0.01))).tolist() == [
        0
    ]


def test_alarms_agree_with_counting_each_window():
    random = np.random.default_rng(4)
    for rule in RULES:
        values = random.choice([0, 0.0005, 0.001, 0.01, 0.5], 60)
        counted = [
            sum(v >= rule.area for v in values[max(0, at + 1 - rule.window) : at + 1]) >= rule.votes
            for at in range(len(values))
        ]
        assert alarms(values, rule).tolist() == counted


def test_delay_is_from_the_onset_to_the_frame_that_decides_the_vote():
    found = only([clip("....x.xx", onset_s=2.0)])  # decided by frame 6, at 3 s
    assert (found.clips_with_gas, found.found, found.median_delay_s) == (1, 1, 1.0)
    assert (found.false_alarms, found.already_alarming) == (0, 0)
    assert found.quiet_s == 2.0


def test_a_false_alarm_before_the_onset_is_no_detection():
    found = only([clip("xxx.....", onset_s=2.0)])
    assert (found.found, found.false_alarms, found.median_delay_s) == (0, 1, None)


def test_an_alarm_that_stands_wrongly_when_the_gas_comes_is_told_and_not_credited():
    found = only([clip("..xxxxxx", onset_s=2.0)])
    assert (found.already_alarming, found.false_alarms) == (1, 1)
    assert found.median_delay_s == 0.5  # the votes are counted anew from the onset


def test_a_clip_without_gas_counts_towards_false_alarms_only():
    found = only([clip("xx..xx..", onset_s=None), clip("....xxxx", onset_s=2.0)])
    assert (found.clips_with_gas, found.found, found.false_alarms) == (1, 1, 2)
    assert found.quiet_s == 4.0 + 2.0


def test_missed_clips_do_not_shorten_the_delay_but_show_in_the_count():
    found = only([clip("..xx", onset_s=1.0), clip("....", onset_s=1.0), clip("..x...xx", 1.0)])
    assert (found.clips_with_gas, found.found) == (3, 2)
    assert (found.median_delay_s, found.worst_delay_s) == (1.5, 2.5)


def test_roc_area_is_the_share_of_pairs_in_the_right_order():
    random = np.random.default_rng(6)
    positive, negative = random.integers(0, 6, 30), random.integers(0, 5, 40)
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]
    assert area_under_roc(positive, negative) == pytest.approx(np.mean(pairs))
    assert area_under_roc([1], []) is None


def test_tiles_are_judged_by_each_rule_and_by_their_median():
    seen = {
        "a": shares("xx...."),
        "b": shares("......"),
        "c": shares("x....."),
        "d": shares("xxxx.."),
    }
    labels = {"a": True, "b": True, "c": False, "d": False}
    found = tile_scores(seen, labels, every=4, rules=[TWO_OF_THREE])
    assert (found.tiles_with_smoke, found.tiles_without, found.every) == (2, 2, 4)
    by_rule = {each.rule: (each.found, each.false_alarms) for each in found.rules}
    assert by_rule == {
        "median gas share 0.01 or more": (0.0, 0.5),
        "2 of 3 frames with gas on 0.01 or more": (0.5, 0.5),
    }
    assert found.area_under_roc == pytest.approx((0.5 + 0.5 + 0 + 0) / 4)


def test_tiles_of_one_label_only_give_no_roc_area_and_no_other_rate():
    found = tile_scores({"a": shares("x")}, {"a": False}, every=1)
    assert found.area_under_roc is None
    assert {each.found for each in found.rules} == {None}
