"""Mean and covariance of rows that come batch by batch. Chan, Golub and LeVeque 1979, Updating Formulae and a Pairwise
Algorithm for Computing Sample Variances, Stanford STAN-CS-79-773, equation 2.1."""

from __future__ import annotations

from typing import Any

import numpy

Array = numpy.ndarray[Any, Any]


class Moments:
    """The count, the mean [d] and the scatter about it [d, d] of rows [N, d], in float64.

    Each batch is taken about its own mean and then joined, so nothing large cancels: the result is that of two passes
    over all rows, however they were cut into batches and shared among processes.
    """

    def __init__(self, dimensions: int):
        self.count, self.mean = 0, numpy.zeros(dimensions)
        self.scatter = numpy.zeros((dimensions, dimensions))

    @classmethod
    def of(cls, rows: Array) -> Moments:
        """Two passes over these rows."""
        moments = cls(rows.shape[1])
        if len(rows):
            rows = numpy.asarray(rows, dtype=numpy.float64)
            moments.count, moments.mean = len(rows), rows.mean(0)
            centred = rows - moments.mean
            moments.scatter = centred.T @ centred
        return moments

    def add(self, rows: Array) -> Moments:
        """Take in one more batch."""
        return self.join(Moments.of(rows))

    def join(self, other: Moments) -> Moments:
        """Take in what another has seen."""
        if other.count:
            total = self.count + other.count
            apart = other.mean - self.mean
            self.scatter += other.scatter + numpy.outer(apart, apart) * (self.count * other.count / total)
            self.mean = self.mean + apart * (other.count / total)
            self.count = total
        return self

    @property
    def covariance(self) -> Array:
        """The unbiased estimate: divided by one less than the count."""
        return self.scatter / (self.count - 1)
