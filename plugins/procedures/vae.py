"""Variational autoencoders. Kingma and Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

from torch import Tensor, nn

from ganzoo import (
    Draws,
    Game,
    Move,
    Optimizer,
    Procedure,
    Request,
    Spec,
    evaluating,
    hookimpl,
    sample_latent_generator,
    without_a_trace,
)
from ganzoo_plugins.procedures.codes import Heads, Kept, divergence, note_error

_HIDDEN = 256  # units of a layer that is fully connected


class Encoder(nn.Module):
    """A sample [N, *shape] becomes the mean and the logarithm of the variance, [N, size] each, of its latent.

    Pictures are halved by strided convolutions, each twice as wide, to less than 8 pixels a side; anything else goes
    through two fully connected layers. Nothing is normalised over the batch, so that a code is the sample's own.
    """

    def __init__(self, spec: Spec, size: int, width: int):
        super().__init__()
        layers, features = _halving(spec.shape, width) if spec.kind == "image" else _flat(spec.shape)
        self.main, self.heads = nn.Sequential(*layers, nn.Flatten()), Heads(features, size)

    def forward(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = self.heads(self.main(samples))
        return found


def _halving(shape: tuple[int, ...], width: int) -> tuple[list[nn.Module], int]:
    channels, height, breadth = shape
    layers: list[nn.Module] = []
    while min(height, breadth) >= 8:
        layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        channels, width, height, breadth = width, min(width * 2, 512), height // 2, breadth // 2
    return layers, channels * height * breadth


def _flat(shape: tuple[int, ...]) -> tuple[list[nn.Module], int]:
    first, second = nn.Linear(math.prod(shape), _HIDDEN), nn.Linear(_HIDDEN, _HIDDEN)
    return [nn.Flatten(), first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2)], _HIDDEN


class VAE(Procedure):
    """An encoder and the generator make each sample of its own noisy latent: a variational autoencoder.

    Kingma and Welling 2014, arXiv:1312.6114, equation 10: the loss, as a sum over a sample's values, plus the
    divergence of the latent from a normal one. The encoder is made here, for the kind of the data, and stays with the
    run. It is a start for an adversarial run of the same architecture: `ganzoo train ... --init RUN` goes on with the
    generator. A run's picture shows real samples, their reconstructions and new samples side by side.

    Differs from the paper: Adam, whose rate an architecture may suggest; the encoder's size is not the generator's. New
    samples are made of normal latents, also where an architecture draws others.

    Args:
        weight: of the divergence; above 1 as in Higgins et al. 2017 (beta-VAE).
        width: channels of the encoder's first layer (pictures).
        rate: learning rate.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
    """

    name = "vae"
    paper = "arXiv:1312.6114"
    needs = ("latent_generator", "reconstruction_loss")
    offers = ("reconstruction_turns",)
    loss = "l2"
    tiny = {"width": 4}

    def __init__(
        self, weight: float = 1.0, width: int = 32, rate: float = 1e-3, beta1: float = 0.9, beta2: float = 0.999
    ):
        if weight < 0 or width < 1:
            raise ValueError("weight must not be negative, and width is at least 1")
        self.weight, self.width = weight, width
        self.optimizer = Optimizer("adam", rate, beta1, beta2)

    def start(self, game: Game) -> None:
        self.shape = game.parts.architecture.latent(Draws(0, device=game.device), 1).shape[1:]
        self.encoder = Encoder(game.spec, self.shape.numel(), self.width)
        self.encoder.to(game.device, game.dtype)
        modules = {"generator": game.networks.generator, "encoder": self.encoder}
        self.player, self.kept = game.add_player("generator", modules, self.optimizer), Kept(game)

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch = game.take(game.batch)
        mean, log_variance = self._encoded(game, batch.sample)
        noise = game.draws.normal("posterior", *mean.shape).to(mean)
        latent = mean + noise * (log_variance / 2).exp()
        made = game.generate(latent.reshape(-1, *self.shape), batch.label)
        note_error(game, made, batch.sample)
        terms = {
            "loss/generator": game.loss.total(made, batch.sample).mean(),
            "loss/divergence": self.weight * divergence(mean, log_variance).mean(),
        }
        yield Move(self.player, [terms])

    def _encoded(self, game: Game, samples: Tensor) -> tuple[Tensor, Tensor]:
        with game.arithmetic():
            mean, log_variance = self.encoder(samples)
        return mean.to(game.dtype), log_variance.to(game.dtype)

    def latent(self, game: Game, draws: Draws, count: int) -> Tensor:
        """Normal ones, as the encoder is asked for."""
        return draws.normal("latent", count, *self.shape)

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, game.networks.generator, asked)

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        def reconstruct(sample: Tensor, label: Tensor | None) -> Tensor:
            with evaluating(game.networks.generator), without_a_trace(game.device, asked.seed):
                return game.generate(self._encoded(game, sample)[0].reshape(-1, *self.shape), label)

        return self.kept.beside(reconstruct, asked, partial(self.sample, game))

    def state(self) -> dict[str, Any]:
        return {"encoder": self.encoder.state_dict(), "kept": self.kept.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.encoder.load_state_dict(state["encoder"])
        self.kept.load(state["kept"])


@hookimpl
def register_procedures(register: Any) -> None:
    register(VAE)
