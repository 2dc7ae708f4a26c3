"""Mescheder, Geiger and Nowozin 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Scores, Turn, hookimpl, ops


class R1(Regularizer):
    """Penalises the squared norm of the discriminator's gradient at real samples.

    Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406, equation 9: gamma / 2 * mean(|gradient|^2). Lazy as in
    StyleGAN2 (Karras et al. 2019, arXiv:1912.04958, section 3.1) with `every=16`.

    Differs from the paper: none known.

    Args:
        gamma: weight.
        every: steps between penalties; the weight is scaled up to match.
    """

    name = "r1"
    paper = "arXiv:1801.04406"
    needs = ("smooth_samples", "per_sample_scores")
    differentiates = ("real",)

    def __init__(self, gamma: float = 10.0, every: int = 1):
        if every < 1 or gamma < 0:
            raise ValueError("every must be at least 1 and gamma must not be negative")
        self.gamma, self.every = gamma, every

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real is not None and turn.real_scores is not None
        return squared_gradient(turn.real_scores, turn.real, self.gamma / 2).mean()


def squared_gradient(scores: Scores, samples: Tensor, weight: float = 1.0) -> Tensor:
    """weight * the squared norms [N] of the gradients of each sample's score by all of its values."""
    (gradient,) = torch.autograd.grad(scores.value.sum(), samples, create_graph=True)
    return ops.gradient_penalty(gradient, "squared", weight=weight)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(R1)
