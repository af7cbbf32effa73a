"""The compiled kernels that are shipped: which file serves which GPU, and that they are current.

`scripts/build_kernels` compiles each `kernels/*.cu` for the device classes and keeps the images in
`cubins/` with the hash of the source, so that a device needs no compiler.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from contract.atomic import sha256_of_bytes, sha256_of_file
from contract.errors import EngineError, IntegrityError

__all__ = [
    "CUBINS",
    "INDEX",
    "TARGETS",
    "Index",
    "KernelImage",
    "check_images",
    "has_cubin",
    "image_for",
    "kernel_sources",
    "sources_sha256",
]

CUBINS = Path(__file__).parent / "cubins"
INDEX = CUBINS / "index.json"
_SOURCES = Path(__file__).parent / "kernels"

# Orin, H100 and Thor get machine code; PTX, which the driver compiles, serves the rest.
TARGETS = ("sm_87", "sm_90", "sm_110", "compute_75")


class KernelImage(BaseModel):
    """One compiled kernel file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str  # in CUBINS
    target: str
    nvrtc: str  # version of the compiler: the driver must be as new, within a major version
    sha256: str


class Index(BaseModel):
    """`cubins/index.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: dict[str, str]  # kernel name -> SHA-256 of its source
    images: dict[str, tuple[KernelImage, ...]]  # kernel name -> its images


def kernel_sources() -> dict[str, Path]:
    """Source file of every kernel, by kernel name."""
    return {path.stem: path for path in sorted(_SOURCES.glob("*.cu"))}


def sources_sha256() -> str:
    """Of all kernels' sources: an image of others may take other arguments."""
    hashes = [f"{name} {sha256_of_file(path)}" for name, path in kernel_sources().items()]
    return sha256_of_bytes("\n".join(hashes).encode())


def has_cubin(compute_capability: str) -> bool:
    """Whether machine code for such a GPU is shipped, and not only PTX.

    Raises:
        EngineError: when the GPU is too old for every image.
    """
    index = Index.model_validate_json(INDEX.read_bytes())
    return all(
        _choose(images, compute_capability).target.startswith("sm_")
        for images in index.images.values()
    )


def image_for(kernel: str, compute_capability: str) -> bytes:
    """The image of a kernel that a GPU can run: its cubin, else PTX.

    Args:
        kernel: name of the kernel and of its source.
        compute_capability: of the GPU, "8.7".

    Raises:
        EngineError: when the GPU is too old for every image.
        IntegrityError: when the image on disk is not the one that was shipped.
    """
    index = Index.model_validate_json(INDEX.read_bytes())
    chosen = _choose(index.images[kernel], compute_capability)
    data = (CUBINS / chosen.file).read_bytes()
    if sha256_of_file(CUBINS / chosen.file) != chosen.sha256:
        raise IntegrityError(f"{CUBINS / chosen.file}: was changed; install gasedge again")
    return data


def check_images() -> list[str]:
    """What is wrong with the shipped images: missing, changed or of an older source."""
    index = Index.model_validate_json(INDEX.read_bytes())
    faults = []
    for kernel, path in kernel_sources().items():
        if index.sources.get(kernel) != sha256_of_file(path):
            faults.append(f"{kernel}: its images are of another source; run scripts/build_kernels")
        images = {image.target: image for image in index.images.get(kernel, ())}
        for target in TARGETS:
            image = images.get(target)
            if image is None or not (CUBINS / image.file).is_file():
                faults.append(f"{kernel}: has no image for {target}; run scripts/build_kernels")
            elif sha256_of_file(CUBINS / image.file) != image.sha256:
                faults.append(f"{image.file}: is not the image that was built")
    return faults


def _choose(images: tuple[KernelImage, ...], compute_capability: str) -> KernelImage:
    """A cubin runs on its own GPU, PTX on all newer ones.

    Within a major version NVIDIA promises newer GPUs to run a cubin too, but not from or to Tegra
    (CUDA C++ Programming Guide, Binary Compatibility), which most of these targets are.
    """
    major, minor = (int(part) for part in compute_capability.split("."))
    fitting: list[tuple[bool, KernelImage]] = []
    for image in images:
        kind, _, number = image.target.partition("_")
        built_major, built_minor = divmod(int(number), 10)
        if kind == "sm" and (built_major, built_minor) == (major, minor):
            fitting.append((True, image))
        elif kind == "compute" and (built_major, built_minor) <= (major, minor):
            fitting.append((False, image))
    if not fitting:
        targets = ", ".join(image.target for image in images)
        raise EngineError(
            f"this GPU has compute capability {compute_capability}; the kernels are built for "
            f"{targets}: a GPU of 7.5 or newer is needed"
        )
    return max(fitting, key=lambda each: each[0])[1]
