"""A comparison as a table for the terminal, as CSV and as JSON."""

from __future__ import annotations

import csv
import io
import math
import sys
from pathlib import Path
from typing import Any

from . import put
from .comparison import Cell, Column, Comparison, Group, Member
from .contents import clock

MARKS = {"best": "*", "best, one seed": "?", "best, within the spread": "~"}


def show(comparison: Comparison) -> None:
    """Print it: what is the same in all, the table, and what must be known. As wide as it is where no one looks."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False)
    for role, text in comparison.settings.same.items():
        console.print(f"[dim]{role}[/dim] {escape(text)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in _titles(comparison):
        table.add_column(escape(title), overflow="fold", justify="left" if title in _left(comparison) else "right")
    for index, group in enumerate(comparison.groups):
        table.add_row(*map(escape, _row(comparison, index, group)))
    console.print(table)
    for line in _below(comparison):
        console.print(escape(line), soft_wrap=True)


def _left(comparison: Comparison) -> list[str]:
    return comparison.settings.varied or ["runs"]


def _titles(comparison: Comparison) -> list[str]:
    names = [column.label for column in comparison.columns]
    return [*_left(comparison), *(["runs"] if comparison.settings.varied else []), "steps", "time", *names]


def _row(comparison: Comparison, index: int, group: Group) -> list[str]:
    settings = [group.settings[role] for role in comparison.settings.varied]
    time = "–" if group.seconds is None else clock(group.seconds)
    numbers = [_shown(column.cells[index]) for column in comparison.columns]
    return [*settings, str(len(group.members)), f"{group.steps:,}", time, *numbers]


def _shown(cell: Cell) -> str:
    return f"{cell} {MARKS[cell.mark]}" if cell.mark else str(cell)


def _below(comparison: Comparison) -> list[str]:
    """What the marks mean, what must be known, and what is missing."""
    marks = dict.fromkeys(cell.mark for column in comparison.columns for cell in column.cells if cell.mark)
    lines = [f"{MARKS[mark]} {mark}" for mark in marks]
    lines += [f"note: {note}" for note in comparison.notes]
    return lines + [f"{absent.name}: {absent.why}" for absent in comparison.absent]


def write_csv(comparison: Comparison, path: Path) -> Path:
    """Write a line for each run: its settings, and every number in full with its interval. Raises RunError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    roles = list(comparison.groups[0].settings)
    ranged = [column for column in comparison.columns if any(any(cell.intervals) for cell in column.cells)]
    titles = [title for column in comparison.columns for title in _fields(column, ranged)]
    writer.writerow(["run", *roles, "seed", "steps", "seconds", *titles])
    for group in comparison.groups:
        for member in group.members:
            numbers = [value for column in comparison.columns for value in _values(column, member, column in ranged)]
            settings = [group.settings[role] for role in roles]
            seconds = "" if member.seconds is None else member.seconds
            writer.writerow([member.name, *settings, member.seed, member.steps, seconds, *numbers])
    return put(path, text.getvalue())


def _fields(column: Column, ranged: list[Column]) -> list[str]:
    return [column.label, f"{column.label} low", f"{column.label} high"] if column in ranged else [column.label]


def _values(column: Column, member: Member, ranged: bool) -> list[Any]:
    """A run's number, and its ends where the column has any."""
    value, ends = _number(column, member)
    return [value, *(ends or ("", ""))] if ranged else [value]


def _number(column: Column, member: Member) -> tuple[Any, tuple[float, float] | None]:
    if column.key is None:
        return member.last.get(column.label.removeprefix("last "), ""), None
    found = member.newest.get(column.key)
    return ("", None) if found is None else (found["value"], found["interval"])


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The table as JSON values; a number that is not finite is null."""
    return {
        "same": comparison.settings.same,
        "varied": comparison.settings.varied,
        "rows": [_row_json(comparison, index, group) for index, group in enumerate(comparison.groups)],
        "notes": comparison.notes,
        "missing": [{"name": absent.name, "why": absent.why} for absent in comparison.absent],
    }


def _row_json(comparison: Comparison, index: int, group: Group) -> dict[str, Any]:
    return {
        "settings": {role: group.settings[role] for role in comparison.settings.varied},
        "runs": [{"name": member.name, "path": str(member.run.path), "seed": member.seed} for member in group.members],
        "steps": group.steps,
        "seconds": _finite(group.seconds),
        "numbers": {
            column.label: _cell_json(column.cells[index]) for column in comparison.columns if column.cells[index].values
        },
    }


def _cell_json(cell: Cell) -> dict[str, Any]:
    return {
        "mean": _finite(cell.mean),
        "deviation": _finite(cell.deviation),
        "values": list(map(_finite, cell.values)),
        "interval": None if cell.interval is None else list(map(_finite, cell.interval)),
        "mark": cell.mark or None,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
