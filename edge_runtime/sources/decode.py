"""The decoder process: reads one source and writes its pictures down a pipe.

It stands apart because a camera's driver, a network stream or a broken file can hang a reader for
good; a process can be killed from outside. The source comes on standard input, never on the command
line, where every user of the machine could read its password.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from contract.errors import GasedgeError
from contract.packages import need
from edge_runtime.pixels import bgr_of, layout_of, pixels_of
from edge_runtime.sources.uri import SourceUri
from edge_runtime.sources.wire import FRAME_KINDS, Header, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from edge_runtime.sources.shot import Shot

__all__ = ["main", "pictures_of", "shots_of"]


def pictures_of(uri: SourceUri) -> Iterator[NDArray[np.uint8]]:
    """Pictures of any source, without when they were taken; see `shots_of`."""
    return (bgr_of(shot.picture) for shot in shots_of(uri, lambda _: None))


def shots_of(
    uri: SourceUri, note: Callable[[str], None], *, native: bool = False
) -> Iterator[Shot]:
    """Pictures of any source: paced unless `every` is asked, again and again with `loop`.

    Args:
        uri: the source.
        note: told once which way the pictures take, where there is a choice.
        native: leave a camera's grey and NV12 pictures as they come; else all are BGR.

    Raises:
        InputError: when the source cannot be opened or breaks off.
    """
    while True:
        yield from _once(uri, note, native=native)
        if not uri.options.get("loop"):
            return


def _once(uri: SourceUri, note: Callable[[str], None], *, native: bool) -> Iterator[Shot]:
    if not uri.is_test:
        from edge_runtime.sources.cameras import camera_shots

        return camera_shots(uri, note, native=native)
    from edge_runtime.sources.replay import replayed_shots

    return replayed_shots(uri)


def main(arguments: list[str]) -> int:
    """Decode the source that stands on standard input as JSON, until it ends or nobody reads.

    A replay is made ready and begins when standard input ends; a camera begins at once.
    """
    del arguments
    # libraries that print must not print into the frames
    pipe = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    given = json.loads(sys.stdin.buffer.readline())
    uri = SourceUri(given["scheme"], given["target"], given["options"])
    if uri.is_test:
        with contextlib.suppress(GasedgeError):  # told when it is wanted
            need("cv2", extra="cpu")
        sys.stdin.buffer.read()
    try:
        _say(pipe, *_decoded(uri, pipe, native=bool(given.get("native"))))
    except BrokenPipeError:
        return 1
    return 0


def _decoded(uri: SourceUri, pipe: int, *, native: bool) -> tuple[Kind, str]:
    """Write every picture; then how it ended: a replay that breaks off has ended, too."""
    given = 0
    try:
        for shot in shots_of(uri, lambda text: _say(pipe, Kind.NOTE, text), native=native):
            kind, pixels = FRAME_KINDS[layout_of(shot.picture)], pixels_of(shot.picture)
            height, width = shot.picture.shape[:2]
            utc_ns, now_ns = time.time_ns(), time.monotonic_ns()
            taken_ns = now_ns if shot.taken_ns is None else shot.taken_ns
            taken = utc_ns - (now_ns - taken_ns), taken_ns
            _write(pipe, Header(kind, width, height, *taken, pixels.nbytes).pack())
            _write(pipe, pixels.reshape(-1).data)
            given += 1
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - any fault of any library must reach the reader
        # the text of a foreign error may hold the URI with its password
        text = (
            str(error)
            if isinstance(error, GasedgeError)
            else f"{uri}: cannot be decoded ({type(error).__name__})"
        )
        return (Kind.ENDED if given and uri.is_test else Kind.FAILED), text
    return Kind.ENDED, f"{uri}: came to its end"


def _say(pipe: int, kind: Kind, text: str) -> None:
    data = text.encode()[:4096]
    _write(pipe, Header(kind, 0, 0, time.time_ns(), time.monotonic_ns(), len(data)).pack())
    _write(pipe, data)


def _write(pipe: int, data: bytes | memoryview) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(pipe, left) :]
