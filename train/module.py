"""One training step, one validation, and what is kept of each epoch."""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import numpy as np
import torch

from contract.atomic import write_text
from contract.errors import GasedgeError
from contract.label_map import BACKGROUND, CLASSES, GAS_SMOKE
from contract.scores import ScoreBoard
from train.losses import segmentation_loss
from train.processes import ALONE

if TYPE_CHECKING:
    from pathlib import Path

    from contract.scores import Scores
    from train.config import LearningConfig
    from train.datasets import DataSet
    from train.networks.frame_network import FrameNetwork
    from train.processes import Processes

__all__ = ["NoNumberError", "SegmentationModule"]

_WARM_UP = 0.04  # of all steps


class NoNumberError(GasedgeError):
    """The loss has become infinite or no number."""


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


class SegmentationModule(pl.LightningModule):  # type: ignore[misc]
    """Teaches a `FrameNetwork`.

    Args:
        network: changed in place.
        learning: rates, schedule, loss.
        steps: of the whole training.
        data_sets: whose validation pictures are scored, each on its own board.
        metrics: CSV file, rewritten whole after each epoch.
        processes: that share each batch and the validation pictures.
    """

    def __init__(
        self,
        network: FrameNetwork,
        learning: LearningConfig,
        steps: int,
        data_sets: list[DataSet],
        metrics: Path,
        processes: Processes = ALONE,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.history: list[dict[str, float]] = []
        self._learning, self._steps = learning, steps
        self._data_sets, self._metrics = data_sets, metrics
        self._processes = processes
        self._boards: list[ScoreBoard] = []
        self._losses: list[torch.Tensor] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        """Loss of a batch.

        Frames (N, H, W, 3), truth and its weights (N, H, W), all uint8, and machines known (N,).
        """
        del batch_idx
        frames, truth, weights, machines_known = batch
        loss = segmentation_loss(
            self.network(frames),
            truth,
            machines_known,
            dice_weight=self._learning.dice_weight,
            gas_weight=self._learning.gas_weight,
            weights=weights,
            activation=self._learning.activation,
            shared=self._processes.mean if self._processes.size > 1 else None,
        )
        self._losses.append(loss.detach())
        self.log("train/loss", loss)
        return loss

    def on_train_epoch_start(self) -> None:
        """Let dropout follow from (seed, epoch, process), so that a resumed run repeats it."""
        chance = [self._learning.seed % 2**32, self.current_epoch, self._processes.rank]
        torch.manual_seed(int(np.random.SeedSequence(chance).generate_state(1)[0]))

    def on_validation_epoch_start(self) -> None:
        """Begin a board for each data set."""
        self._boards = [ScoreBoard(data.labelled) for data in self._data_sets]

    def validation_step(self, batch: tuple[Any, ...], batch_idx: int) -> None:
        """Score fitted frames."""
        del batch_idx
        frames, truths, numbers, stems = batch
        masks = self.network(frames).argmax(dim=1).to(torch.uint8).cpu().numpy()
        for truth, mask, number, stem in zip(
            truths.cpu().numpy(), masks, numbers.tolist(), stems, strict=True
        ):
            self._boards[number].add(truth, mask, name=stem)

    def on_validation_epoch_end(self) -> None:
        """Log each data set's scores; their mean chooses the best epoch."""
        row: dict[str, float] = {"epoch": float(self.current_epoch)}
        if self._losses:
            mean = self._processes.mean(torch.stack(self._losses).mean())
            loss = row["train/loss"] = float(mean)
            self._losses.clear()
            if not math.isfinite(loss):
                raise NoNumberError(
                    f"the loss of epoch {self.current_epoch + 1} is {loss}; begin a new run with "
                    "a lower learning.rate or with learning.precision fp32"
                )
        boards = [ScoreBoard(data.labelled) for data in self._data_sets]
        for of_process in self._processes.gathered([board.images for board in self._boards]):
            for board, images in zip(boards, of_process, strict=True):
                board.take_over(images)
        means: list[float] = []
        for data, board in zip(self._data_sets, boards, strict=True):
            if not board.images:
                continue
            score, of_data = _validation_of(data, board.scores())
            means.append(score)
            row |= of_data
        row["val/mean_iou"] = sum(means) / len(means)
        row["rate"] = float(self.trainer.optimizers[0].param_groups[-1]["lr"])
        self.log_dict({k: v for k, v in row.items() if k.startswith("val/")})
        self.history.append(row)
        if self._processes.first:
            self._write_metrics()

    def configure_optimizers(self) -> Any:
        """Adam; the encoder may have a rate of its own."""
        learning = self._learning
        encoder = list(getattr(self.network.core, "encoder", torch.nn.Module()).parameters())
        known = {id(p) for p in encoder}
        rest = [p for p in self.network.parameters() if id(p) not in known]
        groups = [
            {"params": encoder, "lr": learning.encoder_rate or learning.rate},
            {"params": rest, "lr": learning.rate},
        ]
        optimizer = torch.optim.Adam([g for g in groups if g["params"]], fused=True)
        warm_up = max(1, math.ceil(_WARM_UP * self._steps))

        def share(step: int) -> float:
            rising = min(1.0, (step + 1) / warm_up)
            if learning.schedule == "constant":
                return rising
            along = max(0.0, (step - warm_up) / max(1, self._steps - warm_up))
            return rising * 0.5 * (1 + math.cos(math.pi * min(1.0, along)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the curves with the weights."""
        checkpoint["history"] = self.history

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the curves."""
        self.history = list(checkpoint["history"])

    def _write_metrics(self) -> None:
        columns = list(dict.fromkeys(key for row in self.history for key in row))
        table = io.StringIO()
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_text(self._metrics, table.getvalue())


def _validation_of(data: DataSet, scores: Scores) -> tuple[float, dict[str, float]]:
    """What chooses the best epoch on one data set, and its columns."""
    if data.empty:
        # the IoU of gas that is nowhere is 0 at the first false pixel: their share says more
        clear = scores.classes[CLASSES[BACKGROUND].name].iou or 0.0
        return clear, {f"val/{data.name}/false_gas": 1 - clear}
    mean = scores.mean_iou or 0.0
    row = {f"val/{data.name}/mean_iou": mean}
    for each in CLASSES:
        if each.index in data.labelled and each.index >= GAS_SMOKE:
            row[f"val/{data.name}/{each.name}_iou"] = scores.classes[each.name].iou or 0.0
    return mean, row
