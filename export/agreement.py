"""Does a deploy graph say what its network says? If not, nothing is exported.

A graph computes in another order and, at FP16, with 11 significant bits, so where the network
itself is undecided between two classes the graph may decide otherwise. Anywhere else a difference
is a fault. A pixel is *wrong* when

* its gas probability is off by more than the bound, or
* its class differs, and the network gives that class less than its own by more than the bound.

The bounds, in probability: FP32 2/255, which is half a level of rounding the score and room for
sums in another order (about 1e-5). FP16 0.04: on a U-Net with ResNet-18 at 256x256 and real
pictures the largest difference seen was 0.013, and networks with larger activations need room. At
FP32 no pixel may be wrong, at FP16 one in a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from contract.errors import CheckError
from contract.label_map import GAS_SMOKE
from contract.packages import need
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contract.segmenter import Segmentation
    from train.networks.frame_network import FrameNetwork

__all__ = ["Agreement", "agreement", "network_probabilities", "require_agreement"]

_BOUND = {Precision.FP32: 2 / 255, Precision.FP16: 0.04}
_ALLOWED = {Precision.FP32: 0.0, Precision.FP16: 1e-3}


@dataclass(frozen=True, slots=True)
class Agreement:
    """How one frame's graph result stands against the network; shares are of the frame's pixels."""

    wrong: float
    differing: float  # any difference of class
    undecided: float  # the network's two best classes lie within the bound
    largest: float  # difference of gas probability


def network_probabilities(network: FrameNetwork, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Class probabilities of the torch network, (N, 3, H, W), for (N, H, W, 3) uint8 frames.

    Raises:
        CheckError: when the network gives values that are not finite.
    """
    torch = need("torch", extra="train")
    with torch.no_grad():
        logits = (network(torch.from_numpy(frame[None])).float() for frame in frames)
        parts = [network.probabilities(each) for each in logits]
    probabilities: NDArray[np.float32] = torch.cat(parts).numpy()
    if not np.isfinite(probabilities).all():
        raise CheckError("the network gives values that are not numbers; train it anew")
    return probabilities


def agreement(
    probabilities: NDArray[np.float32],
    mask: NDArray[np.uint8],
    score: NDArray[np.uint8],
    precision: Precision,
) -> Agreement:
    """Compare one frame.

    Args:
        probabilities: (3, H, W) of the network.
        mask: (H, W) class index of the graph.
        score: (H, W) gas-smoke probability of the graph, 0..255.
        precision: of the graph; sets the bound.
    """
    bound = _BOUND[precision]
    if mask.max(initial=0) >= len(probabilities):
        return Agreement(1.0, 1.0, 0.0, 1.0)
    ranked = np.sort(probabilities, axis=0)
    own = probabilities.argmax(0)
    chosen = np.take_along_axis(probabilities, mask[None].astype(np.intp), 0)[0]
    off = np.abs(score / 255 - probabilities[GAS_SMOKE])
    wrong = (off > bound) | ((own != mask) & (ranked[-1] - chosen > bound))
    return Agreement(
        wrong=float(wrong.mean()),
        differing=float((own != mask).mean()),
        undecided=float((ranked[-1] - ranked[-2] <= bound).mean()),
        largest=float(off.max()),
    )


def require_agreement(
    probabilities: NDArray[np.float32],
    result: Segmentation,
    precision: Precision,
    names: Sequence[str],
) -> list[Agreement]:
    """Compare all frames, or refuse.

    Args:
        probabilities: (N, 3, H, W) of the network.
        result: of the graph, for the same frames.
        precision: of the graph.
        names: of the frames, for the message.

    Raises:
        CheckError: when a frame disagrees by more than is allowed: which, where and by how much.
    """
    found = []
    rows = zip(names, probabilities, result.mask, result.score, strict=True)
    for name, truth, mask, score in rows:
        seen = agreement(truth, mask, score, precision)
        if seen.wrong > _ALLOWED[precision]:
            raise CheckError(
                f"the {precision} graph disagrees with its network on frame {name}: "
                f"{seen.wrong:.2%} of the pixels are wrong (allowed {_ALLOWED[precision]:.2%}), "
                f"{seen.differing:.2%} differ in class, gas probability by up to "
                f"{seen.largest:.3f} (bound {_BOUND[precision]:.3f}); nothing was exported"
            )
        found.append(seen)
    return found
