"""A training ends with a whole result, goes on after any stop, and refuses what it cannot use."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from contract.bundle import Bundle
from contract.data_folder import DataFolder, read_stems
from contract.label_map import BACKGROUND, GAS_SMOKE
from contract.trained_pictures import TRAINED_PICTURES, trained_among
from gasedge.cli import main
from tests.train.conftest import TINY
from train.augment import Augmentation
from train.config import load_train_config
from train.datasets import TrainingFrames, ValidationFrames, gather
from train.networks.checkpoint import network_from_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def test_a_run_leaves_a_checkpoint_that_runs(tiny_run):
    loaded = network_from_checkpoint(tiny_run / "checkpoint.pt")
    assert (loaded.geometry.width, loaded.geometry.height) == (64, 64)
    with torch.no_grad():
        logits = loaded.network(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert logits.shape == (1, 3, 64, 64)
    assert loaded.model_id.startswith("run-")
    assert loaded.training["epochs"] == 2


def test_scores_name_their_split_and_what_it_is_disjoint_from(tiny_run):
    scores = json.loads((tiny_run / "scores.json").read_text())
    assert [each["split"] for each in scores] == ["val", "test"]
    assert "best epoch was chosen" in scores[0]["disjoint_from"]
    assert scores[1]["disjoint_from"] == "training, by group and by picture"
    assert all(0 <= each["scores"]["mean_iou"] <= 1 for each in scores)


def test_the_loss_falls(tiny_run):
    with (tiny_run / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_the_report_is_one_page_that_needs_nothing_else(tiny_run):
    page = (tiny_run / "report.html").read_text()
    assert page.count("<figure>") >= 2
    sources = re.findall(r'(?:src|href)="([^"]{0,20})', page)
    assert sources
    assert all(source.startswith("data:image/") for source in sources)


def test_tensorboard_gets_the_curves(tiny_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tiny_run / "tensorboard")).Reload()
    assert "val/mean_iou" in events.Tags()["scalars"]


def test_a_finished_run_is_not_trained_over(tiny_run, capsys):
    config = tiny_run.parent / "tiny.toml"
    assert main(["train", str(config), "--out", str(tiny_run)]) == 1
    assert "this training is done" in capsys.readouterr().err


def test_a_run_goes_on_only_under_its_own_settings(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=2))
    settings = load_train_config(config).model_dump(mode="json")
    settings["learning"]["rate"] = 0.5
    (tmp_path / "run" / "config.json").write_text(json.dumps(settings))
    assert main(["train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert "begun with other settings in learning" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.jpg").touch()
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=2))
    assert main(["train", str(config), "--out", str(tmp_path / "photos")]) == 1
    assert "is no training's folder" in capsys.readouterr().err


def with_folder(folder: Path) -> Path:
    config = folder.parent / "smoke.toml"
    config.write_text(TINY.format(epochs=1) + '[[data]]\npath = "smoke"\nrepeat = 2\n')
    return config


def test_real_folders_and_simulated_scenes_are_learned_together(smoke_folder, tmp_path):
    config = with_folder(smoke_folder)
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 0
    folder = DataFolder.open(smoke_folder)
    groups = folder.groups()
    sides = {
        side: read_stems(tmp_path / "run" / "splits" / "smoke" / f"{side}.txt")
        for side in ("train", "val", "test")
    }
    assert sorted(stem for stems in sides.values() for stem in stems) == list(folder.names)
    by_side = [{groups[stem] for stem in stems} for stems in sides.values()]
    assert sum(len(each) for each in by_side) == len(set.union(*by_side)) == 6
    scores = json.loads((tmp_path / "run" / "scores.json").read_text())
    smoke = next(each for each in scores if each["data"] == "smoke" and each["split"] == "test")
    assert smoke["scores"]["classes"]["machine"]["iou"] is None  # not labelled there


def broken(how: str, picture: Path) -> None:
    data = picture.read_bytes()
    pixels = cv2.imread(str(picture))
    mask = picture.parent.parent / "masks" / picture.name
    if how == "truncated":
        picture.write_bytes(data[: len(data) // 2])
    elif how == "zero-byte":
        picture.write_bytes(b"")
    elif how == "no picture":
        picture.write_bytes(b"hello" * 50)
    elif how == "other size":
        cv2.imwrite(str(picture), pixels[:, :40])
    elif how == "undeclared mask value":
        cv2.imwrite(str(mask), np.full(pixels.shape[:2], 77, np.uint8))
    elif how == "16-bit mask":
        cv2.imwrite(str(mask), np.zeros(pixels.shape[:2], np.uint16))
    elif how == "truncated mask":
        mask.write_bytes(mask.read_bytes()[:60])
    elif how == "no mask":
        mask.unlink()


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "zero-byte",
        "no picture",
        "other size",
        "undeclared mask value",
        "16-bit mask",
        "truncated mask",
        "no mask",
    ],
)
def test_a_broken_picture_in_the_middle_is_one_line_before_training(
    smoke_folder, tmp_path, capsys, how
):
    broken(how, smoke_folder / "images" / "p06.png")
    config = with_folder(smoke_folder)
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gasedge:")]
    assert len(said) == 1
    assert "p06" in said[0]
    assert not (tmp_path / "run" / "state").exists()


def test_odd_but_sound_pictures_are_learned_from(smoke_folder):
    images = smoke_folder / "images"
    for at, change in enumerate(
        [
            lambda p: p.astype(np.uint16) * 257,
            lambda p: cv2.cvtColor(p, cv2.COLOR_BGR2BGRA),
            lambda p: cv2.cvtColor(p, cv2.COLOR_BGR2GRAY),
        ]
    ):
        path = images / f"p{at:02d}.png"
        cv2.imwrite(str(path), change(cv2.imread(str(path))))
    config = load_train_config(with_folder(smoke_folder))
    data_sets = gather(config)
    frames = [
        frame
        for side in ("val", "test")
        for frame, _, at, _ in ValidationFrames(data_sets, side, config.input)
        if data_sets[at].name == "smoke"
    ]
    augmentation = Augmentation(config.augment, config.input)
    training = TrainingFrames(data_sets, config.input, augmentation, seed=0)
    frames += [training[0, at][0] for at in range(len(training))]
    assert len(frames) >= 12
    assert all(frame.shape == (64, 64, 3) and frame.float().std() > 1 for frame in frames)


def test_weights_of_a_folder_reach_the_training_frames_and_only_them(smoke_folder):
    (smoke_folder / "weights").mkdir()
    for path in (smoke_folder / "masks").iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(smoke_folder / "weights" / path.name), np.where(mask > 0, 255, 9))
    config = load_train_config(with_folder(smoke_folder))
    data_sets = [data for data in gather(config) if data.name == "smoke"]
    augmentation = Augmentation(config.augment, config.input)
    training = TrainingFrames(data_sets, config.input, augmentation, seed=0)
    for at in range(len(training)):
        frame, truth, weights, _ = training[0, at]
        assert (weights[truth == GAS_SMOKE] == 255).all()
        seen = (truth == BACKGROUND) & (frame > 0).any(dim=-1)
        assert (weights[seen] == 9).float().mean() > 0.95


def test_missing_initial_weights_are_never_replaced_by_a_random_start(tmp_path, capsys):
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=1) + '[network]\ninitial_weights = "w.npz"\n')
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert "there is no such file of initial weights" in capsys.readouterr().err


def start(config: Path, run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gasedge", "train", str(config), "--out", str(run)],
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_as_if_it_had_not_been_killed(tmp_path):
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=4))
    assert main(["-q", "train", str(config), "--out", str(tmp_path / "whole")]) == 0
    with start(config, tmp_path / "killed") as process:
        wait_for(tmp_path / "killed" / "state" / "last.ckpt", process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (tmp_path / "killed" / "checkpoint.pt").exists()
    with start(config, tmp_path / "killed") as process:
        said = process.communicate(timeout=200)[1]
    assert process.returncode == 0
    assert "going on from the last finished epoch" in said
    whole, killed = (
        network_from_checkpoint(tmp_path / name / "checkpoint.pt").network.state_dict()
        for name in ("whole", "killed")
    )
    for key, value in whole.items():
        torch.testing.assert_close(killed[key], value, msg=key)
    rows = (tmp_path / "killed" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 4


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_no_half_written_file(tmp_path):
    config = tmp_path / "t.toml"
    config.write_text(TINY.format(epochs=500))
    with start(config, tmp_path / "run") as process:
        wait_for(tmp_path / "run" / "state" / "last.ckpt", process)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert said.splitlines()[-1] == "gasedge: interrupted"
    assert "Traceback" not in said
    names = [file.name for file in (tmp_path / "run").rglob("*")]
    assert "checkpoint.pt" not in names
    assert not [name for name in names if name.startswith(".partial")]
    assert torch.load(tmp_path / "run" / "state" / "last.ckpt", weights_only=True)["history"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with 60 MB: room for a run's first files, not for its states."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_one_clear_line_and_the_run_goes_on_once_there_is_room(small_disk, capsys):
    config = small_disk / "t.toml"
    config.write_text(TINY.format(epochs=1))
    assert main(["-q", "train", str(config), "--out", str(small_disk / "run")]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("gasedge:")]
    assert len(said) == 1
    assert "no space left" in said[0]
    assert not list((small_disk / "run").rglob(".partial*"))
    for state in (small_disk / "run").rglob("*.ckpt"):
        assert torch.load(state, weights_only=True)["state_dict"]
    subprocess.run(["mount", "-o", "remount,size=600m", str(small_disk)], check=True)
    assert main(["-q", "train", str(config), "--out", str(small_disk / "run")]) == 0


def pictures_of(checkpoint):
    return network_from_checkpoint(checkpoint).pictures


def fine_tuned(folder, start, seed):
    """Train for one epoch from a checkpoint on other simulated scenes."""
    config = folder / f"from-{start.parent.name}.toml"
    text = TINY.format(epochs=1).replace("scenes = 8", f"scenes = 8\nseed = {seed}")
    config.write_text(text + f'[network]\ninitial_weights = "{start}"\n')
    out = folder / f"run-{seed}"
    assert main(["-q", "train", str(config), "--out", str(out)]) == 0
    return out / "checkpoint.pt"


def test_a_fine_tuned_network_still_knows_what_it_learned_first(tiny_run, tmp_path):
    first = pictures_of(tiny_run / "checkpoint.pt")
    assert first.complete
    second = pictures_of(fine_tuned(tmp_path, tiny_run / "checkpoint.pt", 7))
    assert second.complete
    assert first.hashes < second.hashes


def test_after_a_start_whose_pictures_are_not_known_nothing_is_claimed(
    tiny_run, tmp_path, tiny_bundle
):
    content = torch.load(tiny_run / "checkpoint.pt", weights_only=True)
    del content["pictures"], content["pictures_complete"]
    older = tmp_path / "older"
    older.mkdir()
    torch.save(content, older / "checkpoint.pt")
    found = pictures_of(fine_tuned(tmp_path, older / "checkpoint.pt", 8))
    assert found.hashes
    assert not found.complete
    bundle = Bundle.open(tiny_bundle).updated({TRAINED_PICTURES: found.as_bytes()})
    made = gather(load_train_config(tmp_path / "from-older.toml"))[0]
    pictures = []
    for name, (picture, _, _) in (
        ("learned", made.read(made.stems["train"][0])),
        ("never", (np.zeros((8, 8, 3), np.uint8), None, None)),
    ):
        pictures.append(tmp_path / f"{name}.png")
        cv2.imwrite(str(pictures[-1]), picture)
    assert trained_among(bundle, pictures) == 1  # by its pixels: it came from no file
    assert trained_among(bundle, pictures[1:]) is None
    whole = replace(found, complete=True).as_bytes()
    assert trained_among(bundle.updated({TRAINED_PICTURES: whole}), pictures[1:]) == 0
