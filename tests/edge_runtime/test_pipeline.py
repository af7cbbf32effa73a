"""Frames to snapshots through the real model on the CPU, real decoders, a plant that records."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contract.bundle import Bundle
from contract.errors import EngineError, InputError
from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE
from contract.mask_encoding import decode_mask
from contract.precision import Precision
from contract.segmenter import Segmentation
from contract.tags import HealthCode, LeakState, Quality
from edge_runtime.beat import HUNG, SERVING, STARTING
from edge_runtime.camera_state import CameraState, ModelFacts
from edge_runtime.config import CameraConfig, DaemonConfig, LeakConfig, ModelConfig
from edge_runtime.device import daily_check
from edge_runtime.device.config import DeviceConfig
from edge_runtime.model import RunningModel
from edge_runtime.overlay_video import OverlayVideo
from edge_runtime.pipeline import NEW_PROCESS, Pipeline
from edge_runtime.plant.config import PageConfig, PlantConfig
from tests.edge_runtime.conftest import noisy_picture, wait_for
from tests.edge_runtime.device.sysfs import make_zone
from tests.signing import open_signed, sign

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

SIM = "sim:seed=3&width=96&height=64&fps=20"


def config_for(bundle: Path, *sources: str, leak: LeakConfig | None = None) -> DaemonConfig:
    cameras = tuple(CameraConfig(name=f"cam{n}", source=s) for n, s in enumerate(sources))
    model = ModelConfig(bundle=bundle, precision=Precision.FP32, threads=1)
    plant = PlantConfig(page=PageConfig())
    return DaemonConfig(model=model, camera=cameras, leak=leak or LeakConfig(), plant=plant)


@contextlib.contextmanager
def running(config: DaemonConfig, plant, *, opener=open_signed, video=None):
    """The pipeline in a thread; what it returned is appended to the list."""
    pipeline = Pipeline(config, plant, open_model=opener, video=video)
    stop, returned = threading.Event(), []
    thread = threading.Thread(target=lambda: returned.append(pipeline.run(stop)))
    thread.start()
    try:
        yield pipeline, returned
    finally:
        stop.set()
        thread.join(15)
        assert not thread.is_alive()


def code_of(snapshot) -> HealthCode:
    return HealthCode(snapshot.values["Health/Code"])


def decided(plant) -> bool:
    return plant.last is not None and plant.last.values["Leak/State"] != LeakState.UNKNOWN


def test_a_simulated_scene_is_segmented_and_published(tiny_bundle: Path, plant):
    with running(config_for(tiny_bundle, SIM), plant):
        wait_for(lambda: decided(plant), 30)
        wait_for(lambda: plant.last.heartbeat >= 2)
        last = plant.last
    assert last.quality is Quality.UNCERTAIN
    assert code_of(last) == HealthCode.TEST_SOURCE
    assert last.values["Model/Backend"].startswith("OpenVINO")
    assert len(last.values["Model/Sha256"]) == 64
    assert last.values["Frame/Fps"] > 0
    mask = decode_mask(last.values["Mask/Data"])
    assert mask.mask.shape == (43, 64)  # the valid field of 96x64 in 64x64
    assert mask.model_sha256 == last.values["Model/Sha256"]
    assert any(jpeg[:2] == b"\xff\xd8" for _, jpeg, _ in plant.pictures)


def test_overlays_are_at_most_five_a_second_and_masks_two(tiny_bundle: Path, plant):
    with running(config_for(tiny_bundle, SIM), plant):
        wait_for(lambda: decided(plant), 30)
        shown, begin = len(plant.pictures), time.monotonic()
        wait_for(lambda: time.monotonic() - begin > 2)
        shown = len(plant.pictures) - shown
        masks = {
            s.values["Mask/Data"]
            for at, s in plant.snapshots
            if at > begin and s.values.get("Mask/Data")
        }
    assert 3 <= shown <= 11
    assert 2 <= len(masks) <= 6


def test_no_picture_is_drawn_where_no_page_is_served(tiny_bundle: Path, plant):
    config = config_for(tiny_bundle, SIM).model_copy(update={"plant": PlantConfig()})
    with running(config, plant):
        wait_for(lambda: decided(plant), 30)
    assert not plant.pictures


def test_pictures_that_had_to_wait_for_a_slow_network_are_not_told_as_old(
    plant, write_folder, tiny_bundle: Path
):
    class Slow(TwoAtATime):
        def start(self, frames, done):
            time.sleep(0.15)
            return super().start(frames, done)

    folder = write_folder([numbered(number) for number in range(1, 31)])
    config = config_for(tiny_bundle, *[f"folder:{folder}?every=1"] * 3)
    facts = ModelFacts("numbers", "ab" * 32, "painted", HealthCode(0))
    Pipeline(config, plant, open_model=lambda _: RunningModel(Slow(), facts)).run(
        threading.Event(), until_end=True
    )
    # a round of three takes half a second; the last picture's age would be that of the whole run
    assert max(s.values.get("Frame/LatencyP99Ms") or 0 for _, s in plant.snapshots) < 5000
    assert any(s.quality is Quality.UNCERTAIN for _, s in plant.snapshots)


def test_a_worker_that_hangs_in_a_first_frame_is_told(
    plant, write_folder, tiny_bundle: Path, monkeypatch
):
    monkeypatch.setattr("edge_runtime.pipeline._HUNG_S", 0.5)
    let_go = threading.Event()

    class Hangs(TwoAtATime):
        def start(self, frames, done):
            let_go.wait(20)
            return super().start(frames, done)

    folder = write_folder([numbered(number) for number in range(1, 4)])
    config = config_for(tiny_bundle, f"folder:{folder}?every=1")
    facts = ModelFacts("numbers", "ab" * 32, "painted", HealthCode(0))
    model = RunningModel(Hangs(), facts)
    with running(config, plant, opener=lambda _: model) as (pipeline, _):
        wait_for(lambda: pipeline.is_hung, 10)
        let_go.set()
        wait_for(lambda: not pipeline.is_hung, 10)


def test_an_opening_that_hangs_is_told_and_one_that_waits_for_a_build_is_not(
    plant, write_folder, tiny_bundle: Path, monkeypatch
):
    monkeypatch.setattr("edge_runtime.pipeline._OPENING_S", 1.0)
    let_go = threading.Event()
    openings = []

    def opener(_):
        openings.append(None)
        if len(openings) < 3:
            raise EngineError("it is being built anew since 5 s")
        let_go.wait(30)
        return RunningModel(TwoAtATime(), ModelFacts("numbers", "ab" * 32, "painted", 0))

    folder = write_folder([numbered(number) for number in range(1, 4)])
    config = config_for(tiny_bundle, f"folder:{folder}?every=1")
    with running(config, plant, opener=opener) as (pipeline, _):
        words = set()

        def word():
            words.add(pipeline.word(time.monotonic()))
            return words

        wait_for(lambda: word() and len(openings) == 3, 30)
        assert words <= {STARTING, SERVING}
        wait_for(lambda: HUNG in word(), 10)
        let_go.set()
        wait_for(lambda: pipeline.word(time.monotonic()) == SERVING, 10)


def test_two_cameras_share_one_model(tiny_bundle: Path, plant):
    second = SIM.replace("seed=3", "seed=4")
    with running(config_for(tiny_bundle, SIM, second), plant):
        wait_for(
            lambda: (
                {
                    s.camera
                    for _, s in plant.snapshots
                    if s.values["Leak/State"] != LeakState.UNKNOWN
                }
                == {"cam0", "cam1"}
            ),
            30,
        )
        assert {s.camera: s.unit_id for _, s in plant.snapshots} == {"cam0": 1, "cam1": 2}


class TwoAtATime:
    """In the place of the network: paints a picture's number into its mask, sooner or later."""

    depth, name = 2, "two at a time"
    geometry = InputGeometry(width=64, height=64)

    def __init__(self) -> None:
        self.most = self.under_way = 0

    def start(self, frames, done):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        mask = np.zeros((1, 64, 64), np.uint8)
        mask.reshape(-1)[: number_on(frames[0])] = GAS_SMOKE
        timer = threading.Timer(0.001 * (number_on(frames[0]) % 7), done)
        timer.start()
        owner = self

        class OneRun:
            def is_done(self) -> bool:
                return not timer.is_alive()

            def result(self):
                timer.join()
                owner.under_way -= 1
                return [Segmentation(mask, mask * 200)]

        return OneRun()

    def close(self) -> None:
        pass


