"""Choose the frames of the known-answer test: what a device must answer right before it may watch.

A test frame is worth something when a broken engine would get it wrong: gas must be seen in one of
them, and the network must be sure of nearly every pixel, so that an honest backend cannot differ.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from contract.errors import CheckError, InputError
from contract.label_map import GAS_SMOKE
from contract.simulated_scene import SimulatedScene

if TYPE_CHECKING:
    from contract.geometry import InputGeometry

__all__ = ["choose_golden", "simulated_frames"]

log = logging.getLogger(__name__)

Frames = NDArray[np.uint8]  # (N, H, W, 3) BGR, fitted

_WITH_GAS = 2
_WITHOUT_GAS = 2
_SEEN = 0.002  # share of the pixels from which gas counts as seen in a frame
_SIMULATED_SEED = 20260
_SIMULATED_PAIRS = 6
_FULL_PLUME = 40  # frames until the plume has spread


def simulated_frames(geometry: InputGeometry) -> Frames:
    """Simulated scenes in pairs with and without a plume, infrared-like and in colour."""
    frames = []
    for number in range(_SIMULATED_PAIRS):
        for plume in (True, False):
            scene = SimulatedScene(
                "gas" if number % 2 else "smoke",
                geometry.width,
                geometry.height,
                _SIMULATED_SEED + number,
                plume=plume,
            )
            frames.append(scene.frame(_FULL_PLUME)[0])
    return np.stack(frames)


def choose_golden(frames: Frames, probabilities: NDArray[np.float32]) -> list[int]:
    """Pick up to two frames with gas and two without, those of which the network is surest.

    Args:
        frames: (N, H, W, 3) candidates.
        probabilities: (N, 3, H, W) of the network for them.

    Returns:
        Positions of the chosen frames, in their order.

    Raises:
        InputError: when there is no candidate.
        CheckError: when the network sees gas in none of them: the test could not tell a blind
            engine from a working one.
    """
    if not len(frames):
        raise InputError("no golden frame was given")
    ranked = np.sort(probabilities, axis=1)
    unsure = (ranked[:, -1] - ranked[:, -2]).mean((1, 2)) * -1
    gas = (probabilities.argmax(1) == GAS_SMOKE).mean((1, 2))
    surest = [int(i) for i in np.argsort(unsure, kind="stable")]
    seeing = [i for i in surest if gas[i] >= _SEEN][:_WITH_GAS]
    clear = [i for i in surest if gas[i] < _SEEN][:_WITHOUT_GAS]
    if not seeing:
        raise CheckError(
            f"the network sees gas in none of the {len(frames)} golden candidates (at most "
            f"{gas.max():.2%} of the pixels), so a blind engine would pass the known-answer test; "
            "give frames in which it sees gas: gasedge export ... --golden DIR"
        )
    if not clear:
        log.warning("the network sees gas in every golden frame; add one without: --golden DIR")
    return sorted(seeing + clear)
