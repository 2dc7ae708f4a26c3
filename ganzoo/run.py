"""A run folder: from it everything can be continued and sampled.

config.json (complete), log.jsonl (one object per logged step), samples/, checkpoints/.
"""

from __future__ import annotations

import json
import math
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import checkpoint, processes, samples
from .config import Config
from .data import Collection, Spec
from .errors import RunError, UsageError
from .game import Game
from .options import close
from .parts import Parts, Request
from .registry import Registry, installed

MOST_CLASSES = 100  # that `all` stands for; more make a sheet that nobody can look at


class Run:
    def __init__(self, path: Path, config: Config, spec: Spec, data_size: int):
        self.path, self.config, self.spec, self.data_size = path, config, spec, data_size
        self._game: Game | None = None
        self._loaded: tuple[int | None, str] = (None, "")

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        return checkpoint.steps(self.checkpoints)

    @classmethod
    def begin(cls, path: Path, config: Config, parts: Parts, collection: Collection) -> Run:
        """The run in this folder: a new one, or the same one to be continued. Raises RunError if it is another's."""
        identity = config.identity(collection.fingerprint(), parts.procedure.tied_to_steps)
        run = cls(path, config, collection.spec, len(collection))
        if processes.rank() == 0:
            run._claim(identity)
        return run

    def _claim(self, identity: dict[str, Any]) -> None:
        """Make the folder this run's, or see that it is."""
        path, config = self.path, self.config
        if (path / "config.json").exists():
            _refuse_another(path, read_json(path / "config.json")["identity"], identity)
        elif path.exists() and any(path.iterdir()):
            raise RunError(f"{path} is not empty and not a run; name another folder with --out")
        recorded = {
            **config.to_json(),
            "spec": self.spec.to_json(),
            "data_size": self.data_size,
            "identity": identity,
            "versions": _versions(),
            "packages": _packages(installed(), config),
        }
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_whole(path / "config.json", json.dumps(recorded, indent=2) + "\n")
        except OSError as error:
            raise RunError(f"cannot write to {path}: {error.strerror or error}") from None

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run, to look at or to sample from. A checkpoint's folder means its run."""
        path = Path(path)
        if not (path / "config.json").exists():
            near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
            raise RunError(f"{path} is not a run{close(path.name, near)}: it has no config.json")
        recorded = read_json(path / "config.json")
        try:
            return cls(path, Config.from_json(recorded), Spec.from_json(recorded["spec"]), recorded["data_size"])
        except (KeyError, TypeError) as error:
            raise RunError(f"{path}/config.json is not a run's configuration: {error}") from None

    # What training calls

    def restore(self, game: Game, step: int | None = None) -> float:
        """Put a game where the run stopped; returns the seconds it had trained. 0 steps and seconds for a new run."""
        first = processes.rank() == 0  # it reads for all: the others may stand on machines that do not see the folder
        state = processes.from_first(checkpoint.load(self.checkpoints, step) if first and self.steps else None)
        if state is None:
            return 0.0
        game.load(state)
        if first:
            checkpoint.set_aside_damaged(self.checkpoints, game.step)
            for name in ("log.jsonl", "warnings.jsonl"):
                self._forget_after(game.step, name)
        return float(state["seconds"])

    def save(self, game: Game, seconds: float, keep: int) -> None:
        if processes.rank() == 0:
            best = self.best()
            spared = set() if best is None else {best["step"]}
            checkpoint.save(self.checkpoints, game.step, {**game.state(), "seconds": seconds}, keep, spared)

    def best(self) -> dict[str, Any] | None:
        """The step, name and value of the best number that was measured while it trained, if one was."""
        path = self.path / "best.json"
        return read_json(path) if path.exists() else None

    def append(self, name: str, records: list[dict[str, Any]]) -> None:
        """Add lines to one of the run's files of JSON lines."""
        if processes.rank() or not records:
            return
        try:
            with (self.path / name).open("a") as file:
                file.write("".join(json.dumps(record) + "\n" for record in records))
        except OSError as error:
            raise RunError(f"cannot write {self.path / name}: {error.strerror or error}") from None

    def log(self, record: dict[str, Any]) -> None:
        self.append("log.jsonl", [record])

    def logged(self) -> list[dict[str, Any]]:
        """Every logged step, oldest first. A line that a crash cut short is left out."""
        return json_lines(self.path / "log.jsonl")

    def write_samples(self, game: Game) -> Path:
        """Samples of fixed latents as a picture, a text or a table (and as sound beside), named by the step."""
        path = self.path / "samples" / f"step-{game.step:08d}{samples.preview(self.spec)}"
        if processes.rank():
            return path
        with processes.alone():
            sets = game.procedure.side_by_side(game, Request(samples.previewed(self.spec), self.config.seed))
        decoded = game.parts.dataset.decode(torch.stack(sets, 1).flatten(0, 1), self.spec)
        columns = None if len(sets) == 1 else len(sets) * math.ceil(math.sqrt(len(sets[0]) / len(sets)))
        for suffix in (path.suffix, *samples.beside(self.spec)):
            samples.write(path.with_suffix(suffix), decoded, self.spec, columns=columns)
        return path

    # What a user calls

    def sample(
        self,
        count: int | None = None,
        seed: int = 0,
        label: int | str | None = None,
        step: int | None = None,
        device: str = "cpu",
        truncation: float = 1.0,
    ) -> Tensor:
        """Samples `[count, *spec.shape]` of the newest checkpoint (or of a step's), 64 unless given: sample i depends
        on seed and i alone. Of several classes (`3,7` or `all`) count of each, 8 unless given, the first's first."""
        return self._made(self.game(step, device), count, seed, self.label_indices(label), truncation)

    def _made(self, game: Game, count: int | None, seed: int, classes: list[int] | None, truncation: float) -> Tensor:
        each: list[int | None] = [None] if classes is None else [*classes]
        count = count or (64 if len(each) == 1 else 8)
        asked = [Request(count, seed, label, truncation=truncation) for label in each]
        return torch.cat([game.procedure.sample(game, request) for request in asked])

    def write(
        self,
        path: str | Path,
        count: int | None = None,
        seed: int = 0,
        label: int | str | None = None,
        step: int | None = None,
        device: str = "auto",
        truncation: float = 1.0,
    ) -> None:
        """Samples as a file; the suffix says in which form (see samples.py). A sheet of several classes has a row for
        each, and in a column the same latent."""
        path, classes = Path(path), self.label_indices(label)
        samples.check_suffix(path, self.spec)
        game = self.game(step, device)
        made = self._made(game, count, seed, classes, truncation)
        each = len(made) // (1 if classes is None else len(classes))
        labels = None if classes is None else [index for index in classes for _ in range(each)]
        columns = each if each < len(made) else None
        samples.write(path, game.parts.dataset.decode(made, self.spec), self.spec, labels, columns)

    def label_indices(self, label: int | str | None) -> list[int] | None:
        """Classes by name or number: one, several such as `3,7,12`, or `all`. Raises UsageError."""
        if label is None:
            return None
        word, known = str(label), self.spec.classes
        if word in known or not known or ("," not in word and word != "all"):
            return [self._label_index(label)]
        if word != "all":
            return [self._label_index(part.strip()) for part in word.split(",")]
        if len(known) > MOST_CLASSES:
            raise UsageError(
                f"all is {len(known)} classes, and {MOST_CLASSES} can be looked at; choose some, such as --label 3,7,12"
            )
        return list(range(len(known)))

    def translate(
        self, pictures: Tensor, backwards: bool = False, step: int | None = None, device: str = "cpu"
    ) -> Tensor:
        """What the run's translator makes of pictures `[N, C, H, W]` of any height and width, of a size with them: of
        sources samples, backwards of samples sources. Raises UsageError and RunError."""
        from .translation import translated

        return translated(self.game(step, device), pictures, backwards)

    def label_index(self, label: int | str | None) -> int | None:
        """A class by its name or number. Raises UsageError naming the classes."""
        return None if label is None else self._label_index(label)

    def _label_index(self, label: int | str) -> int:
        classes = self.spec.classes
        if str(label) in classes:
            return classes.index(str(label))
        if str(label).isdigit() and int(label) < len(classes):
            return int(label)
        known = ", ".join(classes) or "none: the data have no labels"
        raise UsageError(f"there is no class '{label}' in {self.path}; classes: {known}")

    def game(self, step: int | None = None, device: str = "cpu") -> Game:
        """The networks of a checkpoint, without the data. `auto` is a GPU where there is one."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        wanted = (step if step is not None else max(self.steps, default=None), device)
        if self._game is None or self._loaded != wanted:
            self._game, self._loaded = self._load(step, device), wanted
        return self._game

    def _load(self, step: int | None, device: str) -> Game:
        config = self.config
        parts = config.make(installed())
        game = Game(
            parts,
            self.spec,
            None,
            batch=config.batch,
            seed=config.seed,
            steps=config.steps,
            data_size=self.data_size,
            device=device,
            precision=config.precision,
        )
        game.load(checkpoint.load(self.checkpoints, step))
        return game

    def _forget_after(self, step: int, name: str) -> None:
        """Drop what was told after the checkpoint that the run goes on from; it will be told again."""
        kept = [record for record in json_lines(self.path / name) if record["step"] <= step]
        if (self.path / name).exists():
            write_whole(self.path / name, "".join(json.dumps(record) + "\n" for record in kept))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that at any moment the old or the new one is there."""
    aside = path.with_name(f".{path.name}.writing")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def json_lines(path: Path) -> list[Any]:
    """The values of a file with one JSON value a line. A line that a crash cut short is left out."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    try:
        whole: list[Any] = json.loads(f"[{','.join(lines)}]")  # all at once: a third quicker
        if len(whole) == len(lines):
            return whole
    except ValueError:
        pass
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        return values
    except (OSError, ValueError) as error:
        raise RunError(f"cannot read {path}: {error}") from None


def _refuse_another(path: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise RunError naming the first settings in which two runs differ."""
    if there == here:
        return
    flat_there, flat_here = _flat(there), _flat(here)
    differ = [key for key in {**flat_there, **flat_here} if flat_there.get(key) != flat_here.get(key)]
    told = "; ".join(
        f"{key} is {flat_there.get(key, 'absent')} there and {flat_here.get(key, 'absent')} here" for key in differ[:3]
    )
    hint = ". Its schedule is tied to the number of steps" if differ == ["steps"] or "steps" in differ else ""
    raise RunError(f"{path} holds another run: {told}{hint}. Ask for the same run, or name another folder with --out")


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(values, list):
        values = {
            str(value.get("name", index) if isinstance(value, dict) else index): value
            for index, value in enumerate(values)
        }
    if not isinstance(values, dict):
        return {prefix: values}
    return {
        path: leaf
        for key, value in values.items()
        for path, leaf in _flat(value, f"{prefix}.{key}" if prefix else key).items()
    }


def _versions() -> dict[str, str]:
    return {"ganzoo": metadata.version("ganzoo"), "torch": torch.__version__, "python": platform.python_version()}


def _packages(registry: Registry, config: Config) -> dict[str, str]:
    """Which package each part came from, with its version."""
    chosen = [("architecture", config.architecture), ("loss", config.loss), ("procedure", config.procedure)]
    chosen += [("dataset", config.dataset)] if config.dataset.name != "given" else []
    chosen += [("regularizer", choice) for choice in config.regularizers]
    found = {f"{kind} {choice.name}": registry.find(kind, choice.name) for kind, choice in chosen}
    return {name: f"{entry.package} {entry.version}".strip() for name, entry in found.items()}
