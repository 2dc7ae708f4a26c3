"""Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076, equation 9 (a=0, b=c=1)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class LeastSquares(AdversarialLoss):
    """Least squares: real scores are pulled to 1 and fake ones to 0.

    Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076, equation 9 (a=0, b=c=1).

    Differs from the paper: none known.
    """

    name = "lsgan"
    paper = "arXiv:1611.04076"

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return ((real.value - 1) ** 2 + fake.value**2) / 2

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return (fake.value - 1) ** 2 / 2


@hookimpl
def register_losses(register: Any) -> None:
    register(LeastSquares)
