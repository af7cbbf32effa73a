"""Masks in other folders, under other names, in colour or with soft edges."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from gasedge.cli import main


@pytest.fixture
def folders(tmp_path):
    """`shots/` and `truth/` with `_mask` endings; the mask is drawn by the test."""

    def write(masks: dict[str, np.ndarray], suffix: str = ".png"):
        for name in ("shots", "truth"):
            (tmp_path / "src" / name).mkdir(parents=True, exist_ok=True)
        for name, mask in masks.items():
            size = mask.shape[:2]
            cv2.imwrite(
                str(tmp_path / "src/shots" / f"{name}.jpg"), np.full((*size, 3), 60, np.uint8)
            )
            cv2.imwrite(str(tmp_path / "src/truth" / f"{name}_mask{suffix}"), mask)
        return tmp_path / "src"

    return write


def run(source, out, *options):
    where = ["--pictures", str(source / "shots"), "--masks", str(source / "truth")]
    words = ["--format", "masks", *where, "--group-by", "image", *options]
    return main(["-q", "data", "import", str(source), str(out), *words])


def square(values):
    mask = np.zeros((32, 40), np.uint8)
    mask[8:16, 8:24] = values
    return mask


def test_colours_become_classes(folders, tmp_path):
    colours = {BACKGROUND: (0, 0, 0), GAS_SMOKE: (0, 128, 255), MACHINE: (64, 0, 0)}
    truth = np.random.default_rng(0).integers(0, 3, (32, 40)).astype(np.uint8)
    drawn = np.zeros((32, 40, 3), np.uint8)
    for index, bgr in colours.items():
        drawn[truth == index] = bgr
    pairs = ["#000000=background", "#ff8000=gas-smoke", "#000040=machine"]
    options = [word for pair in pairs for word in ("--map", pair)]
    assert run(folders({"a": drawn}), tmp_path / "out", *options) == 0
    folder = DataFolder.open(tmp_path / "out")
    np.testing.assert_array_equal(folder.read("a")[1], truth)
    assert folder.labelled == {BACKGROUND, GAS_SMOKE, MACHINE}
    assert folder.images["a"].read_bytes() == (tmp_path / "src/shots/a.jpg").read_bytes()


def test_values_become_classes_and_an_unmapped_one_is_named(folders, tmp_path, capsys):
    mask = square(90)
    mask[20:30, :5] = 10
    source = folders({"a": mask})
    options = ["--map", "0=background", "--map", "90=gas-smoke"]
    assert run(source, tmp_path / "out", *options) == 1
    assert "a_mask.png: mask has undeclared values [10]" in capsys.readouterr().err
    assert run(source, tmp_path / "out", *options, "--map", "10=ignore") == 0
    read = DataFolder.open(tmp_path / "out").read("a")[1]
    np.testing.assert_array_equal(read == GAS_SMOKE, mask == 90)
    np.testing.assert_array_equal(read == IGNORE, mask == 10)


def test_soft_edges_of_jpeg_masks_need_a_threshold(folders, tmp_path, capsys):
    hard = np.zeros((32, 40), np.uint8)
    hard[5:19, 11:27] = 255  # not along the blocks that JPEG packs
    source = folders({"a": hard}, ".jpg")
    assert run(source, tmp_path / "out") == 1
    assert "is not declared" in capsys.readouterr().err
    assert run(source, tmp_path / "out", "--threshold", "128") == 0
    read = DataFolder.open(tmp_path / "out").read("a")[1]
    np.testing.assert_array_equal(read == GAS_SMOKE, hard == 255)


def test_binary_masks_need_nothing_said(folders, tmp_path):
    assert run(folders({"a": square(255), "b": square(0)}), tmp_path / "out") == 0
    folder = DataFolder.open(tmp_path / "out")
    assert (folder.read("a")[1] == GAS_SMOKE).sum() == 8 * 16
    assert folder.labelled == {BACKGROUND, GAS_SMOKE}


def test_a_picture_without_mask_is_named(folders, tmp_path, capsys):
    source = folders({"a": square(255), "b": square(255)})
    (source / "truth" / "b_mask.png").unlink()
    assert run(source, tmp_path / "out") == 1
    assert "no mask for b (1 of 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--map", "red=gas-smoke"], "expected a value from 0 to 255 or a colour"),
        (["--map", "1=gas-smoke", "--map", "#ff0000=machine"], "grey values or colours, not both"),
        (["--map", "1=machine"], "no value means gas-smoke"),
        (["--map", "1=gas-smoke", "--threshold", "9"], "--map has no part in it"),
    ],
)
def test_what_contradicts_itself_is_refused(folders, tmp_path, capsys, options, says):
    assert run(folders({"a": square(1)}), tmp_path / "out", *options) == 2
    assert says in capsys.readouterr().err


def test_an_output_that_is_there_is_never_written_over(folders, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run(folders({"a": square(255)}), tmp_path / "out") == 1
    assert "is already there" in capsys.readouterr().err
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"
