"""What cameras do: a stream of our own is lost, stalled, frozen, black, noise, small or looped."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from contract.tags import HealthCode

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .stream import why_no_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

__all__ = ["rows"]

_SETTING = Setting("cameras", camera=True)
_LOOP = 15  # pictures of a recording that is played in place of the camera


def rows() -> Iterator[Fault]:
    """One for each thing that a camera may do."""
    lost, stalled = HealthCode.NO_CAMERA, HealthCode.NO_CAMERA
    yield _row("lost", "its RTSP server is killed, and started again", _lost, lost)
    yield _row("stalled", "its RTSP server is stopped: the connection stands", _stalled, stalled)
    for name, how, spoil, told in (
        ("frozen", "the same picture is encoded again and again", _Frozen, HealthCode.FROZEN),
        ("black", "pictures with a sensor's noise and no light", _Black, HealthCode.DARK),
        ("noise", "pictures of noise alone", _Noise, HealthCode(0)),
        ("wrong size", "the stream goes on at half the size", _Small, HealthCode.WRONG_SIZE),
        ("repeating", f"{_LOOP} pictures are played in a loop", _Loop, HealthCode.REPEATED),
    ):
        yield _row(name, how, _spoilt(spoil), told)


def _row(
    name: str, how: str, do: Callable[[Rig], AbstractContextManager[float]], told: HealthCode
) -> Fault:
    return Fault(
        "cameras", name, how, _SETTING, do, Shown.UNKNOWN, told, hold_s=5.0, needs=why_no_stream
    )


@contextlib.contextmanager
def _lost(rig: Rig) -> Iterator[float]:
    rig.stream.cut()
    try:
        yield time.monotonic()
    finally:
        rig.stream.connect()


@contextlib.contextmanager
def _stalled(rig: Rig) -> Iterator[float]:
    os.kill(rig.stream.pid, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        os.kill(rig.stream.pid, signal.SIGCONT)


def _spoilt(kind: Callable[[], _Spoil]) -> Callable[[Rig], AbstractContextManager[float]]:
    @contextlib.contextmanager
    def do(rig: Rig) -> Iterator[float]:
        spoil = kind()
        rig.stream.spoil = spoil
        try:
            spoil.ready.wait()
            yield time.monotonic()
        finally:
            rig.stream.spoil = None

    return do


class _Spoil(ABC):
    """Makes another picture of each that the stream would send."""

    def __init__(self) -> None:
        self.ready = threading.Event()  # from when on pictures are spoilt
        self.ready.set()

    @abstractmethod
    def __call__(self, number: int, picture: Picture) -> Picture:
        """The picture that is sent."""


class _Frozen(_Spoil):
    def __init__(self) -> None:
        super().__init__()
        self._first: Picture | None = None

    def __call__(self, number: int, picture: Picture) -> Picture:
        del number
        self._first = picture if self._first is None else self._first
        return self._first


class _Black(_Spoil):
    def __call__(self, number: int, picture: Picture) -> Picture:
        del number
        return np.asarray(picture >> 5, np.uint8)


class _Noise(_Spoil):
    def __call__(self, number: int, picture: Picture) -> Picture:
        return np.random.default_rng(number).integers(0, 256, picture.shape, np.uint8)


class _Small(_Spoil):
    def __call__(self, number: int, picture: Picture) -> Picture:
        del number
        return np.ascontiguousarray(picture[::2, ::2])


class _Loop(_Spoil):
    """Records first; the fault begins when the first picture comes again."""

    def __init__(self) -> None:
        super().__init__()
        self.ready.clear()
        self._kept: list[Picture] = []

    def __call__(self, number: int, picture: Picture) -> Picture:
        if len(self._kept) < _LOOP:
            self._kept.append(picture)
            return picture
        self.ready.set()
        return self._kept[number % _LOOP]
