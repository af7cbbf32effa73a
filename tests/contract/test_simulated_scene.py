"""A simulated scene is the same for everyone, moves as a camera sees it, and tells the truth."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from contract.errors import ConfigError
from contract.label_map import BACKGROUND, GAS_SMOKE, MACHINE
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
    scene = SimulatedScene("smoke", 96, 96, 4, plume=True)
    early, late = scene.frame(100)[1], scene.frame(115)[1]
    assert (early != late).any()
    never_gas = (early != GAS_SMOKE) & (late != GAS_SMOKE)
    assert (early[never_gas] == late[never_gas]).all()


@pytest.mark.parametrize("kind", ["gas", "smoke"])
def test_nothing_is_gas_before_the_onset_and_something_is_after(kind):
    scene = SimulatedScene(kind, 96, 96, 11, plume=True, onset=30)
    assert all(gas(scene.frame(index)[1]) == 0 for index in (0, 15, 29))
    assert max(gas(scene.frame(index)[1]) for index in (60, 90, 120)) > 0.002


def test_gas_in_the_mask_is_to_be_seen_in_the_picture():
    changes = []
    for seed in range(8):
        with_plume = SimulatedScene("gas", 96, 96, seed, plume=True)
        without = SimulatedScene("gas", 96, 96, seed, plume=False)
        picture, mask = with_plume.frame(80)
        change = np.abs(picture.astype(int) - without.frame(80)[0]).mean(axis=2)
        if gas(mask):
            changes.append(change[mask == GAS_SMOKE].mean())
        assert change[mask != GAS_SMOKE].mean() < 3
    assert len(changes) >= 6
    assert np.median(changes) > 8


def test_where_gas_covers_a_machine_the_pixel_is_gas():
    covered = 0
    for seed in range(6):
        mask = SimulatedScene("smoke", 96, 96, seed, plume=True).frame(60)[1]
        still = SimulatedScene("smoke", 96, 96, seed, plume=False).frame(60)[1]
        covered += int(((still == MACHINE) & (mask == GAS_SMOKE)).sum())
        assert set(np.unique(still)) <= {BACKGROUND, MACHINE}
    assert covered > 0


def test_every_scene_has_machines_and_some_have_no_plume():
    scenes = [SimulatedScene("gas", 64, 64, seed) for seed in range(24)]
    assert all((scene.frame(0)[1] != BACKGROUND).any() for scene in scenes)
    without = sum(not scene.has_plume for scene in scenes)
    assert 0 < without < 12


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
