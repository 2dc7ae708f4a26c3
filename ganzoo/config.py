"""What the user asked for: recipes, `name:key=value,key=value`, and their way to and from JSON and TOML."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import UsageError
from .given import Given
from .options import bind, schema, to_json
from .parts import Parts, Recipe
from .registry import Registry

_OPTION = re.compile(r"""\s*(\w+)=("[^"]*"|'[^']*'|[^,]*)\s*(?:,|$)""")
_KEYS = ("recipe", "arch", "loss", "reg", "no_reg", "procedure", "data", "steps", "batch", "seed", "precision", "init")


@dataclass(frozen=True)
class Choice:
    """A part's name and its options, as text or in their types."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Choice:
        """Read `name` or `name:key=value,key=value`; values that hold `,` or `:` stand in quotes."""
        name, colon, rest = text.partition(":")
        return cls(name.strip(), _options(text, rest) if colon else {})

    @classmethod
    def parse_path(cls, text: str, registry: Registry) -> Choice:
        """Read `PATH` or `PATH:key=value`: the data set that recognises the path, with `path` among its options."""
        path, colon, rest = text.rpartition(":")
        options = _options(text, rest) if colon and _OPTION.match(rest) else {}
        where = Path(path if options else text).expanduser()
        for name in registry.names("dataset"):
            if registry.get("dataset", name).recognises(where):
                return cls(name, {"path": str(where), **options})
        if not where.exists():
            raise UsageError(
                f"--data {text}: there is no file or folder {where}, and no data set of that name; "
                "see: ganzoo list dataset"
            )
        raise UsageError(f"--data {text}: no installed data set reads {where}; name one: --data NAME:path={where}")

    @classmethod
    def parse_data(cls, text: str, registry: Registry) -> Choice:
        """Read what `--data` takes: a data set's name, else a path; either with options."""
        known = text.partition(":")[0] in registry.names("dataset")
        if not known and (
            text.startswith((".", "/", "~"))
            or "/" in text
            or Path(text.rpartition(":")[0] or text).exists()
            or Path(text).exists()
        ):
            return cls.parse_path(text, registry)
        return cls.parse(text)

    def over(self, other: Choice | None) -> Choice:
        """This choice over a recipe's: of the same part, options that are not given keep the recipe's values."""
        if other is None or other.name != self.name:
            return self
        return Choice(self.name, {**other.options, **self.options})

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "options": {key: to_json(value) for key, value in self.options.items()}}

    def __str__(self) -> str:
        values = {
            key: ",".join(map(str, value)) if type(value) in (tuple, list) else str(value)
            for key, value in self.options.items()
        }
        quoted = {key: f'"{value}"' if set(value) & set(",:") else value for key, value in values.items()}
        return self.name + (":" + ",".join(f"{key}={value}" for key, value in quoted.items()) if quoted else "")


def _options(text: str, rest: str) -> dict[str, str]:
    options, position = {}, 0
    while position < len(rest):
        match = _OPTION.match(rest, position)
        if match is None:
            raise UsageError(f"cannot read '{text}': after the colon write key=value,key=value")
        key, value = match.groups()
        if key in options:
            raise UsageError(f"'{text}' gives the option '{key}' twice")
        options[key] = value[1:-1] if value[:1] in "\"'" and value[:1] else value.strip()
        position = match.end()
    return options