def numbered(number: int):
    """A noisy 64x64 picture with a number in ten squares, which survive a codec."""
    picture = noisy_picture(number, width=64, height=64)
    for bit in range(10):
        row, column = divmod(bit, 5)
        square = picture[row * 12 + 2 : row * 12 + 12, column * 12 + 2 : column * 12 + 12]
        square[:] = 235 if number >> bit & 1 else 20
    return picture


def number_on(picture) -> int:
    middles = [picture[r * 12 + 7, c * 12 + 7, 0] for r in range(2) for c in range(5)]
    return sum(int(level > 128) << bit for bit, level in enumerate(middles))


def test_each_mask_meets_the_frame_it_was_made_of_once_and_in_order(
    plant, write_folder, monkeypatch, tiny_bundle: Path
):
    folder = write_folder([numbered(number) for number in range(1, 81)])
    judged: dict[str, list] = {"cam0": [], "cam1": []}
    segmented = CameraState.segmented

    def spied(state, frame, mask, *rest, **more):
        judged[state.name].append((frame, number_on(frame.picture), int((mask > 0).sum())))
        return segmented(state, frame, mask, *rest, **more)

    monkeypatch.setattr(CameraState, "segmented", spied)
    network = TwoAtATime()
    facts = ModelFacts("numbers", "ab" * 32, "painted", HealthCode(0))
    config = config_for(tiny_bundle, f"folder:{folder}?every=1", f"folder:{folder}?every=1")
    pipeline = Pipeline(config, plant, open_model=lambda _: RunningModel(network, facts))
    pipeline.run(threading.Event(), until_end=True)
    assert network.most == 2
    for seen in judged.values():
        assert [painted for _, painted, _ in seen] == list(range(1, 81))
        for frame, painted, gas_px in seen:
            assert frame.seq == painted == gas_px
        times = [frame.captured_ns for frame, _, _ in seen]
        assert times == sorted(set(times))
        for snapshot in (s for _, s in plant.snapshots if s.source_time_ns):
            assert snapshot.source_time_ns in {f.captured_ns for f, _, _ in judged[snapshot.camera]}


