"""The processes of one training, on one machine or several, as `torchrun` starts them."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import distributed

from contract.errors import ConfigError, GasedgeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["ALONE", "Processes", "joined"]

_FACTS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those that train together."""

    rank: int  # over all machines; 0 alone writes files
    size: int
    local_rank: int  # on this machine: the GPU it uses
    local_size: int

    @property
    def first(self) -> bool:
        """Whether this one writes and speaks for all."""
        return self.rank == 0

    @property
    def machines(self) -> int:
        """How many machines take part."""
        return self.size // self.local_size

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """Mean over all processes; no gradient passes."""
        if self.size == 1:
            return tensor
        total = tensor.detach().clone()
        distributed.all_reduce(total)
        return total / self.size

    def gathered(self, thing: T) -> list[T]:
        """What each process has, by rank, on every process."""
        if self.size == 1:
            return [thing]
        things: list[Any] = [None] * self.size
        distributed.all_gather_object(things, thing)
        return things

    def agreed(self, action: Callable[[], T]) -> T:
        """Do `action` in every process; where it fails in one, all end and one of them says why.

        Raises:
            GasedgeError: in one process, of the action that failed.
            SystemExit: in the others, with the error's exit code.
        """
        if self.size == 1:
            return action()
        done: list[T] = []
        error: GasedgeError | None = None
        try:
            done.append(action())
        except GasedgeError as caught:
            error = caught
        codes = self.gathered(error.exit_code if error else None)
        failed = [rank for rank, code in enumerate(codes) if code is not None]
        if not failed:
            return done[0]
        if error and self.rank == failed[0]:
            raise error
        raise SystemExit(codes[failed[0]])

    def only_first(self, action: Callable[[], None]) -> None:
        """Do `action` in the first process alone, and in the others nothing before it is done."""
        self.agreed(action if self.first else lambda: None)


ALONE = Processes(0, 1, 0, 1)


@contextlib.contextmanager
def joined() -> Iterator[Processes]:
    """Meet the other processes that `torchrun` started; without it there is one.

    Raises:
        ConfigError: when there are more processes on this machine than GPUs.
    """
    facts = [
        int(os.environ.get(name, default)) for name, default in zip(_FACTS, "0011", strict=True)
    ]
    processes = Processes(facts[0], facts[2], facts[1], facts[3])
    if processes.size == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        if processes.local_size > (there := torch.cuda.device_count()):
            raise ConfigError(
                f"{processes.local_size} processes on a machine with {there} GPUs; "
                f"give torchrun --nproc-per-node {there}"
            )
        torch.cuda.set_device(processes.local_rank)
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")
    try:
        yield processes
    finally:
        distributed.destroy_process_group()
