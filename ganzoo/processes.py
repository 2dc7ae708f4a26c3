"""Several processes that play one game: `torchrun --nproc-per-node 2 -m ganzoo train ...`.

Each process takes its share of every batch; gradients, batch statistics and logged numbers are means over all. Alone,
every function here returns what it was given.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed, nn

from .errors import GanzooError

LONGEST_WAIT = timedelta(minutes=30)  # for a process that writes samples or a checkpoint while the others wait


_alone = False


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world() -> int:
    return distributed.get_world_size() if distributed.is_initialized() and not _alone else 1


@contextmanager
def alone() -> Iterator[None]:
    """Within: nothing waits for other processes, so that one of them may ask a loss or a network by itself."""
    global _alone  # noqa: PLW0603
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Meet the processes that torchrun started, if it did; yields this process's device. Losing one ends the others."""
    if "WORLD_SIZE" not in os.environ or distributed.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
    try:
        yield device
    except (distributed.DistError, RuntimeError) as error:
        if isinstance(error, distributed.DistError) or _is_lost(error):
            raise GanzooError(
                "another process of this run has ended; the same command continues from the last checkpoint"
            ) from error
        raise
    finally:
        distributed.destroy_process_group()


def _is_lost(error: RuntimeError) -> bool:
    """Whether gloo says that a connection broke (it has no type of error for it)."""
    return any(word in str(error).lower() for word in ("connection", "gloo", "peer", "socket"))


def from_first(value: Any) -> Any:
    """The first process's value, in all of them."""
    if world() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: Any) -> list[Any]:
    """Every process's value, in the order of their ranks, in all of them."""
    if world() == 1:
        return [value]
    found: list[Any] = [None] * world()
    distributed.all_gather_object(found, value)
    return found


def any_of(flag: bool) -> bool:
    """Whether the flag is set in any process."""
    if world() == 1:
        return flag
    told = torch.tensor(int(flag), device="cuda" if distributed.get_backend() == "nccl" else "cpu")
    distributed.all_reduce(told)
    return bool(told)


def average_(tensors: list[Tensor]) -> None:
    """Replace tensors by their means over all processes, in one exchange."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= world()
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(mean.view_as(tensor))


def mean_over_processes(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes. Gradients of any order flow through it."""
    return value if world() == 1 else _Sum.apply(value) / world()


def rows_of_all_processes(value: Tensor) -> Tensor:
    """The rows of every process's tensor, all of one shape, in the order of their ranks. No gradient flows."""
    if world() == 1:
        return value.detach()
    found = [torch.empty_like(value, memory_format=torch.contiguous_format) for _ in range(world())]
    distributed.all_gather(found, value.detach().contiguous())
    return torch.cat(found)


class _Sum(torch.autograd.Function):
    """The sum over processes. Its derivative is the same sum of what arrives, so that it can be derived again."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        (gradient,) = gradients
        summed: Tensor = _Sum.apply(gradient)
        return summed


class _BatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch normalisation with the statistics of all processes' samples, on any device."""

    def _check_input_dim(self, x: Tensor) -> None:
        """Any number of axes: the module that this one stands for has checked its own."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training or self.running_mean is None):
            return super().forward(x)
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        center = mean_over_processes(x.mean(axes))
        variance = mean_over_processes((x - center.view(shape)).square().mean(axes))
        if self.running_mean is not None and self.running_var is not None:
            self._remember(center.detach(), variance.detach(), x.numel() // x.shape[1] * world())
        x = (x - center.view(shape)) * (variance.view(shape) + self.eps).rsqrt()
        return x if self.weight is None else x * self.weight.view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def _remember(self, center: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(center, share)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), share)


def share_batch_statistics(network: nn.Module) -> None:
    """Make every batch normalisation in a network use the statistics of all processes' samples."""
    if world() == 1:
        return
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and type(module) is not _BatchNorm:
            module.__class__ = _BatchNorm
