"""Between two frames: each frame is answered once, by one model, whose name goes with it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from contract.errors import EngineError
from contract.tags import HealthCode
from edge_runtime.camera_state import CameraState, ModelFacts
from edge_runtime.model import RunningModel
from edge_runtime.pipeline import NEW_PROCESS, Pipeline
from tests.edge_runtime.conftest import wait_for
from tests.edge_runtime.test_pipeline import (
    SIM,
    TwoAtATime,
    config_for,
    number_on,
    numbered,
    running,
)

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "aa" * 32, "bb" * 32


class Counted(TwoAtATime):
    """The painter of numbers; it tells when it is closed and what was under way then."""

    def __init__(self) -> None:
        super().__init__()
        self.closed: list[int] = []

    def close(self) -> None:
        self.closed.append(self.under_way)


def model(sha256: str, network: Counted) -> RunningModel:
    return RunningModel(network, ModelFacts(sha256[:2], sha256, "painted", HealthCode(0)))


def test_frames_of_all_cameras_meet_one_model_each_in_order_and_none_is_lost(
    plant, write_folder, monkeypatch, tiny_bundle: Path
):
    folder = write_folder([numbered(number) for number in range(1, 81)])
    judged: dict[str, list] = {"cam0": [], "cam1": []}
    segmented = CameraState.segmented

    def spied(state, frame, mask, *rest, **more):
        judged[state.name].append((number_on(frame.picture), more["model_sha256"]))
        if state.name == "cam0" and len(judged["cam0"]) == 30:
            handing.start()
        return segmented(state, frame, mask, *rest, **more)

    monkeypatch.setattr(CameraState, "segmented", spied)
    old, new = Counted(), Counted()
    config = config_for(tiny_bundle, f"folder:{folder}?every=1", f"folder:{folder}?every=1")
    pipeline = Pipeline(config, plant, open_model=lambda _: model(OLD, old))
    taken = []
    handing = threading.Thread(
        target=lambda: taken.append(pipeline.take_over(model(NEW, new), wait_s=10))
    )
    assert pipeline.run(threading.Event(), until_end=True) == 0
    handing.join()
    assert taken == [True]
    for seen in judged.values():
        assert [number for number, _ in seen] == list(range(1, 81))
        models = [sha256 for _, sha256 in seen]
        assert models == sorted(models)
        assert {OLD, NEW} == set(models)
    assert old.closed[0] == 0  # nothing of it was under way
    assert new.closed[0] == 0
    for name, seen in judged.items():
        first = next(number for number, sha256 in seen if sha256 == NEW)
        for _, snapshot in plant.snapshots:
            if snapshot.camera == name and snapshot.values["Model/Sha256"] == NEW:
                assert snapshot.values["Frame/Seq"] >= first


def test_a_model_that_nobody_takes_stays_with_who_offered_it(plant, tiny_bundle: Path):
    pipeline = Pipeline(config_for(tiny_bundle, SIM), plant, open_model=lambda _: None)
    new = Counted()
    assert not pipeline.take_over(model(NEW, new), wait_s=0.05)
    assert not new.closed


def test_a_daemon_without_a_valid_model_takes_the_first_that_is_offered(plant, tiny_bundle: Path):
    def nothing(_: object) -> RunningModel:
        raise EngineError("nothing opens")

    new = Counted()
    config = config_for(tiny_bundle, SIM)
    with running(config, plant, opener=nothing) as (pipeline, _):
        wait_for(lambda: plant.last is not None, 20)
        begun_s = time.monotonic()
        assert pipeline.take_over(model(NEW, new), wait_s=20)
        assert time.monotonic() - begun_s < 2  # not at the end of a back-off
        wait_for(lambda: plant.last.values["Model/Sha256"] == NEW, 10)
    assert new.closed


def test_a_successor_that_fails_says_why_and_asks_for_a_new_process(plant, tiny_bundle: Path):
    class Breaks(Counted):
        def start(self, frames, done):
            raise EngineError("out of memory")

    old, new = Counted(), Breaks()
    config = config_for(tiny_bundle, SIM)
    with running(config, plant, opener=lambda _: model(OLD, old)) as (pipeline, returned):
        wait_for(lambda: pipeline.standing.segmented_s is not None, 60)
        assert pipeline.take_over(model(NEW, new), wait_s=10)
        wait_for(lambda: returned, 10)
        assert pipeline.failure == "out of memory"
    assert returned == [NEW_PROCESS]
    assert plant.last.values["Model/Sha256"] == NEW
    assert HealthCode.MODEL_INVALID in HealthCode(plant.last.values["Health/Code"])
    assert old.closed
    assert new.closed


@pytest.mark.parametrize("cameras", [1, 2])
def test_frames_are_told_to_who_listens_and_only_while_he_does(plant, tiny_bundle: Path, cameras):
    config = config_for(tiny_bundle, *[SIM] * cameras)
    heard = []
    with running(config, plant, opener=lambda _: model(OLD, Counted())) as (pipeline, _):
        end = pipeline.listen(lambda frame, mask, fit: heard.append((frame.camera, mask, fit)))
        wait_for(lambda: len({camera for camera, _, _ in heard}) == cameras, 60)
        end()
        count = len(heard)
        before = pipeline.standing.segmented_s
        wait_for(lambda: pipeline.standing.segmented_s > before + 0.2, 30)
        assert len(heard) <= count + 1  # one may have been under way
    assert heard[0][1].shape == (64, 64)
