"""What keeps an engine from being built: each trouble its own message, with the remedy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract.errors import EngineError
from contract.machine import available_memory_mib

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contract.machine import Machine
    from contract.tensorrt_api import TensorRT
    from export.builder_settings import BuildRequest

__all__ = [
    "MemoryShortError",
    "build_error",
    "parse_error",
    "require_driver",
    "require_served_gpu",
]

# TensorRT reports a tactic that did not fit into memory as one that does not exist.
_MEMORY = (
    "out of memory",
    "OutOfMemory",
    "bad_alloc",
    "Could not find any implementation for node",
)
_OPERATORS = (
    "No importer registered",
    "UNSUPPORTED_NODE",
    "unsupported operator",
    "Plugin not found",
)
_INT8_CONSTANT = "invalid weights type of Int8"  # a constant layer of TensorRT 8
_LISTED = 5


class MemoryShortError(EngineError):
    """The builder ran out of memory; a lower optimisation level may do with less."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What TensorRT says of one trouble, what it is, and what helps."""

    signs: tuple[str, ...]
    what: str
    remedy: str


_TROUBLES = (
    _Trouble(
        ("CUDA initialization failure", "no CUDA-capable device", "CUDA driver version is"),
        "gets no answer from the NVIDIA driver",
        "see what gasedge doctor says of the driver; in a container add the NVIDIA runtime",
    ),
    _Trouble(
        ("Unsupported SM", "SM is not supported", "no kernel image is available", "not support SM"),
        "does not serve this GPU's compute capability",
        "install a TensorRT that was made for this GPU (gasedge doctor names both)",
    ),
)
_DLA = _Trouble(
    ("DLA",),
    "cannot put this graph on the DLA",
    "leave --dla out, or build with --dla --fp16",
)


def parse_error(found: TensorRT, faults: Sequence[str], logged: Sequence[str] = ()) -> EngineError:
    """The graph cannot be read: which node, and what helps.

    Args:
        found: that read it.
        faults: its parser's own, which may name a node and no reason.
        logged: errors that it logged meanwhile.
    """
    constants = [each for each in logged if _INT8_CONSTANT in each and each not in faults]
    text = "; ".join([*(faults or logged), *constants][:_LISTED]) or "it gave no reason"
    remedy = "export the network anew with this gasedge"
    if _INT8_CONSTANT in text:
        remedy = (
            "its weights are stored as INT8, which TensorRT 8 does not take: calibrate the bundle "
            "anew with this gasedge"
        )
    elif any(sign in text for sign in _OPERATORS):
        remedy = (
            "this TensorRT does not know the operator: export the network anew with this gasedge, "
            "or build with the TensorRT of a newer JetPack"
        )
    return EngineError(f"{found.label} cannot read this graph: {text}; {remedy}")


def build_error(found: TensorRT, errors: Sequence[str], request: BuildRequest) -> EngineError:
    """The graph was read but no engine came of it: why, and what helps."""
    text = "; ".join(errors[-_LISTED:]) or "it gave no reason"
    if signs := [sign for sign in _MEMORY if sign in text]:
        return MemoryShortError(
            f"{found.label} ran out of memory while building ({signs[0]!r}; "
            f"{available_memory_mib()} MiB are free now, workspace {request.workspace_mib} MiB, "
            f"optimisation level {request.level}): end other programs, add swap, or give a smaller "
            "--workspace-mib or --optimization-level. It said: " + text
        )
    if request.strip and found.is_rtx and "CUDA" in text:
        return EngineError(
            "--strip: TensorRT for RTX leaves weights out only where it finds a GPU: build with "
            f"one, or without --strip. It said: {text}"
        )
    for trouble in (_DLA,) * request.dla + _TROUBLES:
        if any(sign in text for sign in trouble.signs):
            return EngineError(f"{found.label} {trouble.what}: {trouble.remedy}. It said: {text}")
    return EngineError(f"{found.label} could not build this graph: {text}")


def require_driver(machine: Machine) -> None:
    """Refuse a Jetson whose driver does not answer: an engine for another GPU is no use to it.

    Raises:
        EngineError: saying what was found.
    """
    if machine.gpu is None and machine.l4t is not None:
        raise EngineError(
            f"this is a Jetson (L4T {machine.l4t}) but {machine.gpu_note}: in a container start it "
            "with --runtime nvidia; else install JetPack's driver anew and reboot"
        )


def require_served_gpu(found: TensorRT, capability: str | None) -> None:
    """Refuse a GPU that TensorRT for RTX has no kernels for; TensorRT says it by itself.

    Args:
        found: the TensorRT to build with.
        capability: compute capability of this machine's GPU, "8.7"; None where there is none.

    Raises:
        EngineError: naming what it serves.
    """
    if not found.is_rtx or capability is None:
        return
    known = [name for name in found.module.ComputeCapability.__members__ if name.startswith("SM")]
    if f"SM{capability.replace('.', '')}" not in known:
        served = ", ".join(f"{name[2:-1]}.{name[-1]}" for name in known)
        raise EngineError(
            f"{found.label} serves compute capability {served}; this GPU has {capability}: build "
            "with TensorRT itself, without --rtx"
        )
