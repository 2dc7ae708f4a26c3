"""The base classes that a plugin subclasses.

A part has a `name` (its file's name and its word on the command line), a docstring whose first sentence `ganzoo list`
prints, a `paper`, the capability words that it `needs` and `offers` (see capabilities.py), and `tiny` options with
which it is built in tests. Its constructor's signature is its option schema. A part that adapts to its options sets
`self.needs`, `self.offers` or `self.withdraws` (words that are not true with it in the run) in its constructor.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from .data import Collection, Spec
from .draws import Draws
from .errors import UsageError

if TYPE_CHECKING:
    from .game import Game, Move, Turn
    from .metrics.evidence import Evidence, Measure


class Part:
    """Anything that can be named on the command line."""

    kind: ClassVar[str] = ""
    name: str = ""
    paper: ClassVar[str] = ""
    needs: tuple[str, ...] = ()
    offers: tuple[str, ...] = ()
    withdraws: tuple[str, ...] = ()
    tiny: ClassVar[dict[str, Any]] = {}
    options: dict[str, Any]  # every option's value, set when the registry makes the part

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.needs = _joined(cls, "needs")
        cls.offers = _joined(cls, "offers")

    @classmethod
    def summary(cls) -> str:
        """The docstring's first paragraph, which is one sentence."""
        return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _joined(cls: type, attribute: str) -> tuple[str, ...]:
    """A subclass's words and its bases', without repeats."""
    if isinstance(cls.__dict__.get(attribute), str):
        raise TypeError(f"{cls.__name__}.{attribute} is text; write a tuple of words")
    return tuple(dict.fromkeys(word for base in cls.__mro__ for word in base.__dict__.get(attribute, ())))


@dataclass
class Networks:
    """What an architecture builds: modules by name. The usual names are `generator` and `discriminator`."""

    generators: dict[str, nn.Module]
    discriminators: dict[str, nn.Module] = field(default_factory=dict)

    @classmethod
    def pair(cls, generator: nn.Module, discriminator: nn.Module) -> Networks:
        return cls({"generator": generator}, {"discriminator": discriminator})

    @property
    def generator(self) -> nn.Module:
        return self.generators["generator"]

    @property
    def discriminator(self) -> nn.Module:
        return self.discriminators["discriminator"]

    def all(self) -> dict[str, nn.Module]:
        return {**self.generators, **self.discriminators}


@dataclass
class Plan:
    """What the other parts ask of the networks before they are built.

    needs: every word that some part of the run needs, so that an architecture can adapt. spec: what the data are.
    judged: what discriminators see, where that is not a sample of the data (packs of samples, samples beside their
    latents): they are then built for it. notes: an architecture that adapts says here, in a sentence, what it did.
    architecture: what builds the networks, for who asks how large its latents are.
    """

    needs: frozenset[str] = frozenset()
    spec: Spec | None = None
    judged: Spec | None = None
    notes: list[str] = field(default_factory=list)
    architecture: Architecture | None = None


@dataclass
class Scores:
    """What a discriminator returns.

    value: raw scores, `[N]` or a map `[N, ...]`, before any squashing. classes: log odds of each class `[N, classes]`.
    features: what the score is made of, `[N, features]` (discriminators that offer `features`, and have a
    `feature_size`).
    """

    value: Tensor
    classes: Tensor | None = None
    features: Tensor | None = None


@dataclass(frozen=True)
class Request:
    """Samples that somebody wants of a trained run. Sample i depends on the seed and i, not on how many are wanted.

    count: how many. label: the class of all of them; None draws classes. first: the number of the first of them.
    truncation: how far from the middle of the latent space they may be; 1 is everywhere, less is more alike and better
    (see the architecture's `sample`).
    """

    count: int = 64
    seed: int = 0
    label: int | None = None
    first: int = 0
    truncation: float = 1.0


@dataclass(frozen=True)
class Weights:
    """An official checkpoint. states: parameters by their official names, of `G`, `D` and `G_ema`, of which some may be
    missing. options: what `G` and `D` were built with, where the file says so. others: tensors of none of them."""

    states: Mapping[str, Mapping[str, Tensor]]
    options: Mapping[str, Mapping[str, Any]]
    others: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Recovered:
    """What an architecture recognised in a checkpoint. options, spec: with which it builds these networks. states:
    parameters of `G`, `D` and `G_ema`, as `Weights` has them, but under our names and on our scales. notes: sentences
    about what is not as it was there. procedure: what plays them, where that is not what plays the architecture."""

    options: dict[str, Any]
    spec: Spec
    states: Mapping[str, Mapping[str, Tensor]]
    notes: tuple[str, ...] = ()
    procedure: str | None = None


