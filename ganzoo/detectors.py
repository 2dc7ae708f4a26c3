"""Signs that a run is dying, found in the numbers that are logged, each with the advice of the literature.

A detector sees every logged record, in order, and keeps nothing else: a run that continues reads its own log again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

import torch
from torch import Tensor

from . import processes
from .data import Collection
from .game import Game
from .parts import AdversarialLoss, Request, Scores

LOOK_EVERY = 50  # steps between two looks at samples
LASTING = 200  # steps that a sign must stay before it is told
LOOKS = 4  # and how often it must have been seen

Record = Mapping[str, float]


class Detector:
    """One sign. It is told once, when it has stayed for a while, and again only after it has gone.

    sign: reads a record and returns what is wrong with it, None if nothing is or if the record does not say.
    """

    def __init__(self, name: str, sign: Callable[[Record], str | None], advice: str = ""):
        self.name, self.sign, self.advice = name, sign, advice
        self._since: int | None = None
        self._seen = 0
        self._told = False

    def look(self, record: Record) -> str | None:
        found = self.sign(record)
        if found is None:
            self._since, self._seen, self._told = None, 0, False
            return None
        self._since = int(record["step"]) if self._since is None else self._since
        self._seen += 1
        if self._told or self._seen < LOOKS or record["step"] - self._since < LASTING:
            return None
        self._told = True
        return f"{self.name}: {found}. {self.advice}".rstrip()


class Watch:
    """Every detector of a run, and the real samples that made ones are compared with."""

    def __init__(self, game: Game, collection: Collection, log_every: int):
        self.log_every = log_every
        self.collection = collection
        self.detectors = [*_scores(game), _vanishing(game), _diversity(), _memorisation(lambda: self.real.numbers)]
        self.detectors += [Detector(part.name, part.sign) for part in game.regularizers]

    @cached_property
    def real(self) -> _Real:
        """Read when samples are first compared with them, so that a run begins at once."""
        return _Real(self.collection)

    def numbers(self, game: Game) -> dict[str, float]:
        """What made samples are beside real ones, at the first logged step after every fifty.

        `diversity`: their mean distance from each other, as a share of that of real ones. `nearness`: how far they lie
        from the nearest real sample, as a share of how far real ones do (the quarter that is nearest, of both; how far
        two lie apart is taken relative to how far they lie from the mean, as what is faint is near to all).
        """
        if self.log_every and game.step // LOOK_EVERY == (game.step - self.log_every) // LOOK_EVERY:
            return {}
        with processes.alone():
            return self.real.compared(game.procedure.sample(game, Request(len(self.real.few), game.seed)))

    def look(self, record: Record) -> list[str]:
        """The sentences of the signs that this record completes."""
        return [told for detector in self.detectors if (told := detector.look(record)) is not None]

    def remember(self, records: Iterable[Record]) -> None:
        """See again what was logged before."""
        for record in records:
            self.look(record)


class _Real:
    """Real samples: a few, for how they differ, and more, for which of them is nearest.

    A collection that decodes files gives fewer, so that a run does not begin late.
    """

    def __init__(self, collection: Collection, few: int = 32):
        many = min(len(collection), 256 if collection.decodes else 1024)
        chosen = [index * len(collection) // many for index in range(many)]
        samples = _flat(collection.fetch(chosen).sample)
        self.numbers = samples.shape[1]
        self.few = samples[:: max(1, many // few)][:few]
        self.spread, self.middle = _spread(self.few), samples.mean(0)
        self.many = samples - self.middle
        others = _apart(self.few - self.middle, self.many)
        self.near = _quarter(torch.where(others > 0, others, torch.inf).min(1).values)

    def compared(self, made: Tensor) -> dict[str, float]:
        samples = _flat(made)
        found = {
            "diversity": (_spread(samples), self.spread),
            "nearness": (_quarter(_apart(samples - self.middle, self.many).min(1).values), self.near),
        }
        return {name: made / real for name, (made, real) in found.items() if math.isfinite(made / (real or math.nan))}


def _flat(samples: Tensor) -> Tensor:
    """Samples as rows [N, d]; pictures in sixteen by sixteen pixels, which tell them apart well enough."""
    values = samples.detach().float().cpu()
    if values.ndim == 4 and max(values.shape[2:]) > 16:
        values = torch.nn.functional.adaptive_avg_pool2d(values, 16)
    return values.flatten(1) if samples.is_floating_point() else torch.nn.functional.normalize(_counted(samples), dim=1)


def _counted(tokens: Tensor) -> Tensor:
    """How often each token stands in a row: [N, largest + 1]."""
    rows = tokens.flatten(1).long().cpu().clamp(0, 4095)
    return torch.zeros(len(rows), 4096).scatter_add_(1, rows, torch.ones(rows.shape))


def _apart(first: Tensor, second: Tensor) -> Tensor:
    """Distances of rows [N, d] from rows [M, d], as a share of what they are where both are orthogonal."""
    lengths = first.square().sum(1)[:, None] + second.square().sum(1)
    distances = torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist")
    return distances / lengths.sqrt().clamp(min=torch.finfo(distances.dtype).tiny)


def _spread(samples: Tensor) -> float:
    return float(torch.pdist(samples).mean())


def _quarter(distances: Tensor) -> float:
    return float(distances.quantile(0.25))


def _scores(game: Game) -> Iterable[Detector]:
    """A discriminator that has won, and one without bounds."""
    # Where samples have numbers in [-1, 1], a critic of slope 1 tells two of them apart by 2 sqrt(d) at most.
    limit = 20 * math.sqrt(max(16, math.prod(game.spec.shape)))
    for name in game.networks.discriminators:
        suffix = name.removeprefix("discriminator")
        rest = _loss_at_rest(game)

        def saturated(record: Record, name: str = f"loss/{name}", rest: float = rest) -> str | None:
            value = record.get(name)
            if value is None or rest <= 0 or value >= 0.02 * rest:
                return None
            return f"{name} is {value:.2g}, {value / rest:.1%} of what it is where real and made look alike"

        def exploding(record: Record, suffix: str = suffix) -> str | None:
            real, fake = record.get(f"score/real{suffix}"), record.get(f"score/fake{suffix}")
            if real is None or fake is None or abs(real - fake) <= limit:
                return None
            return f"the scores of real and made samples are {abs(real - fake):.3g} apart, and {limit:.3g} is much"

        yield Detector(
            f"{name} saturated",
            saturated,
            "The generator learns next to nothing from it: give it a gradient penalty (--reg r1, Mescheder et al. "
            "2018), let it see less (--reg instance-noise, --reg diffaugment), or slow it (discriminator_rate)",
        )
        yield Detector(
            f"{name} score gap exploding",
            exploding,
            "Nothing bounds its slope: a penalty does (--reg gradient-penalty, Gulrajani et al. 2017; --reg r1), "
            "or --reg spectral-norm (Miyato et al. 2018)",
        )


def _loss_at_rest(game: Game) -> float:
    """The discriminator's loss where all scores are 0."""
    if not isinstance(game.loss, AdversarialLoss):
        return 0.0
    zeros = Scores(torch.zeros(2, device=game.device))
    with processes.alone():
        return float(game.loss.discriminator(zeros, zeros).mean())


