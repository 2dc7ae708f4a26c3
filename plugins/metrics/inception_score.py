"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, UsageError, hookimpl

Array = numpy.ndarray[Any, Any]


class InceptionScore(Metric):
    """How surely made samples belong to a class and how evenly to all: 1 at worst, the number of classes at best.

    Salimans et al. 2016, arXiv:1606.03498, section 4: exp(mean KL(p(y|x) || p(y))) with the extractor's class
    probabilities, mean over splits. It looks at no real sample, so that one perfect picture of each class scores
    highest. It may be called IS only with the classes of the 2015 Inception.

    The splits are independent samples, so the interval is their mean and Student's t times its standard error.

    Differs from the paper: samples are dealt to the splits at random, so that a folder sorted by class scores as it
    does unsorted (the authors' code cuts them in the order in which they come).

    Args:
        splits: into how many equal parts the samples are cut.
    """

    name = "inception-score"
    larger_is_better = ("inception-score",)
    paper = "arXiv:1606.03498"
    compares = False
    classifies = True
    tiny = {"splits": 2}

    def __init__(self, splits: int = 10):
        if splits < 1:
            raise ValueError("splits must be at least 1")
        self.splits = splits
        self.standard = {self.name: "IS"} if splits == 10 else {}

    def measure(self, evidence: Evidence) -> list[Measure]:
        probabilities = _probabilities(evidence, self.splits)
        order = evidence.random(self.name).permutation(len(probabilities))
        values = numpy.array([score(probabilities[part]) for part in numpy.array_split(order, self.splits)])
        protocol = {"splits": self.splits, "spread": float(values.std()), "classes": probabilities.shape[1]}
        return [Measure(self.name, float(values.mean()), _interval(values), protocol)]


def score(probabilities: Array) -> float:
    """exp of the mean divergence of each sample's classes [N, K] from the mean of all."""
    marginal = probabilities.mean(0)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        terms = probabilities * (numpy.log(probabilities) - numpy.log(marginal))
    return float(numpy.exp(numpy.where(probabilities > 0, terms, 0.0).sum(1).mean()))


def _probabilities(evidence: Evidence, least: int) -> Array:
    given = evidence.made.probabilities
    if given is None:
        raise UsageError(f"{evidence.extractor} tells no classes; name an extractor that does with --features")
    probabilities = numpy.asarray(given, dtype=numpy.float64)
    if probabilities.ndim != 2 or not numpy.allclose(probabilities.sum(1), 1, atol=1e-4):
        raise UsageError(f"{evidence.made.name} has no class probabilities that add up to 1, one row a sample")
    if len(probabilities) < least:
        raise UsageError(f"{evidence.made.name} has {len(probabilities)} samples; this measure needs at least {least}")
    return probabilities


def _interval(values: Array) -> tuple[float, float] | None:
    if len(values) < 2:
        return None
    from scipy.special import stdtrit  # comes with scikit-learn

    half = float(stdtrit(len(values) - 1, 0.975)) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return float(values.mean()) - half, float(values.mean()) + half


@hookimpl
def register_metrics(register: Any) -> None:
    register(InceptionScore)
