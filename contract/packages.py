"""Import heavy packages where they are needed, and say how to get the one that is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from typing import TYPE_CHECKING, Any

from contract.errors import MissingPackageError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["need", "versions_of"]

# What a package takes along where it is there, and we leave out. OpenVINO reports every import to
# its makers over the network, with a client id that it keeps in the home folder, unless it misses
# the first of these: a plant's device calls nobody. The second, a converter from other formats that
# nobody here uses, is half of the time that importing it takes.
_LEFT_OUT = {"openvino": ("openvino_telemetry", "openvino.tools.ovc")}


def need(module: str, *, extra: str) -> Any:
    """Import `module` or say which extra of gasedge brings it.

    Raises:
        MissingPackageError: when the module, or one that it needs, cannot be imported.
    """
    for other in _LEFT_OUT.get(module.partition(".")[0], ()):
        sys.modules.setdefault(other, None)  # type: ignore[arg-type] # None: not importable
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library is not here
        what = f"{module} cannot be imported here ({' '.join(str(error).split())})"
        how = f"install it with: pip install 'gasedge[{extra}]'"
        raise MissingPackageError(f"{what}; {how}") from error


def versions_of(distributions: Iterable[str]) -> dict[str, str]:
    """Versions of those of `distributions` that are installed, by distribution name."""
    found: dict[str, str] = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
