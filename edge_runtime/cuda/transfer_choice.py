"""Which way pictures go to this GPU: measured once per device and kept beside its engines.

`gasedge build-engine` measures where none is kept, `gasedge doctor --engines` again. Where nothing
was measured a GPU that shares the host's memory is given it mapped, any other one a copy; the log
and the figures of a run say which of both it was.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from contract.atomic import move_file, write_text
from contract.errors import GasedgeError
from contract.geometry import InputGeometry
from contract.machine import this_machine
from edge_runtime.cuda.driver import GpuContext
from edge_runtime.cuda.exchange import Transfer
from edge_runtime.cuda.frame_path import FramePath

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = [
    "TransferMeasurement",
    "chosen_transfer",
    "default_transfer",
    "keep_transfer",
    "kept_transfer",
    "main",
    "measure_transfers",
    "take_transfer",
]

_FILE = "transfer.json"
_PICTURE = (720, 1280, 3)
_INPUT = InputGeometry(width=640, height=480)
_WARM_UP = 5  # eager, captured, launched; then caches and clocks

_log = logging.getLogger(__name__)


class TransferMeasurement(BaseModel):
    """What a frame costs beside inference each way, on one device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = 1
    device: dict[str, str | None]  # GPU, compute capability, driver, Jetson Linux
    integrated: bool  # the GPU shares the host's memory
    picture: str  # "1280x720", fitted into
    input: str  # "640x480"
    rounds: int
    median_ms: dict[Transfer, float]  # host to host, no engine; without MAPPED: it is not possible
    measured_at: str  # ISO 8601, UTC

    @property
    def faster(self) -> Transfer:
        """The way with the lower median."""
        return min(self.median_ms, key=self.median_ms.__getitem__)

    def __str__(self) -> str:
        """One line for a person."""
        times = ", ".join(f"{way} {ms:.3f} ms" for way, ms in self.median_ms.items())
        return (
            f"{times} a frame beside inference, {self.picture} into {self.input}, medians of "
            f"{self.rounds} interleaved rounds; {self.faster} is "
            + ("faster" if len(self.median_ms) > 1 else "the only way here")
        )


def measure_transfers(*, rounds: int = 100) -> TransferMeasurement:
    """Time the whole way of a picture up and of its mask down, both ways in turn.

    It is the way of a served frame with its CUDA graph: the host writes the picture, the GPU fits
    it and counts a mask, the host takes the answer. In the engine's place mask and score are
    filled.

    Raises:
        EngineError: when there is no GPU or its memory runs out.
        DeviceError: when the GPU needs a new process.
        MissingPackageError: without pycuda.
    """
    picture = np.random.default_rng(0).integers(0, 256, _PICTURE, dtype=np.uint8)
    with GpuContext() as gpu:
        ways = [each for each in Transfer if each is Transfer.COPIED or gpu.maps_host_memory]
        paths = {way: FramePath(gpu, _INPUT, 1, way) for way in ways}
        times: dict[Transfer, list[float]] = {way: [] for way in ways}
        for number in range(_WARM_UP + rounds):
            for way, path in paths.items():
                start = time.perf_counter()
                path.run_pictures([picture], _fills(gpu, path))
                if number >= _WARM_UP:
                    times[way].append(1000 * (time.perf_counter() - start))
        for path in paths.values():
            path.graphs.forget()
        return TransferMeasurement(
            device=_device(),
            integrated=gpu.is_integrated,
            picture=f"{_PICTURE[1]}x{_PICTURE[0]}",
            input=f"{_INPUT.width}x{_INPUT.height}",
            rounds=rounds,
            median_ms={way: round(statistics.median(each), 4) for way, each in times.items()},
            measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )


def keep_transfer(folder: Path, measured: TransferMeasurement) -> Path:
    """Write a measurement beside the engines of `folder`.

    Raises:
        GasedgeError: when the disk refuses.
    """
    write_text(folder / _FILE, measured.model_dump_json(indent=1) + "\n")
    return folder / _FILE


def take_transfer(folder: Path, into: Path) -> None:
    """Move the measurement of a folder, if it holds one, beside the engines of another.

    Raises:
        GasedgeError: when the disk refuses.
    """
    if (folder / _FILE).is_file():
        move_file(folder / _FILE, into / _FILE)


def kept_transfer(folder: Path) -> TransferMeasurement | None:
    """The measurement beside the engines, if it is of this very device.

    One of another device, and a file that cannot be read, count as none, and the log says so: a
    camera must not go blind over a matter of speed.
    """
    path = folder / _FILE
    try:
        found = TransferMeasurement.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        _log.warning("%s: is not used (%s); run gasedge doctor --engines", path, _first(error))
        return None
    if found.device != _device() or not found.median_ms:
        _log.warning("%s: was measured on another device; run gasedge doctor --engines", path)
        return None
    return found


def chosen_transfer(folder: Path, gpu: GpuContext) -> tuple[Transfer, str]:
    """How to hand pictures over to the GPU, and what that was decided by.

    Args:
        folder: of the engines.
        gpu: the context.
    """
    kept = kept_transfer(folder)
    if kept is not None:
        return kept.faster, "measured"
    return default_transfer(integrated=gpu.is_integrated and gpu.maps_host_memory), "default"


def default_transfer(*, integrated: bool) -> Transfer:
    """What is taken where nothing was measured."""
    return Transfer.MAPPED if integrated else Transfer.COPIED


def _fills(gpu: GpuContext, path: FramePath) -> Callable[[int], None]:
    def fill(_count: int) -> None:
        for each in (path.mask, path.score):
            gpu.fill(each.address, 0, each.nbytes)

    return fill


def _device() -> dict[str, str | None]:
    machine = this_machine()
    return {
        "gpu_name": machine.gpu.name if machine.gpu else None,
        "compute_capability": machine.gpu.compute_capability if machine.gpu else None,
        "driver": machine.driver,
        "l4t": machine.l4t,
    }


def _first(error: OSError | ValidationError) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error.strerror)


def main(arguments: list[str]) -> int:
    """Measure in a process of its own, which a fault may end; JSON on standard output."""
    del arguments
    try:
        sys.stdout.write(measure_transfers().model_dump_json())
    except GasedgeError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0
