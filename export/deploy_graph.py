"""The deploy graph: camera frames in, class mask and gas score out, one ONNX file per precision.

Everything between the camera's bytes and the mask is inside: normalisation, network, argmax, score.
Precision stands in the graph as casts, so one file means the same to TensorRT 8.5 with its weak
flags and to TensorRT 11, which knows strong types only. What TensorRT demands of the graph:

* uint8 is input and output only, and is cast before anything else (it rejects a uint8 transpose)
  and comes from floats (it knows no other way), which it truncates: scores are rounded before;
* no uint8 constants; the scales of Resize are FP32 constants; weights are inside the one file;
* opset 17 is the newest that TensorRT 8.5 reads.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from contract.label_map import GAS_SMOKE
from contract.precision import Precision
from export.graph_tidying import tidy_graph

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contract.geometry import InputGeometry
    from train.networks.frame_network import FrameNetwork

__all__ = ["INPUT", "OPSET", "OUTPUTS", "DeployGraph", "onnx_from_network"]

OPSET = 17
INPUT = "frames"
OUTPUTS = ("mask", "score")


class _HalfCore(nn.Module):
    """The network's core in FP16, from FP32 pixels to FP16 logits."""

    def __init__(self, core: nn.Module) -> None:
        super().__init__()
        self.core = core.half()

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.core(pixels.half())
        return logits


class DeployGraph(nn.Module):
    """What runs on the device, as a torch module.

    Normalisation and the score stay in FP32 at either precision: both are single passes over few
    channels that a GPU fuses with the casts beside them, and the score keeps all its 256 levels.

    Args:
        network: frames (N, H, W, 3) uint8 -> logits (N, 3, H, W). It is copied, not changed.
        precision: FP32 or FP16.
    """

    def __init__(self, network: FrameNetwork, precision: Precision) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).eval()
        if precision is Precision.FP16:
            self.network.core = _HalfCore(self.network.core)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Segment frames.

        Args:
            frames: (N, H, W, 3) uint8 BGR.

        Returns:
            (N, H, W) uint8 class index, the lowest one where classes tie, and (N, H, W) uint8
            gas-smoke probability, 0..255 for 0..1.
        """
        logits = self.network(frames)
        mask = logits.argmax(1).float().to(torch.uint8)
        probability = self.network.probabilities(logits.float())[:, GAS_SMOKE]
        return mask, (probability * 255).round().to(torch.uint8)


def onnx_from_network(
    network: FrameNetwork, geometry: InputGeometry, precision: Precision = Precision.FP32
) -> bytes:
    """Export the deploy graph of a network: opset 17, any batch size, fixed height and width.

    Args:
        network: as `DeployGraph` takes it.
        geometry: the fixed input size.
        precision: FP32 or FP16; INT8 comes from calibration.

    Returns:
        The bytes of one self-contained ONNX file.
    """
    graph = DeployGraph(network, precision).eval()
    frames = torch.zeros(1, geometry.height, geometry.width, 3, dtype=torch.uint8)
    with _quiet_exporter(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            (frames,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    return tidy_graph(program.model_proto)


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hush the exporter: it tells its passes, and warns that opset 17 is older than its own 18."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
