"""What happens between the steps of a training: log, look for signs of death, measure, sample, save."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import processes
from .data import Collection
from .detectors import Watch
from .errors import NonFiniteError, UsageError
from .game import Game
from .metrics.during import During
from .progress import Progress
from .run import Run

if TYPE_CHECKING:
    from .training import Settings


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


class Between:
    """All of it, for one run."""

    def __init__(self, game: Game, run: Run, settings: Settings, collection: Collection, progress: Progress):
        self.game, self.run, self.settings, self.progress = game, run, settings, progress
        self.picture: Path | None = None
        self.writer = _tensorboard(run.path) if settings.tensorboard else None
        self.during = During(run, collection, settings.measuring) if settings.evaluate_every else None
        self.watch = Watch(game, collection, settings.log_every) if processes.rank() == 0 else None
        if self.watch is not None:
            self.watch.remember(run.logged())

    def after(self, last: bool, pace: Pace) -> bool:
        """Do what is due after a step; whether a warning is to end the run."""
        log, sample, save, measure = (last or self._due(what) for what in ("log", "sample", "save", "evaluate"))
        if log or sample or save:
            self._look()
        warned = log and self._log(pace)
        ends = warned and self.settings.on_warning == "stop"
        best = measure and self._measure()
        if sample or ends:
            self.picture = self.run.write_samples(self.game)
        if save or ends or best or (warned and self.settings.on_warning == "save"):
            self.run.save(self.game, pace.seconds, self.settings.keep)
        return ends

    def _due(self, what: str) -> bool:
        every: int = getattr(self.settings, f"{what}_every")
        return every > 0 and self.game.step % every == 0

    def _look(self) -> None:
        """Raise NonFiniteError if a move was refused, and leave a warning in the run."""
        try:
            self.game.look()
        except NonFiniteError as error:
            self._warn([str(error)])
            raise

    def _log(self, pace: Pace) -> bool:
        """Log a step; whether there are signs of death in it, in all processes."""
        record, found = pace.record(self.game), []
        if self.watch is not None:
            record |= self.watch.numbers(self.game)
            found = self.watch.look(record)
        self.run.log(record)
        _write_scalars(self.writer, record)
        self.progress.show(record, self.game.steps, self.game.batch)
        self._warn(found)
        return processes.any_of(bool(found))

    def _warn(self, sentences: list[str]) -> None:
        self.run.append("warnings.jsonl", [{"step": self.game.step, "warning": told} for told in sentences])
        for told in sentences:
            self.progress.say(f"warning at step {self.game.step}: {told}")

    def _measure(self) -> bool:
        """Whether this is the best step so far."""
        if self.during is None:
            return False
        told, best = self.during.measure(self.game)
        self.progress.say(told)
        return best


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
