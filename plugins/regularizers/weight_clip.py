"""Arjovsky, Chintala and Bottou 2017, Wasserstein GAN, arXiv:1701.07875."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo import Networks, Regularizer, hookimpl


class WeightClip(Regularizer):
    """Clips every discriminator parameter to a small box after each of its moves.

    Arjovsky, Chintala and Bottou 2017, arXiv:1701.07875, algorithm 1, line 7.

    Differs from the paper: none known.

    Args:
        limit: largest absolute value.
    """

    name = "weight-clip"
    paper = "arXiv:1701.07875"

    def __init__(self, limit: float = 0.01):
        if limit <= 0:
            raise ValueError("limit must be positive")
        self.limit = limit

    def project(self, networks: Networks) -> None:
        parameters: list[Tensor] = [
            parameter for network in networks.discriminators.values() for parameter in network.parameters()
        ]
        torch._foreach_clamp_min_(parameters, -self.limit)
        torch._foreach_clamp_max_(parameters, self.limit)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(WeightClip)
