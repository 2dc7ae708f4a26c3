"""Tables: columns and back, what is wrong with files, conditions, packs, and measures of rows."""

from __future__ import annotations

import csv
import json
import math
import random
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from conftest import invoke
from sklearn.metrics import f1_score
from torch import Tensor

import ganzoo as library
from ganzoo import DataError, Draws, Evidence, Request, Sample, Spec, UsageError
from ganzoo.config import Choice, resolve
from ganzoo.data import Stream
from ganzoo.game import Game
from ganzoo.registry import installed
from ganzoo_plugins.datasets import table_columns
from ganzoo_plugins.metrics.classifier_f1 import _f1

REGISTRY = installed()
NAMES = ["age", "price", "since", "colour", "zip", "flag", "unit"]
TINY = "ctgan:latent=4,width=16,layers=1,discriminator_width=16,discriminator_layers=1,pack=2"


def invented(count: int = 200, seed: int = 0) -> list[list[str]]:
    """Rows of every kind of column: whole numbers, decimals with gaps, dates, text, codes with leading zeros, two
    numbers, and a constant."""
    chance = numpy.random.default_rng(seed)
    rows = []
    for index in range(count):
        colour = " red" if chance.random() < 0.7 else ["green", "blue, dark"][index % 2]
        price = "" if index % 9 == 0 else f"{chance.normal(20 if colour == ' red' else 60, 3):.2f}"
        since = str(numpy.datetime64("2001-03-01") + int(chance.integers(0, 4000)))
        rows.append([str(int(chance.integers(18, 80))), price, since, colour, f"00{index % 7}1", str(index % 2), "kg"])
    return rows


def written(path: Path, rows: list[list[str]], names: list[str] | None = None) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([NAMES if names is None else names, *rows])
    return path


@pytest.fixture
def file(tmp_path) -> Path:
    return written(tmp_path / "rows.csv", invented())


def table(path: Path, **options: Any) -> Any:
    return REGISTRY.make("dataset", "table", {"path": str(path), **options})


def whole(collection: Any) -> Tensor:
    return collection.fetch(list(range(len(collection)))).sample


# Columns


def test_types_are_found(file):
    found = {column["name"]: column for column in table(file).open().spec.encoding["table"]}
    assert {name: column["kind"] for name, column in found.items()} == {
        "age": "number",
        "price": "number",
        "since": "number",
        "colour": "category",
        "zip": "category",
        "flag": "category",
        "unit": "constant",
    }
    assert [found[name]["form"] for name in ("age", "price", "since")] == ["whole", "decimal", "%Y-%m-%d"]
    assert (found["age"]["decimals"], found["price"]["decimals"]) == (0, 2)
    assert found["price"]["missing"] == ""
    assert found["colour"]["values"] == [" red", "blue, dark", "green"]
    assert sum(found["colour"]["counts"]) == 200


def test_types_are_what_is_said(file):
    options = {"categories": "age", "numbers": "zip,flag", "drop": "since", "most_categories": 100}
    found = {column["name"]: column for column in table(file, **options).open().spec.encoding["table"]}
    assert "since" not in found
    assert found["age"]["kind"] == "category"
    assert (found["zip"]["kind"], found["zip"]["form"]) == ("number", "whole")
    assert found["flag"]["kind"] == "number"


def test_rows_are_what_they_were(file):
    """Every value comes back: text as it was, spaces too, numbers and dates exactly, gaps as gaps."""
    part = table(file)
    collection = part.open()
    back = part.decode(whole(collection), collection.spec)
    there = sorted(invented())
    assert [[row[0], *row[2:]] for row in there] == [[str(row[0]), *row[2:]] for row in back]
    assert [row[1] if row[1] == "" else float(row[1]) for row in there] == [row[1] for row in back]
    assert {type(row[0]) for row in back} == {int}


def test_a_value_far_from_every_mode_comes_back(tmp_path):
    """Unless it is of another file, beyond all that the column was fitted to: then it is moved, and that is told."""
    rows = [[f"{value}"] for value in (*range(1000), *range(1000), 10**5)]
    file = written(tmp_path / "far.csv", rows, ["n"])
    part = table(file, modes=1)
    collection = part.open()
    back = [row[0] for row in part.decode(whole(collection), collection.spec)]
    assert sorted(back) == sorted(int(row[0]) for row in rows)
    later = table(written(tmp_path / "later.csv", [["5"], ["7"], ["900000"]], ["n"]), like=str(file)).open()
    assert [note for note in later.notes if "1 numbers lie beyond" in note]
    assert max(row[0] for row in part.decode(whole(later), later.spec)) == 10**5


