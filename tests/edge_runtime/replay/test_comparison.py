"""Two transcripts are alike in what matters, or the first line of each difference is told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from contract.errors import InputError
from contract.tags import CameraSnapshot, Quality
from edge_runtime.plant.freshness import Published
from edge_runtime.replay.comparison import differences, read_transcript
from edge_runtime.replay.transcript import Transcript

if TYPE_CHECKING:
    from pathlib import Path

HEAD = {"cameras": {"north": "sim:"}, "latency_s": 0.0}


def written(path: Path, told, *, head=HEAD, every_s: float = 0.0) -> Path:
    """A transcript of (seconds, values of tags)."""
    with path.open("w") as file:
        transcript = Transcript(file, head, values_every_s=every_s)
        for at_s, values in told:
            snapshot = CameraSnapshot("north", 1, Quality.GOOD, 0, 0, values)
            transcript.tell(round(at_s * 1e9), Published(snapshot, heard=True))
    return path


def told(*, leak_at: float = 2.0, score: float = 0.8, area: int = 1000):
    for tenth in range(40):
        leak = tenth / 10 >= leak_at
        yield (
            tenth / 10,
            {
                "Leak/State": 2 if leak else 0,
                "Leak/Score": score if leak else 0.0,
                "Leak/AreaPx": area + tenth if leak else 0,
                "Model/Backend": f"some CPU {score}",
            },
        )


def test_what_differs_by_a_pixel_or_by_the_name_of_the_cpu_is_alike(tmp_path: Path):
    one = written(tmp_path / "a", told())
    other = written(tmp_path / "b", told(score=0.803, area=1003))
    assert one.read_bytes() != other.read_bytes()
    assert differences(one, other) == []


def test_a_state_at_another_time_is_told_once(tmp_path: Path):
    one, other = written(tmp_path / "a", told()), written(tmp_path / "b", told(leak_at=2.3))
    lines = [line.strip() for line in differences(one, other) if "Leak/State" in line]
    assert lines == ["2.000 s  north Leak/State: 2 -> 0"]


def test_a_figure_that_is_far_off_is_told(tmp_path: Path):
    one, other = written(tmp_path / "a", told()), written(tmp_path / "b", told(score=0.6))
    assert [line.strip() for line in differences(one, other)] == [
        "2.000 s  north Leak/Score: 0.8 -> 0.6"
    ]


@pytest.mark.parametrize(("now", "differ"), [(5.0, 0), (340.0, 0), (80.0, 1)])
def test_directions_are_compared_round_the_circle(tmp_path: Path, now: float, differ: int):
    one = written(tmp_path / "a", [(0.0, {"Leak/DriftDeg": 355.0})])
    other = written(tmp_path / "b", [(0.0, {"Leak/DriftDeg": now})])
    assert len(differences(one, other)) == differ


def test_states_are_written_at_once_and_figures_at_their_time(tmp_path: Path):
    _, lines = read_transcript(written(tmp_path / "a", told(leak_at=2.1), every_s=1.0))
    assert {line["t"] for line in lines if line["tag"] == "Leak/State"} == {0.0, 2.1}
    assert {line["t"] for line in lines if line["tag"] == "Leak/AreaPx"} == {0.0, 3.0}


def test_figures_that_became_unknown_are_written_at_once(tmp_path: Path):
    path = tmp_path / "a"
    with path.open("w") as file:
        transcript = Transcript(file, HEAD, values_every_s=10.0)
        for at_s, quality in ((0.0, Quality.GOOD), (0.5, Quality.GOOD), (1.5, Quality.BAD)):
            snapshot = CameraSnapshot("north", 1, quality, 0, 0, {"Leak/Score": 0.5 + at_s / 10})
            transcript.tell(round(at_s * 1e9), Published(snapshot, heard=True))
    _, lines = read_transcript(path)
    assert [(e["t"], e["new"]) for e in lines if e["tag"] == "Leak/Score"] == [
        (0, 0.5),
        (1.5, None),
    ]


def test_lines_are_plain_json_of_few_digits(tmp_path: Path):
    path = written(
        tmp_path / "a", [(0.0333333, {"Leak/Score": 0.123456, "Leak/BBox": (1, 2, 3, 4)})]
    )
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    found = {line["tag"]: line for line in lines}
    assert found["Leak/Score"] == {
        "t": 0.033,
        "camera": "north",
        "tag": "Leak/Score",
        "old": None,
        "new": 0.123,
        "quality": "GOOD",
    }
    assert found["Leak/BBox"]["new"] == [1, 2, 3, 4]


def test_transcripts_of_different_replays_are_not_compared(tmp_path: Path):
    one = written(tmp_path / "a", told())
    other = written(tmp_path / "b", told(), head={**HEAD, "latency_s": 0.1})
    with pytest.raises(InputError, match=r"was replayed with latency_s 0.0, this with 0.1"):
        differences(one, other)


@pytest.mark.parametrize("text", ["", "no json\n", '{"a": 1}\n', "[1]\n", '"text"\n'])
def test_what_is_no_transcript_is_refused_in_one_line(tmp_path: Path, text: str):
    path = tmp_path / "a"
    path.write_text(text)
    with pytest.raises(InputError, match="is no transcript of a replay") as raised:
        read_transcript(path)
    assert "\n" not in str(raised.value)
