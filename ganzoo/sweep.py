"""`ganzoo sweep`: the runs of a grid, trained and measured one by one, and compared.

A sweep is a folder of runs with `sweep.json`, `logs/` (what each run's process said), `table.csv` and `index.html`.
Each run is made by a process of its own, which does what `ganzoo train` and then `ganzoo evaluate` do. So whatever ends
a sweep, the same command goes on: what is finished stays, and what is half trained continues from its checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import checkpoint
from .config import Choice, short_hash
from .errors import RunError, UsageError
from .grid import Cell, Grid
from .metrics import features
from .registry import Registry, installed
from .report import comparison, comparison_page, comparison_table, put
from .report.command import flags
from .report.comparison import Absent
from .report.contents import clock
from .run import Run, read_json
from .training import device_for, listening

LOOK = 0.1  # seconds between looks at the processes
TAIL = 8192  # bytes of a log: more than two lines


@dataclass
class Measuring:
    """What is measured of every run, as of `ganzoo evaluate`; the metric `none` alone measures nothing."""

    metrics: Sequence[str] = ()
    features: str = "identity"
    count: int | None = None

    @property
    def wanted(self) -> bool:
        return list(self.metrics) != ["none"]

    def check(self, registry: Registry) -> None:
        """Raise UsageError for what could not be measured after hours of training."""
        for choice in map(Choice.parse, self.metrics if self.wanted else ()):
            metric = registry.make("metric", choice.name, choice.options)
            if metric.classifies and self.features == "identity":
                raise UsageError(f"metric '{metric.name}' reads classes; name an extractor that has them by --features")

    def words(self) -> list[str]:
        metrics = [word for metric in self.metrics for word in ("--metric", metric)]
        count = [] if self.count is None else ["--count", str(self.count)]
        return [*metrics, "--features", self.features, *count]


@dataclass
class Swept:
    """How a sweep ended. failed: how many of its runs did. stopped_by: the signal that asked for it, or None."""

    folder: Path
    failed: int
    stopped_by: int | None


def sweep(
    grid: Grid,
    measuring: Measuring,
    training: dict[str, Any] | None = None,
    device: str = "auto",
    out: Path | None = None,
) -> Swept:
    """Train and measure what is missing, then compare all. Raises UsageError before anything runs.

    training: flags of `ganzoo train` that all runs share, such as {"save_every": 100}.
    """
    cells, unfit = grid.cells(installed())
    absent = [Absent(one.name, f"does not fit: {one.why}") for one in unfit]
    for one in absent:
        print(f"{one.name} {one.why}", flush=True)
    if not cells:
        raise UsageError("nothing of the grid fits; what fits a part is told by: ganzoo show NAME")
    measuring.check(installed())
    for precision in {cell.config.precision for cell in cells}:
        device_for(device, precision)
    folder = out or Path("runs") / f"sweep-{short_hash({'cells': sorted(cell.key for cell in cells)})}"
    work = Work(folder, cells, measuring, training or {}, device)
    work.run()
    if work.stopped_by is None:
        work.tell([*absent, *work.failed])
    return Swept(folder, len(work.failed), work.stopped_by)


class Work:
    """What is there of a sweep, and what is still to be done. known: by a cell's key the name of its folder, and how it
    was measured; a cell that is there from when other things varied keeps its name."""

    def __init__(self, folder: Path, cells: list[Cell], measuring: Measuring, training: dict[str, Any], device: str):
        self.folder, self.cells, self.measuring, self.training, self.device = folder, cells, measuring, training, device
        self.extractor = features.load(measuring.features).name if measuring.wanted else ""
        self.failed: list[Absent] = []
        self.stopped_by: int | None = None
        path = folder / "sweep.json"
        if not path.exists() and folder.exists() and any(folder.iterdir()):
            raise RunError(f"{folder} is not empty and not a sweep; name another folder with --out")
        self.known: dict[str, Any] = read_json(path).get("cells", {}) if path.exists() else {}
        names = {entry["name"] for entry in self.known.values()}
        for cell in cells:
            name = cell.name if cell.name not in names else f"{cell.name}-{cell.digest}"
            cell.name = self.known.setdefault(cell.key, {"name": name, "measured": None})["name"]

    def run(self) -> None:
        """Do what is missing, one run at a time on each device, until it is done or a signal comes."""
        self._remember()
        waiting = [cell for cell in self.cells if self.commands(cell)]
        places, running = _places(self.device), list[Process]()
        with Shown(len(self.cells)) as shown, listening() as stop:
            for cell in self.cells:
                if cell not in waiting:
                    shown.tell(cell.name, "done before")
            try:
                while running or (waiting and stop.signal is None):
                    while waiting and places and stop.signal is None:
                        cell = waiting.pop(0)
                        running.append(Process(self.folder, cell, self.commands(cell), places.pop()))
                    if stop.signal is not None and self.stopped_by is None:
                        self.stopped_by = stop.signal
                        for process in running:
                            process.stop()
                    for process in [process for process in running if process.ended]:
                        running.remove(process)
                        places.append(process.place)
                        shown.tell(process.cell.name, self._outcome(process))
                    shown.look(running)
                    time.sleep(LOOK if running else 0)
            finally:
                for process in running:
                    process.kill()
            self.stopped_by = stop.signal
        if self.stopped_by is not None:
            done = sum(not self.commands(cell) for cell in self.cells)
            name = signal.Signals(self.stopped_by).name
            print(f"stopped by {name}; {done} of {len(self.cells)} runs are done. The same command goes on from there")

    def commands(self, cell: Cell) -> list[list[str]]:
        """The `ganzoo` commands that are still to be run for a cell."""
        home, device = str(self.folder / cell.name), ["--device", self.device]
        found = []
        if not self.trained(cell):
            shared = [
                word for key, value in self.training.items() for word in (f"--{key.replace('_', '-')}", str(value))
            ]
            chosen = [word for flag in flags(cell.config) for word in flag]
            found.append(["train", *chosen, *device, *shared, "--out", home])
        if self.measuring.wanted and self.known[cell.key]["measured"] != self._way(cell):
            found.append(["evaluate", home, *self.measuring.words(), *device])
        return found

    def trained(self, cell: Cell) -> bool:
        return max(checkpoint.steps(self.folder / cell.name / "checkpoints"), default=0) >= cell.config.steps

    def tell(self, absent: list[Absent]) -> None:
        """The table of what is trained: on the terminal, as CSV, as a page."""
        runs = [Run.open(self.folder / cell.name) for cell in self.cells if self.trained(cell)]
        if not runs:
            return
        found = comparison.compare(runs, absent)
        comparison_table.show(found)
        print(comparison_table.write_csv(found, self.folder / "table.csv"))
        print(comparison_page.write(found, self.folder / "index.html"), flush=True)

    def _way(self, cell: Cell) -> dict[str, Any]:
        """How a cell is to be measured."""
        chosen = {"metrics": list(self.measuring.metrics), "features": self.extractor, "count": self.measuring.count}
        return {**chosen, "steps": cell.config.steps}

    def _outcome(self, process: Process) -> str:
        """What came of a run, in words; what failed is kept."""
        cell, spent = process.cell, clock(process.spent)
        if not process.code:
            if self.measuring.wanted:
                self.known[cell.key]["measured"] = self._way(cell)
                self._remember()
            return f"{' and '.join(process.verbs)} in {spent}"
        if self.stopped_by is not None:
            return f"stopped after {spent}"
        if self.trained(cell) and not self.measuring.metrics:  # nobody has asked for what could not be measured
            return f"trained in {spent}; not measured: {process.reason()}"
        self.failed.append(Absent(cell.name, f"failed: {process.reason()}"))
        return self.failed[-1].why

    def _remember(self) -> None:
        put(self.folder / "sweep.json", json.dumps({"cells": self.known}, indent=1) + "\n")


class Process:
    """A process that works on one cell. place: the environment that gives it its device."""

    def __init__(self, folder: Path, cell: Cell, commands: list[list[str]], place: dict[str, str]):
        self.cell, self.place, self.home = cell, place, folder / cell.name
        self.verbs = [{"train": "trained", "evaluate": "measured"}[words[0]] for words in commands]
        self.log = folder / "logs" / f"{cell.name}.txt"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.before = self.log.stat().st_size if self.log.exists() else 0
        self.began = time.perf_counter()
        # As `ganzoo` itself is started, a file of the current folder must not pass for a module of the same name.
        safe = [] if sys.path[0] in ("", os.getcwd()) else ["-P"]
        command = [
            sys.executable,
            *safe,
            "-m",
            "ganzoo.sweep",
            str(self.log.with_suffix(".lock")),
            json.dumps(commands),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **place}
            )

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def code(self) -> int:
        return self._process.returncode

    @property
    def spent(self) -> float:
        return time.perf_counter() - self.began

    def stop(self) -> None:
        """Ask it to save and end. It may have had the terminal's SIGINT already, and a second one would end it at once:
        so this is the other signal that asks."""
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def reason(self) -> str:
        """Why it failed, in its own words where it had some."""
        with self.log.open("rb") as log:
            log.seek(self.before)
            lines = log.read().decode(errors="replace").splitlines()
        told = [line.removeprefix("ganzoo: ") for line in lines if line.startswith("ganzoo: ")]
        if self.code < 0:
            return f"its process was ended by {signal.Signals(-self.code).name}; the same command goes on"
        return told[-1] if told else f"its process ended with code {self.code}; see {self.log}"

    def steps(self) -> int:
        """The last that is logged. It is asked for often, and a log may be long: only its end is read."""
        try:
            with (self.home / "log.jsonl").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - TAIL))
                return max((int(step) for step in re.findall(rb'"step": (\d+)', log.read())), default=0)
        except OSError:
            return 0


class Shown:
    """What a person sees: bars on a terminal, a line for each run elsewhere."""

    def __init__(self, total: int):
        self.total, self.count = total, 0
        self._bars: Any = None  # of rich, on a terminal
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Shown:
        if sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns)
            self._tasks[""] = self._bars.add_task("runs", total=self.total)
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def tell(self, name: str, what: str) -> None:
        """A run that is done with."""
        self.count += 1
        line = f"{self.count}/{self.total} {name}: {what}"
        if self._bars is None:
            print(line, flush=True)
            return
        self._bars.console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._bars.update(self._tasks[""], completed=self.count)
        if name in self._tasks:
            self._bars.remove_task(self._tasks.pop(name))

    def look(self, running: list[Process]) -> None:
        if self._bars is None:
            return
        for process in running:
            name = process.cell.name
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=process.cell.config.steps)
            self._bars.update(self._tasks[name], completed=process.steps())


def _places(device: str) -> list[dict[str, str]]:
    """An environment for each device on which a run can be: every visible GPU, or the CPU."""
    if device == "cpu" or not torch.cuda.is_available():
        return [{}]
    count = torch.cuda.device_count()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if os.environ.get("CUDA_VISIBLE_DEVICES") else []
    return [{"CUDA_VISIBLE_DEVICES": name} for name in (visible or list(map(str, range(count))))[:count]]


def _process(lock: str, commands: str) -> int:
    """What the process of a cell does: the commands, in turn, until one fails. Returns the exit code."""
    from filelock import FileLock, Timeout

    from .cli import main

    try:
        with FileLock(lock, timeout=0):  # a sweep that was killed may have left a process that is still at work
            for words in json.loads(commands):
                print("$", shlex.join(["ganzoo", *words]), flush=True)
                if code := main.main(words, "ganzoo", standalone_mode=False):
                    return int(code)
    except Timeout:
        print(
            "ganzoo: another process is still at work on this run; end it, or type the same command later", flush=True
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_process(*sys.argv[1:]))
