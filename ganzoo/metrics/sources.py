"""Where the samples that are measured come from: a trained run, a data set, a folder of pictures, an array file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ..config import Choice
from ..data import Collection, Spec
from ..errors import DataError, UsageError
from ..game import Game
from ..parts import Request
from ..registry import Registry
from ..run import Run

CHUNK = 256  # samples that are held before their features are taken


@dataclass
class Source:
    """Samples of one kind, read chunk by chunk. game: of a trained run. content: changes when the samples do."""

    name: str
    spec: Spec
    count: int
    read: Callable[[int, int], Tensor]  # (start, stop) -> [stop - start, ...] in the data's units
    content: str = ""
    game: Any = None

    def first(self, count: int | None) -> int:
        """How many there are of the first `count`; None asks for all."""
        return self.count if count is None else min(count, self.count)

    def chunks(self, count: int | None = None, rank: int = 0, world: int = 1) -> Iterator[tuple[int, Tensor]]:
        """Numbered chunks; of several processes each has every so manyth."""
        stop = self.first(count)
        for number in range(rank, -(-stop // CHUNK), world):
            yield number, self.read(number * CHUNK, min((number + 1) * CHUNK, stop))


def of_run(run: Run, count: int, seed: int, step: int | None, device: str) -> Source:
    """`count` samples of a run's generator. They are those that `ganzoo sample` would make."""
    return of_game(run.path.name, run.game(step, device), count, seed)


def of_game(name: str, game: Game, count: int, seed: int) -> Source:
    """`count` samples of a game as it stands, made chunk by chunk."""

    def read(start: int, stop: int) -> Tensor:
        return game.procedure.sample(game, Request(stop - start, seed, first=start))

    return Source(name, game.spec, count, read, game=game)


def of_collection(name: str, collection: Collection) -> Source:
    """A data set, in its own order."""

    def read(start: int, stop: int) -> Tensor:
        return collection.fetch(list(range(start, stop))).sample

    return Source(name, collection.spec, len(collection), read, collection.fingerprint())


def of_features(path: Path) -> Source:
    """An array file's numbers as they are: [N, d]."""
    array = _numbers(path)
    spec = Spec("points", tuple(array.shape[1:]))
    return Source(path.name, spec, len(array), lambda start, stop: torch.from_numpy(array[start:stop]))


def _numbers(path: Path) -> numpy.ndarray[Any, Any]:
    try:
        found = numpy.load(path, allow_pickle=False)
        if not isinstance(found, numpy.ndarray):
            found = found["samples" if "samples" in found else found.files[0]]
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"cannot read {path}: {error}; write it with numpy.save, without Python objects") from None
    if found.ndim < 2 or len(found) == 0:
        raise DataError(f"{path} holds an array of shape {found.shape}; features are [N, d]")
    return found.reshape(len(found), -1).astype(numpy.float64)


def opened(choice: Choice, registry: Registry) -> Collection:
    collection: Collection = registry.make("dataset", choice.name, choice.options).open()
    return collection


def held_out(choice: Choice, registry: Registry) -> Collection | None:
    """The part of the data that nobody trains on, where the data set has one besides the part that was named."""
    part = registry.make("dataset", choice.name, choice.options)
    if getattr(part, "split", None) != "train":
        return None
    return opened(Choice(choice.name, {**choice.options, "split": "test"}), registry)


def is_run(path: Path) -> bool:
    return (path / "config.json").is_file()


def checkpoint_step(path: Path) -> tuple[Path, int] | None:
    """The run and the step of a checkpoint's folder, `RUN/checkpoints/step-00001000`."""
    if path.parent.name != "checkpoints" or not path.name.startswith("step-"):
        return None
    number = path.name.removeprefix("step-")
    if not number.isdigit():
        raise UsageError(f"{path} is not a checkpoint; they are called step- and the number of the step")
    return path.parent.parent, int(number)