@dataclass(frozen=True)
class Official:
    """How the official networks of a recorded file (see parity.py) or of a checkpoint (see exchange.py) are rebuilt.

    source: text that stands in the recording's `source`. takes: whether a recorded configuration is of this
    architecture, where one source has several. build: networks from the recorded configuration. rename:
    an official parameter's name to ours, or None to leave it out. outputs: computes what was recorded. recover: what
    a checkpoint holds, None if it is not of this kind; what its tensors do not tell is left as published. export: the
    parameters of our `G` or `D` under their official names, with the constants that stand among them there.
    """

    source: str
    build: Callable[[dict[str, Any]], dict[str, nn.Module]]
    outputs: Callable[[dict[str, nn.Module], dict[str, Tensor]], dict[str, Tensor]]
    rename: Callable[[str], str | None] = lambda name: name
    recover: Callable[[Weights], Recovered | None] | None = None
    export: Callable[[str, Mapping[str, Tensor]], dict[str, Tensor]] | None = None
    takes: Callable[[Mapping[str, Any]], bool] = lambda config: True


class Architecture(Part):
    """What the networks are. Networks take `(input, label)`; discriminators return `Scores`."""

    kind = "architecture"
    procedure: ClassVar[str] = "adversarial"  # what plays it unless --procedure says otherwise
    dataset: ClassVar[str] = "digits"  # what it learns unless --data says otherwise
    suggests: Mapping[str, Any] = {}  # settings of the procedure that it was published with

    def build(self, spec: Spec, plan: Plan) -> Networks:
        """The networks for samples of this spec. Raises SizeError, naming the sizes that work."""
        raise NotImplementedError

    def latent(self, draws: Draws, count: int) -> Tensor:
        """`count` latents for its generator (architectures that offer `latent_generator`)."""
        raise NotImplementedError

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """What a generator makes of latents when it is sampled. truncation: of what the latents are or become.

        Here: normal latents are moved to where |z| is at most 2 truncation (Brock et al. 2018, arXiv:1809.11096,
        section 3.1, by the quantiles in place of drawing again); 1 leaves them as they are. An architecture whose
        latents are of another kind, or that maps them first, says what it does.
        """
        made: Tensor = network(latent if truncation == 1 else truncated_normal(latent, 2 * truncation), label)
        return made

    @classmethod
    def official(cls) -> Iterable[Official]:
        """Recordings of official networks that this architecture can rebuild."""
        return ()


def truncated_normal(latent: Tensor, limit: float) -> Tensor:
    """Standard normal numbers as numbers of the same distribution cut at +-limit: the same quantiles of it."""
    if limit <= 0:
        return torch.zeros_like(latent)
    below = torch.special.ndtr(torch.tensor(-limit, dtype=torch.float64))
    share = below + torch.special.ndtr(latent.double()) * (1 - 2 * below)
    return torch.special.ndtri(share.to(latent.device)).clamp(-limit, limit).to(latent.dtype)


class Loss(Part):
    """What is measured. A loss may bring regularizers along, and suggest settings of the procedure."""

    kind = "loss"
    brings: tuple[str, ...] = ()  # regularizers as on the command line: "gradient-penalty:weight=10"
    suggests: Mapping[str, Any] = {}


class AdversarialLoss(Loss):
    """What scores are worth. Values are unreduced, of the scores' own shape; smaller is better for who moves."""

    needs = ("adversarial_turns",)
    offers = ("adversarial_loss",)

    def discriminator(self, real: Scores, fake: Scores) -> Tensor:
        raise NotImplementedError

    def generator(self, real: Scores | None, fake: Scores) -> Tensor:
        """real is None unless `relativistic` is set."""
        raise NotImplementedError

    relativistic: ClassVar[bool] = False  # True: the generator's loss looks at the real scores too


class ReconstructionLoss(Loss):
    """How far a sample is from another, one value per sample `[N]`.

    summed: whether it is a sum over the sample's values, as a likelihood is, and not a mean over them.
    """

    needs = ("reconstruction_turns",)
    offers = ("reconstruction_loss",)
    summed: ClassVar[bool] = False

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        raise NotImplementedError

    def total(self, made: Tensor, wanted: Tensor) -> Tensor:
        """The same as a sum over the sample's values `[N]`, which a divergence is weighed against."""
        return self.forward(made, wanted) * (1 if self.summed else wanted[0].numel())

    def mean(self, made: Tensor, wanted: Tensor) -> Tensor:
        """The same as a mean over the sample's values `[N]`, which rates and weights can be told for."""
        return self.forward(made, wanted) / (wanted[0].numel() if self.summed else 1)


