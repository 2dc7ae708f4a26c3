"""Logged numbers as curves that a page can hold: thinned so that no extreme and no gap is lost."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy

POINTS = 2000  # of a curve on a page: more than a screen has columns
PER_CHART = 8  # curves: as many as there are colours

Array = numpy.ndarray[Any, Any]


@dataclass
class Curve:
    """A number over the steps. intervals: where each value lies, low and high, or None where it has no interval.
    measured: a measure, whose few values are drawn as they are, never smoothed."""

    name: str
    measured: bool = False
    steps: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    intervals: list[tuple[float, float] | None] = field(default_factory=list)

    def add(self, step: float, value: float, interval: tuple[float, float] | None = None) -> None:
        self.steps.append(step)
        self.values.append(value)
        self.intervals.append(interval)

    def ordered(self) -> Curve:
        """The same by rising steps: a checkpoint may be measured after a later one."""
        if all(before <= after for before, after in pairwise(self.steps)):
            return self
        order = sorted(range(len(self.steps)), key=self.steps.__getitem__)
        curve = Curve(self.name, self.measured)
        for index in order:
            curve.add(self.steps[index], self.values[index], self.intervals[index])
        return curve

    def last_values(self) -> dict[str, Any]:
        """The curve in words: last, lowest and highest value, and how many are not finite."""
        values = numpy.array(self.values)
        finite = values[numpy.isfinite(values)]
        return {
            "name": self.name,
            "step": self.steps[-1],
            "last": self.values[-1],
            "lowest": finite.min() if len(finite) else None,
            "highest": finite.max() if len(finite) else None,
            "not_finite": len(values) - len(finite),
        }

    def to_json(self) -> dict[str, Any]:
        """x and y, y as text where it is not finite. A thinned curve also has the means (mx, my) of its buckets, for
        smoothing: an average of extremes would not be an average."""
        steps, values = numpy.array(self.steps, float), numpy.array(self.values, float)
        chosen = keep(values)
        packed: dict[str, Any] = {"name": self.name, "x": _plain(steps[chosen]), "y": _plain(values[chosen])}
        if len(chosen) < len(values):
            packed["mx"], packed["my"] = map(_plain, _means(steps, values))
        if self.measured:
            packed["measured"] = True
            packed["intervals"] = [
                interval and _plain(numpy.array(interval)) for interval in map(self.intervals.__getitem__, chosen)
            ]
        return packed


def number(value: Any) -> float | None:
    """The value as a float, or None if it is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return float("inf") if value > 0 else float("-inf")


def gather(records: Iterable[dict[str, Any]]) -> list[Curve]:
    """One curve for every number in the records; those with a group (`loss/…`) first."""
    curves: dict[str, Curve] = {}
    for record in records:
        step = number(record.get("step"))
        if step is None or not math.isfinite(step):
            continue
        for name, value in record.items():
            if name != "step" and (found := number(value)) is not None:
                if name not in curves:
                    curves[name] = Curve(name)
                curves[name].add(step, found)
    return sorted((curve.ordered() for curve in curves.values()), key=lambda curve: "/" not in curve.name)


def grouped(curves: list[Curve]) -> list[tuple[str, list[Curve]]]:
    """Charts: curves of one group together, but never more than there are colours."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(curve.name.partition("/")[0], []).append(curve)
    return [
        (
            title if len(members) <= PER_CHART else f"{title} {first // PER_CHART + 1}",
            members[first : first + PER_CHART],
        )
        for title, members in groups.items()
        for first in range(0, len(members), PER_CHART)
    ]


def keep(values: Array, points: int = POINTS) -> Array:
    """The indices to draw, in order: of each bucket the lowest, the highest and the first value that is not finite.
    At most 1.5 times `points` (and the two ends), at most `points` where all is finite."""
    if len(values) <= points:
        return numpy.arange(len(values))
    chosen = {0, len(values) - 1}
    finite = numpy.isfinite(values)
    for begin, end in _buckets(len(values), points // 2):
        part, good = values[begin:end], finite[begin:end]
        if good.any():
            chosen.add(begin + int(numpy.where(good, part, numpy.inf).argmin()))
            chosen.add(begin + int(numpy.where(good, part, -numpy.inf).argmax()))
        if not good.all():
            chosen.add(begin + int(good.argmin()))
    return numpy.array(sorted(chosen))


def _buckets(length: int, count: int) -> Iterable[tuple[int, int]]:
    return pairwise(numpy.linspace(0, length, count + 1).astype(int).tolist())


def _means(steps: Array, values: Array) -> tuple[Array, Array]:
    """Of each bucket the mean step and value; values that are not finite are left out."""
    finite = numpy.isfinite(values)
    pairs = [
        (steps[begin:end][finite[begin:end]].mean(), values[begin:end][finite[begin:end]].mean())
        for begin, end in _buckets(len(values), POINTS // 2)
        if finite[begin:end].any()
    ]
    means = numpy.array(pairs).reshape(-1, 2)
    return means[:, 0], means[:, 1]


def _plain(values: Array) -> list[Any]:
    """Numbers with six digits, whole ones without a point; text where JSON has no number."""
    return [_short(value) if numpy.isfinite(value) else str(value) for value in values.tolist()]


def _short(value: float) -> float | int:
    if value.is_integer() and abs(value) < 1e15:
        return int(value)
    return float(f"{value:.6g}")
