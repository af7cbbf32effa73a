"""A drill raises a leak that nobody can take for real, and gives way to what is real at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from contract.mask_encoding import decode_mask
from contract.tags import HealthCode, LeakState, Ne107, Quality
from edge_runtime.config import LeakConfig
from edge_runtime.drill import Drill, DrillPlume
from edge_runtime.leaks.config import ZoneConfig
from edge_runtime.leaks.judge import LeakJudge
from tests.edge_runtime.conftest import noisy_picture
from tests.edge_runtime.test_camera_state import CLEAR, GAS, Camera, assert_says_nothing

TEST = HealthCode.TEST_SOURCE | HealthCode.DRILL


def drill(camera: Camera, seconds: float = 20.0, rule: LeakConfig | None = None) -> Drill:
    rule = rule or LeakConfig()
    begin_ns = int((100 + camera.at) * 1e9)
    return Drill(LeakJudge(rule), rule, begin_ns=begin_ns, seconds=seconds)


def drilling() -> Camera:
    """A clear scene in which a drill has just begun."""
    camera = Camera()
    camera.sees(CLEAR, 3.0)
    assert camera.snapshot().quality is Quality.GOOD
    assert camera.state.begin_drill(drill(camera)) == ""
    return camera


def test_a_drill_raises_a_leak_and_says_all_along_that_it_is_a_test():
    camera = drilling()
    states = []
    for _ in range(60):
        camera.sees(CLEAR, 0.1)
        shown = camera.snapshot()
        assert HealthCode(shown.values["Health/Code"]) & TEST == TEST
        assert shown.quality is Quality.UNCERTAIN  # DataGood is 0: never a leak to act on
        assert shown.values["Health/NE107"] == Ne107.CHECK_FUNCTION
        states.append(shown.values["Leak/State"])
    assert [s for i, s in enumerate(states) if i == 0 or s != states[i - 1]] == [0, 1, 2]
    assert camera.state.drill.leak_ns is not None


def test_the_published_mask_of_a_drill_is_what_the_network_saw():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    shown = camera.snapshot()
    assert shown.values["Leak/State"] == LeakState.LEAK
    assert shown.values["Leak/AreaPx"] > 0
    assert "Leak/Id" not in shown.values
    real = decode_mask(shown.values["Mask/Data"])
    assert not real.mask.any()
    assert real.state == LeakState.NONE


def test_the_overlay_of_a_drill_shows_its_plume():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    assert (camera.state.counted(CLEAR) > 0).any()


def test_a_made_up_leak_carries_its_mark_until_a_frame_has_taken_its_place():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    camera.state.end_drill("enough")
    shown = camera.snapshot()
    assert shown.values["Leak/State"] == LeakState.LEAK
    assert HealthCode(shown.values["Health/Code"]) & TEST == TEST
    assert shown.quality is Quality.UNCERTAIN


def test_after_a_drill_the_camera_says_what_it_sees_at_once():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    camera.state.end_drill("enough")
    camera.sees(CLEAR, 0.1)
    shown = camera.snapshot()
    assert shown.values["Leak/State"] == LeakState.NONE
    assert shown.quality is Quality.GOOD
    assert shown.values["Health/Code"] == 0
    assert camera.state.drill.ended == "enough"


def test_a_drill_may_follow_another_before_the_next_frame():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    camera.state.end_drill("enough")
    assert camera.state.begin_drill(drill(camera)) == ""  # the made-up leak is no real one


def test_a_drill_ends_by_itself():
    camera = Camera()
    camera.sees(CLEAR, 3.0)
    assert camera.state.begin_drill(drill(camera, seconds=4.0)) == ""
    camera.sees(CLEAR, 4.3)
    assert "time" in camera.state.drill.ended
    assert camera.snapshot().values["Leak/State"] == LeakState.NONE


def test_a_real_leak_meanwhile_ends_the_drill_and_is_shown_as_one():
    camera, alone = drilling(), Camera()
    alone.sees(CLEAR, 3.0)
    camera.sees(CLEAR, 5.0)
    alone.sees(CLEAR, 5.0)
    assert camera.snapshot().values["Leak/State"] == LeakState.LEAK  # of the drill
    for _ in range(60):
        camera.sees(GAS, 0.1)
        alone.sees(GAS, 0.1)
        shown, undisturbed = camera.snapshot(), alone.snapshot()
        if undisturbed.values["Leak/State"] != LeakState.NONE:
            assert shown.values["Leak/State"] == undisturbed.values["Leak/State"]
            assert shown.values["Health/Code"] == 0
            assert shown.quality is Quality.GOOD
    assert shown.values["Leak/State"] == LeakState.LEAK
    assert "suspect" in camera.state.drill.ended
    assert decode_mask(shown.values["Mask/Data"]).mask.any()


def zoned() -> Camera:
    """A camera with a zone whose gas is too little for the picture as a whole."""
    most = LeakConfig(area_on=0.5, area_off=0.4)
    zone = ZoneConfig(
        name="flange", polygon=((0, 0), (24, 0), (24, 24), (0, 24)), leak=LeakConfig()
    )
    return Camera(LeakJudge(most, (zone,)))


def test_real_gas_in_a_zone_alone_ends_the_drill_too():
    camera = zoned()
    camera.sees(CLEAR, 3.0)
    assert camera.state.begin_drill(drill(camera)) == ""
    camera.sees(CLEAR, 5.0)
    assert camera.snapshot().values["Leak/State"] == LeakState.LEAK  # of the drill
    camera.sees(GAS, 3.0)
    shown = camera.snapshot()
    assert shown.values["Leak/State"] == LeakState.NONE
    assert shown.values["Zone/State1"] != LeakState.NONE
    assert "suspect" in camera.state.drill.ended
    assert shown.values["Health/Code"] == 0


def test_no_drill_begins_while_there_is_gas_in_a_zone():
    camera = zoned()
    camera.sees(GAS, 6.0)
    shown = camera.snapshot()
    assert (shown.values["Leak/State"], shown.values["Zone/State1"]) == (0, 2)
    assert "leak" in camera.state.begin_drill(drill(camera))


def test_a_blind_camera_ends_the_drill_and_says_nothing():
    camera = drilling()
    camera.sees(CLEAR, 5.0)
    black = np.zeros_like(noisy_picture())
    camera.sees(CLEAR, 2.0, picture=black)
    assert_says_nothing(camera.snapshot())
    assert camera.state.drill.ended
    camera.sees(CLEAR, 4.0)
    assert camera.snapshot().values["Leak/State"] == LeakState.NONE


def test_no_drill_begins_while_it_would_prove_nothing_or_hide_something():
    camera = Camera()
    assert "nobody is looking" in camera.state.begin_drill(drill(camera))
    camera.sees(CLEAR, 3.0)
    assert camera.state.begin_drill(drill(camera)) == ""
    assert "already" in camera.state.begin_drill(drill(camera))
    leaking = Camera()
    leaking.sees(GAS, 6.0)
    assert "leak" in leaking.state.begin_drill(drill(leaking))


@pytest.mark.parametrize("area_on", [0.001, 0.02, 0.08])
def test_the_plume_is_large_enough_for_the_cameras_own_rule(area_on):
    rule = LeakConfig(area_on=area_on, area_off=area_on / 2)
    camera = Camera()
    camera.sees(CLEAR, 3.0)
    assert camera.state.begin_drill(drill(camera, rule=rule)) == ""
    camera.sees(CLEAR, 6.0)
    assert camera.snapshot().values["Leak/State"] == LeakState.LEAK


def test_the_plume_fills_its_share_and_moves():
    plume = DrillPlume(0.02, 3)
    seen = [plume.cells(48, 64, at_s) for at_s in (0.0, 1.0, 2.0, 60.0)]
    assert all(0.01 < cells.mean() < 0.03 for cells in seen)
    assert all((one != other).any() for one, other in itertools.pairwise(seen))
    assert DrillPlume(0.02, 3).cells(48, 64, 0.0).tolist() == seen[0].tolist()
