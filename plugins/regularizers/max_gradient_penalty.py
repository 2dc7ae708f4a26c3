"""Zhou et al. 2019, Lipschitz Generative Adversarial Nets, arXiv:1902.05687."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl, ops
from ganzoo_plugins.regularizers.r1 import squared_gradient


class MaxGradientPenalty(Regularizer):
    """Penalises the largest squared norm of the discriminator's gradient between real and fake samples.

    Zhou, Liang, Song, Yu, Wang, Zhang, Yu and Zhang 2019, arXiv:1902.05687 (there MaxGP): weight * the batch's
    largest |gradient|^2, at points drawn uniformly on the lines between pairs. It asks for a small Lipschitz constant,
    not for one of 1.

    Differs from the paper: the largest norm of this batch only; the paper also keeps points where the norm was large.

    Args:
        weight: the paper's lambda, at least 0.
        every: steps between penalties, at least 1; the weight is scaled up to match.
    """

    name = "max-gradient-penalty"
    paper = "arXiv:1902.05687"
    needs = ("smooth_samples", "per_sample_scores")

    def __init__(self, weight: float = 1.0, every: int = 1):
        if every < 1 or weight < 0:
            raise ValueError("every must be at least 1 and weight must not be negative")
        self.weight, self.every = weight, every

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real is not None
        real, fake = turn.real.detach(), turn.fake.detach()
        mix = turn.draws.uniform("max-gradient-penalty", len(real)).to(real.dtype)
        between = ops.between(real, fake, mix).requires_grad_()
        return self.weight * squared_gradient(turn.score(between), between).max()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(MaxGradientPenalty)
