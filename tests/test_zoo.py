"""Every installed part, alone and with the others.
Parametrised over the registry: a new plugin is tested by being there.

Parts are built with their `tiny` options and trained on pictures of 16x16, a few samples a step.
"""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import math
import random
import re
import shutil
import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from scipy.io import wavfile
from torch import Tensor

import ganzoo
from ganzoo import Mismatch, Request, capabilities, checkpoint, samples
from ganzoo.config import Choice, Config, resolve
from ganzoo.data import Collection, Stream
from ganzoo.describe import summary
from ganzoo.game import Game
from ganzoo.options import bind, schema
from ganzoo.parts import Parts
from ganzoo.registry import installed
from ganzoo.training import build

REGISTRY = installed()
KINDS = ("dataset", "architecture", "procedure", "loss")
BATCH = 4
COMBINATIONS = 30_000  # of the whole product, which are checked

# Real data


def _write_idx(folder: Path) -> None:
    pixels = numpy.random.default_rng(0).integers(0, 256, (12, 28, 28), numpy.uint8)
    for split in ("train", "t10k"):
        for name, header, values in (
            ("images-idx3", struct.pack(">4i", 2051, *pixels.shape), pixels),
            ("labels-idx1", struct.pack(">2i", 2049, len(pixels)), numpy.arange(12, dtype=numpy.uint8) % 10),
        ):
            (folder / f"{split}-{name}-ubyte.gz").write_bytes(gzip.compress(header + values.tobytes()))


def _write_pictures(folder: Path) -> None:
    pixels = numpy.random.default_rng(1).integers(0, 256, (12, 20, 20, 3), numpy.uint8)
    for index, picture in enumerate(pixels):
        place = folder / ("cats", "dogs")[index % 2]
        place.mkdir(exist_ok=True)
        Image.fromarray(picture).save(place / f"{index}.png")


def _write_pairs(folder: Path) -> None:
    """Twelve pairs side by side."""
    pixels = numpy.random.default_rng(4).integers(0, 256, (12, 20, 40, 3), numpy.uint8)
    for index, picture in enumerate(pixels):
        Image.fromarray(picture).save(folder / f"{index}.png")


def _write_domains(folder: Path) -> None:
    """Seven grey pictures of one domain, twelve in colour of the other."""
    chance = numpy.random.default_rng(5)
    for name, shape in (("trainA", (7, 20, 20)), ("trainB", (12, 20, 20, 3))):
        (folder / name).mkdir()
        for index, picture in enumerate(chance.integers(0, 256, shape, numpy.uint8)):
            Image.fromarray(picture).save(folder / name / f"{index}.png")


def _write_sounds(folder: Path) -> None:
    """Tones of two classes, some shorter than what is asked for."""
    for index in range(12):
        place = folder / ("low", "high")[index % 2]
        place.mkdir(exist_ok=True)
        wave = numpy.sin(numpy.arange(200 + 30 * index) * (0.1, 0.9)[index % 2])
        wavfile.write(place / f"{index}.wav", 8_000, (20_000 * wave).astype(numpy.int16))


def _write_strips(folder: Path) -> None:
    """Strips of 8 frames of two classes, in each of which a bright row moves."""
    for index in range(12):
        place = folder / ("slow", "fast")[index % 2]
        place.mkdir(exist_ok=True)
        frames = numpy.zeros((16, 8, 16, 3), numpy.uint8)
        for time in range(8):
            frames[(index + time * (1 + index % 2)) % 16, time] = 200
        Image.fromarray(frames.reshape(16, 128, 3)).save(place / f"{index}.png")


def _write_records(folder: Path) -> None:
    """CIFAR-10's binary version."""
    drawn = numpy.random.default_rng(3).integers(0, 256, (12, 3073), numpy.uint8)
    drawn[:, 0] = numpy.arange(12) % 10
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        (folder / f"{name}.bin").write_bytes(drawn.tobytes())


