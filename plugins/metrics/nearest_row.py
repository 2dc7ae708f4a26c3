"""How near made rows are to the rows that were learnt from."""

from __future__ import annotations

import math
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.datasets.table_columns import Block, numbers
from ganzoo_plugins.metrics import tables
from ganzoo_plugins.metrics.neighbours import nearest
from ganzoo_plugins.metrics.sides import share_interval

Array = numpy.ndarray[Any, Any]
EQUAL = 1e-6  # distance below which two rows are the same


class NearestRow(Metric):
    """How far made rows are from the nearest row that was learnt from, and how many are copies.

    The reference must be the rows that the run was trained on. The squared distance of two rows is the sum over their
    columns: of numbers, the squared difference as a share of the column's range (a missing one is the smallest, and 1
    away from those that are known); of categories, 1 where they differ. `nearest_row` is the median over made rows of
    the distance to the nearest row of the reference, and `usual` in the protocol that of rows of the reference to the
    nearest of the others. `copied_rows` is the share of made rows that are equal to a row of the reference, and
    `expected` that of rows of the reference.

    Args:
        queries: of how many rows of the reference, drawn at random, the nearest of the others is looked up.
    """

    name = "nearest-row"
    extracts = False
    looks = True
    tiny = {"queries": 32}

    def __init__(self, queries: int = 2000):
        if queries < 1:
            raise ValueError("queries must be at least 1")
        self.queries = queries

    def measure(self, evidence: Evidence) -> list[Measure]:
        columns, made, real = tables.both(evidence, least=4)
        found, rows = _places(columns, made), _places(columns, real)
        order = evidence.random(self.name).permutation(len(rows))
        count = min(self.queries, len(rows) // 2)
        usual, _ = nearest(rows[order[:count]], rows[order[count:]])
        distances, _ = nearest(found, rows)
        copied = float((distances < EQUAL).mean())
        expected = float((usual < EQUAL).mean())
        protocol = {"queries": count}
        return [
            Measure(
                "nearest_row", float(numpy.median(distances)), None, {**protocol, "usual": float(numpy.median(usual))}
            ),
            Measure("copied_rows", copied, share_interval(copied, len(found)), {**protocol, "expected": expected}),
        ]


def _places(columns: tuple[Block, ...], rows: Array) -> Array:
    """Rows as points whose squared distances are those of the docstring."""
    pieces = []
    for column in columns:
        if column.is_category:
            pieces.append(tables.one_hot(column, rows) * math.sqrt(0.5))
            continue
        found, reach = numbers(column, rows), column.column["high"] - column.column["low"]
        missing = numpy.isnan(found)
        pieces.append(numpy.where(missing, 0, (found - column.column["low"]) / reach)[:, None])
        if column.column["missing"] is not None:
            pieces.append(missing[:, None].astype(float))
    return numpy.concatenate(pieces, axis=1)


@hookimpl
def register_metrics(register: Any) -> None:
    register(NearestRow)
