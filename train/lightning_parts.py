"""What is fitted into Lightning's trainer: whole checkpoint files, a progress bar, a precision."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from tqdm import tqdm

from contract.atomic import write_bytes
from contract.errors import InputError

__all__ = ["EpochBar", "WholeFiles", "precision_of"]


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
        if self._bar is not None:
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


def precision_of(wanted: str) -> str:
    """Lightning's name of the precision to train in.

    Args:
        wanted: "auto" (bf16 where the processor multiplies bf16, else fp32), "fp32" or "bf16".
    """
    if wanted == "auto":
        if torch.cuda.is_available():
            fast = torch.cuda.is_bf16_supported()
        else:
            # every AVX-512 CPU emulates bf16; only this one gains from it
            fast = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", bool)())
        wanted = "bf16" if fast else "fp32"
    return "bf16-mixed" if wanted == "bf16" else "32-true"
