"""From words to a trained run: resolve, check, open, build, and the loop."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from . import capabilities, checkpoint, processes
from .config import Config, resolve, short_hash
from .data import Collection, Stream
from .errors import DataError, RunError, SizeError, UsageError
from .game import PRECISIONS, Game
from .given import Given
from .parts import Parts
from .progress import Progress
from .registry import Registry, installed
from .run import Run


@dataclass
class Intervals:
    """What happens every how many steps; 0 is never, save at the end. keep: how many checkpoints stay (0: all)."""

    log: int = 50
    sample: int = 500
    save: int = 500
    keep: int = 3


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
    every = Intervals(log_every, sample_every, save_every, keep)
    progress = Progress(quiet)
    trained = execute(config, every, dataset, device, workers, tensorboard, out, checkpoint, progress)
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


def execute(
    config: Config,
    every: Intervals,
    dataset: Any = None,
    device: str = "auto",
    workers: int | None = None,
    tensorboard: bool = False,
    out: str | Path | None = None,
    checkpoint_step: int | None = None,
    progress: Progress | None = None,
) -> Trained:
    """Open the data, build the networks, open the run folder, and play."""
    progress = progress or Progress()
    registry = installed()
    parts = checked(config, registry, dataset)
    with processes.joined(_device(device, config.precision)) as where:
        return _execute(config, parts, every, where, workers, tensorboard, out, checkpoint_step, progress)


def _execute(
    config: Config,
    parts: Parts,
    every: Intervals,
    where: torch.device,
    workers: int | None,
    tensorboard: bool,
    out: str | Path | None,
    checkpoint_step: int | None,
    progress: Progress,
) -> Trained:
    if config.batch % processes.world():
        raise UsageError(
            f"a batch of {config.batch} cannot be shared among {processes.world()} processes; change --batch"
        )
    collection = parts.dataset.open()
    for note in collection.notes:
        progress.say(note)
    capabilities.require(parts, installed(), collection.spec.offers)
    with torch.random.fork_rng(devices=[]):  # a caller's own random numbers stay as they were
        game = build(config, parts, collection, where, workers)
        for note in game.plan.notes:
            progress.say(note)
        run = Run.begin(Path(out) if out else _default_folder(config, parts, collection), config, parts, collection)
        seconds = run.restore(game, checkpoint_step)
        if game.step:
            progress.say(f"continuing {run.path} after step {game.step}")
        elif config.init:
            progress.say(initialise(game, config.init))
        try:
            return play(game, run, config.steps, every, seconds, progress, tensorboard)
        except RuntimeError as error:
            if "DataLoader worker" in str(error):  # torch has no type of error for it
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
    made = tuple(parts.procedure.sample(game, 2, config.seed).shape)
    if made != (2, *collection.spec.shape):
        name = parts.architecture.name
        raise SizeError(
            f"architecture '{name}' makes samples of shape {made[1:]}, the data have {collection.spec.shape}"
        )
    return game


class Pace:
    """How long a run has trained in all, and how fast it is now."""

    def __init__(self, seconds: float, step: int):
        self.began = time.perf_counter() - seconds
        self.marked, self.step = time.perf_counter(), step

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    def record(self, game: Game) -> dict[str, Any]:
        """What is logged of a step: its numbers, and the rate since the step that was logged before."""
        now = time.perf_counter()
        took = max(now - self.marked, 1e-9) / (game.step - self.step)
        self.marked, self.step = now, game.step
        rate = {"seconds": round(self.seconds, 3), "samples_per_second": round(game.batch / took, 2)}
        return {"step": game.step, **rate, **game.numbers()}


def play(
    game: Game, run: Run, steps: int, every: Intervals, seconds: float, progress: Progress, tensorboard: bool = False
) -> Trained:
    """The loop: moves, log, sample, save; ends after the last step, or after the one in which a signal came."""
    if game.step >= steps:
        progress.say(f"{run.path} already has {game.step} steps; for more say --steps with a larger number")
        return Trained(run, run.write_samples(game), None)
    writer = _tensorboard(run.path) if tensorboard else None
    picture, pace = None, Pace(seconds, game.step)
    progress.start(game.step, steps)
    try:
        with listening() as stop:
            for step in range(game.step + 1, steps + 1):
                game.play(step)
                last = processes.any_of(step == steps or stop.signal is not None)
                log, sample, save = (last or _due(step, interval) for interval in (every.log, every.sample, every.save))
                if log or sample or save:
                    game.look()
                if log:
                    record = pace.record(game)
                    run.log(record)
                    progress.show(record, steps, game.batch)
                    _write_scalars(writer, record)
                if sample:
                    picture = run.write_samples(game)
                if save:
                    run.save(game, pace.seconds, every.keep)
                progress.advance(step)
                if last:
                    break
    finally:
        progress.stop()
    if game.step == steps:
        return Trained(run, picture, None)
    assert stop.signal is not None
    name = signal.Signals(stop.signal).name
    progress.say(f"stopped by {name} after step {game.step}; saved. The same command goes on from there")
    return Trained(run, picture, stop.signal)


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


def _due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


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


def _device(name: str, precision: str) -> torch.device:
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


def _tensorboard(path: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs the tensorboard package; install it with: pip install 'ganzoo[tensorboard]'"
        ) from None
    return SummaryWriter(path / "tensorboard")


def _write_scalars(writer: Any, record: dict[str, Any]) -> None:
    if writer is not None:
        for name, value in record.items():
            writer.add_scalar(name, value, record["step"])
        writer.flush()
