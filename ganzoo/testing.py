"""The zoo's own checks for a plugin: `check_plugin(module)` in a package's tests,
`ganzoo plugin check` for what is installed.

A part is looked at (its words, its options, its documentation) and then played in a few runs with installed parts, all
with their `tiny` options and with data that need no file. Playing asks what training, continuing and sampling rely on.
"""

from __future__ import annotations

import inspect
import itertools
import json
import math
import re
import types
import typing
from collections.abc import Callable
from typing import Any

import torch

from .capabilities import WORDS, fitting_groups, nearest_misfit, require
from .config import Choice, resolve
from .data import Collection, Spec
from .describe import summary
from .errors import DataError, Mismatch, SizeError, UsageError
from .metrics.evidence import Evidence, Sample
from .metrics.features import identity
from .options import Option, Size, bind, close, schema, to_json
from .parts import Recipe, Regularizer
from .registry import Entry, Registry, installed
from .trial import RUNS, CheckError, Trial, candidates, check_run, needs_path, open_tiny, problem_of, told

TRIES = 12  # how many runs are tried for that; a size or a combination of options may be refused
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_OWN_WORD = re.compile(r"[\w-]+\.[\w-]+")
__all__ = ["CheckError", "check_installed", "check_part", "check_plugin"]
_VERBS = ("plan", "prepare", "augment", "penalty", "project")


def check_plugin(plugin: types.ModuleType) -> None:
    """Check every part of a plugin module, installed or not. Raises CheckError at the first problem."""
    own = Registry()
    try:
        own.add(plugin)
    except Exception as error:
        raise CheckError(f"plugin {plugin.__name__} cannot be registered: {told(error)}") from error
    if not own.entries():
        raise CheckError(
            f"plugin {plugin.__name__} registers no part: "
            "it needs a function such as register_losses(register) marked @hookimpl"
        )
    registry = Registry().load_installed()
    if not registry.holds(plugin):
        registry.add(plugin, package=plugin.__name__)
    names = {(entry.kind, entry.part.name) for entry in own.entries()}
    opened: dict[str, Collection] = {}
    for entry in registry.entries():
        if (entry.kind, entry.part.name) in names:
            check_part(registry, entry, opened)


def check_installed(package: str | None, say: Callable[[str], Any]) -> int:
    """Check the parts of one installed package, or of all, and say one line for each. Returns how many failed."""
    registry = installed()
    packages = {entry.package for entry in registry.entries()} | {plugin.package for plugin in registry.broken}
    chosen = packages if package is None else {name for name in packages if _normal(name) == _normal(package)}
    if not chosen:
        raise UsageError(
            f"no installed package '{package}' has ganzoo plugins{close(str(package), packages)}; "
            f"there are: {', '.join(sorted(packages))}"
        )
    failures = 0
    opened: dict[str, Collection] = {}
    for plugin in registry.broken:
        if plugin.package in chosen:
            failures += 1
            say(f"FAILED  plugin {plugin.package} ({plugin.name}): {plugin.reason}")
    for entry in registry.entries():
        if entry.package in chosen:
            try:
                say(f"ok  {entry.kind} {entry.part.name}  ({check_part(registry, entry, opened)})")
            except CheckError as error:
                failures += 1
                say(f"FAILED  {error}")
    return failures


def check_part(registry: Registry, entry: Entry, opened: dict[str, Collection] | None = None) -> str:
    """Check one part; returns in words how it was tried, such as `3 runs`. Raises CheckError.

    opened: data sets that have been opened, to be shared among the checks of several parts.
    """
    if reason := registry.clash(entry):
        raise CheckError(reason)
    try:
        _check_name(entry)
        if entry.kind == "recipe":
            return _check_recipe(registry, entry)
        for check in (_check_documented, _check_options, _check_words, _check_verbs):
            check(entry)
        if entry.kind == "metric":
            return _check_metric(registry, entry)
        _check_fits(registry, entry)
        return _check_runs(registry, entry, {} if opened is None else opened)
    except CheckError:
        raise
    except Exception as error:  # a stranger's code may raise anything; here that is a finding
        raise problem_of(entry, told(error)) from error


# What can be seen without playing