def _generator_loss(game: Game, real: float, fake: float) -> tuple[float, float]:
    """The generator's loss where scores are these, and how steep it is."""
    if not isinstance(game.loss, AdversarialLoss):
        return 0.0, 0.0
    scores = torch.full((2,), fake, dtype=torch.float64, device=game.device, requires_grad=True)
    others = Scores(torch.full_like(scores, real, requires_grad=False))
    with torch.enable_grad(), processes.alone():
        loss = game.loss.generator(others if game.loss.relativistic else None, Scores(scores)).mean()
        (slope,) = torch.autograd.grad(loss, scores)
    return float(loss.detach()), float(slope.abs().sum())


def _vanishing(game: Game) -> Detector:
    """A generator that is told nothing: its gradient is a thousandth of what it was in the run's first looks, or the
    loss is so flat where the scores are that it must be."""
    first: list[float] = []
    sides = [name for name in game.players if name.startswith("generator")]
    at_rest, slope_at_rest = _generator_loss(game, 0.0, 0.0)

    def sign(record: Record) -> str | None:
        found = [record[f"gradient/{name}"] for name in sides if f"gradient/{name}" in record]
        value = sum(found)
        if value > 0 and len(first) < 5:
            first.append(value)
        usual = statistics.median(first) if first else 0.0
        if found and value < 1e-3 * usual:
            return f"its gradient has the norm {value:.2g}, and had {usual:.2g} at first"
        if "score/fake" not in record:
            return None
        loss, slope = _generator_loss(game, record.get("score/real", 0.0), record["score/fake"])
        if loss <= at_rest or slope >= 1e-3 * slope_at_rest:
            return None
        return f"its loss has a slope of {slope:.2g} where the scores are, and of {slope_at_rest:.2g} at a score of 0"

    return Detector(
        "generator gradient vanished",
        sign,
        "A saturating loss does that once the discriminator wins (Goodfellow et al. 2014; Arjovsky and Bottou 2017): "
        "use --loss nonsaturating, hinge or wgan-gp, or a weaker discriminator",
    )


def _diversity() -> Detector:
    """Samples that become alike: less than half as different as they once were, having been a third as different as
    real ones; or, a thousand steps on, all but the same. A generator that has only begun makes them alike too."""
    best = [0.0]

    def sign(record: Record) -> str | None:
        value = record.get("diversity")
        if value is None:
            return None
        best[0] = max(best[0], value)
        fallen = best[0] > 0.35 and value < min(0.5 * best[0], 0.35)
        never = value < 0.015 and record["step"] >= 1000
        if not (fallen or never):
            return None
        return f"samples differ from each other {value:.1%} as much as real ones do, and did {best[0]:.1%}"

    return Detector(
        "diversity falling",
        _held(sign, "diversity"),
        "The generator is collapsing: a gradient penalty (--reg r1, --loss wgan-gp), --reg diffaugment where data are "
        "few (Zhao et al. 2020), a larger batch, or a slower discriminator",
    )


def _memorisation(numbers: Callable[[], int]) -> Detector:
    """Samples that lie on training samples. Where samples are a few numbers, real ones do too."""

    def sign(record: Record) -> str | None:
        value = record.get("nearness")
        if value is None or value >= 0.3 or numbers() < 16:
            return None
        return f"samples lie {value:.1%} as far from the nearest training sample as training samples do"

    return Detector(
        "memorisation",
        _held(sign, "nearness"),
        "They may be copies: look at `ganzoo evaluate RUN --metric memorisation`; more data or --reg diffaugment "
        "(Zhao et al. 2020) help",
    )


def _held(sign: Callable[[Record], str | None], number: str) -> Callable[[Record], str | None]:
    """A sign of a number that not every record has: it stays what it was in between."""
    last: list[str | None] = [None]

    def held(record: Record) -> str | None:
        if number in record:
            last[0] = sign(record)
        return last[0]

    return held
