"""Activation ranges: what the FP32 graph really carries on the calibration frames.

One pass, one frame at a time. Each tensor keeps its largest magnitude and a histogram whose range
doubles when a larger value comes, so memory does not grow with the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from contract.errors import ConfigError, GasedgeError
from contract.label_map import GAS_SMOKE
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["DEFAULT_METHOD", "METHODS", "TensorRange", "Watched", "collect_ranges"]

METHODS = {"max": 100.0, "percentile": 99.99}  # share of values, in percent, inside the range
# On a network trained on real smoke "max" cost 0.0051 of gas IoU and this nothing: docs/results.md.
DEFAULT_METHOD = "percentile"
_BINS = 4096


@dataclass(slots=True)
class TensorRange:
    """Magnitudes of one tensor's values over all frames."""

    largest: float = 0.0
    top: float = 0.0  # upper edge of the histogram
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def add(self, values: NDArray[np.float32]) -> None:
        """Count more values.

        Raises:
            GasedgeError: when one of them is not a finite number.
        """
        magnitudes = np.abs(values.ravel())
        largest = float(magnitudes.max(initial=0.0))
        if not np.isfinite(largest):
            raise GasedgeError("the network gives values that are not finite; train it anew")
        if largest == 0.0:
            self.counts[0] += magnitudes.size
            return
        if self.top == 0.0:
            self.top = largest
        while largest > self.top:
            self.counts[: _BINS // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[_BINS // 2 :] = 0
            self.top *= 2
        bins = np.minimum((magnitudes * (_BINS / self.top)).astype(np.int64), _BINS - 1)
        self.counts += np.bincount(bins, minlength=_BINS)
        self.largest = max(self.largest, largest)

    def covering(self, method: str) -> float:
        """Magnitude below which the method's share of the values lies.

        Raises:
            ConfigError: when the method is not known.
        """
        if method not in METHODS:
            raise ConfigError(f"method {method!r} is not known; take one of {', '.join(METHODS)}")
        if METHODS[method] >= 100.0 or self.largest == 0.0:
            return self.largest
        reached = np.searchsorted(np.cumsum(self.counts), METHODS[method] / 100 * self.counts.sum())
        return min(self.largest, float(reached + 1) * self.top / _BINS)


@dataclass(frozen=True, slots=True)
class Watched:
    """What the FP32 network did on the frames."""

    ranges: dict[str, TensorRange]  # by tensor
    gas_shares: list[float]  # share of each frame's pixels that it calls gas or smoke


def collect_ranges(
    graph: bytes, tensors: Sequence[str], frames: Iterable[NDArray[np.uint8]], *, n_frames: int
) -> Watched:
    """Run frames through the FP32 graph and watch the given tensors.

    Args:
        graph: bytes of the FP32 deploy graph.
        tensors: names of activations.
        frames: fitted (H, W, 3) BGR frames.
        n_frames: how many there are, for the progress bar.
    """
    onnx = need("onnx", extra="export")
    runtime = need("onnxruntime", extra="export")
    model = onnx.load_model_from_string(graph)
    for name in tensors:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    watched = Watched({name: TensorRange() for name in tensors}, [])
    for frame in tqdm(frames, total=n_frames, desc="activation ranges", unit="frame", delay=2):
        mask, *activations = session.run(["mask", *tensors], {"frames": frame[None]})
        watched.gas_shares.append(float(np.mean(mask == GAS_SMOKE)))
        for name, values in zip(tensors, activations, strict=True):
            watched.ranges[name].add(values)
    return watched
