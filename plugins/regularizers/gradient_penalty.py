"""Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl, ops


class GradientPenalty(Regularizer):
    """Pulls the norm of the discriminator's gradient to 1 between real and fake samples.

    Gulrajani et al. 2017, arXiv:1704.00028, equation 3: weight * mean((|gradient| - center)^2) at points drawn
    uniformly on the lines between pairs. The norm is over all of a sample's values.
    One-sided: Petzka et al. 2018, arXiv:1709.08894.

    Differs from the paper: none known.

    Args:
        weight: the paper's lambda.
        center: the norm it is pulled to.
        one_sided: only norms above the centre count.
        every: steps between penalties; the weight is scaled up to match.
    """

    name = "gradient-penalty"
    paper = "arXiv:1704.00028"
    needs = ("smooth_samples", "per_sample_scores")

    def __init__(self, weight: float = 10.0, center: float = 1.0, one_sided: bool = False, every: int = 1):
        if every < 1 or weight < 0:
            raise ValueError("every must be at least 1 and weight must not be negative")
        self.weight, self.center, self.one_sided, self.every = weight, center, one_sided, every

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real is not None
        real, fake = turn.real.detach(), turn.fake.detach()
        mix = turn.draws.uniform("gradient-penalty", len(real)).to(real.dtype)
        between = ops.between(real, fake, mix).requires_grad_()
        (gradient,) = torch.autograd.grad(turn.score(between).value.sum(), between, create_graph=True)
        form = "one-sided" if self.one_sided else "two-sided"
        return ops.gradient_penalty(gradient, form, self.center, self.weight).mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(GradientPenalty)
