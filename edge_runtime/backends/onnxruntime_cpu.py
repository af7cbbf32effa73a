"""The network on a CPU through ONNX Runtime: where OpenVINO has no wheel, and as the reference.

With `optimise=False` every node runs as the graph says, one by one: slow, and the numbers that the
other runtimes are held against.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from contract.closing import Closing
from contract.errors import EngineError
from contract.packages import need
from contract.segmenter import Segmentation, check_frames, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from contract.geometry import InputGeometry
    from contract.precision import Precision

__all__ = ["OnnxRuntimeSegmenter"]

_ERRORS_ONLY = 3


class OnnxRuntimeSegmenter(Closing):
    """Runs a deploy graph on the CPU.

    Args:
        graph: bytes of the ONNX deploy graph, already checked against the manifest.
        geometry: the network's input.
        precision: what the graph was made for.
        threads: CPU threads, None for all that the process may use.
        optimise: False runs the graph node by node as it is written.

    Raises:
        MissingPackageError: when ONNX Runtime is not installed.
        EngineError: when it cannot load the graph.
    """

    def __init__(
        self,
        graph: bytes,
        *,
        geometry: InputGeometry,
        precision: Precision,
        threads: int | None = None,
        optimise: bool = True,
    ) -> None:
        runtime = need("onnxruntime", extra="export")
        self._geometry = geometry
        options = runtime.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        if threads is not None:
            options.intra_op_num_threads = threads
        # Its idle threads would spin on the cores that the cameras and the plant need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Its optimiser merges Q/DQ pairs that have FP16 scales into wrong numbers (7 % of a mask's
        # pixels in 1.32); left as they are, the pairs are computed rightly.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        if not optimise:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = runtime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class
            raise EngineError(
                f"ONNX Runtime cannot load the {precision} graph: {one_line(error)}"
            ) from error
        how = "" if optimise else " unoptimised"
        self._name = f"ONNX Runtime {runtime.__version__}{how} {precision} on CPU"

    @property
    def name(self) -> str:
        """Runtime, version and precision."""
        return self._name

    @property
    def geometry(self) -> InputGeometry:
        """The input that `segment` expects."""
        return self._geometry

    def segment(self, frames: NDArray[np.uint8]) -> Segmentation:
        """Segment (N, H, W, 3) uint8 BGR frames.

        Raises:
            EngineError: when the frames do not fit or ONNX Runtime fails.
        """
        check_frames(frames, self._geometry)
        if self._session is None:
            raise EngineError("this ONNX Runtime backend was closed")
        try:
            mask, score = self._session.run(["mask", "score"], {"frames": frames})
        except Exception as error:  # its exceptions share no base class
            raise EngineError(f"ONNX Runtime failed on a frame: {one_line(error)}") from error
        return Segmentation(mask=mask, score=score)

    def close(self) -> None:
        """Free the session; a second call does nothing."""
        self._session = None