def test_modes_find_a_mixture():
    chance = numpy.random.default_rng(0)
    drawn = numpy.concatenate([chance.normal(-50, 2, 3000), chance.normal(10, 0.5, 1000), numpy.full(2000, 30.0)])
    found = table_columns.modes("x", drawn, table_columns.Reading())
    for mean, deviation, share in ((-50, 2, 0.5), (10, 0.5, 1 / 6), (30, 0, 1 / 3)):
        near = [mode for mode in found if abs(mode[0] - mean) < 3 * max(deviation, 0.5)]
        assert sum(mode[2] for mode in near) == pytest.approx(share, abs=0.02)
        assert min(mode[1] for mode in near) < deviation + 0.5


def test_the_order_of_lines_does_not_matter(tmp_path, file):
    rows = invented()
    random.Random(1).shuffle(rows)
    other = written(tmp_path / "other.csv", rows)
    for options in ({}, {"held_out": 100}, {"held_out": 100, "split": "test"}):
        one, two = table(file, **options).open(), table(other, **options).open()
        assert one.spec == two.spec
        assert one.fingerprint() == two.fingerprint()
        assert torch.equal(whole(one), whole(two))


def test_held_out_rows_are_the_others(file):
    def rows(**options: Any) -> Counter[str]:
        part = table(file, drop="price,since", **options)
        collection = part.open()
        return Counter(json.dumps(row) for row in part.decode(whole(collection), collection.spec))

    train, test = rows(held_out=80), rows(held_out=80, split="test")
    assert (train.total(), test.total()) == (120, 80)
    assert train + test == rows()
    assert train != rows(held_out=80, seed=1)


def test_rows_with_unknown_values_are_left_out_and_counted(tmp_path, file):
    rows = [*invented(50, seed=3), ["30", "1.00", "2003-01-01", "violet", "0011", "1", "kg"]]
    other = written(tmp_path / "other.csv", rows)
    collection = table(other, like=str(file)).open()
    assert len(collection) == 50
    assert [note for note in collection.notes if "1 of 51 rows hold values that the fitted columns do not know" in note]
    assert collection.spec.encoding == table(file).open().spec.encoding


# Files that are not as they should be

GOOD = "age,colour\n" + "".join(f"{index},{'red' if index % 3 else 'blue'}\n" for index in range(40))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD + "7\n8,red,9\n", ("line 42", "1 values", "2 columns", "1 further")),
        (GOOD.replace("blue", "bl\xe4u").encode("latin-1"), ("not utf-8", "line 2", "encoding=latin-1")),
        ("name\n" + "".join(f"n{index}\n" for index in range(10_000)), ("'name'", "10000", "drop=")),
        (GOOD.replace("colour", "age"), ("'age' twice",)),
        (GOOD.replace("colour", ""), ("without a name",)),
        (GOOD.partition("\n")[2].replace("red", "1").replace("blue", "2"), ("holds numbers", "header=no")),
        ("a,b\n" + "1,2\n" * 5, ("every row", "the same")),
        ("a,b\n", ("no rows",)),
        ("", ("empty",)),
        ('a,b\n1,"2\n3,4\n', ("cannot read",)),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = invoke("train", "--arch", TINY, "--data", path, "--steps", 1, "--out", tmp_path / "run", code=1).stderr
    for word in words:
        assert word in said, said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"drop": "agee"}, ("no column 'agee'", "age, price")),
        ({"numbers": "colour"}, ("'colour'", "fewer than two different numbers")),
        ({"held_out": 199}, ("200 rows", "199")),
        ({"encoding": "latin-99"}, ("latin-99", "utf-8")),
        ({"delimiter": "tab", "header": "no", "drop": "age"}, ("no column 'age'", "x0")),
    ],
)
def test_options_that_do_not_fit_the_file(file, options, words):
    with pytest.raises(DataError) as caught:
        table(file, **options).open()
    for word in words:
        assert word in str(caught.value), caught.value


def test_repairs_are_told(tmp_path):
    rows = [[str(index), "5", "", ("?", "NA", str(index))[min(2, index % 8)], "x"] for index in range(64)]
    names = ["id", "same", "nothing", "gaps", "word"]
    notes = "\n".join(table(written(tmp_path / "odd.csv", rows, names)).open().notes)
    assert "'same' always is '5'" in notes
    assert "'nothing' has no values at all" in notes
    assert "'gaps': 16 values are missing; all are written as" in notes


