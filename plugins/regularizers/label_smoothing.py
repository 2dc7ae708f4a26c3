"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class LabelSmoothing(Regularizer):
    """Asks the discriminator for a little less than certainty that real samples are real.

    Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen 2016, arXiv:1606.03498, section 3.4: the target of real
    samples is 1 - amount, that of fake ones stays 0 (one-sided). Where scores are log odds, the cross-entropy with that
    target is the one with target 1 plus amount * score, and the second term is this penalty.

    Differs from the paper: none known.

    Args:
        amount: how much is taken off the target, from 0 to below 1.
    """

    name = "label-smoothing"
    paper = "arXiv:1606.03498"
    needs = ("logistic_loss",)

    def __init__(self, amount: float = 0.1):
        if not 0 <= amount < 1:
            raise ValueError("amount must be at least 0 and less than 1")
        self.amount = amount

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real_scores is not None
        return self.amount * turn.real_scores.value.mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(LabelSmoothing)
