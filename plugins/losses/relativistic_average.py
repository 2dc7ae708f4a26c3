"""Jolicoeur-Martineau 2018, The relativistic discriminator: a key element missing from standard GAN,
arXiv:1807.00734."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl, mean_over_processes


class RelativisticAverage(AdversarialLoss):
    """Real samples should score higher than fake ones do on average, and the generator turns that round.

    Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4 and algorithm 2 (RaSGAN, the logistic form of RaGAN):
    -log sigmoid(real - mean fake) - log(1 - sigmoid(fake - mean real)), and for the generator the same with real and
    fake exchanged. The means are over the batch, or over the micro-batch.

    Differs from the paper: none known (the authors' code halves both losses).
    """

    name = "relativistic-average"
    paper = "arXiv:1807.00734"
    relativistic = True

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        mean_real, mean_fake = (mean_over_processes(scores.value.mean()) for scores in (real, fake))
        return F.softplus(mean_fake - real.value) + F.softplus(fake.value - mean_real)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        assert real is not None
        return self.discriminator(fake, real)


@hookimpl
def register_losses(register: Any) -> None:
    register(RelativisticAverage)