@dataclass
class Config:
    """A complete run: every part with all its options, and the settings that make the run what it is."""

    architecture: Choice
    loss: Choice
    regularizers: tuple[Choice, ...]
    procedure: Choice
    dataset: Choice
    steps: int
    batch: int
    seed: int
    precision: str = "fp32"
    init: str | None = None
    recipe: str | None = None

    def make(self, registry: Registry, dataset: Any = None) -> Parts:
        """The parts. dataset: an opened-in-Python data set that takes the named one's place."""

        def one(kind: str, choice: Choice) -> Any:
            return registry.make(kind, choice.name, choice.options)

        return Parts(
            dataset=dataset or (Given() if self.dataset.name == Given.name else one("dataset", self.dataset)),
            architecture=one("architecture", self.architecture),
            loss=one("loss", self.loss),
            regularizers=tuple(one("regularizer", choice) for choice in self.regularizers),
            procedure=one("procedure", self.procedure),
        )

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in (field.name for field in dataclasses.fields(self))}
        for name in ("architecture", "loss", "procedure", "dataset"):
            values[name] = values[name].to_json()
        values["regularizers"] = [choice.to_json() for choice in self.regularizers]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Config:
        known = {name: values[name] for name in (field.name for field in dataclasses.fields(cls)) if name in values}
        for name in ("architecture", "loss", "procedure", "dataset"):
            known[name] = Choice(**known[name])
        known["regularizers"] = tuple(Choice(**choice) for choice in known["regularizers"])
        return cls(**known)

    def identity(self, fingerprint: str, tied_to_steps: bool) -> dict[str, Any]:
        """What two runs must have in common to be one run. Where the data lie does not matter, what they are does."""
        identity = self.to_json()
        del identity["recipe"]
        if not tied_to_steps:
            del identity["steps"]
        identity["dataset"]["options"].pop("path", None)
        identity["data"] = fingerprint
        return identity


def short_hash(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:8]


def resolve(registry: Registry, given: dict[str, Any], dataset: Any = None) -> Config:
    """What was asked, completed: recipe, then flags over it, then what loss and architecture bring and suggest.

    given: words as on the command line, under the keys recipe, arch, loss, reg, no_reg, procedure, data, steps, batch,
    seed, precision, init; None where nothing was said. dataset: an already made data set (from Python).
    """
    asked = {key: value for key, value in given.items() if value is not None and value != ()}
    if unknown := set(asked) - set(_KEYS):
        raise UsageError(f"unknown setting {', '.join(sorted(unknown))}; known: {', '.join(_KEYS)}")
    base = _base(registry, asked.pop("recipe", None))
    if isinstance(base, Config):
        base = _as_given(base)
    given_over = {key: asked.get(key, base.get(key)) for key in _KEYS}

    architecture = _pick(asked.get("arch"), base.get("arch"))
    if architecture is None:
        raise UsageError("say what to train: ganzoo train RECIPE or ganzoo train --arch NAME; see: ganzoo list")
    architecture_part = registry.get("architecture", architecture.name)
    data = (
        Choice(Given.name)
        if dataset is not None
        else _pick_data(registry, asked.get("data"), base.get("data"), architecture_part)
    )
    # A recipe's procedure belongs to its architecture: another architecture brings its own.
    same = base.get("arch") is None or Choice.parse(str(base["arch"])).name == architecture.name
    procedure = _pick(asked.get("procedure"), base.get("procedure") if same else None) or Choice(
        architecture_part.procedure
    )
    loss = _pick(asked.get("loss"), base.get("loss")) or Choice(_default_loss(registry, procedure.name))
    loss_part = registry.make("loss", loss.name, loss.options)
    config = Config(
        architecture=architecture,
        loss=loss,
        regularizers=_regularizers(asked, base, loss_part.brings),
        procedure=_suggested(registry, procedure, architecture_part.suggests, loss_part.suggests),
        dataset=data,
        steps=_positive("steps", given_over["steps"] or 10_000),
        batch=_positive("batch", given_over["batch"] or 64),
        seed=int(given_over["seed"] or 0),
        precision=given_over["precision"] or "fp32",
        init=given_over["init"],
        recipe=base.get("name"),
    )
    return _completed(config, registry, dataset)


