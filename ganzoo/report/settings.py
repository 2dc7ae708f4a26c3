"""What several configurations have in common, and in what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..config import Choice, Config
from .command import spelled

PARTS = ("data", "architecture", "loss", "regularizers", "procedure")
ROLES = (*PARTS, "batch", "precision", "init")


@dataclass
class Settings:
    """same: role -> what all have, told in full. varied: the roles in which they differ. each: for every configuration,
    role -> names, with the options in which parts of one name differ. parts: every part, with the options that it has
    wherever it stands."""

    same: dict[str, str]
    varied: list[str]
    each: list[dict[str, str]]
    parts: list[dict[str, Any]]


def compare_settings(configs: Sequence[Config]) -> Settings:
    """What differs between configurations; seeds, steps and recipes are not looked at."""
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for config in configs:
        for role, choices in _choices(config).items():
            for choice in choices:
                found.setdefault((role, choice.name), []).append(_options(choice))
    differing = {part: _differing(options) for part, options in found.items()}
    each = [_told(config, differing) for config in configs]
    whole = _told(configs[0], {part: list(options[0]) for part, options in found.items()})
    varied = [role for role in ROLES if len({told[role] for told in each}) > 1]
    return Settings(
        same={role: whole[role] for role in ROLES if role not in varied and whole[role] != "none"},
        varied=varied,
        each=each,
        parts=[
            {"role": role, "name": name, "options": {key: options[0][key] for key in _shared(options)}}
            for (role, name), options in found.items()
        ],
    )


def _choices(config: Config) -> dict[str, tuple[Choice, ...]]:
    return {
        "data": (config.dataset,),
        "architecture": (config.architecture,),
        "loss": (config.loss,),
        "regularizers": tuple(config.regularizers),
        "procedure": (config.procedure,),
    }


def _options(choice: Choice) -> dict[str, str]:
    return {key: spelled(value) for key, value in choice.options.items()}


def _differing(options: list[dict[str, str]]) -> list[str]:
    """The keys that have not one value in all; an option that is not there is a value too."""
    keys = dict.fromkeys(key for one in options for key in one)
    return [key for key in keys if len({one.get(key) for one in options}) > 1]


def _shared(options: list[dict[str, str]]) -> list[str]:
    return [key for key in options[0] if key not in _differing(options)]


def _told(config: Config, keys: dict[tuple[str, str], list[str]]) -> dict[str, str]:
    """Role -> the names of its parts with the options of these keys."""

    def one(role: str, choice: Choice) -> str:
        options = _options(choice)
        told = ",".join(f"{key}={options[key]}" for key in keys.get((role, choice.name), ()) if key in options)
        return f"{choice.name}:{told}" if told else choice.name

    parts = {
        role: " + ".join(one(role, choice) for choice in choices) or "none"
        for role, choices in _choices(config).items()
    }
    return {
        **parts,
        "batch": str(config.batch),
        "precision": str(config.precision),
        "init": "none" if config.init is None else str(config.init),
    }
