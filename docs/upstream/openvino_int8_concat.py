"""OpenVINO CPU: int8 activations (zero point 0) behind a Concat give a wrong convolution.

One model joins its two inputs by a Concat, the other gets them already joined. Both then quantise,
dequantise and convolve the same values with the same weights, so both must give the same output.
Needs numpy and openvino. On a CPU with AMX set ONEDNN_MAX_CPU_ISA=AVX512_CORE_VNNI first: AMX hides
the fault.
"""

from __future__ import annotations

import numpy as np
import openvino
import openvino.opset13 as ops

CHANNELS, SIZE = 32, 8


def convolved(parts: int, stored: str, kernel: int = 3) -> openvino.Model:
    """A model of `parts` inputs that are joined, stored as `stored`, and convolved by int8 weights.

    Args:
        parts: 1 takes all channels at once, 2 joins two halves.
        stored: "i8" with zero point 0, or the same 256 steps as "u8" with zero point 128.
        kernel: side of the convolution.
    """
    shape = [1, 2 * CHANNELS // parts, SIZE, SIZE]
    inputs = [ops.parameter(shape, np.float32) for _ in range(parts)]
    joined = ops.concat(inputs, axis=1) if parts > 1 else inputs[0]
    scale, zero = np.float32(4 / 127), 128 if stored == "u8" else 0
    steps = (np.float32(-128 + zero), np.float32(127 + zero))
    limits = (np.float32(-128) * scale, np.float32(127) * scale)
    held = ops.convert(ops.fake_quantize(joined, *limits, *steps, 256), stored)
    value = ops.convert(held, "f32")
    if zero:
        value = ops.subtract(value, np.float32(zero))
    value = ops.multiply(value, scale)
    random = np.random.default_rng(0)
    weight = random.normal(0, 40, (16, 2 * CHANNELS, kernel, kernel)).round().clip(-127, 127)
    weights = ops.multiply(
        ops.convert(ops.constant(weight.astype(np.int8)), "f32"), np.full((16, 1, 1, 1), 1e-3, "f")
    )
    ones, pads = [1, 1], [kernel // 2] * 2
    return openvino.Model(
        [ops.convolution(value, weights, ones, pads, pads, ones)], inputs, "repro"
    )


def output(model: openvino.Model, values: np.ndarray) -> np.ndarray:
    """Compile for the CPU in f32 and run; a model of two inputs gets the halves."""
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    halves = np.split(values, len(model.inputs), axis=1)
    return compiled(halves)[0]


def main() -> None:
    """Print the error of each case against the same model without a Concat."""
    values = np.random.default_rng(1).normal(0, 1, (1, 2 * CHANNELS, SIZE, SIZE)).astype(np.float32)
    print("OpenVINO", openvino.__version__)
    for stored in ("i8", "u8"):
        for kernel in (1, 3):
            right = output(convolved(1, stored, kernel), values)
            found = output(convolved(2, stored, kernel), values)
            error = float((found - right).std() / right.std())
            print(f"{stored}, {kernel}x{kernel} convolution: error {error:.4f} of the spread")


if __name__ == "__main__":
    main()
