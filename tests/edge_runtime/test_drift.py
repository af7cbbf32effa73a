"""Drift of the INT8 network and of the pictures, by rule and through the real networks."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contract.bundle import CARD, Bundle, graph_name
from contract.errors import ConfigError, InputError
from contract.grey_histogram import GreyReference, grey_reference, grey_shares
from contract.label_map import GAS_SMOKE
from contract.precision import Precision
from contract.signing import trusted_bundle
from contract.tags import HealthCode, LeakState, Ne107, Quality
from edge_runtime.camera_state import CameraState, ModelFacts, camera_state_of
from edge_runtime.config import (
    CameraConfig,
    DaemonConfig,
    DriftConfig,
    ModelConfig,
    TrustConfig,
)
from edge_runtime.config_check import check_files
from edge_runtime.drift import DriftTracker, Sample, ShadowAnswer, compared, ne107_with
from edge_runtime.pipeline import Pipeline
from edge_runtime.shadow import Shadow, ShadowNetwork, open_shadow
from edge_runtime.sources.reader import Phase, ReaderStatus
from tests.bundles import tiny_pictures
from tests.edge_runtime.conftest import frame_at, noisy_picture, wait_for
from tests.signing import TRUST, open_signed, put_public_key, sign

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

CONFIG = DriftConfig(every=1, disagreement_limit=0.05, hold_s=60)
GREYS = grey_shares(noisy_picture(1))
KNOWN = grey_reference([grey_shares(noisy_picture(seed)) for seed in range(8)])
RUNS = ModelFacts("m", "ab" * 32, "test backend", HealthCode(0))


def sample(differing: int = 0, *, greys=GREYS, known: GreyReference | None = KNOWN) -> Sample:
    return Sample(greys, known, ShadowAnswer(1000, differing, 90, 100))


def taken(tracker: DriftTracker, what: Sample, seconds: int, since: int = 0) -> DriftTracker:
    for at in range(since, since + seconds):
        tracker.take(what, float(at))
    return tracker


def test_masks_are_compared_by_class_and_by_gas():
    mask = np.zeros((4, 5), np.uint8)
    mask[0, :4] = GAS_SMOKE
    shadow = np.zeros((4, 5), np.uint8)
    shadow[0, 1:5] = GAS_SMOKE
    assert compared(mask, shadow) == ShadowAnswer(20, 2, 3, 5)


def test_figures_are_taken_over_the_last_frames():
    tracker = taken(DriftTracker(CONFIG), sample(100), 64)
    assert tracker.values(64.0)["Drift/Disagreement"] == pytest.approx(0.1)
    taken(tracker, sample(0), 64, since=64)
    values = tracker.values(128.0)
    assert values["Drift/Disagreement"] == 0.0
    assert values["Drift/GasIoU"] == pytest.approx(0.9)
    assert values["Drift/PictureDistance"] < KNOWN.spread
    assert values["Drift/Compared"] == 128


def test_what_is_not_known_is_left_out_never_zero():
    tracker = DriftTracker(CONFIG)
    assert tracker.values(0.0) == {"Drift/Compared": 0, "Drift/Skipped": 0}
    tracker.take(Sample(GREYS, None, None), 1.0)
    values = tracker.values(1.0)
    assert values["Drift/Disagreement"] is None
    assert values["Drift/PictureDistance"] is None
    tracker.take(Sample(GREYS, None, ShadowAnswer(1000, 0, 0, 0)), 2.0)
    assert tracker.values(2.0)["Drift/GasIoU"] is None


def test_old_figures_are_not_published():
    tracker = taken(DriftTracker(CONFIG), sample(), 3)
    assert "Drift/Disagreement" in tracker.values(3.0)
    assert tracker.values(3700.0) == {"Drift/Compared": 3, "Drift/Skipped": 0}


def test_disagreement_is_told_only_after_its_time_and_no_longer_than_it_lasts():
    tracker = taken(DriftTracker(CONFIG), sample(100), 68)
    assert tracker.warnings(60.0) == HealthCode(0)  # eight frames before it counts
    assert tracker.warnings(68.0) == HealthCode.NETWORK_DRIFT
    taken(tracker, sample(0), 64, since=68)
    assert tracker.warnings(132.0) == HealthCode(0)


def test_pictures_beyond_the_spread_of_the_calibration_are_told():
    shifted = grey_shares(noisy_picture(1, level=160))
    tracker = taken(DriftTracker(CONFIG), sample(greys=shifted), 70)
    assert tracker.values(70.0)["Drift/PictureDistance"] > 0.5
    assert tracker.warnings(70.0) == HealthCode.PICTURE_DRIFT
    wide = CONFIG.model_copy(update={"distance_limit": 1.0})
    tracker = taken(DriftTracker(wide), sample(greys=shifted), 70)
    assert tracker.warnings(70.0) == HealthCode(0)


def test_ne107_tells_drift_only_where_nothing_worse_is_told():
    both = HealthCode.NETWORK_DRIFT | HealthCode.PICTURE_DRIFT
    assert ne107_with(Ne107.NORMAL, HealthCode(0)) is Ne107.NORMAL
    assert ne107_with(Ne107.NORMAL, HealthCode.NETWORK_DRIFT) is Ne107.MAINTENANCE_REQUIRED
    assert ne107_with(Ne107.NORMAL, both) is Ne107.OFF_SPEC
    assert ne107_with(Ne107.FAILURE, both) is Ne107.FAILURE


def watched(seconds: float, *, drifting: int) -> CameraState:
    """A live camera that was watched so long, each picture compared."""
    drift = DriftConfig(every=1, hold_s=0)
    model = ModelConfig(bundle="none.gasedge")
    camera = CameraConfig(name="north", source="v4l2:/dev/video0")
    config = DaemonConfig(model=model, camera=(camera,), drift=drift)
    state = camera_state_of(config, camera, 1)
    from contract.geometry import FrameFit

    fit, clear = FrameFit(64, 48, 0, 0, 64, 48), np.zeros((48, 64), np.uint8)
    for index in range(1, round(seconds * 10) + 1):
        frame = frame_at(index / 10, seq=index)
        if state.saw(frame):
            state.segmented(frame, clear, clear, fit, 100 + index / 10)
            state.drifted(sample(drifting), frame)
    return state


def snapshot(state: CameraState, at_s: float):
    reader = ReaderStatus(phase=Phase.READING, captured=round(at_s * 10))
    return state.snapshot(100 + at_s + 0.01, reader, RUNS, 0)


def test_a_drifting_camera_is_uncertain_and_wants_maintenance_and_still_tells_its_state():
    found = snapshot(watched(4, drifting=100), 4)
    assert found.quality is Quality.UNCERTAIN
    assert found.values["Health/NE107"] == Ne107.MAINTENANCE_REQUIRED
    assert found.values["Health/Code"] == HealthCode.NETWORK_DRIFT
    assert found.values["Leak/State"] == LeakState.NONE
    assert found.value("Drift/Disagreement") == pytest.approx(0.1)


def test_a_camera_that_does_not_drift_is_good():
    found = snapshot(watched(4, drifting=0), 4)
    assert found.quality is Quality.GOOD
    assert found.values["Health/NE107"] == Ne107.NORMAL
    assert found.values["Health/Code"] == 0


def test_drift_of_a_blind_camera_is_not_published():
    found = snapshot(watched(4, drifting=100), 60)
    assert found.quality is Quality.BAD
    assert found.value("Drift/Disagreement") is None
    assert found.values["Health/NE107"] == Ne107.FAILURE


# The real graphs: the tiny network's FP32 graph stands for INT8, as it is and harmed.


def harmed(graph: bytes) -> bytes:
    """The same network with its last convolution's weights halved and turned about."""
    onnx = pytest.importorskip("onnx", reason="pip install 'gasedge[export]'")
    model = onnx.load_model_from_string(graph)
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    (weights,) = (each for each in model.graph.initializer if each.name == last.input[1])
    values = onnx.numpy_helper.to_array(weights)
    weights.CopyFrom(onnx.numpy_helper.from_array(np.roll(values, 1, axis=0), weights.name))
    return model.SerializeToString()


