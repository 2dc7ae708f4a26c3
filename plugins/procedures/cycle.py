"""Translation learnt from two domains without pairs. Zhu, Park, Isola and Efros 2017, arXiv:1703.10593, sections 3
and 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from ganzoo import Game, Move, Optimizer, OptionError, Procedure, Request, hookimpl
from ganzoo_plugins.procedures.schedules import Form, Schedule
from ganzoo_plugins.procedures.sides import Sides
from ganzoo_plugins.procedures.translation import Pool, beside, kept, sampled, translations, weighted

DOMAINS = "ab"  # the sources', and the samples'


class Cycle(Procedure):
    """Two translators learn to undo each other, and each is judged by a discriminator of the domain that it makes.

    Zhu, Park, Isola and Efros 2017, arXiv:1703.10593, equations 1 to 3, sections 4 and 5.2 (identity). Domain a is that
    of the sources, domain b that of the samples. In each step both generators move, then both discriminators. A
    generator minimises its adversarial loss; the mean distance (l1) to which its pictures come back; and how much it
    changes pictures of its own domain. Discriminators see the newest pictures or those of a pool of earlier ones. Which
    source stands beside which sample means nothing. Samples of a run are translations of the first sources of its data,
    which are kept with it.

    Differs from the paper: any adversarial loss. The paper's is `lsgan` with twice the generators' loss
    (`adversarial=2`), as `lsgan` halves both sides and the paper halves the discriminators'. The pictures of a larger
    batch go through a pool one after another.

    Args:
        cycle: weight of the distance to the picture that came back.
        identity: weight of what a generator changes of its own domain, as a share of `cycle`; 0: none. Domains of
            different channels have none.
        adversarial: weight of the generators' adversarial losses.
        discriminator: weight of the discriminators' adversarial losses.
        pool: how many earlier pictures of each domain are kept; 0: the discriminators see the newest alone.
        rate: learning rate of both sides.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        schedule: the rate's way to its end; constant stays.
        schedule_start: step after which the rate begins to fall.
        schedule_end: share of the rate that is left at the end.
        schedule_steps: step at which it has; none: the run's number of steps, which then cannot change.
        average: half-life of the generators' weight averages in samples; 0: no averages.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
    """

    name = "cycle"
    paper = "arXiv:1703.10593"
    needs = ("pairs|two_domains", "two_way", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")
    tiny = {"pool": 6}

    def __init__(
        self,
        cycle: float = 10.0,
        identity: float = 0.5,
        adversarial: float = 1.0,
        discriminator: float = 1.0,
        pool: int = 50,
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
        if min(cycle, identity, adversarial, discriminator, pool) < 0:
            raise OptionError("weights and the pool must not be negative")
        self.cycle, self.identity, self.adversarial, self.discriminator = cycle, identity, adversarial, discriminator
        self.pool_size = pool
        course = Schedule(schedule, schedule_start, schedule_end, schedule_steps)
        self.sides = Sides(Optimizer(rate=rate, beta1=beta1, beta2=beta2), average, average_ramp, course)

    def start(self, game: Game) -> None:
        self.sides.start(game, "generators", "discriminators")
        self.pools = {domain: Pool(self.pool_size) for domain in DOMAINS}
        self.changes = self.identity * self.cycle
        if self.changes and game.spec.source is not None and game.spec.source[0] != game.spec.shape[0]:
            self.changes = 0.0
            game.plan.notes.append("cycle: the domains have different channels, so nothing is asked of identity")

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch, sides = game.take(game.batch), self.sides
        assert batch.source is not None
        real = {"a": batch.source, "b": batch.sample}
        fake: dict[str, Tensor] = {}
        yield Move(sides.generator, self._generator_terms(game, real, fake))
        yield Move(sides.discriminator, self._discriminator_terms(game, real, fake))
        sides.finish(game, step)

    def _generator_terms(
        self, game: Game, real: dict[str, Tensor], fake: dict[str, Tensor]
    ) -> Iterator[dict[str, Tensor]]:
        """One graph at a time: the way there and back from each domain, then what is changed of it."""
        for here, there in ("ab", "ba"):
            made = game.generate(real[here], name=f"generator_{there}")
            fake[there] = made.detach()
            name = f"discriminator_{there}"
            terms = game.generator_terms(self.sides.generator, made, name=name, real=real[there], source=real[here])
            terms = weighted(terms, self.adversarial)
            if self.cycle:
                back = game.generate(made, name=f"generator_{here}")
                terms[f"loss/cycle_{here}"] = self.cycle * (back - real[here]).abs().mean()
            yield terms
        for here in DOMAINS if self.changes else "":
            same = game.generate(real[here], name=f"generator_{here}")
            yield {f"loss/identity_{here}": self.changes * (same - real[here]).abs().mean()}

    def _discriminator_terms(
        self, game: Game, real: dict[str, Tensor], fake: dict[str, Tensor]
    ) -> Iterator[dict[str, Tensor]]:
        for domain, pool in self.pools.items():
            seen = pool.exchange(fake[domain], game.draws, f"pool {domain}")
            player, name = self.sides.discriminator, f"discriminator_{domain}"
            yield weighted(game.discriminator_terms(player, real[domain], seen, name=name), self.discriminator)

    @property
    def tied_to_steps(self) -> bool:
        return self.sides.schedule.tied_to_steps

    # Samples

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sampled(game, self.sampling_network(game), asked)

    def sampling_network(self, game: Game) -> nn.Module:
        return self.translator(game)

    def translator(self, game: Game, backwards: bool = False) -> nn.Module:
        return self.sides.network(game, "generator_a" if backwards else "generator_b")

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        """Sources, what was made of them, and what came back."""
        shown = kept(game)[: asked.count]
        made = translations(game, self.translator(game), shown)
        return beside(game, shown, made, translations(game, self.translator(game, backwards=True), made))

    def state(self) -> dict[str, Any]:
        return {**self.sides.state(), "pools": {domain: pool.state() for domain, pool in self.pools.items()}}

    def load(self, state: dict[str, Any]) -> None:
        self.sides.load(state)
        for domain, pool in self.pools.items():
            pool.load(state["pools"][domain])


@hookimpl
def register_procedures(register: Any) -> None:
    register(Cycle)
