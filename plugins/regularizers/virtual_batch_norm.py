"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 3.5."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo import Networks, Regularizer, UsageError, hookimpl, rows_of_all_processes


class Reference:
    """The batch that a network goes by: inputs [R, ...], or None before the network has trained. Copies of a network
    share it."""

    def __init__(self) -> None:
        self.batch: Tensor | None = None

    def __deepcopy__(self, memory: Any) -> Reference:
        return self


class VirtualNorm(nn.Module):
    """A batch normalisation by the statistics of a reference batch of R samples and the sample itself, as one of R + 1.

    It first sees the reference batch (`recording`), whose statistics it keeps until the network is done.
    """

    def __init__(self, norm: _BatchNorm):
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self.recording = False
        self.recorded: tuple[Tensor, Tensor, int] | None = None  # mean and mean square [1, C, 1...], and R

    def forward(self, x: Tensor) -> Tensor:
        places = tuple(range(2, x.ndim))
        if self.recording:
            everything = (0, *places)
            mean, square = x.mean(everything, keepdim=True), x.square().mean(everything, keepdim=True)
            self.recorded = mean, square, len(x)
        else:
            assert self.recorded is not None
            mean, square, count = self.recorded
            own, own_square = (
                (x.mean(places, keepdim=True), x.square().mean(places, keepdim=True))
                if places
                else (
                    x,
                    x.square(),
                )
            )
            mean, square = torch.lerp(mean, own, 1 / (count + 1)), torch.lerp(square, own_square, 1 / (count + 1))
        normed = (x - mean) * (square - mean.square()).clamp(min=0).add(self.eps).rsqrt()
        if self.weight is None:
            return normed
        shape = (1, -1, *(1 for _ in places))
        return normed * self.weight.view(shape) + self.bias.view(shape)


class VirtualBatchNorm(Regularizer):
    """Normalises each sample by a batch that is chosen once, in place of the batch that it happens to be in.

    Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen 2016, arXiv:1606.03498, section 3.5: every batch
    normalisation goes by the mean and variance of the reference batch and the sample, counted as one more (as in the
    authors' code), so that what a network makes of a sample depends on it and the reference alone. The first batch that
    a network is given in training is its reference: latents for a generator, real samples for a discriminator. It goes
    through the network at every call, which costs as much as another batch, and is part of the state. Before the first
    step a batch is its own reference.

    The reference has no classes: parts that need `labels` do not fit.

    Differs from the paper: it is used in all networks that have batch normalisation, the paper's in the generator only
    for its cost.
    """

    name = "virtual-batch-norm"
    paper = "arXiv:1606.03498"
    needs = ("batch_norm_generator",)
    withdraws = ("labels",)

    def __init__(self) -> None:
        self.references: dict[str, Reference] = {}

    def prepare(self, networks: Networks) -> None:
        for name, network in networks.all().items():
            norms = {path: module for path, module in network.named_modules() if isinstance(module, _BatchNorm)}
            for path, norm in norms.items():
                network.set_submodule(path, VirtualNorm(norm))
            if norms:
                self.references[name] = Reference()
                network.virtual_reference = self.references[name]  # type: ignore[assignment]
                network.register_forward_pre_hook(_refer)
                network.register_forward_hook(_forget, always_call=True)
        if not self.references:
            raise UsageError(
                "regularizer 'virtual-batch-norm': these networks have no batch normalisation that it could replace; "
                "leave out --reg virtual-batch-norm, or choose another --arch"
            )

    def state(self) -> dict[str, Any]:
        return {name: found.batch for name, found in self.references.items() if found.batch is not None}

    def load(self, state: dict[str, Any]) -> None:
        for name, found in self.references.items():
            found.batch = state.get(name)


def _refer(network: Any, given: tuple[Any, ...]) -> None:
    """Before a network's forward: send the reference through it, and keep the statistics. It finds the layers by the
    network, so that copies of a network use their own."""
    reference: Reference = network.virtual_reference
    if reference.batch is None and network.training:
        # Laid out as it will be when it was loaded, so that a run that goes on computes the same.
        rows = rows_of_all_processes(given[0])
        reference.batch = rows.clone(memory_format=torch.contiguous_format)
    with _recording(network):
        network.forward(given[0] if reference.batch is None else reference.batch, *(None for _ in given[1:]))


@contextmanager
def _recording(network: nn.Module) -> Iterator[None]:
    norms = _norms(network)
    for norm in norms:
        norm.recording = True
    try:
        yield
    finally:
        for norm in norms:
            norm.recording = False


def _forget(network: nn.Module, given: tuple[Any, ...], made: Any) -> None:
    """After it, also when it failed: a network that holds what was computed cannot be copied."""
    for norm in _norms(network):
        norm.recorded = None


def _norms(network: nn.Module) -> list[VirtualNorm]:
    return [module for module in network.modules() if isinstance(module, VirtualNorm)]


@hookimpl
def register_regularizers(register: Any) -> None:
    register(VirtualBatchNorm)
