"""Runs of tiny parts, played for the checks of testing.py: what training, continuing and sampling rely on."""

from __future__ import annotations

import json
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint
from .capabilities import fitting_groups, require
from .config import Choice, Config, resolve
from .data import Collection
from .errors import DataError, GanzooError, Mismatch, SizeError
from .game import Game, Move
from .options import schema
from .parts import AdversarialLoss, Request, Scores
from .registry import Entry, Registry
from .training import build

RUNS = 3  # how many runs a part is played in


class CheckError(GanzooError):
    """A part does not do what the zoo relies on. The message names the part and the problem."""


def problem_of(entry: Entry, what: str) -> CheckError:
    return CheckError(f"{entry.kind} '{entry.part.name}': {what}")


def candidates(registry: Registry, entry: Entry) -> Iterator[dict[str, Any]]:
    """Runs to play, the likeliest first: of this package's and the zoo's own parts,
    the architecture with what it is at home with."""
    trusted = {
        (other.kind, other.part.name) for other in registry.entries() if other.package in (entry.package, "ganzoo")
    }

    def strange(run: dict[str, Any]) -> tuple[int, bool, bool]:
        architecture = run["architecture"]
        away = run["dataset"].name != architecture.dataset, run["procedure"].name != architecture.procedure
        return sum((kind, part.name) not in trusted for kind, part in run.items()), *away

    runs: dict[tuple[str, ...], dict[str, Any]] = {}
    for groups in fitting_groups(registry, entry):
        likely = {
            kind: [*(part for part in parts if (kind, part.name) in trusted), *parts] for kind, parts in groups.items()
        }
        for turn in range(RUNS):
            run = {kind: parts[turn % len(parts)] for kind, parts in likely.items()}
            runs[tuple(part.name for part in run.values())] = run
    yield from (run for run in sorted(runs.values(), key=strange) if not needs_path(run["dataset"]))


@dataclass
class Trial:
    """A run of tiny parts that is played for a check."""

    registry: Registry
    chosen: dict[str, Any]
    opened: dict[str, Collection]
    config: Config = field(init=False)
    collection: Collection = field(init=False)

    def __post_init__(self) -> None:
        words = {kind: str(Choice(part.name, part.tiny)) for kind, part in self.chosen.items()}
        asked = {
            "arch": words["architecture"],
            "loss": words["loss"],
            "procedure": words["procedure"],
            "data": words["dataset"],
        }
        self.config = resolve(
            self.registry,
            {**asked, "reg": tuple(words[kind] for kind in words if kind == "regularizer"), "steps": 4, "batch": 4},
        )
        parts = self.config.make(self.registry)
        require(parts, self.registry)
        self.collection = open_tiny(self.registry, self.chosen["dataset"], self.opened)
        require(parts, self.registry, self.collection.spec.offers)

    def game(self) -> Game:
        return build(self.config, self.config.make(self.registry), self.collection, torch.device("cpu"), workers=0)

    def __str__(self) -> str:
        return " with ".join(f"{kind} '{part.name}'" for kind, part in self.chosen.items())


def check_run(entry: Entry, trial: Trial) -> None:
    """Two watched steps, samples, and two more steps that come out the same after saving and loading."""

    def problem(what: str) -> CheckError:
        return problem_of(entry, f"{what} (in the run of {trial})")

    try:
        with torch.random.fork_rng(devices=[]), _one_thread():
            game = trial.game()
            before = {name: parameter.clone() for name, parameter in _parameters(game).items()}
            _watch(game, problem)
            game.play(1)
            game.play(2)
            game.look()
            if bad := [name for name, value in game.numbers().items() if not torch.isfinite(torch.tensor(value))]:
                raise problem(f"{bad[0]} is not finite")
            if all(torch.equal(parameter, before[name]) for name, parameter in _parameters(game).items()):
                raise problem("two steps changed no parameter of any network")
            _check_samples(game, problem)
            _check_continues(game, trial.game(), problem)
    except (CheckError, Mismatch, SizeError, DataError):
        raise
    except Exception as error:
        raise problem(told(error)) from error