def _write_table(*columns: str) -> Any:
    """Forty rows of these columns."""
    chance = numpy.random.default_rng(6)
    drawn = {
        "age": chance.integers(18, 90, 40).astype(str),
        "weight": [f"{value:.1f}" if value > 55 else "" for value in chance.normal(70, 12, 40)],
        "colour": chance.choice(["red", "green", "blue"], 40),
    }

    def write(folder: Path) -> None:
        rows = [columns, *zip(*(drawn[name] for name in columns), strict=True)]
        (folder / "rows.csv").write_text("".join(",".join(row) + "\n" for row in rows))

    return write


def _write_sentences(folder: Path) -> None:
    rows = numpy.random.default_rng(6).integers(0, 5, (12, 6))
    lines = (" ".join(f"word{index}" for index in row[: 3 + number % 4]) for number, row in enumerate(rows))
    (folder / "sentences.txt").write_text("\n".join(lines) + "\n")


def _write_oracle(folder: Path) -> None:
    """SeqGAN's LSTM, of 7 words."""
    words, embedding, hidden = 7, 3, 4
    shapes = {"00_emb": (words, embedding), "13_Wo": (hidden, words), "14_bo": (words,)}
    for number, gate in ((1, "i"), (4, "f"), (7, "og"), (10, "c")):
        shapes |= {
            f"{number:02}_W{gate}": (embedding, hidden),
            f"{number + 1:02}_U{gate}": (hidden, hidden),
            f"{number + 2:02}_b{gate}": (hidden,),
        }
    chance = numpy.random.default_rng(7)
    numpy.savez(
        folder / "target_params.npz", **{name: chance.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    )


def _write_array(values: numpy.ndarray) -> Any:
    return lambda folder: numpy.save(folder / "samples.npy", values)


@dataclass(frozen=True)
class Files:
    """How the files of a data set are made. opens_as: what the data then are, where that is less than was promised."""

    dataset: str
    write: Any
    path: str = "."
    opens_as: tuple[str, ...] | None = None


_DRAWN = numpy.random.default_rng(2)
FILES = {
    "mnist": Files("mnist", _write_idx),
    "fashion-mnist": Files("fashion-mnist", _write_idx),
    "stacked-mnist": Files("stacked-mnist", _write_idx),
    "audio": Files("audio", _write_sounds),
    "video": Files("video", _write_strips),
    "cifar10": Files("cifar10", _write_records),
    "folder": Files("folder", _write_pictures),
    "mnist-inverted": Files("mnist-inverted", _write_idx),
    "paired": Files("paired", _write_pairs),
    "unpaired": Files("unpaired", _write_domains),
    "tokens": Files("tokens", _write_sentences, "sentences.txt"),
    "seqgan-oracle": Files("seqgan-oracle", _write_oracle),
    "array": Files(
        "array", _write_array(_DRAWN.integers(0, 256, (12, 16, 16), numpy.uint8)), "samples.npy", ("image",)
    ),
    "array of points": Files(
        "array", _write_array(_DRAWN.normal(size=(12, 2)).astype("f4")), "samples.npy", ("points",)
    ),
    "array of tokens": Files("array", _write_array(_DRAWN.integers(0, 5, (12, 6))), "samples.npy", ("tokens",)),
    "table": Files("table", _write_table("age", "weight", "colour"), "rows.csv"),
    "table of numbers": Files("table", _write_table("weight", "age"), "rows.csv", ("table", "columns")),
}
PAIRED = 60  # combinations in which two regularizers stand together
LEFT_OUT: tuple[str, ...] = ()  # data sets whose files this test cannot make


def _needs_path(name: str) -> bool:
    return "path" in schema(REGISTRY.get("dataset", name)) and "path" not in REGISTRY.get("dataset", name).tiny


def sources() -> list[str]:
    """Every data set that can be opened here; one that reads files stands there once for each form of files."""
    names = REGISTRY.names("dataset")
    return [
        *(name for name in names if not _needs_path(name)),
        *(source for source, files in FILES.items() if files.dataset in names),
    ]


def dataset_of(source: str) -> str:
    return FILES[source].dataset if source in FILES else source


def tiny(kind: str, name: str, path: str = "nowhere") -> dict[str, Any]:
    """A part's tiny options, with pictures of 16x16."""
    options = dict(REGISTRY.get(kind, name).tiny)
    if kind == "dataset" and _needs_path(name):
        options["path"] = path
        # An array holds points and tokens too, which have no such size.
        if name != "array" and "size" in schema(REGISTRY.get(kind, name)):
            options["size"] = "16"
    return options


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, str]:
    """The path of every data set that reads files."""
    made = {}
    for source, files in FILES.items():
        folder = tmp_path_factory.mktemp("data")
        files.write(folder)
        made[source] = str(folder / files.path)
    return made


