"""Measure how pictures go to this GPU fastest, in a process that a fault of the GPU may end."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contract.machine import Machine
    from edge_runtime.cuda.transfer_choice import TransferMeasurement

__all__ = ["probe_transfer"]

_TIMEOUT_S = 120.0  # a driver that compiles the kernels for a new GPU takes its time


def probe_transfer(machine: Machine) -> TransferMeasurement | str:
    """The measurement on the machine's GPU, or one line on why there is none."""
    if machine.gpu is None:
        return f"not measured: {machine.gpu_note}"
    from edge_runtime.child_process import python_command
    from edge_runtime.cuda.transfer_choice import TransferMeasurement

    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            python_command("edge_runtime.cuda.transfer_choice"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not measured: the GPU gave no answer within {_TIMEOUT_S:.0f} s"
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else "it said nothing"
        return f"not measured: the measuring process ended with {done.returncode} ({said})"
    return TransferMeasurement.model_validate_json(done.stdout)
