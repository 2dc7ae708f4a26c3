"""The text of a table: a file of comma-separated values as names and rows of text."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Literal

from ganzoo import DataError
from ganzoo_plugins.datasets.storage import shown, telling, unpacked

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
Delimiter = Literal["auto", "comma", "semicolon", "tab", "bar"]
Rows = list[list[str]]


def read(
    path: Path, encoding: str = "utf-8", delimiter: Delimiter = "auto", header: bool = True
) -> tuple[list[str], Rows]:
    """The names of the columns, and the rows. Raises DataError."""
    text = _text(path, encoding)
    if not text.strip():
        raise DataError(f"{path} is empty; a table has a line of names and then its rows")
    mark = _delimiter(text) if delimiter == "auto" else DELIMITERS[delimiter]
    csv.field_size_limit(1 << 20)
    with telling(f"cannot read {path} as a table", "values that hold the delimiter stand in quotes"):
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
        found = [(reader.line_num, row) for row in reader if row]
    names = _names(path, found.pop(0)[1]) if header else [f"x{index}" for index in range(len(found[0][1]))]
    _check_lengths(path, names, found)
    return names, [row for _, row in found]


def _text(path: Path, encoding: str) -> str:
    if not path.is_file():
        raise DataError(f"there is no file {path}; write --data table:path=FILE.csv")
    with telling(f"cannot read {path}"), unpacked(path) as file:
        content: bytes = file.read()
    try:
        return content.decode("utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding)
    except LookupError:
        raise DataError(f"there is no encoding '{encoding}'; write encoding=utf-8 or encoding=latin-1") from None
    except UnicodeError as error:
        line = content[: getattr(error, "start", 0)].count(b"\n") + 1
        raise DataError(
            f"{path} is not {encoding}: line {line} holds bytes that are none of its characters; "
            "say which encoding it has, such as encoding=latin-1"
        ) from None


def _delimiter(text: str) -> str:
    """The one that stands most often in the first line; a comma where none does."""
    first = text.lstrip().partition("\n")[0]
    return max(DELIMITERS.values(), key=first.count)


def _names(path: Path, names: list[str]) -> list[str]:
    if all(_is_number(name) for name in names):
        raise DataError(
            f"the first line of {path} holds numbers and no names; put the columns' names there, or say header=no"
        )
    twice = [name for name in names if names.count(name) > 1]
    if twice or "" in names:
        what = f"the name '{shown(twice[0])}' twice" if twice and twice[0] else "a column without a name"
        raise DataError(f"the first line of {path} holds {what}; give every column a name of its own")
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_lengths(path: Path, names: list[str], found: list[tuple[int, list[str]]]) -> None:
    if not found:
        raise DataError(f"{path} has no rows below its line of names")
    ragged = [(line, len(row)) for line, row in found if len(row) != len(names)]
    if ragged:
        line, count = ragged[0]
        raise DataError(
            f"line {line} of {path} has {count} values and there are {len(names)} columns"
            + (f", and so it is with {len(ragged) - 1} further lines" if len(ragged) > 1 else "")
            + "; mend the file, or say which delimiter it has, such as delimiter=semicolon"
        )
