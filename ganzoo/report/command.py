"""The command that repeats a run, from its configuration."""

from __future__ import annotations

import shlex
from typing import Any

from ..config import Choice, Config
from ..errors import GanzooError
from ..given import Given
from ..options import to_json
from ..registry import installed


def repeating(config: Config) -> tuple[str, str]:
    """A command for the shell (or, for data that were handed over in Python, a call), and a sentence about it."""
    try:
        if config.dataset.name == Given.name:
            return _call(config), "The data were handed over in Python: put them in place of data."
        words = [shlex.join(flag) for flag in flags(config)]
        return " \\\n  ".join(["ganzoo train", *words]), "Where the run's folder is, the same command continues it."
    except ValueError as error:
        return "ganzoo train …", f"No command can say this: {error}."


def flags(config: Config) -> list[tuple[str, str]]:
    """The flags of `ganzoo train` that ask for this run. Raises ValueError where no words can."""
    told = [("--arch", written(config.architecture)), ("--loss", written(config.loss))]
    told += [("--reg", written(choice)) for choice in config.regularizers]
    told += [("--no-reg", name) for name in _refused(config)]
    told += [("--procedure", written(config.procedure)), ("--data", written(config.dataset))]
    told += [("--steps", str(config.steps)), ("--batch", str(config.batch)), ("--seed", str(config.seed))]
    told += [("--precision", str(config.precision))]
    return told + ([("--init", str(config.init))] if config.init else [])


def _call(config: Config) -> str:
    chosen = {
        "arch": written(config.architecture),
        "loss": written(config.loss),
        "reg": tuple(map(written, config.regularizers)),
        "no_reg": tuple(_refused(config)),
        "procedure": written(config.procedure),
    }
    rest = {name: getattr(config, name) for name in ("steps", "batch", "seed", "precision", "init")}
    words = [f"{name}={value!r}" for name, value in {**chosen, **rest}.items() if value not in ((), None)]
    return "ganzoo.train(\n    " + ",\n    ".join([*words, "data=data"]) + ",\n)"


def _refused(config: Config) -> list[str]:
    """Regularizers that the loss brings and the run has not."""
    try:
        brought = installed().make("loss", config.loss.name, config.loss.options).brings
    except GanzooError:  # a plugin that is not installed here
        return []
    there = {choice.name for choice in config.regularizers}
    return [name for name in (Choice.parse(text).name for text in brought) if name not in there]


def written(choice: Choice) -> str:
    """`name:key=value,key=value` that reads back as this choice. Raises ValueError if nothing does."""
    text = choice.name
    values = {key: spelled(value) for key, value in choice.options.items()}
    if values:
        text += ":" + ",".join(f"{key}={_quoted(value)}" for key, value in values.items())
    try:
        same = Choice.parse(text) == Choice(choice.name, values)
    except GanzooError:
        same = False
    if not same:
        raise ValueError(f"the options of {choice.name} cannot be written as text")
    return text


def spelled(value: Any) -> str:
    """An option's value as it is typed."""
    value = to_json(value)
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return ",".join(map(spelled, value)) if isinstance(value, (list, tuple)) else str(value)


def _quoted(value: str) -> str:
    if value == value.strip() and not set(value) & set(",:\"'"):
        return value
    return next((f"{mark}{value}{mark}" for mark in "\"'" if mark not in value), value)