class Regularizer(Part):
    """At most five verbs, each doing nothing unless overridden.
    Overriding one adds the word for who calls it to `needs`.

    every: a penalty is computed every so many steps, and scaled so that its weight does not depend on it. sides: in
    whose moves it is computed. differentiates: what of the turn needs a gradient when the penalty is due, so that it
    is marked before it is scored and nothing runs twice. reports: it only looks, and notes numbers; nothing that trains
    is changed by it.
    """

    kind = "regularizer"
    reports: ClassVar[bool] = False
    every: int = 1
    sides: ClassVar[tuple[str, ...]] = ("discriminator",)
    differentiates: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        implied = [f"{side}_turn" for side in cls.sides if cls.does("penalty")]
        implied += ["discriminator_turn" for verb in ("augment", "project") if cls.does(verb)]
        cls.needs = tuple(dict.fromkeys((*cls.needs, *implied)))

    @classmethod
    def does(cls, verb: str) -> bool:
        """Whether this regularizer overrides the verb."""
        return getattr(cls, verb) is not getattr(Regularizer, verb)

    def due(self, step: int) -> bool:
        """Whether the penalty is computed at this step (steps count from 1)."""
        return (step - 1) % self.every == 0

    def plan(self, plan: Plan) -> None:
        """Before the networks are built: ask something of them."""

    def prepare(self, networks: Networks) -> None:
        """After the networks are built, before their optimizers are: change them."""

    def augment(self, x: Tensor, draws: Draws) -> Tensor:
        """What a discriminator sees in place of x, real or fake, in every turn."""
        return x

    def penalty(self, turn: Turn) -> Tensor | None:
        """A scalar that is added to what the turn's player minimises; None where the turn was only to be seen."""
        raise NotImplementedError

    def sign(self, record: Mapping[str, float]) -> str | None:
        """What a logged record says is wrong with this regularizer, and what helps: a sentence without its end. It is
        told once it has lasted (see detectors.py)."""
        return None

    def project(self, networks: Networks) -> None:
        """After a discriminator has moved, without gradients: put its parameters back where they may be."""

    def state(self) -> dict[str, Any]:
        """Tensors and JSON values from which the regularizer goes on. Kept by `turn.name` where there are several."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""


class Procedure(Part):
    """Who moves when. One step is all discriminator moves and one generator move."""

    kind = "procedure"
    loss: ClassVar[str] = "nonsaturating"  # what it is played with unless --loss says otherwise

    def plan(self, plan: Plan) -> None:
        """Before the networks are built: ask something of them."""

    def start(self, game: Game) -> None:
        """Make the players, and whatever else is kept between steps."""
        raise NotImplementedError

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        """The moves of a step, in order. What follows a `yield` runs after the move was made."""
        raise NotImplementedError

    def sample(self, game: Game, asked: Request) -> Tensor:
        """The samples asked for, `[count, *spec.shape]`, a function of the request; it changes nothing and needs no
        data."""
        raise NotImplementedError

    def latent(self, game: Game, draws: Draws, count: int) -> Tensor:
        """`count` latents that the generator is played and sampled with. Here: those of its architecture."""
        found: Tensor = game.parts.architecture.latent(draws, count)
        return found

    def sampling_network(self, game: Game) -> nn.Module:
        """The network that `sample` uses, for measures that give it latents of their own."""
        return game.networks.generator

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        """What the picture of a step shows: sets of samples `[count, *spec.shape]`, each beside those of the same
        place in the others, such as a source, what was made of it and what was wanted. Here: the samples alone."""
        return [self.sample(game, asked)]

    def translator(self, game: Game, backwards: bool = False) -> nn.Module:
        """The network that turns a source into a sample, or backwards. Raises UsageError where there is none."""
        raise UsageError(f"procedure '{self.name}' plays networks that make samples of latents; use `ganzoo sample`")

    def state(self) -> dict[str, Any]:
        """Tensors and JSON values that neither networks nor players hold (pools, averages, latents)."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""

    def score(self, game: Game, samples: Tensor) -> Tensor:
        """How unlike the data samples `[N, *spec.shape]` are, `[N]` from 0, each by itself: what `ganzoo score` prints.
        Raises UsageError where the procedure learns no such thing."""
        raise UsageError(f"procedure '{self.name}' learns no scores of samples")

    @property
    def tied_to_steps(self) -> bool:
        """Whether what it does depends on the run's number of steps, which are then part of the run's identity."""
        return False


