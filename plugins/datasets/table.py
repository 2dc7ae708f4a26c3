"""Rows of a table. Xu et al. 2019, Modeling Tabular Data using Conditional GAN, arXiv:1907.00503, section 4.2."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import numpy
import torch
from torch import Tensor

from ganzoo import Batch, Collection, DataError, Dataset, OptionError, Run, Spec, derive, hookimpl
from ganzoo_plugins.datasets import table_columns, table_text
from ganzoo_plugins.datasets.storage import shown
from ganzoo_plugins.datasets.table_columns import Reading
from ganzoo_plugins.datasets.table_text import Delimiter, Rows


class Table(Dataset):
    """Rows of a .csv file with numbers, dates and categories, whose types are found and can be said.

    Xu et al. 2019, arXiv:1907.00503, section 4.2: a number is a place in one of the modes of its column's mixture of
    Gaussians, a category one of its values. The first line names the columns. A column of numbers is `number`, of
    dates of one form too, of anything else `category`; so are numbers with few different values, and numbers with
    leading zeros. A column that never changes is kept beside the run and learnt by nobody. Missing numbers (nothing,
    NA, NaN, null, ?) are a mode of their own, and missing categories a category. What was done to a column is told.
    The order of the file's lines does not matter: rows are sorted first.

    Differs from the paper: modes are fitted to at most 5,000 values, and one more mode holds those values that are more
    than four deviations from the others, so that every value comes back.

    Args:
        path: the file; .csv, .tsv, or one of them as .gz.
        split: train is what held_out leaves, test the rows that are held out, all is both. Columns are fitted to the
            rows of train (of all, to all).
        held_out: rows that are held out, drawn with the seed.
        seed: of the draw of held-out rows, and of those that modes are fitted to.
        categories: columns that are categories, whatever they look like: "a,b".
        numbers: columns that are numbers; what is none in them is missing.
        drop: columns that are left out.
        few: columns of numbers with at most so many different values are categories.
        most_categories: different values that a column of categories may have.
        modes: Gaussians, at most, for a column of numbers.
        like: a run, or the .csv file of a table, whose columns these are; then nothing is fitted, and rows with values
            that it does not know are left out.
        header: whether the first line names the columns; without it they are x0, x1 and so on.
        delimiter: what stands between values; auto: what stands most often in the first line.
        encoding: of the text, such as latin-1.
    """

    name = "table"
    paper = "arXiv:1907.00503"
    offers = ("table", "columns", "conditions")

    def __init__(
        self,
        path: str,
        split: Literal["train", "test", "all"] = "train",
        held_out: int = 0,
        seed: int = 0,
        categories: tuple[str, ...] = (),
        numbers: tuple[str, ...] = (),
        drop: tuple[str, ...] = (),
        few: int = 10,
        most_categories: int = 1000,
        modes: int = 10,
        like: str | None = None,
        header: bool = True,
        delimiter: Delimiter = "auto",
        encoding: str = "utf-8",
    ):
        if not path:
            raise OptionError("path is empty; write path=FILE.csv")
        if min(held_out, few) < 0 or min(most_categories, modes) < 1:
            raise OptionError("held_out and few must not be negative; most_categories and modes must be at least 1")
        if split == "test" and not held_out:
            raise OptionError("split=test needs held_out=ROWS, as the run was trained with")
        # Without rows that are held out there is no other part of the data that could be asked for.
        self.split = split if held_out else "all"
        self.path, self.held_out, self.seed, self.like = Path(path).expanduser(), held_out, seed, like
        self.drop, self.header, self.delimiter, self.encoding = drop, header, delimiter, encoding
        self.reading = Reading(numbers, categories, few, most_categories, modes, seed)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        name = path.name.lower().removesuffix(".gz")
        return name.endswith((".csv", ".tsv")) and path.is_file()

    def open(self) -> Collection:
        names, rows = self._read()
        train, test = self._parted(rows)
        if self.like is not None:
            encoding, notes = self._like(names), list[str]()
        else:
            encoding, notes = fitted(names, train, self.reading)
        wanted = {"train": train, "test": test, "all": train}[self.split]
        return collected(names, wanted, encoding, notes, self.seed)

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        return decoded(samples, spec)

    def _read(self) -> tuple[list[str], Rows]:
        names, rows = table_text.read(self.path, self.encoding, self.delimiter, self.header)
        for option in ("drop", "numbers", "categories"):
            asked = self.drop if option == "drop" else getattr(self.reading, option)
            for name in asked:
                if name not in names:
                    raise DataError(
                        f"{option}: {self.path} has no column '{name}'; it has: {', '.join(map(shown, names))}"
                    )
        kept = [index for index, name in enumerate(names) if name not in self.drop]
        if self.drop:
            rows = [[row[index] for index in kept] for row in rows]
        return [names[index] for index in kept], sorted(rows)

    def _parted(self, rows: Rows) -> tuple[Rows, Rows]:
        """The rows to learn from, and those that are held out."""
        if self.split == "all":
            return rows, []
        if self.held_out > len(rows) - 2:
            raise DataError(f"{self.path} has {len(rows)} rows, of which {self.held_out} cannot be held out")
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(derive(self.seed, "held out")))
        held = set(order[: self.held_out].tolist())
        return (
            [row for index, row in enumerate(rows) if index not in held],
            [row for index, row in enumerate(rows) if index in held],
        )

    def _like(self, names: list[str]) -> dict[str, Any]:
        """The fitted columns of a run, or of another file that is read in the same way."""
        assert self.like is not None
        place = Path(self.like).expanduser()
        if place.is_dir():
            spec = Run.open(place).spec
        else:
            spec = Table(**{**self.options, "path": self.like, "like": None}).open().spec
        if "table" not in spec.encoding or spec.encoding["columns"] != names:
            there = ", ".join(map(shown, spec.encoding.get("columns", ()))) or "none"
            raise DataError(f"like={self.like}: its columns are {there}, and those of {self.path} others")
        return spec.encoding


class TableRows(Collection):
    """A table in memory: the numbers of its rows, and where their modes and categories stand. Rows [N, D] are made of
    them when they are fetched. A condition is [N, C]: one of all categories of all columns of categories."""

    def __init__(self, spec: Spec, values: Tensor, chosen: Tensor, notes: tuple[str, ...]):
        self.spec, self.values, self.chosen, self.notes = spec, values, chosen, notes
        self.blocks = table_columns.blocks(spec.encoding)
        self.places = torch.tensor([block.number for block in self.blocks if block.number is not None])
        conditioned = [index for index, block in enumerate(self.blocks) if block.is_category]
        holders = [chosen[:, index].argsort(stable=True) for index in conditioned]
        counts = [
            torch.bincount(chosen[:, index] - self.blocks[index].start, minlength=self.blocks[index].size)
            for index in conditioned
        ]
        self.holders = torch.cat(holders) if holders else torch.empty(0, dtype=torch.int64)
        self.counts = torch.cat(counts) if counts else torch.empty(0, dtype=torch.int64)
        self.starts = self.counts.cumsum(0) - self.counts

    def __len__(self) -> int:
        return len(self.chosen)

    def fetch(self, indices: list[int]) -> Batch:
        which = torch.as_tensor(indices)
        rows = torch.zeros(len(which), *self.spec.shape)
        rows.scatter_(1, self.chosen[which], 1.0)
        if len(self.places):
            rows[:, self.places] = self.values[which]
        return Batch(rows, index=which)

    def matching(self, condition: Tensor, generator: torch.Generator) -> list[int]:
        wanted = condition.argmax(1)
        counts = self.counts[wanted]
        if not counts.all():
            raise DataError("no row of this table has one of the categories that were asked for")
        share = torch.rand(len(wanted), generator=generator, dtype=torch.float64)
        found: list[int] = self.holders[self.starts[wanted] + (share * counts).long()].tolist()
        return found

    def fingerprint(self) -> str:
        digest = hashlib.sha256(super().fingerprint().encode())
        digest.update(self.values.numpy().data)
        digest.update(self.chosen.numpy().data)
        return digest.hexdigest()[:16]


def fitted(names: list[str], rows: Rows, reading: Reading) -> tuple[dict[str, Any], list[str]]:
    """The encoding of a table (see table_columns), and what was done to its columns. Raises DataError."""
    columns, notes = [], []
    for index, name in enumerate(names):
        column, told = table_columns.fit(name, [row[index] for row in rows], reading)
        columns.append(column)
        notes += told
    if all(column["kind"] == "constant" for column in columns):
        raise DataError("every row of this table is the same; there is nothing to learn")
    return {"columns": names, "table": columns}, notes


def collected(names: list[str], rows: Rows, encoding: dict[str, Any], notes: list[str], seed: int) -> TableRows:
    """Rows of text as a collection. Rows with values that the encoding does not know are left out, and counted."""
    blocks, places = table_columns.blocks(encoding), {name: index for index, name in enumerate(names)}
    found = [
        table_columns.encode(block.column, [row[places[block.column["name"]]] for row in rows], seed)
        for block in blocks
    ]
    constants = [column for column in encoding["table"] if column["kind"] == "constant"]
    same = [numpy.array([row[places[one["name"]]] == one["value"] for row in rows]) for one in constants]
    known = numpy.logical_and.reduce([*(column.known for column in found), *same])
    if not known.all():
        unknown = f"{len(known) - known.sum()} of {len(known)} rows hold values that the fitted columns do not know"
        notes = [*notes, f"{unknown}, and are left out"]
    if moved := sum(column.moved for column in found):
        notes = [
            *notes,
            f"{moved} numbers lie beyond those that the columns were fitted to, and are moved to their edge",
        ]
    if not known.any():
        raise DataError("no row of this table has only values that the fitted columns know")
    chosen = numpy.stack([column.chosen + block.start for column, block in zip(found, blocks, strict=True)], axis=1)
    values = [column.value for column in found if column.value is not None]
    stacked = numpy.stack(values, axis=1) if values else numpy.zeros((len(rows), 0), numpy.float32)
    words = ("columns", "conditions") if any(block.is_category for block in blocks) else ("columns",)
    spec = Spec("table", (blocks[-1].stop,), words=words, encoding=encoding)
    told = tuple(f"table: {note}" for note in notes)
    return TableRows(spec, torch.from_numpy(stacked[known]), torch.from_numpy(chosen[known]), told)


def decoded(samples: Tensor, spec: Spec) -> list[list[Any]]:
    """Rows [N, D] as values in the order of the table's columns."""
    rows = samples.detach().cpu().numpy()
    columns = {block.column["name"]: table_columns.decode(block, rows) for block in table_columns.blocks(spec.encoding)}
    for column in spec.encoding["table"]:
        if column["kind"] == "constant":
            columns[column["name"]] = [column["value"]] * len(rows)
    return [list(row) for row in zip(*(columns[name] for name in spec.encoding["columns"]), strict=True)]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Table)
