"""`calibration/trained_scales.json`: steps of int8 that a network was fine-tuned with.

A network that has learned with fake quantisation has learned with these steps; its calibration
takes them in place of what it would measure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contract.errors import InputError

if TYPE_CHECKING:
    from contract.bundle import Bundle

__all__ = ["TRAINED_SCALES", "TrainedScales", "trained_scales_of"]

TRAINED_SCALES = "calibration/trained_scales.json"


class TrainedScales(BaseModel):
    """Steps by activation, named as in the FP32 graph."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=1, ge=1, le=1)
    scales: dict[str, Annotated[float, Field(gt=0, lt=65504)]]

    def as_bytes(self) -> bytes:
        """The file's content."""
        return (self.model_dump_json(indent=1) + "\n").encode()


def trained_scales_of(bundle: Bundle) -> dict[str, float]:
    """Steps that the bundle's network was fine-tuned with; empty where it was not.

    Raises:
        IntegrityError: when the file was changed.
        InputError: when it is of another gasedge.
    """
    if TRAINED_SCALES not in bundle.manifest.files:
        return {}
    try:
        return TrainedScales.model_validate_json(bundle.read(TRAINED_SCALES)).scales
    except ValidationError as error:
        raise InputError(
            f"{bundle.path}: its {TRAINED_SCALES} cannot be read ({error.errors()[0]['msg']}); "
            "another gasedge may have written it: export the checkpoint anew"
        ) from error
