"""A pair that grows: it starts at half the size, and fades the full size in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import (
    Architecture,
    Draws,
    Game,
    Move,
    Networks,
    Optimizer,
    Plan,
    Procedure,
    Request,
    Scores,
    SizeError,
    Spec,
    hookimpl,
    sample_latent_generator,
)


def _double(pictures: Tensor) -> Tensor:
    return F.interpolate(pictures, scale_factor=2)


class Generator(nn.Module):
    """A latent [N, latent] becomes pictures of half the size (progress 0), of the full size (1), or between the two."""

    def __init__(self, latent: int, width: int, shape: tuple[int, ...]):
        super().__init__()
        channels, height, width_pixels = shape
        self.progress, self.base = 1.0, (width, height // 2, width_pixels // 2)
        self.begin = nn.Linear(latent, width * self.base[1] * self.base[2])
        self.grown = nn.Conv2d(width, width, 3, padding=1)
        self.small, self.large = nn.Conv2d(width, channels, 1), nn.Conv2d(width, channels, 1)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        hidden = self.begin(latent).reshape(-1, *self.base).relu()
        hidden = hidden + 0.1 * torch.randn_like(hidden[:, :1])
        if self.progress == 0:
            return self.small(hidden).tanh()
        large = self.large(self.grown(_double(hidden)).relu()).tanh()
        return large if self.progress == 1 else torch.lerp(_double(self.small(hidden).tanh()), large, self.progress)


class Discriminator(nn.Module):
    """A score [N] of pictures of half or of the full size."""

    def __init__(self, width: int, shape: tuple[int, ...]):
        super().__init__()
        channels, height, width_pixels = shape
        self.progress = 1.0
        self.small, self.large = nn.Conv2d(channels, width, 1), nn.Conv2d(channels, width, 1)
        self.grown = nn.Conv2d(width, width, 3, padding=1)
        self.out = nn.Linear(width * (height // 2) * (width_pixels // 2), 1)

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Scores:
        if self.progress == 0:
            hidden = F.leaky_relu(self.small(pictures), 0.2)
        else:
            hidden = F.avg_pool2d(F.leaky_relu(self.grown(F.leaky_relu(self.large(pictures), 0.2)), 0.2), 2)
            if self.progress < 1:
                hidden = torch.lerp(F.leaky_relu(self.small(F.avg_pool2d(pictures, 2)), 0.2), hidden, self.progress)
        return Scores(self.out(hidden.flatten(1)).flatten())


class ToyGrowingNetworks(Architecture):
    """Networks for pictures that can be used at half their size first; the generator has noise of its own.

    Args:
        latent: size of the latent.
        width: channels of every layer.
    """

    name = "toy-growing"
    needs = ("image",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores", "grows")
    procedure = "toy-growing"
    tiny = {"latent": 4, "width": 4}

    def __init__(self, latent: int = 32, width: int = 16):
        self.latent_size, self.width = latent, width

    def build(self, spec: Spec, plan: Plan) -> Networks:
        if spec.shape[1] % 2 or spec.shape[2] % 2:
            raise SizeError(
                f"toy-growing makes pictures with even sides, not {spec.shape[1]}x{spec.shape[2]}; try size=32"
            )
        return Networks.pair(Generator(self.latent_size, self.width, spec.shape), Discriminator(self.width, spec.shape))

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)


class ToyGrowing(Procedure):
    """Discriminator and generator move in turn, at half the size first; then the full size is faded in.

    Args:
        rate: learning rate.
        grow_at: first step at more than half the size.
        fade_steps: how many steps the full size is faded in for.
        half_size_batches: how many batches make one at half the size, where there is room for more.
    """

    name = "toy-growing"
    needs = ("image", "grows", "latent_generator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")
    tiny = {"grow_at": 2, "fade_steps": 2}

    def __init__(self, rate: float = 1e-3, grow_at: int = 1000, fade_steps: int = 1000, half_size_batches: int = 2):
        if min(grow_at, fade_steps, half_size_batches) < 1:
            raise ValueError("grow_at, fade_steps and half_size_batches must be at least 1")
        self.rate, self.grow_at, self.fade_steps, self.half_size_batches = rate, grow_at, fade_steps, half_size_batches

    def start(self, game: Game) -> None:
        optimizer = Optimizer(rate=self.rate, beta1=0.0)
        self.discriminator = game.add_player("discriminator", game.networks.discriminators, optimizer)
        self.generator = game.add_player("generator", game.networks.generators, optimizer)

    def progress(self, step: int) -> float:
        """0 at half the size, 1 at the full size, between them while it fades in."""
        return min(1.0, max(0, step - self.grow_at + 1) / self.fade_steps)

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        progress = self._grow(game)
        real = game.take(game.batch * (1 if progress else self.half_size_batches)).sample
        if progress < 1:
            small = F.avg_pool2d(real, 2)
            real = small if progress == 0 else torch.lerp(_double(small), real, progress)
        with torch.no_grad():
            fake = game.generate(game.latent(len(real)))
        yield Move(self.discriminator, [game.discriminator_terms(self.discriminator, real, fake)])
        latent = game.latent(len(real))
        terms = game.generator_terms(self.generator, game.generate(latent), real=real, latent=latent)
        yield Move(self.generator, [terms])

    def _grow(self, game: Game) -> float:
        progress = self.progress(game.step)
        for network in game.networks.all().values():
            network.progress = progress  # type: ignore[assignment]
        return progress

    def sample(self, game: Game, asked: Request) -> Tensor:
        self._grow(game)  # a function of the step, which a run that is only sampled knows too
        made = sample_latent_generator(game, game.networks.generator, asked)
        return made if made.shape[1:] == game.spec.shape else _double(made)


@hookimpl
def register_architectures(register: Any) -> None:
    register(ToyGrowingNetworks)


@hookimpl
def register_procedures(register: Any) -> None:
    register(ToyGrowing)