def _watch(game: Game, problem: Callable[[str], CheckError]) -> None:
    """Make the game's procedure and loss raise when a move changes what is not its player's, or a loss is reduced."""
    moves, loss = game.procedure.moves, game.loss

    def watched_moves(game: Game, step: int) -> Iterator[Move]:
        def now() -> dict[str, Tensor]:
            return {name: parameter.detach().clone() for name, parameter in _parameters(game).items()}

        before = now()  # before the move's terms are computed, which some procedures do first
        for move in moves(game, step):
            yield move
            own = set(map(id, move.player.parameters.values()))
            for name, parameter in _parameters(game).items():
                if id(parameter) not in own and not torch.equal(parameter, before[name]):
                    raise problem(f"the move of player '{move.player.name}' changed {name}, which is not its own")
            before = now()

    def watched_loss(side: str, measure: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def measured(real: Scores | None, fake: Scores) -> Tensor:
            values = measure(real, fake)
            if values.shape != fake.value.shape:
                shapes = f"{list(values.shape)} for scores of shape {list(fake.value.shape)}"
                raise problem(
                    f"the loss '{loss.name}' returned values of shape {shapes} ({side}); "
                    "values are unreduced, leave out mean()"
                )
            return values

        return measured

    vars(game.procedure)["moves"] = watched_moves
    if isinstance(loss, AdversarialLoss):
        vars(loss).update({side: watched_loss(side, getattr(loss, side)) for side in ("discriminator", "generator")})


def _check_samples(game: Game, problem: Callable[[str], CheckError]) -> None:
    """Samples have the data's shape, are a function of the seed, and taking them changes nothing."""
    before = _flat(game.state())
    first, second = (game.procedure.sample(game, Request(3)) for _ in range(2))
    wanted = (3, *game.spec.shape)
    if tuple(first.shape) != wanted:
        raise problem(f"samples have the shape {list(first.shape)} instead of {list(wanted)}")
    if first.is_floating_point() and not torch.isfinite(first).all():
        raise problem("samples are not finite")
    if not torch.equal(first, second):
        raise problem("the same seed gave different samples; draw with game.latent or ganzoo.Draws")
    later = game.procedure.sample(game, Request(2, first=1))
    if not torch.equal(first[1:], later):
        raise problem("sample i depends on which samples were asked for; hand the request on, with its `first`")
    if different := _difference(before, _flat(game.state())):
        raise problem(f"taking samples changed {different}")


def _check_continues(game: Game, other: Game, problem: Callable[[str], CheckError]) -> None:
    """Two more steps come out the same in another game that was loaded from a checkpoint of this one."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder), game.step, game.state(), keep=0)
        other.load(checkpoint.load(Path(folder)))
    if different := _difference(_flat(game.state()), _flat(other.state())):
        raise problem(f"saving and loading changed {different}")
    for step in (3, 4):
        game.play(step)
        other.play(step)
    if different := _difference(_flat(game.state()), _flat(other.state())):
        raise problem(
            f"two steps, saving, loading and two steps are not four steps: {different} differs; "
            "keep it in state() and load()"
        )


# Small things


@contextmanager
def _one_thread() -> Iterator[None]:
    """Tiny networks are quicker on one thread; on a busy machine, many times quicker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def told(error: BaseException) -> str:
    """An error in one line: an expected one as its sentence, any other with the place in the code that raised it."""
    sentence = " ".join(str(error).split())
    if isinstance(error, GanzooError):
        return sentence
    frames = traceback.extract_tb(error.__traceback__)
    place = f", raised at {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {sentence or 'no reason given'}{place}"


def needs_path(dataset: Any) -> bool:
    """Whether a data set is read from files of the user's; one with an embedded set has a tiny `path`, or none."""
    return "path" in schema(dataset) and "path" not in dataset.tiny


def open_tiny(registry: Registry, dataset: Any, opened: dict[str, Collection]) -> Collection:
    if dataset.name not in opened:
        opened[dataset.name] = registry.make("dataset", dataset.name, dataset.tiny).open()
    return opened[dataset.name]


def _parameters(game: Game) -> dict[str, Tensor]:
    """Every parameter of the networks and of the players, by name."""
    found = {
        f"{name}.{key}": value
        for name, network in game.networks.all().items()
        for key, value in network.named_parameters()
    }
    moved = {
        f"{name}: {key}": value for name, player in game.players.items() for key, value in player.parameters.items()
    }
    known = set(map(id, found.values()))
    return {**found, **{name: value for name, value in moved.items() if id(value) not in known}}


def _flat(state: Any, prefix: str = "") -> dict[str, Any]:
    """Nested state as one level; tensors are copied, so that it can be compared later."""
    if isinstance(state, dict):
        return {path: leaf for key, value in state.items() for path, leaf in _flat(value, f"{prefix}{key}/").items()}
    return {prefix.rstrip("/"): state.detach().clone() if isinstance(state, Tensor) else state}


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    """The first path at which two flat states differ."""
    for path in {**one, **other}:
        left, right = one.get(path), other.get(path)
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            same = left.shape == right.shape and bool(torch.equal(left, right))
        else:
            same = type(left) is type(right) and json.dumps(left) == json.dumps(right)
        if not same:
            return path
    return None
