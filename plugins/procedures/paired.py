"""Translation learnt from pairs. Isola, Zhu, Zhou and Efros 2017, arXiv:1611.07004, section 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import Game, Move, Optimizer, OptionError, Procedure, Request, UsageError, hookimpl
from ganzoo_plugins.procedures.schedules import Form, Schedule
from ganzoo_plugins.procedures.sides import Sides
from ganzoo_plugins.procedures.translation import beside, kept, sampled, translations, weighted


class Paired(Procedure):
    """A translator learns from pairs of a source and its sample, and a discriminator sees both together.

    Isola, Zhu, Zhou and Efros 2017, arXiv:1611.07004, equations 1, 3 and 4, section 3.3. In each step the discriminator
    moves, then the generator, on the same pairs; the generator minimises its adversarial loss and, weighted, the mean
    distance of each value to that of the pair's sample (l1). Source and sample are joined along the channels before the
    discriminator, so that penalties and augmentation are of both. Samples of a run are translations of the first
    sources of its data, which are kept with it.

    Differs from the paper: networks are sampled in evaluation mode (no dropout, running statistics), so that one source
    has one translation. The rate may fall at the end, as in the authors' later code.

    Args:
        reconstruction: weight of the distance to the sample.
        adversarial: weight of the generator's adversarial loss.
        discriminator: weight of the discriminator's adversarial loss; half, as published, slows it.
        rate: learning rate of both sides.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        schedule: the rate's way to its end; constant stays.
        schedule_start: step after which the rate begins to fall.
        schedule_end: share of the rate that is left at the end.
        schedule_steps: step at which it has; none: the run's number of steps, which then cannot change.
        average: half-life of the generator's weight average in samples; 0: no average.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
    """

    name = "paired"
    paper = "arXiv:1611.07004"
    needs = ("pairs", "translator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")
    tiny = {"average": 40.0}

    def __init__(
        self,
        reconstruction: float = 100.0,
        adversarial: float = 1.0,
        discriminator: float = 0.5,
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        schedule: Form = "constant",
        schedule_start: int = 0,
        schedule_end: float = 0.0,
        schedule_steps: int | None = None,
        average: float = 0.0,
        average_ramp: float = 0.0,
    ):
        if min(reconstruction, adversarial, discriminator) < 0:
            raise OptionError("weights must not be negative")
        self.reconstruction, self.adversarial, self.discriminator = reconstruction, adversarial, discriminator
        course = Schedule(schedule, schedule_start, schedule_end, schedule_steps)
        self.sides = Sides(Optimizer(rate=rate, beta1=beta1, beta2=beta2), average, average_ramp, course)

    def start(self, game: Game) -> None:
        self.sides.start(game, "generator", "discriminator")

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch, sides = game.take(game.batch), self.sides
        source, wanted, label = batch.source, batch.sample, batch.label
        assert source is not None
        made = game.generate(source, label)
        real, fake = torch.cat([source, wanted], 1), torch.cat([source, made], 1)
        given: dict[str, Any] = {"label": label, "fake_label": label, "source": source}
        terms = game.discriminator_terms(sides.discriminator, real, fake.detach(), **given)
        yield Move(sides.discriminator, [weighted(terms, self.discriminator)])
        terms = weighted(game.generator_terms(sides.generator, fake, real=real, **given), self.adversarial)
        terms["loss/reconstruction"] = self.reconstruction * (made - wanted).abs().mean()
        yield Move(sides.generator, [terms])
        sides.finish(game, step)

    @property
    def tied_to_steps(self) -> bool:
        return self.sides.schedule.tied_to_steps

    # Samples

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sampled(game, self.sampling_network(game), asked)

    def sampling_network(self, game: Game) -> nn.Module:
        return self.sides.network(game, "generator")

    def translator(self, game: Game, backwards: bool = False) -> nn.Module:
        if backwards:
            raise UsageError(
                "procedure 'paired' learns one direction; for the other, train a run on the data's backwards=true, "
                "or one of both directions with --procedure cycle"
            )
        return self.sampling_network(game)

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        """Sources, what was made of them, and what was wanted."""
        assert game.wanted is not None
        shown = kept(game)[: asked.count]
        return beside(game, shown, translations(game, self.sampling_network(game), shown), game.wanted[: asked.count])

    def state(self) -> dict[str, Any]:
        return self.sides.state()

    def load(self, state: dict[str, Any]) -> None:
        self.sides.load(state)


@hookimpl
def register_procedures(register: Any) -> None:
    register(Paired)
