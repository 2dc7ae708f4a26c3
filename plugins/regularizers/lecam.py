"""Tseng, Jiang, Liu, Yang and Yang 2021, Regularizing Generative Adversarial Networks under Limited Data,
arXiv:2104.03310."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Scores, Turn, hookimpl, mean_over_processes


class LeCam(Regularizer):
    """Pulls real scores to the fake ones' moving average, and fake scores to the real ones'.

    Tseng, Jiang, Liu, Yang and Yang 2021, arXiv:2104.03310, section 3:
    weight * (mean((real - average of fake)^2) + mean((fake - average of real)^2)). The averages (the paper's anchors)
    begin at the first mean, and take in the scores, without gradient, before the penalty is computed from them. Each
    discriminator has its own; they are part of the state.

    Differs from the paper: none known.

    Args:
        weight: the paper's lambda, at least 0.
        decay: how much of an average stays each time, from 0 to below 1.
    """

    name = "lecam"
    paper = "arXiv:2104.03310"
    tiny = {"weight": 1.0}

    def __init__(self, weight: float = 0.01, decay: float = 0.99):
        if weight < 0 or not 0 <= decay < 1:
            raise ValueError("weight must not be negative, and decay lies in [0, 1)")
        self.weight, self.decay = weight, decay
        self.anchors: dict[str, dict[str, Tensor]] = {}  # by discriminator: the averages of `real` and `fake`

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.real_scores is not None and turn.fake_scores is not None
        real, fake = turn.real_scores.value, turn.fake_scores.value
        anchors = self._follow(turn.name, real=turn.real_scores, fake=turn.fake_scores)
        return self.weight * ((real - anchors["fake"]).square().mean() + (fake - anchors["real"]).square().mean())

    def _follow(self, name: str, **scores: Scores) -> dict[str, Tensor]:
        """A discriminator's anchors after these scores."""
        means = {side: mean_over_processes(found.value.detach().mean()) for side, found in scores.items()}
        old = self.anchors.get(name, means)
        self.anchors[name] = {side: torch.lerp(mean, old[side], self.decay) for side, mean in means.items()}
        return self.anchors[name]

    def state(self) -> dict[str, Any]:
        return {name: dict(anchors) for name, anchors in self.anchors.items()}

    def load(self, state: dict[str, Any]) -> None:
        self.anchors = {name: dict(anchors) for name, anchors in state.items()}


@hookimpl
def register_regularizers(register: Any) -> None:
    register(LeCam)