@pytest.fixture(scope="session")
def opened(folders) -> dict[str, Collection]:
    found = {}
    for source in sources():
        name = dataset_of(source)
        found[source] = REGISTRY.make("dataset", name, tiny("dataset", name, folders.get(source, ""))).open()
    return found


@pytest.fixture(autouse=True)
def _nobodys_random_numbers():
    with torch.random.fork_rng(devices=[]):
        yield


# Combinations


@dataclass(frozen=True)
class Combination:
    """The parts of a run by name; the data set as one of `sources`."""

    dataset: str
    architecture: str
    procedure: str
    loss: str
    regularizers: tuple[str, ...] = ()

    def __str__(self) -> str:
        names = (self.dataset.replace(" ", "-"), self.architecture, self.procedure, self.loss, *self.regularizers)
        return "+".join(names)

    def with_regularizers(self, names: tuple[str, ...]) -> Combination:
        return dataclasses.replace(self, regularizers=names)

    def items(self) -> list[tuple[str, str]]:
        """What a covering array covers the pairs of."""
        chosen = [(kind, getattr(self, kind)) for kind in KINDS]
        return [*chosen, *(("regularizer", name) for name in self.regularizers or ("none",))]

    def config(self, path: str = "nowhere", steps: int = 4) -> Config:
        def choice(kind: str, name: str) -> Choice:
            return Choice(name, bind(kind, REGISTRY.get(kind, name), tiny(kind, name, path)))

        return Config(  # by hand, because `resolve` adds the regularizers that the loss brings
            architecture=choice("architecture", self.architecture),
            loss=choice("loss", self.loss),
            regularizers=tuple(choice("regularizer", name) for name in self.regularizers),
            procedure=choice("procedure", self.procedure),
            dataset=choice("dataset", dataset_of(self.dataset)),
            steps=steps,
            batch=BATCH,
            seed=0,
        )

    def game(self, opened: dict[str, Collection]) -> Game:
        config = self.config()
        parts, collection = config.make(REGISTRY), opened[self.dataset]
        capabilities.require(parts, REGISTRY, collection.spec.offers)
        return build(config, parts, collection, torch.device("cpu"), workers=0)


@cache
def made(kind: str, name: str) -> Any:
    return REGISTRY.make(kind, name, tiny(kind, name))


def regularizer_sets() -> list[tuple[str, ...]]:
    names = REGISTRY.names("regularizer")
    return [(), *((name,) for name in names), *itertools.combinations(names, 2)]


def parts_of(combination: Combination) -> Parts:
    chosen = {kind: made(kind, dataset_of(getattr(combination, kind))) for kind in KINDS}
    return Parts(**chosen, regularizers=tuple(made("regularizer", name) for name in combination.regularizers))


def check(combination: Combination) -> list[str]:
    return capabilities.check(parts_of(combination), _opens_as(combination))


def _opens_as(combination: Combination) -> tuple[str, ...] | None:
    return FILES[combination.dataset].opens_as if combination.dataset in FILES else None


def fits(combination: Combination) -> bool:
    return capabilities.fits(parts_of(combination), _opens_as(combination))


@cache
def fitting() -> list[Combination]:
    """The combinations that fit, with at most one regularizer, and some with two. Regularizers are tried only with the
    rest that fits without them: the test of the whole product shows that nothing is missed."""
    rest = itertools.product(sources(), *(REGISTRY.names(kind) for kind in KINDS[1:]))
    bare = [one for names in rest if fits(one := Combination(*names))]
    draw, found = random.Random(1), []
    for chosen in regularizer_sets():
        # Each regularizer alone is tried with everything, two of them with the first so many of the rest that they fit.
        some = bare if len(chosen) < 2 else draw.sample(bare, len(bare))
        fit = (one for plain in some if fits(one := plain.with_regularizers(chosen)))
        found += itertools.islice(fit, None if len(chosen) < 2 else PAIRED)
    return found


