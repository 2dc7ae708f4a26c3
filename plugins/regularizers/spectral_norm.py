"""Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957."""

from __future__ import annotations

from typing import Any, Literal

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import is_parametrized

from ganzoo import Networks, Regularizer, hookimpl

LAYERS = (
    nn.Linear,
    nn.Embedding,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


class SpectralNorm(Regularizer):
    """Divides each layer's weight by its largest singular value.

    Miyato et al. 2018, arXiv:1802.05957, algorithm 1: power iteration on the weight as a matrix (outputs, all the
    rest). The iteration's vectors are part of the state.

    Differs from the paper: a layer that begins at zero, which nothing can be divided by the norm of, begins with
    torch's own first weights instead.

    Args:
        side: which networks.
        iterations: power iterations in each training forward.
    """

    name = "spectral-norm"
    paper = "arXiv:1802.05957"
    needs: tuple[str, ...] = ("discriminator_turn",)

    def __init__(self, side: Literal["discriminator", "generator", "both"] = "discriminator", iterations: int = 1):
        if iterations < 1:
            raise ValueError("iterations must be at least 1")
        self.side_name, self.iterations = side, iterations
        if side == "generator":  # every procedure moves a generator
            self.needs = ()

    def prepare(self, networks: Networks) -> None:
        chosen = {"discriminator": networks.discriminators, "generator": networks.generators, "both": networks.all()}
        for network in chosen[self.side_name].values():
            for module in list(network.modules()):
                if isinstance(module, LAYERS):
                    if not module.weight.any():  # one that begins at zero has no norm that it could be divided by
                        module.reset_parameters()
                    spectral_norm(module, n_power_iterations=self.iterations)


def normalised_alike(layer: nn.Module, network: nn.Module) -> nn.Module:
    """A layer that another regularizer adds to a network, normalised if the network's layers are: so it does not matter
    which of the two comes first."""
    changed: list[Any] = [module for module in network.modules() if is_parametrized(module, "weight")]
    parts = [part for module in changed for part in module.parametrizations["weight"]]
    iterations = [part.n_power_iterations for part in parts if hasattr(part, "n_power_iterations")]
    return spectral_norm(layer, n_power_iterations=iterations[0]) if iterations else layer


@hookimpl
def register_regularizers(register: Any) -> None:
    register(SpectralNorm)
