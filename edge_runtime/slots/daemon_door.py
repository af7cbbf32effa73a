"""The other end of the door: how `gasedge apply` asks the running daemon."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import ConfigError, InputError
from edge_runtime.plant.link import peer_uid
from edge_runtime.slots.door import slot_door_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

__all__ = ["asked", "daemon_answers", "frames_of"]

_PATIENCE_S = 120.0  # opening a model takes its time
_LONGEST = 107  # unix(7): sun_path, less its end
_GONE = "the daemon ended meanwhile; see its log, and apply again"


def daemon_answers(folder: Path) -> bool:
    """Whether a daemon runs on this folder of slots.

    Raises:
        ConfigError: when the folder's path is too long for a socket.
        InputError: when somebody else listens there, or nobody can ask.
    """
    try:
        with _connected(folder):
            return True
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except OSError as error:
        raise InputError(
            f"{slot_door_path(folder)}: cannot be asked whether a daemon runs ({error.strerror})"
        ) from error


def asked(folder: Path, **wish: str) -> dict[str, Any]:
    """Ask for something and wait until it is done.

    Raises:
        InputError: when it is refused, or the daemon ends meanwhile.
    """
    try:
        with _connected(folder) as (door, answers):
            door.sendall(json.dumps(wish).encode() + b"\n")
            said = _told(answers)
    except TimeoutError as error:
        raise InputError(
            f"the daemon does not answer within {_PATIENCE_S:g} s; look again by gasedge apply "
            "--status"
        ) from error
    except OSError as error:
        raise InputError(_GONE) from error
    if "refused" in said:
        raise InputError(str(said["refused"]))
    return said


def frames_of(
    folder: Path,
) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]] | None]:
    """Live frames: camera, (h, w, 3) BGR picture, (h, w) mask of the running model in its size.

    One is fetched when it is asked for; None where none came for a moment.

    Raises:
        InputError: when the daemon ends.
    """
    try:
        with _connected(folder) as (door, answers):
            door.sendall(b'{"ask": "frames"}\n')
            while True:
                door.sendall(b".")
                head = _told(answers)
                if not head:
                    yield None
                    continue
                picture = _array(answers, (*head["picture"], 3))
                yield str(head["camera"]), picture, _array(answers, tuple(head["mask"]))
    except OSError as error:
        raise InputError(_GONE) from error


def _told(answers: IO[bytes]) -> dict[str, Any]:
    line = answers.readline()
    if not line.endswith(b"\n"):
        raise InputError(_GONE)
    said: dict[str, Any] = json.loads(line)
    return said


def _array(answers: IO[bytes], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    count = int(np.prod(shape))
    data = answers.read(count)
    if len(data) != count:
        raise InputError(_GONE)
    return np.frombuffer(data, np.uint8).reshape(shape)


@contextlib.contextmanager
def _connected(folder: Path) -> Iterator[tuple[socket.socket, IO[bytes]]]:
    path = os.fsencode(slot_door_path(folder))
    if len(path) > _LONGEST:
        raise ConfigError(
            f"model.bundle: {folder} is too long a path: its socket's would have {len(path)} "
            f"bytes, {_LONGEST} may be"
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(_PATIENCE_S)
        door.connect(path)
        if peer_uid(door) != os.getuid():
            raise InputError(f"{folder}: user {peer_uid(door)} listens there, not this one")
        with door.makefile("rb") as answers:
            yield door, answers
