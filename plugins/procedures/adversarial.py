"""The usual game: some discriminator moves, then one of the generator.
Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Average,
    Game,
    Move,
    Optimizer,
    OptimizerName,
    Procedure,
    Request,
    UsageError,
    hookimpl,
    sample_latent_generator,
    standing_statistics,
)
from ganzoo_plugins.procedures.schedules import Form, Schedule


class Adversarial(Procedure):
    """A discriminator and a generator move in turn, each with an optimizer of its own.

    Goodfellow et al. 2014, arXiv:1406.2661, algorithm 1. Each discriminator move sees new real samples and new latents.
    Weight average: Yazici et al. 2018, arXiv:1806.04498, with the half-life and ramp-up of StyleGAN2-ADA
    (Karras et al. 2020, arXiv:2006.06676).

    Differs from the paper: Adam by default.

    Args:
        n_critic: discriminator moves in a step.
        optimizer: of both sides; `generator_...` and `discriminator_...` options say otherwise for one side.
        rate: learning rate.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        momentum: of sgd and rmsprop.
        schedule: the rate's way to its end; constant stays.
        schedule_start: step after which the rate begins to fall.
        schedule_end: share of the rate that is left at the end.
        schedule_steps: step at which it has; none: the run's number of steps, which then cannot change.
        micro_batches: into how many parts a batch is cut; their gradients add up.
        average: half-life of the generator's weight average in samples; 0: no average.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
        average_start: step up to which the average is the generator itself.
        standing_batches: before the generator (or its average) is sampled, its batch normalisation gets statistics over
            so many micro-batches of its samples, at the truncation that is asked for (at 1 for walks, projections and
            exports), as in arXiv:1809.11096; 0: those that it kept while it trained. It costs a pass for each.
        clip_norm: largest norm of a side's gradient; 0: no limit.
    """

    name = "adversarial"
    paper = "arXiv:1406.2661"
    needs = ("latent_generator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")

    def __init__(
        self,
        n_critic: int = 1,
        optimizer: OptimizerName = "adam",
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        momentum: float = 0.0,
        generator_optimizer: OptimizerName | None = None,
        generator_rate: float | None = None,
        generator_beta1: float | None = None,
        discriminator_optimizer: OptimizerName | None = None,
        discriminator_rate: float | None = None,
        discriminator_beta1: float | None = None,
        schedule: Form = "constant",
        schedule_start: int = 0,
        schedule_end: float = 0.0,
        schedule_steps: int | None = None,
        micro_batches: int = 1,
        average: float = 0.0,
        average_ramp: float = 0.0,
        average_start: int = 0,
        standing_batches: int = 0,
        clip_norm: float = 0.0,
    ):
        if min(n_critic, micro_batches) < 1:
            raise ValueError("n_critic and micro_batches must be at least 1")
        if min(average, average_ramp, average_start, standing_batches, clip_norm) < 0:
            raise ValueError("steps, half-lives and norms must not be negative")
        self.n_critic, self.micro_batches = n_critic, micro_batches
        self.schedule = Schedule(schedule, schedule_start, schedule_end, schedule_steps)
        self.average_half_life, self.average_ramp, self.clip_norm = average, average_ramp, clip_norm
        self.average_start, self.standing_batches = average_start, standing_batches
        both: dict[str, Any] = {"name": optimizer, "rate": rate, "beta1": beta1}
        sides = {
            "generator": {"name": generator_optimizer, "rate": generator_rate, "beta1": generator_beta1},
            "discriminator": {
                "name": discriminator_optimizer,
                "rate": discriminator_rate,
                "beta1": discriminator_beta1,
            },
        }
        self.optimizers = {
            side: Optimizer(
                **{**both, **{key: value for key, value in own.items() if value is not None}},
                beta2=beta2,
                momentum=momentum,
            )
            for side, own in sides.items()
        }

    def start(self, game: Game) -> None:
        if game.batch % self.micro_batches:
            raise UsageError(f"a batch of {game.batch} cannot be cut into {self.micro_batches} micro-batches")

        def player(side: str, network: Any) -> Any:
            schedule = self.schedule.factor(game.steps)
            return game.add_player(
                side, {side: network}, self.optimizers[side], schedule=schedule, clip_norm=self.clip_norm or None
            )

        self.discriminator = player("discriminator", game.networks.discriminator)
        self.generator = player("generator", game.networks.generator)
        half_life, start = self.average_half_life, self.average_start * game.batch
        ramp = self.average_ramp or None
        self.average = Average(game.networks.generator, half_life, ramp, start) if half_life else None
        self._standing: dict[tuple[int, float], nn.Module] = {}  # by step and truncation; not a state

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        for _ in range(self.n_critic):
            yield Move(self.discriminator, self._discriminator_terms(game))
        yield Move(self.generator, self._generator_terms(game))
        if self.average is not None:
            self.average.update(game.networks.generator, game.batch, step * game.batch)

    def _discriminator_terms(self, game: Game) -> Iterator[dict[str, Tensor]]:
        batch = game.take(game.batch)
        latents = game.latent(len(batch))
        size = len(batch) // self.micro_batches
        for start in range(0, len(batch), size):
            rows = slice(start, start + size)
            real, latent = batch[rows], latents[rows]
            with torch.no_grad():
                fake = game.generate(latent, real.label)
            terms = game.discriminator_terms(
                self.discriminator, real.sample, fake, latent=latent, label=real.label, fake_label=real.label
            )
            yield self._share(terms)

    def _generator_terms(self, game: Game) -> Iterator[dict[str, Tensor]]:
        # Real samples are read for a relativistic loss, which compares with them, and for networks that look at labels.
        batch = game.take(game.batch) if game.loss.relativistic or "labels" in game.plan.needs else None
        latents = game.latent(game.batch // game.draws.world)
        size = len(latents) // self.micro_batches
        for start in range(0, len(latents), size):
            rows = slice(start, start + size)
            label = None if batch is None or batch.label is None else batch.label[rows]
            real = batch.sample[rows] if batch is not None and game.loss.relativistic else None
            fake = game.generate(latents[rows], label)
            terms = game.generator_terms(
                self.generator, fake, real=real, latent=latents[rows], label=label, fake_label=label
            )
            yield self._share(terms)

    def _share(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """A micro-batch's share of the whole batch's mean."""
        return terms if self.micro_batches == 1 else {name: value / self.micro_batches for name, value in terms.items()}

    @property
    def tied_to_steps(self) -> bool:
        return self.schedule.tied_to_steps

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, self._sampled(game, asked.truncation), asked)

    def sampling_network(self, game: Game) -> nn.Module:
        return self._sampled(game, 1.0)

    def _sampled(self, game: Game, truncation: float) -> nn.Module:
        """The generator or its average, with the statistics that it is sampled with."""
        network = game.networks.generator if self.average is None else self.average.network
        if not self.standing_batches:
            return network
        self._standing = {key: kept for key, kept in self._standing.items() if key[0] == game.step}
        if (game.step, truncation) not in self._standing:
            size = game.batch // self.micro_batches
            made = standing_statistics(game, network, self.standing_batches, size, truncation)
            self._standing[game.step, truncation] = made
        return self._standing[game.step, truncation]

    def state(self) -> dict[str, Any]:
        return {} if self.average is None else {"average": self.average.network.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self._standing = {}
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])


@hookimpl
def register_procedures(register: Any) -> None:
    register(Adversarial)
