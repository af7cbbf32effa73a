"""Make an exported graph what the device wants: any batch size, fixed Resize scales, no debris.

The network is traced with one frame, so that every shape but the batch is a constant and no Shape
or Gather is left in the graph; then the batch is set free. That is sound because the one place
where a traced batch size lands, the sizes of Resize, is replaced by scales.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from contract.errors import GasedgeError
from contract.packages import need

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BATCH", "tidy_graph"]

BATCH = "N"
_IR_VERSION = 8  # of ONNX 1.12, which brought opset 17: the newest TensorRT 8.5 knows


def tidy_graph(model: Any) -> bytes:
    """Free the batch, fix the scales, drop what the exporter notes about its own machine.

    Args:
        model: onnx ModelProto traced with a batch of one; it is changed.

    Returns:
        The bytes of the ONNX file.

    Raises:
        GasedgeError: when the graph holds something that a device would not read as meant.
    """
    onnx = need("onnx", extra="export")
    found = [(each.domain, each.version) for each in model.opset_import]
    if found != [("", 17)]:
        raise GasedgeError(
            f"the exporter wrote opset {found} and not 17, which TensorRT 8.5 needs: the network "
            "has an operation that could not be written so (a mean over an axis is one)"
        )
    _scales_for_sizes(onnx, model)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:]
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]  # source paths and stack traces
        part.doc_string = ""
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _scales_for_sizes(onnx: Any, model: Any) -> None:
    """Give every Resize constant FP32 scales in place of sizes."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*inferred.graph.value_info, *inferred.graph.input)
    }
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for number, node in enumerate(n for n in model.graph.node if n.op_type == "Resize"):
        if len(node.input) < 4 or not node.input[3]:
            continue
        if node.input[3] not in constants:
            raise GasedgeError(f"Resize {node.name} has computed sizes; give the network a scale")
        sizes: NDArray[np.int64] = onnx.numpy_helper.to_array(constants[node.input[3]])
        scales = (sizes / np.array(shapes[node.input[0]])).astype(np.float32)
        name = f"resize_scales_{number}"
        model.graph.initializer.append(onnx.numpy_helper.from_array(scales, name))
        del node.input[1:]
        node.input.extend(["", name])
    used = {name for node in model.graph.node for name in node.input}
    unused = [tensor for tensor in model.graph.initializer if tensor.name not in used]
    for tensor in unused:
        model.graph.initializer.remove(tensor)
