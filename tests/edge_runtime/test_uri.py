from __future__ import annotations

from pathlib import Path

import pytest

from edge_runtime.sources.uri import parse_source


@pytest.mark.parametrize(
    ("text", "scheme", "target"),
    [
        ("file:clips/a.mp4?loop", "file", "clips/a.mp4"),
        ("folder:frames?fps=5", "folder", "frames"),
        ("frames", "folder", "frames"),
        ("clips/a.avi", "file", "clips/a.avi"),
        ("v4l2:/dev/video0", "v4l2", "/dev/video0"),
        ("csi:1?width=640&height=480", "csi", "1"),
        ("sim:seed=4&kind=gas", "sim", ""),
        ("rtsp://10.0.0.5:8554/live?x=1", "rtsp", "rtsp://10.0.0.5:8554/live?x=1"),
    ],
)
def test_every_kind_of_source_is_understood(text: str, scheme: str, target: str):
    uri = parse_source(text)
    assert (uri.scheme, uri.target) == (scheme, target)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rstp://10.0.0.5/live", "did you mean rtsp"),
        ("http://10.0.0.5/x.mjpg", "use one of"),
        ("file:a.mp4?lop", "did you mean loop"),
        ("folder:frames?fps=fast", "must be a number"),
        ("folder:frames?fps=0", "must be"),
        ("csi:front", "sensor's number"),
        ("v4l2:0", "takes a device"),
        ("rtsp:///live", "needs host"),
        ("rtsp://host:99999/live", "needs host"),
        ("file:", "names nothing"),
        ("genicam:", "names nothing"),
        ("genicam:cam?range=9-1", "range is auto or LOW-HIGH"),
        ("rtsp://host/live#width=640", "width and height go together"),
        ("rtsp://host/live#widht=640", "did you mean width"),
        ("sim:range=auto", "has no option 'range'"),
    ],
)
def test_a_wrong_source_is_refused_with_what_to_do(text: str, said: str):
    with pytest.raises(ValueError, match=said):
        parse_source(text)


@pytest.mark.parametrize(
    "text",
    ["rtsp://user1:s3cret@10.0.0.5/live", "rtsp://10.0.0.5/live?user=user1&password=s3cret"],
)
def test_a_source_never_shows_its_password(text: str):
    uri = parse_source(text)
    for shown in (str(uri), repr(uri), f"{uri}", f"{[uri]}"):
        assert "s3cret" not in shown
        assert "10.0.0.5" in shown
    assert "s3cret" in uri.target


def test_what_stands_behind_the_hash_of_a_stream_is_ours_and_never_sent():
    uri = parse_source("rtsp://10.0.0.5/live?channel=2&width=7#width=640&height=480")
    assert uri.target == "rtsp://10.0.0.5/live?channel=2&width=7"
    assert uri.size == (640, 480)
    assert parse_source("rtsp://10.0.0.5/live").size is None


def test_credentials_from_a_file_take_the_place_of_those_in_the_uri():
    uri = parse_source("rtsp://a:b@10.0.0.5:554/live").with_credentials("user1:new")
    assert uri.target == "rtsp://user1:new@10.0.0.5:554/live"


def test_only_cameras_are_not_called_a_test():
    texts = [
        "rtsp://h/x",
        "v4l2:/dev/video0",
        "csi:0",
        "genicam:x",
        "file:a.mp4",
        "folder:f",
        "sim:seed=1",
    ]
    assert [parse_source(t).is_test for t in texts] == [False] * 4 + [True] * 3


def test_relative_paths_are_taken_from_the_given_folder():
    assert parse_source("file:a.mp4").below(Path("/etc/gasedge")).target == "/etc/gasedge/a.mp4"
    assert parse_source("file:/v/a.mp4").below(Path("/etc")).target == "/v/a.mp4"
