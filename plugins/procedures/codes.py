"""What procedures that reconstruct share: real samples that stay with the run, and Gaussians of codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import Draws, Game, Request

KEPT = 16  # real samples that stay with a run


class Kept:
    """The first samples [K, ...] of the data and their labels [K] or None, so that a run shows them without its data.

    Without data (`sample` is None) they come with the run's state.
    """

    def __init__(self, game: Game):
        self.sample: Tensor | None = None
        self.label: Tensor | None = None
        if game.stream is not None:
            collection = game.stream.collection
            batch = collection.fetch(list(range(min(KEPT, len(collection))))).to(game.device)
            self.sample, self.label = batch.sample.to(game.dtype), batch.label

    def state(self) -> dict[str, Tensor]:
        found = {"sample": self.sample, "label": self.label}
        return {name: value for name, value in found.items() if value is not None}

    def load(self, state: dict[str, Any]) -> None:
        self.sample, self.label = state.get("sample"), state.get("label")

    def beside(
        self,
        reconstruct: Callable[[Tensor, Tensor | None], Tensor],
        asked: Request,
        sample: Callable[[Request], Tensor] | None = None,
    ) -> list[Tensor]:
        """As many of them as were asked for, what is made of them and, where `sample` makes them, as many new ones; on
        the CPU."""
        if self.sample is None:
            return []
        kept, label = self.sample[: asked.count], None if self.label is None else self.label[: asked.count]
        new = [] if sample is None else [sample(Request(len(kept), asked.seed))]
        return [kept.cpu(), reconstruct(kept, label).detach().cpu(), *new]


def note_error(game: Game, made: Tensor, wanted: Tensor) -> None:
    """Log the mean squared difference of a value, of pictures as if they lay in [0, 1], whatever the loss is."""
    scale = 2 if game.spec.kind == "image" else 1
    game.note("reconstruction/error", ((made.detach() - wanted) / scale).square().mean())


def drawn_as(mean: Tensor, covariance: Tensor) -> Callable[[Draws, int], Tensor]:
    """Draws [count, D] from the Gaussian of this mean [D] and covariance [D, D], which may be singular."""
    values, vectors = torch.linalg.eigh(covariance.double())
    factor = vectors * values.clamp(min=0).sqrt()

    def draw(draws: Draws, count: int) -> Tensor:
        return mean.double() + draws.normal("codes", count, len(mean)).double() @ factor.T

    return draw


class Heads(nn.Module):
    """The mean and the logarithm of the variance, [N, size] each, of what features [N, features] may stand for."""

    def __init__(self, features: int, size: int):
        super().__init__()
        self.mean, self.log_variance = nn.Linear(features, size), nn.Linear(features, size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        # Wider or narrower than this a variance changes nothing but that its exponential overflows.
        return self.mean(features), self.log_variance(features).clamp(-30, 20)


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback and Leibler's divergence [N] of diagonal Gaussians [N, D] from the standard normal one; Kingma and
    Welling 2014, arXiv:1312.6114, appendix B."""
    return (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2
