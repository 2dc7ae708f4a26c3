"""Rabin et al. 2011, Wasserstein Barycenter and Its Application to Texture Mixing, SSVM, LNCS 6667."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.sides import both

Array = numpy.ndarray[Any, Any]

TOGETHER = 64  # directions that are projected on at a time


class SlicedWasserstein(Metric):
    """The root mean square, over random directions, of the Wasserstein distance between projected features.

    Rabin et al. 2011, LNCS 6667 (hal-00476064): the sliced distance, whose square is the mean over the unit sphere of
    the squared 2-Wasserstein distance on a line, which is known exactly. It is in the features' own unit, and for a
    shift by v it is |v| / sqrt(d). This is not the measure of Karras et al. 2017 (arXiv:1710.10196, section 5), which
    compares normalised 7x7 patches of each level of a Laplacian pyramid, by absolute differences.

    Differs from the paper: the mean over the sphere is one over random directions, the same for all that is measured
    with one seed.

    Args:
        projections: how many directions.
        most: how many real samples are compared with, drawn at random if there are more.
    """

    name = "sliced-wasserstein"
    paper = "hal-00476064"
    resamples = 20
    smaller_is_better = ("sliced-wasserstein",)
    tiny = {"projections": 8}

    def __init__(self, projections: int = 512, most: int = 10_000):
        if min(projections, most) < 1:
            raise ValueError("projections and most must be at least 1")
        self.projections, self.most = projections, most

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, real = both(evidence, least=1)
        parts = evidence.once(f"{self.name} {self.projections} {self.most}", lambda: self._projected(evidence, real))
        squared = [squared_on_lines(made @ directions, ordered) for directions, ordered in parts]
        value = math.sqrt(float(numpy.concatenate(squared).mean()))
        used = min(self.most, len(real))
        return [Measure(self.name, value, protocol={"projections": self.projections, "order": 2, "used": used})]

    def _projected(self, evidence: Evidence, real: Array) -> list[tuple[Array, Array]]:
        """Directions, some at a time, and the real samples on them, in order."""
        directions = evidence.random(self.name).standard_normal((real.shape[1], self.projections))
        directions /= numpy.linalg.norm(directions, axis=0)
        if len(real) > self.most:
            real = real[evidence.random("used").choice(len(real), self.most, replace=False)]
        parts = numpy.split(directions, range(TOGETHER, self.projections, TOGETHER), axis=1)
        return [(part, numpy.sort(real @ part, axis=0)) for part in parts]


def squared_on_lines(first: Array, second: Array) -> Array:
    """The squared 2-Wasserstein distance between each column of [N, L] and of [M, L]: the mean squared difference of
    their quantile functions, which are steps."""
    n, m = len(first), len(second)
    first, second = numpy.sort(first, axis=0), numpy.sort(second, axis=0)
    if n == m:
        return numpy.square(first - second).mean(0)
    # Whole numbers out of n * m: the places where either function steps.
    ends = numpy.union1d(numpy.arange(1, n + 1) * m, numpy.arange(1, m + 1) * n)
    lengths = numpy.diff(ends, prepend=0)
    apart = first[(ends - 1) // m] - second[(ends - 1) // n]
    distances: Array = lengths @ numpy.square(apart) / (n * m)
    return distances


@hookimpl
def register_metrics(register: Any) -> None:
    register(SlicedWasserstein)