@pytest.fixture
def shadowed(tiny_bundle: Path):
    """Give the bundle an INT8 graph and a card with the grey levels of some pictures."""

    def made(*, harm: bool = False) -> ModelConfig:
        bundle = Bundle.open(tiny_bundle)
        graph = bundle.graph(Precision.FP32)
        known = grey_reference([grey_shares(each) for each in tiny_pictures(8)])
        greys = {"shares": known.shares.tolist(), "spread": known.spread}
        card = json.dumps({"mix": {"greys": greys}}).encode()
        bundle.updated({graph_name(Precision.INT8): harmed(graph) if harm else graph, CARD: card})
        sign(tiny_bundle)
        return ModelConfig(bundle=tiny_bundle, precision=Precision.INT8, threads=1)

    return made


def network(config: ModelConfig) -> ShadowNetwork:
    """The shadow of a bundle."""
    return open_shadow(config, CONFIG, trusted_bundle(config.bundle, TRUST))


def seen_by_both(config: ModelConfig, pictures) -> DriftTracker:
    """What a tracker knows once the bundle's INT8 graph and its shadow saw the pictures."""
    from edge_runtime.backends.open import open_graph

    bundle = Bundle.open(config.bundle)
    tracker = DriftTracker(CONFIG)
    shadow = network(config)
    graph = bundle.graph(Precision.INT8)
    geometry = bundle.manifest.input
    with open_graph(graph, geometry, Precision.FP32, threads=1) as runs:
        for at, picture in enumerate(pictures):
            fit = geometry.of(picture.shape[1], picture.shape[0])
            mask = runs.segment(picture[None]).mask[0]
            tracker.take(shadow.sample(picture, mask, fit), float(at))
    shadow.close()
    return tracker


