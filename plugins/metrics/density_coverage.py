"""Naeem et al. 2020, Reliable Fidelity and Diversity Metrics for Generative Models, arXiv:2002.09797."""

from __future__ import annotations

import math
from typing import Any

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.neighbours import hits
from ganzoo_plugins.metrics.sides import both


class DensityCoverage(Metric):
    """How densely real samples lie around made ones, and the share of real samples that have made ones near.

    Naeem et al. 2020, arXiv:2002.09797, section 3, with balls around real samples that reach to their k-th nearest
    other: `density` is the mean number of balls that a made sample lies in, divided by k (1 where both sides are alike,
    and it may be more); `coverage` is the share of balls that hold a made sample. A sample on a ball's rim is outside
    (<), as in the authors' package prdc. For N real and M made samples of one distribution, `expected` in the protocol
    is 1 for density and 1 - (N-1)...(N-k) / (M+N-1)...(M+N-k) for coverage (section 3.3), which is 1 - 2^-k where both
    are many and equal.

    The interval of density is its mean and 1.96 standard errors over made samples, with the balls as they are.

    Differs from the paper: none known.

    Args:
        k: which neighbour a ball reaches to, not counting the sample itself.
    """

    name = "density-coverage"
    larger_is_better = ("coverage",)  # density is 1 for equal distributions, and more is not better
    paper = "arXiv:2002.09797"

    def __init__(self, k: int = 5):
        if k < 1:
            raise ValueError("k must be at least 1")
        self.k = k

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, real = both(evidence, least=self.k + 1)
        found = hits(real, made, self.k, around_made=False)
        around = found.around_made / self.k
        density, half = float(around.mean()), 1.96 * float(around.std(ddof=1)) / math.sqrt(len(around))
        protocol = {"k": self.k, "rim": "<"}
        expected = 1 - math.prod((len(real) - i) / (len(real) + len(made) - i) for i in range(1, self.k + 1))
        return [
            Measure("density", density, (density - half, density + half), {**protocol, "expected": 1.0}),
            Measure("coverage", float(found.covered.mean()), None, {**protocol, "expected": expected}),
        ]


@hookimpl
def register_metrics(register: Any) -> None:
    register(DensityCoverage)
