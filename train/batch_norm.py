"""BatchNorm over the whole batch when several processes share it.

With statistics of its own share only, a process would train another network than one process does
on the whole batch, the more so the smaller the shares are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import distributed, nn

if TYPE_CHECKING:
    from train.processes import Processes

__all__ = ["with_shared_batch_norm"]


def with_shared_batch_norm(network: nn.Module, processes: Processes) -> None:
    """Let each BatchNorm2d in `network` take its statistics from all processes' shares.

    Names and parameters stay. The shares must be of equal size.
    """
    if processes.size == 1:
        return
    for name, module in list(network.named_modules()):
        if type(module) is nn.BatchNorm2d:
            # torch's own runs on GPUs only
            shared: nn.Module = (
                nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
                if torch.cuda.is_available()
                else _SharedBatchNorm(module)
            )
            network.set_submodule(name, shared)


class _Mean(torch.autograd.Function):
    """Mean of a tensor over all processes, for the gradient too."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor) -> torch.Tensor:
        del ctx
        total = tensor.clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        del ctx
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total / distributed.get_world_size()


class _SharedBatchNorm(nn.BatchNorm2d):
    """Takes the place of `own`, with its parameters and statistics."""

    def __init__(self, own: nn.BatchNorm2d) -> None:
        super().__init__(own.num_features, own.eps, own.momentum, own.affine)
        self.load_state_dict(own.state_dict())

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - torch's name
        if not self.training:
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            wide = input.float()
            mean: torch.Tensor = _Mean.apply(wide.mean((0, 2, 3)))
            centred = wide - mean[:, None, None]
            variance: torch.Tensor = _Mean.apply(centred.square().mean((0, 2, 3)))
            self._remember(mean.detach(), variance.detach(), wide.numel() // wide.shape[1])
            scale = self.weight * (variance + self.eps).rsqrt()
            result = centred * scale[:, None, None] + self.bias[:, None, None]
        return result.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        """Move the running statistics on, as torch does, by the unbiased variance."""
        total = count * distributed.get_world_size()
        momentum = self.momentum or 0.0
        if self.running_mean is not None and self.running_var is not None:
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * (total / (total - 1)), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
