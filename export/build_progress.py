"""How far the builder is: TensorRT 10 and later tell it, over a pipe to the parent process."""

from __future__ import annotations

import contextlib
import json
import os
import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["ProgressReader", "progress_monitor"]

_READ = 1 << 16


def progress_monitor(trt: Any, pipe: int) -> Any:
    """A monitor that writes TensorRT's outermost phase to `pipe`; None where it tells none."""
    if not hasattr(trt, "IProgressMonitor"):
        return None

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._outermost = ""

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase or not self._outermost:
                self._outermost = phase_name
                self._tell(phase=phase_name, of=num_steps, done=0)
            else:
                self._tell(inner=phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name == self._outermost:
                self._tell(done=step + 1)
            return True

        def phase_finish(self, phase_name: str) -> None:
            if phase_name == self._outermost:
                self._outermost = ""

        def _tell(self, **facts: str | int) -> None:
            with contextlib.suppress(OSError):  # nobody reads any more, or the pipe is full
                os.write(pipe, json.dumps(facts).encode() + b"\n")

    return Monitor()


class ProgressReader:
    """Shows what arrives on the reading end of the pipe.

    Args:
        pipe: file descriptor to read from; the caller closes it.
        bar: is set to the outermost phase's steps.
    """

    def __init__(self, pipe: int, bar: tqdm[Any]) -> None:
        self._pipe, self._bar, self._rest = pipe, bar, b""
        os.set_blocking(pipe, False)
        self._open = True

    def wait(self, seconds: float) -> None:
        """Take in what comes within `seconds`."""
        if not self._open:
            select.select([], [], [], seconds)
            return
        if not select.select([self._pipe], [], [], seconds)[0]:
            return
        data = os.read(self._pipe, _READ)
        self._open = bool(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._show(json.loads(line))

    def _show(self, facts: dict[str, Any]) -> None:
        if "phase" in facts:
            self._bar.reset(total=int(facts["of"]))
        if "done" in facts:
            self._bar.n = int(facts["done"])
        if "inner" in facts:
            self._bar.set_postfix_str(str(facts["inner"]), refresh=False)
