"""Arjovsky, Chintala and Bottou 2017, Wasserstein GAN, arXiv:1701.07875."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import AdversarialLoss, Scores, hookimpl


class Wasserstein(AdversarialLoss):
    """Wasserstein distance: the difference of mean scores, with the discriminator's weights clipped.

    Arjovsky, Chintala and Bottou 2017, arXiv:1701.07875, equation 2 and algorithm 1. Brings `weight-clip` and suggests
    the paper's RMSprop at 5e-5 and five discriminator moves;
    `--no-reg weight-clip` with another constraint leaves it out.

    Differs from the paper: no longer phases of discriminator moves at the start, as the authors' code has.
    """

    name = "wgan"
    paper = "arXiv:1701.07875"
    brings = ("weight-clip:limit=0.01",)
    suggests = {"n_critic": 5, "optimizer": "rmsprop", "rate": 5e-5}

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        return fake.value - real.value

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        return -fake.value


@hookimpl
def register_losses(register: Any) -> None:
    register(Wasserstein)
