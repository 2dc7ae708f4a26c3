"""Binkowski et al. 2018, Demystifying MMD GANs, arXiv:1801.01401."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.sides import both

Array = numpy.ndarray[Any, Any]


class Kernel(Metric):
    """The squared maximum mean discrepancy between made and real features, with the kernel (x.y / d + 1)^3.

    Binkowski et al. 2018, arXiv:1801.01401, section 4: the unbiased estimate (no sample is compared with itself), mean
    over random subsets. Its expectation is the same at every number of samples, so that it is often negative where both
    sides are alike. It may be called KID only over the features of the 2015 Inception.

    The interval is the mean and 1.96 standard errors by the delete-d jackknife (Shao and Wu 1989, Annals of Statistics
    17:3): the subsets overlap, so that their spread divided by their number would promise too much. It is null where a
    subset is all of a side.

    Differs from the paper: none known.

    Args:
        subsets: how many subsets are drawn of each side, each without replacement.
        subset_size: samples in a subset; at most as many as the smaller side has.
    """

    name = "kernel"
    smaller_is_better = ("kernel",)
    paper = "arXiv:1801.01401"
    tiny = {"subsets": 4, "subset_size": 16}

    def __init__(self, subsets: int = 100, subset_size: int = 1000):
        if subsets < 1 or subset_size < 2:
            raise ValueError("subsets must be at least 1 and subset_size at least 2")
        self.subsets, self.subset_size = subsets, subset_size
        self.standard = {self.name: "KID"} if (subsets, subset_size) == (100, 1000) else {}

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, real = both(evidence, least=2)
        smaller = min(len(made), len(real))
        size = min(self.subset_size, smaller)
        subsets = 1 if size == len(made) == len(real) else self.subsets  # all of both sides is always the same
        random = evidence.random(self.name)
        values = numpy.array(
            [squared_discrepancy(_some(made, size, random), _some(real, size, random)) for _ in range(subsets)]
        )
        protocol = {"subsets": subsets, "subset_size": size, "spread": float(values.std())}
        return [Measure(self.name, float(values.mean()), _interval(values, size, smaller), protocol)]


def squared_discrepancy(first: Array, second: Array) -> float:
    """The unbiased squared maximum mean discrepancy between two sets of features."""
    between = 2 * float(polynomial(first, second).mean())
    return _within(first) + _within(second) - between


def polynomial(first: Array, second: Array) -> Array:
    """(x.y / d + 1)^3 for all pairs, [N, M]."""
    base: Array = first @ second.T / first.shape[1] + 1
    return base * base * base


def _within(features: Array) -> float:
    """The mean over all pairs of different samples of one side."""
    values, count = polynomial(features, features), len(features)
    return float((values.sum() - numpy.trace(values)) / (count * (count - 1)))


def _some(features: Array, size: int, random: numpy.random.Generator) -> Array:
    chosen: Array = features[random.choice(len(features), size, replace=False)]
    return chosen


def _interval(values: Array, size: int, count: int) -> tuple[float, float] | None:
    if len(values) < 2 or size == count:
        return None
    # What samples of this size leave open, and what this number of subsets adds.
    variance = float(values.var(ddof=1)) * (size / (count - size) + 1 / len(values))
    mean, half = float(values.mean()), 1.96 * math.sqrt(variance)
    return mean - half, mean + half


@hookimpl
def register_metrics(register: Any) -> None:
    register(Kernel)
