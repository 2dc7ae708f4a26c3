"""Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028."""

from __future__ import annotations

from typing import Any

from ganzoo import hookimpl
from ganzoo_plugins.losses.wgan import Wasserstein


class WassersteinGP(Wasserstein):
    """Wasserstein distance, with a gradient penalty in place of clipped weights.

    Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1. Brings `gradient-penalty` of weight 10 and suggests the
    paper's Adam (rate 1e-4, betas 0 and 0.9) and five discriminator moves.

    Differs from the paper: none known.
    """

    name = "wgan-gp"
    paper = "arXiv:1704.00028"
    brings = ("gradient-penalty:weight=10",)
    suggests = {"n_critic": 5, "optimizer": "adam", "rate": 1e-4, "beta1": 0.0, "beta2": 0.9}


@hookimpl
def register_losses(register: Any) -> None:
    register(WassersteinGP)
