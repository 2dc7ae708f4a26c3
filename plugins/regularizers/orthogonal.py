"""Brock, Donahue and Simonyan 2018, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
arXiv:1809.11096."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ganzoo import Regularizer, Turn, hookimpl

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Orthogonal(Regularizer):
    """Pushes the rows of each weight to stand at right angles, whatever their lengths.

    Brock, Donahue and Simonyan 2018, arXiv:1809.11096, section 3.1, the second form: weight * the sum over layers of
    |W W' * (1 - I)|^2 (Frobenius), W as a matrix (outputs, all the rest). Its gradient is
    4 * weight * (W W' * (1 - I)) W. Embeddings and parameters of one dimension are left out; under spectral
    normalisation it looks at the weight that is learnt.

    Differs from the paper: the authors' code adds half of that gradient, so weight 1e-4 here is their 2e-4.

    Args:
        weight: the paper's beta, at least 0.
        side: which networks; the paper regularizes the generator.
    """

    name = "orthogonal"
    paper = "arXiv:1809.11096"
    sides: ClassVar[tuple[str, ...]] = ("generator",)

    def __init__(self, weight: float = 1e-4, side: Literal["generator", "discriminator", "both"] = "generator"):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight
        self.sides = ("discriminator", "generator") if side == "both" else (side,)  # type: ignore[misc]
        self.needs = tuple(f"{side}_turn" for side in self.sides)

    def penalty(self, turn: Turn) -> Tensor:
        networks, turns = moving(turn)
        costs = [off_diagonal(weight) for network in networks for _, weight in named_matrices(network)]
        return self.weight / turns * torch.stack(costs).sum() if costs else turn.fake.new_zeros(())


def moving(turn: Turn) -> tuple[list[nn.Module], int]:
    """The networks that a turn is about, and in how many turns of a move they are: a generator has a turn for each
    discriminator that judges it, unless there is a generator to each discriminator, named alike."""
    networks = turn.game.networks
    if turn.side == "discriminator":
        return [networks.discriminators[turn.name]], 1
    own = networks.generators.get(turn.name.replace("discriminator", "generator", 1))
    return ([own], 1) if own is not None else (list(networks.generators.values()), len(networks.discriminators))


def named_matrices(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The learnt weights of a network as matrices (outputs, all the rest), by their layers, without embeddings."""
    kinds = {
        id(parameter): module
        for module in network.modules()
        if isinstance(module, (nn.Embedding, *TRANSPOSED))
        for parameter in module.parameters()
    }
    for name, parameter in network.named_parameters():
        module = kinds.get(id(parameter))
        if parameter.ndim > 1 and not isinstance(module, nn.Embedding):
            layer = name.replace("parametrizations.weight.original", "weight").removesuffix(".weight")
            yield layer, (parameter.transpose(0, 1) if isinstance(module, TRANSPOSED) else parameter).flatten(1)


def off_diagonal(weight: Tensor) -> Tensor:
    """|W W' * (1 - I)|^2 of a matrix."""
    products = weight @ weight.T
    return products.square().sum() - products.diagonal().square().sum()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(Orthogonal)
