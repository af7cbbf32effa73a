"""Small deploy graphs written by hand, to reach what the exporter would never write."""

from __future__ import annotations

import numpy as np


def quantised_graph(*, pairs: bool = True, unsigned: bool = False, opset: int = 19) -> bytes:
    """Two convolutions on 64x64 frames, FP16 with Q/DQ around as INT8 graphs have it.

    Args:
        pairs: whether there are Q/DQ pairs at all.
        unsigned: give the activations unsigned zero points, which TensorRT misreads.
        opset: 17 knows no FP16 scales, so the graph around the pairs is FP32 then.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(3)
    half = opset >= 19
    kind = np.float16 if half else np.float32
    values = {
        "zero": np.array(0, np.uint8 if unsigned else np.int8),
        "scale": np.array(0.02, kind),
        "gas": np.array(1, np.int64),
        "levels": np.array(255, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Cast", ["planes"], ["x0"], to=TensorProto.FLOAT16 if half else TensorProto.FLOAT
        ),
    ]
    for number, (inputs, outputs) in enumerate(((3, 16), (16, 3))):
        x, weight = f"x{number}", f"w{number}"
        values[weight] = random.integers(-127, 128, (outputs, inputs, 3, 3)).astype(np.int8)
        if pairs:
            values[f"{weight}_scale"] = np.full(outputs, 0.005, kind)
            values[f"{weight}_zero"] = np.zeros(outputs, np.int8)
            nodes += [
                helper.make_node("QuantizeLinear", [x, "scale", "zero"], [f"{x}_q"]),
                helper.make_node("DequantizeLinear", [f"{x}_q", "scale", "zero"], [f"{x}_dq"]),
                helper.make_node(
                    "DequantizeLinear",
                    [weight, f"{weight}_scale", f"{weight}_zero"],
                    [f"{weight}_dq"],
                    axis=0,
                ),
            ]
            x, weight = f"{x}_dq", f"{weight}_dq"
        else:
            values[weight] = (values[weight] * 0.005).astype(kind)
        nodes.append(helper.make_node("Conv", [x, weight], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"x{number + 1}"]))
    nodes += [
        helper.make_node("Cast", ["c1"], ["logits"], to=TensorProto.FLOAT),
        helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0),
        helper.make_node("Cast", ["index"], ["index_float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["index_float"], ["mask"], to=TensorProto.UINT8),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Gather", ["probabilities", "gas"], ["probability"], axis=1),
        helper.make_node("Mul", ["probability", "levels"], ["scaled"]),
        helper.make_node("Round", ["scaled"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["score"], to=TensorProto.UINT8),
    ]
    for number, node in enumerate(nodes):
        node.name = f"{node.op_type}_{number}"
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "by hand",
        [helper.make_tensor_value_info("frames", TensorProto.UINT8, ["N", 64, 64, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", 64, 64])
            for name in ("mask", "score")
        ],
        [numpy_helper.from_array(value, name) for name, value in values.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