def test_a_sound_int8_graph_agrees_and_the_same_pictures_are_not_apart(shadowed):
    found = seen_by_both(shadowed(), tiny_pictures(8)).values(8.0)
    assert found["Drift/Disagreement"] < 0.005
    assert found["Drift/GasIoU"] > 0.98
    assert found["Drift/PictureDistance"] < 0.001


def test_a_harmed_int8_graph_disagrees(shadowed):
    found = seen_by_both(shadowed(harm=True), tiny_pictures(8)).values(8.0)
    assert found["Drift/Disagreement"] > 0.2
    assert found["Drift/GasIoU"] < 0.5


def test_pictures_shifted_in_grey_are_apart(shadowed):
    brighter = np.clip(tiny_pictures(8).astype(int) + 40, 0, 255).astype(np.uint8)
    tracker = seen_by_both(shadowed(), brighter)
    assert tracker.values(8.0)["Drift/PictureDistance"] > 0.4


def test_an_older_card_leaves_the_distance_unknown(shadowed):
    config = shadowed()
    Bundle.open(config.bundle).updated({CARD: json.dumps({"mix": {}}).encode()})
    sign(config.bundle)
    found = seen_by_both(config, tiny_pictures(2)).values(2.0)
    assert found["Drift/PictureDistance"] is None
    assert found["Drift/Disagreement"] is not None


