"""Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661, equation 1."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class Minimax(AdversarialLoss):
    """The original game: the generator minimises the discriminator's chance of being right.

    Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661, equation 1.

    Scores are logits: log D = -softplus(-score), so that large scores stay finite.

    Differs from the paper: none known.
    """

    name = "minimax"
    paper = "arXiv:1406.2661"
    offers = ("logistic_loss",)

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return F.softplus(-real.value) + F.softplus(fake.value)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return -F.softplus(fake.value)


@hookimpl
def register_losses(register: Any) -> None:
    register(Minimax)
