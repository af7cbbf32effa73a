"""What a camera's leaks are, on pictures and masks by a virtual clock."""

from __future__ import annotations

import math

import numpy as np
import pytest

from contract.geometry import FrameFit
from contract.label_map import GAS_SMOKE
from contract.simulated_scene import SimulatedScene
from contract.tags import LeakState
from edge_runtime.leaks.config import IgnoreConfig, LeakConfig, LeakRule, ZoneConfig
from edge_runtime.leaks.judge import LeakJudge
from tests.edge_runtime.leaks.scenes import NOTHING, SIDE, UTC, Watched, blob, states

LEFT = ZoneConfig(name="left", polygon=((0, 0), (48, 0), (48, 96), (0, 96)))
RIGHT = ZoneConfig(name="right", polygon=((48, 0), (96, 0), (96, 96), (48, 96)))


def drawn_out(seconds: float):
    """Gas that comes out at the left and grows to the right."""
    return blob(20, 48) | blob(20 + 6 * seconds, 48, 5 + seconds, 4 + 3 * np.sin(9 * seconds) ** 2)


def test_a_plume_that_billows_is_a_leak_with_number_and_onset():
    watched = Watched()
    watched.see(NOTHING, 3)
    said = watched.see(blob(40, 40), 4)
    assert states(said)[-1] is LeakState.LEAK
    assert not said[-1].verdict.still
    (leak,) = said[-1].leaks
    assert (leak.number, leak.moves) == (1, True)
    assert leak.centroid == pytest.approx((40.5 / SIDE, 40.5 / SIDE), abs=1 / SIDE)
    assert said[-1].gas.area_px == pytest.approx(blob(40, 40).sum(), rel=0.02)


def test_a_stain_is_told_as_a_still_suspect_and_is_no_leak_however_long_it_stands():
    said = Watched().see(blob(40, 40), 15, billows=False)
    assert LeakState.LEAK not in states(said)
    assert set(states(said)[10:]) == {LeakState.SUSPECT}
    assert said[-1].verdict.still
    assert not said[-1].leaks[0].moves


def test_with_the_motion_check_off_a_stain_is_a_leak():
    said = Watched(LeakConfig(motion_over_rest=0)).see(blob(40, 40), 5, billows=False)
    assert states(said)[-1] is LeakState.LEAK


def test_a_plume_beside_a_large_stain_is_the_leak_that_leads():
    watched = Watched()
    stain = blob(70, 70, 20, 20)
    watched.see(stain, 8, billows=False)

    said = watched.see(stain | blob(20, 20, 9, 7), 5, billows=blob(20, 20, 9, 7))
    assert states(said)[-1] is LeakState.LEAK
    leads, other = said[-1].leaks
    assert leads.moves
    assert not other.moves
    assert leads.centroid[0] < 0.4


def test_a_leak_that_flickers_keeps_its_number():
    watched = Watched()
    watched.see(blob(40, 40), 4)
    for _ in range(10):
        watched.see(NOTHING, 1.5)
        said = watched.see(blob(42, 41), 0.5)
    assert [leak.number for leak in said[-1].leaks] == [1]
    assert states(said)[-1] is LeakState.LEAK


def test_puffs_that_come_off_stay_with_their_leak():
    watched = Watched()
    said = watched.see(lambda at: blob(30, 40) | blob(35 + 4 * at, 40, 6, 6), 10)
    assert said[-1].count == 2
    assert [leak.number for leak in said[-1].leaks] == [1]


def test_two_leaks_that_meet_later_keep_their_numbers():
    watched = Watched()
    watched.see(blob(20, 48) | blob(76, 48), 12)
    said = watched.see(lambda at: blob(20 + 4 * at, 48, 14) | blob(76 - 4 * at, 48, 14), 5)
    assert said[-1].count == 1
    assert sorted(leak.number for leak in said[-1].leaks) == [1, 2]


