"""A small generated table with what tables are made of: numbers of several modes, rare categories, gaps."""

from __future__ import annotations

from typing import Any, Literal

import numpy
from torch import Tensor

from ganzoo import Collection, Dataset, Spec, hookimpl
from ganzoo_plugins.datasets.table import collected, decoded, fitted
from ganzoo_plugins.datasets.table_columns import Reading

COLUMNS = ["age", "persons", "work", "income", "rent", "city", "owner"]
WORK, WORK_SHARES, PAY = (
    ("employed", "retired", "self-employed", "seeking"),
    (0.6, 0.25, 0.13, 0.02),
    (3.1, 1.9, 4.5, 0.9),
)
CITIES, CITY_SHARES = ("Aachen", "Berlin", "Celle"), (0.3, 0.6, 0.1)


class Households(Dataset):
    """Generated rows about invented households: whole numbers, money with gaps, rare categories.

    Whoever owns a home pays no rent (it is missing), and how many own one depends on age and income, so that a
    classifier has something to learn. Nothing is read.

    Args:
        count: how many rows.
        split: train or test: two draws from the same distribution; columns are fitted to train.
        seed: of the draw.
    """

    name = "households"
    offers = ("table", "columns", "conditions")
    tiny = {"count": 64}

    def __init__(self, count: int = 4000, split: Literal["train", "test"] = "train", seed: int = 0):
        if count < 32:
            raise ValueError("count must be at least 32")
        self.count, self.split, self.seed = count, split, seed

    def open(self) -> Collection:
        train = _rows(self.count, self.seed)
        encoding, notes = fitted(COLUMNS, train, Reading())
        rows = train if self.split == "train" else _rows(self.count, self.seed + 1)
        return collected(COLUMNS, rows, encoding, notes, self.seed)

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        return decoded(samples, spec)


def _rows(count: int, seed: int) -> list[list[str]]:
    random = numpy.random.default_rng(seed)
    work = random.choice(4, count, p=WORK_SHARES)
    work[:4] = range(4)  # every value is there, however few rows there are
    city = random.choice(3, count, p=CITY_SHARES)
    city[:3] = range(3)
    age = numpy.where(work == 1, random.normal(73, 6, count), random.normal(42, 11, count)).clip(18, 99).astype(int)
    persons = 1 + random.poisson(numpy.where(age < 60, 1.4, 0.5))
    income = numpy.array(PAY)[work] * 1000 * random.lognormal(0, 0.25, count)
    owner = random.random(count) < 1 / (1 + numpy.exp(-((age - 50) / 8 + (income - 3000) / 900 - 0.5)))
    rent = random.normal(numpy.array([520, 880, 410])[city], 40) + 90 * persons
    return [
        [str(a), str(p), WORK[w], f"{i:.2f}", "" if o else f"{r:.2f}", CITIES[c], "yes" if o else "no"]
        for a, p, w, i, r, c, o in zip(age, persons, work, income, rent, city, owner, strict=True)
    ]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Households)
