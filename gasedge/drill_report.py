"""Ask the running daemon for a drill, follow it to every interface, and say how long it took."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from contract.errors import ConfigError, InputError
from gasedge.drill_watchers import watches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge_runtime.config import DaemonConfig
    from gasedge.drill_watchers import Login, Watch

__all__ = ["DrillOutcome", "Shown", "hold_drill", "text_of_report"]

_LAST_S = 2.0  # for interfaces to show what the device has begun to tell
_SLACK_S = 5.0  # for a daemon that has much to do; one that hangs says nothing, ever
_TICK_S = 0.05


@dataclass(frozen=True, slots=True)
class Shown:
    """What one interface showed."""

    interface: str
    after_ms: float | None  # since the device itself called it a leak
    is_marked: bool
    fault: str

    @property
    def is_passed(self) -> bool:
        """Whether the leak arrived, and as a test."""
        return self.after_ms is not None and self.is_marked


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """A drill from beginning to end."""

    camera: str
    leak_after_s: float | None  # from the beginning; votes and delays are in it
    ended: str
    interfaces: tuple[Shown, ...]

    @property
    def is_passed(self) -> bool:
        """Whether there was a leak and every configured interface showed it as a test."""
        return self.leak_after_s is not None and all(each.is_passed for each in self.interfaces)

    def as_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "camera": self.camera,
            "passed": self.is_passed,
            "leak_after_s": self.leak_after_s,
            "ended": self.ended,
            "interfaces": [
                {
                    "interface": each.interface,
                    "after_ms": each.after_ms,
                    "marked_as_test": each.is_marked,
                    "fault": each.fault or None,
                }
                for each in self.interfaces
            ],
        }


def text_of_report(report: DrillOutcome) -> str:
    """For people."""
    if report.leak_after_s is None:
        first = f"camera {report.camera}: no leak was raised; the drill ended: {report.ended}"
    else:
        first = (
            f"camera {report.camera}: the made-up leak was one after {report.leak_after_s:.2f} s"
        )
    lines = [first, f"{'interface':<12}{'shown after':>12}  as a test"]
    for each in report.interfaces:
        after = "never" if each.after_ms is None else f"{each.after_ms:.0f} ms"
        said = each.fault if each.after_ms is None else "yes" if each.is_marked else "NO: AS REAL"
        lines.append(f"{each.interface:<12}{after:>12}  {said}".rstrip())
    return "\n".join(lines)


def hold_drill(config: DaemonConfig, camera: str, seconds: float, login: Login) -> DrillOutcome:
    """Hold one drill.

    Raises:
        ConfigError: when the configuration has no such camera or no state folder.
        InputError: when no daemon answers, or it refuses.
    """
    from edge_runtime.drill_door import door_path

    names = tuple(each.name for each in config.camera)
    if camera not in names:
        raise ConfigError(f"there is no camera {camera}; there is {', '.join(names)}")
    if config.plant.state_dir is None:
        raise ConfigError(
            "a drill is asked for through the folder [plant] state_dir; set it, and start the "
            "daemon anew"
        )
    followed = watches(config.plant, names, camera, login)
    with contextlib.ExitStack() as cleanup:
        door = cleanup.enter_context(_door(door_path(config.plant.state_dir)))
        for each in followed:
            each.start()
            cleanup.callback(each.end)
        for each in followed:
            each.wait_until_ready()
        door.sendall(json.dumps({"camera": camera, "seconds": seconds}).encode() + b"\n")
        begun_ns, leak_ns, ended = _followed(door, followed, seconds)
    return DrillOutcome(
        camera,
        None if leak_ns is None else (leak_ns - begun_ns) / 1e9,
        ended or "every interface showed it",
        tuple(_shown(each, leak_ns) for each in followed),
    )


def _followed(
    door: socket.socket, followed: list[Watch], seconds: float
) -> tuple[int, int | None, str]:
    """When it began, when it was a leak, and why it ended; until all was seen, or time is over."""
    begun_ns, leak_ns, ended = 0, None, ""
    until_s = time.monotonic() + seconds + _SLACK_S
    for said in _said(door):
        if "refused" in said:
            raise InputError(f"no drill: {said['refused']}")
        begun_ns = said.get("begun_ns", begun_ns)
        leak_ns = said.get("leak_ns", leak_ns)
        if not ended and (ended := said.get("ended", "")):
            until_s = time.monotonic() + _LAST_S
        seen = all(each.is_over for each in followed)
        if leak_ns is not None and seen:
            break
        if time.monotonic() > until_s:
            ended = ended or "the daemon did not say that it ended"
            break
    return begun_ns, leak_ns, ended


def _said(door: socket.socket) -> Iterator[dict[str, Any]]:
    """Each line from the daemon, and {} where there is none for a moment."""
    door.settimeout(_TICK_S)
    pieces, is_open = b"", True
    while True:
        try:
            if is_open:
                piece = door.recv(4096)
                is_open = bool(piece)
                pieces += piece
            else:
                time.sleep(_TICK_S)
        except TimeoutError:
            pass
        *lines, pieces = pieces.split(b"\n")
        for line in lines:
            yield dict(json.loads(line))
        yield {} if is_open else {"ended": "the daemon closed the connection"}


@contextlib.contextmanager
def _door(path: Path) -> Iterator[socket.socket]:
    from edge_runtime.plant.link import peer_uid

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        try:
            door.connect(str(path))
        except OSError as error:
            raise InputError(
                f"{path}: no daemon answers there ({error.strerror}); start `gasedge run` with the "
                f"same configuration, and run this as the same user"
            ) from error
        if peer_uid(door) != os.getuid():
            raise InputError(f"{path}: user {peer_uid(door)} listens there, not this one")
        yield door


def _shown(watch: Watch, leak_ns: int | None) -> Shown:
    seen = watch.seen
    if seen is None or leak_ns is None:
        return Shown(watch.name, None, is_marked=False, fault=watch.fault)
    after_ms = max(0.0, (seen.at_ns - leak_ns) / 1e6)
    return Shown(watch.name, after_ms, seen.is_marked, watch.fault)
