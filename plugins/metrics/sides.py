"""What measures over features share: the two sides, checked, and the interval of a share."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ganzoo import Evidence, Sample, UsageError

Array = numpy.ndarray[Any, Any]


def both(evidence: Evidence, least: int) -> tuple[Array, Array]:
    """The features of what was made and of what is real, [N, d] and [M, d], with at least so many rows each."""
    if evidence.reference is None:
        raise UsageError("this measure compares with real samples; name some with --data or --reference")
    made, real = rows(evidence.made, least), rows(evidence.reference, least)
    if made.shape[1] != real.shape[1]:
        raise UsageError(
            f"{evidence.made.name} has {made.shape[1]} features a sample and {evidence.reference.name} has "
            f"{real.shape[1]}; both sides need the same extractor"
        )
    return made, real


def rows(sample: Sample, least: int) -> Array:
    """A side's features [N, d] in float64."""
    features = numpy.asarray(sample.features, dtype=numpy.float64)
    if features.ndim != 2 or features.shape[1] == 0:
        raise UsageError(f"{sample.name} has features of shape {features.shape}; one row a sample is needed")
    if len(features) < least:
        raise UsageError(f"{sample.name} has {len(features)} samples; this measure needs at least {least}")
    if not numpy.isfinite(features).all():
        raise UsageError(f"{sample.name} has features that are infinite or not numbers")
    return features


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Where the share lies with 95 % confidence, if `count` independent samples gave this one: Wilson 1927's score
    interval, which is right for shares of 0 and 1 too."""
    z = 1.959963984540054
    middle = share + z * z / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2)
    scale = 1 + z * z / count
    return min(share, max(0.0, (middle - half) / scale)), max(share, min(1.0, (middle + half) / scale))
