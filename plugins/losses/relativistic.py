"""Jolicoeur-Martineau 2018, The relativistic discriminator: a key element missing from standard GAN,
arXiv:1807.00734."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class Relativistic(AdversarialLoss):
    """Each real sample should score higher than the fake one it is paired with, and the generator turns that round.

    Jolicoeur-Martineau 2018, arXiv:1807.00734, section 4 and algorithm 1 (RSGAN, the logistic form of RGAN, now RpGAN):
    -log sigmoid(real - fake), and -log sigmoid(fake - real) for the generator. The i-th real sample of a batch is
    paired with the i-th fake one.

    Differs from the paper: none known.
    """

    name = "relativistic"
    paper = "arXiv:1807.00734"
    relativistic = True

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return F.softplus(fake.value - real.value)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        assert real is not None
        return F.softplus(real.value - fake.value)


@hookimpl
def register_losses(register: Any) -> None:
    register(Relativistic)
