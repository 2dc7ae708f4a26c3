"""Latent optimisation: no discriminator; every training sample has a latent of its own,
which moves with the generator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Draws,
    Game,
    Move,
    Optimizer,
    Procedure,
    ReconstructionLoss,
    Request,
    hookimpl,
    sample_latent_generator,
)


class SquaredError(ReconstructionLoss):
    """Half the mean squared difference of two samples."""

    name = "toy-l2"

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        return (made - wanted).square().flatten(1).mean(1) / 2


class Codes(nn.Module):
    """One latent for each training sample, kept in the unit ball."""

    def __init__(self, values: Tensor):
        super().__init__()
        self.values = nn.Parameter(values)
        self.project()

    @torch.no_grad()
    def project(self) -> None:
        lengths = self.values.flatten(1).norm(dim=1).clamp(min=1)
        self.values.div_(lengths.reshape(-1, *[1] * (self.values.ndim - 1)))


class LatentOptimisation(Procedure):
    """The generator and a latent for each training sample move together, until one becomes the other.

    New samples come from a Gaussian that is fitted to the latents.

    Args:
        rate: the generator's learning rate.
        latent_factor: how many times faster the latents move.
    """

    name = "toy-latents"
    needs = ("latent_generator", "reconstruction_loss")
    offers = ("reconstruction_turns",)

    def __init__(self, rate: float = 1e-3, latent_factor: float = 10.0):
        self.rate, self.latent_factor = rate, latent_factor

    def start(self, game: Game) -> None:
        self.codes = Codes(game.latent(game.data_size))
        modules = {"generator": game.networks.generator, "codes": self.codes}
        self.player = game.add_player(
            "generator", modules, Optimizer(rate=self.rate), rates={"codes": self.latent_factor}
        )

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch = game.take(game.batch)
        made = game.generate(self.codes.values[batch.index], batch.label)
        yield Move(self.player, [{"loss/generator": game.loss.forward(made, batch.sample).mean()}])
        self.codes.project()

    def sample(self, game: Game, asked: Request) -> Tensor:
        codes = self.codes.values.detach().flatten(1).double()
        spread = torch.eye(codes.shape[1], device=codes.device).double() * 1e-6 + codes.T.cov()
        center, factor = codes.mean(0), torch.linalg.cholesky(spread)

        def given(draws: Draws, count: int) -> Tensor:
            drawn = center + draws.normal("codes", count, len(center)).double() @ factor.T
            return drawn.reshape(count, *self.codes.values.shape[1:]).to(game.dtype)

        return sample_latent_generator(game, game.networks.generator, asked, given=given)

    def state(self) -> dict[str, Any]:
        return {"codes": self.codes.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.codes.load_state_dict(state["codes"])


@hookimpl
def register_losses(register: Any) -> None:
    register(SquaredError)


@hookimpl
def register_procedures(register: Any) -> None:
    register(LatentOptimisation)
