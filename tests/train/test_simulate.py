"""`gasedge simulate` writes the same folder each time, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import tomli

from contract.data_folder import DataFolder
from gasedge.cli import main
from train.simulate import FRAMES_APART, Simulation

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-m", "gasedge", "-q", "simulate"]
SMALL = ["--kind", "gas", "--scenes", "3", "--frames", "2", "--size", "64x48", "--seed", "9"]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_same_seed_gives_the_same_bytes_in_two_processes(tmp_path):
    for name in ("one", "two"):
        subprocess.run([*COMMAND, str(tmp_path / name), *SMALL], check=True, capture_output=True)
    one = digests(tmp_path / "one")
    assert one == digests(tmp_path / "two")
    assert len(one) == 3 * 2 * 2 + 2


def test_the_folder_reads_back_with_three_classes_and_scenes_as_groups(tmp_path):
    assert main(["-q", "simulate", str(tmp_path / "out"), *SMALL]) == 0
    folder = DataFolder.open(tmp_path / "out")
    assert folder.labelled == {0, 1, 2}
    assert len(set(folder.groups().values())) == 3
    values = {int(v) for _, _, mask in folder for v in np.unique(mask)}
    assert 2 in values
    assert all(picture.shape == (48, 64, 3) for _, picture, _ in folder)


def test_a_clip_shows_no_gas_before_its_onset(tmp_path):
    clip = tmp_path / "clip.avi"
    options = ["--clip", str(clip), "--clip-seconds", "4", "--clip-onset", "1", "--size", "96x96"]
    arguments = ["-q", "simulate", str(tmp_path / "out"), *SMALL, *options, "--distractors", "0"]
    assert main(arguments) == 0
    reader = cv2.VideoCapture(str(clip))
    frames = []
    while True:
        read, frame = reader.read()
        if not read:
            break
        frames.append(frame.astype(np.float32))
    reader.release()
    assert len(frames) == 100
    before, still, after = (np.mean(frames[a:b], axis=0) for a, b in ((0, 12), (12, 25), (80, 92)))
    assert np.abs(before - still).max() < 25
    assert np.abs(before - after).max() > 25


def test_density_is_written_as_16_bits_with_its_unit(tmp_path):
    arguments = ["-q", "simulate", str(tmp_path / "out"), *SMALL, "--density", "--plumes", "1"]
    assert main([*arguments, "--distractors", "1"]) == 0
    said = tomli.loads((tmp_path / "out" / "density.toml").read_text())
    assert said["unit"] == "ppm m"
    written = sorted((tmp_path / "out" / "density").iterdir())
    assert len(written) == 6
    scene = Simulation("gas", 64, 48, 9, None, 1.0, 1.0).scene(0)
    levels = cv2.imread(str(written[1]), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint16
    exact = scene.density(FRAMES_APART)
    assert exact.max() > 100
    np.testing.assert_allclose(levels * said["a_level"], exact, atol=0.51 * said["a_level"])


@pytest.mark.parametrize(("share", "least", "most"), [(0, 0, 0), (0.5, 10, 30), (1, 40, 40)])
def test_as_many_scenes_have_plumes_and_distractors_as_asked(share, least, most):
    made = Simulation("smoke", 32, 32, 1, None, share, share)
    scenes = [made.scene(number) for number in range(40)]
    assert least <= sum(scene.has_plume for scene in scenes) <= most
    assert least <= sum(scene.has_distractors for scene in scenes) <= most
    assert not made.scene(0, plume=False).has_plume


def test_a_folder_with_something_in_it_is_left_alone(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert main(["simulate", str(tmp_path / "out"), *SMALL]) == 1
    assert "is already there" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "wrong", [["--size", "64"], ["--kind", "steam"], ["--size", "8x8"], ["--clip", "c.gif"]]
)
def test_wrong_options_end_with_2_and_write_nothing(tmp_path, wrong, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["simulate", "out", *SMALL, *wrong]) == 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing_behind(tmp_path):
    many = [*SMALL, "--scenes", "5000"]
    with subprocess.Popen(
        [*COMMAND, str(tmp_path / "out"), *many],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob(".partial-*/images/*")):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "gasedge: interrupted"
    assert list(tmp_path.iterdir()) == []
