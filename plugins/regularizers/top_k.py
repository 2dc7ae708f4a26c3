"""Sinha et al. 2020, Top-k Training of GANs, arXiv:2002.06224."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class TopK(Regularizer):
    """Trains the generator on the best-scored samples of its batch only.

    Sinha, Zhao, Goyal, Raffel and Odena 2020, arXiv:2002.06224, section 3: of a batch of B, the k samples
    that the discriminator scores highest count. k begins at B, is multiplied by `decay` after every epoch, and never
    falls below `share` * B; it is rounded up. The penalty is the mean loss of those k less the mean of all, so that
    with the loss it makes exactly the former.

    Differs from the paper: none known. A map of scores counts by its mean, and micro-batches each keep their own best.

    Args:
        decay: the paper's gamma, more than 0 and at most 1.
        share: the paper's nu, least share of the batch that counts, more than 0 and at most 1.
        epoch: steps after which k falls, at least 1; 0: as many as show the data once.
    """

    name = "top-k"
    paper = "arXiv:2002.06224"
    needs = ("adversarial_loss",)
    sides = ("generator",)
    tiny = {"decay": 0.5, "epoch": 1}

    def __init__(self, decay: float = 0.99, share: float = 0.5, epoch: int = 0):
        if not (0 < decay <= 1 and 0 < share <= 1) or epoch < 0:
            raise ValueError("decay and share must be more than 0 and at most 1, and epoch must not be negative")
        self.decay, self.share, self.epoch = decay, share, epoch

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.fake_scores is not None
        losses = turn.game.loss.generator(turn.real_scores, turn.fake_scores)
        scores = turn.fake_scores.value.detach().reshape(len(losses), -1).mean(1)
        kept = self.kept(turn, len(scores))
        counts = torch.zeros_like(scores).scatter(0, scores.topk(kept).indices, len(scores) / kept)
        return (losses.reshape(len(losses), -1).mean(1) * (counts - 1)).mean()

    def kept(self, turn: Turn, count: int) -> int:
        """How many of `count` samples are trained on at this step."""
        epoch = self.epoch or max(1, turn.game.data_size // turn.game.batch)
        return math.ceil(count * max(self.share, self.decay ** ((turn.step - 1) // epoch)))


@hookimpl
def register_regularizers(register: Any) -> None:
    register(TopK)
