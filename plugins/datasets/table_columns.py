"""What the columns of a table are, and the way of a column to numbers and back.

Xu et al. 2019, Modeling Tabular Data using Conditional GAN, arXiv:1907.00503, section 4.2 (mode-specific
normalisation). A column is fitted once and is then plain JSON values:

    {"name", "kind": "number", "form", "decimals", "low", "high", "modes": [[mean, deviation, weight], ...], "missing"}
    {"name", "kind": "category", "values": [...], "counts": [...]}
    {"name", "kind": "constant", "value"}

A number becomes one value in [-1, 1] and one of its modes; missing numbers are a mode of their own. A category becomes
one of its values. A constant becomes nothing.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

import numpy

from ganzoo import DataError, derive
from ganzoo_plugins.datasets.storage import shown

Array = numpy.ndarray[Any, Any]
Column = dict[str, Any]

REACH = 4.0  # deviations from a mode's mean to the ends of [-1, 1]: the paper's
LEAST_WEIGHT = 0.005  # of a mode that is kept
FITTED = 5_000  # values, drawn with a seed, to which modes are fitted
MOST_DECIMALS = 12
MISSING = ("", "na", "n/a", "nan", "null", "none", "?", "-")  # in a column of numbers, without spaces around
WHOLE = re.compile(r"[+-]?\d+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
PADDED = re.compile(r"[+-]?0\d.*")  # 00123 is a name that is made of digits
DATES = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d",
)


@dataclass(frozen=True)
class Reading:
    """How columns are read. numbers, categories: what is said of columns by name. few: numbers with at most so many
    different values are categories. most_categories: that a column may have. modes: at most, of a column."""

    numbers: Sequence[str] = ()
    categories: Sequence[str] = ()
    few: int = 10
    most_categories: int = 1000
    modes: int = 10
    seed: int = 0


# What a column is


def fit(name: str, texts: Sequence[str], reading: Reading) -> tuple[Column, list[str]]:
    """A column, and sentences about what was done to it. texts: its values, in an order that says nothing."""
    counts = Counter(texts)
    present = [text for text in counts if text.strip().lower() not in MISSING]
    if len(counts) == 1 or not present:
        value = counts.most_common(1)[0][0]
        what = f"always is '{shown(value)}'" if present else "has no values at all"
        return {"name": name, "kind": "constant", "value": value}, [f"column '{shown(name)}' {what}, and stays so"]
    form = _form(name, present, reading)
    if form is None:
        return _category(name, counts, reading), []
    return _number(name, form, texts, reading)


def _form(name: str, present: list[str], reading: Reading) -> str | None:
    """How the numbers of a column are written: `whole`, `decimal` or a date's format; None for a category."""
    if name in reading.categories:
        return None
    stripped = [text.strip() for text in present]
    if name in reading.numbers:
        readable = [text for text in stripped if NUMBER.fullmatch(text)]
        if len(set(readable)) < 2:
            raise DataError(f"column '{shown(name)}' holds fewer than two different numbers; leave it out of numbers=")
        return "whole" if all(map(WHOLE.fullmatch, readable)) else "decimal"
    if len(present) <= reading.few:
        return None
    if all(NUMBER.fullmatch(text) and numpy.isfinite(float(text)) for text in stripped):
        if any(map(PADDED.fullmatch, stripped)):
            return None
        return "whole" if all(map(WHOLE.fullmatch, stripped)) else "decimal"
    return next((form for form in DATES if all(_is_date(text, form) for text in stripped)), None)


def _is_date(text: str, form: str) -> bool:
    try:
        return datetime.datetime.strptime(text, form).strftime(form) == text
    except ValueError:
        return False


def _category(name: str, counts: Counter[str], reading: Reading) -> Column:
    if len(counts) > reading.most_categories:
        raise DataError(
            f"column '{shown(name)}' has {len(counts)} different values in {counts.total()} rows, such as "
            f"'{shown(min(counts)[:40])}', and {reading.most_categories} are the most of a column of categories; leave "
            f'it out by drop="{name}", read it as numbers by numbers="{name}", or raise most_categories='
        )
    values = sorted(counts)
    return {"name": name, "kind": "category", "values": values, "counts": [counts[value] for value in values]}