@cache
def covering(size: int = 2) -> list[Combination]:
    """Combinations that fit, such that every part (size 1) or every pair of parts (size 2) that fits is in one of them.

    Greedy: of those that hold a pair not yet covered, a few are drawn, and the one that covers most is taken.
    """
    draw = random.Random(0)
    having: dict[Any, list[Combination]] = {}
    for combination in fitting():
        for tuple_of_items in itertools.combinations(combination.items(), size):
            having.setdefault(tuple_of_items, []).append(combination)
    left, chosen = dict.fromkeys(sorted(having)), []
    while left:
        candidates = having[next(iter(left))]
        few = draw.sample(candidates, min(40, len(candidates)))
        best = max(few, key=lambda one: sum(found in left for found in itertools.combinations(one.items(), size)))
        chosen.append(best)
        for found in itertools.combinations(best.items(), size):
            left.pop(found, None)
    return chosen


def quick_first(quick: Iterable[Combination], every: Iterable[Combination]) -> list[Any]:
    """Parameters of a test: the quick ones, and then the others, which are slow."""
    chosen = dict.fromkeys(quick)
    others = [one for one in dict.fromkeys(every) if one not in chosen]
    marks = [(one, ()) for one in chosen] + [(one, (pytest.mark.slow,)) for one in others]
    return [pytest.param(one, id=str(one), marks=mark) for one, mark in marks]


@cache
def holders() -> dict[tuple[str, Any], list[Combination]]:
    """Which combinations that fit have what."""
    found: dict[tuple[str, Any], list[Combination]] = {}
    for combination in fitting():
        for kind in (*KINDS, "regularizers"):
            found.setdefault((kind, getattr(combination, kind)), []).append(combination)
    return found


def first_fitting(**wanted: Any) -> Combination | None:
    """A combination with these parts; of a common loss and of what the architecture is at home with,
    where that fits."""
    some = min((holders().get(item, []) for item in wanted.items()), key=len)
    found = [one for one in some if all(getattr(one, kind) == name for kind, name in wanted.items())]
    homes = {name: REGISTRY.get("architecture", name).dataset for name in REGISTRY.names("architecture")}
    return min(
        found,
        key=lambda one: (len(one.regularizers), one.dataset != homes[one.architecture], one.loss != "nonsaturating"),
        default=None,
    )


def pairs_of_players() -> list[tuple[str, str]]:
    """Architectures with procedures that play them."""
    return sorted({(one.architecture, one.procedure) for one in fitting()})


# Documentation

ENTRIES = [pytest.param(entry, id=f"{entry.kind}-{entry.part.name}") for entry in REGISTRY.entries()]
RECIPES = [entry.part for entry in REGISTRY.entries("recipe")]


def test_nothing_is_broken():
    assert REGISTRY.broken == []
    assert {source.package for source in REGISTRY.entries()} >= {"ganzoo", "ganzoo-toys"}


@pytest.mark.parametrize("entry", ENTRIES)
def test_documented(entry):
    part, sentence = entry.part, summary(entry.part)
    assert sentence.endswith(".")
    assert ". " not in sentence, f"the summary is more than one sentence: {sentence}"
    if entry.kind == "recipe":
        return
    text = part.__doc__
    _, _, arguments = text.partition("Args:")
    for option in schema(part):
        family = f"`{option.partition('_')[0]}_...`"  # one line may stand for all options that begin alike
        described = re.search(rf"^\s+{option}: \S", arguments, re.MULTILINE) or family in arguments
        assert described, f"option '{option}' is not described under Args"
    if part.paper and entry.package == "ganzoo" and entry.kind in ("architecture", "loss", "regularizer", "procedure"):
        assert "Differs from the paper:" in text


