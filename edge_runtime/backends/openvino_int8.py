"""Give OpenVINO's CPU plugin quantised activations in the one form that it computes rightly.

Its convolutions take signed activations only on CPUs with AMX. Everywhere else a symmetric int8
pair (zero point 0) behind a Concat is computed wrongly without a word: the scale is lost, values
are rounded to whole numbers (docs/upstream/openvino-int8-concat.md). The same values as uint8 are
right, so each activation pair is rewritten after reading:

- what cannot be negative (it comes from a ReLU) becomes uint8 0..127 with zero point 0. This also
  keeps the pairwise 16-bit sums of CPUs without VNNI from saturating.
- everything else becomes uint8 with zero point 128.

Both represent exactly the values of int8 with zero point 0; scales and weights stay.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from contract.packages import need

__all__ = ["constant_of", "rewrite_activations"]

_KEEPS_SIGN = ("Concat", "Convert", "MaxPool", "Interpolate")
_INT8_MAX = 127
_INT8_SPAN = 128


def rewrite_activations(model: Any) -> int:
    """Rewrite every int8 activation pair of an `openvino.Model` in place.

    Returns:
        How many pairs were rewritten.
    """
    rewritten = 0
    for node in model.get_ordered_ops():
        source = node.input_value(0) if node.get_type_name() == "FakeQuantize" else None
        if source is None or source.get_node().get_type_name() == "Constant":
            continue  # a pair on a constant is a weight's
        for multiply, scale in _dequantisations(node):
            pair = _uint8_pair(source, scale, multiply.get_output_element_type(0))
            for target in multiply.output(0).get_target_inputs():
                target.replace_source_output(pair)
            rewritten += 1
    model.validate_nodes_and_infer_types()
    return rewritten


def _consumers(node: Any) -> list[Any]:
    return [target.get_node() for target in node.output(0).get_target_inputs()]


def _dequantisations(quantize: Any) -> list[tuple[Any, float]]:
    """The last node and the scale of each dequantisation of a symmetric int8 quantisation.

    OpenVINO reads QuantizeLinear as FakeQuantize, Convert to i8, and DequantizeLinear as Convert
    to float, Subtract of the zero point, Multiply by the scale.
    """
    found: list[tuple[Any, float]] = []
    for stored in _consumers(quantize):
        is_convert = stored.get_type_name() == "Convert"
        if not is_convert or stored.get_output_element_type(0).get_type_name() != "i8":
            continue
        for last in _consumers(stored):
            steps = _consumers(last)
            if len(steps) == 1 and steps[0].get_type_name() == "Subtract":
                zero = constant_of(steps[0].input_value(1))
                if zero is None or np.any(zero):
                    continue
                steps = _consumers(steps[0])
            if len(steps) == 1 and steps[0].get_type_name() == "Multiply":
                scale = constant_of(steps[0].input_value(1))
                if scale is not None and scale.size == 1:
                    found.append((steps[0], float(scale.reshape(()))))
    return found


def constant_of(output: Any) -> np.ndarray[Any, Any] | None:
    """The value of a constant, whatever it is converted to; None for what is computed."""
    node = output.get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    return np.asarray(node.get_data()) if node.get_type_name() == "Constant" else None


def _uint8_pair(source: Any, scale: float, element_type: Any) -> Any:
    ops = need("openvino.opset13", extra="cpu")
    low, levels = (0, _INT8_SPAN) if _never_negative(source) else (-_INT8_SPAN, 2 * _INT8_SPAN)
    bounds = (low * scale, _INT8_MAX * scale, 0, levels - 1)
    constants = [ops.constant(np.float32(bound)) for bound in bounds]
    stored = ops.convert(ops.fake_quantize(source, *constants, levels), "u8")
    value = ops.convert(stored, element_type)
    if low:
        value = ops.subtract(value, ops.convert(ops.constant(np.uint8(-low)), element_type))
    scaled = ops.multiply(value, ops.convert(ops.constant(np.float32(scale)), element_type))
    return scaled.output(0)


def _never_negative(output: Any) -> bool:
    node = output.get_node()
    kind = node.get_type_name()
    if kind == "Relu":
        return True
    if kind not in _KEEPS_SIGN:
        return False
    if kind == "Interpolate" and node.get_attributes()["mode"] == "cubic":
        return False
    inputs = node.get_input_size() if kind == "Concat" else 1
    return all(_never_negative(node.input_value(index)) for index in range(inputs))