def _base(registry: Registry, recipe: str | None) -> Any:
    """What a recipe, a TOML file or a run's config.json says, as words."""
    if recipe is None:
        return {}
    path = Path(recipe)
    if path.suffix == ".json":
        return Config.from_json(_read(path, json.loads))
    if path.suffix == ".toml":
        values = _read(path, tomllib.loads)
        if unknown := set(values) - set(_KEYS):
            raise UsageError(f"{path}: unknown setting {', '.join(sorted(unknown))}; known: {', '.join(_KEYS)}")
        return {**_base(registry, values.pop("recipe", None)), **values}
    name, _, variant = recipe.partition(":")
    found: Recipe = registry.get("recipe", name)
    if variant and variant not in found.variants:
        raise UsageError(f"recipe '{name}' has no variant '{variant}'; it has: {', '.join(found.variants) or 'none'}")
    found = dataclasses.replace(found, **found.variants.get(variant, {}))
    words = {key: getattr(found, key) for key in ("arch", "loss", "data", "procedure", "steps", "batch", "seed")}
    return {**words, "reg": found.regularizers, "name": recipe}


def _as_given(config: Config) -> dict[str, Any]:
    """A complete config as if it had been typed."""
    words = {"arch": config.architecture, "loss": config.loss, "data": config.dataset, "procedure": config.procedure}
    rest = {key: getattr(config, key) for key in ("steps", "batch", "seed", "precision", "init")}
    return {
        **{key: str(choice) for key, choice in words.items()},
        **rest,
        "reg": tuple(map(str, config.regularizers)),
        "name": config.recipe,
    }


def _read(path: Path, parse: Any) -> Any:
    try:
        return parse(path.read_text())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is not a configuration: {error}") from None


def _pick(flag: str | None, recipe: str | None) -> Choice | None:
    base = None if recipe is None else Choice.parse(recipe)
    return base if flag is None else Choice.parse(flag).over(base)


def _pick_data(registry: Registry, flag: str | None, recipe: str | None, architecture: Any) -> Choice:
    base = Choice.parse(recipe) if recipe else None
    chosen = Choice.parse_data(flag or recipe or architecture.dataset, registry)
    return chosen.over(base) if flag else chosen


def _default_loss(registry: Registry, procedure: str) -> str:
    """The procedure's own where it can use it, else the first loss that it can."""
    part = registry.get("procedure", procedure)
    needs = set(part.needs)
    fitting = [name for name in registry.names("loss") if needs.intersection(registry.get("loss", name).offers)]
    return part.loss if part.loss in fitting or not fitting else fitting[0]


def _regularizers(asked: dict[str, Any], base: dict[str, Any], brought: Sequence[str]) -> tuple[Choice, ...]:
    """What the loss brings, then the recipe's, then --reg; the same name replaces, --no-reg removes."""
    chosen: dict[str, Choice] = {}
    for text in (*brought, *base.get("reg", ()), *asked.get("reg", ())):
        choice = Choice.parse(text)
        chosen[choice.name] = choice.over(chosen.get(choice.name))
    for name in (*base.get("no_reg", ()), *asked.get("no_reg", ())):
        if name not in chosen:
            raise UsageError(
                f"--no-reg {name}: the run has no regularizer '{name}'; it has: {', '.join(chosen) or 'none'}"
            )
        del chosen[name]
    return tuple(chosen.values())


def _suggested(registry: Registry, procedure: Choice, *suggestions: Any) -> Choice:
    """What the loss suggests over what the architecture suggests, both under what was asked for."""
    known = schema(registry.get("procedure", procedure.name))
    merged = {key: value for suggestion in suggestions for key, value in suggestion.items() if key in known}
    return Choice(procedure.name, {**merged, **procedure.options})


def _completed(config: Config, registry: Registry, dataset: Any) -> Config:
    """Every option spelled out and in its type."""

    def one(kind: str, choice: Choice) -> Choice:
        return Choice(choice.name, bind(kind, registry.get(kind, choice.name), choice.options))

    return dataclasses.replace(
        config,
        architecture=one("architecture", config.architecture),
        loss=one("loss", config.loss),
        regularizers=tuple(one("regularizer", choice) for choice in config.regularizers),
        procedure=one("procedure", config.procedure),
        dataset=config.dataset if dataset is not None else one("dataset", config.dataset),
    )


def _positive(name: str, value: Any) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError):
        number = 0
    if number < 1:
        raise UsageError(f"{name} must be a whole number of at least 1, got {value}")
    return number
