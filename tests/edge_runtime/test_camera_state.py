"""Blind is not "no leak": the snapshot of a camera under a virtual clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from contract.geometry import FrameFit
from contract.label_map import GAS_SMOKE
from contract.mask_encoding import decode_mask
from contract.tags import TAGS, HealthCode, LeakState, Ne107, Quality
from edge_runtime.camera_state import CameraState, ModelFacts
from edge_runtime.config import HealthConfig, LeakConfig
from edge_runtime.leaks.config import ZoneConfig
from edge_runtime.leaks.judge import LeakJudge
from edge_runtime.sources.reader import Phase, ReaderStatus
from tests.edge_runtime.conftest import frame_at, noisy_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

ZERO = 100.0
FIT = FrameFit(64, 48, 0, 0, 64, 48)
CLEAR = np.zeros((48, 64), np.uint8)
GAS = CLEAR.copy()
GAS[5:12, 4:10] = GAS_SMOKE
ZONES = (ZoneConfig(name="all", polygon=((0, 0), (64, 0), (64, 48), (0, 48))),)
RUNS = ModelFacts("m", "ab" * 32, "test backend", HealthCode(0))


class Camera:
    """A camera at ten pictures a second whose worker segments each."""

    def __init__(self, leaks: LeakJudge | None = None, *, is_test: bool = False) -> None:
        self.state = CameraState(
            "north",
            1,
            health=HealthConfig(),
            leaks=leaks or LeakJudge(LeakConfig(), ZONES),
            size=None,
            is_test=is_test,
            version="0.1",
        )
        self.at = 0.0
        self.reader = ReaderStatus(phase=Phase.READING)

    def sees(self, mask: NDArray[np.uint8], seconds: float, picture=None) -> None:
        for _ in range(round(seconds * 10)):
            self.at += 0.1
            seq = self.reader.captured + 1
            self.reader = replace(self.reader, captured=seq)
            shown = noisy_picture(seq) if picture is None else picture
            if picture is None:
                shown[mask == GAS_SMOKE] += np.uint8(seq * 37 % 60)  # it billows
            frame = frame_at(self.at, shown, seq=seq)
            if self.state.saw(frame):
                score = (mask == GAS_SMOKE).astype(np.uint8) * np.uint8(230)
                self.state.segmented(frame, mask, score, FIT, ZERO + self.at + 0.01)

    def snapshot(self, after: float = 0.02, model: ModelFacts = RUNS):
        return self.state.snapshot(ZERO + self.at + after, self.reader, model, 0)

    def code(self, **options) -> HealthCode:
        return HealthCode(self.snapshot(**options).values["Health/Code"])


def assert_says_nothing(snapshot) -> None:
    """Bad, unknown, and no value left that could be read as a clear sky."""
    assert snapshot.quality is Quality.BAD
    assert snapshot.values["Leak/State"] == LeakState.UNKNOWN
    told = ("Leak/", "Mask/", "Zone/")
    said = [n for n in snapshot.values if n.startswith(told) and n != "Leak/State"]
    assert said == []


def test_a_watched_scene_without_gas_is_none_and_good():
    camera = Camera()
    camera.sees(CLEAR, 3)
    snapshot = camera.snapshot()
    assert snapshot.quality is Quality.GOOD
    assert snapshot.values["Leak/State"] == LeakState.NONE
    assert snapshot.values["Leak/AreaFraction"] == 0.0
    assert snapshot.values["Frame/Fps"] == pytest.approx(10, rel=0.01)
    assert snapshot.values["Frame/LatencyP99Ms"] == pytest.approx(10, rel=0.01)


def test_a_leak_carries_all_its_values():
    camera = Camera()
    camera.sees(GAS, 5)
    values = camera.snapshot().values
    assert values["Leak/State"] == LeakState.LEAK
    assert values["Leak/BBox"] == (4, 5, 6, 7)
    assert values["Leak/CentroidX"] == pytest.approx(7 / 64, abs=2 / 64)  # half a cell
    assert values["Leak/DurationS"] == 4
    # the first picture cannot show that anything moves
    assert values["Leak/OnsetTime"] == pytest.approx(1.8e18 + 2e8, abs=1000)
    assert (decode_mask(values["Mask/Data"]).mask == (GAS == GAS_SMOKE)).all()


def test_every_value_has_a_row_in_the_tag_table():
    camera = Camera()
    camera.sees(GAS, 5)
    assert set(camera.snapshot().values) <= {tag.name for tag in TAGS}


def test_before_the_first_picture_nothing_is_said():
    assert_says_nothing(Camera().snapshot())
    assert HealthCode.NO_CAMERA in Camera().code()


def test_the_first_pictures_do_not_say_no_leak():
    camera = Camera()
    camera.sees(CLEAR, 0.5)
    assert_says_nothing(camera.snapshot())
    assert camera.code() == HealthCode.STARTING


def test_a_lost_camera_is_stale_then_unknown_within_two_seconds():
    camera = Camera()
    camera.sees(CLEAR, 3)
    assert camera.snapshot(after=0.6).quality is Quality.STALE
    assert camera.snapshot(after=0.6).values["Leak/State"] == LeakState.NONE
    assert_says_nothing(camera.snapshot(after=2.05))
    assert not camera.snapshot(after=2.05).values["Camera/Connected"]


def test_a_reader_that_knows_of_its_loss_is_believed_at_once():
    camera = Camera()
    camera.sees(GAS, 5)
    camera.reader = replace(camera.reader, phase=Phase.WAITING, failures=1)
    assert_says_nothing(camera.snapshot())


def test_a_frozen_camera_is_reported_bad_not_clear():
    camera = Camera()
    camera.sees(CLEAR, 3)
    camera.sees(CLEAR, 2, picture=noisy_picture(5))
    assert_says_nothing(camera.snapshot())
    assert camera.snapshot().values["Camera/Frozen"] is True


def test_a_file_that_ended_is_unknown_at_once_and_stays_so():
    camera = Camera(is_test=True)
    camera.sees(CLEAR, 3)
    assert camera.snapshot().quality is Quality.UNCERTAIN
    camera.reader = replace(camera.reader, phase=Phase.ENDED)
    for after in (0.02, 0.3, 1, 1000):
        assert_says_nothing(camera.snapshot(after=after))
        assert camera.code(after=after) == HealthCode.SOURCE_ENDED | HealthCode.TEST_SOURCE


def test_pictures_that_nobody_segments_are_a_stall_not_a_lost_camera():
    camera = Camera()
    camera.sees(CLEAR, 3)
    camera.reader = replace(camera.reader, captured=camera.reader.captured + 30)
    assert_says_nothing(camera.snapshot(after=2.1))
    assert camera.code(after=2.1) == HealthCode.STALLED
    assert camera.snapshot(after=2.1).values["Camera/Connected"]


def test_an_invalid_model_is_unknown_however_fresh_the_pictures():
    camera = Camera()
    camera.sees(GAS, 5)
    invalid = replace(RUNS, fault=HealthCode.MODEL_INVALID)
    assert_says_nothing(camera.snapshot(model=invalid))
    assert HealthCode.MODEL_INVALID in camera.code(model=invalid)


def test_after_blindness_old_votes_do_not_count():
    camera = Camera()
    camera.sees(GAS, 5)
    assert camera.snapshot().values["Leak/State"] == LeakState.LEAK
    camera.at += 10.0  # nothing arrived, and nobody even asked for a snapshot
    camera.sees(GAS, 0.5)
    assert_says_nothing(camera.snapshot())
    camera.sees(GAS, 0.5)
    assert camera.snapshot().values["Leak/State"] == LeakState.SUSPECT


@pytest.mark.parametrize(
    "blind",
    [
        lambda camera: camera.sees(GAS, 3, picture=noisy_picture(5)),  # frozen
        lambda camera: camera.sees(GAS, 3, picture=np.zeros((48, 64, 3), np.uint8)),
        lambda camera: camera.snapshot(after=5),
        lambda camera: camera.snapshot(model=replace(RUNS, fault=HealthCode.MODEL_INVALID)),
    ],
    ids=["frozen", "dark", "lost", "invalid"],
)
def test_no_leak_number_source_or_zone_outlives_blindness(blind):
    camera = Camera()
    camera.sees(GAS, 6)
    values = camera.snapshot().values
    assert (values["Leak/Id"], values["Leak/Zone"], values["Zone/State1"]) == (1, "all", 2)
    blind(camera)
    if camera.snapshot().quality is Quality.BAD:
        assert_says_nothing(camera.snapshot())
    assert camera.state.judged is None
    camera.at += 10
    camera.sees(GAS, 2.2)  # pictures have to be sane for a second first
    values = camera.snapshot().values
    assert values["Leak/State"] == values["Zone/State1"] == LeakState.SUSPECT
    assert values["Leak/DurationS"] <= 2


def test_a_picture_of_another_size_starts_the_vote_again():
    camera = Camera()
    camera.sees(CLEAR, 3)
    camera.sees(CLEAR, 0.1, picture=noisy_picture(1, width=80, height=60))
    assert_says_nothing(camera.snapshot())


def test_the_heartbeat_counts_seconds_with_segmented_frames_and_stops_while_blind():
    camera = Camera()
    camera.sees(CLEAR, 5)
    beats = camera.snapshot().heartbeat
    assert beats in (5, 6)
    camera.sees(CLEAR, 2, picture=noisy_picture(5))  # freezes after 1.5 s
    frozen = camera.snapshot().heartbeat
    camera.sees(CLEAR, 5, picture=noisy_picture(5))
    assert camera.snapshot(after=100).heartbeat == frozen
    camera.sees(CLEAR, 2)
    assert camera.snapshot().heartbeat >= frozen + 2


@pytest.mark.parametrize(
    "warning", [HealthCode.HOT, HealthCode.CHECK_OVERDUE, HealthCode.CHECK_FAILED]
)
def test_what_upkeep_warns_of_needs_maintenance_and_leaves_the_leak_state_good(warning):
    camera = Camera()
    camera.sees(CLEAR, 3)
    camera.state.kept_up({"Frame/Every": 3, "Verify/LastResult": 0}, warning)
    snapshot = camera.snapshot()
    assert snapshot.quality is Quality.GOOD
    assert snapshot.values["Leak/State"] == LeakState.NONE
    assert snapshot.values["Health/NE107"] == Ne107.MAINTENANCE_REQUIRED
    assert snapshot.values["Frame/Every"] == 3
    assert camera.code() == warning
    # while it is blind, that is what matters
    assert warning not in camera.code(model=replace(RUNS, fault=HealthCode.MODEL_INVALID))
