"""Start the builder process, follow it, and when memory runs out try again with less.

A build that ran out of memory is repeated one rung lower: a lower optimisation level tries fewer
kernels, and less scratch memory leaves more for the rest. What was taken stands in the fingerprint.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from contract import errors
from contract.errors import EngineError, GasedgeError
from contract.machine import available_memory_mib
from export.build_progress import ProgressReader
from export.builder_process import MEMORY_SHORT
from export.builder_troubles import MemoryShortError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from export.builder_process import BuildTask
    from export.builder_settings import BuildRequest

__all__ = ["build_with_less_if_needed"]

log = logging.getLogger(__name__)

_LOWER_LEVELS = (1, 0)
_SMALLEST_WORKSPACE_MIB = 64
# Started with -I: nothing of the current folder or the environment is imported before the paths
# of this process are taken over.
_START = "import sys; sys.path[:] = {path!r}; from {entry} import main; main()"
_BAR = "{desc} {percentage:3.0f}% {elapsed} {postfix}"


def build_with_less_if_needed(
    task: BuildTask, request: BuildRequest, *, ladder: bool
) -> dict[str, Any]:
    """Run the task, going down the rungs while memory runs out.

    Args:
        task: all but its request and progress.
        request: what is wanted first.
        ladder: whether less may be tried.

    Raises:
        GasedgeError: what the builder raised; of memory, after the last rung.
    """
    rungs = [request, *(_lower(request) if ladder else ())]
    for number, rung in enumerate(rungs):
        try:
            return _run(replace(task, request=asdict(rung)), rung)
        except MemoryShortError as error:
            if number + 1 == len(rungs):
                raise
            less = rungs[number + 1]
            log.warning(
                "%s; trying again with optimisation level %d and a workspace of %d MiB",
                error,
                less.level,
                less.workspace_mib,
            )
    raise RuntimeError("no rung was tried")


def _lower(request: BuildRequest) -> Iterator[BuildRequest]:
    workspace = request.workspace_mib
    for level in _LOWER_LEVELS:
        if level < request.level:
            workspace = max(min(_SMALLEST_WORKSPACE_MIB, workspace), workspace // 2)
            yield replace(request, level=level, workspace_mib=workspace)


def _run(task: BuildTask, request: BuildRequest) -> dict[str, Any]:
    """Run the task in its own process and give its result, or raise what it raised."""
    free_mib = available_memory_mib()
    command = [
        sys.executable,
        "-I",
        "-c",
        _START.format(path=[p for p in sys.path if p], entry=task.entry),
    ]
    reading, writing = os.pipe()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(os.close, reading)
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            command,
            stdin=subprocess.PIPE,
            stdout=2,
            text=True,
            start_new_session=True,
            pass_fds=(writing,),
        )
        os.close(writing)
        cleanup.callback(process.wait)
        cleanup.callback(process.kill)  # after an interrupt; no effect when it has ended
        what = f"building the {request.precision} engine"
        bar = cleanup.enter_context(tqdm(desc=what, bar_format=_BAR, leave=False, disable=None))
        if process.stdin is None:
            raise RuntimeError("the builder process has no standard input")
        with contextlib.suppress(BrokenPipeError):  # it died at once: its code says how
            process.stdin.write(replace(task, progress=writing).as_json())
            process.stdin.close()
        progress = ProgressReader(reading, bar)
        while process.poll() is None:
            progress.wait(0.5)
            bar.refresh()
    try:
        result: dict[str, Any] = json.loads(Path(task.result).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _death(process.returncode, request, free_mib) from None
    if "error" in result:
        Path(task.result).unlink()
        if result["error"] == MEMORY_SHORT:
            raise MemoryShortError(result["message"])
        kind: type[GasedgeError] = getattr(errors, result["error"])
        raise kind(result["message"])
    return result


def _death(code: int, request: BuildRequest, free_mib: int) -> EngineError:
    if code == -signal.SIGKILL:
        return MemoryShortError(
            "the engine builder was killed, as the kernel does when memory runs out "
            f"({free_mib} MiB were free, workspace {request.workspace_mib} MiB, optimisation level "
            f"{request.level}): end other programs, add swap, or give a smaller --workspace-mib"
        )
    if code < 0:
        name = signal.Signals(-code).name
        return EngineError(f"the engine builder crashed ({name}); its last messages stand above")
    return EngineError(f"the engine builder ended with code {code}; run again with --debug")
