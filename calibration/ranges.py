"""Activation ranges: what the FP32 graph really carries on the calibration frames.

One pass, one frame at a time. Each tensor keeps its largest magnitude and a histogram whose range
doubles when a larger value comes, so memory does not grow with the number of frames. Every method
takes its range from that histogram (`calibration.range_methods`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from calibration.range_methods import BINS, DEFAULT_METHOD, LEARNED, METHODS
from contract.calibrated_ranges import RangeTable, TensorRanges
from contract.errors import ConfigError, GasedgeError
from contract.packages import need

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["TensorRange", "collect_ranges", "range_table"]

_KEPT_BINS = 128  # of the histogram in the bundle
_EXACT = 1 << 24  # float32, in which OpenCV counts, is exact up to here


@dataclass(slots=True)
class TensorRange:
    """Magnitudes of one tensor's values over all frames."""

    largest: float = 0.0
    top: float = 0.0  # upper edge of the histogram
    learned: float | None = None  # largest magnitude that the network was fine-tuned with
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))

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
            self.counts[: BINS // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[BINS // 2 :] = 0
            self.top *= 2
        cv2 = need("cv2", extra="export")
        for start in range(0, magnitudes.size, _EXACT):
            part = magnitudes[None, start : start + _EXACT]
            counted = cv2.calcHist([part], [0], None, [BINS], [0.0, self.top]).ravel()
            self.counts += counted.astype(np.int64)
            self.counts[-1] += part.size - int(counted.sum(dtype=np.float64))  # at the very top
        self.largest = max(self.largest, largest)

    def covering(self, method: str) -> float:
        """Largest magnitude that INT8 should represent, by one of `METHODS` or LEARNED.

        Raises:
            ConfigError: when the method is not known.
        """
        if method == LEARNED:
            return self.covering(DEFAULT_METHOD) if self.learned is None else self.learned
        if method not in METHODS:
            raise ConfigError(f"method {method!r} is not known; take one of {', '.join(METHODS)}")
        if self.largest == 0.0:
            return 0.0
        return min(self.largest, METHODS[method](self.counts, self.top))


def collect_ranges(
    graph: bytes, tensors: Sequence[str], frames: Iterable[NDArray[np.uint8]], *, n_frames: int
) -> dict[str, TensorRange]:
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
    watched = {name: TensorRange() for name in tensors}
    for frame in tqdm(frames, total=n_frames, desc="activation ranges", unit="frame", delay=2):
        activations = session.run(list(tensors), {"frames": frame[None]})
        for name, values in zip(tensors, activations, strict=True):
            watched[name].add(values)
    return watched


def range_table(
    watched: Mapping[str, TensorRange], methods: Sequence[str], chosen: str
) -> RangeTable:
    """What the bundle keeps: the range of every method tried and a coarser histogram."""
    tensors = {}
    for name, seen in watched.items():
        largest = {method: seen.covering(method) for method in methods}
        counts = seen.counts.reshape(_KEPT_BINS, -1).sum(axis=1)
        tensors[name] = TensorRanges(
            chosen=largest[chosen], largest=largest, edge=seen.top, counts=tuple(counts.tolist())
        )
    return RangeTable(method=chosen, tensors=tensors)