def _check_name(entry: Entry) -> None:
    if not _NAME.fullmatch(entry.part.name):
        raise problem_of(entry, "a name is a word for the command line: small letters, digits, and - . _ between them")


def _check_documented(entry: Entry) -> None:
    """A summary sentence, and a word on every option."""
    if not entry.part.__doc__:
        raise problem_of(entry, "it has no docstring; `ganzoo list` prints its first sentence")
    if not summary(entry.part).endswith("."):
        raise problem_of(
            entry,
            "the first paragraph of its docstring must be a sentence that ends with a full stop, for `ganzoo list`",
        )
    text = inspect.getdoc(entry.part) or ""
    for option in schema(entry.part):
        if not _describes(text, option):
            raise problem_of(
                entry,
                f"its docstring says nothing about the option '{option}'; add a line `{option}: ...` under `Args:`",
            )


def _describes(text: str, option: str) -> bool:
    """`option: ...` under Args, or `option` in backticks; `side_...` stands for all options that begin so."""
    stems = [option[: end.end()] + "..." for end in re.finditer("_", option)]
    return bool(re.search(rf"^\s+{option}: ", text, re.MULTILINE)) or any(
        f"`{word}`" in text for word in (option, *stems)
    )


def _check_options(entry: Entry) -> None:
    """Types that the command line can read, defaults that survive being written to a run's config.json, and `tiny`."""
    for parameter in list(inspect.signature(entry.part).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise problem_of(entry, f"its constructor takes *{parameter.name}; options must be named one by one")
        if parameter.annotation is parameter.empty:
            raise problem_of(
                entry, f"its option '{parameter.name}' has no type; write `{parameter.name}: int = 1` or the like"
            )
    for option in schema(entry.part).values():
        _check_option(entry, option)
    if not needs_path(entry.part):
        bind(entry.kind, entry.part, entry.part.tiny)


def _check_option(entry: Entry, option: Option) -> None:
    if not _readable(option.annotation):
        known = "bool, int, float, str, ganzoo.Size, Literal, a tuple of one of them, or one of them | None"
        raise problem_of(
            entry,
            f"its option '{option.name}' has the type {option.type_name}, which no command line can give; use {known}",
        )
    if option.required:
        return
    written = json.loads(json.dumps(to_json(option.default)))
    if option.coerce(written) != option.default:
        raise problem_of(
            entry, f"the default {option.default!r} of its option '{option.name}' is not a {option.type_name}"
        )


def _readable(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple):
        return all(_readable(member) for member in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return True
    return annotation in (bool, int, float, str, Size, type(None), ...)


def _check_words(entry: Entry) -> None:
    for title in ("needs", "offers", "withdraws"):
        words: tuple[str, ...] = getattr(entry.part, title)
        for word in (word for need in words for word in need.split("|")):
            if word not in WORDS and not _OWN_WORD.fullmatch(word):
                raise problem_of(
                    entry,
                    f"{title} the unknown word '{word}'{close(word, WORDS)}; "
                    "a word of your own is written package.word",
                )


def _check_verbs(entry: Entry) -> None:
    if entry.kind == "regularizer" and issubclass(entry.part, Regularizer) and not any(map(entry.part.does, _VERBS)):
        raise problem_of(entry, f"it does nothing: it overrides none of {', '.join(_VERBS)}")


def _check_fits(registry: Registry, entry: Entry) -> None:
    if next(fitting_groups(registry, entry), None) is None:
        missing = "; ".join(nearest_misfit(registry, entry)) or "there are no parts of the other kinds"
        raise problem_of(entry, f"it fits no run of installed parts: {missing}")


def _check_recipe(registry: Registry, entry: Entry) -> str:
    """A recipe and its variants name installed parts and options, and the parts fit. Nothing is opened."""
    recipe: Recipe = entry.part
    if not recipe.summary.endswith("."):
        raise problem_of(entry, "its summary must be a sentence that ends with a full stop, for `ganzoo list`")
    for variant in ("", *recipe.variants):
        form = {**vars(recipe), **recipe.variants.get(variant, {})}
        data = Choice.parse(form["data"])
        missing = "path" not in data.options and needs_path(registry.get("dataset", data.name))
        asked = {
            "recipe": f"{recipe.name}:{variant}" if variant else recipe.name,
            "data": f"{data.name}:path=." if missing else None,
        }
        require(resolve(registry, asked).make(registry), registry)
    return f"fits, also as {', '.join(recipe.variants)}" if recipe.variants else "fits"


def _check_metric(registry: Registry, entry: Entry) -> str:
    """Measure two small clouds of points whose modes and classes are known. Returns how many numbers came out."""
    metric = registry.make("metric", entry.part.name, entry.part.tiny)
    if metric.asks:
        return "not measured: it asks a trained generator"
    modes = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    spec = Spec("points", (2,), ("left", "right"), encoding={"modes": modes.tolist(), "deviation": 0.1})
    made, real = (_cloud(name, modes, seed) for seed, name in enumerate(("made", "real")))
    try:
        found = metric.measure(Evidence(made, real, spec, distance=identity().distance, perceptual=True))
    except UsageError as refusal:  # it reads sentences, rows of a table or the like
        return f"not measured: of two clouds of points it says: {refusal}"
    for measure in found:
        if not (measure.name and math.isfinite(measure.value)):
            raise problem_of(entry, f"its number '{measure.name}' is {measure.value} of two small clouds of points")
    if not found:
        raise problem_of(entry, "it returned no number")
    return f"{len(found)} number{'s' if len(found) > 1 else ''}"


def _cloud(name: str, modes: torch.Tensor, seed: int) -> Sample:
    sides = torch.arange(256) % len(modes)
    points = modes[sides] + 0.1 * torch.randn(256, 2, generator=torch.Generator().manual_seed(seed))
    classes = torch.nn.functional.one_hot(sides, len(modes)).double() * 0.98 + 0.01
    return Sample(name, points.double().numpy(), points, classes.numpy())


# Playing


def _check_runs(registry: Registry, entry: Entry, opened: dict[str, Collection]) -> str:
    """Play the part in a few runs. Returns how many, in words."""
    if entry.kind == "dataset":
        if needs_path(entry.part):
            return "not opened: it needs a path"
        _check_collection(entry, open_tiny(registry, entry.part, opened))
    played, refusals = 0, list[str]()
    for chosen in itertools.islice(candidates(registry, entry), TRIES):
        try:
            check_run(entry, Trial(registry, chosen, opened))
            played += 1
        except (
            Mismatch,
            SizeError,
            DataError,
        ) as refusal:  # not every size, and not every pair of options, is possible
            refusals.append(str(refusal))
        if played == RUNS:
            break
    if not played:
        raise problem_of(
            entry,
            f"no run with it could be built: {refusals[0] if refusals else 'every data set that fits needs a path'}",
        )
    return f"{played} run{'s' if played > 1 else ''}"


def _check_collection(entry: Entry, collection: Collection) -> None:
    """The opened data are what was promised, and fetching gives what the spec says."""
    spec = collection.spec
    if unpromised := [word for word in spec.offers if word not in entry.part.offers]:
        raise problem_of(entry, f"opened, it offers '{unpromised[0]}', which its `offers` do not promise")
    batch = collection.fetch([0, len(collection) - 1])
    if tuple(batch.sample.shape) != (2, *spec.shape):
        raise problem_of(entry, f"fetch gave samples of shape {list(batch.sample.shape)} instead of {[2, *spec.shape]}")
    if batch.sample.is_floating_point() and not torch.isfinite(batch.sample).all():
        raise problem_of(entry, "its samples are not finite")
    if spec.kind == "image" and not (batch.sample.is_floating_point() and batch.sample.abs().max() <= 1):
        raise problem_of(entry, "its pictures must be floats in [-1, 1]")
    if spec.classes and (
        batch.label is None
        or batch.label.dtype != torch.int64
        or not 0 <= int(batch.label.min()) <= int(batch.label.max()) < len(spec.classes)
    ):
        raise problem_of(
            entry, f"its labels must be whole numbers (int64) from 0 to {len(spec.classes) - 1}, one per sample"
        )
    if not torch.equal(batch.sample, collection.fetch([0, len(collection) - 1]).sample):
        raise problem_of(entry, "fetching the same samples twice gave different ones")


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
