"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 3.3."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class HistoricalAverage(Regularizer):
    """Keeps the parameters of both sides near the mean of what they have been.

    Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen 2016, arXiv:1606.03498, section 3.3, after fictitious play:
    weight * |theta - 1/t (theta_1 + ... + theta_t)|^2, where theta_i are all the parameters of whoever moves, before
    its move i; theta_t is the present one. The mean is a constant to the gradient, is kept for each player and
    discriminator, and is part of the state.

    Differs from the paper: none known; it gives no weight.

    Args:
        weight: at least 0.
    """

    name = "historical-average"
    paper = "arXiv:1606.03498"
    sides: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def __init__(self, weight: float = 1.0):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight
        # By player and discriminator: all parameters in a row, in whatever layout they lie, and of how many moves.
        self.means: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def penalty(self, turn: Turn) -> Tensor:
        now = torch.cat([parameter.reshape(-1) for parameter in turn.player.parameters.values()])
        return self.weight * (now - self._follow(f"{turn.player.name} of {turn.name}", now.detach())).square().sum()

    def _follow(self, name: str, now: Tensor) -> Tensor:
        """The mean with the present parameters."""
        self.counts[name] = count = self.counts.get(name, 0) + 1
        self.means[name] = now if count == 1 else torch.lerp(self.means[name], now, 1 / count)
        return self.means[name]

    def state(self) -> dict[str, Any]:
        return {"means": dict(self.means), "counts": dict(self.counts)}

    def load(self, state: dict[str, Any]) -> None:
        self.means, self.counts = dict(state.get("means", {})), dict(state.get("counts", {}))


@hookimpl
def register_regularizers(register: Any) -> None:
    register(HistoricalAverage)
