"""Calibration frames cover what a larger folder shows, are the same for a seed, and have gas."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from calibration.plumes import Plume, plumes_of
from calibration.selection import candidates, choose, mix_of, require_thin
from contract.bundle import Bundle
from contract.errors import InputError
from contract.plume_scores import PLUME_EDGES
from contract.precision import Precision
from tests.bundles import TINY, tiny_pictures
from tests.calibration.conftest import write_pictures
from tests.calibration.taught import scenes


def _nothing(_facts):
    return frozenset()


def _choose(folder, count, *, seed=0, seen=_nothing, only=None):
    root, files = candidates(folder, only)
    return choose(root, files, count=count, seed=seed, graph=b"", geometry=TINY, seen=seen)


def _names(chosen):
    return [frame.path.stem for frame in chosen.frames]


@pytest.fixture
def folder(tmp_path):
    """Fifty usual pictures of one scene, four of another; night, infrared and no gas are rare."""
    pictures, masks = scenes(54, seed=31, thin=3)
    pictures[:3] = pictures[:3] // 3  # night, once it has a tint
    pictures[3:] += 40
    tint = np.zeros((54, 1, 1, 3), np.uint8)
    tint[:, ..., 2] = 12
    tint[5:7] = 0
    pictures[5:7] = pictures[5:7].mean(axis=3, keepdims=True)  # as of an infrared camera
    masks[8:10] = 0
    write_pictures(tmp_path / "images", pictures + tint)
    write_pictures(tmp_path / "masks", masks)
    rows = [f"p{at:03}.png,{'yard' if at < 50 else 'stack'}" for at in range(54)]
    (tmp_path / "index.csv").write_text("\n".join(["image,group", *rows]) + "\n")
    return tmp_path


def test_what_is_rare_in_the_folder_is_among_the_chosen(folder):
    chosen = _choose(folder, 16)
    mix = mix_of(chosen)
    assert (mix.frames, mix.chosen_from, mix.plumes_by, mix.views_by) == (16, 54, "masks", "index")
    assert mix.views == 2
    assert mix.night == 3
    assert mix.grey == 2
    assert mix.with_gas == 14  # of 52: both without gas are taken
    assert {"p051", "p052", "p053"} <= set(_names(chosen))  # the small plumes
    assert mix.thin >= 3
    assert sum(mix.plume_sizes) == mix.with_gas
    assert sum(mix.grey_levels) == 16
    scenes_taken = Counter(chosen.scenes)
    assert min(scenes_taken.values()) == 4  # all of the rare scene


def test_the_same_seed_chooses_the_same_frames_and_another_seed_others(folder):
    first = _names(_choose(folder, 20, seed=3))
    assert first == _names(_choose(folder, 20, seed=3)) == sorted(first)
    assert first != _names(_choose(folder, 20, seed=4))


def test_a_list_is_taken_whole_and_a_stem_that_is_not_there_is_refused(folder):
    stems = [f"p{at:03}" for at in range(2, 40)]
    assert _names(_choose(folder, None, only=stems)) == stems
    assert len(_names(_choose(folder, 16, only=stems))) == 16
    with pytest.raises(InputError, match="holds no picture nope"):
        candidates(folder, [*stems, "nope"])


def test_pictures_of_other_sets_are_left_out_of_a_choice(folder):
    chosen = _choose(folder, 16, seen=lambda facts: frozenset(range(len(facts) - 20)))
    assert set(_names(chosen)) <= {f"p{at:03}" for at in range(34, 54)}


def test_too_few_frames_and_a_missing_folder_are_refused(tmp_path):
    write_pictures(tmp_path / "few", tiny_pictures(15))
    with pytest.raises(InputError, match=r"15 frames are too few.*at least 16"):
        _choose(tmp_path / "few", None)
    with pytest.raises(InputError, match="is not a folder"):
        candidates(tmp_path / "nowhere", None)


def test_masks_are_found_from_the_folder_of_images_too(folder):
    root, files = candidates(folder / "images", None)
    assert root == folder
    assert len(files) == 54


def test_without_masks_the_network_says_where_plumes_are(taught_original, pictures):
    _, files = candidates(pictures.frames, None)
    graph = Bundle.open(taught_original).graph(Precision.FP32)
    masked, by_masks = plumes_of(files, pictures.frames, graph, TINY)
    seen, by_network = plumes_of(files, pictures.frames / "images", graph, TINY)
    assert (by_masks, by_network) == ("masks", "FP32 network")
    areas = [[plume.area for plume in each] for each in (masked, seen)]
    assert np.corrcoef(areas)[0, 1] > 0.8


def test_a_plume_is_thin_when_small_or_faint_and_frames_without_are_refused(folder):
    assert Plume(0.01, 90).thin
    assert Plume(0.3, 5).thin
    assert not Plume(0.3, 50).thin
    assert not Plume(0.0, 0).thin
    chosen = _choose(folder, 20)
    require_thin(chosen)
    large = replace(chosen, plumes=(Plume(0.2, 60),) * 20)
    with pytest.raises(InputError, match=r"20 of 20 frames show gas.*0 of them a thin.*--accept"):
        require_thin(large)
    assert mix_of(large).plume_sizes == (0, 0, 0, 0, 0, 20, 0)
    assert len(mix_of(large).plume_sizes) == len(PLUME_EDGES) - 1
