"""A real RTSP server and a real GStreamer pipeline, skipped where their packages are missing."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from contract.errors import InputError
from edge_runtime.pixels import Layout, bgr_of, layout_of
from edge_runtime.sources.cameras import camera_shots
from edge_runtime.sources.decoder import Decoder
from edge_runtime.sources.gstreamer import has_elements, raw_pictures
from edge_runtime.sources.jetson import csi_pipeline, rtsp_pipeline, v4l2_pipeline
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
    _, port = rtsp_server("user1", "s3cret")
    wrong = parse_source(f"rtsp://user1:wr0ng@127.0.0.1:{port}/live")
    with CameraReader("north", wrong, slot) as reader:
        wait_for(lambda: reader.status.failures > 0, 20)
    assert slot.take() is None
    right = parse_source(f"rtsp://127.0.0.1:{port}/live").with_credentials("user1:s3cret")
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


def test_pictures_of_a_stream_that_nobody_read_for_a_while_are_as_old_as_they_are(rtsp_server):
    _, port = rtsp_server()
    with Decoder(parse_source(f"rtsp://127.0.0.1:{port}/live"), lambda: False) as decoder:
        for _ in range(10):
            decoder.read(20.0)
        time.sleep(2.0)  # the pipe and the network fill up meanwhile
        taken, ages = [], []
        while not ages or ages[-1] > 0.2:
            header, _ = decoder.read(5.0)
            taken.append(header.monotonic_ns / 1e9)
            ages.append(time.monotonic() - taken[-1])
    assert max(ages) > 1.0
    gaps = np.diff(taken)
    assert gaps.min() > 0
    # one picture each fifteenth of a second, and not a burst of the same moment
    assert np.median(gaps) == pytest.approx(1 / 15, abs=0.03)
    assert len(taken) < 60


needs_gstreamer = pytest.mark.skipif(
    not has_elements("videotestsrc", "appsink"),
    reason="apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base",
)


def test_an_rtsp_camera_is_scaled_in_software_where_there_is_no_chip_and_the_log_says_so(
    rtsp_server, slot, caplog
):
    caplog.set_level("INFO")
    _, port = rtsp_server()
    uri = parse_source(f"rtsp://127.0.0.1:{port}/live#width=80&height=64&software")
    with CameraReader("north", uri, slot) as reader:
        wait_for(lambda: reader.status.captured > 2, 20)
        assert slot.take().picture.shape == (64, 80, 3)
    assert "/live: decoded in software" in caplog.text
    assert "gives 160x120; scaled in software, stretched to the size asked for" in caplog.text


def test_the_pipeline_for_a_jetson_gives_the_same_pictures_with_elements_that_run_here(rtsp_server):
    if not has_elements("rtspsrc", "decodebin", "jpegdec", "videoscale"):
        pytest.skip("apt-get install gstreamer1.0-plugins-good")
    _, port = rtsp_server("user1", "s3cret")
    uri = parse_source(f"rtsp://user1:s3cret@127.0.0.1:{port}/live#width=80&height=64")
    elements = rtsp_pipeline(uri, "videoconvert ! videoscale")
    assert "s3cret" not in "".join(elements)
    pictures = raw_pictures(elements, where=str(uri), settings={"location": uri.target})
    got = list(itertools.islice(pictures, 5))
    pictures.close()
    software = camera_shots(parse_source(f"{uri.target}#width=80&height=64&software"), lambda _: 0)
    other = next(software).picture
    software.close()
    assert {picture.shape for picture, _ in got} == {other.shape} == {(64, 80, 3)}
    times = [taken_ns for _, taken_ns in got]
    assert times == sorted(times)
    # a white ball on black, of one size in both
    assert got[0][0].mean() == pytest.approx(other.mean(), rel=0.1)


def test_a_gstreamer_fault_shows_no_password(rtsp_server):
    if not has_elements("rtspsrc", "decodebin"):
        pytest.skip("apt-get install gstreamer1.0-plugins-good")
    _, port = rtsp_server("user1", "right")
    uri = parse_source(f"rtsp://user1:wr0ng@127.0.0.1:{port}/live")
    elements = rtsp_pipeline(uri, "videoconvert ! videoscale")
    with pytest.raises(InputError, match="GStreamer") as raised:
        next(raw_pictures(elements, where=str(uri), settings={"location": uri.target}))
    assert "wr0ng" not in str(raised.value)
    assert "\n" not in str(raised.value)


@needs_gstreamer
@pytest.mark.parametrize("form", ["BGR", "BGRx", "NV12", "YUY2", "UYVY"])
def test_colour_of_every_form_comes_as_bgr(form: str):
    elements = [
        "videotestsrc is-live=true pattern=blue",
        f"video/x-raw,format={form},width=70,height=46",  # rows that are padded
    ]
    pictures = raw_pictures(elements, where="csi:0")
    picture, _ = next(pictures)
    pictures.close()
    assert picture.shape == (46, 70, 3)
    assert np.abs(picture[23, 35].astype(int) - (255, 0, 0)).max() <= 3


def taken(elements: list[str], *, native: bool = False):
    """The first picture of a pipeline."""
    with contextlib.closing(raw_pictures(elements, where="csi:0", native=native)) as pictures:
        return next(pictures)[0]


FORMS = [("NV12", True), ("NV12", False), ("YUY2", False), ("UYVY", False)]


@needs_gstreamer
@pytest.mark.parametrize("pattern", ["gradient", "blue", "red"])
@pytest.mark.parametrize(("form", "native"), FORMS)
def test_full_range_is_read_from_the_caps_and_light_and_shadow_kept(form, native, pattern):
    original = [
        f"videotestsrc is-live=true pattern={pattern}",
        "video/x-raw,format=BGRx,width=64,height=256",
    ]
    full = [*original, "videoconvert", f"video/x-raw,format={form},colorimetry=1:4:0:0"]
    picture = taken(full, native=native)
    assert native == (layout_of(picture) is Layout.NV12)
    # of the gradient also a faint plume before bright steam, and one in deep shadow
    assert np.abs(bgr_of(picture).astype(int) - taken(original)).max() <= 2


@needs_gstreamer
@pytest.mark.parametrize(("form", "native"), FORMS)
@pytest.mark.parametrize(("width", "height"), [(71, 46), (70, 47), (69, 45)])
def test_odd_sizes_are_pictures_too(form, native, width, height):
    original = [
        "videotestsrc is-live=true pattern=gradient",
        f"video/x-raw,format=BGRx,width={width},height={height}",
    ]
    picture = taken([*original, "videoconvert", f"video/x-raw,format={form}"], native=native)
    assert picture.shape == (height, width, 3)
    assert np.abs(bgr_of(picture).astype(int) - taken(original)).max() <= 2


@needs_gstreamer
@pytest.mark.parametrize("width", [64, 70])  # rows that are padded, too
def test_nv12_stays_as_it_comes_where_a_gpu_takes_it(width: int):
    elements = [
        "videotestsrc is-live=true pattern=smpte",
        f"video/x-raw,format=NV12,width={width},height=46",
    ]
    found = []
    for native in (True, False):
        pictures = raw_pictures(elements, where="csi:0", native=native)
        found.append(next(pictures)[0])
        pictures.close()
    assert layout_of(found[0]) is Layout.NV12
    assert found[0].pixels.shape == (69, width)
    # the bars above stand still, the snow below does not
    assert np.array_equal(bgr_of(found[0])[:28], found[1][:28])


@needs_gstreamer
@pytest.mark.parametrize(("form", "kind"), [("GRAY8", np.uint8), ("GRAY16_LE", np.uint16)])
def test_grey_comes_with_all_its_bits(form: str, kind):
    elements = [
        "videotestsrc is-live=true pattern=gradient",
        f"video/x-raw,format={form},width=70,height=46",
    ]
    pictures = raw_pictures(elements, where="csi:0")
    picture, _ = next(pictures)
    pictures.close()
    assert (picture.shape, picture.dtype) == ((46, 70), kind)
    assert picture.max() - picture.min() > 0.8 * np.iinfo(kind).max


@needs_gstreamer
def test_a_slow_taker_gets_the_newest_picture_of_a_pipeline_and_no_queue():
    elements = ["videotestsrc is-live=true", "video/x-raw,format=GRAY8,framerate=50/1"]
    pictures = raw_pictures(elements, where="csi:0")
    ages = []
    for _, taken_ns in itertools.islice(pictures, 4):
        ages.append(time.monotonic_ns() - taken_ns)
        time.sleep(0.2)  # the slow taker itself: ten pictures pass meanwhile
    pictures.close()
    assert max(ages) < 60e6


@needs_gstreamer
@pytest.mark.parametrize(
    ("elements", "said"),
    [
        (["nosuchthing"], "no element"),
        (["videotestsrc num-buffers=3", "video/x-raw,format=GRAY8"], "the stream ended"),
        (["filesrc location=/not/there"], "not found"),
        (["videotestsrc", "video/x-raw,format=AYUV64"], "cannot be read"),
    ],
)
def test_a_pipeline_that_fails_says_why_in_one_line(elements: list[str], said: str):
    with pytest.raises(InputError, match=said) as raised:
        list(raw_pictures(elements, where="csi:0"))
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith("csi:0: ")


def test_a_jetson_scales_on_the_chip_before_the_copy():
    csi = csi_pipeline(parse_source("csi:1?width=640&height=480&fps=29.97"))
    assert csi == [
        "nvarguscamerasrc sensor-id=1",
        "video/x-raw(memory:NVMM),framerate=29970/1000",
        "nvvidconv",
        "video/x-raw,format=BGRx,width=640,height=480",
    ]
    for line in (
        rtsp_pipeline(parse_source("rtsp://h/x#width=640&height=480")),
        v4l2_pipeline(parse_source("v4l2:/dev/video0?width=640&height=480")),
    ):
        assert line[-2:] == ["nvvidconv", "video/x-raw,format=BGRx,width=640,height=480"]
    assert rtsp_pipeline(parse_source("rtsp://h/x"))[-1] == "video/x-raw,format=BGRx"
    for line in (
        csi_pipeline(parse_source("csi:1?width=640&height=480"), native=True),
        rtsp_pipeline(parse_source("rtsp://h/x#width=640&height=480"), native=True),
        v4l2_pipeline(parse_source("v4l2:/dev/video0?width=640&height=480"), native=True),
    ):
        assert line[-2:] == ["nvvidconv", "video/x-raw,format=NV12,width=640,height=480"]


@pytest.fixture
def gige_camera():
    """A GigE Vision camera that Aravis simulates: real packets over the loopback."""
    camera = shutil.which("arv-fake-gv-camera-0.8")
    if camera is None or not has_elements("aravissrc"):
        pytest.skip("apt-get install aravis-tools libaravis-0.8-0")
    process = subprocess.Popen([camera, "-i", "127.0.0.1"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("options", ["", "?range=0-65535&width=64&height=48"])
def test_a_gige_vision_camera_gives_its_pictures(gige_camera, slot, options: str):
    uri = parse_source(f"genicam:127.0.0.1{options}")
    with CameraReader("north", uri, slot) as reader:
        wait_for(lambda: reader.status.captured > 5, 20)
        frame = slot.take()
    assert frame.picture.shape == ((48, 64, 3) if options else (512, 512, 3))
    if options:  # without a range it is asked for colour, which it offers, too
        assert (frame.picture == frame.picture[..., :1]).all()
    assert frame.picture.max() - frame.picture.min() > 200  # its test picture is a ramp


def test_a_grey_gige_vision_camera_stays_grey_where_a_gpu_takes_it(gige_camera, slot):
    uri = parse_source("genicam:127.0.0.1?range=0-65535&width=512&height=512")
    with CameraReader("north", uri, slot, native=True) as reader:
        wait_for(lambda: reader.status.captured > 2, 20)
        picture = slot.take().picture
    assert layout_of(picture) is Layout.GREY
    assert picture.pixels.shape == (512, 512)
    assert int(picture.pixels.max()) - int(picture.pixels.min()) > 200


def test_a_gige_vision_camera_whose_cable_is_drawn_is_left_and_found_again(gige_camera, slot):
    uri = parse_source("genicam:127.0.0.1")
    with CameraReader("north", uri, slot, connect_timeout_s=3.0, frame_timeout_s=1.0) as reader:
        wait_for(lambda: reader.status.captured > 5, 20)
        os.kill(gige_camera.pid, signal.SIGSTOP)
        wait_for(lambda: reader.status.failures > 0, 5)
        os.kill(gige_camera.pid, signal.SIGCONT)
        before = reader.status.captured
        wait_for(lambda: reader.status.captured > before + 5, 30)
