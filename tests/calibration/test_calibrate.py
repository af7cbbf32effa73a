from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest

from calibration.calibrate import OPSET17_GRAPH, CalibrationRequest, calibrate
from calibration.card import card_of
from contract.atomic import sha256_of_bytes, sha256_of_file
from contract.bundle import Bundle, graph_name
from contract.calibrated_ranges import ranges_of
from contract.grey_histogram import calibrated_greys, grey_reference, grey_shares
from contract.pictures import pixels_sha256
from contract.precision import Precision
from contract.trained_pictures import TRAINED_PICTURES, TrainedPictures
from edge_runtime.backends.known_answer import known_answer_test
from edge_runtime.backends.onnxruntime_cpu import OnnxRuntimeSegmenter
from edge_runtime.backends.open import open_backend
from gasedge.cli import main
from tests.calibration.conftest import write_pictures
from tests.calibration.taught import scenes

INT8 = graph_name(Precision.INT8)


def _contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_card_says_from_what_the_int8_graph_came_and_how_well_it_does(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    bundle.verify()
    card = card_of(bundle)
    assert [each.sha256 for each in card.frames] == [
        pixels_sha256(picture) for picture in scenes(20, seed=11, thin=6)[0]
    ]
    assert len(card.control) == 8
    assert card.int8_sha256 == bundle.manifest.files[INT8].sha256
    assert set(card.scores) == set(Precision)
    gas = {p: scores.classes["gas-smoke"].iou for p, scores in card.scores.items()}
    assert card.iou_drop == pytest.approx(gas[Precision.FP32] - gas[Precision.INT8])
    assert gas[Precision.FP32] > 0.5
    assert card.mix.with_gas > 15
    assert 0 < card.mix.gas_share < 0.5
    frames = [grey_shares(picture) for picture in scenes(20, seed=11, thin=6)[0]]
    greys = calibrated_greys(bundle)  # as a device reads them
    assert greys.shares == pytest.approx(grey_reference(frames).shares, abs=1e-6)
    assert greys.spread == pytest.approx(grey_reference(frames).spread, abs=1e-4)
    ranges = ranges_of(bundle)
    assert ranges.method == card.method
    assert all(sum(each.counts) > 0 for each in ranges.tensors.values())
    assert all(0 < each.chosen <= each.edge for each in ranges.tensors.values())
    recorded = {each.precision: each for each in bundle.manifest.scores}
    assert recorded[Precision.INT8].scores == card.scores[Precision.INT8]
    assert recorded[Precision.INT8].disjoint_from.startswith("calibration")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_every_cpu_backend_passes_the_known_answer_test_at_int8(calibrated_original, backend):
    bundle = Bundle.open(calibrated_original)
    with open_backend(bundle, Precision.INT8, backend=backend) as segmenter:
        answer = known_answer_test(segmenter, bundle, Precision.INT8)
    assert answer.passed, answer.detail
    assert answer.gas_agreement > 0.9


def test_openvino_computes_int8_as_it_is_written(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    frames, _ = scenes(8, seed=24)
    with open_backend(bundle, Precision.INT8, backend="openvino") as segmenter:
        found = segmenter.segment(frames)
    with OnnxRuntimeSegmenter(
        bundle.read(OPSET17_GRAPH),
        geometry=bundle.manifest.input,
        precision=Precision.INT8,
        optimise=False,
    ) as reference:
        written = reference.segment(frames)
    assert np.mean(found.mask != written.mask) < 1e-3
    assert np.abs(found.score.astype(int) - written.score).mean() < 0.5


def test_without_the_opset_17_graph_every_backend_still_runs_int8(taught, pictures):
    request = CalibrationRequest(
        pictures.frames, pictures.control, max_iou_drop=0.02, opset17=False
    )
    bundle, _ = calibrate(Bundle.open(taught), request)
    assert OPSET17_GRAPH not in bundle.manifest.files
    for backend in ("openvino", "onnxruntime"):
        with open_backend(bundle, Precision.INT8, backend=backend) as segmenter:
            answer = known_answer_test(segmenter, bundle, Precision.INT8)
        assert answer.passed, answer.detail


def test_a_network_that_loses_more_than_the_budget_changes_nothing(taught, tmp_path, capsys):
    # Frames of almost no contrast: ranges from them clip everything that a plume does.
    shown, _ = scenes(20, seed=21)
    dull = (100 + (shown.astype(np.float32) - 100) * 0.05).astype(np.uint8)
    write_pictures(tmp_path / "dull", dull)
    control, masks = scenes(6, seed=22)
    write_pictures(tmp_path / "control" / "images", control)
    write_pictures(tmp_path / "control" / "masks", masks)
    before = _contents(taught)
    arguments = ["calibrate", str(taught), "--frames", str(tmp_path / "dull"), "--control"]
    arguments += [str(tmp_path / "control"), "--max-iou-drop", "0"]
    assert main(arguments) == 1
    assert "0 of 20 frames show gas or smoke by the FP32 network" in capsys.readouterr().err
    assert main([*arguments, "--accept-mix"]) == 3
    said = capsys.readouterr().err
    assert "INT8 loses" in said
    assert "--max-iou-drop" in said
    assert _contents(taught) == before


def test_frames_in_the_control_set_are_refused_and_change_nothing(taught, pictures, capsys):
    before = _contents(taught)
    arguments = ["calibrate", str(taught), "--frames", str(pictures.frames), "--control"]
    assert main([*arguments, str(pictures.frames)]) == 1
    said = capsys.readouterr().err
    assert "0 frames (20 of 20 stand in another set or show its views) are too few" in said
    assert _contents(taught) == before


def test_a_control_set_without_gas_is_refused(taught, pictures, tmp_path, capsys):
    control, masks = scenes(4, seed=23)
    write_pictures(tmp_path / "images", control)
    write_pictures(tmp_path / "masks", np.where(masks == 1, 0, masks))
    arguments = ["calibrate", str(taught), "--frames", str(pictures.frames), "--control"]
    assert main([*arguments, str(tmp_path)]) == 1
    assert "no control mask shows gas" in capsys.readouterr().err


def test_calibrating_again_never_leaves_an_older_graph_beside_the_new(
    calibrated, pictures, tmp_path
):
    shutil.copytree(pictures.frames / "images", tmp_path / "fewer")
    for name in ("p000.png", "p001.png", "p002.png"):
        (tmp_path / "fewer" / name).unlink()
    before = Bundle.open(calibrated)
    request = CalibrationRequest(
        tmp_path / "fewer", pictures.control, method="max", max_iou_drop=0.1
    )
    after, card = calibrate(before, request)
    assert card.method == "max"
    assert sha256_of_bytes(after.graph(Precision.INT8)) != before.manifest.files[INT8].sha256
    graphs = [onnx.load_model_from_string(after.read(name)) for name in (INT8, OPSET17_GRAPH)]
    scales = [
        {
            t.name: float(onnx.numpy_helper.to_array(t))
            for t in graph.graph.initializer
            if t.name.endswith("_scale") and not t.dims
        }
        for graph in graphs
    ]
    assert scales[0] == scales[1]
    assert len(after.manifest.scores) == 3


def test_sets_held_apart_stand_in_the_card_and_in_what_the_scores_say(
    taught, pictures, tmp_path, capsys
):
    shown, _ = scenes(4, seed=51)
    write_pictures(tmp_path / "test-set", shown)
    control = sorted((pictures.control / "images").iterdir())
    known = TrainedPictures(frozenset(map(sha256_of_file, control[:1])), complete=True)
    Bundle.open(taught).updated({TRAINED_PICTURES: known.as_bytes()})
    arguments = ["calibrate", str(taught), "--frames", str(pictures.frames)]
    arguments += ["--control", str(pictures.control), "--max-iou-drop", "0.02"]
    assert main([*arguments, "--apart", str(tmp_path / "test-set")]) == 0
    bundle = Bundle.open(taught)
    (apart,) = card_of(bundle).apart
    assert apart.name == "test-set"
    assert [each.sha256 for each in apart.pictures] == [pixels_sha256(each) for each in shown]
    assert {each.disjoint_from for each in bundle.manifest.scores} == {
        "calibration, test-set, by picture and by view; but 1 of 8 pictures were trained on"
    }
    shutil.copy(control[3], tmp_path / "test-set" / "again.png")
    assert main([*arguments, "--apart", str(tmp_path / "test-set")]) == 1
    said = capsys.readouterr().err
    assert "1 of 8 pictures of the control set also stand in test-set" in said


def test_a_list_of_frames_is_taken_whole_or_refused(taught, pictures, tmp_path, capsys):
    shutil.copytree(pictures.frames / "images", tmp_path / "frames")
    shutil.copy(pictures.control / "images" / "p001.png", tmp_path / "frames" / "seen.png")
    stems = [file.stem for file in sorted((tmp_path / "frames").iterdir())]
    (tmp_path / "list.txt").write_text("\n".join(stems))
    before = _contents(taught)
    arguments = ["calibrate", str(taught), "--frames", str(tmp_path / "frames"), "--frames-list"]
    arguments += [str(tmp_path / "list.txt"), "--control", str(pictures.control)]
    assert main(arguments) == 1
    assert "1 of 21 pictures of the calibration frames" in capsys.readouterr().err
    assert _contents(taught) == before
    assert main([*arguments, "--count", "16", "--max-iou-drop", "0.05"]) == 0
    card = card_of(Bundle.open(taught))
    assert len(card.frames) == 16
    assert "seen.png" not in [each.name for each in card.frames]
