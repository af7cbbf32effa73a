"""Fit a network to the training pictures: loaders, trainer, and how it ends when it is stopped."""

from __future__ import annotations

import logging
import signal
import warnings
from typing import TYPE_CHECKING, Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch.utils.data import DataLoader

from contract.errors import GasedgeError
from train.batch_norm import with_shared_batch_norm
from train.datasets import ShuffledKeys
from train.lightning_parts import (
    EndsWithTheOthers,
    EpochBar,
    WholeFiles,
    compiles,
    loading,
    precision_of,
)
from train.run_folder import best_state, last_state

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from train.config import LearningConfig
    from train.datasets import TrainingFrames, ValidationFrames
    from train.module import SegmentationModule
    from train.processes import Processes

__all__ = ["fit"]


def fit(
    module: SegmentationModule,
    frames: TrainingFrames,
    validation: ValidationFrames,
    *,
    learning: LearningConfig,
    run: Path,
    processes: Processes,
    goes_on: bool,
    callbacks: Sequence[pl.Callback],
) -> None:
    """Train `module` to its last epoch, keeping the best epoch's weights and the last state.

    Args:
        module: the network and how it learns.
        frames: the training pictures; `learning.batch` of them make a step, over all processes.
        validation: scored after each epoch, each picture by one of the processes.
        learning: epochs, batch, precision.
        run: the run's folder.
        processes: that train together.
        goes_on: whether to take up the last state.
        callbacks: more of Lightning's.

    Raises:
        KeyboardInterrupt: on Ctrl-C.
        GasedgeError: when another process has ended, or the loss is no number.
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with_shared_batch_norm(module.network, processes)
    if compiles(learning.compile, processes.size):
        module.network.compile()
    share = learning.batch // processes.size
    keys = ShuffledKeys(len(frames), learning.batch, learning.seed, processes)
    # no padding to equal lengths: a picture that two processes score would count twice
    scored = range(processes.rank, len(validation), processes.size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(lightning|torch)\..*")
        trainer = _trainer(learning, run, processes, callbacks)
        try:
            trainer.fit(
                module,
                DataLoader(frames, share, sampler=keys, **loading(processes.local_size)),
                DataLoader(validation, share, sampler=scored),
                ckpt_path=last_state(run) if goes_on else None,
                weights_only=True,
            )
        except SystemExit as stopped:
            # Lightning turns Ctrl-C into exit(1) and stays deaf to it
            signal.signal(signal.SIGINT, signal.default_int_handler)
            raise KeyboardInterrupt from stopped
        except RuntimeError as error:
            if processes.size == 1 or not any(w in str(error) for w in ("gloo", "NCCL")):
                raise
            raise GasedgeError(
                f"process {processes.rank} lost the others: one of them has ended; see what it "
                "said, then give the same command again to go on"
            ) from error


def _trainer(
    learning: LearningConfig,
    run: Path,
    processes: Processes,
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    best = ModelCheckpoint(
        dirpath=best_state(run).parent,
        filename=best_state(run).stem,
        monitor="val/mean_iou",
        mode="max",
        save_weights_only=True,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    # after best, so that it knows the best score so far
    last = ModelCheckpoint(
        dirpath=last_state(run).parent,
        filename=last_state(run).stem,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )
    fitted: list[pl.Callback] = [best, last, *callbacks]
    if processes.first:
        fitted.append(EpochBar())
    strategy: Any = "auto"
    if processes.size > 1:
        fitted.append(EndsWithTheOthers())
        # statistics of BatchNorm are shared already
        strategy = DDPStrategy(broadcast_buffers=False, gradient_as_bucket_view=True)
    return pl.Trainer(
        accelerator="cuda" if torch.cuda.is_available() else "cpu",
        devices=processes.local_size,
        num_nodes=processes.machines,
        strategy=strategy,
        precision=precision_of(learning.precision),
        max_epochs=learning.epochs,
        logger=TensorBoardLogger(run, name="tensorboard", version=""),
        callbacks=fitted,
        plugins=[WholeFiles()],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=10,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
