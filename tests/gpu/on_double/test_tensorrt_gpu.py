"""The engine class against ONNX Runtime, on the CUDA and TensorRT doubles."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from contract.errors import (
    DeviceError,
    EngineError,
    InputError,
    IntegrityError,
)
from contract.fingerprint import fingerprint_path, read_fingerprint
from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE
from contract.pictures import fit_picture
from contract.precision import Precision
from contract.segmenter import Segmentation
from edge_runtime.backends.open import open_engine
from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter
from edge_runtime.config import ModelConfig
from export.reference_run import run_reference
from tests.bundles import tiny_pictures
from tests.gpu.on_double.building import build
from tests.signing import open_signed

ILLEGAL_ADDRESS = 700


def expected(bundle, frames):
    return run_reference(bundle.graph(Precision.FP32), frames)


def assert_same(found, wanted):
    assert np.array_equal(found.mask, wanted.mask)
    assert np.array_equal(found.score, wanted.score)


def test_masks_and_scores_are_onnx_runtimes_bit_for_bit_eager_captured_and_replayed(opened, bundle):
    frames = tiny_pictures(5)
    segmenter = opened()
    assert_same(segmenter.segment(frames), expected(bundle, frames))
    counts = segmenter.graph_counts
    assert (counts.warm_ups, counts.launched, counts.eager) == (1, 4, 0)


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_a_batch_that_is_not_full_gives_the_same_masks(opened, bundle, count):
    frames = tiny_pictures(max(count, 1))[:count]
    found = opened(batch=3).segment(frames)
    assert found.mask.shape == (count, 64, 64)
    if count:
        assert_same(found, expected(bundle, frames))


def test_answers_belong_to_the_caller(opened):
    segmenter = opened()
    first_frame, second_frame = tiny_pictures(2)[:, None]
    first = segmenter.segment(first_frame)
    kept = first.mask.copy(), first.score.copy()
    segmenter.segment(second_frame)
    assert np.array_equal(first.mask, kept[0])
    assert np.array_equal(first.score, kept[1])


@pytest.mark.parametrize("size", [64, 96, 40, 131])
def test_a_camera_picture_is_fitted_on_the_gpu_as_on_the_cpu(opened, bundle, size):
    segmenter = opened()
    for picture in tiny_pictures(3, size=size)[:, : size * 3 // 4]:
        fitted = fit_picture(picture, bundle.manifest.input)[None]
        found = segmenter.segment_picture(picture)
        seen = fitted_on_the_gpu(segmenter)
        assert np.abs(seen.astype(int) - fitted[0]).max() <= 1
        assert_same(found, expected(bundle, seen[None]))


def fitted_on_the_gpu(segmenter):
    frames = segmenter._path.frames
    frames.to_host()
    segmenter._gpu.wait()
    return frames.host[0].copy()


def test_cameras_of_several_sizes_share_a_segmenter(opened, bundle):
    segmenter = opened()
    sizes = (64, 48, 100, 48, 64, 100, 48)
    for size in sizes * 2:
        picture = tiny_pictures(1, seed=size, size=size)[0]
        found = segmenter.segment_picture(picture)
        assert_same(found, expected(bundle, fitted_on_the_gpu(segmenter)[None]))
    assert segmenter.graph_counts.launched > 0
    assert segmenter.graph_counts.eager == 0


def test_the_gpu_counts_what_the_mask_holds_inside_the_picture(opened):
    segmenter = opened()
    picture = tiny_pictures(1, size=80)[0][:40]
    found = segmenter.segment_picture(picture)
    valid = segmenter.geometry.of(80, 40).valid
    gas = found.mask[0][valid] == GAS_SMOKE
    (summary,) = segmenter.last_summaries
    assert summary.gas_smoke == gas.sum() > 0
    assert summary.gas_score_sum == found.score[0][valid][gas].astype(int).sum()
    assert summary.background + summary.gas_smoke + summary.machine == gas.size


def test_a_frame_that_the_engine_does_not_answer_is_an_error_not_the_last_mask(opened, monkeypatch):
    segmenter = opened()
    frame = tiny_pictures(1)
    segmenter.segment(frame)
    monkeypatch.setattr(segmenter._engine, "enqueue", lambda _count: None)
    with pytest.raises(EngineError, match="without a class"):
        segmenter.segment(frame)


def test_any_thread_may_use_it_and_none_keeps_the_context(opened, bundle, double):
    import ctypes

    segmenter = opened()
    frames = tiny_pictures(6)
    wanted = expected(bundle, frames)
    wrong, contexts = [], []

    def work():
        for _ in range(3):
            found = segmenter.segment(frames)
            if not np.array_equal(found.mask, wanted.mask):
                wrong.append(found)
        current = ctypes.c_void_p()
        double.library.cuCtxGetCurrent(ctypes.byref(current))
        contexts.append(current.value)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert contexts == [None] * 4


def test_closing_in_another_thread_frees_everything(opened, double):
    segmenter = opened()
    segmenter.segment(tiny_pictures(2))
    thread = threading.Thread(target=segmenter.close)
    thread.start()
    thread.join()
    assert double.left() == {}
    segmenter.close()
    with pytest.raises(EngineError, match="closed"):
        segmenter.segment(tiny_pictures(1))


@pytest.mark.parametrize(
    ("function", "after"),
    [("cuMemAlloc_v2", n) for n in range(7)] + [("cuMemHostAlloc", n) for n in range(6)],
)
def test_memory_that_runs_out_while_opening_is_given_back(opened, double, function, after):
    double.fail(function, 2, after=after)
    with pytest.raises(EngineError, match="memory"):
        opened()
    assert double.left() == {}


def test_a_lost_context_is_a_device_error_from_then_on_and_closing_is_quiet(opened, double):
    segmenter = opened()
    frame = tiny_pictures(1)
    segmenter.segment(frame)
    double.fail("cuGraphLaunch", ILLEGAL_ADDRESS, sticks=True)
    for _ in range(3):
        with pytest.raises(DeviceError, match="new process"):
            segmenter.segment(frame)
    segmenter.close()
    double.new_process()


def test_an_engine_that_reads_outside_its_memory_is_a_device_error(opened, double):
    segmenter = opened()
    address = segmenter._path.frames.address + (1 << 19)
    segmenter._engine._contexts[0].set_tensor_address("frames", address)
    with pytest.raises(DeviceError):
        segmenter.segment(tiny_pictures(1))
    segmenter.close()
    double.new_process()


def test_an_engine_with_one_changed_byte_is_not_loaded(opened, engines, double):
    engine = engines()
    data = bytearray(engine.read_bytes())
    data[-1] ^= 1
    original = engine.read_bytes()
    engine.write_bytes(bytes(data))
    try:
        with pytest.raises(IntegrityError, match="executable code"):
            opened()
    finally:
        engine.write_bytes(original)


@pytest.mark.parametrize(
    ("field", "value"),
    [("gpu_name", "Orin"), ("compute_capability", "9.0"), ("tensorrt", "tensorrt 10.4.0"),
     ("driver", "1.2"), ("l4t", "36.4.3")],
)  # fmt: skip
def test_an_engine_for_another_machine_is_refused_naming_the_difference(
    opened, engines, field, value
):
    path = fingerprint_path(engines())
    original = path.read_text()

    path.write_text(json.dumps(json.loads(original) | {field: value}))
    try:
        with pytest.raises(EngineError, match=f"{field}: built for {value}.*build-engine"):
            opened()
    finally:
        path.write_text(original)


def test_an_engine_of_another_graph_batch_or_input_is_refused(opened):
    with pytest.raises(EngineError, match="graph_sha256"):
        opened(expected={"graph_sha256": "0" * 64})
    with pytest.raises(EngineError, match="asks for uint8"):
        opened(geometry=InputGeometry(width=96, height=64))


def test_an_engine_without_a_fingerprint_is_refused(double, bundle, engines, tmp_path):
    from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter

    alone = tmp_path / "alone.engine"
    alone.write_bytes(engines().read_bytes())
    with pytest.raises(IntegrityError, match="no fingerprint"):
        TensorRTSegmenter(alone, geometry=bundle.manifest.input, expected={})
    assert double.left() == {}


@pytest.mark.parametrize(
    "frames",
    [np.zeros((1, 64, 64), np.uint8), np.zeros((1, 64, 32, 3), np.uint8), np.zeros((1, 64, 64, 3))],
)
def test_frames_of_another_shape_or_type_are_refused(opened, frames):
    with pytest.raises(InputError, match="takes uint8"):
        opened().segment(frames)


@pytest.mark.parametrize(
    "picture", [np.zeros((64, 64), np.uint8), np.zeros((0, 64, 3), np.uint8), np.zeros((9, 9, 3))]
)
def test_pictures_of_another_shape_or_type_are_refused(opened, picture):
    with pytest.raises(InputError, match="expected uint8"):
        opened().segment_picture(picture)


def test_the_backend_is_opened_from_a_bundle_and_knows_its_answers(double, bundle, engines):
    from edge_runtime.backends.known_answer import known_answer_test
    from edge_runtime.backends.open import open_backend

    with open_backend(bundle, Precision.FP32, engine=engines()) as segmenter:
        assert "tensorrt 10.3.0 fp32 on CUDA double" in segmenter.name
        assert known_answer_test(segmenter, bundle, Precision.FP32).passed


def test_a_built_engine_has_passed_its_known_answer_test_and_keeps_its_timings(
    double, bundle, tmp_path
):
    engine = build(bundle, "fp32", tmp_path)
    fingerprint = read_fingerprint(engine)
    assert fingerprint.builder["known_answer"] == "passed"
    [timings] = tmp_path.glob("*.timing-cache")
    assert timings.read_bytes() == b"timed "
    build(bundle, "fp32", tmp_path)
    assert timings.read_bytes() == b"timed timed "


def zeros(result):
    return np.zeros_like(result)


def swapped(result):
    return np.choose(result, [0, 2, 1]).astype(np.uint8)


def drifted(result):
    return np.roll(result, 3, axis=2)


@pytest.mark.parametrize("fault", [zeros, swapped, drifted])
def test_engine_that_gives_other_masks_is_not_kept_and_the_old_one_stays(
    double, bundle, tmp_path, monkeypatch, capsys, fault
):
    from edge_runtime.backends.tensorrt_gpu import TensorRTSegmenter
    from gasedge.cli import main

    engine = build(bundle, "fp32", tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if "engine" in p.name}
    segment = TensorRTSegmenter.segment

    def wrong(self, frames):
        found = segment(self, frames)
        return Segmentation(fault(found.mask), found.score)

    monkeypatch.setattr(TensorRTSegmenter, "segment", wrong)
    command = ["build-engine", str(bundle.path), "--fp32", "--out", str(tmp_path)]
    assert main(command) == 3
    assert "does NOT give the golden masks" in capsys.readouterr().err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if "engine" in p.name} == before
    config = ModelConfig(bundle=bundle.path, precision=Precision.FP32, engine=engine)
    with pytest.raises(EngineError, match="known-answer test not passed"):
        open_signed(config)


def test_an_engine_without_weights_takes_them_from_its_bundle_and_from_no_other(
    double, bundle, tmp_path
):
    whole = build(bundle, "fp32", tmp_path / "whole")
    engine = build(bundle, "fp32", tmp_path / "stripped", "--strip")
    assert engine.read_bytes() != whole.read_bytes()
    assert read_fingerprint(engine).builder["known_answer"] == "passed"
    frames = tiny_pictures(2)
    with open_engine(bundle, Precision.FP32, engine) as segmenter:
        assert_same(segmenter.segment(frames), expected(bundle, frames))
    with pytest.raises(EngineError, match="cannot put the graph's weights into this engine"):
        TensorRTSegmenter(
            engine,
            geometry=bundle.manifest.input,
            expected={},
            graph=lambda: bundle.graph(Precision.FP16),
        )


def test_dla_is_refused_where_there_is_none(double, bundle, tmp_path, capsys):
    from gasedge.cli import main

    command = ["build-engine", str(bundle.path), "--fp16", "--dla", "--out", str(tmp_path)]
    assert main(command) == 1
    assert "--dla: tensorrt 10.3.0 finds no DLA here" in capsys.readouterr().err


def test_layers_are_timed_on_the_gpu(double, bundle, tmp_path, capsys):
    from gasedge.cli import main

    engine = build(bundle, "fp32", tmp_path)
    capsys.readouterr()
    assert main(["engine", "show", str(engine), "--bundle", str(bundle.path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["not_timed"] is None
    assert {layer["time_ms"] for layer in said["layers"]} == {0.25}
    assert main(["engine", "show", str(engine)]) == 0
    assert "not timed: give --bundle" in capsys.readouterr().out
