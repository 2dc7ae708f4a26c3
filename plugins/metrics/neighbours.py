"""Nearest neighbours by blocks of the distance matrix, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]

MOST = 2**22  # distances that are held at a time: 32 MiB
ROUNDING = 32 * numpy.finfo(numpy.float64).eps  # of a squared distance, as a share of the squared norms that it is from


def blocks(queries: Array, points: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances from some of the queries to all points [q, M], with which queries they are."""
    step, norms = max(1, MOST // len(points)), numpy.square(points).sum(1)
    for start in range(0, len(queries), step):
        part = queries[start : start + step]
        squared = part @ points.T
        squared *= -2
        squared += norms
        squared += numpy.square(part).sum(1)[:, None]
        yield slice(start, start + len(part)), numpy.maximum(squared, 0, out=squared)


def balls(points: Array, k: int) -> Array:
    """The squared radii [N] of balls around points that reach to their k-th nearest other, rim excluded: less than that
    by what rounding may add, so that a point on the rim is never inside."""
    squared_radii = numpy.empty(len(points))
    for chosen, squared in blocks(points, points):
        mine = numpy.arange(len(squared))
        squared[mine, mine + chosen.start] = numpy.inf
        squared_radii[chosen] = numpy.partition(squared, k - 1, axis=1)[:, k - 1]
    reach = numpy.linalg.norm(points, axis=1) + numpy.sqrt(squared_radii)
    return squared_radii - ROUNDING * reach**2


@dataclass
class Hits:
    """around_made: in how many real samples' balls each made one lies. covered: whether a real sample's ball holds a
    made one. within: whether a real sample lies in a made one's ball, or None where that was not asked."""

    around_made: Array
    covered: Array
    within: Array | None


def hits(real: Array, made: Array, k: int, *, around_made: bool) -> Hits:
    """Who lies in whose ball, in one pass over all pairs. around_made: look at the balls round made samples too."""
    centre = real.mean(0)
    real, made = real - centre, made - centre  # smaller norms, less rounding
    real_balls, made_balls = balls(real, k), balls(made, k) if around_made else None
    found = Hits(numpy.zeros(len(made), dtype=numpy.int64), numpy.zeros(len(real), dtype=bool), None)
    found.within = None if made_balls is None else numpy.zeros(len(real), dtype=bool)
    for chosen, squared in blocks(real, made):
        inside = squared < real_balls[chosen, None]
        found.around_made += inside.sum(0)
        found.covered[chosen] = inside.any(1)
        if made_balls is not None and found.within is not None:
            found.within[chosen] = (squared < made_balls).any(1)
    return found


def nearest(queries: Array, points: Array, *, different: bool = False) -> tuple[Array, Array]:
    """The distance from each query to the nearest point, and which point that is.

    different: equal points do not count, which is how points are asked for their nearest other. Where there is no
    other, the distance is 0. Distances are exact.
    """
    centre = points.mean(0)
    queries, points = queries - centre, points - centre
    distances, indices = numpy.empty(len(queries)), numpy.empty(len(queries), dtype=numpy.int64)
    for chosen, squared in blocks(queries, points):
        if different:
            same = ROUNDING * numpy.square(2 * queries[chosen]).sum(1)
            squared[squared <= same[:, None]] = numpy.inf
        indices[chosen] = squared.argmin(1)
        distances[chosen] = numpy.linalg.norm(queries[chosen] - points[indices[chosen]], axis=1)
        if different:
            distances[chosen][numpy.isinf(squared).all(1)] = 0
    return distances, indices
