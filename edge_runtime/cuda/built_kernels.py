"""Kernels compiled at engine-build time for a GPU that no shipped machine code fits.

They stand beside the engine as `NAME.sm_89.HASH.cubin`, and the engine's fingerprint holds their
hashes: what is loaded is what was compiled here. Without NVRTC the shipped PTX serves such a GPU;
its driver compiles that each time a process starts, and the fingerprint says so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from contract.atomic import move_file, sha256_of_bytes, write_bytes
from contract.errors import EngineMismatchError, IntegrityError, MissingPackageError
from edge_runtime.cuda.kernel_images import has_cubin, kernel_sources, sources_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from contract.fingerprint import Fingerprint

__all__ = ["build_kernels", "built_kernels", "take_kernels"]

_FIELD = "kernel_"  # of a fingerprint's builder, and the kernel's name behind it
_SOURCES = "kernels_of"
_SHORT = 12  # characters of the hash in a file's name

_log = logging.getLogger(__name__)


def build_kernels(folder: Path, compute_capability: str, cuda_major: int) -> dict[str, str]:
    """Compile every kernel for a GPU, into `folder`, unless machine code for it is shipped.

    Args:
        folder: of the engine.
        compute_capability: of the GPU, "8.9".
        cuda_major: that its driver serves; what a newer NVRTC compiles it would not load.

    Returns:
        What the engine's fingerprint is to hold among its builder's settings.

    Raises:
        EngineError: when a kernel does not compile.
        GasedgeError: when the disk refuses.
    """
    if has_cubin(compute_capability):
        return {"kernels": "shipped"}
    from edge_runtime.cuda.nvrtc import find_nvrtc

    number = int(compute_capability.replace(".", ""))
    try:
        known = [
            each
            for each in find_nvrtc()
            if number in each.architectures and int(each.version.partition(".")[0]) <= cuda_major
        ]
        missing = (
            f"no NVRTC here knows compute capability {compute_capability} and is of CUDA "
            f"{cuda_major}, as this GPU's driver, or older"
        )
    except MissingPackageError as error:
        known, missing = [], str(error)
    if not known:
        _log.warning("%s: the driver will compile the shipped PTX at each start", missing)
        return {"kernels": "shipped PTX"}
    said = {"kernels": f"NVRTC {known[0].version}", _SOURCES: sources_sha256()}
    for name, source in kernel_sources().items():
        image = known[0].compile(source.read_text(encoding="utf-8"), f"sm_{number}")
        digest = sha256_of_bytes(image)
        said[_FIELD + name] = f"{name}.sm_{number}.{digest}"
        write_bytes(folder / _file(said[_FIELD + name]), image)
    return said


def built_kernels(engine: Path, fingerprint: Fingerprint) -> dict[str, bytes]:
    """Images of the kernels that were compiled with an engine, by name; none where none were.

    Raises:
        EngineMismatchError: when they are of other sources than this gasedge's.
        IntegrityError: when one is missing or is not what was compiled.
    """
    images = {}
    recorded_kernels = _recorded(fingerprint)
    if recorded_kernels and fingerprint.builder.get(_SOURCES) != sources_sha256():
        raise EngineMismatchError(
            f"{engine}: its kernels were compiled for another version of gasedge; run gasedge "
            "build-engine on this machine"
        )
    for name, recorded in recorded_kernels.items():
        path = engine.parent / _file(recorded)
        try:
            images[name] = path.read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"{path}: cannot be read ({error.strerror}); run gasedge build-engine on this "
                "machine"
            ) from error
        if sha256_of_bytes(images[name]) != recorded.rpartition(".")[2]:
            raise IntegrityError(
                f"{path}: is not the kernel that was compiled with {engine.name}; run gasedge "
                "build-engine on this machine"
            )
    return images


def take_kernels(folder: Path, fingerprint: Fingerprint, into: Path) -> None:
    """Move the kernels that were compiled with an engine to where the engine is about to go.

    Raises:
        GasedgeError: when the disk refuses.
    """
    for recorded in _recorded(fingerprint).values():
        move_file(folder / _file(recorded), into / _file(recorded))


def _recorded(fingerprint: Fingerprint) -> Mapping[str, str]:
    return {
        field[len(_FIELD) :]: str(value)
        for field, value in fingerprint.builder.items()
        if field.startswith(_FIELD)
    }


def _file(recorded: str) -> str:
    """File name of what a fingerprint records: its hash is shortened."""
    name, _, digest = recorded.rpartition(".")
    return f"{name}.{digest[:_SHORT]}.cubin"
