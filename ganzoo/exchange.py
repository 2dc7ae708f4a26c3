"""`ganzoo import`: an official checkpoint as a run. Nothing in its file is executed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint, pickles
from .config import Choice, Config, resolve
from .data import Arrays, Spec
from .errors import DataError, GanzooError, UsageError
from .game import Game
from .given import Given
from .parts import Official, Weights
from .registry import Registry, installed
from .run import Run

# How the networks are called: in NVIDIA's pickles, by others, and in files of parameters with a prefix.
_NAMES = {"G": ("G", "g", "generator", "netG"), "D": ("D", "d", "discriminator", "netD"), "G_ema": ("G_ema", "g_ema")}


def import_run(path: Path, arch: str, out: Path) -> tuple[Run, list[str]]:
    """A run at step 0 whose networks are those of a checkpoint, and sentences about what the file did not hold.

    path: a .pkl of stylegan2-ada-pytorch or stylegan3, a .pt or .pth, or a .safetensors file. Raises DataError where
    the file is damaged or asks for more than data, UsageError where the architecture does not know its form.
    """
    weights, registry = read(path), installed()
    choice = Choice.parse(arch)
    official, options, spec = _recovered(weights, registry, choice, path)
    words = {"arch": str(Choice(choice.name, {**options, **choice.options})), "batch": 16}
    config = resolve(registry, words, Given(torch.zeros(1)))
    game = _game(config, registry, spec)
    notes = _adopt(game, weights, official, path)
    collection = Arrays(spec, torch.zeros(1, *spec.shape), torch.zeros(1).long() if spec.classes else None)
    run = Run.begin(out, config, game.parts, collection)
    checkpoint.save(run.checkpoints, 0, {**game.state(), "seconds": 0.0}, keep=0)
    return run, notes


def read(path: Path) -> Weights:
    """The networks in a file, by their official names."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    if path.suffix == ".pkl":
        found = pickles.read_networks(path)
        return Weights(
            {name: one.state for name, one in found.items()}, {name: one.options for name, one in found.items()}
        )
    held = _tensors(path)
    states = {name: state for name, words in _NAMES.items() for word in words if (state := _under(held, word))}
    return Weights(states or {"G": _flat(held)}, {})


def _tensors(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            return dict(safetensors.torch.load_file(path))
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many things for a file that is not one of its own
        raise DataError(f"{path} is refused: {str(error).splitlines()[0][:200]}. Nothing in it was run") from None
    if not isinstance(held, dict):
        raise DataError(f"{path} does not hold parameters by name")
    return held


def _under(held: dict[str, Any], word: str) -> dict[str, Tensor]:
    """The tensors of one network: in a dictionary of its name, or with its name before theirs."""
    inner = held.get(word)
    if isinstance(inner, dict):
        return _flat(inner)
    return {name.removeprefix(f"{word}."): value for name, value in _flat(held).items() if name.startswith(f"{word}.")}


def _flat(held: dict[str, Any]) -> dict[str, Tensor]:
    held = held["state_dict"] if isinstance(held.get("state_dict"), dict) else held
    return {str(name).removeprefix("module."): value for name, value in held.items() if isinstance(value, Tensor)}


def _recovered(
    weights: Weights, registry: Registry, choice: Choice, path: Path
) -> tuple[Official, dict[str, Any], Spec]:
    architecture = registry.get("architecture", choice.name)
    for official in architecture.official():
        if official.recover is not None and (found := official.recover(weights)) is not None:
            return official, *found
    able = sorted({name for name in registry.names("architecture") if any(_takers(registry, name))})
    raise UsageError(
        f"{path} does not hold networks in an official form of architecture '{choice.name}'; "
        f"architectures that take checkpoints: {', '.join(able)}"
    )


def _takers(registry: Registry, name: str) -> Iterator[bool]:
    return (official.recover is not None for official in registry.get("architecture", name).official())


def _game(config: Config, registry: Registry, spec: Spec) -> Game:
    parts = config.make(registry)
    return Game(parts, spec, None, batch=config.batch, seed=config.seed, steps=config.steps, data_size=1)


def _adopt(game: Game, weights: Weights, official: Official, path: Path) -> list[str]:
    """Put the weights in place. What the file lacks stays as it was made, and is told."""
    networks, notes = game.networks, []
    states = dict(weights.states)
    if "G" not in states and "G_ema" in states:
        states["G"] = states["G_ema"]
        notes.append("the file holds the generator's average only; the generator starts from it")
    for name, network in (("G", networks.generator), ("D", networks.discriminators.get("discriminator"))):
        if name in states and network is not None:
            _load(network, states[name], official, path)
        elif network is not None:
            notes.append(f"the file holds no {'generator' if name == 'G' else 'discriminator'}; it starts anew")
    game.procedure.start(game)  # averages start from the new weights
    average = game.procedure.sampling_network(game)
    if average is not networks.generator and "G_ema" in states:
        _load(average, states["G_ema"], official, path)
    return notes


def _load(network: Any, state: Any, official: Official, path: Path) -> None:
    renamed = {ours: value for name, value in state.items() if (ours := official.rename(name)) is not None}
    own = network.state_dict()
    absent, strange = sorted(set(own) - set(renamed)), sorted(set(renamed) - set(own))
    wrong = [name for name in own if name in renamed and own[name].shape != renamed[name].shape]
    if absent or strange or wrong:
        told = [
            f"{len(names)} {what} ({names[0]})"
            for names, what in ((absent, "missing"), (strange, "unknown"), (wrong, "of another shape"))
            if names
        ]
        raise GanzooError(f"{path}: the weights do not fit the rebuilt network: {', '.join(told)}")
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in renamed.items()})
