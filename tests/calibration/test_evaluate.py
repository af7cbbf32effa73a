from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from contract.atomic import sha256_of_file
from contract.bundle import Bundle
from contract.precision import Precision
from contract.trained_pictures import TRAINED_PICTURES, TrainedPictures
from edge_runtime.backends.known_answer import golden_frame
from edge_runtime.backends.open import open_backend
from gasedge.cli import main
from tests.bundles import TINY
from tests.calibration.conftest import write_pictures
from tests.calibration.taught import scenes


def _json(capsys, *arguments):
    assert main(["-q", "evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_bundle_scores_one_against_its_own_masks(taught_original, tmp_path, capsys):
    shown, _ = scenes(4, seed=41)
    with open_backend(Bundle.open(taught_original), Precision.FP32) as segmenter:
        masks = segmenter.segment(shown).mask
    write_pictures(tmp_path / "images", shown)
    write_pictures(tmp_path / "masks", masks)
    found = _json(capsys, taught_original, "--data", tmp_path)
    assert (found["mean_iou"], found["mean_f1"], found["image_mean_iou"]) == (1, 1, 1)
    assert found["n_images"] == 4
    assert found["classes"]["gas-smoke"]["iou"] == 1
    assert found["machine"]
    assert found["backend"].startswith("OpenVINO")


def test_scores_are_those_of_a_count_by_hand(taught_original, pictures, capsys):
    shown, masks = scenes(8, seed=12)
    with open_backend(Bundle.open(taught_original), Precision.FP32) as segmenter:
        result = segmenter.segment(shown).mask
    hit = ((masks == 1) & (result == 1)).sum()
    either = ((masks == 1) | (result == 1)).sum()
    found = _json(capsys, taught_original, "--data", pictures.control)
    assert found["classes"]["gas-smoke"]["iou"] == pytest.approx(hit / either)
    assert found["classes"]["gas-smoke"]["f1"] == pytest.approx(2 * hit / (hit + either))


def test_a_list_selects_the_split_and_precision_the_graph(
    calibrated_original, pictures, tmp_path, capsys
):
    (tmp_path / "held-out.txt").write_text("p001\np003\n")
    found = _json(
        capsys,
        *(calibrated_original, "--data", pictures.control, "--precision", "int8"),
        *("--list", tmp_path / "held-out.txt"),
    )
    assert (found["n_images"], found["split"], found["precision"]) == (2, "held-out.txt", "int8")


def test_pictures_of_other_sizes_are_scored_without_their_padding(
    taught_original, tmp_path, capsys
):
    shown, masks = scenes(1, seed=42)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), shown[0][:40])
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), masks[0][:40])
    found = _json(capsys, taught_original, "--data", tmp_path)
    counted = sum(each["truth_pixels"] for each in found["classes"].values())
    assert counted == 40 * TINY.width


def test_recorded_scores_name_their_data_and_calibration_frames_among_them(
    calibrated, pictures, capsys
):
    _json(capsys, calibrated, "--data", pictures.frames, "--precision", "int8", "--record")
    bundle = Bundle.open(calibrated)
    kept = [each for each in bundle.manifest.scores if each.data == "frames, all"]
    assert [each.precision for each in kept] == [Precision.INT8]
    assert kept[0].disjoint_from == "nothing: 20 of 20 pictures were calibrated on"


def test_torch_gives_the_masks_of_the_bundle_that_is_exported_from_it(tiny_bundle):
    pytest.importorskip("torch")
    from tests.bundles import tiny_network
    from train.networks.checkpoint import LoadedNetwork
    from train.networks.torch_segmenter import TorchSegmenter

    bundle = Bundle.open(tiny_bundle)
    frames = np.stack([golden_frame(bundle, entry) for entry in bundle.manifest.golden])
    with TorchSegmenter(LoadedNetwork(tiny_network(), TINY, "tiny", {})) as segmenter:
        by_torch = segmenter.segment(frames)
    with open_backend(bundle, Precision.FP32) as segmenter:
        by_bundle = segmenter.segment(frames)
    assert np.mean(by_torch.mask != by_bundle.mask) < 1e-3
    assert np.abs(by_torch.score.astype(int) - by_bundle.score).max() <= 1


def test_a_checkpoint_is_scored_by_the_same_code(tmp_path, pictures, capsys):
    torch = pytest.importorskip("torch")
    from train.networks.checkpoint import save_checkpoint
    from train.networks.frame_network import FrameNetwork
    from train.networks.registry import build_network

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = FrameNetwork(build_network("unet-resnet18")).eval()
    save_checkpoint(
        tmp_path / "a.pt",
        network,
        name="unet-resnet18",
        geometry=TINY,
        model_id="a",
        training={},
    )
    found = _json(capsys, tmp_path / "a.pt", "--data", pictures.control)
    shown, masks = scenes(8, seed=12)
    with torch.inference_mode():
        result = network(torch.from_numpy(shown)).argmax(1).numpy()
    hit = ((masks == 0) & (result == 0)).sum()
    either = ((masks == 0) | (result == 0)).sum()
    assert found["backend"].startswith("torch")
    assert found["classes"]["background"]["iou"] == pytest.approx(hit / either, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.gasedge", "--data", "{control}"], 2, "is neither a bundle nor a file"),
        (["{bundle}", "--data", "nowhere"], 1, "is not a folder"),
        (["{bundle}", "--data", "{control}", "--precision", "int8"], 2, "gasedge calibrate"),
        (["{bundle}", "--data", "{control}", "--backend", "tensorrt"], 2, "gasedge build-engine"),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_a_code(
    taught_original, pictures, capsys, arguments, code, said
):
    names = {"bundle": taught_original, "control": pictures.control}
    assert main(["-q", "evaluate", *(each.format(**names) for each in arguments)]) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert said in lines[-1]
    assert len(lines) == 1


def test_scores_on_pictures_of_the_training_say_so(taught, pictures, capsys):
    files = sorted((pictures.frames / "images").iterdir())
    known = TrainedPictures(frozenset(map(sha256_of_file, files[:5])), complete=True)
    Bundle.open(taught).updated({TRAINED_PICTURES: known.as_bytes()})
    for data, expected in (
        (pictures.frames, "nothing: 5 of 20 pictures were trained on"),
        (pictures.control, "training (by file)"),
    ):
        _json(capsys, taught, "--data", data, "--precision", "fp32", "--record")
        recorded = Bundle.open(taught).manifest.scores[-1]
        assert recorded.disjoint_from == expected
