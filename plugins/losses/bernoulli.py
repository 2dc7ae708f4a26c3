"""The likelihood of a picture whose pixels are coins. Kingma and Welling 2014, Auto-Encoding Variational Bayes,
arXiv:1312.6114, appendix C.1."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import ReconstructionLoss, hookimpl

_LEAST = 1e-5  # probability that no pixel is without: the logarithm stays finite and the gradient below 1e5


class Bernoulli(ReconstructionLoss):
    """The binary cross entropy of two pictures, each value a probability, summed over the picture.

    Kingma and Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114, appendix C.1. Values in [-1, 1] become
    probabilities in [0, 1]. It is not 0 where both are equal but grey: it is the entropy then.

    Differs from the paper: probabilities are moved by at most 1e-5 away from 0 and 1, so that a network that ends in
    tanh may be sure. What is made outside of [-1, 1] counts as the nearest end of it, without a gradient.
    """

    name = "bernoulli"
    paper = "arXiv:1312.6114"
    needs = ("image",)
    summed = True

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        probability, target = ((values.clamp(-1, 1) + 1) / 2 for values in (made, wanted))
        safe = _LEAST + (1 - 2 * _LEAST) * probability
        return F.binary_cross_entropy(safe, target, reduction="none").flatten(1).sum(1)


@hookimpl
def register_losses(register: Any) -> None:
    register(Bernoulli)
