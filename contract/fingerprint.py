"""What an engine was built from and for: the file beside it that says where it may be loaded.

An engine is executable code. It is built on the machine that runs it, its bytes are checked
against this fingerprint before they reach TensorRT, and any differing field means: build anew. A
fingerprint that this device did not seal is a stranger's word, whatever it says.
"""

from __future__ import annotations

import contextlib
import hmac
import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from contract.atomic import move_file, sha256_of_file, write_text
from contract.built_here import seal
from contract.errors import GasedgeError, IntegrityError
from contract.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "ENGINE_SUFFIX",
    "Fingerprint",
    "announce_fingerprint",
    "fingerprint_path",
    "is_sealed_here",
    "read_fingerprint",
    "sealed",
    "settle_fingerprint",
]

ENGINE_SUFFIX = ".engine"
_NEXT = ".next"  # the fingerprint of an engine that is about to take its place


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
    seal: str = ""  # HMAC of the rest, under a secret of the device that built it

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


def sealed(fingerprint: Fingerprint) -> Fingerprint:
    """The fingerprint of an engine that was just built here, so that this device knows it again.

    Raises:
        ConfigError: when the secret of this device cannot be kept.
    """
    return fingerprint.model_copy(update={"seal": _seal_of(fingerprint)})


def is_sealed_here(fingerprint: Fingerprint) -> bool:
    """Whether this device built the engine, and the fingerprint is as it was then.

    Raises:
        ConfigError: when the secret of this device cannot be read.
    """
    return hmac.compare_digest(fingerprint.seal.encode(), _seal_of(fingerprint).encode())


def fingerprint_path(engine: Path) -> Path:
    """The fingerprint's place beside its engine."""
    return engine.with_suffix(engine.suffix + ".json")


def announce_fingerprint(engine: Path, fingerprint: Fingerprint) -> None:
    """Write the fingerprint of the engine that is about to be put at `engine`.

    An engine and its fingerprint are two files, which no file system replaces at once. Announced
    before the engine is put there and settled after, the pair is whole wherever it is cut off: see
    `read_fingerprint`.

    Raises:
        GasedgeError: when the disk refuses.
    """
    write_text(_next_path(engine), fingerprint.model_dump_json(indent=1) + "\n")


def settle_fingerprint(engine: Path) -> None:
    """Make the announced fingerprint the one of the engine, which has been put in its place."""
    with contextlib.suppress(FileNotFoundError):  # a reader was quicker
        move_file(_next_path(engine), fingerprint_path(engine))


def read_fingerprint(engine: Path) -> Fingerprint:
    """Read the fingerprint that stands beside an engine file.

    Where putting an engine in its place was cut off before its fingerprint followed, it is settled
    now: the announced one is taken when, and only when, it is of the very bytes that stand there.

    Raises:
        IntegrityError: when it is missing or broken.
    """
    announced = _next_path(engine)
    # OSError is told below, IntegrityError means that the pair that was is still whole
    with contextlib.suppress(IntegrityError, OSError):
        if announced.is_file() and engine.is_file():
            following = _read(announced, engine)
            if sha256_of_file(engine) == following.engine_sha256:
                with contextlib.suppress(OSError, GasedgeError):  # a disk that is read only
                    settle_fingerprint(engine)
                return following
    return _read(fingerprint_path(engine), engine)


def _seal_of(fingerprint: Fingerprint) -> str:
    # without defaults: a field that a later version adds leaves older engines what they are
    facts = fingerprint.model_dump(mode="json", exclude={"seal"}, exclude_defaults=True)
    return seal(json.dumps(facts, sort_keys=True).encode())


def _next_path(engine: Path) -> Path:
    own = fingerprint_path(engine)
    return own.with_suffix(_NEXT + own.suffix)


def _read(path: Path, engine: Path) -> Fingerprint:
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
