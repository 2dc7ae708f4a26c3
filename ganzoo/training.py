"""From words to a trained run: resolve, check, open, build, and the loop."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import capabilities, checkpoint, processes
from .between import Between, Pace
from .config import Config, resolve, short_hash
from .data import Collection, Stream
from .errors import DataError, RunError, SizeError, UsageError
from .game import PRECISIONS, Game
from .given import Given
from .metrics.evaluate import Asked
from .parts import Parts, Request
from .progress import Progress
from .registry import Registry, installed
from .run import Run

ON_WARNING = ("ignore", "save", "stop")


@dataclass
class Settings:
    """How a run is trained and kept. None of it is part of what the run is.

    log_every, sample_every, save_every: steps; 0 is never, save at the end. keep: how many checkpoints stay (0: all).
    on_warning: what a sign of the run's death leads to: a line alone (ignore), a checkpoint too (save), or the end of
    the run (stop). evaluate_every: steps; 0 is never. measuring: what is evaluated then.
    """

    device: str = "auto"
    workers: int | None = None
    log_every: int = 50
    sample_every: int = 500
    save_every: int = 500
    keep: int = 3
    tensorboard: bool = False
    on_warning: str = "ignore"
    evaluate_every: int = 0
    measuring: Asked = field(default_factory=Asked)
    out: str | Path | None = None
    checkpoint_step: int | None = None

    def __post_init__(self) -> None:
        if self.on_warning not in ON_WARNING:
            raise UsageError(f"--on-warning is one of {', '.join(ON_WARNING)}, got {self.on_warning}")


@dataclass
class Stop:
    """A request to end after the current step."""

    signal: int | None = field(default=None)


@dataclass
class Trained:
    """How a training ended. stopped_by: the signal that asked for it, or None when all steps were made."""

    run: Run
    picture: Path | None
    stopped_by: int | None


def train(
    recipe: str | None = None,
    *,
    arch: str | None = None,
    loss: str | None = None,
    reg: str | Sequence[str] = (),
    no_reg: str | Sequence[str] = (),
    procedure: str | None = None,
    data: Any = None,
    steps: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    init: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    log_every: int = 50,
    sample_every: int = 500,
    save_every: int = 500,
    keep: int = 3,
    tensorboard: bool = False,
    on_warning: str = "ignore",
    evaluate_every: int = 0,
    metric: str | Sequence[str] = (),
    features: str = "identity",
    count: int | None = None,
    out: str | Path | None = None,
    checkpoint: int | None = None,
    quiet: bool = False,
) -> Run:
    """Train, or continue, a run; the same words as `ganzoo train`. Returns the run, ready to `sample`.

    data: a name, a path, an array or tensor, a pair (samples, labels), or a torch Dataset. Raises GanzooError.
    """
    named = isinstance(data, (str, Path))
    given = {
        "recipe": recipe,
        "arch": arch,
        "loss": loss,
        "reg": (reg,) if isinstance(reg, str) else tuple(reg),
        "no_reg": (no_reg,) if isinstance(no_reg, str) else tuple(no_reg),
        "procedure": procedure,
        "data": str(data) if named else None,
        "steps": steps,
        "batch": batch,
        "seed": seed,
        "precision": precision,
        "init": None if init is None else str(init),
    }
    dataset = None if named or data is None else Given(data)
    config = resolve(installed(), given, dataset)
    settings = Settings(
        device,
        workers,
        log_every,
        sample_every,
        save_every,
        keep,
        tensorboard,
        on_warning,
        evaluate_every,
        Asked((metric,) if isinstance(metric, str) else tuple(metric), features=features, count=count),
        out,
        checkpoint,
    )
    trained = execute(config, settings, dataset, Progress(quiet))
    if trained.stopped_by == signal.SIGINT:
        raise KeyboardInterrupt
    return trained.run


def checked(config: Config, registry: Registry, dataset: Any = None) -> Parts:
    """The parts of a run, refused here if they do not fit. Nothing is read and no device is touched."""
    parts = config.make(registry, dataset)
    if config.precision not in PRECISIONS:
        raise UsageError(f"precision is one of {', '.join(PRECISIONS)}, got {config.precision}")
    capabilities.require(parts, registry)
    return parts


def execute(config: Config, settings: Settings, dataset: Any = None, progress: Progress | None = None) -> Trained:
    """Open the data, build the networks, open the run folder, and play."""
    parts = checked(config, installed(), dataset)
    with processes.joined(device_for(settings.device, config.precision)) as where:
        return _execute(config, parts, settings, where, progress or Progress())


def _execute(config: Config, parts: Parts, settings: Settings, where: torch.device, progress: Progress) -> Trained:
    if config.batch % processes.world():
        raise UsageError(
            f"a batch of {config.batch} cannot be shared among {processes.world()} processes; change --batch"
        )
    collection = parts.dataset.open()
    for note in collection.notes:
        progress.say(note)
    capabilities.require(parts, installed(), collection.spec.offers)
    with torch.random.fork_rng(devices=[]):  # a caller's own random numbers stay as they were
        game = build(config, parts, collection, where, settings.workers)
        for note in game.plan.notes:
            progress.say(note)
        folder = Path(settings.out) if settings.out else _default_folder(config, parts, collection)
        run = Run.begin(folder, config, parts, collection)
        seconds = run.restore(game, settings.checkpoint_step)
        if game.step:
            progress.say(f"continuing {run.path} after step {game.step}")
        elif config.init:
            progress.say(initialise(game, config.init))
        try:
            return play(game, run, seconds, Between(game, run, settings, collection, progress))
        except (RuntimeError, EOFError, ConnectionError) as error:
            # torch has no type of error for it; a worker that was writing leaves half a message behind.
            if not isinstance(error, RuntimeError) or "DataLoader worker" in str(error):
                raise DataError(
                    "a process that decodes data was killed, perhaps for want of memory; the same command continues, "
                    "with --workers 0 without such processes"
                ) from error
            raise
        finally:
            if game.stream is not None:
                game.stream.close()


def build(
    config: Config, parts: Parts, collection: Collection, device: torch.device, workers: int | None = None
) -> Game:
    """The game, refused with SizeError if what it generates has not the shape of the data."""
    if workers is None:
        workers = min(4, os.cpu_count() or 1) if collection.decodes else 0
    stream = Stream(
        collection,
        config.seed,
        chunk=config.batch,
        workers=workers,
        device=device,
        rank=processes.rank(),
        world=processes.world(),
    )
    game = Game(
        parts,
        collection.spec,
        stream,
        batch=config.batch,
        seed=config.seed,
        steps=config.steps,
        data_size=len(collection),
        device=device,
        precision=config.precision,
    )
    made = tuple(parts.procedure.sample(game, Request(2, config.seed)).shape)
    if made != (2, *collection.spec.shape):
        name = parts.architecture.name
        raise SizeError(
            f"architecture '{name}' makes samples of shape {made[1:]}, the data have {collection.spec.shape}"
        )
    return game


def play(game: Game, run: Run, seconds: float, between: Between) -> Trained:
    """The loop; it ends after the last step, or after the one in which a signal came or a warning that ends it."""
    steps, progress = game.steps, between.progress
    if game.step >= steps:
        progress.say(f"{run.path} already has {game.step} steps; for more say --steps with a larger number")
        return Trained(run, run.write_samples(game), None)
    pace, ends = Pace(seconds, game.step), False
    progress.start(game.step, steps)
    try:
        with listening() as stop:
            while game.step < steps and not ends:
                game.play(game.step + 1)
                last = processes.any_of(game.step == steps or stop.signal is not None)
                ends = between.after(last, pace) or last
                progress.advance(game.step)
    finally:
        progress.stop()
    if game.step == steps:
        return Trained(run, between.picture, None)
    if stop.signal is None:
        raise RunError(f"stopped by a warning after step {game.step}; saved. The same command goes on from there")
    name = signal.Signals(stop.signal).name
    progress.say(f"stopped by {name} after step {game.step}; saved. The same command goes on from there")
    return Trained(run, between.picture, stop.signal)


def initialise(game: Game, source: str) -> str:
    """Start the networks from those of another run, tensor by tensor where name and shape agree."""
    other = Run.open(source)
    found = checkpoint.load(other.checkpoints)["networks"]
    taken = total = 0
    for name, network in game.networks.all().items():
        own = network.state_dict()
        total += len(own)
        same = {
            key: value for key, value in found.get(name, {}).items() if key in own and own[key].shape == value.shape
        }
        taken += len(same)
        network.load_state_dict({**own, **same})
    if not taken:
        raise RunError(
            f"--init {source}: no tensor of that run has the name and shape of one here; is it the same architecture?"
        )
    game.procedure.start(game)  # averages start from the new weights
    return f"took {taken} of {total} tensors from {source}"


@contextmanager
def listening() -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into a request to stop; a second one acts as it always does."""
    stop = Stop()
    before: dict[int, Any] = {}

    def ask(number: int, _frame: Any) -> None:
        stop.signal = number
        signal.signal(number, before[number])

    for number in map(int, (signal.SIGINT, signal.SIGTERM)):
        try:
            before[number] = signal.signal(number, ask)
        except ValueError:  # not in the main thread: signals belong to somebody else
            break
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def device_for(name: str, precision: str) -> torch.device:
    """The device of this name (auto, cpu, cuda). Raises UsageError if it is not there or has not this precision."""
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UsageError("--device cuda: no CUDA device is visible to torch; use --device cpu")
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device is auto, cpu or cuda, got {name}")
    device = torch.device("cuda" if available and name != "cpu" else "cpu")
    if precision == "fp16" and device.type == "cpu":
        raise UsageError("--precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    return device


def _default_folder(config: Config, parts: Parts, collection: Collection) -> Path:
    identity: Mapping[str, Any] = config.identity(collection.fingerprint(), parts.procedure.tied_to_steps)
    names = "-".join((config.architecture.name, config.loss.name, config.dataset.name))
    return Path("runs") / f"{names}-{short_hash(dict(identity))}"
