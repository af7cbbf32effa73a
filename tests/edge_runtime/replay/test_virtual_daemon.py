"""The daemon's parts on a virtual clock, fed with masks made by hand."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from contract.errors import EngineError
from contract.geometry import InputGeometry
from contract.label_map import GAS_SMOKE
from contract.segmenter import Segmentation
from contract.tags import HealthCode, LeakState, Quality
from edge_runtime.camera_state import ModelFacts
from edge_runtime.config import CameraConfig, DaemonConfig, LeakConfig, ModelConfig
from edge_runtime.plant.config import PlantConfig
from edge_runtime.replay.arrivals import Arrival
from edge_runtime.replay.transcript import Transcript
from edge_runtime.replay.virtual_daemon import VirtualDaemon
from tests.edge_runtime.conftest import noisy_picture

FACTS = ModelFacts("m", "ab" * 32, "test backend", HealthCode(0))
LEAK = LeakConfig(votes=3, window=5, on_delay_s=1.0, off_delay_s=3.0)
END = HealthCode.SOURCE_ENDED | HealthCode.TEST_SOURCE


def found(index: int, *, gas: bool) -> Segmentation:
    """A mask with a plume that moves, or none."""
    mask = np.zeros((1, 32, 64), np.uint8)
    if gas:
        left = 10 + index % 7
        mask[0, 8:22, left : left + 22] = GAS_SMOKE
    return Segmentation(mask, (mask == GAS_SMOKE).astype(np.uint8) * np.uint8(230))


def clip(frames: int, *, fps: float = 10, camera: int = 0, gas_from: int = 10**9, dark=()):
    for index in range(frames):
        picture = noisy_picture(index + 100 * camera, height=32)
        picture = picture >> 5 if index in dark else picture
        at_ns = round(index * 1e9 / fps)
        yield Arrival(at_ns, camera, picture, found=found(index, gas=index >= gas_from))
    yield Arrival(round(frames * 1e9 / fps), camera, ended="came to its end")


def daemon_for(
    names, *, latency_s=0.0, tell=lambda *_: None, plant=None, leak=LEAK
) -> VirtualDaemon:
    cameras = tuple(CameraConfig(name=name, source="sim:") for name in names)
    config = DaemonConfig(
        model=ModelConfig(bundle="none"), camera=cameras, leak=leak, plant=plant or PlantConfig()
    )
    return VirtualDaemon(
        config,
        InputGeometry(width=64, height=32),
        FACTS,
        latency_ns=round(latency_s * 1e9),
        shadow=None,
        tell=tell,
    )


def replayed(arrivals, *, names=("north",), latency_s: float = 0.0, leak=LEAK):
    """The lines of a transcript, and the daemon."""
    out = io.StringIO()
    daemon = daemon_for(names, latency_s=latency_s, tell=Transcript(out, {}).tell, leak=leak)
    daemon.run(arrivals)
    return [json.loads(line) for line in out.getvalue().splitlines()[1:]], daemon


def changes(lines, tag: str, camera: str = "north"):
    return [(e["t"], e["new"]) for e in lines if (e["camera"], e["tag"]) == (camera, tag)]


def test_alarms_are_in_the_transcript_and_held_when_the_clip_is_over():
    still = LEAK.model_copy(update={"motion_over_rest": 0.0})
    lines, _ = replayed(clip(60, gas_from=20), leak=still)
    states, alarms = changes(lines, "Leak/State"), changes(lines, "Leak/AlarmState")
    assert alarms[0] == (0.0, 0)
    ((raised_s, raised),) = alarms[1:]
    assert (raised_s, raised) == (next(t for t, state in states if state == LeakState.LEAK), 1)
    assert states[-1][1] == LeakState.UNKNOWN  # the alarm stands though nobody is looking
    assert [new for _, new in changes(lines, "Leak/EventCount")] == [0, 1]
    assert len(changes(lines, "Leak/EventId")) == 1


def test_states_follow_the_masks_at_the_times_of_the_pictures():
    lines, daemon = replayed(clip(60, gas_from=20))
    times, states = zip(*changes(lines, "Leak/State"), strict=True)
    assert states == (LeakState.UNKNOWN, LeakState.NONE, LeakState.SUSPECT, LeakState.UNKNOWN)
    assert times[:2] == (0.0, 0.2)  # two frames of three without gas decide
    assert 2.2 <= times[2] == round(times[2], 1)  # when a picture was taken
    assert times[3] == 6.0
    assert daemon.segmented == 60


def test_a_clip_that_ended_is_unknown_at_the_plant_and_then_the_replay_ends():
    lines, daemon = replayed(clip(30, gas_from=0))
    assert changes(lines, "Health/Code")[-1] == (3.0, END)
    assert lines[-1]["quality"] == Quality.BAD.name
    assert daemon.now_ns <= 3.2e9


def test_every_tag_begins_at_null_and_each_line_goes_on_from_the_one_before():
    lines, _ = replayed(clip(40, gas_from=10))
    last = {}
    for line in lines:
        place = line["camera"], line["tag"]
        assert line["old"] == last.get(place)
        assert line["old"] != line["new"]
        last[place] = line["new"]
    times = [line["t"] for line in lines]
    assert times == sorted(times)
    assert "Frame/AgeMs" not in {line["tag"] for line in lines}


def test_a_dark_camera_is_unknown_a_second_later_and_never_clear():
    lines, _ = replayed(clip(60, gas_from=0, dark=range(30, 50)))
    bits = [(at, HealthCode(code)) for at, code in changes(lines, "Health/Code")]
    dark_at = min(at for at, code in bits if HealthCode.DARK in code)
    assert dark_at == pytest.approx(4.0, abs=0.3)
    states = [(at, s) for at, s in changes(lines, "Leak/State") if at >= 3.0]
    assert LeakState.NONE not in [state for _, state in states]
    assert states[0] == (dark_at, LeakState.UNKNOWN)


def test_a_camera_that_falls_silent_is_unknown_at_the_plant_by_time_alone():
    arrivals = [a for a in clip(100, gas_from=0) if a.picture is None or a.at_ns < 3e9]
    lines, _ = replayed(iter(arrivals))
    (unknown_at,) = [at for at, s in changes(lines, "Leak/State") if s == 255 and at > 0]
    assert unknown_at == pytest.approx(4.4, abs=0.2)  # the plant's bad_after_s, after the last one
    codes = [HealthCode(code) for at, code in changes(lines, "Health/Code") if 3 < at < 10]
    assert HealthCode.NO_CAMERA in codes[-1]


def test_latency_shows_in_the_times_and_in_its_tag():
    swift, _ = replayed(clip(40, gas_from=0))
    slow, daemon = replayed(clip(40, gas_from=0), latency_s=0.05)
    assert changes(slow, "Frame/LatencyP99Ms")[0][1] == 50.0
    (begun,) = [at for at, s in changes(swift, "Leak/State") if s == LeakState.SUSPECT]
    (later,) = [at for at, s in changes(slow, "Leak/State") if s == LeakState.SUSPECT]
    assert later == pytest.approx(begun + 0.05)
    assert daemon.segmented == 40


def test_a_network_that_is_too_slow_drops_pictures_and_counts_them():
    lines, daemon = replayed(clip(40, gas_from=0), latency_s=0.25)
    assert daemon.segmented < 18
    assert changes(lines, "Frame/Dropped")[-1][1] == 40 - daemon.segmented


def test_cameras_take_turns_at_a_slow_network():
    both = sorted(
        [*clip(40, camera=0), *clip(40, camera=1)], key=lambda each: (each.at_ns, each.camera)
    )
    lines, _ = replayed(iter(both), names=("north", "south"), latency_s=0.1)
    rates = [changes(lines, "Frame/Fps", name)[-2][1] for name in ("north", "south")]
    assert rates[0] == pytest.approx(rates[1], rel=0.1)
    assert rates[0] == pytest.approx(5.0, rel=0.15)


def test_one_dead_camera_changes_nothing_for_the_other():
    alone, _ = replayed(clip(40, gas_from=10))
    dead = [Arrival(500_000_000, 1, ended="broke off")]
    both = sorted([*clip(40, gas_from=10), *dead], key=lambda each: (each.at_ns, each.camera))
    lines, _ = replayed(iter(both), names=("north", "south"))
    assert [line for line in lines if line["camera"] == "north"] == alone


def test_a_plant_that_goes_on_believing_is_an_error():
    plant = PlantConfig(bad_after_s=3600, stale_after_s=3600)
    daemon = daemon_for(("north",), plant=plant)
    pictures = [each for each in clip(30) if each.picture is not None]

    def whose_end_is_lost():
        yield from pictures
        daemon._publish = lambda _: None

    with pytest.raises(EngineError, match="still believes"):
        daemon.run(whose_end_is_lost())
