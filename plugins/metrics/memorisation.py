"""Whether samples are copies of the training data. Meehan, Chaudhuri and Dasgupta 2020, A Non-Parametric Test to Detect
Data-Copying in Generative Models, arXiv:2004.05675."""

from __future__ import annotations

import math
from typing import Any

import numpy
import torch
from torch import Tensor

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.neighbours import nearest
from ganzoo_plugins.metrics.sides import both, share_interval

Array = numpy.ndarray[Any, Any]


class Memorisation(Metric):
    """The share of made samples that lie nearer to a training sample than real samples lie to each other.

    The reference must be the training data. `memorisation` is the share of made samples whose nearest training sample
    is at most as far as the `quantile` of the distances from training samples to their nearest other: about `quantile`
    for new samples of the same distribution (`expected` in the protocol), 1 for copies. Where the training data hold a
    sample twice, the other is the nearest different one.

    `data_copying` is the statistic Z_U of Meehan et al. 2020, arXiv:2004.05675, in one cell: the Mann-Whitney U of the
    two sets of distances, less its mean, over its deviation. Far below 0 means copying, far above that samples lie away
    from the data; within 3 of 0 means neither. Picture: the made samples that are nearest (above) and the training
    samples that they are near to (below).

    Differs from the paper: in place of held-out samples, training samples themselves, each without itself; one cell.

    Args:
        quantile: of the distances between training samples, from 0 to 1.
        queries: of how many training samples, drawn at random, the nearest other is looked up; 0: all.
        pairs: how many pairs are in the picture.
    """

    name = "memorisation"
    paper = "arXiv:2004.05675"
    looks = True
    tiny = {"queries": 32}

    def __init__(self, quantile: float = 0.01, queries: int = 10_000, pairs: int = 8):
        if not 0 < quantile < 1 or queries < 0 or pairs < 1:
            raise ValueError("quantile lies in (0, 1), queries must not be negative and pairs must be at least 1")
        self.quantile, self.queries, self.pairs = quantile, queries, pairs

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, real = both(evidence, least=2)
        count = min(self.queries or len(real), len(real))
        asked = evidence.random(self.name).choice(len(real), count, replace=False)
        usual, _ = nearest(real[asked], real, different=True)
        distances, indices = nearest(made, real)
        threshold = float(numpy.quantile(usual, self.quantile))
        share = float((distances <= threshold).mean())
        protocol = {"expected": self.quantile, "threshold": threshold, "queries": count}
        interval = share_interval(share, len(made))
        return [
            Measure(self.name, share, interval, protocol, self._picture(evidence, distances, indices)),
            Measure("data_copying", copying_statistic(distances, usual), None, {"queries": count, "cells": 1}),
        ]

    def _picture(self, evidence: Evidence, distances: Array, indices: Array) -> Tensor | None:
        made, real = evidence.made.values, None if evidence.reference is None else evidence.reference.values
        if made is None or real is None or made.ndim != 4 or made.shape[1:] != real.shape[1:]:
            return None
        nearest_first = numpy.argsort(distances, kind="stable")[: self.pairs]
        rows = [_side_by_side(made[nearest_first]), _side_by_side(real[indices[nearest_first]])]
        between = torch.ones(*rows[0].shape[:1], 2, rows[0].shape[2])
        return torch.cat([rows[0], between, rows[1]], dim=1)


def copying_statistic(made: Array, real: Array) -> float:
    """Z_U: how far made distances rank above real ones, in deviations of what chance does."""
    ordered, n, m = numpy.sort(real), len(real), len(made)
    below = numpy.searchsorted(ordered, made, "left") + numpy.searchsorted(ordered, made, "right")
    return (float(below.sum()) / 2 - n * m / 2) / math.sqrt(n * m * (n + m + 1) / 12)


def _side_by_side(pictures: Tensor) -> Tensor:
    """[N, C, H, W] as one [C, H, W'], two white columns between neighbours."""
    white = torch.ones(*pictures.shape[1:3], 2)
    pieces = [piece for picture in pictures for piece in (white, picture.float().cpu())]
    return torch.cat(pieces[1:], dim=2)


@hookimpl
def register_metrics(register: Any) -> None:
    register(Memorisation)
