"""Runs side by side: those that differ only in their seed are one row, with the mean and the deviation of what was
measured. How that is told: comparison_table.py, comparison_page.py."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..registry import Registry, installed
from ..run import Run, json_lines, read_json
from .contents import measure
from .curves import number
from .settings import Settings, compare_settings

# What a protocol says of these is what was found, or of whom: two measurements may differ in it and be one measure.
FOUND = frozenset(
    (
        "made",
        "seed",
        "bias",
        "floor",
        "halves",
        "halves_count",
        "expected",
        "spread",
        "threshold",
        "counted",
        "note",
        "better",
    )
)

BETTER = {"larger": 1, "smaller": -1}  # as a protocol says it; older ones are silent


@dataclass
class Member:
    """A run that is compared. steps: how many it has made. last: its last logged numbers. measures: all of them, oldest
    first, each with its way (its name and how it was taken). newest: of each way the one of the latest step."""

    name: str
    run: Run
    recorded: dict[str, Any]
    records: list[dict[str, Any]]
    steps: int
    seconds: float | None
    last: dict[str, float]
    measures: list[tuple[tuple[str, str], dict[str, Any]]]
    newest: dict[tuple[str, str], dict[str, Any]]

    @property
    def seed(self) -> int:
        return self.run.config.seed

    @property
    def without_seed(self) -> str:
        """What runs of one row share: all that makes a run what it is, but the seed, and how far it has come."""
        identity = {**self.recorded.get("identity", self.run.config.to_json()), "seed": None}
        return json.dumps([identity, self.steps], sort_keys=True)


@dataclass
class Cell:
    """What the runs of one row have of one number. mark: whether it is the best of its column, in words."""

    values: list[float]
    intervals: list[tuple[float, float] | None]
    of: int
    mark: str = ""

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def deviation(self) -> float | None:
        if len(self.values) < 2:
            return None
        return statistics.stdev(self.values) if all(map(math.isfinite, self.values)) else math.nan

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of a single run's value."""
        return self.intervals[0] if len(self.values) == 1 else None

    def reach(self) -> tuple[float, float] | None:
        """From where to where it may lie: the mean and a deviation about it, or a single run's interval."""
        if self.mean is None or self.deviation is None:
            return self.interval
        return self.mean - self.deviation, self.mean + self.deviation

    def __str__(self) -> str:
        if self.mean is None:
            return "–"
        told = f"{self.mean:.4g}"
        if self.deviation is not None:
            told += f" ± {self.deviation:.2g}"
        elif self.interval is not None:
            told += " [{:.4g}, {:.4g}]".format(*self.interval)
        return told if len(self.values) == self.of else f"{told} ({len(self.values)} of {self.of})"


@dataclass
class Column:
    """A number of every row. better: 1 where larger is better, -1 where smaller is, 0 where neither is known."""

    label: str
    better: int
    cells: list[Cell]
    key: tuple[str, str] | None = None  # of a measure; None of a logged number


@dataclass
class Group:
    """Runs that differ only in their seed. settings: role -> text. label: the settings in which it differs."""

    members: list[Member]
    settings: dict[str, str]
    label: str

    @property
    def steps(self) -> int:
        return self.members[0].steps

    @property
    def seconds(self) -> float | None:
        known = [member.seconds for member in self.members if member.seconds is not None]
        return statistics.fmean(known) if known else None


@dataclass
class Absent:
    """A run that is missing, and why."""

    name: str
    why: str


@dataclass
class Comparison:
    """Everything that is told of runs side by side. notes: what a reader must know to read it rightly."""

    groups: list[Group]
    settings: Settings
    columns: list[Column]
    notes: list[str]
    absent: list[Absent] = field(default_factory=list)

    @property
    def members(self) -> list[Member]:
        return [member for group in self.groups for member in group.members]


