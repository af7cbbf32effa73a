"""Child processes that cannot outlive their parent, started without the current folder on the path.

A child that lived on after its parent was killed could go on serving values that nobody renews.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys

__all__ = ["SETTINGS", "die_with_parent", "end_group", "python_command"]

_log = logging.getLogger(__name__)

SETTINGS = "settings.json"
"""File in which the parent of `gasedge run` keeps what it read, for its children."""
_KILL_PATIENCE_S = 5.0
_PR_SET_PDEATHSIG = 1  # linux/prctl.h

# `-m` and `-c` put the current folder first: a stranger's contract.py there must not be ours.
# So the child looks for modules where this process, whose order is set, does. The tie to the parent
# comes before the imports, which take seconds on a small board.
_START = (
    "import sys; sys.path[:] = {path!r}; "
    "from edge_runtime.child_process import die_with_parent; die_with_parent({parent}); "
    "import importlib; sys.exit(importlib.import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
)


def python_command(module: str, *arguments: str) -> list[str]:
    """Command line that runs `main(arguments)` of one of our modules in a new interpreter.

    The child ends when the thread that starts it ends, however that comes about.
    """
    start = _START.format(path=[entry for entry in sys.path if entry], parent=os.getpid())
    return [sys.executable, "-c", start, module, *arguments]


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends.

    Args:
        parent: process id of the expected parent; when it is gone already, this process ends.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end_group(process: subprocess.Popen[bytes], *, patience_s: float = 0.0) -> None:
    """End a child that leads its own process group, and all that it started.

    Args:
        process: started with `start_new_session=True`.
        patience_s: how long SIGTERM may take before SIGKILL; 0 kills at once.
    """
    if patience_s > 0 and process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
    _signal_group(process, signal.SIGKILL)
    try:
        process.wait(_KILL_PATIENCE_S)
    except subprocess.TimeoutExpired:
        _log.error("process %d hangs in the kernel and cannot be killed; left behind", process.pid)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the group may be empty
        os.killpg(process.pid, number)
