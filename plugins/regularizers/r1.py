"""Mescheder, Geiger and Nowozin 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406."""

from __future__ import annotations

import math
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
        gamma_end: where gamma goes along a half cosine (Huang et al. 2025, arXiv:2501.05441); none: it stays.
        gamma_steps: in how many steps.
    """

    name = "r1"
    paper = "arXiv:1801.04406"
    needs = ("smooth_samples", "per_sample_scores")
    differentiates = ("real",)

    def __init__(self, gamma: float = 10.0, every: int = 1, gamma_end: float | None = None, gamma_steps: int = 0):
        if every < 1 or min(gamma, gamma_end or 0.0, gamma_steps) < 0:
            raise ValueError("every must be at least 1, and gamma, gamma_end and gamma_steps must not be negative")
        if gamma_end is not None and not gamma_steps:
            raise ValueError("gamma_end needs gamma_steps, the number of steps in which it is reached")
        self.gamma, self.every, self.gamma_end, self.gamma_steps = gamma, every, gamma_end, gamma_steps

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real is not None and turn.real_scores is not None
        return squared_gradient(turn.real_scores, turn.real, weight_at(self, turn.step) / 2).mean()


def weight_at(penalty: Any, step: int) -> float:
    """The gamma of a step."""
    gamma: float = penalty.gamma
    if penalty.gamma_end is None:
        return gamma
    share = min(1.0, (step - 1) / penalty.gamma_steps)
    end: float = penalty.gamma_end
    return end + (gamma - end) * (1 + math.cos(math.pi * share)) / 2


def squared_gradient(scores: Scores, samples: Tensor, weight: float = 1.0) -> Tensor:
    """weight * the squared norms [N] of the gradients of each sample's score by all of its values."""
    (gradient,) = torch.autograd.grad(scores.value.sum(), samples, create_graph=True)
    return ops.gradient_penalty(gradient, "squared", weight=weight)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(R1)
