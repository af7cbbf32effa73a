"""The socket at which a drill is asked for: private, one drill a camera, over with its asker."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import time

import pytest

from edge_runtime.config import LeakConfig
from edge_runtime.drill import Drill
from edge_runtime.drill_door import DrillDoor, door_path
from edge_runtime.leaks.judge import LeakJudge
from tests.edge_runtime.conftest import wait_for
from tests.edge_runtime.test_camera_state import CLEAR, Camera


class Watched:
    """One real camera state under a virtual clock, as the pipeline holds it."""

    def __init__(self) -> None:
        self.camera = Camera()
        self.camera.sees(CLEAR, 3.0)

    def begin_drill(self, camera, seconds):
        if camera != "north":
            return f"there is no camera {camera}"
        rule = LeakConfig()
        begin_ns = int((100 + self.camera.at) * 1e9)
        made = Drill(LeakJudge(rule), rule, begin_ns=begin_ns, seconds=seconds)
        return self.camera.state.begin_drill(made)

    def drill(self, camera):
        return self.camera.state.drill

    def end_drill(self, camera, why):
        self.camera.state.end_drill(why)


@pytest.fixture
def door(tmp_path):
    watched = Watched()
    with DrillDoor(door_path(tmp_path / "state"), watched) as opened:
        wait_for(door_path(tmp_path / "state").exists)
        yield watched, door_path(tmp_path / "state")
        opened.close()


def test_a_door_opens_to_its_user_alone_and_touches_nothing_of_its_process(tmp_path, monkeypatch):
    before = os.umask(0)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(os, "umask", lambda _: pytest.fail("another thread makes files, too"))
            path = door_path(tmp_path / "state")
            with DrillDoor(path, Watched()):
                wait_for(path.exists)
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@contextlib.contextmanager
def asking(path, said):
    """Ask, and give what reads the next line."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(said if isinstance(said, bytes) else json.dumps(said).encode() + b"\n")
        with connection.makefile("rb") as stream:
            yield lambda: json.loads(stream.readline())


NORTH = {"camera": "north", "seconds": 30}


def test_the_door_is_this_users_alone_and_gone_afterwards(tmp_path):
    path = door_path(tmp_path / "state")
    with DrillDoor(path, Watched()):
        wait_for(path.exists)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not path.exists()


def test_who_asks_is_told_when_it_is_a_leak_and_when_it_is_over(door):
    watched, path = door
    with asking(path, NORTH) as answer:
        assert answer()["begun_ns"] <= time.monotonic_ns()
        watched.camera.sees(CLEAR, 5.0)
        assert answer()["leak_ns"] > 0
        watched.end_drill("north", "enough of it")
        assert answer() == {"ended": "enough of it"}


def test_a_drill_is_over_with_whoever_asked_for_it(door):
    watched, path = door
    with asking(path, NORTH) as answer:
        answer()
        assert not watched.drill("north").ended
    wait_for(lambda: watched.drill("north").ended)


def test_a_second_drill_an_unknown_camera_and_nonsense_are_refused(door):
    _, path = door
    with asking(path, NORTH) as answer:
        answer()
        with asking(path, NORTH) as other:
            assert "already" in other()["refused"]
        with asking(path, {"camera": "west", "seconds": 5}) as other:
            assert "no camera west" in other()["refused"]
        for nonsense in (b"\n", b"{}\n", b"[1]\n", b'{"camera": "north", "seconds": "x"}\n'):
            with asking(path, nonsense) as other:
                assert "no request" in other()["refused"]
        for seconds in (0, -1, 1e9):
            with asking(path, {"camera": "north", "seconds": seconds}) as other:
                assert "lasts up to" in other()["refused"]


def test_a_folder_open_to_others_leaves_the_frames_alone(tmp_path, caplog):
    path = door_path(tmp_path / "state")
    path.parent.mkdir(parents=True)
    path.parent.chmod(0o777)
    with DrillDoor(path, Watched()):
        wait_for(lambda: "no drills" in caplog.text)
