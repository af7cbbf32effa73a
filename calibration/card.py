"""The calibration card: from which frames the INT8 graph came, how, and how well it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.bundle import CARD
from contract.calibrated_ranges import RANGES
from contract.errors import InputError
from contract.precision import Precision
from contract.scores import Scores

if TYPE_CHECKING:
    from contract.bundle import Bundle

__all__ = [
    "Agreement",
    "Apart",
    "Attempt",
    "Card",
    "FrameHash",
    "GreyCard",
    "LayerCost",
    "MethodResult",
    "Mix",
    "card_of",
]

_Forbid = ConfigDict(frozen=True, extra="forbid")


class FrameHash(BaseModel):
    """One picture by name and by the SHA-256 of its shape and decoded pixels."""

    model_config = _Forbid

    name: str
    sha256: str


class GreyCard(BaseModel):
    """A `contract.grey_histogram.GreyReference`: what a device compares its pictures with."""

    model_config = _Forbid

    shares: tuple[float, ...]
    spread: float


class Mix(BaseModel):
    """What the frames show; a set of one kind of light or without gas gives one-sided ranges."""

    model_config = _Forbid

    frames: int
    chosen_from: int  # pictures in the folder or list
    plumes_by: str  # "masks" or "FP32 network": what says where the plumes are
    with_gas: int
    thin: int  # with a plume that is small or faint, as `calibration.selection` has it
    gas_share: float  # of all pixels
    plume_sizes: tuple[int, ...]  # frames between each two of contract.plume_scores.PLUME_EDGES
    grey: int  # frames whose channels are alike, as an infrared camera's are
    night: int  # dark frames that are not grey
    brightness: tuple[float, float, float]  # darkest, median, brightest mean grey level, 0..255
    grey_levels: tuple[int, ...]  # frames by mean grey level, in bins of equal width over 0..255
    greys: GreyCard | None = None  # None on cards of before: a device then cannot tell its distance
    views: int  # scenes by the folder's index, or views that do not resemble each other
    views_by: str  # "index" or "likeness"


class Apart(BaseModel):
    """A set that shares no picture and, unless one camera gave all, no view with the others."""

    model_config = _Forbid

    name: str
    pictures: tuple[FrameHash, ...]


class Agreement(BaseModel):
    """Share of pixels in which two ways of running the network differ."""

    model_config = _Forbid

    of: str
    against: str
    mean: float
    worst: float
    frames: int


class MethodResult(BaseModel):
    """One way to take ranges, tried on the control set with every layer that may be in INT8."""

    model_config = _Forbid

    method: str
    gas_iou: float | None
    iou_drop: float  # FP32 minus INT8, gas-smoke


class Attempt(BaseModel):
    """One set of layers in FP16, tried on the control set while the budget was sought."""

    model_config = _Forbid

    fp16: tuple[str, ...]
    iou_drop: float


class LayerCost(BaseModel):
    """One convolution, named by its output in the FP32 graph."""

    model_config = _Forbid

    name: str
    precision: Precision
    reason: str  # why it is not INT8: "stem", "head", "budget"; empty where it is
    damage: float | None = None  # mean change of the gas probability with it alone in INT8, 0..1
    iou_drop_in_int8: float | None = None  # the set's loss if this one went back to INT8


class Card(BaseModel):
    """`calibration/card.json`."""

    model_config = _Forbid

    schema_version: int = 2
    model_id: str
    made_at: str  # ISO 8601, UTC
    machine: str
    tools: dict[str, str]
    fp32_sha256: str
    int8_sha256: str
    method: str  # whose ranges stand in the graph
    methods: tuple[MethodResult, ...]  # all that were tried, the chosen one among them
    seed: int  # which frames were drawn when the folder held more than were asked for
    concat: str  # "shared" or "separate"
    frames: tuple[FrameHash, ...]  # in the order they ran
    mix: Mix
    ranges: str = RANGES
    layers: tuple[LayerCost, ...]  # every convolution, in the order of the graph
    attempts: tuple[Attempt, ...] = ()  # until the budget held
    control: tuple[FrameHash, ...]
    apart: tuple[Apart, ...] = ()
    one_camera: bool  # True: all sets may show one view, only equal pictures were looked for
    max_iou_drop: float  # the budget for gas-smoke IoU, FP32 minus INT8
    iou_drop: float
    scores: dict[Precision, Scores]  # on the control set
    agreement: tuple[Agreement, ...]

    @property
    def convolutions_int8(self) -> int:
        """How many convolutions run in INT8."""
        return sum(layer.precision is Precision.INT8 for layer in self.layers)

    @property
    def kept_for_budget(self) -> tuple[LayerCost, ...]:
        """Layers that stayed in FP16 because INT8 lost too much with them."""
        return tuple(layer for layer in self.layers if layer.reason == "budget")


def card_of(bundle: Bundle) -> Card:
    """Read a bundle's card.

    Raises:
        IntegrityError: when the bundle holds none or it was changed.
        InputError: when it is of an older gasedge.
    """
    try:
        return Card.model_validate_json(bundle.read(CARD))
    except ValidationError as error:
        raise InputError(
            f"{bundle.path}: its {CARD} cannot be read ({error.errors()[0]['msg']}); an older "
            "gasedge may have written it: calibrate the bundle anew"
        ) from error
