"""Sonderby et al. 2017, Amortised MAP Inference for Image Super-resolution, arXiv:1610.04490; Arjovsky and Bottou 2017,
Towards Principled Methods for Training Generative Adversarial Networks, arXiv:1701.04862."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Draws, Regularizer, hookimpl


class InstanceNoise(Regularizer):
    """Adds noise to everything that a discriminator sees, less and less of it.

    Sonderby et al. 2017, arXiv:1610.04490, section 3.2; Arjovsky and Bottou 2017, arXiv:1701.04862, section 3.

    Differs from the paper: none known.

    Args:
        deviation: of the noise at the first step, in units of samples (pictures span -1 to 1).
        steps: until it has fallen to zero, linearly; 0: it stays.
    """

    name = "instance-noise"
    paper = "arXiv:1610.04490"
    needs = ("smooth_samples",)

    def __init__(self, deviation: float = 0.1, steps: int = 0):
        if deviation < 0 or steps < 0:
            raise ValueError("deviation and steps must not be negative")
        self.deviation, self.steps = deviation, steps

    def augment(self, x: Tensor, draws: Draws) -> Tensor:
        left = max(0.0, 1 - (draws.step - 1) / self.steps) if self.steps else 1.0
        if self.deviation * left == 0:
            return x
        return x + self.deviation * left * draws.normal("instance-noise", len(x), *x.shape[1:]).to(x.dtype)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(InstanceNoise)
