"""Find the ranges, and the layers in FP16, with which INT8 holds its budget on the control set."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from calibration.budget import hold_budget, holds
from calibration.card import MethodResult
from calibration.control_set import GAS, gas_iou
from calibration.frames import some, spread
from calibration.quantize import quantized_graph
from calibration.range_methods import METHODS
from calibration.sensitivity import damage_of_layers
from contract.pictures import fit_picture, read_picture
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from calibration.budget import Held
    from calibration.card import Attempt
    from calibration.control_set import ControlSet
    from calibration.placement import Choice, Placement
    from calibration.ranges import TensorRange
    from calibration.selection import Chosen
    from contract.geometry import InputGeometry

__all__ = ["AUTO", "Outcome", "Search"]

AUTO = "auto"
_RANKED_ON = 16  # frames that show the damage of a layer
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where the search ended."""

    method: str
    largest: Mapping[str, float]  # by tensor, of that method
    methods: tuple[MethodResult, ...]
    choice: Choice
    iou_drop: float
    damage: Mapping[str, float] = field(default_factory=dict)  # by layer, where it was asked
    in_int8: Mapping[str, float] = field(default_factory=dict)
    attempts: tuple[Attempt, ...] = ()
    refusal: str = ""  # why the budget is not held, where it is not


class Search:
    """One network, its ranges and the set that judges.

    Args:
        fp32: bytes of the FP32 deploy graph.
        geometry: its input.
        watched: what its activations carry.
        placement: with every layer in INT8 that may be.
        choice: the rest of the placement.
        control: the set that judges.
        half: whether the graph with FP16 around its pairs is tried, or that of opset 17.
    """

    def __init__(
        self,
        fp32: bytes,
        geometry: InputGeometry,
        watched: Mapping[str, TensorRange],
        placement: Placement,
        choice: Choice,
        control: ControlSet,
        *,
        half: bool,
    ) -> None:
        self._fp32, self._geometry, self._watched = fp32, geometry, watched
        self._placement, self._choice, self._control, self._half = placement, choice, control, half

    def run(self, method: str, budget: float, frames: Chosen) -> Outcome:
        """Try the method, or all, and then layers in FP16 where that is needed.

        Args:
            method: one of METHODS or "auto".
            budget: the most gas-smoke IoU that INT8 may lose.
            frames: of the calibration, some of which rank the layers.

        Returns:
            What holds the budget; or, with its refusal, the best method with every layer in INT8.
        """
        truth = gas_iou(self._control.scores_of(self._fp32, Precision.FP32))
        tried: list[MethodResult] = []
        for each in METHODS if method == AUTO else (method,):
            drop = truth - self._iou(self._largest(each), self._choice)
            tried.append(MethodResult(method=each, gas_iou=truth - drop, iou_drop=drop))
            _log.info("ranges by %s: gas-smoke IoU %+.4f against FP32", each, -drop)
        best = min(tried, key=lambda result: result.iou_drop)
        largest = self._largest(best.method)
        outcome = Outcome(best.method, largest, tuple(tried), self._choice, best.iou_drop)
        if holds(best.iou_drop, budget):
            return outcome
        _log.info(
            "INT8 loses %.4f, the budget is %.4f: looking for the layers", best.iou_drop, budget
        )
        damage = damage_of_layers(
            self._fp32,
            largest,
            self._placement.convolutions,
            self._choice,
            self._with_gas(frames),
            self._geometry,
        )
        held = hold_budget(
            lambda fp16: truth - self._iou(largest, replace(self._choice, fp16=fp16)),
            list(damage),
            budget,
            at_first=best.iou_drop,
        )
        if not held.holds:
            refusal = self._refusal(best, held, truth, budget, method)
            return replace(outcome, damage=damage, attempts=held.attempts, refusal=refusal)
        return replace(
            outcome,
            choice=replace(self._choice, fp16=held.fp16),
            iou_drop=held.iou_drop,
            damage=damage,
            in_int8=held.in_int8,
            attempts=held.attempts,
        )

    def _largest(self, method: str) -> dict[str, float]:
        return {name: each.covering(method) for name, each in self._watched.items()}

    def _iou(self, largest: Mapping[str, float], choice: Choice) -> float:
        graph = quantized_graph(self._fp32, largest, choice, half=self._half)
        return gas_iou(self._control.scores_of(graph, Precision.INT8))

    def _with_gas(self, frames: Chosen) -> list[NDArray[np.uint8]]:
        """A few calibration frames, from those with the smallest plume to the largest."""
        areas = [plume.area for plume in frames.plumes]
        order = [int(at) for at in np.argsort(areas, kind="stable") if areas[at] > 0]
        order = order or list(range(len(areas)))
        files = [frames.frames[order[at]].path for at in spread(len(order), _RANKED_ON)]
        return [fit_picture(read_picture(file), self._geometry) for file in files]

    def _refusal(
        self, best: MethodResult, held: Held, truth: float, budget: float, method: str
    ) -> str:
        other = "" if method == AUTO else ", try --method auto"
        return (
            f"INT8 loses {best.iou_drop:.4f} of {GAS} IoU on {len(self._control.pictures)} "
            f"control images (FP32 {truth:.4f}), and still {held.iou_drop:.4f} with "
            f"{len(held.fp16)} of {len(self._placement.convolutions)} convolutions in FP16 "
            f"({some(sorted(held.fp16))}); the budget is {budget:.4f}; the bundle is unchanged: "
            f"give more and more varied frames{other}, run FP16, or accept it with "
            f"--max-iou-drop {np.ceil(best.iou_drop * 1000) / 1000:.3f}"
        )
