"""`gasedge replay` through the real model: the same bytes every time, and as before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge_runtime.replay.comparison import differences, read_transcript
from gasedge.cli import main
from tests.edge_runtime.conftest import noisy_picture, wait_for

pytest.importorskip("openvino", reason="pip install 'gasedge[cpu]'")

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.jsonl"
AGAIN = (
    "if that is as it should be: gasedge replay tests/edge_runtime/replay/golden.toml "
    "--values-every 2 --transcript tests/edge_runtime/replay/golden.jsonl"
)
CONFIG = """\
[model]
bundle = "tiny.gasedge"
precision = "fp32"

[trust]
keys = ["tests.pub"]

[[camera]]
name = "north"
source = "rtsp://10.0.0.5/stream"

[[camera]]
name = "south"
source = "v4l2:/dev/video0"
"""
SIM = "sim:seed=3&width=96&height=64&fps=10&frames=30"


@pytest.fixture
def config(tiny_bundle: Path) -> Path:
    path = tiny_bundle.parent / "daemon.toml"
    path.write_text(CONFIG)
    return path


def replay_command(config: Path, out: Path, *options: str) -> list[str]:
    arguments = ["replay", str(config), "--transcript", str(out), *options]
    return [sys.executable, "-m", "gasedge", "-q", *arguments]


def test_golden_transcript_is_what_the_daemon_does(tmp_path: Path):
    """Six simulated cameras: an onset, no plume, frozen, dark, cut off, of another size."""
    out = tmp_path / "now.jsonl"
    arguments = ["--values-every", "2", "--transcript", str(out)]
    assert main(["-q", "replay", str(HERE / "golden.toml"), *arguments]) == 0
    differ = differences(GOLDEN, out)
    assert not differ, "\n".join(["before -> now:", *differ, AGAIN])


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting", [{"ONEDNN_MAX_CPU_ISA": "AVX2"}, {"GASEDGE__MODEL__BACKEND": "onnxruntime"}]
)
def test_golden_states_and_times_are_those_of_other_arithmetic(tmp_path: Path, setting):
    """OpenVINO without AVX-512, and another runtime, stand for another machine's CPU."""
    out = tmp_path / "now.jsonl"
    done = subprocess.run(
        replay_command(HERE / "golden.toml", out, "--values-every", "2", "--against", str(GOLDEN)),
        env={**os.environ, **setting},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def states_of(camera: str, tag: str = "Leak/State") -> list[int]:
    _, lines = read_transcript(GOLDEN)
    return [e["new"] for e in lines if (e["camera"], e["tag"]) == (camera, tag)]


def test_golden_transcript_holds_what_it_is_named_for():
    none, suspect, leak, unknown = 0, 1, 2, 255
    assert states_of("onset") == [unknown, none, suspect, leak, unknown]
    assert states_of("clear") == [unknown, none, unknown]
    for blind in ("frozen", "dark", "cut-off", "resized"):
        states = states_of(blind)
        assert leak in states
        assert unknown in states[states.index(leak) :]
        assert none not in states
        # the leak's alarm is held through blindness, which has an alarm of its own
        assert states_of(blind, "Leak/AlarmState") == [0, 1]
        assert 1 in states_of(blind, "Alarm/FailureState")
    assert states_of("clear", "Leak/AlarmState") == [0]


def test_two_processes_write_the_same_bytes(config: Path, tmp_path: Path):
    """They run at once, so that each is a load to the other, and hash by different seeds."""
    clips = ["--source", f"north={SIM}", "--source", f"south={SIM.replace('seed=3', 'seed=4')}"]
    outs = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    running = [
        subprocess.Popen(
            replay_command(config, out, *clips, "--latency-ms", "30"),
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL,
        )
        for out, seed in zip(outs, ("1", "2"), strict=True)
    ]
    assert [each.wait(60) for each in running] == [0, 0]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert len(outs[0].read_bytes()) > 10_000


def test_number_of_streams_changes_no_byte(config: Path, tmp_path: Path):
    one, three = tmp_path / "one.jsonl", tmp_path / "three.jsonl"
    assert main(["replay", str(config), "--source", f"north={SIM}", "--transcript", str(one)]) == 0
    config.write_text(CONFIG.replace('"fp32"\n', '"fp32"\nstreams = 3\nthreads = 7\n'))
    arguments = ["--source", f"north={SIM}", "--transcript", str(three)]
    assert main(["replay", str(config), *arguments]) == 0
    assert one.read_bytes() == three.read_bytes()


def test_files_and_folders_are_replayed_and_the_outcome_is_json(
    config: Path, tmp_path: Path, write_clip, write_folder, capsys
):
    clip = write_clip(frames=12)
    folder = write_folder([noisy_picture(seed) for seed in range(5)])
    out = tmp_path / "out.jsonl"
    clips = ["--source", f"north={clip}", "--source", f"south=folder:{folder}?fps=5"]
    assert main(["replay", str(config), *clips, "--transcript", str(out), "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["frames"] == 17
    assert outcome["virtual_s"] >= 1.2
    head, lines = read_transcript(out)
    assert outcome["changes"] == len(lines)
    assert head["cameras"] == {"north": "file:clip.avi", "south": "folder:frames?fps=5"}
    assert str(tmp_path) not in out.read_text()


def test_a_clip_that_breaks_off_ends_there_and_the_plant_says_unknown(
    config: Path, tmp_path: Path, write_folder
):
    folder = write_folder([noisy_picture(seed) for seed in range(6)])
    (folder / "0004.png").write_bytes(b"broken")
    out = tmp_path / "out.jsonl"
    assert (
        main(["replay", str(config), "--source", f"north={folder}", "--transcript", str(out)]) == 0
    )
    _, lines = read_transcript(out)
    assert lines[-1]["quality"] == "BAD"
    assert max(line["new"] for line in lines if line["tag"] == "Frame/Seq") == 4


def test_against_tells_the_differences_by_exit_code_three(config: Path, tmp_path: Path, capsys):
    before, now = tmp_path / "before.jsonl", tmp_path / "now.jsonl"
    arguments = ["replay", str(config), "--source", f"north={SIM}", "--transcript"]
    assert main([*arguments, str(before)]) == 0
    assert main([*arguments, str(now), "--against", str(before)]) == 0
    assert f"the same states at the same times as {before}" in capsys.readouterr().out
    lines = before.read_text().splitlines()
    (at,) = [
        n for n, line in enumerate(lines) if '"Camera/Connected"' in line and '"new":true' in line
    ]
    before.write_text("\n".join([*lines[:at], *lines[at + 1 :]]) + "\n")
    assert main([*arguments, str(now), "--against", str(before)]) == 3
    assert "north Camera/Connected: None -> True" in capsys.readouterr().out
    assert main([*arguments, str(now), "--against", str(now)]) == 2


@pytest.mark.parametrize(
    ("clip", "code", "says"),
    [
        (SIM, 2, "of which camera?"),
        ("north=nowhere.mp4", 1, "cannot be opened"),
        ("north=broken.mp4", 1, "cannot be opened"),
        ("north=empty/", 1, "holds no picture"),
        ("north=rtsp://10.0.0.5/stream", 1, "is a camera"),
        ("north=sim:seed=1", 1, "never ends"),
        ("north=sim:frames=5&loop", 1, "never ends"),
        ("north=sim:frame=5", 2, "did you mean frames?"),
        ("north=sim:frames=5&fault=dim@1..2", 2, "one of dark"),
        ("north=file:", 2, "names nothing"),
    ],
)
def test_a_clip_that_cannot_be_replayed_is_told_in_one_line(
    config: Path, tmp_path: Path, monkeypatch, capsys, clip: str, code: int, says: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "out.jsonl"
    assert main(["-q", "replay", str(config), "--source", clip, "--transcript", str(out)]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not [path for path in tmp_path.iterdir() if "out.jsonl" in path.name]


def test_no_clip_at_all_is_told(config: Path, tmp_path: Path, capsys):
    assert main(["-q", "replay", str(config), "--transcript", str(tmp_path / "out.jsonl")]) == 2
    assert "give --source" in capsys.readouterr().err


def test_an_out_that_cannot_be_written_is_told_before_the_work(config: Path, capsys):
    out = config / "out.jsonl"  # a file is no folder
    arguments = ["--source", f"north={SIM}", "--transcript", str(out)]
    assert main(["-q", "replay", str(config), *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{out}: cannot be written" in line


def test_interrupted_it_ends_in_one_line_and_leaves_nothing(config: Path, tmp_path: Path):
    out = tmp_path / "transcripts" / "out.jsonl"
    endless = SIM.replace("frames=30", "frames=100000")
    process = subprocess.Popen(
        replay_command(config, out, "--source", f"north={endless}"),
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(
        lambda: out.parent.is_dir() and any(p.stat().st_size for p in out.parent.iterdir()), 30
    )
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "gasedge: interrupted"
    assert "Traceback" not in errors
    assert list(out.parent.iterdir()) == []
