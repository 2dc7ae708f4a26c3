"""A penalty on a discriminator's last layer. Yu et al. 2017, SeqGAN, arXiv:1609.05473, with LantaoYu/SeqGAN."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class OutputPenalty(Regularizer):
    """Half the squared size of the weights and biases of the discriminator's last layer.

    Yu et al. 2017, SeqGAN, arXiv:1609.05473, section 3 (the l2 regularization that the paper names beside dropout), as
    in the code: weight * (|W|^2 + |b|^2) / 2.

    Differs from the paper: none known. The code's loss is the mean over a mixed batch of real and written sentences,
    half the sum of two means that losses are here; so the code's 0.2 is 0.4 here.

    Args:
        weight: of the penalty, at least 0.
    """

    name = "output-penalty"
    paper = "arXiv:1609.05473"
    needs = ("output_layer",)

    def __init__(self, weight: float = 0.4):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight

    def penalty(self, turn: Turn) -> Tensor:
        layer: Any = turn.game.networks.discriminators[turn.name].output
        return self.weight / 2 * (layer.weight.square().sum() + layer.bias.square().sum())


@hookimpl
def register_regularizers(register: Any) -> None:
    register(OutputPenalty)