def test_numbers_by_word_count_what_is_none(tmp_path):
    rows = [[str(index) if index % 10 else f"about {index}"] for index in range(50)]
    (note,) = table(written(tmp_path / "some.csv", rows, ["n"]), numbers="n").open().notes
    assert "5 values are missing, 5 of them because what stands there is no number" in note


def test_other_delimiters_encodings_and_no_header(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_bytes("".join(f"{index}\tst\xfcck\t{index % 3}\n" for index in range(40)).encode("latin-1"))
    spec = table(path, header="no", encoding="latin-1").open().spec
    assert spec.encoding["columns"] == ["x0", "x1", "x2"]
    assert spec.encoding["table"][1] == {"name": "x1", "kind": "constant", "value": "st\xfcck"}


# The game


@cache
def opened(data: str) -> Any:
    choice = Choice.parse(data)
    return REGISTRY.make("dataset", choice.name, choice.options).open()


def game(
    data: str = "households:count=400", arch: str = TINY, batch: int = 8, loss: str = "wgan-gp", **more: Any
) -> Game:
    config = resolve(REGISTRY, {"arch": arch, "data": data, "loss": loss, "batch": batch, **more})
    parts, collection = config.make(REGISTRY), opened(str(config.dataset))
    return Game(parts, collection.spec, Stream(collection, 0), batch=batch, seed=0, steps=9, data_size=len(collection))


def conditioned(spec: Spec) -> list[table_columns.Block]:
    return [block for block in table_columns.blocks(spec.encoding) if block.is_category]


def test_real_rows_meet_their_condition():
    played = game()
    condition = played.procedure._condition(played, played.draws, 500, "log")
    rows = played.take(500, condition).sample
    shown = torch.cat([rows[:, block.start : block.stop] for block in conditioned(played.spec)], dim=1)
    assert torch.equal(condition.sum(1), torch.ones(500))
    assert ((shown * condition).sum(1) == 1).all()


@pytest.mark.parametrize(("frequency", "weight"), [("log", math.log1p), ("true", float)])
def test_conditions_are_as_frequent_as_said(frequency, weight):
    """Columns alike; within a column by the logarithm of the count, or by the count. Within five deviations."""
    played, drawn = game(), 40_000
    found = played.procedure._condition(played, Draws(3), drawn, frequency).mean(0)
    columns = conditioned(played.spec)
    wanted = []
    for block in columns:
        weights = [weight(count) for count in block.column["counts"]]
        wanted += [value / sum(weights) / len(columns) for value in weights]
    share = torch.tensor(wanted)
    assert (found - share).abs().max() > 0  # drawn, not counted
    assert ((found - share).abs() <= 5 * (share * (1 - share) / drawn).sqrt()).all()


def test_made_rows_are_nearly_drawn():
    played = game(arch=f"{TINY},temperature=0.05")
    rows = played.procedure.sample(played, Request(200))
    for block in table_columns.blocks(played.spec.encoding):
        shares = rows[:, block.start : block.stop]
        torch.testing.assert_close(shares.sum(1), torch.ones(200))
        assert shares.max(1).values.mean() > 0.9
        if block.number is not None:
            assert rows[:, block.number].abs().max() <= 1


def test_a_draw_is_of_the_softmax():
    """However low the temperature, the categories that are drawn are as frequent as the log odds say."""
    generator: Any = game(arch=f"{TINY},temperature=0.01").networks.generator
    block = next(column for column in generator.columns if column.is_category)
    raw = torch.zeros(20_000, generator.columns[-1].stop)
    raw[:, block.start] = 1.5
    torch.manual_seed(0)
    found = generator.rows(raw)[:, block.start : block.stop].argmax(1).bincount(minlength=block.size) / len(raw)
    share = raw[0, block.start : block.stop].softmax(0)
    assert ((found - share).abs() <= 5 * (share * (1 - share) / len(raw)).sqrt()).all()


def test_the_cost_of_a_condition_is_the_cross_entropy():
    played = game()
    generator: Any = played.networks.generator
    raw = torch.randn(50, generator.columns[-1].stop)
    condition = played.procedure._condition(played, played.draws, 50, "log")
    first = 0
    for block in conditioned(played.spec):
        mine = condition[:, first : first + block.size].sum(1) == 1
        wanted = torch.nn.functional.cross_entropy(
            raw[mine, block.start : block.stop], condition[mine, first : first + block.size].argmax(1), reduction="none"
        )
        torch.testing.assert_close(generator.condition_cost(raw, condition)[mine], wanted)
        first += block.size


def test_penalties_are_of_packs():
    """A linear discriminator's gradient is its weight: the penalty is 10 (|w| - 1)^2, the norm over a pack's rows."""
    played = game(arch=f"{TINY.replace('pack=2', 'pack=4')},dropout=0")
    size = 4 * played.spec.shape[0]
    whole_row = played.networks.discriminator.main[0].in_features
    linear = torch.nn.Linear(whole_row, 1)
    played.networks.discriminator.main = torch.nn.Sequential(linear)
    played.begin(1)
    move = next(iter(played.procedure.moves(played, 1)))
    (terms,) = move.minimises
    norm = linear.weight[0, :size].norm()
    torch.testing.assert_close(terms["penalty/gradient-penalty"], 10 * (norm - 1) ** 2)
    assert whole_row == size + 4 * sum(block.size for block in conditioned(played.spec))


def test_only_the_generator_decays():
    played = game(procedure="training-by-sampling:weight_decay=0.25")
    decay = {name: player.optimizer.param_groups[0]["weight_decay"] for name, player in played.players.items()}
    assert decay == {"discriminator": 0, "generator": 0.25}


def test_the_recipe_is_the_paper(file):
    config = resolve(REGISTRY, {"recipe": "ctgan", "data": str(file)})
    assert (config.batch, config.steps) == (500, 300 * (22_561 // 500))
    assert config.dataset.options["held_out"] == 10_000
    options = config.procedure.options
    assert {name: options[name] for name in ("n_critic", "rate", "beta1", "beta2", "weight_decay")} == {
        "n_critic": 1,
        "rate": 2e-4,
        "beta1": 0.5,
        "beta2": 0.9,
        "weight_decay": 1e-6,
    }
    assert [(one.name, one.options["weight"]) for one in config.regularizers] == [("gradient-penalty", 10.0)]
    assert config.architecture.options["pack"] == 10


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--data", "digits"), ("architecture 'ctgan' needs `table`",)),
        (("--procedure", "adversarial"), ("procedure 'adversarial' needs `latent_generator`",)),
        (("--arch", "dcgan", "--data", "households"), ("architecture 'dcgan' needs `image`",)),
        (("--batch", 15), ("batch of 15", "packs of 2", "pack=1")),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, flags, words):
    said = invoke("train", "--arch", TINY, "--steps", 1, "--out", tmp_path / "run", *flags, code=2).stderr
    for word in words:
        assert word in said, said


# From a run


@pytest.fixture
def run(tmp_path, file) -> Any:
    return library.train(
        arch=TINY, data=f"{file}:held_out=100", loss="wgan-gp", steps=4, batch=16, quiet=True, out=tmp_path / "run"
    )


def test_samples_have_the_columns_types_and_ranges_of_the_data(tmp_path, file, run):
    """Also when the data are gone."""
    file.unlink()
    invoke("sample", tmp_path / "run", "--count", 300, "--out", tmp_path / "made.csv")
    with (tmp_path / "made.csv").open(newline="", encoding="utf-8") as made:
        names, *rows = csv.reader(made)
    assert names == NAMES
    assert len(rows) == 300
    there = list(zip(*invented(), strict=True))
    for index, values in enumerate(zip(*rows, strict=True)):
        if names[index] in ("colour", "zip", "flag", "unit"):
            assert set(values) <= set(there[index])
        elif names[index] == "since":
            assert min(there[index]) <= min(values) <= max(values) <= max(there[index])
        else:
            low, high = (bound(float(value) for value in there[index] if value) for bound in (min, max))
            assert all(low <= float(value) <= high for value in values if value)
    assert all(row[0].isdigit() for row in rows)
    assert all(len(row[1].partition(".")[2]) <= 2 for row in rows)
    assert any(row[1] == "" for row in rows)


def test_truncation_leaves_the_condition_alone(run):
    given: list[Tensor] = []
    architecture = run.game().parts.architecture

    class Shown(torch.nn.Module):
        def forward(self, x: Tensor, label: Tensor | None) -> Tensor:
            given.append(x)
            return x

    latent = torch.cat([torch.randn(8, 4) * 2, torch.eye(8, 6)], dim=1)
    architecture.sample(Shown(), latent, None, truncation=0.25)
    assert given[0][:, :4].abs().max() <= 0.5
    assert torch.equal(given[0][:, 4:], latent[:, 4:])


def test_a_run_is_judged_by_rows_that_were_held_out(tmp_path, file, run):
    asked = [
        word
        for name in ("classifier-f1:target=colour", "column-statistics", "nearest-row")
        for word in ("--metric", name)
    ]
    words = ("evaluate", tmp_path / "run", *asked, "--count", 64, "--json")
    held = json.loads(invoke(*words, "--data", f"table:path={file},held_out=100,split=test").stdout)
    assert {one["name"] for one in held} >= {"classifier_f1", "column_distance", "pair_distance", "nearest_row"}
    assert {one["protocol"]["reference_count"] for one in held} == {100}
    own = json.loads(invoke(*words).stdout)
    assert {one["protocol"]["reference_count"] for one in own} == {100}
    assert all("floor" in one["protocol"] for one in own)


def test_columns_that_were_fitted_apart_are_not_compared(tmp_path, run):
    other = written(tmp_path / "later.csv", invented(90, seed=5))
    words = ("evaluate", tmp_path / "run", "--metric", "column-statistics", "--count", 64)
    said = invoke(*words, "--data", other, code=2).stderr
    assert "like=RUN" in said or "features" in said
    invoke(*words, "--data", f"table:path={other},like={tmp_path / 'run'}")


# Measures


def rows_of(collection: Any, indices: Any = None) -> Sample:
    values = whole(collection) if indices is None else collection.fetch(list(indices)).sample
    return Sample("rows", values.flatten(1).double().numpy(), values)


def measured(name: str, made: Sample, real: Sample, spec: Spec, **options: Any) -> dict[str, Any]:
    found = REGISTRY.make("metric", name, options).measure(Evidence(made, real, spec))
    return {measure.name: measure for measure in found}


@pytest.fixture(scope="module")
def households() -> Any:
    return opened("households:count=1200")


def independent(sample: Sample, spec: Spec) -> Sample:
    """Every column in an order of its own."""
    values, chance = sample.values.clone(), torch.Generator().manual_seed(0)
    for block in table_columns.blocks(spec.encoding):
        first = block.start if block.number is None else block.number
        values[:, first : block.stop] = values[torch.randperm(len(values), generator=chance), first : block.stop]
    return Sample("independent", values.flatten(1).double().numpy(), values)


def test_classifiers_tell_learnt_rows_from_independent_columns(households):
    spec = households.spec
    first, second = rows_of(households, range(0, 1200, 2)), rows_of(households, range(1, 1200, 2))
    good = measured("classifier-f1", first, second, spec)
    bad = measured("classifier-f1", independent(first, spec), second, spec)
    assert set(good) == {
        "classifier_f1",
        "f1_decision_tree",
        "f1_adaboost",
        "f1_logistic_regression",
        "f1_perceptron",
    }
    # Rent is missing where a home is owned: the column tells the other.
    assert good["classifier_f1"].value > 0.99
    assert bad["classifier_f1"].value < 0.7
    assert good["classifier_f1"].protocol["target"] == "owner"


@pytest.mark.parametrize("positive", [0, 1, None])
def test_f1_is_that_of_scikit_learn(positive):
    chance = numpy.random.default_rng(0)
    wanted, predicted = chance.integers(0, 2, 200), chance.integers(0, 2, 200)
    how = {"average": "macro"} if positive is None else {"pos_label": positive}
    assert _f1(wanted, predicted, positive) == pytest.approx(f1_score(wanted, predicted, **how))


def test_rows_of_one_class_teach_nothing(households):
    rows = whole(households)
    block = next(block for block in table_columns.blocks(households.spec.encoding) if block.column["name"] == "owner")
    alike = rows[rows[:, block.start] == 1]
    found = measured("classifier-f1", Sample("alike", alike.numpy(), alike), rows_of(households), households.spec)
    assert len({measure.value for measure in found.values()}) == 1


@pytest.mark.parametrize("options", [{"target": "rent"}, {"target": "none at all"}, {"positive": "maybe"}])
def test_targets_that_are_not_there(households, options):
    with pytest.raises(UsageError, match=r"there (is no|are)"):
        measured("classifier-f1", rows_of(households), rows_of(households), households.spec, **options)


def test_measures_of_tables_refuse_other_samples():
    points = Sample("points", numpy.zeros((8, 2)), torch.zeros(8, 2))
    for name in ("classifier-f1", "column-statistics", "nearest-row"):
        with pytest.raises(UsageError, match="reads tables"):
            measured(name, points, points, Spec("points", (2,)))


def test_column_statistics_closed_forms(tmp_path):
    """Numbers 0..99 against 50..149: half of them are below all others. Shares of (3/4, 1/4) against (1/4, 3/4)."""

    def side(name: str, numbers: range, few: int) -> list[list[str]]:
        return [[str(value), "a" if index % 4 < few else "b"] for index, value in enumerate(numbers)]

    both = [*side("made", range(100), 3), *side("real", range(50, 150), 1)]
    part = table(written(tmp_path / "both.csv", both, ["n", "c"]))
    collection = part.open()
    halves = [
        table(written(tmp_path / f"{name}.csv", rows, ["n", "c"]), like=str(tmp_path / "both.csv")).open()
        for name, rows in (("made", both[:100]), ("real", both[100:]))
    ]
    made, real = (rows_of(half) for half in halves)
    found = measured("column-statistics", made, real, collection.spec)
    assert found["column_distance"].value == pytest.approx((0.5 + 0.5) / 2)
    assert found["column_distance"].protocol["of"] == 2
    same = measured("column-statistics", real, real, collection.spec)
    assert (same["column_distance"].value, same["pair_distance"].value) == (0, 0)


def test_pairs_show_what_columns_do_not(households):
    rows = rows_of(households)
    found = measured("column-statistics", independent(rows, households.spec), rows, households.spec)
    assert found["column_distance"].value < 1e-9
    assert found["pair_distance"].value > 0.1
    assert found["pair_distance"].protocol["worst"] in ("rent and owner", "age and work")


def test_copies_are_found(households):
    first, second = rows_of(households, range(600)), rows_of(households, range(600, 1200))
    copies = measured("nearest-row", first, first, households.spec)
    assert (copies["nearest_row"].value, copies["copied_rows"].value) == (0, 1)
    others = measured("nearest-row", second, first, households.spec)
    assert others["copied_rows"].value == 0
    assert others["nearest_row"].value == pytest.approx(others["nearest_row"].protocol["usual"], rel=0.5)


def test_the_distance_of_rows(tmp_path):
    """Numbers as a share of their range, and 1 for another category."""
    rows = [*([str(value), "a"] for value in range(0, 101, 5)), ["100", "b"]]
    collection = table(written(tmp_path / "rows.csv", rows, ["n", "c"])).open()
    index = {(row[0], row[1]): place for place, row in enumerate(sorted(rows))}
    near = rows_of(collection, [index["100", "b"]] * 4)
    real = rows_of(collection, [index[str(value), "a"] for value in (0, 5, 10, 70)])
    found = measured("nearest-row", near, real, collection.spec)["nearest_row"].value
    assert found == pytest.approx(math.sqrt(0.3**2 + 1), abs=1e-5)


@pytest.mark.slow
def test_f1_of_adult_is_the_known_one(real_data):
    """Real rows teach classifiers to an F1 of .656 and independent columns to .147, by another program."""
    options = {"path": str(real_data / "adult" / "adult.csv"), "held_out": 10_000}
    train, test = table(**options).open(), table(**options, split="test").open()
    assert (len(train), len(test) > 9_990) == (22_561, True)
    spec, real = train.spec, rows_of(train)
    good = measured("classifier-f1", real, rows_of(test), spec)["classifier_f1"]
    assert good.protocol == {"target": "income", "positive": " >50K"}
    assert good.value == pytest.approx(0.656, abs=0.03)
    bad = measured("classifier-f1", independent(real, spec), rows_of(test), spec)
    assert bad["classifier_f1"].value == pytest.approx(0.147, abs=0.1)


@pytest.mark.slow
def test_ctgan_learns_how_columns_belong_together():
    """The small recipe, not quite to its end: classifiers learn from its rows what independent columns cannot teach."""
    config = resolve(REGISTRY, {"recipe": "ctgan:small", "steps": 1000})
    played = game("households", str(config.architecture), config.batch, procedure=str(config.procedure))
    for step in range(1, config.steps + 1):
        played.play(step)
    played.look()
    spec, real = played.spec, rows_of(opened("households:split=test"))
    values = played.procedure.sample(played, Request(2000))
    made = Sample("made", values.double().numpy(), values)
    apart = measured("classifier-f1", independent(rows_of(opened("households")), spec), real, spec)
    assert apart["classifier_f1"].value < 0.2
    assert measured("classifier-f1", made, real, spec)["classifier_f1"].value > 0.35
    assert measured("column-statistics", made, real, spec)["column_distance"].value < 0.15
