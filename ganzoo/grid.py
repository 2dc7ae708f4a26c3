"""The grid of a sweep: every combination of what is named more than once, resolved and checked before anything runs."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .config import Config, resolve, short_hash
from .errors import Mismatch, SizeError, UsageError
from .registry import Registry
from .report.command import flags
from .training import checked

AXES = ("data", "arch", "loss", "reg", "procedure", "batch", "precision")
LONGEST = 120  # letters of a name


@dataclass
class Cell:
    """One run of the grid. name: what sets it apart, as a folder may be called. key: all that makes it that run; its
    number of steps only where its schedule depends on it."""

    name: str
    config: Config
    key: str

    @property
    def digest(self) -> str:
        return short_hash({"key": self.key})


@dataclass
class Unfit:
    """A combination whose parts do not fit together, and why."""

    name: str
    why: str


@dataclass
class Grid:
    """axes: for each of AXES the values to combine, on top of a recipe; where there are none, the recipe's or the
    default. A value of `reg` is a set, `r1:gamma=1+diffaugment` or `none`. seeds: how many, from `seed` on."""

    axes: dict[str, Sequence[Any]]
    recipe: str | None = None
    seeds: int = 1
    seed: int | None = None
    steps: int | None = None

    def cells(self, registry: Registry) -> tuple[list[Cell], list[Unfit]]:
        """What fits, all of the first seed before those of the next, and what does not. Combinations that are the same
        once they are spelled out are one. Raises UsageError for what is wrong in itself, such as an unknown name."""
        values = {axis: list(dict.fromkeys(self.axes.get(axis) or [None])) for axis in AXES}
        varied = [axis for axis in AXES if len(values[axis]) > 1]
        found: dict[str, Cell] = {}
        unfit = []
        for combined in itertools.product(*values.values()):
            words = dict(zip(AXES, combined, strict=True))
            name = "_".join(_slug(axis, words[axis]) for axis in varied)
            try:
                cell = self._cell(name, words, registry)
            except (Mismatch, SizeError) as error:
                unfit.append(Unfit(name or "it", str(error)))
                continue
            except UsageError as error:
                raise UsageError(f"{name}: {error}" if name else str(error)) from None
            found.setdefault(cell.key, cell)
        return [_seeded(cell, index) for index in range(self.seeds) for cell in _told_apart(found)], unfit

    def _cell(self, name: str, words: dict[str, Any], registry: Registry) -> Cell:
        given = {**words, "reg": regularizers_of(words["reg"]), "recipe": self.recipe}
        config = resolve(registry, {**given, "steps": self.steps, "seed": self.seed})
        parts = checked(config, registry)
        try:
            flags(config)
        except ValueError as error:
            raise UsageError(f"no command can say this: {error}") from None
        values = {key: value for key, value in config.to_json().items() if key != "recipe"}
        if not parts.procedure.tied_to_steps:
            del values["steps"]
        return Cell(name, config, json.dumps(values, sort_keys=True))


def _slug(axis: str, value: Any) -> str:
    """A value as a piece of a folder's name: of paths the last name, of other signs a dash."""
    text = re.sub(r"""[^=:,"']*/""", "", str(value))
    told = re.sub(r"[^A-Za-z0-9.=+,-]+", "-", text).strip("-.")
    return f"batch{told}" if axis == "batch" else told


def _told_apart(found: dict[str, Cell]) -> list[Cell]:
    """The same with names of which no two are the same and none is too long: those get their key's hash."""
    names = [cell.name for cell in found.values()]
    return [
        cell
        if names.count(cell.name) == 1 and len(cell.name) <= LONGEST
        else dataclasses.replace(cell, name=f"{cell.name[:LONGEST]}-{cell.digest}")
        for cell in found.values()
    ]


def _seeded(cell: Cell, index: int) -> Cell:
    """The cell with a later seed."""
    seed = cell.config.seed + index
    name = "_".join(filter(None, (cell.name, f"seed{seed}")))
    key = json.dumps({**json.loads(cell.key), "seed": seed}, sort_keys=True)
    return Cell(name, dataclasses.replace(cell.config, seed=seed), key)


def regularizers_of(text: str | None) -> tuple[str, ...]:
    """A set of regularizers: names with options joined by `+` outside quotes; `none` is the empty set."""
    if text is None or text.strip() == "none":
        return ()
    found = re.split(r"""\+(?=(?:[^"']|"[^"]*"|'[^']*')*$)""", text)
    if not all(one.strip() for one in found):
        raise UsageError(f"cannot read --reg '{text}'; write NAME+NAME, or none for no regularizer")
    return tuple(one.strip() for one in found)