def test_a_frozen_source_is_published_bad_not_clear(tiny_bundle: Path, plant, write_folder):
    folder = write_folder([noisy_picture(1)])
    with running(config_for(tiny_bundle, f"folder:{folder}?loop&fps=20"), plant):
        wait_for(lambda: plant.last and HealthCode.FROZEN in code_of(plant.last), 30)
        at, _ = plant.snapshots[-1]
        wait_for(lambda: plant.snapshots[-1][0] > at + 1)
        after = [s for when, s in plant.snapshots if when > at]
    assert {s.quality for s in after} == {Quality.BAD}
    assert {s.values["Leak/State"] for s in after} == {LeakState.UNKNOWN}
    assert len({s.heartbeat for s in after}) == 1


def test_a_hung_decoder_makes_the_camera_unknown_within_two_seconds_and_comes_back(
    tiny_bundle: Path, plant
):
    with running(config_for(tiny_bundle, SIM), plant) as (pipeline, _):
        wait_for(lambda: decided(plant), 30)
        (line,) = pipeline._lines
        os.kill(line.reader.status.decoder_pid, signal.SIGSTOP)
        begin = time.monotonic()
        wait_for(lambda: plant.last.quality is Quality.BAD, 4)
        assert time.monotonic() - begin < 2.6  # two seconds, a status period, and this loaded CPU
        assert plant.last.values["Leak/State"] == LeakState.UNKNOWN
        wait_for(lambda: plant.last.quality is not Quality.BAD, 20)


