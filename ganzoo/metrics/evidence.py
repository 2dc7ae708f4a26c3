"""What a measure is given, and what it gives back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy
from torch import Tensor

from ..draws import derive

if TYPE_CHECKING:
    from ..data import Spec
    from ..game import Game

Array = numpy.ndarray[Any, Any]


@dataclass
class Sample:
    """One side of a measurement: N samples.

    features: [N, d] float64, what the extractor sees. values: [N, ...] in the data's units (pictures in [-1, 1]), or
    None where only features were given. probabilities: [N, K], the extractor's classes, or None if it has none.
    """

    name: str
    features: Array
    values: Tensor | None = None
    probabilities: Array | None = None

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, chosen: Array) -> Sample:
        """The samples of these indices."""
        return dataclasses.replace(
            self,
            features=self.features[chosen],
            values=None if self.values is None else self.values[chosen],
            probabilities=None if self.probabilities is None else self.probabilities[chosen],
        )


@dataclass
class Evidence:
    """Everything a measure may look at.

    made: the samples that are judged. reference: real ones, or None where nothing was named. spec: what one sample is,
    where it is known. extractor: the name of what made the features. game: a trained run's, for measures that ask its
    generator for more. distance: how far samples are from others as the extractor sees them, [N, ...] twice -> [N]
    float64. perceptual: whether that distance stands for what people see. Random choices come from `random(purpose)`,
    so that a measurement can be repeated.
    """

    made: Sample
    reference: Sample | None = None
    spec: Spec | None = None
    extractor: str = "identity"
    seed: int = 0
    game: Game | None = None
    distance: Callable[[Tensor, Tensor], Array] | None = None
    perceptual: bool = False
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def random(self, purpose: str) -> numpy.random.Generator:
        return numpy.random.default_rng(derive(self.seed, "measure", purpose))

    def judging(self, made: Sample, reference: Sample | None = None) -> Evidence:
        """The same measurement of other samples."""
        kept = self.kept if reference is None else {}
        return dataclasses.replace(self, made=made, reference=reference or self.reference, kept=kept)

    def once(self, name: str, reckoned: Callable[[], Any]) -> Any:
        """What depends on the reference alone: reckoned once, however many samples are compared with it."""
        if name not in self.kept:
            self.kept[name] = reckoned()
        return self.kept[name]


@dataclass
class Measure:
    """One number. interval: where it lies with 95 % confidence, or None. protocol: all that it depends on.

    picture: a picture that belongs to it, [C, H, W] in [-1, 1], or None.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    protocol: dict[str, Any] = field(default_factory=dict)
    picture: Tensor | None = None
