"""Give OpenVINO's CPU plugin the end of the network in a form that it computes fast.

Two operations on few channels have an equal that costs it much less, and are rewritten after
reading (`scripts/network_layers` measures 8 % of an INT8 frame, and no pixel that differs):

- the class of each pixel, an ArgMax that it computes by sorting, becomes a comparison for each
  further class; where classes tie the lowest still wins;
- a 3 x 3 convolution to at most four channels, which leaves most of a vector empty, becomes one
  with 4 x 4 weights that makes a square of 2 x 2 pixels at a time, each in channels of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.packages import need
from edge_runtime.backends.openvino_int8 import constant_of

__all__ = ["rewrite_head"]

_MOST = 4  # channels of a convolution that is rewritten


def rewrite_head(model: Any) -> int:
    """Rewrite the ArgMax and the last convolution of an `openvino.Model` in place.

    Args:
        model: its frames are of even height and width.

    Returns:
        How many operations were rewritten.
    """
    rewritten = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == "TopK":
            rewritten += _compare(node)
        elif node.get_type_name() == "Convolution":
            rewritten += _make_squares(node)
    model.validate_nodes_and_infer_types()
    return rewritten


def _replace(old: Any, new: Any) -> None:
    for target in old.get_target_inputs():
        target.replace_source_output(new)


def _compare(top: Any) -> bool:
    """Replace the number of the largest of (N, C, H, W), an ArgMax over C."""
    ops = need("openvino.opset13", extra="cpu")
    values, given = top.input_value(0), top.get_attributes()
    if given["mode"] != "max" or given["axis"] != 1 or constant_of(top.input_value(1)) != 1:
        return False
    classes = values.get_partial_shape()[1].get_length()
    if top.output(0).get_target_inputs() or classes < 2:
        return False  # somebody wants the value, too, or there is nothing to compare
    planes = [ops.gather(values, np.array([each]), np.int64(1)) for each in range(classes)]
    largest, index = planes[0], ops.constant(np.float32(0))
    for number, plane in enumerate(planes[1:], start=1):
        index = ops.select(ops.greater(plane, largest), ops.constant(np.float32(number)), index)
        largest = ops.maximum(largest, plane)
    _replace(top.output(1), ops.convert(index, given["index_element_type"]).output(0))
    return True


def _make_squares(convolution: Any) -> bool:
    """Replace a convolution to few channels."""
    ops = need("openvino.opset13", extra="cpu")
    weights = convolution.input_value(1)
    shape, given = weights.get_partial_shape(), convolution.get_attributes()
    if shape.is_dynamic or list(shape.to_shape())[2:] != [3, 3] or shape[0].get_length() > _MOST:
        return False
    sides = {tuple(given[each]) for each in ("strides", "dilations", "pads_begin", "pads_end")}
    if sides != {(1, 1)}:
        return False
    small = constant_of(weights)
    if small is None:
        return False
    large = np.zeros((len(small), 2, 2, small.shape[1], 4, 4), small.dtype)
    for row, column in np.ndindex(2, 2):
        large[:, row, column, :, row : row + 3, column : column + 3] = small
    squares = ops.convolution(
        convolution.input_value(0),
        ops.convert(
            ops.constant(large.reshape(-1, *large.shape[3:])), weights.get_element_type()
        ),
        [2, 2], [1, 1], [1, 1], [1, 1],
    )  # fmt: skip
    _replace(convolution.output(0), ops.depth_to_space(squares, "depth_first", 2).output(0))
    return True