@pytest.mark.parametrize("entry", [param for param in ENTRIES if param.values[0].kind != "recipe"])
def test_tiny_options_make_the_part(entry):
    part = REGISTRY.make(entry.kind, entry.part.name, tiny(entry.kind, entry.part.name))
    assert part.options.keys() == schema(entry.part).keys()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipe_fits(recipe):
    for form in (recipe.name, *(f"{recipe.name}:{variant}" for variant in recipe.variants)):
        # A file of the user's is not there: that the parts fit is seen without opening anything.
        data = (
            recipe.data
            if not _needs_path(recipe.data.partition(":")[0])
            else f"{recipe.data.partition(':')[0]}:path=nowhere"
        )
        config = resolve(REGISTRY, {"recipe": form, "data": data})
        assert capabilities.check(config.make(REGISTRY)) == []


# Whether parts fit

SENTENCE = re.compile(r"(\w+) '([^']+)' needs `([^`]+)` \(.+\), which none of .+ offers")


def test_whole_product_fits_or_is_refused_in_a_sentence(capsys):
    """Of a product of millions, so many combinations drawn at random."""
    draw, kinds = random.Random(0), [REGISTRY.names(kind) for kind in KINDS]
    counts, fit, sets = Counter(), set(fitting()), regularizer_sets()
    alone = [chosen for chosen in sets if len(chosen) < 2]
    for number in range(COMBINATIONS):
        combination = Combination(*map(draw.choice, kinds), draw.choice(alone if number % 2 else sets))
        parts = parts_of(combination)
        sentences = capabilities.check(parts)
        counts["refused" if sentences else "fit"] += 1
        assert capabilities.fits(parts) == (not sentences)
        for sentence in sentences:
            check_sentence(sentence, parts)
        # What is trained below is drawn from the same; only data that turn out to be less than promised, and more than
        # one regularizer, are asked about apart.
        if combination.dataset in REGISTRY.names("dataset") and not _needs_path(combination.dataset):
            assert (combination in fit) <= (not sentences)
            assert (combination in fit) == (not sentences) or len(combination.regularizers) > 1
    shown = f"{COMBINATIONS} combinations: {counts['fit']} fit, {counts['refused']} are refused in a sentence"
    with capsys.disabled():
        print(f"\n{shown}; {len(covering())} of them cover all pairs of parts that fit")
    assert counts["fit"] and counts["refused"]


def check_sentence(sentence: str, parts: Parts) -> None:
    kind, name, need = SENTENCE.fullmatch(sentence).groups()
    (part,) = (part for other, part in parts.each() if (other, part.name) == (kind, name))
    assert need in part.needs


def test_refusal_names_only_what_fits():
    """One paragraph; every part that it names instead fits, and it names one wherever a single exchange is enough."""
    draw = random.Random(0)
    named = advised = 0
    for _ in range(400):
        names = [draw.choice(REGISTRY.names(kind)) for kind in KINDS]
        parts = parts_of(Combination(*names, draw.choice(regularizer_sets())))
        if not capabilities.check(parts):
            continue
        with pytest.raises(Mismatch) as caught:
            capabilities.require(parts, REGISTRY)
        message = str(caught.value)
        assert "\n" not in message
        assert message.endswith(".")
        check_sentence(message.partition(". ")[0], parts)
        offered = list(advice(message))
        named += len(offered)
        advised += bool(offered)
        for kind, name in offered:
            assert not capabilities.check(exchanged(parts, kind, name)), message
        possible = [
            (kind, name)
            for kind in KINDS
            for name in REGISTRY.names(kind)
            if not capabilities.check(exchanged(parts, kind, name))
        ]
        possible += [
            ("leave out", part.name) for part in parts.regularizers if not capabilities.check(parts.without(part))
        ]
        assert bool(offered) == bool(possible), message
    assert named and advised


