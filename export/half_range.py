"""Can FP16 hold what the network computes? A value beyond 65504 becomes infinite there.

The FP32 graph is run on the golden candidates and every activation is looked at, so that the layer
is named; a mask that went wrong would name none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import CheckError
from contract.half_range import HALF_MAX, beyond_half
from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["largest_activations", "require_half_range"]

_CLOSE = 0.25  # of the largest: other frames may show more
_log = logging.getLogger(__name__)


def largest_activations(graph: bytes, frames: NDArray[np.uint8]) -> dict[str, float]:
    """Largest magnitude of every activation from the first to the last convolution.

    Args:
        graph: bytes of the FP32 deploy graph.
        frames: (N, H, W, 3) uint8 BGR.
    """
    onnx, ort = need("onnx", extra="export"), need("onnxruntime", extra="export")
    model = onnx.load_model_from_string(graph)
    nodes = model.graph.node
    at = [number for number, node in enumerate(nodes) if node.op_type.startswith("Conv")]
    names = [node.output[0] for node in nodes[at[0] : at[-1] + 1]] if at else []
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    largest = dict.fromkeys(names, 0.0)
    for frame in frames:
        for name, values in zip(names, session.run(names, {"frames": frame[None]}), strict=True):
            largest[name] = float(
                np.maximum(largest[name], np.abs(values).max(initial=0))
            )  # keeps NaN
    return largest


def require_half_range(graph: bytes, frames: NDArray[np.uint8]) -> None:
    """Refuse a network whose activations leave FP16's range; warn of one that comes close.

    Raises:
        CheckError: naming the layers and what they reach.
    """
    largest = largest_activations(graph, frames)
    if beyond := beyond_half(largest):
        raise CheckError(
            f"{beyond}: the FP16 and INT8 graphs would compute infinities there; "
            "train the network anew, with BatchNorm and a lower learning.rate. Nothing was exported"
        )
    top = max(largest, key=lambda name: largest[name], default="")
    if top and largest[top] > _CLOSE * HALF_MAX:
        _log.warning(
            "activation %s reaches %.0f on %d frames, FP16 ends at %.0f: frames that show more may "
            "overflow",
            top,
            largest[top],
            len(frames),
            HALF_MAX,
        )
