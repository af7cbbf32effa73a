"""Camera health by a virtual clock: every blindness is told within two seconds."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.tags import HealthCode, Ne107, Quality
from edge_runtime.config import HealthConfig
from edge_runtime.supervision import CameraWatch, look_at, ne107_of, quality_of
from tests.edge_runtime.conftest import frame_at, noisy_picture

ZERO = 100.0  # of the monotonic clock in frame_at


def watched(pictures, *, fps: float = 10.0, watch: CameraWatch | None = None, start: float = 0.0):
    """Show pictures at `fps`; return the watch, the time of the last and whether it was sane."""
    watch = watch or CameraWatch(HealthConfig())
    sane, at = True, start
    for index, picture in enumerate(pictures):
        at = start + index / fps
        sane = watch.saw(frame_at(at, picture), look_at(picture))
    return watch, ZERO + at, sane


def live(count: int, **options):
    return [noisy_picture(seed, **options) for seed in range(count)]


def first_told(fault: HealthCode, pictures, *, fps: float = 10.0) -> float:
    """Seconds from the beginning of a fault until it is told; a sound second goes before."""
    watch, now, _ = watched(live(10), fps=10)
    assert not watch.faults(now)
    for index, picture in enumerate(pictures):
        at = 1.0 + index / fps
        watch.saw(frame_at(at, picture), look_at(picture))
        if fault in watch.faults(ZERO + at):
            return at - 1.0
    pytest.fail(f"{fault} was never told")


def test_a_live_camera_has_no_fault():
    watch, now, sane = watched(live(40))
    assert sane
    assert not watch.faults(now)
    assert quality_of(watch.faults(now), stale=False) is Quality.GOOD


def test_a_camera_that_never_gave_a_picture_is_no_camera():
    assert CameraWatch(HealthConfig()).faults(ZERO) == HealthCode.NO_CAMERA


def test_a_silent_camera_is_lost_within_two_seconds_and_back_with_the_first_picture():
    watch, now, _ = watched(live(20))
    assert not watch.faults(now + 1.9)
    assert watch.faults(now + 2.01) == HealthCode.NO_CAMERA
    watch, now, _ = watched(live(1), watch=watch, start=60.0)
    assert not watch.faults(now)


def test_pictures_are_late_after_three_periods_but_not_before_half_a_second():
    assert watched(live(20), fps=25)[0].stale_after_s == 0.5
    assert watched(live(20), fps=2)[0].stale_after_s == pytest.approx(1.5, rel=0.01)


def test_a_frozen_picture_is_told_within_two_seconds():
    still = noisy_picture(1)
    assert first_told(HealthCode.FROZEN, [still] * 30) <= 2.0


def test_a_stream_that_repeats_one_picture_at_an_absurd_rate_is_frozen_too():
    assert first_told(HealthCode.FROZEN, [noisy_picture(1)] * 1000, fps=400) <= 2.0


def test_a_running_clock_in_a_frozen_picture_does_not_make_it_live():
    pictures = []
    for index in range(30):
        picture = noisy_picture(1, width=640, height=480)
        cv2.putText(picture, f"12:00:{index:02d}", (8, 12), 0, 0.3, (255, 255, 255), 1)
        pictures.append(picture)
    assert first_told(HealthCode.FROZEN, pictures) <= 2.0


def test_sensor_noise_alone_keeps_a_still_scene_live():
    quiet = [
        (noisy_picture(0).astype(np.int16) + np.random.default_rng(n).normal(0, 0.4, (48, 64, 1)))
        .round()
        .clip(0, 255)
        .astype(np.uint8)
        for n in range(60)
    ]
    watch, now, sane = watched(quiet)
    assert sane
    assert not watch.faults(now)


@pytest.mark.parametrize(
    ("fault", "picture"),
    [
        (HealthCode.DARK, noisy_picture(level=0) // 32),
        (HealthCode.SATURATED, np.full((48, 64, 3), 255, np.uint8)),
        (HealthCode.BLURRED, cv2.GaussianBlur(noisy_picture(width=256, height=192), (0, 0), 8)),
    ],
)
def test_an_obscured_camera_is_told_within_two_seconds(fault: HealthCode, picture):
    assert first_told(fault, [picture] * 20) <= 2.0


def test_a_dark_moment_is_no_fault_but_gives_no_vote_either():
    watch, now, sane = watched([*live(10), np.zeros((48, 64, 3), np.uint8)])
    assert not sane
    assert not watch.faults(now)


def test_another_size_than_configured_is_told_at_once():
    watch = CameraWatch(HealthConfig(), (64, 48))
    watch, now, sane = watched(live(3, width=80, height=60), watch=watch)
    assert not sane
    assert watch.faults(now) == HealthCode.WRONG_SIZE


@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 3600.0])
def test_a_clock_that_jumps_is_told_and_forgiven_after_two_seconds(step_s: float):
    watch, _, _ = watched(live(10))
    picture = noisy_picture(99)
    watch.saw(frame_at(1.1, picture, clock_s=1.8e9 + step_s), look_at(picture))
    assert watch.faults(ZERO + 1.1) == HealthCode.CLOCK_BAD
    for index in range(25):
        picture = noisy_picture(200 + index)
        at = 1.2 + index / 10
        watch.saw(frame_at(at, picture, clock_s=1.8e9 + step_s), look_at(picture))
    assert not watch.faults(ZERO + at)


def test_a_clock_that_was_never_set_is_bad_for_as_long_as_it_is():
    watch = CameraWatch(HealthConfig())
    for index in range(50):
        picture = noisy_picture(index)
        watch.saw(frame_at(index / 10, picture, clock_s=3600.0), look_at(picture))
    assert HealthCode.CLOCK_BAD in watch.faults(ZERO + 4.9)


def test_an_old_picture_that_comes_again_renews_nothing():
    watch, now, _ = watched(live(10))
    old = noisy_picture(3)
    for _ in range(5):
        assert not watch.saw(frame_at(0.3, old), look_at(old))
    assert watch.faults(now + 2.1) == HealthCode.NO_CAMERA


@pytest.mark.parametrize("fault", [bit for bit in HealthCode if bit != HealthCode.TEST_SOURCE])
def test_every_fault_makes_quality_bad(fault: HealthCode):
    assert quality_of(fault, stale=False) is Quality.BAD
    assert quality_of(fault | HealthCode.TEST_SOURCE, stale=True) is Quality.BAD


def test_a_replay_is_uncertain_and_a_check_of_function():
    assert quality_of(HealthCode.TEST_SOURCE, stale=False) is Quality.UNCERTAIN
    assert ne107_of(HealthCode.TEST_SOURCE, Quality.UNCERTAIN) is Ne107.CHECK_FUNCTION


def test_blindness_is_a_failure_and_starting_is_not():
    assert ne107_of(HealthCode.FROZEN | HealthCode.STARTING, Quality.BAD) is Ne107.FAILURE
    assert ne107_of(HealthCode.STARTING, Quality.BAD) is Ne107.CHECK_FUNCTION
    assert ne107_of(HealthCode(0), Quality.GOOD) is Ne107.NORMAL


@pytest.mark.data
def test_no_real_camera_picture_at_hand_is_called_blind(real_data):
    from contract.pictures import pictures_in, read_picture

    for name, step in (("gasvid_ir", 25), ("smoke5k_real", 60), ("smoke5k_syn", 100)):
        for path in pictures_in(real_data / name / "images")[::step]:
            picture = read_picture(path)
            assert CameraWatch(HealthConfig()).saw(frame_at(0, picture), look_at(picture)), path
