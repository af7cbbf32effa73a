"""A simulated scene is the same for everyone, moves as a camera sees it, and tells the truth."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from contract.errors import ConfigError
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
from contract.simulated_distractors import Distractors
from contract.simulated_scene import SimulatedScene

DIGEST = """
import hashlib
from contract.simulated_scene import SimulatedScene
scene = SimulatedScene("gas", 96, 64, 5)
digest = hashlib.sha256()
for index in (0, 40, 7):
    for part in scene.frame(index):
        digest.update(part.tobytes())
print(digest.hexdigest())
"""


def gas(mask) -> float:
    return float((mask == GAS_SMOKE).mean())


def test_the_same_seed_gives_the_same_bytes_in_another_process():
    ran = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    scene = SimulatedScene("gas", 96, 64, 5)
    digest = hashlib.sha256()
    for index in (0, 40, 7):
        for part in scene.frame(index):
            digest.update(part.tobytes())
    assert ran.stdout.strip() == digest.hexdigest()


def test_a_frame_does_not_depend_on_those_before_it():
    one = SimulatedScene("smoke", 64, 64, 3)
    for index in range(5):
        one.frame(index)
    again = SimulatedScene("smoke", 64, 64, 3).frame(5)
    assert (one.frame(5)[0] == again[0]).all()
    assert (one.frame(5)[1] == again[1]).all()


def test_another_seed_is_another_scene():
    first, second = (SimulatedScene("gas", 64, 64, s).frame(0)[0] for s in (1, 2))
    assert np.abs(first.astype(int) - second).mean() > 5


def test_consecutive_frames_differ_as_a_live_camera_does():
    scene = SimulatedScene("gas", 64, 64, 1, plume=False)
    first, second = scene.frame(10)[0], scene.frame(11)[0]
    change = np.abs(first.astype(int) - second)
    assert 0 < change.mean() < 10
    assert (change > 0).mean() > 0.2


def test_the_plume_moves_while_the_machines_stand():
    scene = SimulatedScene("smoke", 96, 96, 4, plume=True, distractors=False, large=True)
    early, late = scene.frame(100)[1], scene.frame(115)[1]
    assert (early != late).any()
    never_gas = (early != GAS_SMOKE) & (late != GAS_SMOKE)
    assert (early[never_gas] == late[never_gas]).all()


@pytest.mark.parametrize("kind", ["gas", "smoke"])
def test_nothing_is_gas_before_the_onset_and_something_is_after(kind):
    scene = SimulatedScene(kind, 96, 96, 11, plume=True, onset=30)
    assert all(gas(scene.frame(index)[1]) == 0 for index in (0, 15, 29))
    assert max(gas(scene.frame(index)[1]) for index in (60, 90, 120)) > 0.002


@pytest.mark.parametrize("kind", ["gas", "smoke"])
def test_what_the_mask_calls_gas_is_to_be_seen_and_what_it_does_not_is_not(kind):
    inside, outside = [], []
    for seed in range(12):
        with_plume = SimulatedScene(kind, 96, 96, seed, plume=True)
        without = SimulatedScene(kind, 96, 96, seed, plume=False)
        picture, mask = with_plume.frame(80)
        change = np.abs(picture.astype(int) - without.frame(80)[0]).mean(axis=2)
        assert gas(mask) > 0
        inside.append(change[mask == GAS_SMOKE].mean())
        outside.append(change[mask != GAS_SMOKE].mean())
    assert min(inside) > 3
    assert np.median(inside) > 10
    assert max(outside) < 2


def test_where_gas_covers_a_machine_the_pixel_is_gas():
    covered = 0
    for seed in range(6):
        mask = SimulatedScene("smoke", 96, 96, seed, plume=True).frame(60)[1]
        still = SimulatedScene("smoke", 96, 96, seed, plume=False).frame(60)[1]
        covered += int(((still == MACHINE) & (mask == GAS_SMOKE)).sum())
        assert set(np.unique(still)) <= {BACKGROUND, MACHINE}
    assert covered > 0


def test_every_infrared_scene_has_machines_and_some_have_no_plume():
    scenes = [SimulatedScene("gas", 64, 64, seed) for seed in range(24)]
    assert all((scene.frame(0)[1] != BACKGROUND).any() for scene in scenes)
    without = sum(not scene.has_plume for scene in scenes)
    assert 0 < without < 12


def test_infrared_plumes_are_bright_in_some_scenes_and_dark_in_others():
    brighter = []
    for seed in range(20):
        seen = SimulatedScene("gas", 64, 64, seed, plume=True).frame(60)
        clear = SimulatedScene("gas", 64, 64, seed, plume=False).frame(60)[0]
        change = seen[0].astype(int) - clear
        brighter.append(change[seen[1] == GAS_SMOKE].mean() > 0)
    assert 4 <= sum(brighter) <= 16


def test_gas_as_warm_as_what_is_behind_it_is_not_labelled_however_thick():
    alike, different = [], []
    for seed in range(1, 6):
        scene = SimulatedScene("gas", 96, 96, seed, plume=True, distractors=False)
        density = scene.density(60)
        thick = density > np.quantile(density[density > 0], 0.8)
        scene._gas_kelvin = float(np.median(scene._still[thick]))
        assert (scene.density(60) == density).all()
        levels = np.abs((scene._still[..., 0] - scene._gas_kelvin) * scene._camera.gain)
        labelled = scene.frame(60)[1] == GAS_SMOKE
        alike.append(labelled[thick & (levels < 1)])
        different.append(labelled[thick & (levels > 40)])
    # not none: the optics blur a little in from beside
    assert np.concatenate(alike).mean() < 0.2
    assert np.concatenate(different).mean() > 0.8


def test_labelled_gas_has_density_and_where_there_is_none_nothing_is_labelled():
    for kind in ("gas", "smoke"):
        for seed in range(6):
            scene = SimulatedScene(kind, 96, 96, seed, plume=True, distractors=True)
            density, mask = scene.density(50), scene.frame(50)[1]
            assert density.shape == mask.shape
            assert density.dtype == np.float32
            assert (density >= 0).all()
            assert (density[mask == GAS_SMOKE] > 0).all()
    empty = SimulatedScene("gas", 64, 64, 1, plume=True, onset=9)
    assert not empty.density(8).any()
    assert empty.density(60).any()
    assert not SimulatedScene("gas", 64, 64, 1, plume=False).density(60).any()


def test_a_thicker_column_lets_less_light_through():
    """Beer and Lambert: the change grows with density where the background is even."""
    checked = 0
    for seed in range(12):
        scene = SimulatedScene("gas", 96, 96, seed, plume=True, distractors=False)
        clear = SimulatedScene("gas", 96, 96, seed, plume=False, distractors=False).frame(60)
        change = np.abs(scene.frame(60)[0].astype(int) - clear[0])[..., 0]
        density = scene.density(60)
        open_air = (clear[1] == BACKGROUND) & (density > 0)
        if open_air.sum() < 400:
            continue
        thin, thick = np.quantile(density[open_air], (0.3, 0.9))
        light = change[open_air & (density <= thin)].mean()
        assert change[open_air & (density >= thick)].mean() > light
        checked += 1
    assert checked >= 8


@pytest.mark.parametrize("kind", ["gas", "smoke"])
def test_a_large_leak_is_large_and_stands_out(kind):
    areas, strengths = [], []
    for seed in range(12):
        scene = SimulatedScene(kind, 64, 64, seed, plume=True, large=True)
        clear = SimulatedScene(kind, 64, 64, seed, plume=False, large=True).frame(60)[0]
        picture, mask = scene.frame(60)
        areas.append(gas(mask))
        strengths.append(np.abs(picture.astype(int) - clear)[mask == GAS_SMOKE].mean())
    assert np.median(areas) > 0.08
    assert np.median(strengths) > 25


@pytest.mark.parametrize("kind", ["gas", "smoke"])
def test_distractors_change_the_picture_and_are_never_gas(kind):
    changed = 0
    for seed in range(12):
        plain = SimulatedScene(kind, 96, 96, seed, plume=False, distractors=False)
        disturbed = SimulatedScene(kind, 96, 96, seed, plume=False, distractors=True)
        assert gas(disturbed.frame(40)[1]) == 0
        change = np.abs(disturbed.frame(40)[0].astype(int) - plain.frame(40)[0])
        changed += int(change.max() > 40)
    assert changed >= 6


def test_steam_is_dense_at_its_vent_ends_soon_and_is_never_in_the_infrared():
    vent, found = 48 + 80j, 0
    for seed in range(30):
        for channels in (1, 3):
            canvas = np.zeros((96, 96, channels), np.float32)
            random = np.random.default_rng(seed)
            steam = Distractors(random, canvas, [vent], active=True).steam
            if channels == 1:
                assert steam is None
            elif steam is not None:
                opacity = np.max([steam.opacity(time) for time in (20, 40, 60)], axis=0)
                assert opacity[70:90, 38:58].max() > 0.6
                assert (opacity == 0).mean() > 0.4  # no haze is left behind
                found += 1
    assert found >= 8


def test_a_shaking_camera_moves_machines_and_mask_together():
    for seed in range(80):
        scene = SimulatedScene("gas", 96, 96, seed, plume=False, distractors=True)
        first, second = scene.frame(0)[1] == MACHINE, scene.frame(1)[1] == MACHINE
        if (first != second).sum() > 60:
            picture = scene.frame(0)[0][..., 0].astype(int)
            edges = np.abs(np.diff(picture, axis=1))
            mask_edges = first[:, 1:] != first[:, :-1]
            assert edges[mask_edges].mean() > 2 * edges[~mask_edges].mean()
            return
    pytest.fail("no camera shook in 80 scenes")


def test_gas_is_grey_and_smoke_in_colour_unless_asked():
    def is_grey(scene) -> bool:
        picture = scene.frame(0)[0]
        return bool((picture == picture[..., :1]).all())

    assert is_grey(SimulatedScene("gas", 64, 64, 1))
    assert not is_grey(SimulatedScene("smoke", 64, 64, 1))
    assert is_grey(SimulatedScene("smoke", 64, 64, 1, grey=True))
    assert not is_grey(SimulatedScene("gas", 64, 64, 1, grey=False))


@pytest.mark.parametrize("size", [(32, 32), (33, 200), (320, 64)])
def test_any_size_from_32_works(size):
    for seed in range(12):
        picture, mask = SimulatedScene("gas", *size, seed).frame(3)
        assert picture.shape == (size[1], size[0], 3)
        assert mask.shape == (size[1], size[0])


def test_impossible_scenes_are_refused():
    with pytest.raises(ConfigError, match="kinds are gas and smoke"):
        SimulatedScene("steam", 64, 64, 1)
    with pytest.raises(ConfigError, match="16x64; at least 32x32"):
        SimulatedScene("gas", 16, 64, 1)