def _number(name: str, form: str, texts: Sequence[str], reading: Reading) -> tuple[Column, list[str]]:
    numbers, gaps = parsed(form, texts)
    known = numbers[~numpy.isnan(numbers)]
    written = [text.strip() for text in set(texts) if form == "decimal" and NUMBER.fullmatch(text.strip())]
    decimals = [max(0, -int(Decimal(text).as_tuple().exponent)) for text in written]
    column = {
        "name": name,
        "kind": "number",
        "form": form,
        "decimals": min(MOST_DECIMALS, max(decimals, default=0)),
        "low": float(known.min()),
        "high": float(known.max()),
        "modes": modes(name, known, reading),
        "missing": gaps.most_common(1)[0][0] if gaps else None,
    }
    return column, _notes(name, column, gaps)


def _notes(name: str, column: Column, gaps: Counter[str]) -> list[str]:
    if gaps:
        odd = sum(count for text, count in gaps.items() if text.strip().lower() not in MISSING)
        also = f", {odd} of them because what stands there is no number" if odd else ""
        written = f"; all are written as '{column['missing']}'" if len(gaps) > 1 else ""
        return [f"column '{shown(name)}': {gaps.total()} values are missing{also}{written}"]
    return []


def parsed(form: str, texts: Sequence[str]) -> tuple[Array, Counter[str]]:
    """Numbers [N] float64, NaN where there is none, and what stands there instead. Dates are days, or seconds where
    they have a time of day, since 1970."""
    known = {text: _parsed(form, text.strip()) for text in set(texts)}
    gaps = Counter(text for text in texts if numpy.isnan(known[text]))
    return numpy.array([known[text] for text in texts]), gaps


def _parsed(form: str, text: str) -> float:
    if form in ("whole", "decimal"):
        value = float(text) if NUMBER.fullmatch(text) else numpy.nan
        return value if numpy.isfinite(value) else numpy.nan
    if not _is_date(text, form):
        return numpy.nan
    passed = datetime.datetime.strptime(text, form) - datetime.datetime(1970, 1, 1)
    return passed / datetime.timedelta(**_unit(form))


def _unit(form: str) -> dict[str, int]:
    return {"seconds": 1} if "%H" in form else {"days": 1}


