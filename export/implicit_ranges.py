"""Where the ranges come from when TensorRT quantises by itself: the bundle's cache, or pictures."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from contract.calibrated_ranges import CALIBRATION_CACHE
from contract.errors import CheckError, ConfigError, InputError
from contract.pictures import fit_picture, pictures_in, read_picture
from contract.precision import Precision
from export.implicit_int8 import FrameFeed, implicit_calibrator, require_calibrator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from contract.bundle import Bundle
    from contract.geometry import InputGeometry
    from contract.tensorrt_api import TensorRT
    from export.builder_settings import BuildRequest
    from export.plan_statistics import PlanStatistics

__all__ = ["FeedMaker", "calibrator_for", "require_int8_somewhere", "with_ranges"]

FeedMaker = Callable[[tuple[int, ...]], FrameFeed]  # of the shape (1, H, W, 3)

_FEWEST = 16
_log = logging.getLogger(__name__)


def with_ranges(
    request: BuildRequest, bundle: Bundle, found: TensorRT, *, own: bool
) -> BuildRequest:
    """Say where INT8 ranges come from: the graph's pairs wherever they can be read.

    Raises:
        ConfigError: when TensorRT's own are asked for and it has none, or not of INT8.
    """
    if own:
        if request.precision is not Precision.INT8:
            raise ConfigError(f"--own-ranges is for --int8, an {request.precision} engine has none")
        require_calibrator(found)
        return replace(request, ranges="own")
    old_dla = request.dla and not found.dla_reads_pairs
    if (
        old_dla
        and request.precision is Precision.INT8
        and CALIBRATION_CACHE in bundle.manifest.files
    ):
        return replace(request, ranges="cache")
    return request


@contextlib.contextmanager
def calibrator_for(
    request: BuildRequest,
    bundle: Bundle,
    found: TensorRT,
    pictures: Path | None,
    feed_of: FeedMaker | None,
) -> Iterator[Any]:
    """The calibrator that a request needs, None where the graph has its pairs.

    Raises:
        InputError: when there are too few pictures.
    """
    geometry = bundle.manifest.input
    shape = (1, geometry.height, geometry.width, 3)
    if request.ranges == "cache":
        yield implicit_calibrator(found, shape, cache=bundle.read(CALIBRATION_CACHE))
        return
    if request.ranges != "own" or pictures is None:
        yield None
        return
    if feed_of is None:
        raise RuntimeError("this process was started without a way to the GPU's memory")
    files = pictures_in(pictures)
    if len(files) < _FEWEST:
        raise InputError(
            f"{pictures}: {len(files)} pictures are too few to take ranges from; give at least "
            f"{_FEWEST}, better 200, with smoke or gas as the camera will see it"
        )
    with contextlib.closing(feed_of(shape)) as feed:
        _log.info("TensorRT takes its own ranges from %d pictures", len(files))
        yield implicit_calibrator(found, shape, frames=_fitted(files, geometry), feed=feed)


def require_int8_somewhere(statistics: PlanStatistics, *, dla: bool) -> None:
    """Refuse an engine in which TensorRT has quantised nothing.

    It may keep a layer in FP16 that is faster so: of its own choice of layers no more is asked. A
    DLA's layers are one block, into which nobody can look.

    Raises:
        CheckError: when no convolution is in INT8.
    """
    if not dla and not statistics.int8:
        raise CheckError(
            f"asked for int8 but the engine has no INT8 convolution ({statistics}): this GPU has "
            "no INT8 kernels or the ranges were not used; --unverified keeps it all the same"
        )


def _fitted(files: list[Path], geometry: InputGeometry) -> Iterator[NDArray[np.uint8]]:
    for file in files:
        yield np.ascontiguousarray(fit_picture(read_picture(file), geometry)[None])