def compare(runs: Sequence[Run], absent: Sequence[Absent] = ()) -> Comparison:
    """Put runs side by side, in the order in which they are given. Raises RunError."""
    members = [_member(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    rows: dict[str, list[Member]] = {}
    for member in members:
        rows.setdefault(member.without_seed, []).append(member)
    settings = compare_settings([found[0].run.config for found in rows.values()])
    labels = _labels(settings, [found[0].steps for found in rows.values()])
    groups = [Group(*row) for row in zip(rows.values(), settings.each, labels, strict=True)]
    columns = [*_measured(groups, _directions(installed())), *_logged(groups)]
    return Comparison(groups, settings, columns, list(_notes(groups)), list(absent))


def runs_of(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders, each once. A folder that is no run stands for the runs in it. Raises RunError."""
    found: dict[Path, Path] = {}
    for path in paths:
        inside = [] if (path / "config.json").exists() or not path.is_dir() else sorted(path.iterdir())
        for one in [child for child in inside if (child / "config.json").exists()] or [path]:
            found.setdefault(one.resolve(), one)
    return [Run.open(path) for path in found.values()]


def _names(runs: Sequence[Run]) -> list[str]:
    """A folder's name, or all of the path where two have one name."""
    if not runs:
        raise UsageError("there is no run to compare; type: ganzoo compare RUN RUN")
    names = [run.path.resolve().name for run in runs]
    return [name if names.count(name) == 1 else str(run.path) for run, name in zip(runs, names, strict=True)]


def _member(run: Run, name: str) -> Member:
    records = [record for record in run.logged() if isinstance(record, dict)]
    lines = json_lines(run.path / "measures.jsonl")
    taken = [measure(line) for line in lines if isinstance(line, dict)]
    measures = [(_way(found), found) for found in taken if number(found["value"]) is not None]
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for way, found in measures:
        if way not in newest or (found["step"] or 0) >= (newest[way]["step"] or 0):
            newest[way] = found
    last = {key: value for record in records for key in record if (value := number(record[key])) is not None}
    steps = max(run.steps, default=int(last.get("step", 0)))
    numbers = {key: value for key, value in last.items() if "/" in key}
    recorded = read_json(run.path / "config.json")
    return Member(name, run, recorded, records, steps, last.get("seconds"), numbers, measures, newest)


def _way(found: dict[str, Any]) -> tuple[str, str]:
    """The name of a measure and how it was taken; what was found by it left out."""
    taken = {key: value for key, value in found["protocol"].items() if key not in FOUND}
    return found["name"], json.dumps(taken, sort_keys=True)


def _labels(settings: Settings, steps: list[int]) -> list[str]:
    """A row's settings in a line, no two the same."""
    roles = [role for role in settings.varied if role != "procedure"]  # which mostly comes with the loss
    for told in (roles, settings.varied):
        lines = [" · ".join(each[role] for role in told) or "all" for each in settings.each]
        if len(set(lines)) == len(lines):
            return lines
    lines = [f"{line} · {made:,} steps" for line, made in zip(lines, steps, strict=True)]
    return [line if lines.count(line) == 1 else f"{line} ({index + 1})" for index, line in enumerate(lines)]


def _measured(groups: list[Group], directions: dict[str, int]) -> list[Column]:
    """A column for each measure that was taken in the same way."""
    keys = list(dict.fromkeys(key for group in groups for member in group.members for key in member.newest))
    columns = []
    for key in keys:
        found = [[member.newest.get(key) for member in group.members] for group in groups]
        cells = [
            Cell([float(one["value"]) for one in row if one], [one["interval"] for one in row if one], len(row))
            for row in found
        ]
        said = next(one["protocol"].get("better") for row in found for one in row if one)
        better = BETTER.get(said) or directions.get(key[0].partition("@")[0], 0)
        columns.append(Column(_told(key, keys), better, cells, key))
        _mark(columns[-1])
    return columns


def _told(key: tuple[str, str], keys: list[tuple[str, str]]) -> str:
    """A measure's name, with what sets it apart from others of its name."""
    ways = [_flat(json.loads(other)) for name, other in keys if name == key[0]]
    mine = _flat(json.loads(key[1]))
    apart = [
        f"{name} {mine.get(name, 'not given')}"
        for name in dict.fromkeys(name for way in ways for name in way)
        if len({str(way.get(name)) for way in ways}) > 1
    ]
    return f"{key[0]} ({', '.join(apart)})" if apart else key[0]


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    """Options beside the rest."""
    options = values.get("options")
    return {**values, **options, "options": None} if isinstance(options, dict) else values


def _logged(groups: list[Group]) -> list[Column]:
    """The last logged numbers, where a run has nothing better."""
    members = [member for group in groups for member in group.members]
    if all(member.newest for member in members):
        return []
    columns = []
    for name in dict.fromkeys(name for member in members for name in member.last):
        rows = [[member.last[name] for member in group.members if name in member.last] for group in groups]
        cells = [Cell(row, [None] * len(row), len(group.members)) for row, group in zip(rows, groups, strict=True)]
        columns.append(Column(f"last {name}", 0, cells))
    return columns


def _directions(registry: Registry) -> dict[str, int]:
    """Of which measures more, or less, is better."""
    found: dict[str, int] = {}
    for entry in registry.entries("metric"):
        found |= dict.fromkeys(entry.part.larger_is_better, 1) | dict.fromkeys(entry.part.smaller_is_better, -1)
    return found


def _mark(column: Column) -> None:
    """Mark the best mean, if a direction is known and there is something that it is better than."""
    there = [cell for cell in column.cells if cell.mean is not None and math.isfinite(cell.mean)]
    means = [column.better * (cell.mean or 0) for cell in there]
    if len(set(means)) < 2:
        return
    for cell, mean in zip(there, means, strict=True):
        if mean == max(means):
            cell.mark = "best" + _doubt(cell, [other for other in there if other is not cell])


def _doubt(cell: Cell, others: list[Cell]) -> str:
    """What speaks against calling it the best."""
    mine, theirs = cell.reach(), [other.reach() for other in others]
    if any(mine and reach and mine[0] <= reach[1] and reach[0] <= mine[1] for reach in theirs):
        return ", within the spread"
    return ", one seed" if any(len(one.values) < 2 for one in (cell, *others)) else ""


def _notes(groups: list[Group]) -> Iterable[str]:
    """What makes rows less comparable than they look."""
    members = [member for group in groups for member in group.members]
    for member in members:
        if member.steps < member.run.config.steps:
            yield f"{member.name} has {member.steps:,} of {member.run.config.steps:,} steps"
        for (name, _), found in member.newest.items():
            if found["step"] is not None and found["step"] != member.steps:
                yield f"{name} of {member.name} was measured at step {found['step']:,.0f} of {member.steps:,}"
    for group in groups:
        seeds = [member.seed for member in group.members]
        for seed in dict.fromkeys(seed for seed in seeds if seeds.count(seed) > 1):
            same = [member.name for member in group.members if member.seed == seed]
            yield f"{' and '.join(same)} are one run made {len(same)} times: the deviation looks smaller than it is"
    versions = {json.dumps(member.recorded.get("versions"), sort_keys=True) for member in members}
    if len(versions) > 1:
        yield f"the runs were made with different versions: {'; '.join(sorted(versions))}"
