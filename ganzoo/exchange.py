"""`ganzoo import`: a checkpoint of others, or a folder of `ganzoo export`, as a run. Nothing in a file is executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from . import checkpoint, pickles
from .config import Choice, Config, resolve
from .data import Batch, Collection, Spec
from .errors import DataError, GanzooError, RunError, UsageError
from .game import Game
from .given import Given
from .parts import Official, Recovered, Weights
from .registry import Registry, installed
from .run import Run, read_json

# How the networks are called: in NVIDIA's pickles, by others, and in files of parameters with a prefix.
_NAMES = {
    "G": ("G", "g", "generator", "netG"),
    "D": ("D", "d", "discriminator", "netD"),
    "G_ema": ("G_ema", "g_ema", "g_running", "avgG"),
}
# What some keep beside the tensors, such as their command line; it is read into an object of ours, and not used.
_BESIDE = ("argparse.Namespace", "models.utils.config.BaseConfig")
_MODEL = "model.safetensors"  # the sampling generator in an exported folder


class Absent(Collection):
    """The data of a run that came without them."""

    def __init__(self, spec: Spec, size: int = 1):
        self.spec, self.size = spec, size

    def __len__(self) -> int:
        return self.size

    def fetch(self, indices: list[int]) -> Batch:
        raise DataError("this run was imported without its data")

    def fingerprint(self) -> str:
        return f"imported {super().fingerprint()}"


def import_run(path: Path, arch: str | None, out: Path) -> tuple[Run, list[str]]:
    """A run whose networks are those of a checkpoint, and sentences about what the file did not hold.

    path: a .pkl of stylegan2-ada-pytorch or stylegan3, a .pt or .pth, a .safetensors file, or a folder that
    `ganzoo export` wrote. arch: the architecture, found by the names of the parameters unless given. Raises DataError
    where a file is damaged or asks for more than data, UsageError where no architecture knows its form, RunError where
    `out` is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty; name another folder with --out")
    if path.is_dir():
        return _import_folder(path, arch, out)
    weights, registry = read(path), installed()
    choice = None if arch is None else Choice.parse(arch)
    name, recovered = _recovered(weights, registry, choice, path)
    options = {**recovered.options, **(choice.options if choice else {})}
    asked = {"arch": str(Choice(name, options)), "procedure": recovered.procedure, "batch": 16}
    config = resolve(registry, asked, Given(torch.zeros(1)))
    game = _game(config, registry, recovered.spec, 1)
    notes = [*recovered.notes, *_adopt(game, recovered.states, path)]
    return _begin(out, config, game, 1), notes


def _begin(out: Path, config: Config, game: Game, data_size: int) -> Run:
    run = Run.begin(out, config, game.parts, Absent(game.spec, data_size))
    checkpoint.save(run.checkpoints, game.step, {**game.state(), "seconds": 0.0}, keep=0)
    return run


# Files


def read(path: Path) -> Weights:
    """The networks in a file, by their official names."""
    if not path.is_file():
        raise UsageError(f"there is no file or folder {path}")
    if path.suffix == ".pkl":
        found = pickles.read_networks(path)
        return Weights(
            {name: one.state for name, one in found.items()}, {name: one.options for name, one in found.items()}
        )
    held = _tensors(path)
    states = {name: state for name, words in _NAMES.items() for word in words if (state := _under(held, word))}
    return Weights(states or {"G": _flat(held)}, {}, _flat(held) if states else {})


