"""The manifest of a bundle: what the model is, how it was measured, and every file's hash."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from contract.geometry import InputGeometry
from contract.label_map import CLASSES, LabelClass
from contract.precision import Precision
from contract.scores import Scores

__all__ = ["FileEntry", "GoldenEntry", "Manifest", "MeasuredScores"]

_Forbid = ConfigDict(frozen=True, extra="forbid")


class FileEntry(BaseModel):
    """Hash and size of one file of the bundle."""

    model_config = _Forbid

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class MeasuredScores(BaseModel):
    """Scores together with what they were measured on: a score without its data is no score."""

    model_config = _Forbid

    precision: Precision
    backend: str
    data: str  # the data set and the split
    disjoint_from: str  # what it shares no image with: "training and calibration", or "not checked"
    scores: Scores


class GoldenEntry(BaseModel):
    """One frame of the known-answer test; its files are golden/<name>.frame.png and so on."""

    model_config = _Forbid

    name: str = Field(pattern=r"^[a-z0-9-]+$")

    @property
    def frame(self) -> str:
        """File of the fitted (H, W, 3) BGR frame."""
        return f"golden/{self.name}.frame.png"

    def mask(self, precision: Precision) -> str:
        """File of the (H, W) class indices that this precision must give."""
        return f"golden/{self.name}.{precision}.mask.png"


class Manifest(BaseModel):
    """`manifest.json`."""

    model_config = _Forbid

    schema_version: int = Field(default=1, ge=1, le=1)
    model_id: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    created_at: str  # ISO 8601, UTC
    classes: tuple[LabelClass, ...] = CLASSES
    input: InputGeometry
    training: dict[str, str | int | float | bool | None]  # what, how long, on what
    scores: tuple[MeasuredScores, ...] = ()
    golden: tuple[GoldenEntry, ...] = ()
    golden_tolerance: dict[
        Precision, Annotated[float, Field(ge=0, le=1)]
    ] = {}  # largest share of pixels that may differ
    tools: dict[str, str]  # distribution -> version
    # a device that has run a bundle takes none with a lower one any more
    rollback_counter: int = Field(default=0, ge=0)
    signing_key: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$")  # id of the key
    files: dict[str, FileEntry]
