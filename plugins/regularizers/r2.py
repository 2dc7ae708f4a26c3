"""Mescheder, Geiger and Nowozin 2018, Which Training Methods for GANs do actually Converge?, arXiv:1801.04406."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl
from ganzoo_plugins.regularizers.r1 import squared_gradient, weight_at


class R2(Regularizer):
    """Penalises the squared norm of the discriminator's gradient at fake samples.

    Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406, equation 10: gamma / 2 * mean(|gradient|^2). The twin of `r1`,
    with which it is often used (Huang et al. 2024, arXiv:2501.05441).

    Differs from the paper: none known.

    Args:
        gamma: weight, at least 0.
        every: steps between penalties, at least 1; the weight is scaled up to match.
        gamma_end: where gamma goes along a half cosine (Huang et al. 2025, arXiv:2501.05441); none: it stays.
        gamma_steps: in how many steps.
    """

    name = "r2"
    paper = "arXiv:1801.04406"
    needs = ("smooth_samples", "per_sample_scores")
    differentiates = ("fake",)

    def __init__(self, gamma: float = 10.0, every: int = 1, gamma_end: float | None = None, gamma_steps: int = 0):
        if every < 1 or min(gamma, gamma_end or 0.0, gamma_steps) < 0:
            raise ValueError("every must be at least 1, and gamma, gamma_end and gamma_steps must not be negative")
        if gamma_end is not None and not gamma_steps:
            raise ValueError("gamma_end needs gamma_steps, the number of steps in which it is reached")
        self.gamma, self.every, self.gamma_end, self.gamma_steps = gamma, every, gamma_end, gamma_steps

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.fake_scores is not None
        return squared_gradient(turn.fake_scores, turn.fake, weight_at(self, turn.step) / 2).mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(R2)
