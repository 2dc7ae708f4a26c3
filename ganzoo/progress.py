"""What a person sees while a run trains: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

Thing = TypeVar("Thing")


def speaks() -> bool:
    """Whether this process is the one of several that talks to the user."""
    return os.environ.get("RANK", "0") == "0"


def tracked(things: Sequence[Thing], what: str) -> Iterable[Thing]:
    """The things one by one, with a bar on standard error, so that standard output holds what was made only."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    return track(things, description=what, transient=True, disable=not speaks(), console=console)


class Progress:
    """Tells notes, and for logged steps the numbers with rate and time left."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet or not speaks()
        self._bar: Any = None
        self._task: Any = None

    def start(self, step: int, steps: int) -> None:
        if self.quiet or not sys.stdout.isatty():
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = [
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        ]
        self._bar = Progress(*columns, TextColumn("left  {task.fields[numbers]}"))
        self._task = self._bar.add_task("train", total=steps, completed=step, rate="", numbers="")
        self._bar.start()

    def advance(self, step: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=step)

    def show(self, record: dict[str, Any], steps: int, batch: int) -> None:
        """A logged step."""
        numbers = "  ".join(
            f"{name} {value:.4g}" for name, value in record.items() if "/" in name and not name.startswith("gradient/")
        )
        rate = record["samples_per_second"]
        if self._bar is not None:
            self._bar.update(self._task, completed=record["step"], rate=f"{rate:.0f} samples/s", numbers=numbers)
        elif not self.quiet:
            left = _clock((steps - record["step"]) * batch / max(rate, 1e-9))
            print(f"step {record['step']}/{steps}  {rate:.0f} samples/s  {left} left  {numbers}", flush=True)

    def say(self, sentence: str) -> None:
        if self._bar is not None:
            self._bar.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        elif not self.quiet:
            print(sentence, flush=True)

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _clock(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
