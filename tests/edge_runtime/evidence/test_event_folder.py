"""An event's folder: signed, whole, and every changed byte is told."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import pytest

from contract.errors import ConfigError, GasedgeError, InputError
from contract.mask_encoding import HEADER_BYTES, decode_mask
from edge_runtime.evidence.device_key import PUBLIC_KEY, device_key
from edge_runtime.evidence.event_folder import Device, read_written, write_event
from edge_runtime.evidence.verify import verify_event
from edge_runtime.overlay_video import VIDEO_SUFFIXES
from tests.edge_runtime.evidence.leaks_seen import START_NS, leak, play, recordings
from tests.project.source_tree import ROOT

pytest.importorskip("cryptography")


@pytest.fixture(scope="module")
def recording():
    many = recordings()
    play(many, 0, 4)
    many.heard(leak(), 4.0)
    play(many, 4, 6)
    (running,) = many.all_running()
    return running


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def written(recording, state, tmp_path):
    device = Device("A17", "cd" * 32, device_key(state))
    return tmp_path / write_event(tmp_path, recording, device).folder


def run(*words):
    command = [sys.executable, "-m", "gasedge", "evidence", "verify", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_folder_holds_what_was_seen_and_says_who_saw_it(written):
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["event_ids"] == ["e1"]
    assert manifest["model_sha256"] == "ab" * 32
    assert manifest["config_sha256"] == "cd" * 32
    assert manifest["pictures"] == {"raw": 30, "overlay": 30}
    assert (manifest["to_ns"] - manifest["from_ns"]) / 1e9 == pytest.approx(5.8)
    assert manifest["onset_ns"] == START_NS
    assert manifest["test"] is False
    clips = [each.name for each in written.iterdir() if each.suffix in (".webm", ".avi")]
    assert len(clips) == 2
    for clip in clips:
        video = cv2.VideoCapture(str(written / clip))
        frames = 0
        while video.read()[0]:
            frames += 1
        assert frames / video.get(cv2.CAP_PROP_FPS) == pytest.approx(5.8, abs=0.5)
    times = (written / "raw.csv").read_text().splitlines()
    assert len(times) == 31
    assert times[1].startswith(f"0,{START_NS},")
    masks, numbers = (written / "masks.gem1").read_bytes(), []
    while masks:
        length = int.from_bytes(masks[40:44], "little")
        numbers.append(decode_mask(masks[: HEADER_BYTES + length]).frame_seq)
        masks = masks[HEADER_BYTES + length :]
    assert numbers == [*range(30)]
    assert len((written / "values.jsonl").read_text().splitlines()) == 30
    assert len((written / "alarms.jsonl").read_text().splitlines()) == 1


def test_an_untouched_folder_is_found_unchanged(written, state):
    verdict = verify_event(written, (state / PUBLIC_KEY).read_bytes())
    assert verdict.faults == ()
    assert verdict.manifest_sha256 == read_written(written).sha256
    done = run(written.parent, "--key", state / PUBLIC_KEY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "unchanged, signed by your key" in done.stdout
    assert "not compared" in run(written).stdout


@pytest.mark.parametrize(
    "name",
    ["raw.webm", "overlay.webm", "masks.gem1", "values.jsonl", "alarms.jsonl", "raw.csv"],
)
def test_a_single_changed_bit_is_told(written, name):
    path = written / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert verify_event(written).faults == (f"{name}: was changed",)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "public.pem"])
def test_a_changed_manifest_signature_or_key_is_told(written, name):
    path = written / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert verify_event(written).faults


def test_files_taken_out_or_put_in_are_told_by_the_command_with_exit_code_3(written):
    (written / "masks.gem1").unlink()
    (written / "extra.txt").write_text("x")
    done = run(written, "--json")
    assert done.returncode == 3
    assert "1 of 1 events are not as they were signed" in done.stderr
    said = json.loads(done.stdout)
    assert said["faults"] == ["masks.gem1: is missing", "extra.txt: was put in"]


def test_evidence_that_somebody_signed_anew_is_told_by_whose_key_it_is(
    recording, written, state, tmp_path
):
    forger = Device("A17", "cd" * 32, device_key(tmp_path / "forger"))
    forged = tmp_path / "forged" / write_event(tmp_path / "forged", recording, forger).folder
    assert verify_event(forged).faults == ()  # whole in itself
    faults = verify_event(forged, (state / PUBLIC_KEY).read_bytes()).faults
    assert "public.pem: is not the key that you trust" in faults
    assert "manifest.json: its signature does not fit" in faults
    (written / "raw.webm").unlink()
    (written / "raw.webm").symlink_to(forged / "raw.webm")
    assert verify_event(written).faults == ("raw.webm: is missing",)


def test_a_key_or_folder_that_is_none_is_one_clear_line(written, tmp_path):
    with pytest.raises(InputError, match="no PEM public key"):
        verify_event(written, b"nonsense")
    for words in ([tmp_path / "nowhere"], [written, "--key", tmp_path / "nowhere"]):
        done = run(*words)
        assert done.returncode == 1
        assert done.stderr.count("\n") == 1
        assert "nowhere" in done.stderr


def test_work_that_is_ended_or_refused_leaves_nothing_behind(recording, state, tmp_path):
    device = Device("A17", "cd" * 32, device_key(state))
    with pytest.raises(GasedgeError, match="process ends"):
        write_event(tmp_path, recording, device, is_stopping=lambda: True)
    assert [*tmp_path.iterdir()] == []
    write_event(tmp_path, recording, device, no_clips="the disk had too little room")
    (event,) = tmp_path.iterdir()
    assert not (event / "raw.webm").exists()
    assert "too little room" in json.loads((event / "manifest.json").read_text())["clips"]
    assert verify_event(event).faults == ()


def test_the_devices_key_is_made_once_and_stays_private(tmp_path):
    first = device_key(tmp_path).private_bytes_raw()
    assert device_key(tmp_path).private_bytes_raw() == first
    path = tmp_path / "evidence-key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        device_key(tmp_path)
    path.chmod(0o600)
    path.write_bytes(b"broken")
    with pytest.raises(ConfigError, match="damaged"):
        device_key(tmp_path)


def test_where_vp8_cannot_be_written_the_clip_is_motion_jpeg(
    recording, state, tmp_path, monkeypatch
):
    monkeypatch.setitem(VIDEO_SUFFIXES, ".webm", "NONE")  # a codec that OpenCV does not have
    device = Device("A17", "cd" * 32, device_key(state))
    event = tmp_path / write_event(tmp_path, recording, device).folder
    assert {each.name for each in event.glob("*.avi")} == {"raw.avi", "overlay.avi"}
    assert not [*event.glob("*.webm")]
    assert cv2.VideoCapture(str(event / "raw.avi")).read()[0]
    assert verify_event(event).faults == ()
