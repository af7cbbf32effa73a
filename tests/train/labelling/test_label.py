"""`gasedge label`: masks of a still camera's clip are what a careful person would draw."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from contract.data_folder import DataFolder
from contract.label_map import BACKGROUND, GAS_SMOKE, IGNORE, MACHINE
from gasedge.cli import main
from tests.train.labelling.still_clips import box_round, iou, still_clip
from train.labelling.boxed_clips import write_boxed_clips
from train.labelling.shake import StillPicture, moved, shifts_of
from train.labelling.still_clip import StillClip
from train.simulate import Simulation

if TYPE_CHECKING:
    from pathlib import Path


def label(clip: Path, out: Path, *options: str) -> tuple[np.ndarray, np.ndarray]:
    """Masks and weights (n, h, w) of the written folder."""
    assert main(["-q", "label", str(clip), str(out), *options]) == 0
    folder = DataFolder.open(out)
    masks = [folder.read(name)[1] for name in folder.names]
    weights = [folder.read_weights(name, masks[0].shape) for name in folder.names]
    return np.stack(masks), np.stack(weights)


@pytest.mark.parametrize("brightness", [90, -34])
def test_gas_and_machine_are_found_inside_boxes_whether_gas_is_bright_or_dark(tmp_path, brightness):
    clip = still_clip(tmp_path / "clip", brightness=brightness, level=60)
    masks, weights = label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes))
    assert iou(masks == GAS_SMOKE, clip.truth == GAS_SMOKE) > 0.75
    assert iou(masks == MACHINE, clip.truth == MACHINE) > 0.85
    right, wrong = masks == clip.truth, (masks != clip.truth) & (masks != IGNORE)
    assert weights[wrong].mean() < 0.8 * weights[right].mean()


def test_gas_is_found_without_boxes_where_it_keeps_coming(tmp_path):
    clip = still_clip(tmp_path / "clip", frames=60, walker=True)
    masks, _ = label(clip.folder, tmp_path / "out")
    assert iou(masks == GAS_SMOKE, clip.truth == GAS_SMOKE) > 0.7
    walker = masks[:, 38:46, 23:]
    assert (walker == GAS_SMOKE).mean() < 0.01  # who passes is left out, not called gas
    assert (walker == IGNORE).any()


def test_change_outside_the_boxes_is_neither_gas_nor_background(tmp_path):
    clip = still_clip(tmp_path / "clip")
    for stem, truth in zip(clip.stems, clip.truth, strict=True):
        near = truth == GAS_SMOKE
        near[:, 38:] = False  # whoever drew the boxes left out what has drifted away
        (clip.boxes / f"{stem}.txt").write_text(box_round(near))
    masks, weights = label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes))
    far = (clip.truth == GAS_SMOKE)[:, :, 42:]
    assert (masks[:, :, 42:] != GAS_SMOKE).all()
    assert (masks[:, :, 42:][far] == IGNORE).mean() > 0.6
    assert weights[:, :, 42:][far].mean() < 60
    assert weights[masks == IGNORE].max() == 0


def test_small_shake_is_taken_out(tmp_path):
    clip = still_clip(tmp_path / "clip", shake=2.0)
    masks, _ = label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes))
    assert iou(masks == GAS_SMOKE, clip.truth == GAS_SMOKE) > 0.7
    assert iou(masks == MACHINE, clip.truth == MACHINE) > 0.8


def test_a_plume_that_fills_the_view_is_not_taken_for_shake(tmp_path):
    simulation = Simulation("gas", 64, 64, 1, distractors=0, large=True)
    write_boxed_clips(tmp_path / "clip", simulation, scenes=1, frames=40, onset=8)
    clip = StillClip.open(tmp_path / "clip")
    still = StillPicture(np.median(clip.grey, axis=0).astype(np.float32))
    alone = [still.shift_of(frame.astype(np.float32)) for frame in clip.grey]
    assert np.abs(alone).max() > 3  # each for itself is deceived
    assert np.abs(shifts_of(clip.grey, still)).max() < 1


@pytest.mark.parametrize("shift", [(2.4, -1.3), (-5.0, 3.0), (0.5, 0.4)])
def test_shake_is_measured_behind_a_plume(tmp_path, shift):
    clip = StillClip.open(still_clip(tmp_path / "clip").folder)
    reference = StillPicture(np.median(clip.grey, axis=0).astype(np.float32))
    frame = moved(clip.grey[25].astype(np.float32), shift)
    assert reference.shift_of(frame) == pytest.approx((-shift[0], -shift[1]), abs=0.3)


def test_a_camera_that_turns_is_refused_with_the_frame(tmp_path, capsys):
    clip = still_clip(tmp_path / "clip", brightness=0)
    for at, path in enumerate(sorted((clip.folder / "images").iterdir())):
        cv2.imwrite(str(path), np.roll(cv2.imread(str(path)), at, axis=1))
    assert main(["label", str(clip.folder), str(tmp_path / "out")]) == 1
    assert "does not stand still: frame frame0" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_runs_without_a_gap_are_the_groups_of_a_split(tmp_path):
    clip = still_clip(tmp_path / "clip", frames=30, gap_at=18)
    label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes))
    with (tmp_path / "out" / "index.csv").open() as file:
        groups = [row["group"] for row in csv.DictReader(file)]
    assert groups == ["frame00000"] * 18 + ["frame01018"] * 12
    assert set(DataFolder.open(tmp_path / "out").groups().values()) == set(groups)


def test_a_video_is_labelled_frame_by_frame(tmp_path, capsys):
    clip = still_clip(tmp_path / "clip")
    video = cv2.VideoWriter(
        str(tmp_path / "c.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, clip.truth.shape[:0:-1]
    )
    for path in sorted((clip.folder / "images").iterdir()):
        video.write(cv2.imread(str(path)))
    video.release()
    code = main(
        ["-q", "label", str(tmp_path / "c.avi"), str(tmp_path / "out"), "--json", "--every", "2"]
    )
    assert code == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["frames"] == 20
    assert summary["views"] == 1
    folder = DataFolder.open(tmp_path / "out")
    masks = np.stack([mask for _, _, mask in folder])
    assert iou(masks == GAS_SMOKE, clip.truth[::2] == GAS_SMOKE) > 0.6


def test_a_drawn_machine_mask_is_taken_as_it_is(tmp_path):
    clip = still_clip(tmp_path / "clip")
    drawn = np.zeros(clip.truth.shape[1:], np.uint8)
    drawn[40:, 50:] = 255
    cv2.imwrite(str(tmp_path / "machines.png"), drawn)
    options = ("--boxes", str(clip.boxes), "--machines", str(tmp_path / "machines.png"))
    masks, weights = label(clip.folder, tmp_path / "out", *options)
    assert ((masks == MACHINE) == (drawn > 0)).mean() > 0.99
    assert weights[0, 45, 60] == 255


def test_without_machines_the_folder_says_that_they_are_unlabelled(tmp_path):
    clip = still_clip(tmp_path / "clip")
    label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes), "--no-machines")
    assert DataFolder.open(tmp_path / "out").labelled == {BACKGROUND, GAS_SMOKE}


def test_gas_that_never_clears_is_left_out_and_said(tmp_path, caplog):
    clip = still_clip(tmp_path / "clip", clear=0)
    truth = clip.truth == GAS_SMOKE
    covered = truth.mean(axis=0) > 0.95
    assert covered.sum() > 20
    masks, weights = label(clip.folder, tmp_path / "out", "--boxes", str(clip.boxes))
    assert ((masks == BACKGROUND) & (weights > 128))[:, covered].mean() < 0.1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "nowhere: is not there; give a video or a folder of frames"),
        (["empty"], "holds no picture"),
        (["clip", "--boxes", "empty"], "a picture without gas has an empty file"),
        (["clip", "--boxes", "nowhere"], "is not a folder"),
        (["clip", "--machines", "small.png"], "is 4x4, the frames are 72x56"),
        (["clip", "--every", "2"], "is a folder; leave --every out"),
        (["few"], "at least 8 of one still camera are needed"),
    ],
)
def test_what_cannot_be_labelled_is_refused_in_one_line(
    tmp_path, monkeypatch, capsys, arguments, reason
):
    monkeypatch.chdir(tmp_path)
    still_clip(tmp_path / "clip", frames=8)
    still_clip(tmp_path / "few", frames=5)
    (tmp_path / "empty").mkdir()
    cv2.imwrite("small.png", np.zeros((4, 4), np.uint8))
    assert main(["-q", "label", arguments[0], "out", *arguments[1:]]) == 1
    error = capsys.readouterr().err.strip().splitlines()
    assert reason in error[-1]
    assert not (tmp_path / "out").exists()


def test_real_infrared_runs_are_labelled_inside_their_boxes(tmp_path, real_data):
    source = real_data / "gasvid_ir"
    chosen = tmp_path / "run"
    chosen.mkdir()
    for number in range(1966, 2026):
        name = f"img{number:05d}"
        (chosen / f"{name}.png").symlink_to(source / "images" / f"{name}.png")
    masks, _ = label(chosen, tmp_path / "out", "--boxes", str(source / "labels"))
    gas = (masks == GAS_SMOKE).mean(axis=(1, 2))
    assert (gas > 0.002).mean() > 0.95  # every frame shows a plume
    assert gas.max() < 0.2
    pipe = (masks == MACHINE).mean(axis=0) > 0.8
    assert 0.01 < pipe.mean() < 0.08
    assert pipe[:50].sum() == 0  # nothing but air above it


def test_a_bundle_is_asked_by_the_same_command(tmp_path, tiny_bundle, capsys):
    clip = still_clip(tmp_path / "clip", frames=20)
    boxes = ("--boxes", str(clip.boxes))
    before, _ = label(clip.folder, tmp_path / "before", *boxes)
    after, _ = label(clip.folder, tmp_path / "after", *boxes, "--model", str(tiny_bundle))
    # it was never trained, so what was sure of round 0 is what is sure of round 1
    assert ((before == GAS_SMOKE) == (after == GAS_SMOKE)).mean() > 0.97
    code = main(["label", str(clip.folder), str(tmp_path / "x"), "--model", "nowhere.pt"])
    assert code == 1
    assert "nowhere.pt: is not there" in capsys.readouterr().err