def advice(message: str):
    """The parts that a refusal names, by kind."""
    plurals = {f"{kind}s" if kind != "loss" else "losses": kind for kind in KINDS}
    _, _, text = message.partition("What would fit: ")
    for phrase in text.removesuffix(".").split("; "):
        if phrase.startswith("leave out --reg "):
            yield "leave out", phrase.removeprefix("leave out --reg ")
        kind, _, names = phrase.partition(" ")
        for name in names.split(", ") if kind in plurals else ():
            yield plurals[kind], name


def exchanged(parts: Parts, kind: str, name: str) -> Parts:
    if kind == "leave out":
        return parts.without(next(part for part in parts.regularizers if part.name == name))
    return parts.with_part(kind, made(kind, name))


# Training


def test_every_part_is_trained():
    """A part that fits nowhere, or whose data cannot be made here, is seen."""
    trained = {item for one in covering() for item in one.items()}
    wanted = {(kind, name) for kind in (*KINDS[1:], "regularizer") for name in REGISTRY.names(kind)}
    assert wanted <= trained
    assert {dataset_of(name) for kind, name in trained if kind == "dataset"} == set(REGISTRY.names("dataset")) - set(
        LEFT_OUT
    )


@pytest.mark.parametrize("source", sources())
def test_data_are_what_was_promised(source, opened):
    collection = opened[source]
    promised = FILES[source].opens_as if source in FILES else None
    assert set(collection.spec.offers) == set(promised or REGISTRY.get("dataset", source).offers)
    batch = collection.fetch([1, 0])
    assert batch.sample.shape == (2, *collection.spec.shape)
    assert batch.index is not None and batch.index.tolist() == [1, 0]
    assert (batch.label is not None) == bool(collection.spec.classes)
    if collection.spec.kind == "image":
        assert batch.sample.abs().max() <= 1
    assert (batch.source is not None) == (collection.spec.source is not None)


@pytest.mark.parametrize("combination", quick_first(covering(1), covering()))
def test_two_finite_steps_that_sampling_does_not_disturb(combination, opened):
    """A move changes its own player's parameters and no others; samples and numbers in between change nothing."""
    watched, plain = combination.game(opened), unsampled(combination, opened)
    for step in (1, 2):
        watch_step(watched, step)
        watched.look()
        assert all(map(math.isfinite, watched.numbers().values())), watched.numbers()
        samples = watched.procedure.sample(watched, Request(3, seed=step))
        assert samples.shape == (3, *watched.spec.shape)
        assert torch.isfinite(samples).all()
        plain.play(step)
    assert different(watched.state(), plain.state()) == []


def unsampled(combination: Combination, opened: dict[str, Collection]) -> Game:
    """The same game, put together by hand: `build` looks at two samples."""
    config, collection = combination.config(), opened[combination.dataset]
    settings = {"batch": config.batch, "seed": config.seed, "steps": config.steps, "data_size": len(collection)}
    return Game(config.make(REGISTRY), collection.spec, Stream(collection, config.seed), **settings)


def watch_step(game: Game, step: int) -> None:
    """What `game.play` does, looking at every parameter around every move."""
    game.begin(step)
    moves = 0
    for move in game.procedure.moves(game, step):
        parameters = all_parameters(game)
        before = [parameter.detach().clone() for parameter in parameters]
        for terms in move.minimises:
            assert all(torch.isfinite(value).all() for value in terms.values()), terms
            move.player.accumulate(terms)
        move.player.step(step)
        changed = {id(now) for now, then in zip(parameters, before, strict=True) if not torch.equal(now, then)}
        assert changed, f"player '{move.player.name}' moved and nothing changed"
        assert changed <= set(map(id, move.player.parameters.values())), (
            f"player '{move.player.name}' changed another's parameters"
        )
        assert all(parameter.grad is None for parameter in parameters), "a gradient was left behind"
        moves += 1
    assert moves


def all_parameters(game: Game) -> list[Tensor]:
    """Every parameter of networks and players, once."""
    modules = [
        *game.networks.all().values(),
        *(module for player in game.players.values() for module in player.modules.values()),
    ]
    return list({id(parameter): parameter for module in modules for parameter in module.parameters()}.values())