def modes(name: str, known: Array, reading: Reading) -> list[list[float]]:
    """Mean, deviation and weight of the Gaussians whose mixture the values are, fitted to some of them.

    A variational mixture with a Dirichlet process over the weights leaves superfluous ones empty (Bishop 2006, Pattern
    Recognition and Machine Learning, section 10.2); those of little weight are left out. Rounded, so that machines
    whose sums differ in the last digit find the same.
    """
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    chosen = numpy.sort(known)
    if len(chosen) > FITTED:
        random = numpy.random.default_rng(derive(reading.seed, "modes", name))
        chosen = numpy.sort(random.choice(chosen, FITTED, replace=False))
    middle, spread = float(known.mean()), float(known.std()) or 1.0
    mixture = BayesianGaussianMixture(
        n_components=min(reading.modes, len(numpy.unique(chosen))),
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.001,
        # Weak beliefs, so that a mode may be as narrow as a value that stands often, and stand exactly there.
        mean_precision_prior=0.001,
        covariance_prior=numpy.full((1, 1), 0.001),
        random_state=reading.seed % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(((chosen - middle) / spread)[:, None])
    found = [
        [middle + spread * float(mean), spread * float(variance) ** 0.5, float(weight)]
        for mean, variance, weight in zip(
            mixture.means_[:, 0], mixture.covariances_[:, 0, 0], mixture.weights_, strict=True
        )
    ]
    kept = sorted(mode for mode in found if mode[2] >= LEAST_WEIGHT) or found[:1]
    rounded = [[float(f"{value:.6g}") for value in mode] for mode in kept]
    return [*rounded, *_rest(known, rounded)]


def _rest(known: Array, found: list[list[float]]) -> list[list[float]]:
    """One mode more that reaches all the values that are out of reach of the others, so that every value comes back."""
    means, deviations, _ = numpy.array(found).T
    far = known[(numpy.abs((known[:, None] - means) / deviations) > REACH).all(1)]
    if not len(far):
        return []
    low, high = float(far.min()), float(far.max())
    deviation = max(high - low, 0.001 * float(known.std())) / 2 / REACH * 1.001  # room for rounding
    return [[float(f"{value:.9g}") for value in ((low + high) / 2, deviation, len(far) / len(known))]]


# From text to numbers


@dataclass(frozen=True)
class Encoded:
    """A column's rows. value: [N] in [-1, 1], or None. chosen: [N] which mode or category. known: [N], False where a
    value is one that the column was not fitted to. moved: numbers that are out of its modes' reach."""

    value: Array | None
    chosen: Array
    known: Array
    moved: int = 0


def encode(column: Column, texts: Sequence[str], seed: int) -> Encoded:
    """Rows of a fitted column of numbers or categories. Where several modes could have made a number, one of them is
    drawn, by how probable they are."""
    if column["kind"] == "category":
        places = {value: index for index, value in enumerate(column["values"])}
        codes = numpy.array([places.get(text, -1) for text in texts])
        return Encoded(None, codes.clip(0), codes >= 0)
    numbers, _ = parsed(column["form"], texts)
    missing = numpy.isnan(numbers)
    numbers = numpy.where(missing, column["low"], numbers)
    random = numpy.random.default_rng(derive(seed, "mode of a row", column["name"]))
    value, chosen = _normalised(numbers, numpy.array(column["modes"]), random)
    moved = int((numpy.abs(value) > 1).sum())
    value = value.clip(-1, 1)
    if column["missing"] is not None:
        value, chosen = numpy.where(missing, 0, value), numpy.where(missing, len(column["modes"]), chosen)
        missing = numpy.zeros_like(missing)
    return Encoded(value.astype(numpy.float32), chosen, ~missing, moved)


def _normalised(numbers: Array, fitted: Array, random: numpy.random.Generator) -> tuple[Array, Array]:
    """Where numbers lie in one of the modes that they may be of, from -1 to 1, and which one. Beyond that are numbers
    that no mode reaches."""
    means, deviations, weights = fitted.T
    away = (numbers[:, None] - means) / deviations
    likely = numpy.log(weights / deviations) - away**2 / 2
    likely[numpy.abs(away) > REACH] = -numpy.inf
    chosen = (likely + random.gumbel(size=likely.shape)).argmax(1)
    far = numpy.isinf(likely).all(1)
    chosen[far] = ((numpy.abs(away[far]) - REACH) * deviations).argmin(1)  # whose end is nearest
    return away[numpy.arange(len(numbers)), chosen] / REACH, chosen


# From numbers to values


@dataclass(frozen=True)
class Block:
    """Where a column stands among the numbers of a row. number: the place of its value in [-1, 1], or None. start,
    stop: of its modes or categories."""

    column: Column
    number: int | None
    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def is_category(self) -> bool:
        return self.number is None


def blocks(encoding: dict[str, Any]) -> tuple[Block, ...]:
    """The columns of a table that are no constants, in their order."""
    found = [column for column in encoding["table"] if column["kind"] != "constant"]
    stops = list(accumulate(choices(column) + (column["kind"] == "number") for column in found))
    return tuple(
        Block(column, None if column["kind"] == "category" else start, stop - choices(column), stop)
        for column, start, stop in zip(found, [0, *stops], stops, strict=False)
    )


def choices(column: Column) -> int:
    """How many modes or categories a column has."""
    if column["kind"] == "category":
        return len(column["values"])
    return len(column["modes"]) + (column["missing"] is not None)


def numbers(block: Block, rows: Array) -> Array:
    """The numbers [N] that rows [N, D] stand for, with their decimals and in their range; NaN where one is missing."""
    column, chosen = block.column, rows[:, block.start : block.stop].argmax(1)
    fitted = numpy.array([*column["modes"], *([[numpy.nan] * 3] if column["missing"] is not None else [])])
    within = rows[:, block.number].astype(numpy.float64).clip(-1, 1)
    found: Array = (fitted[chosen, 0] + REACH * fitted[chosen, 1] * within).clip(column["low"], column["high"])
    return found.round(column["decimals"])


def decode(block: Block, rows: Array) -> list[Any]:
    """The values that rows [N, D] stand for: text, whole numbers, or numbers with as many decimals as the data have."""
    column = block.column
    if column["kind"] == "category":
        return [column["values"][index] for index in rows[:, block.start : block.stop].argmax(1).tolist()]
    found = numbers(block, rows)
    gaps = numpy.isnan(found).tolist()
    return [column["missing"] if gap else _written(column, x) for gap, x in zip(gaps, found.tolist(), strict=True)]


def _written(column: Column, value: float) -> Any:
    form = column["form"]
    if form == "whole":
        return round(value)
    if form == "decimal":
        return round(value, column["decimals"])
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(**{name: round(value) for name in _unit(form)})
    return moment.strftime(form)