class Dataset(Part):
    """Where samples come from. Its offers are what it can be; once opened, the spec says what it is."""

    kind = "dataset"

    def open(self) -> Collection:
        """Read what is needed to know the spec. Raises DataError."""
        raise NotImplementedError

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether `--data PATH` means this data set (it then gets the option `path`)."""
        return False

    def show_source(self, source: Tensor, spec: Spec) -> Tensor:
        """Sources [N, *spec.source] as samples [N, *spec.shape], to be shown beside them. Here: sources that are
        pictures, resized and grey where the channels differ."""
        if source.shape[1:] == spec.shape:
            return source
        if source.ndim != 4 or len(spec.shape) != 3:
            return source.new_zeros(len(source), *spec.shape)
        resized = nn.functional.interpolate(source, size=spec.shape[1:])
        same = resized.shape[1] == spec.shape[0]
        return resized if same else resized.mean(1, keepdim=True).expand(-1, spec.shape[0], -1, -1)

    def read_source(self, data: bytes, spec: Spec) -> Tensor:
        """A file's contents as a source [C, H, W] of any height and width, as the data set reads its own (`ganzoo
        translate`). Here: a picture in [-1, 1] with the channels of `spec.source`. Raises ValueError, saying what is
        wrong, and whatever a damaged file makes its reader raise."""
        from .samples import read_picture

        assert spec.source is not None
        return read_picture(data, spec.source[0])

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        """Samples as people keep them: pictures as uint8 [N, H, W, C], tokens as lines of text, a table's rows,
        else numbers."""
        from .samples import decode

        return decode(samples, spec)


class Metric(Part):
    """What samples are worth. It reads an Evidence and returns numbers by name.

    extracts: it reads features, so its numbers carry the extractor's name. compares: it needs real samples.
    classifies: it needs the extractor's class probabilities. looks: it needs the samples themselves, not only their
    features. asks: it needs a trained run's generator. resamples: how many bootstrap rounds give its intervals (0: it
    has none, or gives its own). larger_is_better, smaller_is_better: the names of its numbers of which that is so;
    where runs are compared, the best of them is marked. standard: the field's words for its numbers, by name, such as
    {"frechet": "FID"}, if its options are those that the word stands for; they are so called over the features that the
    word stands for.
    """

    kind = "metric"
    standard: Mapping[str, str] = {}
    extracts: ClassVar[bool] = True
    compares: ClassVar[bool] = True
    classifies: ClassVar[bool] = False
    looks: ClassVar[bool] = False
    asks: ClassVar[bool] = False
    resamples: ClassVar[int] = 0
    larger_is_better: ClassVar[tuple[str, ...]] = ()
    smaller_is_better: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def better(cls, name: str) -> str | None:
        """Whether a number of this name is better when it is `larger` or `smaller`, or None."""
        if name in cls.larger_is_better:
            return "larger"
        return "smaller" if name in cls.smaller_is_better else None

    def measure(self, evidence: Evidence) -> list[Measure]:
        """The numbers. Raises UsageError where the evidence is of the wrong kind or too little."""
        raise NotImplementedError


@dataclass
class Recipe:
    """A named run: parts and settings as they would be written on the command line.

    variants: further forms, `ganzoo train NAME:VARIANT`, each with the fields that differ.
    """

    name: str
    summary: str
    arch: str
    loss: str
    data: str
    paper: str = ""
    regularizers: tuple[str, ...] = ()
    procedure: str | None = None
    steps: int = 10_000
    batch: int = 64
    seed: int = 0
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind: ClassVar[str] = "recipe"
    needs: ClassVar[tuple[str, ...]] = ()
    offers: ClassVar[tuple[str, ...]] = ()


@dataclass
class Parts:
    """The parts of one run, made or (for asking what would fit) as classes."""

    dataset: Any
    architecture: Any
    loss: Any
    regularizers: tuple[Any, ...]
    procedure: Any

    def each(self) -> Iterator[tuple[str, Any]]:
        for kind in ("dataset", "architecture", "procedure", "loss"):
            yield kind, getattr(self, kind)
        for regularizer in self.regularizers:
            yield "regularizer", regularizer

    def with_part(self, kind: str, part: Any) -> Parts:
        return self.with_regularizer(part) if kind == "regularizer" else dataclasses.replace(self, **{kind: part})

    def with_regularizer(self, part: Any) -> Parts:
        return dataclasses.replace(self, regularizers=(*self.regularizers, part))

    def without(self, part: Any) -> Parts:
        return dataclasses.replace(self, regularizers=tuple(other for other in self.regularizers if other is not part))


KINDS: dict[str, type] = {
    "architecture": Architecture,
    "loss": Loss,
    "regularizer": Regularizer,
    "procedure": Procedure,
    "dataset": Dataset,
    "metric": Metric,
    "recipe": Recipe,
}
