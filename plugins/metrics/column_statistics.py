"""Whether columns, and pairs of columns, of made rows are distributed as those of real ones."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.datasets.table_columns import Block, numbers
from ganzoo_plugins.metrics import tables

Array = numpy.ndarray[Any, Any]


class ColumnStatistics(Metric):
    """How far the columns of made rows, and their pairs, are distributed from those of real rows.

    `column_distance` is the mean over the columns: of numbers the largest difference of the two cumulative
    distributions (Kolmogorov and Smirnov's statistic, missing ones below all others), of categories half the sum of the
    differences of the shares (the total variation). `pair_distance` is the mean over all pairs of columns of the total
    variation of their joint shares, numbers cut at the quantiles of the real ones. Both are 0 for equal and at most 1;
    independent columns show in the second alone. Few rows have a distance by themselves: see `halves`.

    Args:
        cuts: into how many parts numbers are cut for pairs, each with as many real rows where values differ.
    """

    name = "column-statistics"
    extracts = False
    looks = True
    smaller_is_better = ("column_distance", "pair_distance")

    def __init__(self, cuts: int = 10):
        if cuts < 2:
            raise ValueError("cuts must be at least 2")
        self.cuts = cuts

    def measure(self, evidence: Evidence) -> list[Measure]:
        columns, made, real = tables.both(evidence, least=2)
        alone = {column.column["name"]: _distance(column, made, real) for column in columns}
        found = [_mean("column_distance", alone)]
        if len(columns) > 1:
            cut = {column.column["name"]: self._cut(column, made, real) for column in columns}
            pairs = {f"{one} and {other}": _joint(cut[one], cut[other]) for one, other in combinations(cut, 2)}
            found.append(_mean("pair_distance", pairs))
        return found

    def _cut(self, column: Block, made: Array, real: Array) -> tuple[Array, Array]:
        """A column's made and real rows as whole numbers from 0."""
        if column.is_category:
            return tables.codes(column, made), tables.codes(column, real)
        found, wanted = _below_all(numbers(column, made)), _below_all(numbers(column, real))
        known = wanted[numpy.isfinite(wanted)]
        shares = numpy.arange(1, self.cuts) / self.cuts
        edges = numpy.unique(numpy.quantile(known, shares)) if len(known) else numpy.zeros(1)
        cut = [numpy.where(numpy.isfinite(side), numpy.searchsorted(edges, side) + 1, 0) for side in (found, wanted)]
        return cut[0], cut[1]


def _mean(name: str, distances: dict[str, float]) -> Measure:
    worst = max(distances, key=lambda one: distances[one])
    told = {"of": len(distances), "worst": worst, "worst_distance": distances[worst]}
    return Measure(name, float(numpy.mean(list(distances.values()))), None, told)


def _distance(column: Block, made: Array, real: Array) -> float:
    if column.is_category:
        shares = [tables.one_hot(column, side).mean(0) for side in (made, real)]
        return float(numpy.abs(shares[0] - shares[1]).sum() / 2)
    found, wanted = numpy.sort(_below_all(numbers(column, made))), numpy.sort(_below_all(numbers(column, real)))
    places = numpy.concatenate([found, wanted])
    cumulative = [numpy.searchsorted(side, places, "right") / len(side) for side in (found, wanted)]
    return float(numpy.abs(cumulative[0] - cumulative[1]).max())


def _below_all(found: Array) -> Array:
    return numpy.where(numpy.isnan(found), -numpy.inf, found)


def _joint(one: tuple[Array, Array], other: tuple[Array, Array]) -> float:
    """The total variation of the joint shares of two columns, each as its made and its real rows."""
    size = 1 + max(int(other[0].max()), int(other[1].max()))
    joined = [first * size + second for first, second in zip(one, other, strict=True)]
    length = 1 + max(int(side.max()) for side in joined)
    shares = [numpy.bincount(side, minlength=length) / len(side) for side in joined]
    return float(numpy.abs(shares[0] - shares[1]).sum() / 2)


@hookimpl
def register_metrics(register: Any) -> None:
    register(ColumnStatistics)
