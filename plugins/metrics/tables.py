"""What measures of tables share: both sides as rows, checked, and a column's rows as codes."""

from __future__ import annotations

from typing import Any

import numpy

from ganzoo import Evidence, Sample, UsageError
from ganzoo_plugins.datasets.table_columns import Block, blocks

Array = numpy.ndarray[Any, Any]


def both(evidence: Evidence, least: int) -> tuple[tuple[Block, ...], Array, Array]:
    """The columns of a table, and the rows of what was made and of what is real, [N, D] and [M, D]."""
    if evidence.spec is None or "table" not in evidence.spec.encoding:
        kind = "samples of an unknown kind" if evidence.spec is None else f"{evidence.spec.kind} samples"
        raise UsageError(f"this measure reads tables with known columns (--data table:path=FILE.csv), not {kind}")
    if evidence.reference is None:
        raise UsageError("this measure compares with real rows; name some with --data")
    return blocks(evidence.spec.encoding), rows(evidence.made, least), rows(evidence.reference, least)


def rows(sample: Sample, least: int) -> Array:
    """A side's rows [N, D] as the networks see them."""
    if sample.values is None or len(sample) < least:
        raise UsageError(f"{sample.name} has {len(sample)} rows to look at; this measure needs at least {least}")
    found: Array = sample.values.numpy()
    if not numpy.isfinite(found).all():
        raise UsageError(f"{sample.name} has rows that hold numbers that are infinite or none")
    return found


def codes(block: Block, found: Array) -> Array:
    """Which category [N] rows are of."""
    chosen: Array = found[:, block.start : block.stop].argmax(1)
    return chosen


def one_hot(block: Block, found: Array) -> Array:
    """The category of each row as a row of zeros and a one [N, categories]."""
    return numpy.eye(block.size)[codes(block, found)]
