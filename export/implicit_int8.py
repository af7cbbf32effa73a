"""INT8 by TensorRT itself, from the FP32 graph: generations up to 10, and their DLA.

A calibrator hands TensorRT either the bundle's calibration cache, whose scales are those of the
Q/DQ graph, or frames to take ranges from by its own entropy method. Generation 11 has neither.
TensorRT swallows what a calibrator raises, so that is kept and raised when the build has ended.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from contract.errors import ConfigError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from contract.tensorrt_api import TensorRT

__all__ = ["FrameFeed", "implicit_calibrator", "require_calibrator", "take_calibrator"]

_HEADER = re.compile(rb"TRT-\d+-")


class FrameFeed(Protocol):
    """Puts one frame where the GPU can read it."""

    def put(self, frame: NDArray[np.uint8]) -> int:
        """Copy (1, H, W, 3) to the GPU and give its address; the copy is done on return."""

    def close(self) -> None:
        """Give the memory back."""


def require_calibrator(found: TensorRT) -> None:
    """See that this TensorRT can quantise by itself.

    Raises:
        ConfigError: when it cannot.
    """
    if not hasattr(found.module, "IInt8EntropyCalibrator2"):
        raise ConfigError(
            f"{found.label} has no INT8 calibrator, 10 was the last with one: leave --own-ranges "
            "out, the bundle's INT8 graph carries its ranges for every generation"
        )


def implicit_calibrator(
    found: TensorRT,
    shape: tuple[int, ...],
    *,
    cache: bytes | None = None,
    frames: Iterator[NDArray[np.uint8]] | None = None,
    feed: FrameFeed | None = None,
) -> Any:
    """Make the calibrator; its `fault` is what went wrong in it, its `written` TensorRT's cache.

    Args:
        found: TensorRT up to 10.
        shape: (1, H, W, 3) of a frame.
        cache: the bundle's calibration cache, or None to take ranges from frames.
        frames: uint8 BGR of that shape.
        feed: puts them on the GPU.

    Raises:
        ConfigError: when this TensorRT has no calibrator.
    """
    require_calibrator(found)
    base = found.module.IInt8EntropyCalibrator2
    given = None if cache is None else _HEADER.sub(b"TRT-%d-" % _number(found.version), cache, 1)

    def address() -> int | None:
        if frames is None or feed is None:
            raise EngineError(
                f"{found.label} did not take the bundle's calibration cache; calibrate the bundle "
                "anew"
            )
        frame = next(frames, None)
        return None if frame is None else feed.put(frame)

    class Calibrator(base):  # type: ignore[misc,valid-type]
        def __init__(self) -> None:
            base.__init__(self)
            self.shape = shape
            self.fault: Exception | None = None
            self.written = b""

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, _names: Sequence[str]) -> list[int] | None:
            try:
                found = address() if self.fault is None else None
            except Exception as error:  # noqa: BLE001 - raised again after the build
                self.fault, found = error, None
            return None if found is None else [found]

        def read_calibration_cache(self) -> bytes | None:
            return given

        def write_calibration_cache(self, cache: Any) -> None:
            self.written = bytes(cache)

    return Calibrator()


def take_calibrator(
    found: TensorRT, builder: Any, network: Any, config: Any, calibrator: Any
) -> None:
    """Let TensorRT use INT8 and FP16 as the calibrator's ranges allow.

    Args:
        found: that builds.
        builder: its builder.
        network: parsed from the FP32 graph, with the shape or the profile that was asked for.
        config: the builder's configuration.
        calibrator: of `implicit_calibrator`.
    """
    for name in ("INT8", "FP16"):
        config.set_flag(getattr(found.module.BuilderFlag, name))
    config.int8_calibrator = calibrator
    frames = network.get_input(0)
    if -1 in tuple(frames.shape):  # ranges are taken one frame at a time
        profile = builder.create_optimization_profile()
        profile.set_shape(frames.name, calibrator.shape, calibrator.shape, calibrator.shape)
        config.set_calibration_profile(profile)


def _number(version: str) -> int:
    """A version as a cache's first line has it: 8.6.1 is 8601, 10.3.0 is 100300."""
    major, minor, patch = (int(part) for part in (*version.split("."), "0", "0")[:3])
    return major * (1000 if major < 10 else 10000) + minor * 100 + patch
