"""What makes a model that is tried worse, and what sends one on trial back."""

from __future__ import annotations

import numpy as np
import pytest

from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.tags import HealthCode
from edge_runtime.pipeline import Standing
from edge_runtime.slots.comparison import Comparison
from edge_runtime.slots.config import UpdateConfig
from edge_runtime.slots.probation import Probation

UPDATE = UpdateConfig(least_frames=10, probation_s=100, steady_s=20, slow_s=10, slower_limit=2)


def scene(*, gas: bool) -> np.ndarray:
    mask = np.full((40, 50), BACKGROUND, np.uint8)
    mask[30:, :10] = MACHINE
    if gas:
        mask[5:10, 5:15] = GAS_SMOKE
    return mask


def compared(running: np.ndarray, new: np.ndarray, frames: int = 20) -> Comparison:
    comparison = Comparison(UPDATE, ("north",), golden_gas=1.0)
    for _ in range(frames):
        comparison.take("north", running, new)
    return comparison


def test_models_that_agree_may_change_places():
    assert compared(scene(gas=True), scene(gas=True)).faults() == []


def test_a_model_that_misses_gas_may_not_take_over_however_small_the_gas_is():
    (fault,) = compared(scene(gas=True), scene(gas=False)).faults()
    assert "with gas are missed" in fault  # 2.5 % of the pixels differ: that alone would pass
    assert "missed_limit" in fault


def test_a_model_that_sees_gas_everywhere_may_not_take_over():
    faults = compared(scene(gas=False), scene(gas=True)).faults()
    assert any("extra_limit" in each for each in faults)


def test_a_model_that_is_blind_on_a_scene_without_gas_is_found_by_the_golden_frames():
    comparison = compared(scene(gas=False), scene(gas=False))
    assert comparison.faults() == []
    comparison.golden_gas = 0.0
    (fault,) = comparison.faults()
    assert "golden_gas_least" in fault


def test_golden_frames_without_gas_show_nothing_and_say_so():
    comparison = compared(scene(gas=False), scene(gas=False))
    comparison.golden_gas = None
    (fault,) = comparison.faults()
    assert "golden_gas_least = 0" in fault
    comparison.update = UPDATE.model_copy(update={"golden_gas_least": 0.0})
    assert comparison.faults() == []


def test_gas_that_is_missed_counts_among_the_frames_with_gas_however_few_they_are():
    comparison = compared(scene(gas=False), scene(gas=False), frames=990)
    for _ in range(10):
        comparison.take("north", scene(gas=True), scene(gas=False))
    (fault,) = comparison.faults()
    assert fault.startswith("camera north: 100.0% of the frames with gas are missed")


def test_a_few_stray_pixels_are_no_gas():
    stray = scene(gas=False)
    stray[0, 0] = GAS_SMOKE
    assert compared(scene(gas=False), stray).faults() == []


def test_a_camera_that_gave_no_frames_was_not_compared():
    comparison = compared(scene(gas=False), scene(gas=False))
    comparison.cameras = ("north", "south")
    (fault,) = comparison.faults()
    assert fault.startswith("camera south gave 0 frames")


def test_masks_of_another_size_are_compared_in_the_size_of_the_running_one():
    large = scene(gas=True).repeat(2, axis=0).repeat(2, axis=1)
    assert compared(scene(gas=True), large).faults() == []
    assert compared(large, scene(gas=True)).faults() == []


def test_a_slower_model_may_not_take_over():
    comparison = compared(scene(gas=False), scene(gas=False))
    comparison.running_ms, comparison.new_ms = [10.0, 11.0, 900.0], [19.0, 20.0, 21.0]
    assert comparison.faults() == []
    comparison.new_ms = [23.0] * 3
    (fault,) = comparison.faults()
    assert "slower_limit" in fault


def standing(now_s: float, *, ms: float = 10.0, faults: HealthCode = HealthCode(0)) -> Standing:  # noqa: B008 - a plain number
    return Standing(now_s, ms / 1e3, faults)


def test_a_model_is_confirmed_by_the_time_in_which_it_gave_masks_not_by_the_clock():
    probation = Probation(UPDATE, None)
    for now_s in range(1000):  # cameras are dark: nothing is segmented
        assert probation.take(float(now_s), Standing(None, None, HealthCode.NO_CAMERA)) == ""
    assert not probation.is_steady
    for now_s in range(1000, 1022):
        assert probation.take(float(now_s), standing(now_s)) == ""
    assert probation.is_steady
    assert not probation.is_over
    for now_s in range(1022, 1110):
        assert probation.take(float(now_s), standing(now_s)) == ""
    assert probation.is_over


@pytest.mark.parametrize(
    ("worse", "said"),
    [
        ({"ms": 25.0}, "it took 25 ms a run, the one before 10 ms"),
        ({"faults": HealthCode.STALLED}, "it segmented none"),
        ({"faults": HealthCode.MODEL_INVALID}, "known-answer"),
    ],
)
def test_what_is_worse_for_long_goes_back_and_a_moment_does_not(worse, said):
    probation = Probation(UPDATE, 10.0)
    for now_s in range(9):
        assert probation.take(float(now_s), standing(now_s, **worse)) == ""
    assert probation.take(9.0, standing(9.0)) == ""
    for now_s in range(10, 20):
        assert probation.take(float(now_s), standing(now_s, **worse)) == ""
    assert said in probation.take(20.0, standing(20.0, **worse))


def test_int8_that_left_fp16_goes_back_at_once():
    found = HealthCode.NETWORK_DRIFT | HealthCode.TEST_SOURCE
    assert "disagreement_limit" in Probation(UPDATE, None).take(0.0, standing(0, faults=found))


def test_a_leak_is_never_a_reason_to_go_back():
    probation = Probation(UPDATE, 10.0)
    told = HealthCode.TEST_SOURCE | HealthCode.PICTURE_DRIFT | HealthCode.NO_CAMERA
    assert not any(probation.take(float(s), standing(s, faults=told)) for s in range(1000))
