"""Lim and Ye 2017, Geometric GAN, arXiv:1705.02894, and Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class Hinge(AdversarialLoss):
    """Margins: real scores count only below 1, fake ones only above -1.

    Lim and Ye 2017, Geometric GAN, arXiv:1705.02894, and Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17.

    Differs from the paper: none known.
    """

    name = "hinge"
    paper = "arXiv:1705.02894"

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return F.relu(1 - real.value) + F.relu(1 + fake.value)

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return -fake.value


@hookimpl
def register_losses(register: Any) -> None:
    register(Hinge)