def test_two_pieces_that_grow_together_at_once_are_one_leak():
    watched = Watched()
    said = watched.see(lambda at: blob(30 + 3 * at, 48, 10) | blob(66 - 3 * at, 48, 10), 6)
    assert [leak.number for leak in said[-1].leaks] == [1]


def test_specks_that_flash_up_get_no_number_and_no_vote():
    random = np.random.default_rng(5)
    watched = Watched()
    said = watched.see(lambda _: blob(*random.uniform(10, 86, 2), 4, 4), 6)
    assert set(states(said)[10:]) == {LeakState.NONE}
    assert all(leak.number == 0 for each in said for leak in each.leaks)


def test_growth_is_the_slope_of_the_area():
    watched = Watched()
    said = watched.see(lambda at: blob(48, 48, 8 + at, 8 + at), 10)
    rows = [each.gas.area_fraction for each in said[-80:]]
    slope = np.polyfit(np.arange(80) / 10, rows, 1)[0]
    assert said[-1].leaks[0].growth_per_s == pytest.approx(slope, rel=0.1)


@pytest.mark.parametrize("seed", [0, 2])
def test_source_and_drift_are_those_of_the_simulated_plume(seed):
    width, height = 192, 144
    scene = SimulatedScene("smoke", width, height, seed, plume=True, distractors=False)
    judge, fit = LeakJudge(LeakConfig()), FrameFit(width, height, 0, 0, width, height)
    for index in range(60):
        picture, mask = scene.frame(index)
        score = np.where(mask == GAS_SMOKE, np.uint8(220), np.uint8(0))
        said = judge.update(picture, mask, score, fit, 100 + index / 10, UTC + index)
    leak, truth = said.leaks[0], scene._plume._release
    outlet = truth.source.real / width, truth.source.imag / height
    assert leak.source == pytest.approx(outlet, abs=0.05)
    travel = truth.wind * truth.life + truth.rise + truth.jet
    towards = math.degrees(math.atan2(-travel.imag, travel.real))
    assert abs((leak.drift_deg - towards + 180) % 360 - 180) < 45


def test_a_jump_of_the_light_takes_no_vote_and_ends_no_leak():
    lamp = Watched()
    lamp.see(NOTHING, 4)
    said = lamp.see(blob(48, 48, 40, 40), 0.9, light=1.8, billows=False)  # the network is dazzled
    assert all(each.disturbed for each in said)
    assert states(said)[-1] is LeakState.NONE
    running = Watched()
    running.see(blob(40, 40), 5)
    said = running.see(NOTHING, 0.9, light=1.8)
    assert set(states(said)) == {LeakState.LEAK}
    assert all(each.disturbed for each in said)
    assert not running.see(NOTHING, 2, light=1.8)[-1].disturbed


def test_a_picture_that_never_rests_is_judged_as_it_is():
    watched = Watched()
    watched.see(NOTHING, 3)
    random = np.random.default_rng(2)
    for _ in range(80):
        watched.scene = random.uniform(20, 230, (SIDE, SIDE))
        said = watched.see(blob(40, 40), 0.1, billows=False)
    assert not said[-1].disturbed
    assert states(said)[-1] is LeakState.LEAK


def test_each_zone_has_its_own_state_and_the_leak_says_where_it_is():
    said = Watched(zones=(LEFT, RIGHT)).see(blob(24, 48), 5)
    left, right = said[-1].zones
    assert (left.name, left.verdict.state) == ("left", LeakState.LEAK)
    assert (right.name, right.verdict.state) == ("right", LeakState.NONE)
    assert left.gas.area_fraction == said[-1].gas.area_fraction
    assert said[-1].leaks[0].zone == "left"


def test_a_zone_may_have_a_rule_of_its_own():
    strict = RIGHT.model_copy(update={"leak": LeakRule(area_on=0.2, area_off=0.1)})
    said = Watched(zones=(LEFT, strict)).see(blob(72, 48), 5)
    assert states(said)[-1] is LeakState.LEAK
    assert said[-1].zones[1].verdict.state is LeakState.NONE


