"""`ganzoo export`: a trained generator as a folder ready for a model hub. `ganzoo import` reads it back."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor

from . import samples
from .card import card
from .config import Choice, Config
from .errors import RunError, UsageError
from .game import Game
from .parts import Official
from .run import Run, read_json

Names = Literal["ganzoo", "official"]


def export(run: Run, out: Path, names: Names = "ganzoo", step: int | None = None) -> Path:
    """Write `model.safetensors` (the generator that samples come from), every other network as NAME.safetensors,
    `config.json`, a card `README.md` and samples into a new folder.

    names: of the parameters; `official` where the architecture knows them. Raises UsageError and RunError.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty; name another folder with --out")
    game = run.game(step)
    states, source = _states(run, game), "ganzoo"
    if names == "official":
        official = _official(game)
        states, source = _renamed(official, states), official.source
    aside = out.with_name(f".{out.name}.writing")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _write(aside, run, game, states, source)
        aside.rename(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return out


def _write(folder: Path, run: Run, game: Game, states: Mapping[str, Mapping[str, Tensor]], source: str) -> None:
    for name, state in states.items():
        # A copy of each: parameters may share their memory, which the format does not know.
        own = {key: value.to("cpu", copy=True, memory_format=torch.contiguous_format) for key, value in state.items()}
        (folder / f"{name}.safetensors").write_bytes(safetensors.torch.save(own, {"format": "pt"}))
    written = json.dumps(_configuration(run, game.step, source), indent=2)
    (folder / "config.json").write_text(written + "\n", encoding="utf-8")
    picture = folder / f"samples{samples.preview(run.spec)}"
    run.write(picture, count=16, step=game.step, device="cpu")
    told = card(run, without_places(run.config), game, list(states), picture.name, source)
    (folder / "README.md").write_text(told, encoding="utf-8")


def chosen_step(run: Run, asked: str | None) -> int | None:
    """The step that `--checkpoint` names: a number, or `best`. Raises UsageError."""
    if asked is None or asked.isdigit():
        return None if asked is None else int(asked)
    best = run.best() if asked == "best" else None
    if best is None:
        why = f"nothing was measured while {run.path} trained" if asked == "best" else "write a step's number, or best"
        raise UsageError(f"--checkpoint {asked}: {why}")
    return int(best["step"])


# Networks


def _states(run: Run, game: Game) -> dict[str, Mapping[str, Tensor]]:
    """Parameters by the names of their files."""
    networks = game.networks.all()
    if "generator" not in networks or run.spec.source is not None:
        raise RunError(f"{run.path} has no generator that makes samples by itself; such runs are exported only")
    chosen = game.procedure.sampling_network(game)
    found = {"model": chosen, **{name: network for name, network in networks.items() if name != "generator"}}
    return {name: network.state_dict() for name, network in found.items()}


def _official(game: Game) -> Official:
    architecture = game.parts.architecture
    for official in architecture.official():
        if official.export is not None:
            return official
    raise UsageError(f"architecture '{architecture.name}' knows no official names to export under; leave out --names")


def _renamed(official: Official, states: dict[str, Mapping[str, Tensor]]) -> dict[str, Mapping[str, Tensor]]:
    assert official.export is not None
    words = {"model": "G", "discriminator": "D"}
    return {name: official.export(words[name], state) for name, state in states.items() if name in words}


# What is told


def _configuration(run: Run, step: int, names: str) -> dict[str, Any]:
    """The run's configuration without the places of its files, and what was exported."""
    recorded = read_json(run.path / "config.json")
    kept: dict[str, Any] = {key: recorded[key] for key in ("versions", "packages") if key in recorded}
    exported = {"step": step, "data_size": run.data_size, "names": names}
    return {**without_places(run.config).to_json(), "spec": run.spec.to_json(), "exported": exported, **kept}


def without_places(config: Config) -> Config:
    """The configuration with the last names of paths only: where files lay is nobody else's concern."""
    places = {
        key: Path(value).name if isinstance(value, str) and "/" in value else value
        for key, value in config.dataset.options.items()
    }
    init = None if config.init is None else Path(config.init).name
    return dataclasses.replace(config, dataset=Choice(config.dataset.name, places), init=init)
