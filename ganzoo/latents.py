"""A trained generator as a map from a space that one can move in: that of its latents, or the one it maps them to.

White 2016, Sampling Generative Networks, arXiv:1609.04468: between two normal latents one goes on the great circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .draws import Draws, derive, seed_networks, without_a_trace
from .errors import RunError
from .game import CHUNK, Game, evaluating
from .run import Run

MEAN_OF = 2_000  # latents over which the middle of the space is found


class Space:
    """The space of a game's generator. Raises RunError where samples are not made of latents.

    mapped: the generator has the modules `mapping`, called with (latent, label), and `synthesis`, called with what that
    returns (StyleGAN's W): places are then in the mapped space, else they are latents.
    """

    def __init__(self, game: Game):
        if "latent_generator" not in game.parts.architecture.offers:
            raise RunError(f"architecture '{game.parts.architecture.name}' makes no samples from a latent")
        self.game = game
        self.network: Any = game.procedure.sampling_network(game)
        self.mapped = all(hasattr(self.network, name) for name in ("mapping", "synthesis"))
        self.classes = len(game.spec.classes)

    @contextmanager
    def still(self) -> Iterator[None]:
        """Within: the network in evaluation mode, without gradients, and random numbers that nobody else notices."""
        with evaluating(self.network), without_a_trace(self.game.device):
            yield

    def latents(self, seed: int, count: int) -> Tensor:
        """Those of the run's samples of this seed: the first is that of the first picture of `ganzoo sample`."""
        return torch.cat([self.game.latent(CHUNK, draws) for draws in self._draws(seed, count)])[:count]

    def labels(self, seed: int, count: int, label: int | None = None) -> Tensor | None:
        """The classes of the run's samples of this seed, or one class."""
        if not self.classes:
            return None
        if label is not None:
            return torch.full((count,), label, device=self.game.device)
        return torch.cat([draws.integers("label", CHUNK, high=self.classes) for draws in self._draws(seed, count)])[
            :count
        ]

    def enter(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        """The places of latents."""
        if not self.mapped:
            return latents
        with self.game.arithmetic():
            entered: Tensor = self.network.mapping(latents, labels)
        return entered.to(self.game.dtype)

    def make(self, places: Tensor, labels: Tensor | None, seed: int = 0) -> Tensor:
        """The samples of places [N, ...]; the network's own noise is that of the seed's samples."""
        seed_networks(derive(seed, "sample", 0, "networks"), self.game.device)
        with self.game.arithmetic():
            made: Tensor = self.network.synthesis(places) if self.mapped else self.network(places, labels)
        made, shape = made.to(self.game.dtype), self.game.spec.shape
        # A network that has not grown yet makes smaller pictures, which are shown enlarged.
        return nn.functional.interpolate(made, size=shape[1:]) if made.shape[1:] != shape else made

    def middle(self) -> Tensor:
        """The middle of the mapped space: the mean that the network keeps, or one over many latents."""
        kept: Tensor | None = getattr(self.network, "mean_style", None)
        return self.survey()[1].mean(0) if kept is None else kept

    def survey(self, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Many latents, and their places."""
        latents = self.game.latent(MEAN_OF, Draws(derive(0, "directions"), device=self.game.device))
        if labels is None and self.classes:
            labels = torch.zeros(MEAN_OF, dtype=torch.int64, device=self.game.device)
        return latents, self.enter(latents, labels)

    def between(self, start: Tensor, end: Tensor, at: float) -> Tensor:
        """A share of the way from places [N, ...] to others: straight where latents are mapped, else on the circle."""
        return start.lerp(end, at) if self.mapped else between(start, end, at)

    def _draws(self, seed: int, count: int) -> list[Draws]:
        return [Draws(derive(seed, "sample", start), device=self.game.device) for start in range(0, count, CHUNK)]


def space_of_pictures(run: Run, step: int | None, device: str) -> Space:
    """The space of a run's checkpoint. Raises RunError unless it makes pictures from a latent."""
    if run.spec.kind != "image" or run.spec.source is not None:
        raise RunError(f"{run.path} makes no pictures from a latent")
    return Space(run.game(step, device))


def between(start: Tensor, end: Tensor, at: float) -> Tensor:
    """On the great circle from latents `[N, ...]` to others; on the straight line where they point the same way."""
    first, second = start.flatten(1), end.flatten(1)
    cosine = nn.functional.cosine_similarity(first, second, dim=1)[:, None].clamp(-1, 1)
    angle = cosine.arccos()
    sine = angle.sin()
    circle = (((1 - at) * angle).sin() * first + (at * angle).sin() * second) / sine.clamp_min(1e-6)
    return torch.where(sine > 1e-4, circle, first.lerp(second, at)).reshape(start.shape)
