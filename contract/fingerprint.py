"""What an engine was built from and for: the file beside it that says where it may be loaded.

An engine is executable code. It is built on the machine that runs it, its bytes are checked
against this fingerprint before they reach TensorRT, and any differing field means: build anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.errors import IntegrityError
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["ENGINE_SUFFIX", "Fingerprint", "fingerprint_path", "read_fingerprint"]

ENGINE_SUFFIX = ".engine"


class Fingerprint(BaseModel):
    """Everything that an engine depends on, and the hash of its own bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    model_id: str
    precision: Precision
    graph_sha256: str
    engine_sha256: str
    engine_bytes: int
    tensorrt: str  # module and version, "tensorrt 10.3.0" or "tensorrt_rtx 1.7.1"
    gpu_name: str | None  # None: built ahead of time with no GPU
    compute_capability: str | None  # "8.7"
    driver: str | None
    l4t: str | None  # Jetson Linux release, "36.4.3"
    builder: dict[str, str | int | float | bool]
    built_at: str  # ISO 8601, UTC

    @property
    def built_graph_sha256(self) -> str | None:
        """Of the file that TensorRT read: an older one reads the graph in an older opset."""
        found = self.builder.get("graph_sha256")
        return None if found is None else str(found)

    def differences(self, here: Mapping[str, str | None]) -> list[str]:
        """Fields that differ, as "field: built for X, here is Y".

        Args:
            here: by field, what this machine and the bundle have.
        """
        return [
            f"{field}: built for {getattr(self, field)}, here is {value}"
            for field, value in here.items()
            if getattr(self, field) != value
        ]


def fingerprint_path(engine: Path) -> Path:
    """The fingerprint's place beside its engine."""
    return engine.with_suffix(engine.suffix + ".json")


def read_fingerprint(engine: Path) -> Fingerprint:
    """Read the fingerprint that stands beside an engine file.

    Raises:
        IntegrityError: when it is missing or broken.
    """
    path = fingerprint_path(engine)
    try:
        return Fingerprint.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise IntegrityError(
            f"{engine}: has no fingerprint {path.name} beside it; engines are never loaded "
            "without: run gasedge build-engine on this machine"
        ) from error
    except (OSError, ValidationError) as error:
        says = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error.strerror
        raise IntegrityError(f"{path}: is not a fingerprint ({says}); build anew") from error