def test_a_bundle_without_fp16_cannot_be_compared_and_the_check_says_so(shadowed, tmp_path):
    model = shadowed()
    bundle = Bundle.open(model.bundle)
    (model.bundle / graph_name(Precision.FP16)).unlink()
    files = {k: v for k, v in bundle.manifest.files.items() if k != graph_name(Precision.FP16)}
    manifest = bundle.manifest.model_copy(update={"files": files})
    (model.bundle / "manifest.json").write_text(manifest.model_dump_json())
    sign(model.bundle)
    trust = TrustConfig(keys=(put_public_key(tmp_path),))
    camera = CameraConfig(name="north", source="v4l2:/dev/video0")
    config = DaemonConfig(model=model, camera=(camera,), drift=DriftConfig(every=5), trust=trust)
    with pytest.raises(ConfigError, match=r"drift.every: .* holds no fp16 graph"):
        check_files(config)
    check_files(config.model_copy(update={"drift": DriftConfig()}))


def test_without_int8_only_pictures_are_compared(shadowed):
    config = shadowed().model_copy(update={"precision": Precision.FP16})
    found = network(config)
    assert found.segmenter is None
    assert found.greys is not None


def test_on_a_gpu_the_shadow_wants_an_engine_of_its_own(shadowed, caplog):
    config = shadowed().model_copy(update={"backend": "tensorrt"})
    assert network(config).segmenter is None
    assert "no [drift] engine" in caplog.text


# The thread.


class Blank:
    """A camera's state as far as the shadow tells it."""

    def __init__(self) -> None:
        self.told: list = []

    def drifted(self, sample, frame) -> None:
        self.told.append((sample, frame.seq))


def offered(shadow: Shadow, state: Blank, count: int) -> float:
    """Offer so many pictures; the longest time that one took, in seconds."""
    longest = 0.0
    for seq in range(1, count + 1):
        begin = time.perf_counter()
        shadow.offer(state, frame_at(seq / 10, seq=seq), np.zeros((48, 64), np.uint8), None)
        longest = max(longest, time.perf_counter() - begin)
    return longest


def test_a_hanging_shadow_delays_no_frame_and_what_it_misses_is_counted():
    release = threading.Event()

    def hangs():
        release.wait(20)
        raise InputError("released")

    state = Blank()
    with Shadow(1, hangs) as shadow:
        try:
            assert offered(shadow, state, 200) < 0.1
            assert [seq for _, seq in state.told] == list(range(2, 201))
            assert {sample for sample, _ in state.told} == {None}
        finally:
            release.set()


def test_one_picture_in_so_many_is_compared_on_a_thread_of_lowest_priority(shadowed):
    import os

    priorities = []

    def opened() -> ShadowNetwork:
        priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return replace(network(shadowed()), segmenter=None)

    state = Blank()
    with Shadow(10, opened) as shadow:
        for seq in range(1, 31):
            shadow.offer(state, frame_at(seq / 10, seq=seq), np.zeros((48, 64), np.uint8), None)
            wait_for(lambda: not shadow._busy)
    assert [seq for _, seq in state.told] == [1, 11, 21]
    assert priorities == [19]


def test_a_shadow_that_fails_says_so_once_and_the_frames_go_on(caplog):
    def fails():
        raise InputError("there is no FP16 graph")

    state = Blank()
    with Shadow(1, fails) as shadow:
        offered(shadow, state, 5)
        wait_for(lambda: "no FP16 graph" in caplog.text)
    assert caplog.text.count("no longer compared: there is no FP16 graph") == 1


def test_the_daemon_publishes_drift_of_its_own_network(shadowed, plant):
    model = shadowed().model_copy(update={"precision": Precision.FP32})
    camera = CameraConfig(name="cam0", source="sim:seed=3&width=64&height=64&fps=20")
    drift = DriftConfig(every=2)
    config = DaemonConfig(model=model, camera=(camera,), drift=drift)
    pipeline = Pipeline(config, plant, open_model=open_signed)
    stop = threading.Event()
    thread = threading.Thread(target=pipeline.run, args=(stop,))
    thread.start()
    try:
        wait_for(lambda: plant.last and plant.last.value("Drift/PictureDistance"), 30)
    finally:
        stop.set()
        thread.join(15)
    assert not thread.is_alive()
