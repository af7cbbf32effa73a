"""What is fitted into Lightning's trainer: whole files, a progress bar, what suits the machine."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import cv2
import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from tqdm import tqdm

from contract.atomic import write_bytes
from contract.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "AfterEpoch",
    "EndsWithTheOthers",
    "EpochBar",
    "WholeFiles",
    "compiles",
    "loading",
    "precision_of",
]

_SHOW_EVERY_S = 0.3  # the loss: reading it makes a GPU wait for its step
_MOST_WORKERS = 8  # processes that load pictures for one GPU


class WholeFiles(CheckpointIO):  # type: ignore[misc]
    """Writes a checkpoint whole or not at all, and loads no code with one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Write; a kill or a full disk leaves the file of before."""
        del storage_options
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_bytes(Path(path), buffer.getvalue())

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: Any = None
    ) -> dict[str, Any]:
        """Read plain data and tensors."""
        del weights_only
        try:
            content: dict[str, Any] = torch.load(
                path, map_location=map_location or "cpu", weights_only=True
            )
        except Exception as error:
            # torch raises many types for a damaged file
            raise InputError(
                f"{path}: cannot be read ({type(error).__name__}); the run cannot go on from it"
            ) from error
        return content

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint that a better one replaces."""
        Path(path).unlink(missing_ok=True)


class EpochBar(pl.Callback):  # type: ignore[misc]
    """One bar over all steps, on standard error, with the last loss and validation score."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._shown_at = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin where a resumed run goes on."""
        del pl_module
        total = int(trainer.estimated_stepping_batches)
        self._bar = tqdm(total=total, initial=trainer.global_step, desc="train", unit="step")

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Move on by a step."""
        del pl_module, batch, batch_idx
        if self._bar is None:
            return
        if (now := time.monotonic()) - self._shown_at > _SHOW_EVERY_S:
            self._shown_at = now
            loss = float(outputs["loss"])
            score = trainer.callback_metrics.get("val/mean_iou")
            seen = "" if score is None else f" val IoU {float(score):.3f}"
            self._bar.set_postfix_str(
                f"epoch {trainer.current_epoch + 1} loss {loss:.3f}{seen}", refresh=False
            )
        self._bar.update()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Leave the bar's last line."""
        del trainer, pl_module, stage
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Leave it before the error's line; Lightning calls no teardown then."""
        del trainer, pl_module, exception
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class AfterEpoch(pl.Callback):  # type: ignore[misc]
    """Tells the validation scores of all epochs so far, after each and after a stopped run's last.

    Lightning ends the last epoch once more when it takes up a run.
    """

    def __init__(self, tell: Callable[[list[float]], None]) -> None:
        self._tell = tell

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell, after the epoch's state was written."""
        del trainer
        self._tell([float(epoch["val/mean_iou"]) for epoch in pl_module.history])


class EndsWithTheOthers(pl.Callback):  # type: ignore[misc]
    """Lets signals end a process that waits for others which are ending too.

    Lightning answers SIGTERM by asking all processes to stop together, which the one that has
    ended already never hears. What is written is whole at any time, so none need be asked.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Undo Lightning's handlers; the first process alone says that it was interrupted."""
        del pl_module
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not trainer.is_global_zero:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def compiles(wanted: Literal["auto"] | bool, processes: int) -> bool:  # noqa: FBT001 - a setting
    """Whether to compile the network.

    Args:
        wanted: "auto" compiles on a GPU that Triton serves, where there is a C compiler, in a
            training of one process. A CPU is slower with it.
        processes: that train together.
    """
    if wanted != "auto":
        return wanted
    return (
        processes == 1
        and torch.cuda.is_available()
        and torch.cuda.get_device_capability() >= (7, 0)
        and importlib.util.find_spec("triton") is not None
        and any(shutil.which(name) for name in (os.environ.get("CC", "cc"), "gcc", "clang"))
    )


def loading(processes_here: int) -> dict[str, Any]:
    """What a `DataLoader` of training pictures needs: helpers for a GPU, none for a CPU.

    A step on a CPU takes longer than its pictures by so much that processes of their own would
    only take cores from it.

    Args:
        processes_here: that train on this machine.
    """
    if not torch.cuda.is_available():
        return {}
    cores = len(os.sched_getaffinity(0)) // processes_here
    return {
        "num_workers": max(1, min(_MOST_WORKERS, cores - 1)),
        "pin_memory": True,
        "persistent_workers": True,
        "worker_init_fn": _one_thread,
    }


def _one_thread(worker: int) -> None:
    del worker
    cv2.setNumThreads(1)


def precision_of(wanted: str) -> str:
    """Lightning's name of the precision to train in.

    Args:
        wanted: "auto" (bf16 where the processor multiplies bf16, fp16 on a GPU with tensor cores
            for that alone, else fp32), "fp32" or "bf16".
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported(including_emulation=False)
            if not fast and torch.cuda.get_device_capability() >= (7, 0):
                return "16-mixed"
        else:
            # every AVX-512 CPU emulates bf16; only this one gains from it
            fast = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
        wanted = "bf16" if fast else "fp32"
    return "bf16-mixed" if wanted == "bf16" else "32-true"
