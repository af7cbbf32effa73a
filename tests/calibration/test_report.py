from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from calibration.card import card_of
from calibration.report.compared import compare
from calibration.report.layers import inside_int8
from calibration.report.report import write_report
from contract.bundle import CARD, Bundle, graph_name
from contract.data_folder import DataFolder
from contract.precision import Precision
from edge_runtime.backends.open import open_graph
from gasedge.cli import main
from tests.calibration.conftest import write_pictures
from tests.calibration.taught import scenes

INT8 = graph_name(Precision.INT8)


class Page(HTMLParser):
    """A page's text, its tags, and every address that it would fetch."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href") and not v.startswith("data:")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="session")
def page(calibrated_original, pictures, tmp_path_factory) -> Page:
    out = tmp_path_factory.mktemp("report") / "int8.html"
    write_report(out, Bundle.open(calibrated_original), DataFolder.open(pictures.control))
    return Page(out.read_text(encoding="utf-8"))


def test_page_stands_alone_and_fetches_nothing(page):
    assert page.fetched == []
    assert not {"script", "link", "iframe"}.intersection(page.tags)


def test_page_gives_the_scores_of_the_card(page, calibrated_original):
    card = card_of(Bundle.open(calibrated_original))
    gas = [card.scores[p].classes["gas-smoke"].iou for p in Precision]
    assert "gas-smoke IoU " + " ".join(f"{each:.4f}" for each in gas) in page.text
    assert "8 pictures, none of them calibrated on" in page.text


def test_page_shows_what_the_issue_of_trust_asks_for(page):
    for said in (
        "Recall by plume size",
        "boundary error, px",
        "Disagreement map",
        "The pictures on which INT8 loses most",
        "Noise by layer",
        "clip ",
        "times as fast as FP32",
        "load ",
    ):
        assert said in page.text, said
    # of 8 pictures all are shown: picture, truth, three masks and the difference; and the map
    assert page.tags.count("img") == 8 * 6 + 1
    quantised = sum("clip" in each for each in re.findall(r"clip \d", page.text))
    assert quantised > 5


def test_page_owns_up_when_it_is_drawn_on_calibration_frames(
    calibrated_original, pictures, tmp_path
):
    out = tmp_path / "int8.html"
    write_report(out, Bundle.open(calibrated_original), DataFolder.open(pictures.frames))
    assert "20 of them CALIBRATED ON" in Page(out.read_text(encoding="utf-8")).text


def test_noise_and_clipping_of_each_range_are_those_of_a_count_by_hand(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    frame = scenes(1, seed=61)[0][0]
    fp32, int8 = bundle.graph(Precision.FP32), bundle.graph(Precision.INT8)
    _, ranges = inside_int8(fp32, int8, [frame], n_frames=1)
    found = ranges[len(ranges) // 2]

    model = onnx.load_model_from_string(fp32)
    model.graph.output.append(onnx.ValueInfoProto(name=found.tensor))
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = session.run([found.tensor], {"frames": frame[None]})[0].astype(np.float64)
    steps = onnx.load_model_from_string(int8)
    pair = next(
        n for n in steps.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == found.tensor
    )
    scale = next(
        float(numpy_helper.to_array(t)) for t in steps.graph.initializer if t.name == pair.input[1]
    )
    held = np.clip(np.round(values / scale), -128, 127) * scale
    assert found.clip == pytest.approx(127 * scale)
    assert found.clipped == np.sum(np.abs(values) > 127.5 * scale)
    by_hand = 10 * math.log10((values**2).sum() / ((values - held) ** 2).sum())
    assert found.noise.decibel == pytest.approx(by_hand, abs=0.05)


def test_a_layer_that_int8_ruins_stands_out(calibrated_original):
    bundle = Bundle.open(calibrated_original)
    frames = list(scenes(2, seed=62)[0])
    fp32, int8 = bundle.graph(Precision.FP32), bundle.graph(Precision.INT8)
    sound, ranges = inside_int8(fp32, int8, iter(frames), n_frames=2)
    assert all(each.noise.decibel > 15 for each in sound if each.int8)
    # ruin one range: a hundredth of what the values need
    broken = onnx.load_model_from_string(int8)
    victim = ranges[len(ranges) // 2].tensor
    pair = next(
        n for n in broken.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == victim
    )
    scale = next(t for t in broken.graph.initializer if t.name == pair.input[1])
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) / 100, scale.name))
    ruined, after = inside_int8(fp32, broken.SerializeToString(), iter(frames), n_frames=2)
    worst = min(after, key=lambda each: each.noise.decibel)
    assert worst.tensor == victim
    assert worst.clipped_share > 0.1
    fed = next(at for at, each in enumerate(ruined) if each.input == victim and each.int8)
    assert ruined[fed].noise.decibel < sound[fed].noise.decibel - 10
    assert ruined[fed - 1].noise.decibel > ruined[fed].noise.decibel


def test_a_plume_that_int8_loses_is_named(calibrated_original, tmp_path):
    """INT8 is fed a graph whose gas never wins, so every plume that FP32 finds must be named."""
    bundle = Bundle.open(calibrated_original)
    shown, masks = scenes(3, seed=63)
    write_pictures(tmp_path / "images", shown)
    write_pictures(tmp_path / "masks", masks)
    graphs = {
        Precision.FP32: bundle.graph(Precision.FP32),
        Precision.INT8: _without_gas(bundle.graph(Precision.INT8)),
    }
    folder = DataFolder.open(tmp_path)
    found = compare(graphs, bundle.manifest.input, folder, backend="onnxruntime")
    against = found.against_fp32[Precision.INT8]
    with open_graph(graphs[Precision.FP32], bundle.manifest.input, Precision.FP32) as segmenter:
        right = segmenter.segment(shown).mask
    plumes = masks == 1
    hits = (plumes & (right == 1)).sum(axis=(1, 2)) >= 0.1 * plumes.sum(axis=(1, 2))
    assert hits.sum() >= 2
    assert against.lost == [f"p{n:03}" for n in range(3) if hits[n]]
    assert against.gained == []
    assert against.moved[1].sum() == pytest.approx(np.sum(right == 1), rel=0.02)
    assert against.moved[1, 1] == 0
    assert against.share == pytest.approx(np.mean(right == 1), rel=0.05)
    captions = [each.caption for each in found.worst.lowest()]
    assert all("PLUME LOST" in each for each in captions[: hits.sum()])
    assert "INT8 0.000" in captions[0]


def _without_gas(graph: bytes) -> bytes:
    """The same graph with a bias on the last convolution that no gas can win against."""
    model = onnx.load_model_from_string(graph)
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    bias = next(t for t in model.graph.initializer if t.name == last.input[2])
    values = numpy_helper.to_array(bias).copy()
    values[1] = -1000
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    return model.SerializeToString()


def test_calibrate_writes_the_page(taught, pictures, tmp_path, capsys):
    page, arguments = tmp_path / "int8.html", ["-q", "calibrate", str(taught)]
    arguments += ["--frames", str(pictures.frames), "--control", str(pictures.control)]
    arguments += ["--max-iou-drop", "0.05", "--report"]
    assert main([*arguments, str(tmp_path)]) == 2
    assert "is a folder" in capsys.readouterr().err
    assert CARD not in Bundle.open(taught).manifest.files
    assert main([*arguments, str(page)]) == 0
    assert "Noise by layer" in page.read_text(encoding="utf-8")


def test_an_int8_that_is_refused_gets_its_page_and_changes_nothing(
    taught, pictures, tmp_path, capsys
):
    # Frames of almost no contrast: ranges from them clip everything that a plume does.
    dull = 100 + (scenes(20, seed=21)[0].astype(np.float32) - 100) * 0.12
    write_pictures(tmp_path / "dull", dull.astype(np.uint8))
    before = {file: file.read_bytes() for file in taught.rglob("*") if file.is_file()}
    page, arguments = tmp_path / "int8.html", ["-q", "calibrate", str(taught), "--accept-mix"]
    arguments += ["--frames", str(tmp_path / "dull"), "--control", str(pictures.control)]
    assert main([*arguments, "--max-iou-drop", "0", "--report", str(page)]) == 3
    assert "INT8 loses" in capsys.readouterr().err
    text = Page(page.read_text(encoding="utf-8")).text
    assert "REFUSED: the budget of 0.0000" in text
    assert "Layers by their damage" in text
    assert {file: file.read_bytes() for file in taught.rglob("*") if file.is_file()} == before
