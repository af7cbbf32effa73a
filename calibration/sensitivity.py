"""How much harm each layer does by itself: what the others hide is seen with it alone in INT8.

Harm is how far the gas probability moves on a few calibration frames, not the control set, which
has to judge the outcome. One small run a layer, so thirty layers take a minute, not an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from calibration.placement import Choice
from calibration.quantize import quantized_graph
from contract.precision import Precision
from edge_runtime.backends.open import open_graph

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from contract.geometry import InputGeometry

__all__ = ["damage_of_layers"]


def damage_of_layers(
    fp32: bytes,
    largest: Mapping[str, float],
    layers: Sequence[str],
    choice: Choice,
    frames: Sequence[NDArray[np.uint8]],
    geometry: InputGeometry,
) -> dict[str, float]:
    """Mean change of the gas probability with one layer alone in INT8, for each layer.

    Args:
        fp32: bytes of the FP32 deploy graph.
        largest: ranges, as of `quantized_graph`.
        layers: convolutions that the choice puts into INT8.
        choice: the rest of the placement.
        frames: fitted (H, W, 3) BGR frames with gas.
        geometry: the network's input.

    Returns:
        Layer -> 0..1, the most harmful first.
    """

    def probabilities(graph: bytes, precision: Precision) -> NDArray[np.float32]:
        with open_graph(graph, geometry, precision) as segmenter:
            return np.stack(
                [segmenter.segment(frame[None]).score[0] for frame in frames], dtype=np.float32
            )

    truth = probabilities(fp32, Precision.FP32)
    harm: dict[str, float] = {}
    for layer in tqdm(layers, desc="damage by layer", unit="layer", delay=2):
        alone = Choice(
            stem=choice.stem,
            head=choice.head,
            concat=choice.concat,
            fp16=frozenset(layers) - {layer},
        )
        # FP32 around the pairs: rounding to FP16 would hide a small harm
        graph = quantized_graph(fp32, largest, alone, half=False)
        found = probabilities(graph, Precision.INT8)
        harm[layer] = float(np.abs(found - truth).mean() / 255)
    return dict(sorted(harm.items(), key=lambda item: -item[1]))