def test_ignored_gas_never_counts_and_the_field_is_smaller_by_it():
    ignored = (IgnoreConfig(polygon=LEFT.polygon),)
    watched = Watched(ignored=ignored)
    said = watched.see(blob(20, 48), 5)
    assert set(states(said)[10:]) == {LeakState.NONE}
    assert not watched.judge.mask().any()
    said = watched.see(blob(72, 48), 5)
    assert states(said)[-1] is LeakState.LEAK
    field = SIDE * SIDE - 49 * SIDE  # the border's pixels are touched and are ignored, too
    assert said[-1].gas.area_fraction == pytest.approx(blob(72, 48).sum() / field, rel=0.05)


def test_published_mask_holds_exactly_the_pixels_that_the_area_counts():
    watched = Watched()
    random = np.random.default_rng(4)
    for _ in range(30):
        speck = blob(*random.uniform(5, 90, 2), 3, 3)
        (found,) = watched.see(blob(48, 48) | speck, 0.1)
        assert found.gas.area_px == np.count_nonzero(watched.judge.mask())


def test_smoothing_takes_seconds_not_frames():
    """Gas of one second is held as long after its end at five frames a second as at 25."""
    held = []
    for fps in (5.0, 25.0):
        watched = Watched(LeakConfig(smooth_s=2.0), fps=fps)
        watched.see(NOTHING, 1)
        watched.see(blob(48, 48), 6, score=255)
        weak = watched.see(blob(48, 48), 4, score=20)
        held.append(sum(each.gas.area_px > 0 for each in weak) / fps)
    assert held[0] == pytest.approx(held[1], abs=0.4)
    assert 0.5 < held[0] < 3


def test_the_same_pictures_give_the_same_answers_whatever_other_cameras_do():
    alone = Watched(zones=(LEFT, RIGHT))
    first = alone.see(drawn_out, 6)
    beside, other = Watched(zones=(LEFT, RIGHT)), Watched()
    second = []
    for number in range(60):
        second += beside.see(drawn_out(number / 10), 0.1)
        other.see(blob(number, 30), 0.1)
    assert second == first


def test_masks_without_sense_break_nothing_and_every_pixel_is_somebodys():
    random = np.random.default_rng(7)
    watched = Watched(LeakConfig(smooth_s=0.1, off_delay_s=1), zones=(LEFT, RIGHT))
    for number in range(80):
        gas = NOTHING.copy()
        for _ in range(random.integers(0, 40 if number % 40 < 30 else 1)):
            gas |= blob(*random.uniform(0, 96, 2), *random.uniform(2, 9, 2))
        (found,) = watched.see(gas, 0.1, score=int(random.integers(100, 256)))
        tracks = watched.judge._view.tracks.tracks
        cells = np.concatenate([np.zeros(0, int), *(each.cells for each in tracks)])
        assert len(np.unique(cells)) == len(cells)
        assert len({each.slot for each in tracks}) == len(tracks) <= 16
        assert sum(each.pixels for each in tracks) <= found.gas.area_px
        assert sum(zone.gas.area_px for zone in found.zones) >= found.gas.area_px


def test_nothing_is_remembered_after_a_reset():
    watched = Watched(zones=(LEFT,))
    watched.see(blob(24, 48), 6)
    watched.judge.reset()
    (after,) = watched.see(NOTHING, 0.1)
    assert after.verdict.state is LeakState.UNKNOWN
    assert after.zones[0].verdict.state is LeakState.UNKNOWN
    assert after.leaks == ()
    assert after.count == 0
    watched.see(NOTHING, 2)
    assert [leak.number for leak in watched.see(blob(24, 48), 2)[-1].leaks] == [2]  # none twice


def test_a_picture_of_another_size_is_another_view():
    watched = Watched()
    watched.see(blob(40, 40), 6)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    fit = FrameFit(200, 100, 0, 24, SIDE, 48)
    said = watched.judge.update(np.zeros((100, 200, 3), np.uint8), mask, mask, fit, 200.0, 1)
    assert said.verdict.state is LeakState.UNKNOWN
    assert watched.judge.mask().shape == (48, SIDE)
