"""What brokers do: stop, hang, crawl, refuse, vanish behind a cut cable, come back half open."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.plant.mqtt_brokers import Broker, that_keeps

from .fault import Fault
from .reading import Shown
from .rig import Rig, Setting
from .wrong import WrongError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

__all__ = ["rows", "why_no_cable"]

_NET = "169.254.233"
_HOLD_S = 7.0  # three times the keep-alive, and a second


@dataclass
class FarBroker(Broker):
    """A mosquitto in a network of its own, at the end of a cable that can be cut; needs root."""

    is_there: bool = False

    def start(self, *, wait: bool = True) -> FarBroker:
        """Start it, and lay the cable the first time; `wait` until a client may come."""
        self.host = f"{_NET}.2"
        if not self.is_there:
            self._lay_the_cable()
        config = self.folder / "mosquitto.conf"
        text = that_keeps(self.folder).replace("127.0.0.1", self.host)
        config.write_text(text.replace("PORT", str(self.port)) + "user root\n")
        with (self.folder / "mosquitto.log").open("ab") as log:
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", self._network, "mosquitto", "-v", "-c", str(config)],
                stdout=log,
                stderr=log,
            )
        if wait:
            self._wait_until_it_answers()
        return self

    def _wait_until_it_answers(self) -> None:
        until_s = time.monotonic() + 10
        while time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                socket.create_connection((self.host, self.port), 0.5).close()
                return
            time.sleep(0.05)
        raise WrongError("the broker behind the cable does not answer")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it and take the cable away."""
        self.end(number)
        if self.is_there:
            self.is_there = False
            _ip(f"netns del {self._network}")

    def end(self, number: signal.Signals) -> None:
        """End it alone."""
        super().stop(number)

    def cut(self) -> None:
        """From now on every packet is lost, and nobody is told."""
        _ip(f"-n {self._network} link set geb{os.getpid()} down")

    def mend(self) -> None:
        """Packets go through again."""
        _ip(f"-n {self._network} link set geb{os.getpid()} up")

    @property
    def _network(self) -> str:
        return f"gasedge-{os.getpid()}"

    def _lay_the_cable(self) -> None:
        ours, theirs = f"gea{os.getpid()}", f"geb{os.getpid()}"
        _ip(f"netns add {self._network}")
        self.is_there = True
        for words in (
            f"link add {ours} type veth peer name {theirs} netns {self._network}",
            f"addr add {_NET}.1/30 dev {ours}",
            f"link set {ours} up",
            f"-n {self._network} link set lo up",
            f"-n {self._network} addr add {_NET}.2/30 dev {theirs}",
            f"-n {self._network} link set {theirs} up",
        ):
            _ip(words)


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WrongError(f"ip {words}: {' '.join(done.stderr.split())}")


@functools.cache
def why_no_cable() -> str:
    """Why no network can be made here, or "": root in a container may make none; one is tried."""
    if not shutil.which("ip"):
        return "needs ip: apt-get install iproute2"
    network, ours, theirs = (f"{name}{os.getpid()}" for name in ("gasedge-try", "get", "geu"))
    try:
        _ip(f"netns add {network}")
        try:
            _ip(f"link add {ours} type veth peer name {theirs} netns {network}")
        finally:
            _ip(f"netns del {network}")
    except WrongError as error:
        return f"no network of its own can be made here: {error}"
    return ""


_NEAR, _FAR = Setting("brokers"), Setting("cable", broker=FarBroker)


def rows() -> Iterator[Fault]:
    """One for each thing that a broker may do."""
    yield _row("stopped", "it ends in order, and is started again", _stopped)
    yield _row("hangs", "SIGSTOP: it takes what comes and answers nothing", _hangs)
    yield _row("slow", "it runs for a tenth of each half second", _slow)
    yield _row("refuses log-in", "it is started again with no user allowed", _refuses)
    yield _row("dropped packets", "the cable to it is cut, and nobody is told", _cut, far=True)
    yield _row("half open", "it is killed and started again behind a cut cable", _half, far=True)


def _row(
    name: str, how: str, do: Callable[[Rig], AbstractContextManager[float]], *, far: bool = False
) -> Fault:
    return Fault(
        "brokers",
        name,
        how,
        _FAR if far else _NEAR,
        do,
        Shown.WATCHED,
        hold_s=_HOLD_S,
        needs=why_no_cable if far else lambda: "",
    )


@contextlib.contextmanager
def _stopped(rig: Rig) -> Iterator[float]:
    begin_s = time.monotonic()
    rig.broker.stop()
    yield begin_s
    rig.broker.start()


@contextlib.contextmanager
def _hangs(rig: Rig) -> Iterator[float]:
    rig.broker.freeze()
    try:
        yield time.monotonic()
    finally:
        rig.broker.thaw()


@contextlib.contextmanager
def _slow(rig: Rig) -> Iterator[float]:
    end = threading.Event()

    def crawl() -> None:
        while not end.wait(0.05):
            rig.broker.freeze()
            end.wait(0.45)
            rig.broker.thaw()

    thread = threading.Thread(target=crawl, name="faults-crawl")
    thread.start()
    try:
        yield time.monotonic()
    finally:
        end.set()
        thread.join()


@contextlib.contextmanager
def _refuses(rig: Rig) -> Iterator[float]:
    kept = rig.broker.extra
    rig.broker.stop()
    rig.broker.extra = kept.replace("allow_anonymous true", "allow_anonymous false")
    rig.broker.start()
    begin_s = time.monotonic()
    try:
        yield begin_s
    finally:
        rig.broker.extra = kept
        rig.broker.stop()
        rig.broker.start()


@contextlib.contextmanager
def _cut(rig: Rig) -> Iterator[float]:
    broker = _behind_a_cable(rig)
    broker.cut()
    try:
        yield time.monotonic()
    finally:
        broker.mend()


@contextlib.contextmanager
def _half(rig: Rig) -> Iterator[float]:
    broker = _behind_a_cable(rig)
    broker.cut()
    begin_s = time.monotonic()
    broker.end(signal.SIGTERM)  # in order, so that it keeps what its other client has not got
    broker.start(wait=False)
    broker.mend()
    yield begin_s


def _behind_a_cable(rig: Rig) -> FarBroker:
    if not isinstance(rig.broker, FarBroker):
        raise WrongError("the broker has no cable")
    return rig.broker
