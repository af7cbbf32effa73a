"""Real decoder processes on real files."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contract.errors import InputError
from edge_runtime.latest import LatestFrame
from edge_runtime.sources.decoder import Decoder, SourceEndedError
from edge_runtime.sources.reader import CameraReader, Phase
from edge_runtime.sources.uri import parse_source
from edge_runtime.sources.wire import HEADER_BYTES, Header, Kind
from tests.edge_runtime.conftest import noisy_picture, wait_for


def read_all(text: str) -> tuple[list, str]:
    """Every picture of a source and how it ended."""
    pictures = []
    with Decoder(parse_source(text), lambda: False) as decoder:
        while True:
            try:
                pictures.append(decoder.read(10.0))
            except SourceEndedError as ended:
                return pictures, str(ended)


def test_a_video_gives_every_picture_once_and_then_its_end(write_clip):
    path = write_clip(frames=12)
    pictures, end = read_all(f"file:{path}?every")
    assert len(pictures) == 12
    assert end == f"file:{path}: came to its end"
    _, picture = pictures[3]
    assert picture.shape == (48, 64, 3)
    assert np.abs(picture.astype(int) - noisy_picture(3)).mean() < 6  # MJPG loses a little


def test_a_video_is_played_at_its_own_rate(write_clip):
    pictures, _ = read_all(f"file:{write_clip(frames=8, fps=20)}")
    times = [header.monotonic_ns for header, _ in pictures]
    assert (times[-1] - times[0]) / 1e9 == pytest.approx(7 / 20, abs=0.15)


def test_a_folder_gives_its_pictures_in_order_at_the_asked_rate(write_folder):
    made = [noisy_picture(n) for n in range(5)]
    folder = write_folder(made)
    pictures, _ = read_all(f"folder:{folder}?fps=50")
    assert all((got == put).all() for (_, got), put in zip(pictures, made, strict=True))


def test_pictures_of_different_sizes_come_through(write_folder):
    folder = write_folder([noisy_picture(0), noisy_picture(1, width=80, height=60)])
    pictures, _ = read_all(f"folder:{folder}?every")
    assert [p.shape for _, p in pictures] == [(48, 64, 3), (60, 80, 3)]


def test_a_simulated_scene_is_a_source():
    pictures, _ = read_all("sim:seed=3&kind=gas&width=64&height=48&frames=3&every")
    assert [p.shape for _, p in pictures] == [(48, 64, 3)] * 3


def test_a_video_that_breaks_off_has_ended_and_says_where(write_clip):
    path = write_clip(frames=30)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    pictures, end = read_all(f"file:{path}?every")
    assert 5 < len(pictures) < 25
    assert "breaks off after" in end or "came to its end" in end


@pytest.mark.parametrize("content", [b"", b"not a video at all" * 100])
def test_a_file_that_is_no_video_is_told_in_one_line(tmp_path: Path, content: bytes):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be opened") as raised:
        read_all(f"file:{path}")
    assert "\n" not in str(raised.value)


def test_a_folder_with_a_broken_picture_names_it(write_folder):
    folder = write_folder([noisy_picture(0), noisy_picture(1)])
    (folder / "0001.png").write_bytes(b"")
    pictures, end = read_all(f"folder:{folder}?every")
    assert len(pictures) == 1
    assert "0001.png" in end


def test_looped_files_go_on(write_clip, slot):
    uri = parse_source(f"file:{write_clip(frames=3)}?loop&every")
    with CameraReader("north", uri, slot) as reader:
        wait_for(lambda: slot.take() and reader.status.captured > 10)
        assert reader.status.phase is Phase.READING


def test_a_replay_that_is_ready_shows_its_first_picture_only_when_it_may(write_clip, slot):
    may_begin = threading.Event()
    uri = parse_source(f"file:{write_clip(frames=4)}?every")
    with CameraReader("north", uri, slot, may_begin=may_begin) as reader:
        wait_for(lambda: reader.status.decoder_pid)
        time.sleep(1.0)  # the clip would be over
        assert reader.status.captured == 0
        set_ns = time.monotonic_ns()
        may_begin.set()
        wait_for(lambda: reader.status.captured == 1)
        assert slot.take().monotonic_ns >= set_ns


def test_with_every_no_frame_is_dropped_however_slow_the_worker(write_clip, slot):
    uri = parse_source(f"file:{write_clip(frames=6)}?every")
    seen = []
    with CameraReader("north", uri, slot) as reader:
        while reader.status.phase is not Phase.ENDED or len(seen) < 6:
            frame = slot.take()
            if frame is not None:
                seen.append(frame.seq)
                time.sleep(0.05)  # the slow worker itself
    assert seen == [1, 2, 3, 4, 5, 6]
    assert slot.dropped == 0


def test_a_file_that_is_not_there_is_tried_again_and_told(tmp_path: Path, slot):
    path = tmp_path / "late.avi"
    with CameraReader("north", parse_source(f"file:{path}"), slot) as reader:
        wait_for(lambda: reader.status.failures >= 2)
        assert reader.status.phase in (Phase.WAITING, Phase.CONNECTING)


def test_a_decoder_that_hangs_is_killed_and_started_again(slot):
    uri = parse_source("sim:seed=1&width=64&height=48&fps=30")
    with CameraReader("north", uri, slot, frame_timeout_s=0.5) as reader:
        wait_for(lambda: reader.status.phase is Phase.READING)
        hung = reader.status.decoder_pid
        os.kill(hung, signal.SIGSTOP)
        wait_for(lambda: reader.status.failures > 0, 3.0)
        wait_for(lambda: not Path(f"/proc/{hung}").exists())
        before = reader.status.captured
        wait_for(lambda: reader.status.captured > before + 3)
        assert reader.status.failures == 0
        fresh = slot.take()
        assert fresh.seq > before  # numbers go on, they do not start again


def test_a_decoder_that_is_killed_is_started_again(slot):
    uri = parse_source("sim:seed=1&width=64&height=48&fps=30")
    with CameraReader("north", uri, slot) as reader:
        wait_for(lambda: reader.status.phase is Phase.READING)
        os.kill(reader.status.decoder_pid, signal.SIGKILL)
        wait_for(lambda: reader.status.failures > 0)
        before = reader.status.captured
        wait_for(lambda: reader.status.captured > before)


def test_a_hung_and_a_crashing_camera_change_nothing_for_a_third():
    uri = parse_source("sim:seed=1&width=64&height=48&fps=10")
    slots = [LatestFrame(threading.Event()) for _ in range(3)]
    with contextlib.ExitStack() as cleanup:
        readers = [
            cleanup.enter_context(CameraReader(name, uri, slot, frame_timeout_s=1.0))
            for name, slot in zip(("hangs", "crashes", "lives"), slots, strict=True)
        ]
        hangs, crashes, lives = readers
        wait_for(lambda: all(each.status.captured > 2 for each in readers), 20)
        begun_s, before = time.monotonic(), lives.status.captured
        times = []
        os.kill(hangs.status.decoder_pid, signal.SIGSTOP)
        while time.monotonic() - begun_s < 3.0:
            pid = crashes.status.decoder_pid
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGSEGV)
            frame = slots[2].take()
            if frame is not None:
                times.append((frame.seq, frame.monotonic_ns))
            time.sleep(0.02)
        passed_s = time.monotonic() - begun_s
        assert hangs.status.failures > 0 or hangs.status.captured > 3  # left, and perhaps back
        assert crashes.status.failures > 0
        assert lives.status.failures == 0
        # it may have begun late and catch up by a second, but it loses nothing
        assert lives.status.captured - before >= 10 * passed_s - 3
        assert np.diff([at for _, at in times]).max() < 1e9


def test_closing_a_reader_leaves_no_process(slot):
    reader = CameraReader("north", parse_source("sim:width=64&height=48"), slot)
    reader.start()
    pid = wait_for(lambda: reader.status.decoder_pid)
    reader.close()
    reader.close()
    assert not Path(f"/proc/{pid}").exists()


def test_a_password_is_neither_in_the_process_list_nor_in_the_log(slot, caplog):
    caplog.set_level("DEBUG")
    uri = parse_source("rtsp://user1:s3cret@127.0.0.1:9/live")  # nothing listens there
    with CameraReader("north", uri, slot) as reader:
        pid = wait_for(lambda: reader.status.decoder_pid)
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        wait_for(lambda: reader.status.failures > 0)
        detail = reader.status.detail or caplog.text
    assert b"s3cret" not in command + environment
    assert "s3cret" not in caplog.text + detail
    assert "rtsp://***@127.0.0.1:9/live: cannot be opened" in caplog.text


def test_a_pipe_out_of_step_is_refused_before_anything_is_allocated():
    header = Header(Kind.FRAME, 64, 48, 1, 2, 64 * 48 * 3)
    assert Header.unpack(header.pack()) == header
    for wrong in (
        b"\0" * HEADER_BYTES,
        Header(Kind.FRAME, 1 << 20, 1 << 20, 1, 2, 3 << 40).pack(),
        Header(Kind.FRAME, 64, 48, 1, 2, 5).pack(),
        Header(Kind.FAILED, 0, 0, 1, 2, 1 << 40).pack(),
    ):
        with pytest.raises(ValueError, match="out of step"):
            Header.unpack(wrong)


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "count", "shape"),
    [
        ("rise/grids/s0_true_1_prediction_1.mp4", 37, (1440, 1440, 3)),
        ("stgas_ir/simple.avi", 145, (320, 320, 3)),
    ],
)
def test_real_clips_are_read_whole(real_data, path: str, count: int, shape: tuple):
    pictures, _ = read_all(f"file:{real_data / path}?every")
    assert len(pictures) == count
    assert pictures[0][1].shape == shape


def test_a_camera_that_gives_one_picture_and_fails_again_is_asked_ever_less(slot, monkeypatch):
    """One picture alone proves nothing; but one that does come is not waited for half a minute."""
    monkeypatch.setattr("edge_runtime.sources.reader.random.random", lambda: 1.0)
    reader = CameraReader("north", parse_source("v4l2:/dev/video99"), slot)
    waited = []
    monkeypatch.setattr(reader._stop, "wait", waited.append)
    for attempt in range(1, 7):
        reader.status = replace(reader.status, captured=attempt, failures=0)  # a picture came
        reader._wait("gone again")
    assert waited == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_reader_that_does_not_come_round_is_told_from_one_that_tries_again(slot):
    reader = CameraReader("north", parse_source("v4l2:/dev/video99"), slot)
    assert not reader.is_hung(1e9)  # not begun yet
    with reader:
        wait_for(lambda: reader.status.failures >= 1)
        assert not reader.is_hung(time.monotonic())
        assert reader.is_hung(time.monotonic() + 100)


def test_a_camera_that_gives_a_picture_a_minute_is_waited_for_and_its_reader_not_called_hung(
    slot, monkeypatch
):
    waits = []

    def read(_decoder, timeout_s):
        waits.append(timeout_s)
        raise InputError("no picture")

    monkeypatch.setattr("edge_runtime.sources.reader.Decoder.read", read)
    reader = CameraReader("north", parse_source("v4l2:/dev/video99?fps=0.02"), slot)
    with reader:
        wait_for(lambda: reader.status.failures >= 1)
        assert not reader.is_hung(time.monotonic() + 200)
        assert reader.is_hung(time.monotonic() + 400)
    assert waits[0] == pytest.approx(150)


def test_a_decoder_that_takes_too_much_memory_is_started_anew(slot, monkeypatch, caplog):
    monkeypatch.setattr("edge_runtime.sources.reader._WEIGH_S", 0.1)
    monkeypatch.setattr("edge_runtime.sources.reader._DECODER_BYTES", 1 << 20)
    uri = parse_source("sim:width=64&height=48&fps=20")
    with CameraReader("north", uri, slot) as reader:
        first = wait_for(lambda: reader.status.decoder_pid, 20)
        wait_for(lambda: reader.status.decoder_pid not in (0, first), 20)
    assert "its decoder holds" in caplog.text
