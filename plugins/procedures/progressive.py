"""Growing networks: training begins with small pictures, and larger ones fade in.
Karras, Aila, Laine and Lehtinen 2018, arXiv:1710.10196, section 2."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import (
    Average,
    Game,
    Move,
    Optimizer,
    Player,
    Procedure,
    Request,
    UsageError,
    hookimpl,
    sample_latent_generator,
)

_MOST = 128  # the largest published batch on one GPU
_FASTER = {128: 1.5, 256: 2.0, 512: 3.0}  # by pixels: what the rate is multiplied with from there on, as published


@dataclass(frozen=True)
class Stage:
    """Steps at one size. halvings: of the full size. fades: the size fades in. batch: samples of a move."""

    steps: float
    halvings: int
    fades: bool
    batch: int
    rate: float


class Progressive(Procedure):
    """Discriminator and generator move in turn at a small size first; then each size of twice the pixels fades in.

    Karras, Aila, Laine and Lehtinen 2018, arXiv:1710.10196, section 2 and appendix A: at each size `stable_kimg`, then
    `fade_kimg` in which the next size fades in, in the networks and in the real pictures, which are averaged down. It
    plays networks that grow: each has `levels`, how many sizes there are, and takes `progress` (1: fully grown, 1 less:
    half the size; between them the larger one fades in). While they are smaller, samples are enlarged to the full size.
    All of it is a function of the step.

    Differs from the paper: the networks see small pictures at their own size, where the authors' code enlarges them, so
    that gradient penalties are of small pictures; a stage is rounded up to whole steps. The paper's weight average
    decays by 0.999 a batch, whatever its size; that of StyleGAN (arXiv:1812.04948) has the half-life that this one has.

    Args:
        start_size: pixels of the shorter side at first; the networks' next larger size is taken.
        fade_kimg: thousands of real pictures while which a size fades in.
        stable_kimg: thousands of real pictures at each size after that.
        batches: samples of a move at each size from the first on; the last is the run's batch; none: the run's batch at
            the full size, and at each smaller one twice as many, but at most 128, as published for one GPU.
        rates: learning rates at each size from the first on; none: `rate`, and 1.5, 2 and 3 times as much from
            128, 256 and 512 pixels on, as published.
        rate: learning rate.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        n_critic: discriminator moves in a step.
        reset: forget Adam's moments when a size begins to fade in, and when it has.
        average: half-life of the generator's weight average in samples; 0: no average.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
    """

    name = "progressive"
    paper = "arXiv:1710.10196"
    needs = ("image", "grows", "latent_generator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")
    tiny = {"stable_kimg": 0.016, "fade_kimg": 0.012, "average": 100.0}

    def __init__(
        self,
        start_size: int = 4,
        fade_kimg: float = 600.0,
        stable_kimg: float = 600.0,
        batches: tuple[int, ...] | None = None,
        rates: tuple[float, ...] | None = None,
        rate: float = 1e-3,
        beta1: float = 0.0,
        beta2: float = 0.99,
        n_critic: int = 1,
        reset: bool = True,
        average: float = 10_000.0,
        average_ramp: float = 0.0,
    ):
        if min(start_size, n_critic, *(batches or (1,))) < 1:
            raise ValueError("start_size, batches and n_critic must be at least 1")
        if min(fade_kimg, stable_kimg, rate, average, average_ramp, *(rates or (0.0,))) < 0:
            raise ValueError("kimg, rates, half-lives and ramps must not be negative")
        self.start_size, self.fade_kimg, self.stable_kimg = start_size, fade_kimg, stable_kimg
        self.batches, self.rates, self.rate, self.n_critic = batches, rates, rate, n_critic
        self.reset, self.half_life, self.average_ramp = reset, average, average_ramp
        self.optimizer = Optimizer(rate=1.0, beta1=beta1, beta2=beta2)  # the schedule is the rate itself

    def start(self, game: Game) -> None:
        self.stages = self._plan(game)
        # By the number of the stage: the step after which it begins.
        self.begins = [0, *accumulate(int(stage.steps) for stage in self.stages[:-1])]
        if game.stream is not None:
            game.plan.notes.append(self._told(game))

        def player(side: str, networks: dict[str, nn.Module]) -> Player:
            return game.add_player(side, networks, self.optimizer, schedule=lambda step: self.stage(step).rate)

        self.discriminator = player("discriminator", game.networks.discriminators)
        self.generator = player("generator", game.networks.generators)
        half_life = self.half_life
        self.average = Average(game.networks.generator, half_life, self.average_ramp or None) if half_life else None

    # What a step is

    def _plan(self, game: Game) -> list[Stage]:
        """The stages in order; the last has no end."""
        side = min(game.spec.shape[1:])
        levels = min(getattr(network, "levels", 2) for network in game.networks.all().values())
        first = next((halved for halved in range(levels - 1, 0, -1) if side >> halved >= self.start_size), 0)
        sides = [side >> halvings for halvings in range(first, -1, -1)]
        batches, rates = self._batches(game, len(sides)), self._rates(sides)
        stages = []
        for index, (batch, rate) in enumerate(zip(batches, rates, strict=True)):
            for fades, kimg in ((True, self.fade_kimg if index else 0.0), (False, self.stable_kimg)):
                last = not fades and index == first
                steps = math.inf if last else math.ceil(round(kimg * 1000 / (batch * self.n_critic), 6))
                stages += [Stage(steps, first - index, fades, batch, rate)] if steps else []
        return stages

    def _batches(self, game: Game, sizes: int) -> list[int]:
        most = max(_MOST, game.batch)
        doubled = [min(most, game.batch << halvings) for halvings in range(sizes - 1, -1, -1)]
        batches = doubled if self.batches is None else self._each("batches", self.batches, sizes)
        if batches[-1] != game.batch:
            raise UsageError(
                f"progressive: batches ends with {batches[-1]}, and the run's batch is {game.batch}; "
                f"say --batch {batches[-1]}, or end batches with {game.batch}"
            )
        if uneven := [batch for batch in batches if batch % game.draws.world]:
            raise UsageError(
                f"progressive: a batch of {uneven[0]} cannot be shared among {game.draws.world} processes; "
                "write batches that can"
            )
        return batches

    def _rates(self, sides: list[int]) -> list[float]:
        if self.rates is not None:
            return self._each("rates", self.rates, len(sides))
        faster = {0: 1.0, **_FASTER}
        return [self.rate * max(times for pixels, times in faster.items() if side >= pixels) for side in sides]

    @staticmethod
    def _each(name: str, values: tuple[Any, ...], sizes: int) -> list[Any]:
        if len(values) != sizes:
            raise UsageError(
                f"progressive: {name} has {len(values)} numbers, and there are {sizes} sizes; "
                f"write {sizes} numbers, the smallest size's first, or leave it out"
            )
        return list(values)

    def _number(self, step: int) -> int:
        return bisect_right(self.begins, max(step, 1) - 1) - 1

    def stage(self, step: int) -> Stage:
        """The stage of a step (steps count from 1)."""
        return self.stages[self._number(step)]

    def progress(self, step: int) -> float:
        """How far the networks have grown at a step: 1 is fully, 1 less is half the size; fractions fade in."""
        number = self._number(step)
        stage = self.stages[number]
        faded = (max(step, 1) - self.begins[number]) / stage.steps if stage.fades else 1.0
        return 1.0 - stage.halvings - (1.0 - faded)

    def seen(self, step: int) -> int:
        """How many real pictures the discriminator has seen after a step."""
        ends = [*self.begins[1:], step]
        return sum(
            max(0, min(end, step) - begin) * stage.batch * self.n_critic
            for begin, end, stage in zip(self.begins, ends, self.stages, strict=True)
        )

    def _told(self, game: Game) -> str:
        """When each size begins, in a sentence."""
        height, width = game.spec.shape[1:]
        first = {stage.halvings: begin + 1 for begin, stage in zip(self.begins[::-1], self.stages[::-1], strict=True)}
        sizes = [f"{height >> halved}x{width >> halved} from step {first[halved]}" for halved in sorted(first)[::-1]]
        return f"progressive: {', '.join(sizes)}"

    # Playing

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        stage, progress = self.stage(step), self._grow(game, game.networks.all().values())
        if self.reset and step - 1 in self.begins[1:]:
            for player in (self.discriminator, self.generator):
                player.optimizer.state.clear()
        game.note("growth", torch.full((), progress, dtype=game.dtype, device=game.device))
        for _ in range(self.n_critic):
            real = self._real(game, stage, progress)
            latent = game.latent(len(real))
            with torch.no_grad():
                fake = game.generate(latent)
            yield Move(self.discriminator, [game.discriminator_terms(self.discriminator, real, fake, latent=latent)])
        compared = self._real(game, stage, progress) if game.loss.relativistic else None
        latent = game.latent(stage.batch // game.draws.world)
        terms = game.generator_terms(self.generator, game.generate(latent), real=compared, latent=latent)
        yield Move(self.generator, [terms])
        if self.average is not None:
            self.average.update(game.networks.generator, stage.batch, self.seen(step))

    def _real(self, game: Game, stage: Stage, progress: float) -> Tensor:
        """Real pictures at the size of a stage; while it fades in, between themselves and what they were."""
        real = game.take(stage.batch).sample
        if stage.halvings:
            real = F.avg_pool2d(real, 2**stage.halvings)
        faded = progress % 1.0
        return torch.lerp(F.interpolate(F.avg_pool2d(real, 2), scale_factor=2), real, faded) if faded else real

    def _grow(self, game: Game, networks: Any) -> float:
        progress = self.progress(game.step)
        for network in networks:
            network.progress = progress
        return progress

    def sample(self, game: Game, asked: Request) -> Tensor:
        made = sample_latent_generator(game, self.sampling_network(game), asked)
        return made if made.shape[1:] == game.spec.shape else F.interpolate(made, size=game.spec.shape[1:])

    def sampling_network(self, game: Game) -> nn.Module:
        """It has grown as far as the step tells, which a run that is only sampled knows too."""
        network: nn.Module = game.networks.generator if self.average is None else self.average.network
        self._grow(game, [network])
        return network

    def state(self) -> dict[str, Any]:
        return {} if self.average is None else {"average": self.average.network.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        if self.average is not None:
            self.average.network.load_state_dict(state["average"])


@hookimpl
def register_procedures(register: Any) -> None:
    register(Progressive)
