from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from contract.bundle import Bundle
from contract.errors import ConfigError, EngineError, IntegrityError
from contract.manifest import Manifest
from contract.precision import Precision
from contract.segmenter import Segmentation
from edge_runtime.backends.known_answer import golden_frame, known_answer_test
from edge_runtime.backends.open import open_backend, open_graph

CPU = ("openvino", "onnxruntime")
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=CPU)
def backend(request) -> str:
    pytest.importorskip(request.param)
    return request.param


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_golden_masks_come_out_of_every_backend(tiny_bundle, backend, precision):
    bundle = Bundle.open(tiny_bundle)
    with open_backend(bundle, precision, backend=backend) as segmenter:
        answer = known_answer_test(segmenter, bundle, precision)
        assert answer.passed, answer.detail
        assert segmenter.name in answer.detail
        assert str(precision) in segmenter.name


def test_a_batch_gives_what_its_frames_give_one_by_one(tiny_bundle, backend):
    bundle = Bundle.open(tiny_bundle)
    frames = np.stack([golden_frame(bundle, entry) for entry in bundle.manifest.golden])
    with open_backend(bundle, Precision.FP32, backend=backend, threads=1) as segmenter:
        together = segmenter.segment(frames)
        alone = [segmenter.segment(frame[None]) for frame in frames]
    assert together.mask.shape == together.score.shape == frames.shape[:3]
    assert together.mask.dtype == together.score.dtype == np.uint8
    assert (together.mask == np.concatenate([each.mask for each in alone])).mean() > 0.999
    scores = np.concatenate([each.score for each in alone]).astype(int)
    assert np.abs(together.score - scores).max() <= 1


def test_runs_under_way_together_answer_each_for_its_own_frame(tiny_bundle):
    pytest.importorskip("openvino")
    bundle = Bundle.open(tiny_bundle)
    frames = [golden_frame(bundle, entry)[None] for entry in bundle.manifest.golden]
    done = threading.Semaphore(0)
    told_by = set()

    def tell():
        told_by.add(threading.current_thread().name.partition("_")[0])
        done.release()

    with open_backend(bundle, Precision.FP32, backend="openvino", streams=2) as segmenter:
        alone = [segmenter.segment(frame) for frame in frames]
        assert segmenter.depth == 3  # one for each stream, and one that waits
        for order in itertools.product(range(len(frames)), repeat=3):
            runs = [segmenter.start(frames[index], tell) for index in order]
            with pytest.raises(EngineError, match="streams"):
                segmenter.start(frames[0], done.release)
            for index, run in zip(order, runs, strict=True):
                (found,) = run.result()
                assert run.is_done()
                assert (found.mask == alone[index].mask).all()
                assert done.acquire(timeout=5)
    # a stream that calls Python keeps whoever closes it waiting for ever, now and then
    assert told_by == {"gasedge-network"}


def test_an_answer_is_not_overwritten_by_the_next(tiny_bundle, backend):
    bundle = Bundle.open(tiny_bundle)
    first, second = (golden_frame(bundle, entry) for entry in bundle.manifest.golden[:2])
    with open_backend(bundle, Precision.FP32, backend=backend) as segmenter:
        kept = segmenter.segment(first[None])
        before = kept.mask.copy()
        other = segmenter.segment(second[None])
    assert (kept.mask == before).all()
    assert (other.mask != before).any()


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 64, 32, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((0, 64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 3), np.float32),
    ],
)
def test_frames_that_do_not_fit_are_refused_in_one_line(tiny_bundle, backend, frames):
    bundle = Bundle.open(tiny_bundle)
    with (
        open_backend(bundle, Precision.FP32, backend=backend) as segmenter,
        pytest.raises(EngineError, match=r"the network takes uint8 \(N, 64, 64, 3\)") as caught,
    ):
        segmenter.segment(frames)
    assert "\n" not in str(caught.value)


def test_a_closed_backend_says_so(tiny_bundle, backend):
    bundle = Bundle.open(tiny_bundle)
    segmenter = open_backend(bundle, Precision.FP32, backend=backend)
    segmenter.close()
    segmenter.close()
    with pytest.raises(EngineError, match="was closed"):
        segmenter.segment(golden_frame(bundle, bundle.manifest.golden[0])[None])


def test_a_graph_that_cannot_be_read_is_one_line(tiny_bundle, backend):
    geometry = Bundle.open(tiny_bundle).manifest.input
    with pytest.raises(EngineError) as caught:
        open_graph(b"not a graph", geometry, Precision.FP32, backend=backend)
    assert "\n" not in str(caught.value)


