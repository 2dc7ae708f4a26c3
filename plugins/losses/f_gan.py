"""Nowozin, Cseke and Tomioka 2016, f-GAN: Training Generative Neural Samplers using Variational Divergence
Minimization, arXiv:1606.00709."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl

STEEP = 10.0  # where exp goes on along its tangent


def bounded_exp(x: Tensor) -> Tensor:
    """exp(x) up to STEEP, and its tangent there beyond: increasing, convex, and finite for every score."""
    return x.clamp(max=STEEP).exp() * (1 + F.relu(x - STEEP))


# By divergence: g_f(v), and f*(g_f(v)) simplified, so that nothing leaves the domain of f*.
FORMS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "kl": (lambda v: v, lambda v: bounded_exp(v - 1)),
    "reverse-kl": (lambda v: -bounded_exp(-v), lambda v: v - 1),
    "pearson": (lambda v: v, lambda v: v**2 / 4 + v),
    "jensen-shannon": (lambda v: math.log(2) - F.softplus(-v), lambda v: F.softplus(v) - math.log(2)),
    "squared-hellinger": (lambda v: 1 - bounded_exp(-v), lambda v: bounded_exp(v) - 1),
}


class FGAN(AdversarialLoss):
    """The discriminator measures an f-divergence between data and samples from below, and the generator lowers it.

    Nowozin, Cseke and Tomioka 2016, arXiv:1606.00709, equations 6 and 7 with the divergences of table 1 and the output
    activations g_f and conjugates f* of tables 2 and 6: the discriminator maximises g_f(real) - f*(g_f(fake)). The
    generator maximises g_f(fake), the paper's practical choice (section 3.2), or with `saturating` minimises
    -f*(g_f(fake)), the bound itself.

    kl, reverse-kl and squared-hellinger take exp of a score. Beyond an exponent of 10 it goes on along its tangent, so
    that scores of any size give finite values and gradients; up to there the formulas are exact.

    Differs from the paper: that bound on exp; reverse-kl has g_f(v) = -exp(-v), where table 2 prints -exp(v), so that
    as for the others a larger score means more like the data.

    Args:
        divergence: which divergence, of the data from the samples. With kl and pearson nothing bounds what a generator
            gains, so they want a penalty on the discriminator's gradient, such as `r1`.
        saturating: the generator minimises the bound itself.
    """

    name = "f-gan"
    paper = "arXiv:1606.00709"

    def __init__(
        self,
        divergence: Literal["kl", "reverse-kl", "pearson", "jensen-shannon", "squared-hellinger"] = "squared-hellinger",
        saturating: bool = False,
    ):
        self.activation, self.conjugate = FORMS[divergence]
        self.saturating = saturating

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return self.conjugate(fake.value) - self.activation(real.value)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return -(self.conjugate if self.saturating else self.activation)(fake.value)


@hookimpl
def register_losses(register: Any) -> None:
    register(FGAN)
