"""Karras, Aila, Laine and Lehtinen 2018, Progressive Growing of GANs, arXiv:1710.10196."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class Drift(Regularizer):
    """Keeps the scores of real samples from drifting away from zero.

    Karras, Aila, Laine and Lehtinen 2018, Progressive Growing of GANs, arXiv:1710.10196, appendix A.1:
    weight * mean(score^2) of real samples.

    Differs from the paper: none known.

    Args:
        weight: the paper's epsilon, at least 0.
    """

    name = "drift"
    paper = "arXiv:1710.10196"
    tiny = {"weight": 1.0}  # the default is too small to be seen after a few steps

    def __init__(self, weight: float = 0.001):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real_scores is not None
        return self.weight * turn.real_scores.value.square().mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(Drift)
