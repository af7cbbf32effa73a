"""What arrives at the daemon of a replay and when: pictures of every clip by their virtual times.

A clip's k-th picture is taken k / fps after the beginning and the clip ends when the next one would
be due. Masks are worked out a few pictures ahead, so that decoding and the network overlap; that
changes no mask and no time.
"""

from __future__ import annotations

import heapq
from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from contract.errors import InputError
from edge_runtime.sources.replay import replayed_pictures

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from contract.segmenter import Run, Segmentation
    from edge_runtime.model import RunningModel
    from edge_runtime.sources.uri import SourceUri

__all__ = ["Arrival", "arrivals_of", "require_an_end", "segmented_ahead"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture of a camera, or its clip's end."""

    at_ns: int  # since the beginning of the replay
    camera: int  # position among the replayed cameras
    picture: NDArray[np.uint8] | None = None  # (h, w, 3) BGR; None at the end
    ended: str = ""  # how the clip came to its end
    found: Segmentation | None = None  # of the picture, once it is worked out


def require_an_end(uri: SourceUri) -> None:
    """Refuse a source that cannot be replayed.

    Raises:
        InputError: when it is a camera or never ends.
    """
    if not uri.is_test:
        raise InputError(f"{uri}: is a camera; a replay takes a file, a folder or sim:")
    if uri.options.get("loop"):
        raise InputError(f"{uri}: never ends with loop; leave it away")
    if uri.scheme == "sim" and "frames" not in uri.options:
        raise InputError(f"{uri}: a simulated scene never ends; say how long, as in sim:frames=200")


def arrivals_of(clips: Sequence[SourceUri]) -> Iterator[Arrival]:
    """All that arrives, in the order of its times; at one instant in the order of the cameras.

    Raises:
        InputError: when a clip gives not one picture. One that breaks off later has ended there.
    """
    each = [_of_clip(position, uri) for position, uri in enumerate(clips)]
    return heapq.merge(*each, key=lambda arrival: (arrival.at_ns, arrival.camera))


def segmented_ahead(
    arrivals: Iterator[Arrival], model: RunningModel
) -> Generator[Arrival, None, None]:
    """The same arrivals in the same order, with what the network says of each picture.

    Raises:
        EngineError: when the backend fails.
        DeviceError: when the GPU needs a new process.
    """
    flying: deque[tuple[Arrival, Run | None]] = deque()
    try:
        for arrival in arrivals:
            picture = arrival.picture
            run = None if picture is None else model.start([picture], lambda: None)
            flying.append((arrival, run))
            if len(flying) >= model.depth:
                yield _landed(*flying.popleft())
        while flying:
            yield _landed(*flying.popleft())
    finally:  # cut off: the model may not be closed under a run
        for _, run in flying:
            if run is not None:
                run.result()


def _landed(arrival: Arrival, run: Run | None) -> Arrival:
    return arrival if run is None else replace(arrival, found=run.result()[0])


def _of_clip(camera: int, uri: SourceUri) -> Iterator[Arrival]:
    fps, pictures = replayed_pictures(uri)
    count, ended = 0, f"{uri}: came to its end"
    with closing(pictures):  # type: ignore[type-var]  # it is a generator
        try:
            for picture in pictures:
                if picture is not None:
                    yield Arrival(_at_ns(count, fps), camera, picture)
                count += 1
        except InputError as error:
            if not count:
                raise
            ended = str(error)
    yield Arrival(_at_ns(count, fps), camera, ended=ended)


def _at_ns(count: int, fps: float) -> int:
    return round(count * 1e9 / fps)
