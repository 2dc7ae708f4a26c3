"""Kodali, Abernethy, Hays and Kira 2017, On Convergence and Stability of GANs, arXiv:1705.07215."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl, ops


class DRAGAN(Regularizer):
    """Pulls the norm of the discriminator's gradient to 1 near real samples.

    Kodali, Abernethy, Hays and Kira 2017, arXiv:1705.07215, algorithm 1: weight * mean((|gradient| - center)^2) at real
    samples with noise. The noise is spread * deviation of the batch's values * uniform numbers from 0 to 1, as in the
    authors' code.

    Differs from the paper: the noise is uniform, where the text has it normal.

    Args:
        weight: the paper's lambda, at least 0.
        center: the norm that it is pulled to (the paper's k), at least 0.
        spread: largest noise, in standard deviations of the batch; more than 0.
        every: steps between penalties, at least 1; the weight is scaled up to match.
    """

    name = "dragan"
    paper = "arXiv:1705.07215"
    needs = ("smooth_samples", "per_sample_scores")

    def __init__(self, weight: float = 10.0, center: float = 1.0, spread: float = 0.5, every: int = 1):
        if every < 1 or min(weight, center) < 0 or spread <= 0:
            raise ValueError("every must be at least 1, spread positive, and weight and center must not be negative")
        self.weight, self.center, self.spread, self.every = weight, center, spread, every

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real is not None
        real = turn.real.detach()
        noise = turn.draws.uniform("dragan", len(real), *real.shape[1:]).to(real.dtype)
        near = (real + self.spread * real.std(correction=0) * noise).requires_grad_()
        (gradient,) = torch.autograd.grad(turn.score(near).value.sum(), near, create_graph=True)
        return ops.gradient_penalty(gradient, "two-sided", self.center, self.weight).mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(DRAGAN)