def test_a_changed_graph_never_reaches_a_backend(tiny_bundle, backend):
    graph = tiny_bundle / "model.fp32.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match="SHA-256"):
        open_backend(Bundle.open(tiny_bundle), Precision.FP32, backend=backend)


@pytest.mark.parametrize(
    ("precision", "options", "said"),
    [
        (Precision.INT8, {}, "gasedge calibrate adds it"),
        (Precision.FP32, {"backend": "tensorflow"}, "take one of auto, openvino"),
        (Precision.FP16, {"backend": "tensorrt"}, "gasedge build-engine .* --fp16"),
        (Precision.FP16, {"backend": "openvino", "engine": Path("a.engine")}, "runs on backend"),
    ],
)
def test_what_cannot_be_opened_is_refused_and_never_replaced(tiny_bundle, precision, options, said):
    with pytest.raises(ConfigError, match=said):
        open_backend(Bundle.open(tiny_bundle), precision, **options)


def test_the_automatic_choice_is_logged(tiny_bundle, caplog):
    pytest.importorskip("openvino")
    with caplog.at_level(logging.INFO), open_backend(Bundle.open(tiny_bundle), Precision.FP16):
        pass
    assert "OpenVINO" in caplog.text
    assert "chosen by auto" in caplog.text


@pytest.mark.parametrize("name", CPU)
def test_a_cpu_backend_runs_without_torch_and_onnx(tiny_bundle, name):
    pytest.importorskip(name)
    program = (
        "import sys; sys.modules['torch'] = sys.modules['onnx'] = None\n"
        "from pathlib import Path; from contract.bundle import Bundle\n"
        "from contract.precision import Precision as P\n"
        "from edge_runtime.backends.open import open_backend\n"
        "from edge_runtime.backends.known_answer import known_answer_test as test\n"
        f"b = Bundle.open(Path({str(tiny_bundle)!r}))\n"
        f"with open_backend(b, P.FP32, backend={name!r}) as s: assert test(s, b, P.FP32).passed\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_opening_openvino_reports_nothing_to_anybody(tiny_bundle, tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "home").mkdir()
    program = (
        "import socket, sys, threading; from pathlib import Path\n"
        "def refuse(*args, **kwargs): sys.exit('reached for the network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from contract.bundle import Bundle; from contract.precision import Precision as P\n"
        "from edge_runtime.backends.open import open_backend\n"
        f"open_backend(Bundle.open(Path({str(tiny_bundle)!r})), P.FP32, backend='openvino')\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert sys.modules.get('openvino_telemetry') is None\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "home" / "intel").exists()


class _Blank:
    """What a driver that returns zeros without an error looks like."""

    name = "blank"

    def segment(self, frames):
        zeros = np.zeros(frames.shape[:3], np.uint8)
        return Segmentation(zeros, zeros)


def _with_masks(bundle: Bundle, mask: np.ndarray, tolerance: float) -> Bundle:
    png = cv2.imencode(".png", mask)[1].tobytes()
    files = {entry.mask(Precision.FP32): png for entry in bundle.manifest.golden}
    return bundle.updated(files, golden_tolerance={Precision.FP32: tolerance})


def test_a_blank_mask_does_not_pass_even_where_gas_is_smaller_than_the_tolerance(tiny_bundle):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:14, 10:14] = 1
    bundle = _with_masks(Bundle.open(tiny_bundle), mask, 0.01)
    answer = known_answer_test(_Blank(), bundle, Precision.FP32)
    assert answer.differing < answer.tolerance
    assert not answer.passed
    assert "does NOT give" in answer.detail


def test_one_wrong_frame_among_right_ones_does_not_pass(tiny_bundle):
    bundle = Bundle.open(tiny_bundle)
    first = bundle.manifest.golden[0].mask(Precision.FP32)
    other = bundle.read(bundle.manifest.golden[1].mask(Precision.FP32))
    bundle = bundle.updated({first: other})
    with open_backend(bundle, Precision.FP32, backend="auto") as segmenter:
        assert not known_answer_test(segmenter, bundle, Precision.FP32).passed


def test_a_bundle_without_golden_frames_is_not_trusted(tiny_bundle):
    bundle = Bundle.open(tiny_bundle).updated({}, golden=())
    assert isinstance(bundle.manifest, Manifest)
    with pytest.raises(IntegrityError, match="holds no golden frames for fp32"):
        known_answer_test(_Blank(), bundle, Precision.FP32)
