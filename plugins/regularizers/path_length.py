"""Karras et al. 2019, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958, section 3.2."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl, mean_over_processes


class PathLength(Regularizer):
    """Keeps how far the picture moves when a style moves a little the same everywhere.

    Karras et al. 2019, arXiv:1912.04958, section 3.2 and equation 4: weight * E[(|J^T y| - a)^2], where J is the
    derivative of the picture by the styles, y a picture of normal noise over the root of its number of pixels, and a
    the moving average of the lengths |J^T y|. A length is the root of the mean, over the styles of a sample's layers,
    of their squared lengths. The average takes in the lengths before the penalty is computed from it, without
    gradient; it is part of the state. Lazy, as published: `every=4`.

    Differs from the paper: none known; the samples are the first of the generator's own batch, drawn anew by their
    latents (with other noise and mixing), as in the authors' code.

    Args:
        weight: how much the penalty counts, at least 0.
        decay: how much of an average is new each time, in (0, 1].
        every: steps between penalties; the weight is scaled up to match.
        shrink: into how many parts the batch is cut, of which one is used.
    """

    name = "path-length"
    paper = "arXiv:1912.04958"
    needs = ("image", "smooth_samples", "mapped_latents")
    sides = ("generator",)

    def __init__(self, weight: float = 2.0, decay: float = 0.01, every: int = 4, shrink: int = 2):
        if weight < 0 or not 0 < decay <= 1 or min(every, shrink) < 1:
            raise ValueError("weight must not be negative, decay lies in (0, 1], every and shrink are at least 1")
        self.weight, self.decay, self.every, self.shrink = weight, decay, every, shrink
        self.means: dict[str, Tensor] = {}  # by discriminator

    def penalty(self, turn: Turn) -> Tensor:
        game = turn.game
        assert turn.latent is not None
        count = max(1, len(turn.latent) // self.shrink)
        generator: Any = game.networks.generator
        with game.arithmetic():
            label = None if turn.fake_label is None else turn.fake_label[:count]
            styles = generator.mapping(turn.latent[:count], label)
            samples = generator.synthesis(styles).to(game.dtype)
        noise = turn.draws.normal("path length", count, *samples.shape[1:]).to(samples.dtype)
        lengths = path_lengths(samples, styles, noise / math.sqrt(samples.shape[2] * samples.shape[3]))
        return self.weight * (lengths - self._follow(turn.name, lengths)).square().mean()

    def _follow(self, name: str, lengths: Tensor) -> Tensor:
        """The average of the lengths after these."""
        mean = mean_over_processes(lengths.detach().mean())
        self.means[name] = torch.lerp(self.means.get(name, torch.zeros_like(mean)), mean, self.decay)
        return self.means[name]

    def state(self) -> dict[str, Any]:
        return dict(self.means)

    def load(self, state: dict[str, Any]) -> None:
        self.means = dict(state)


def path_lengths(samples: Tensor, styles: Tensor, noise: Tensor) -> Tensor:
    """|J^T noise| of each sample [N], to be differentiated again; styles [N, layers, style] made the samples."""
    (moved,) = torch.autograd.grad((samples * noise).sum(), styles, create_graph=True)
    return moved.square().sum(2).mean(1).sqrt()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(PathLength)
