"""A real RTSP server and a real GStreamer pipeline, skipped where their packages are missing."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from contract.errors import InputError
from edge_runtime.sources.csi import csi_pipeline, raw_pictures
from edge_runtime.sources.reader import CameraReader, Phase
from edge_runtime.sources.uri import parse_source
from tests.edge_runtime.conftest import wait_for

SYSTEM_PYTHON = "/usr/bin/python3"
SERVER = Path(__file__).with_name("rtsp_server.py")


@pytest.fixture
def rtsp_server():
    """Start RTSP servers; each gives its process and its port."""
    with contextlib.ExitStack() as cleanup:

        def start(*credentials: str):
            process = subprocess.Popen(
                [SYSTEM_PYTHON, str(SERVER), *credentials],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            cleanup.callback(process.communicate)
            cleanup.callback(process.kill)
            port = process.stdout.readline().strip()
            if not port:
                pytest.skip(
                    "no RTSP server here: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 "
                    "gstreamer1.0-plugins-good"
                )
            return process, int(port)

        yield start


def test_an_rtsp_camera_gives_its_pictures(rtsp_server, slot):
    _, port = rtsp_server()
    uri = parse_source(f"rtsp://127.0.0.1:{port}/live")
    with CameraReader("north", uri, slot) as reader:
        wait_for(lambda: reader.status.captured > 5, 20)
        assert slot.take().picture.shape == (120, 160, 3)


def test_an_rtsp_camera_that_wants_a_password_gets_it_and_nobody_else(rtsp_server, slot, caplog):
    caplog.set_level("DEBUG")
    _, port = rtsp_server("bob", "s3cret")
    wrong = parse_source(f"rtsp://bob:wr0ng@127.0.0.1:{port}/live")
    with CameraReader("north", wrong, slot) as reader:
        wait_for(lambda: reader.status.failures > 0, 20)
    assert slot.take() is None
    right = parse_source(f"rtsp://127.0.0.1:{port}/live").with_credentials("bob:s3cret")
    with CameraReader("north", right, slot) as reader:
        wait_for(lambda: reader.status.phase is Phase.READING, 20)
    assert "s3cret" not in caplog.text
    assert "wr0ng" not in caplog.text


def test_a_camera_that_stalls_is_left_and_found_again(rtsp_server, slot):
    server, port = rtsp_server()
    uri = parse_source(f"rtsp://127.0.0.1:{port}/live")
    with CameraReader("north", uri, slot, connect_timeout_s=3.0, frame_timeout_s=1.0) as reader:
        wait_for(lambda: reader.status.captured > 5, 20)
        os.kill(server.pid, signal.SIGSTOP)  # as a camera whose network cable is drawn
        wait_for(lambda: reader.status.failures > 0, 5)
        os.kill(server.pid, signal.SIGCONT)
        before = reader.status.captured
        wait_for(lambda: reader.status.captured > before + 5, 30)


@pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="apt-get install gstreamer1.0-tools"
)
def test_what_a_gstreamer_pipeline_writes_is_read_as_bgr():
    elements = [
        "videotestsrc num-buffers=3 pattern=blue",
        "video/x-raw,format=BGRx,width=64,height=48",
        "fdsink fd=1 sync=false",
    ]
    pictures = []
    with pytest.raises(InputError, match="pipeline ended"):
        for picture in raw_pictures(elements, 64, 48, where="csi:0"):
            pictures.append(picture)  # noqa: PERF402
    assert [p.shape for p in pictures] == [(48, 64, 3)] * 3
    assert tuple(pictures[0][24, 32]) == (255, 0, 0)


def test_a_csi_camera_is_scaled_on_the_chip_and_never_queued():
    elements = csi_pipeline(1, 640, 480, 29.97)
    assert elements[0] == "nvarguscamerasrc sensor-id=1"
    assert "framerate=29970/1000" in elements[1]
    assert elements.index("nvvidconv") < elements.index(
        "video/x-raw,format=BGRx,width=640,height=480"
    )
    assert any("leaky=downstream" in element for element in elements)
