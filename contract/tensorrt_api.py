"""Which TensorRT is on this machine, and what its generation can do.

Three generations of one API are alive on plants' floors: 8.5 (weak typing, flags), 10 (strong
typing by choice) and 11 (strong typing only), and TensorRT for RTX beside them. Importing this
module imports none of them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from contract.errors import MissingPackageError

__all__ = ["TensorRT", "find_tensorrt"]

# The second name of RTX is what its bindings wheel calls itself without the front package.
_MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
_DLA_READS_PAIRS = 11  # generation


@dataclass(frozen=True, slots=True)
class TensorRT:
    """An imported TensorRT."""

    module: Any
    name: str  # "tensorrt" or "tensorrt_rtx"
    version: str

    @property
    def major(self) -> int:
        """Major version; TensorRT for RTX counts as the generation whose API it has, 11."""
        return 11 if self.is_rtx else int(self.version.split(".", maxsplit=1)[0])

    @property
    def is_rtx(self) -> bool:
        """Whether this is TensorRT for RTX, which builds without a GPU."""
        return self.name == "tensorrt_rtx"

    @property
    def dla_reads_pairs(self) -> bool:
        """Whether its DLA takes Q/DQ; up to 10 it takes INT8 by a calibration cache alone."""
        return self.major >= _DLA_READS_PAIRS

    @property
    def label(self) -> str:
        """Name and version as a fingerprint keeps them."""
        return f"{self.name} {self.version}"


def find_tensorrt(*, rtx: bool | None = None) -> TensorRT:
    """Import the TensorRT of this machine.

    Args:
        rtx: True for TensorRT for RTX only, False for TensorRT only, None for the first found.

    Raises:
        MissingPackageError: when none can be imported, with what each import said.
    """
    said: list[str] = []
    for module_name in _MODULES:
        name = module_name.removesuffix("_bindings")
        if rtx is not None and rtx != (name == "tensorrt_rtx"):
            continue
        try:
            module = importlib.import_module(module_name)
        except (ImportError, OSError, RuntimeError) as error:
            said.append(f"{module_name}: {error}")
            continue
        if hasattr(module, "Builder"):
            return TensorRT(module, name, str(module.__version__))
        said.append(f"{module_name}: has no Builder, its libraries are missing")
    raise MissingPackageError(
        "no TensorRT here (" + "; ".join(said) + "). On a Jetson it comes with JetPack; "
        "with an NVIDIA GPU: pip install 'gasedge[edge]'; to build engines with no GPU: "
        "pip install 'gasedge[rtx]'"
    )
