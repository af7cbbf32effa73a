"""From what is published of a camera to the signs of its alarms."""

from __future__ import annotations

import pytest

from contract.tags import HealthCode, LeakState, Ne107, Quality
from edge_runtime.alarms.config import LeakAlarm, ZoneAlarm
from edge_runtime.alarms.signs import failure_sign, leak_sign, ne107_sign, zone_sign

NONE, SUSPECT, LEAK, UNKNOWN = LeakState
THRESHOLD = LeakAlarm(area_above=0.02, area_deadband=0.01, score_above=0.7, score_deadband=0.2)


@pytest.mark.parametrize(
    ("state", "quality", "active", "there"),
    [
        (LEAK, Quality.GOOD, False, True),
        (LEAK, Quality.UNCERTAIN, False, True),
        (SUSPECT, Quality.GOOD, False, False),
        (SUSPECT, Quality.GOOD, True, True),  # a leak is over when no suspicion is left
        (NONE, Quality.GOOD, True, False),
        (LEAK, Quality.STALE, False, None),
        (NONE, Quality.STALE, True, None),
        (NONE, Quality.BAD, True, None),
        (LEAK, Quality.BAD, False, None),
        (UNKNOWN, Quality.GOOD, True, None),
    ],
)
def test_a_leak_is_believed_only_while_somebody_looks(alarms, state, quality, active, there):
    snapshot = alarms.show(state, quality).snapshot
    assert leak_sign(snapshot, LeakAlarm(), active=active).there is there


@pytest.mark.parametrize(
    ("area", "score", "active", "there"),
    [
        (0.019, 0.8, False, False),
        (0.021, 0.8, False, True),
        (0.021, 0.69, False, False),
        (0.019, 0.6, True, True),
        (0.009, 0.8, True, False),
        (0.021, 0.4, True, False),
        (None, None, False, True),  # what is not known keeps nobody from the alarm
    ],
)
def test_a_threshold_has_a_deadband(alarms, area, score, active, there):
    shown = alarms.show(LEAK, Leak__AreaFraction=area, Leak__Score=score)
    assert leak_sign(shown.snapshot, THRESHOLD, active=active).there is there


def test_a_zone_has_its_own_state_area_and_name(alarms):
    shown = alarms.show(
        NONE, Zone__State2=2, Zone__AreaFraction2=0.03, Zone__Name2="flare"
    ).snapshot
    sign = zone_sign(shown, 2, ZoneAlarm(area_above=0.02), active=False)
    assert sign.there
    assert sign.text == "Gas leak in zone flare"
    assert zone_sign(shown, 2, ZoneAlarm(area_above=0.04), active=False).there is False
    assert zone_sign(shown, 3, ZoneAlarm(), active=False).there is None


def test_a_test_source_and_blindness_stand_in_the_text(alarms):
    shown = alarms.show(LEAK, Quality.UNCERTAIN, HealthCode.TEST_SOURCE).snapshot
    assert leak_sign(shown, LeakAlarm(), active=False).text == "TEST: Gas leak"
    shown = alarms.show(LEAK, Quality.BAD, HealthCode.NO_CAMERA).snapshot
    assert "nobody is looking" in leak_sign(shown, LeakAlarm(), active=True).text


@pytest.mark.parametrize(
    ("quality", "code", "there", "patient", "text"),
    [
        (Quality.GOOD, 0, False, False, ""),
        (Quality.UNCERTAIN, HealthCode.TEST_SOURCE, False, False, ""),
        (Quality.STALE, 0, True, False, "old"),
        (Quality.BAD, HealthCode.FROZEN, True, False, "do not change"),
        (Quality.BAD, HealthCode.MODEL_INVALID, True, False, "known-answer"),
        (Quality.BAD, HealthCode.PLANT_LINK, True, False, "hears nothing"),
        (Quality.BAD, HealthCode.STARTING, True, True, "Too few"),
        (Quality.BAD, HealthCode.STARTING | HealthCode.PLANT_LINK, True, True, ""),
        (Quality.BAD, HealthCode.STARTING | HealthCode.DARK, True, False, "bright"),
    ],
)
def test_whatever_blinds_a_camera_is_a_failure(alarms, quality, code, there, patient, text):
    sign = failure_sign(alarms.show(LEAK, quality, code).snapshot)
    assert (sign.there, sign.patient) == (there, patient)
    if there:
        assert text in sign.text


@pytest.mark.parametrize(
    ("quality", "ne107", "there"),
    [
        (Quality.GOOD, Ne107.OFF_SPEC, True),
        (Quality.GOOD, Ne107.NORMAL, False),
        (Quality.UNCERTAIN, Ne107.OFF_SPEC, True),
        (Quality.STALE, Ne107.OFF_SPEC, None),
        (Quality.BAD, Ne107.FAILURE, None),
    ],
)
def test_off_specification_is_not_judged_blind(alarms, quality, ne107, there):
    shown = alarms.show(NONE, quality, ne107=ne107).snapshot
    sign = ne107_sign(shown, Ne107.OFF_SPEC, "Out of specification", suppressed=True)
    assert (sign.there, sign.suppressed) == (there, True)