def test_a_file_that_ended_is_published_unknown_from_then_on(tiny_bundle: Path, plant, write_clip):
    clip = write_clip(frames=25, fps=25)
    with running(config_for(tiny_bundle, f"file:{clip}"), plant):
        wait_for(lambda: plant.last and HealthCode.SOURCE_ENDED in code_of(plant.last), 30)
        at, _ = plant.snapshots[-1]
        wait_for(lambda: plant.snapshots[-1][0] > at + 1)
    after = [s for when, s in plant.snapshots if when > at]
    assert {(s.quality, s.values["Leak/State"]) for s in after} == {
        (Quality.BAD, LeakState.UNKNOWN)
    }


def test_until_end_segments_every_frame_and_writes_the_overlay(
    tiny_bundle: Path, plant, write_clip, tmp_path: Path
):
    clip = write_clip(frames=20)
    path = tmp_path / "overlay.mp4"
    with OverlayVideo(path) as video:
        pipeline = Pipeline(
            config_for(tiny_bundle, f"file:{clip}?every"),
            plant,
            open_model=open_signed,
            video=video,
        )
        assert pipeline.run(threading.Event(), until_end=True) == 0
    assert plant.last.values["Frame/Seq"] == 20
    assert plant.last.values["Frame/Dropped"] == 0
    from tests.edge_runtime.test_overlay import pictures_in_video

    assert len(pictures_in_video(path)) == 20