def different(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two nested states differ, to the bit."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{path}: {sorted(set(one) ^ set(other))}"]
        return [found for key in one for found in different(one[key], other[key], f"{path}/{key}")]
    same = torch.equal(one, other) if isinstance(one, Tensor) else one == other
    return [] if same else [path]


# Nothing is silently ignored


def generators_after(combination: Combination, opened: dict[str, Collection], steps: int = 3) -> dict[str, Tensor]:
    """What the generators compute with after a few steps."""
    return generators_of(game_after(combination, opened, steps))


def game_after(combination: Combination, opened: dict[str, Collection], steps: int = 3) -> Game:
    game = combination.game(opened)
    for step in range(1, steps + 1):
        game.play(step)
    game.look()
    return game


def generators_of(game: Game) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": parameter.detach().clone()
        for name, network in game.networks.generators.items()
        for key, parameter in network.named_parameters()
    }


def with_regularizers() -> list[Combination]:
    """Every regularizer with every architecture and procedure that it fits."""
    found = []
    for architecture, procedure in pairs_of_players():
        for name in REGISTRY.names("regularizer"):
            one = first_fitting(architecture=architecture, procedure=procedure, regularizers=(name,))
            found += [one] if one else []
    return found


@pytest.fixture(scope="session")
def without_regularizers() -> dict[Combination, dict[str, Tensor]]:
    """What `generators_after` gave, kept, because many regularizers are compared with the same run."""
    return {}


def calls_of_procedures() -> list[Combination]:
    """Every regularizer with every procedure that it fits: who calls it is the procedure."""
    return list({(one.regularizers, one.procedure): one for one in with_regularizers()}.values())


@pytest.mark.parametrize("combination", quick_first(calls_of_procedures(), with_regularizers()))
def test_regularizer_reaches_the_generators(combination, opened, without_regularizers):
    bare = combination.with_regularizers(())
    if bare not in without_regularizers:
        without_regularizers[bare] = generators_after(bare, opened)
    game = game_after(combination, opened)
    changed = different(generators_of(game), without_regularizers[bare])
    if game.regularizers[0].reports:
        assert not changed and set(game.noted) > set(game_after(bare, opened).noted)
        return
    assert changed, (
        f"regularizer '{combination.regularizers[0]}' is silently ignored: needs a word for who would call it"
    )


@pytest.mark.parametrize(
    ("architecture", "procedure"), [pytest.param(*pair, id="+".join(pair)) for pair in pairs_of_players()]
)
def test_losses_reach_the_generators(architecture, procedure, opened):
    """With the regularizers that they bring, no two losses make the same generator."""
    reached: dict[str, dict[str, Tensor]] = {}
    for loss in REGISTRY.names("loss"):
        brought = tuple(text.partition(":")[0] for text in REGISTRY.get("loss", loss).brings)
        home = first_fitting(architecture=architecture, procedure=procedure, loss=loss)
        if home and not check(one := Combination(home.dataset, architecture, procedure, loss, brought)):
            reached[loss] = generators_after(one, opened)
    assert reached
    for one, other in itertools.combinations(reached, 2):
        assert different(reached[one], reached[other]), f"{one} and {other} train alike"


# Continuing


def saved(game: Game, folder: Path) -> tuple[bytes, bytes]:
    path = checkpoint.save(folder, game.step, game.state(), keep=0)
    return (path / "state.safetensors").read_bytes(), (path / "state.json").read_bytes()


def continuing() -> list[Combination]:
    """Every part, and every architecture with every procedure that plays it, at least once."""
    played = [
        first_fitting(architecture=architecture, procedure=procedure) for architecture, procedure in pairs_of_players()
    ]
    return list(dict.fromkeys([*covering(1), *(one for one in played if one)]))


@pytest.mark.parametrize("combination", continuing(), ids=str)
def test_continues_exactly(combination, opened, tmp_path):
    whole, first, second = (combination.game(opened) for _ in range(3))
    for step in range(1, 5):
        whole.play(step)
    for step in (1, 2):
        first.play(step)
    saved(first, tmp_path / "parted")
    second.load(checkpoint.load(tmp_path / "parted"))
    assert different(first.state(), second.state()) == []
    for step in (3, 4):
        second.play(step)
    assert different(whole.state(), second.state()) == []
    assert saved(whole, tmp_path / "whole") == saved(second, tmp_path / "parted")


