"""Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661, section 3."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class NonSaturating(AdversarialLoss):
    """The original game with a generator that maximises log D of its samples.

    Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661, section 3.

    Scores are logits: log D = -softplus(-score), so that large scores stay finite.

    Differs from the paper: none known.
    """

    name = "nonsaturating"
    paper = "arXiv:1406.2661"
    offers = ("logistic_loss",)

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return F.softplus(-real.value) + F.softplus(fake.value)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return F.softplus(-fake.value)


@hookimpl
def register_losses(register: Any) -> None:
    register(NonSaturating)