def test_until_end_fails_when_a_file_is_no_video(tiny_bundle: Path, plant, tmp_path: Path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    config = config_for(tiny_bundle, f"file:{tmp_path / 'broken.mp4'}")
    with pytest.raises(InputError, match=r"camera cam0: file:.*broken.mp4: cannot be opened"):
        Pipeline(config, plant, open_model=open_signed).run(threading.Event(), until_end=True)


def test_a_model_that_fails_its_known_answer_is_never_no_leak(tiny_bundle: Path, plant):
    import numpy as np

    from contract.bundle import Bundle

    bundle = Bundle.open(tiny_bundle)
    entry = bundle.manifest.golden[0]
    import cv2

    name = entry.mask(Precision.FP32)
    golden = cv2.imdecode(np.frombuffer(bundle.read(name), np.uint8), cv2.IMREAD_UNCHANGED)
    wrong = cv2.imencode(".png", np.roll(golden, 20, axis=1))[1].tobytes()
    bundle.updated({name: wrong})
    sign(tiny_bundle)
    with running(config_for(tiny_bundle, SIM), plant):
        wait_for(lambda: plant.last and HealthCode.MODEL_INVALID in code_of(plant.last), 30)
        at, _ = plant.snapshots[-1]
        wait_for(lambda: plant.snapshots[-1][0] > at + 1)
    assert {(s.quality, s.values["Leak/State"]) for _, s in plant.snapshots} == {
        (Quality.BAD, LeakState.UNKNOWN)
    }
    assert {s.heartbeat for _, s in plant.snapshots} == {0}


def test_a_damaged_bundle_is_served_as_invalid_and_taken_up_once_it_is_whole(
    tiny_bundle: Path, plant
):
    graph = tiny_bundle / "model.fp32.onnx"
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with running(config_for(tiny_bundle, SIM), plant):
        wait_for(lambda: plant.last and HealthCode.MODEL_INVALID in code_of(plant.last), 30)
        graph.write_bytes(whole)
        wait_for(lambda: decided(plant), 60)
        assert HealthCode.MODEL_INVALID not in code_of(plant.last)


def test_a_backend_that_answers_late_is_given_the_next_picture_meanwhile(
    tiny_bundle: Path, plant, write_folder
):
    pytest.importorskip("onnxruntime")
    folder = write_folder([numbered(number) for number in range(1, 41)])
    config = config_for(tiny_bundle, f"folder:{folder}?every=1")
    slow = config.model.model_copy(update={"backend": "onnxruntime"})
    opened = []

    def opener(model_config):
        opened.append(open_signed(model_config))
        return opened[0]

    pipeline = Pipeline(config.model_copy(update={"model": slow}), plant, open_model=opener)
    assert pipeline.run(threading.Event(), until_end=True) == 0
    assert opened[0].depth == 2
    assert plant.last.values["Frame/Seq"] == 40
    assert not [t for t in threading.enumerate() if t.name.startswith("gasedge-network")]


def test_a_backend_that_fails_while_running_is_told_and_asks_for_a_new_process(
    tiny_bundle: Path, plant
):
    class Breaks:
        """The real segmenter, until its device is lost."""

        def __init__(self, real) -> None:
            self._real, self.left = real, 30

        def __getattr__(self, name):
            return getattr(self._real, name)

        def start(self, frames, done):
            self.left -= 1
            if self.left < 0:
                raise EngineError("the device is lost")
            return self._real.start(frames, done)

    def opener(config):
        from dataclasses import replace

        model = open_signed(config)
        return replace(model, segmenter=Breaks(model.segmenter))

    with running(config_for(tiny_bundle, SIM), plant, opener=opener) as (_, returned):
        wait_for(lambda: returned, 30)
    assert returned == [NEW_PROCESS]
    assert plant.last.quality is Quality.BAD
    assert HealthCode.MODEL_INVALID in code_of(plant.last)
    assert plant.last.values["Leak/State"] == LeakState.UNKNOWN


def test_in_heat_one_picture_in_n_is_segmented_and_that_is_told(tiny_bundle, plant, tmp_path):
    zone = make_zone(tmp_path / "sys", 0, "gpu-thermal", "99000")
    config = config_for(tiny_bundle, SIM)
    hot = config.device.model_copy(update={"hot_every": 4})
    pipeline = Pipeline(
        config.model_copy(update={"device": hot}),
        plant,
        open_model=open_signed,
        sysfs=tmp_path / "sys",
    )
    stop = threading.Event()
    runs = threading.Thread(target=pipeline.run, args=(stop,))
    runs.start()
    try:
        wait_for(lambda: plant.last is not None and plant.last.values.get("Frame/Every") == 4, 20)
        wait_for(lambda: plant.last.values["Frame/Fps"] > 0 and plant.last.quality < Quality.STALE)
        last = plant.last.values
        assert HealthCode.HOT in HealthCode(last["Health/Code"])
        assert last["Frame/Dropped"] >= 2  # left out, and counted
        zone.write_text("60000\n")
        wait_for(lambda: plant.last.values["Frame/Every"] == 1, 10)
        assert HealthCode.HOT not in HealthCode(plant.last.values["Health/Code"])
    finally:
        stop.set()
        runs.join()


class Numb:
    """A network that has gone blank."""

    name = "blank"

    def __init__(self, geometry: InputGeometry) -> None:
        self.geometry = geometry

    def segment(self, frames):
        shape = frames.shape[:3]
        return Segmentation(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))

    def close(self) -> None:
        pass


def test_a_network_that_fails_its_daily_check_is_unknown_at_once_and_ends_the_process(
    tiny_bundle, plant, tmp_path, monkeypatch
):
    monkeypatch.setattr(daily_check, "_SETTLE_S", 0.0)
    begun = {"begun_s": 1.7e9, "ended_s": None, "results": {}}
    (tmp_path / "daily-check.json").write_text(json.dumps(begun))
    config = config_for(tiny_bundle, SIM)
    config = config.model_copy(
        update={
            "device": DeviceConfig(daily_check="00:00"),
            "plant": PlantConfig(state_dir=tmp_path),
        }
    )
    bundle = Bundle.open(tiny_bundle)
    facts = ModelFacts("blank", fault=HealthCode(0))
    numb = RunningModel(Numb(bundle.manifest.input), facts, config.model, bundle)
    pipeline = Pipeline(config, plant, open_model=lambda _: numb)
    assert pipeline.run(threading.Event()) == NEW_PROCESS
    last = plant.last
    assert last.quality is Quality.BAD
    assert last.values["Leak/State"] == LeakState.UNKNOWN
    assert HealthCode.MODEL_INVALID in HealthCode(last.values["Health/Code"])
    kept = json.loads((tmp_path / "daily-check.json").read_text())
    assert kept["results"] == {"cam0": 1}