HOLDING_STATE = {
    "arch": "dcgan:latent=4,width=4",
    "data": "digits:size=16",
    "loss": "hinge",
    "reg": ("spectral-norm", "r1:every=2", "instance-noise:deviation=0.2,steps=6"),
    "batch": BATCH,
    "quiet": True,
    "device": "cpu",
    "workers": 0,
}


@pytest.mark.parametrize(
    "options",
    [
        "n_critic=2,micro_batches=2,average=16,average_ramp=0.5,optimizer=rmsprop,momentum=0.9",
        "optimizer=sgd,momentum=0.9,generator_optimizer=adam,schedule=linear,schedule_steps=8,clip_norm=1,average=8",
    ],
)
def test_state_of_every_sort_continues_exactly(options, tmp_path):
    settings = {**HOLDING_STATE, "procedure": f"adversarial:{options}"}
    ganzoo.train(**settings, steps=4, out=tmp_path / "whole")
    ganzoo.train(**settings, steps=2, out=tmp_path / "parted")
    ganzoo.train(**settings, steps=4, out=tmp_path / "parted", sample_every=1, log_every=1)
    whole, parted = (
        tmp_path / name / "checkpoints" / "step-00000004" / "state.safetensors" for name in ("whole", "parted")
    )
    assert whole.read_bytes() == parted.read_bytes()


# Sampling


def sampled() -> list[Combination]:
    """Every form of data, and every architecture with every procedure that plays it."""
    found = [first_fitting(dataset=source) for source in sources()]
    found += [
        first_fitting(architecture=architecture, procedure=procedure) for architecture, procedure in pairs_of_players()
    ]
    return list(dict.fromkeys(one for one in found if one))


@pytest.mark.parametrize("combination", sampled(), ids=str)
def test_samples_outlive_the_data(combination, folders, tmp_path):
    """A run is sampled without its data, and sample i depends on the seed and on i alone."""
    path = ""
    if combination.dataset in folders:
        there = Path(folders[combination.dataset])
        folder = there if there.is_dir() else there.parent
        shutil.copytree(folder, tmp_path / "data")
        path = str(tmp_path / "data" / there.relative_to(folder))
    config = combination.config(path)
    run = ganzoo.train(
        arch=str(config.architecture),
        loss=str(config.loss),
        procedure=str(config.procedure),
        data=str(config.dataset),
        no_reg=[text.partition(":")[0] for text in REGISTRY.get("loss", combination.loss).brings],
        steps=2,
        batch=BATCH,
        device="cpu",
        workers=0,
        quiet=True,
        out=tmp_path / "run",
    )
    before = run.sample(5, seed=3)
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    loaded = ganzoo.load(tmp_path / "run")
    assert torch.equal(loaded.sample(5, seed=3), before)
    assert torch.equal(loaded.sample(70, seed=3)[:5], before)
    assert torch.equal(loaded.sample(1, seed=3), before[:1])
    assert not torch.equal(loaded.sample(5, seed=4), before)
    check_written(loaded, tmp_path)


def check_written(run: Any, folder: Path) -> None:
    """Samples are written in the form in which people look at them."""
    kept = {path.suffix: path for path in (run.path / "samples").iterdir()}
    written = kept.pop(samples.preview(run.spec))
    path = folder / f"made{written.suffix}"
    run.write(path, count=5, seed=3, device="cpu")
    assert tuple(kept) == samples.beside(run.spec)
    if written.suffix in (".png", ".gif"):
        assert Image.open(path).size[0] > 1
        return
    lines = path.read_text().splitlines()
    vocabulary, columns = run.spec.encoding.get("vocabulary"), run.spec.encoding.get("columns")
    if run.spec.kind == "tokens":
        assert len(lines) == 5
        assert not vocabulary or set(" ".join(lines).split()) <= set(vocabulary)
    if columns:
        assert lines[0].split(",") == columns
        assert len(lines) == 6
