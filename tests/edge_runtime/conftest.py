"""Clips, frames and a recorder at the plant's end, shared by the tests of the device."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from edge_runtime.frames import Frame
from edge_runtime.latest import LatestFrame

if TYPE_CHECKING:
    from pathlib import Path


def noisy_picture(seed: int = 0, *, width: int = 64, height: int = 48, level: int = 110):
    """A textured picture with sensor noise; another seed is another moment of the same scene."""
    rows, columns = np.mgrid[:height, :width]
    scene = level + 40.0 * (((rows // 8) + (columns // 8)) % 2)
    noise = np.random.default_rng(seed).normal(0, 3, scene.shape)
    return np.repeat((scene + noise).clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def frame_at(seconds: float, picture=None, *, seq: int = 0, clock_s: float = 1.8e9) -> Frame:
    """A frame taken `seconds` after the virtual clock's zero."""
    seq = seq or round(seconds * 100) + 1
    picture = noisy_picture(seq) if picture is None else picture
    return Frame("north", seq, int((clock_s + seconds) * 1e9), int((100 + seconds) * 1e9), picture)


@pytest.fixture
def write_clip(tmp_path: Path):
    """Write a real video file of noisy pictures."""

    def write(
        name: str = "clip.avi", *, frames: int = 12, fps: float = 10.0, size=(64, 48)
    ) -> Path:
        path = tmp_path / name
        code = cv2.VideoWriter_fourcc(*("mp4v" if path.suffix == ".mp4" else "MJPG"))
        writer = cv2.VideoWriter(str(path), code, fps, size)
        assert writer.isOpened()
        for index in range(frames):
            writer.write(noisy_picture(index, width=size[0], height=size[1]))
        writer.release()
        return path

    return write


@pytest.fixture
def write_folder(tmp_path: Path):
    """Write a folder of noisy PNG pictures, each given as a picture or made from its number."""

    def write(pictures) -> Path:
        folder = tmp_path / "frames"
        folder.mkdir()
        for index, picture in enumerate(pictures):
            cv2.imwrite(str(folder / f"{index:04d}.png"), picture)
        return folder

    return write


@pytest.fixture
def slot() -> LatestFrame:
    return LatestFrame(threading.Event())


def wait_for(condition, timeout_s: float = 30.0):
    """Wait for something that another process does, and return its first true value."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    pytest.fail(f"{timeout_s} s were not enough for {condition}")


class PlantRecorder:
    """Keeps what the pipeline hands over, with the time of each."""

    def __init__(self) -> None:
        self.snapshots: list = []
        self.pictures: list = []
        self._lock = threading.Lock()

    def publish(self, snapshot) -> None:
        with self._lock:
            self.snapshots.append((time.monotonic(), snapshot))

    def show(self, camera: str, jpeg: bytes, captured_ns: int) -> None:
        with self._lock:
            self.pictures.append((camera, jpeg, captured_ns))

    @property
    def last(self):
        with self._lock:
            return self.snapshots[-1][1] if self.snapshots else None


@pytest.fixture
def plant() -> PlantRecorder:
    return PlantRecorder()
