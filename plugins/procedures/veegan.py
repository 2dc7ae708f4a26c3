"""Srivastava, Valkov, Russell, Gutmann and Sutton 2017, VEEGAN: Reducing Mode Collapse in GANs using Implicit
Variational Learning, arXiv:1705.07761."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import Draws, Game, Move, OptimizerName, Plan, Spec, hookimpl
from ganzoo_plugins.procedures.adversarial import Adversarial
from ganzoo_plugins.procedures.schedules import Form


class Reconstructor(nn.Module):
    """A sample [N, *shape] becomes the latent [N, size] that it may have been made of.

    Points go through two hidden layers of `width` units; pictures through strided convolutions that halve them down to
    at most 4 pixels, the first of `width` channels and each of twice as many as the one before.
    """

    def __init__(self, spec: Spec, size: int, width: int):
        super().__init__()
        layers: list[nn.Module] = []
        if spec.kind == "image":
            channels, *sides = spec.shape
            while min(sides) > 4:
                layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
                channels, width, sides = width, width * 2, [side // 2 for side in sides]
            inputs = channels * math.prod(sides)
        else:
            inputs = width
            layers += [nn.Flatten(), nn.Linear(math.prod(spec.shape), width), nn.ReLU(), nn.Linear(width, width)]
            layers += [nn.ReLU()]
        self.main = nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs, size))

    def forward(self, samples: Tensor) -> Tensor:
        latents: Tensor = self.main(samples)
        return latents


class Veegan(Adversarial):
    """A third network finds the latents of samples, and the discriminator judges samples beside their latents (VEEGAN).

    Srivastava, Valkov, Russell, Gutmann and Sutton 2017, arXiv:1705.07761, algorithm 1: a reconstructor F learns to
    find the latent of a made sample, |z - F(G(z))|^2. The discriminator is shown (F(x), x) of real samples as real, and
    (z, G(z)) as fake. The generator minimises what the discriminator has against its samples, and |z - F(G(z))|^2 too:
    a mode that it leaves out is one of which F's latents look like no latent. Points stand beside their latent's
    numbers, pictures beside maps that have one number of it everywhere.

    Regularizers of the discriminator's turn see samples and latents joined; those of the generator's do not fit.

    Differs from the paper: reconstructors of our own; the discriminator is the architecture's, built for what it sees;
    any adversarial loss for both sides, unless `generator_loss=score`.

    Args:
        weight: of the latents' squared distances, at least 0.
        generator_loss: loss: that of --loss; score: as published, the mean of the log odds of being made.
        width: units of the reconstructor's hidden layers, or channels of its first.
        n_critic: discriminator moves in a step.
        optimizer: of all three.
        rate: learning rate.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        generator_rate: learning rate of the generator; none: rate.
        discriminator_rate: learning rate of the discriminator; none: rate.
        reconstructor_rate: learning rate of the reconstructor; none: rate.
        schedule: the rates' way to their end; constant stays.
        schedule_start: step after which the rates begin to fall.
        schedule_end: share of the rates that is left at the end.
        schedule_steps: step at which they have; none: the run's number of steps, which then cannot change.
        average: half-life of the generator's weight average in samples; 0: no average.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
        clip_norm: largest norm of a side's gradient; 0: no limit.
    """

    name = "veegan"
    paper = "arXiv:1705.07761"
    needs = ("image|points",)
    # A penalty of the generator's turn would take samples for what the discriminator is shown.
    withdraws = ("generator_turn",)
    tiny = {"width": 4}

    def __init__(
        self,
        weight: float = 1.0,
        generator_loss: Literal["loss", "score"] = "loss",
        width: int = 128,
        n_critic: int = 1,
        optimizer: OptimizerName = "adam",
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        generator_rate: float | None = None,
        discriminator_rate: float | None = None,
        reconstructor_rate: float | None = None,
        schedule: Form = "constant",
        schedule_start: int = 0,
        schedule_end: float = 0.0,
        schedule_steps: int | None = None,
        average: float = 0.0,
        average_ramp: float = 0.0,
        clip_norm: float = 0.0,
    ):
        super().__init__(
            n_critic=n_critic,
            optimizer=optimizer,
            rate=rate,
            beta1=beta1,
            beta2=beta2,
            generator_rate=generator_rate,
            discriminator_rate=discriminator_rate,
            schedule=schedule,
            schedule_start=schedule_start,
            schedule_end=schedule_end,
            schedule_steps=schedule_steps,
            average=average,
            average_ramp=average_ramp,
            clip_norm=clip_norm,
        )
        if width < 1 or min(weight, reconstructor_rate or 0.0) < 0:
            raise ValueError("width must be at least 1, and weight and reconstructor_rate must not be negative")
        self.weight, self.generator_loss, self.width = weight, generator_loss, width
        own = rate if reconstructor_rate is None else reconstructor_rate
        self.optimizers["reconstructor"] = dataclasses.replace(self.optimizers["generator"], rate=own)

    def plan(self, plan: Plan) -> None:
        assert plan.spec is not None and plan.architecture is not None
        self.size = plan.architecture.latent(Draws(0), 1).numel()
        first, *rest = plan.spec.shape
        plan.judged = dataclasses.replace(plan.spec, shape=(first + self.size, *rest))

    def start(self, game: Game) -> None:
        super().start(game)
        self.reconstructor = Reconstructor(game.spec, self.size, self.width)
        self.reconstructor.to(game.device, game.dtype)
        self.finder = game.add_player(
            "reconstructor",
            {"reconstructor": self.reconstructor},
            self.optimizers["reconstructor"],
            schedule=self.schedule.factor(game.steps),
            clip_norm=self.clip_norm or None,
        )

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        for _ in range(self.n_critic):
            yield Move(self.discriminator, self._discriminator_terms(game))
        batch = game.take(game.batch) if game.loss.relativistic or "labels" in game.plan.needs else None
        label = None if batch is None else batch.label
        latent = game.latent(game.batch // game.draws.world)
        fake = game.generate(latent, label)
        yield Move(self.finder, [{"loss/reconstructor": self._distance(game, latent, fake.detach())}])
        real = None if batch is None else self._real(game, batch.sample)
        yield Move(self.generator, [self._generator_joint_terms(game, latent, fake, real, label)])
        if self.average is not None:
            self.average.update(game.networks.generator, game.batch, step * game.batch)

    def _discriminator_terms(self, game: Game) -> Iterator[dict[str, Tensor]]:
        batch = game.take(game.batch)
        latent = game.latent(len(batch))
        with torch.no_grad():
            real, fake = self._real(game, batch.sample), joined(game.generate(latent, batch.label), latent)
        yield game.discriminator_terms(self.discriminator, real, fake, label=batch.label, fake_label=batch.label)

    def _generator_joint_terms(
        self, game: Game, latent: Tensor, fake: Tensor, real: Tensor | None, label: Tensor | None
    ) -> dict[str, Tensor]:
        shown = joined(fake, latent)
        if self.generator_loss == "loss":
            terms = game.generator_terms(self.generator, shown, real=real, label=label, fake_label=label)
        else:
            terms = {"loss/generator": -game.score(shown, label).value.mean()}
        return {**terms, "loss/latent": self.weight * self._distance(game, latent, fake)}

    def _real(self, game: Game, samples: Tensor) -> Tensor:
        """Real samples beside the latents that are found of them, without gradient."""
        return joined(samples, self._found(game, samples).detach())

    def _found(self, game: Game, samples: Tensor) -> Tensor:
        with game.arithmetic():
            found: Tensor = self.reconstructor(samples)
        return found.to(game.dtype)

    def _distance(self, game: Game, latent: Tensor, samples: Tensor) -> Tensor:
        return (latent.flatten(1) - self._found(game, samples)).square().sum(1).mean()

    def state(self) -> dict[str, Any]:
        return {**super().state(), "reconstructor": self.reconstructor.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.reconstructor.load_state_dict(state["reconstructor"])


def joined(samples: Tensor, latents: Tensor) -> Tensor:
    """Samples [N, C, ...] beside their latents [N, Z] as [N, C + Z, ...]; of a picture, each number is a map."""
    numbers = latents.flatten(1)
    maps = numbers.reshape(*numbers.shape, *(1 for _ in samples.shape[2:]))
    return torch.cat([samples, maps.expand(-1, -1, *samples.shape[2:]).to(samples.dtype)], dim=1)


@hookimpl
def register_procedures(register: Any) -> None:
    register(Veegan)
