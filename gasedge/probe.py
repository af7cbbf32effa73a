"""Find out whether packages really work here: import them, in a process of their own.

What package metadata says is not enough (libraries may be missing), and a native library that
does not fit the machine may end the process that imports it.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Package", "Probe", "probe", "probe_all"]

_TIMEOUT_S = 120.0  # a first import of torch from a slow disk takes most of a minute

# Imports one module after the other and reports each at once, so that after a crash it is known
# which one it was. The current folder is no place to import from: a stranger's tensorrt.py may lie
# there. Native libraries may write to standard output, so the report goes through a copy of it.
_IMPORT = r"""
import sys
sys.path[:] = [p for p in sys.path if p]
import importlib, json, os
sys.modules["openvino_telemetry"] = None  # importing OpenVINO would report it over the network
report = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for module_name, attribute in json.loads(sys.argv[1]):
    version, says = None, ""
    try:
        module = importlib.import_module(module_name)
        version = getattr(module, "__version__", None)
        if attribute and not hasattr(module, attribute):
            says = f"has no {attribute}: its libraries are missing"
    except BaseException as error:
        says = f"{type(error).__name__}: {error}"
    print(json.dumps([version and str(version), says]), file=report, flush=True)
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Package:
    """What to install and what must then be importable."""

    distribution: str
    module: str
    attribute: str = ""  # that the module must have: a shell without its libraries has it not
    only_on: str | None = None  # machine architecture, "x86_64"


@dataclass(frozen=True, slots=True)
class Probe:
    """What importing one package gave."""

    package: Package
    version: str | None  # of the distribution, else what the module itself says
    works: bool
    says: str  # one line on the failure, "" when it works


def probe(packages: Sequence[Package]) -> list[Probe]:
    """Import packages one after the other in a new process; a missing one costs nothing."""
    found = {p: Probe(p, _version(p), works=False, says="not installed") for p in packages}
    left = [p for p in packages if _is_there(p.module)]
    while left:
        reports, ending = _import(left)
        for package, (version, says) in zip(left, reports, strict=False):
            known = _version(package) or version
            line = " ".join(says.split())
            found[package] = Probe(package, known, works=not says, says=line)
        left = left[len(reports) :]
        if left:  # the first that did not report ended the process
            found[left[0]] = Probe(left[0], _version(left[0]), works=False, says=ending)
            left = left[1:]
    return list(found.values())


def probe_all(groups: Iterable[Iterable[Package]]) -> dict[str, Probe]:
    """Probe groups of packages, two groups at a time; by distribution.

    A package that stands in several groups is probed in the first of them.
    """
    seen: set[Package] = set()
    work: list[list[Package]] = []
    for group in groups:
        work.append([package for package in group if package not in seen])
        seen.update(group)
    results: dict[str, Probe] = {}
    with ThreadPoolExecutor(2, thread_name_prefix="gasedge-probe") as pool:
        for each in tqdm(
            pool.map(probe, work), total=len(work), desc="import", leave=False, delay=1.0
        ):
            results.update({p.package.distribution: p for p in each})
    return results


def _import(packages: Sequence[Package]) -> tuple[list[tuple[str | None, str]], str]:
    """Reports of those that could be tried, and how the process ended."""
    wanted = json.dumps([(p.module, p.attribute) for p in packages])
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter on a fixed program
            [sys.executable, "-c", _IMPORT, wanted],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return _lines(error.stdout), f"is not imported within {_TIMEOUT_S:.0f} s"
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return _lines(done.stdout), f"importing it ends the process ({how})"


def _lines(output: bytes | None) -> list[tuple[str | None, str]]:
    reports: list[Any] = [json.loads(line) for line in (output or b"").splitlines()]
    return [(version, says) for version, says in reports]


def _version(package: Package) -> str | None:
    try:
        return importlib.metadata.version(package.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _is_there(module: str) -> bool:
    """Whether the module's top package can be found; nothing is imported."""
    try:
        return importlib.util.find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):
        return False