def _tensors(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        with torch.serialization.safe_globals([(_Inert, name) for name in _BESIDE]):
            held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many things for a file that is not one of its own
        asked = re.search(r"GLOBAL ([\w.]+)", str(error))
        told = f"it asks for {asked[1]}, and only tensors are read" if asked else _told(error)
        raise DataError(f"{path} is refused: {told}. Nothing in it was run") from None
    if not isinstance(held, dict):
        raise DataError(f"{path} does not hold parameters by name")
    return held


class _Inert:
    """Takes the place of what a file says about itself."""


def _told(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200].rstrip(".")


def _under(held: dict[str, Any], word: str) -> dict[str, Tensor]:
    """The tensors of one network: in a dictionary of its name, or with its name before theirs."""
    inner = held.get(word)
    if isinstance(inner, dict):
        return _flat(inner)
    return {name.removeprefix(f"{word}."): value for name, value in _flat(held).items() if name.startswith(f"{word}.")}


def _flat(held: dict[str, Any]) -> dict[str, Tensor]:
    held = held["state_dict"] if isinstance(held.get("state_dict"), dict) else held
    return {str(name).removeprefix("module."): value for name, value in held.items() if isinstance(value, Tensor)}


def _recovered(weights: Weights, registry: Registry, choice: Choice | None, path: Path) -> tuple[str, Recovered]:
    """The name of an architecture that recognises the networks, and what it found."""
    names = registry.names("architecture") if choice is None else [choice.name]
    for name, official in _forms(registry, names):
        found = _recover(official, weights, name, path)
        if found is not None:
            return name, found
    able = ", ".join(sorted({name for name, _ in _forms(registry, registry.names("architecture"))}))
    asked = "any architecture" if choice is None else f"architecture '{choice.name}'"
    raise UsageError(
        f"{path} does not hold networks in an official form of {asked}; architectures that take checkpoints: {able}"
    )


def _recover(official: Official, weights: Weights, name: str, path: Path) -> Recovered | None:
    assert official.recover is not None
    try:
        return official.recover(weights)
    # Names of an official form, over tensors that are not: they may fail at anything.
    except (LookupError, ValueError, ArithmeticError, RuntimeError, TypeError) as error:
        raise DataError(f"{path}: its tensors do not make networks of '{name}': {_told(error)}") from None


def _forms(registry: Registry, names: Iterable[str]) -> list[tuple[str, Official]]:
    return [
        (name, official)
        for name in names
        for official in registry.get("architecture", name).official()
        if official.recover is not None
    ]


# Networks


def _game(config: Config, registry: Registry, spec: Spec, data_size: int) -> Game:
    return Game(
        config.make(registry),
        spec,
        None,
        batch=config.batch,
        seed=config.seed,
        steps=config.steps,
        data_size=data_size,
        precision=config.precision,
    )


def _adopt(game: Game, held: Mapping[str, Mapping[str, Tensor]], path: Path) -> list[str]:
    """Put the weights in place. What the file lacks stays as it was made, and is told."""
    networks, notes = game.networks, []
    states = dict(held)
    if "G" not in states and "G_ema" in states:
        states["G"] = states["G_ema"]
        notes.append("the file holds the generator's average only; the generator starts from it")
    for name, network in (("G", networks.generator), ("D", networks.discriminators.get("discriminator"))):
        if name in states and network is not None:
            _load(network, states[name], path)
        elif network is not None:
            notes.append(f"the file holds no {'generator' if name == 'G' else 'discriminator'}; it starts anew")
    game.procedure.start(game)  # averages start from the new weights
    average = game.procedure.sampling_network(game)
    if average is not networks.generator and "G_ema" in states:
        _load(average, states["G_ema"], path)
    return notes


def _load(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    own = network.state_dict()
    absent, strange = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    wrong = [name for name in own if name in state and own[name].shape != state[name].shape]
    if absent or strange or wrong:
        told = [
            f"{len(names)} {what} ({names[0]})"
            for names, what in ((absent, "missing"), (strange, "unknown"), (wrong, "of another shape"))
            if names
        ]
        raise GanzooError(f"{path}: the weights do not fit the rebuilt network: {', '.join(told)}")
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})


# Folders that ganzoo exported


def _import_folder(path: Path, arch: str | None, out: Path) -> tuple[Run, list[str]]:
    """The run at the step at which it was exported, with the data and the players left behind."""
    if arch is not None:
        raise UsageError(f"{path} says itself what it is; leave out --arch")
    if not (path / "config.json").is_file() or not (path / _MODEL).is_file():
        raise UsageError(f"{path} was not written by ganzoo export: it has no config.json and {_MODEL}")
    recorded = read_json(path / "config.json")
    try:
        config, spec = Config.from_json(recorded), Spec.from_json(recorded["spec"])
        step, size, names = (recorded["exported"][key] for key in ("step", "data_size", "names"))
        step, size = int(step), int(size)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}/config.json is not one that ganzoo export wrote: {error}") from None
    registry = installed()
    game = _game(config, registry, spec, size)
    files = {name: path / (_MODEL if name == "generator" else f"{name}.safetensors") for name in game.networks.all()}
    states: Mapping[str, Mapping[str, Tensor]] = {
        name: _tensors(file) for name, file in files.items() if file.is_file()
    }
    states = states if names == "ganzoo" else _translated(registry, config.architecture.name, names, states, path)
    for name, state in states.items():
        _load(game.networks.all()[name], state, files[name])
    game.begin(step)
    game.procedure.start(game)  # averages start from the new weights
    notes = [f"{path} holds no {name}; it starts anew" for name in game.networks.all() if name not in states]
    return _begin(out, config, game, size), notes


def _translated(
    registry: Registry, architecture: str, source: str, states: Mapping[str, Mapping[str, Tensor]], path: Path
) -> dict[str, Mapping[str, Tensor]]:
    """Parameters under official names, under ours."""
    words = {"generator": "G", "discriminator": "D"}
    weights = Weights({words[name]: state for name, state in states.items() if name in words}, {})
    for _, official in _forms(registry, [architecture]):
        if official.source == source and (found := _recover(official, weights, architecture, path)) is not None:
            return {name: found.states[words[name]] for name in states if name in words}
    raise DataError(f"{path}: architecture '{architecture}' does not know its parameters' names ({source})")
