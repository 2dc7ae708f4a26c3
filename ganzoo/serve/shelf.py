"""The runs that are served: found in folders, named for addresses, and what the list says of each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import GanzooError, RunError
from ..report.contents import MOVING, sample_files, warnings
from ..report.curves import number
from ..run import Run
from .explorer import explorable

FILES = ("config.json", "log.jsonl", "measures.jsonl", "warnings.jsonl", "samples", "checkpoints")
PATIENCE = 60.0  # seconds without a word after which a run is taken to have stopped, if it does not log more rarely
TAIL = 65_536  # bytes of a log's end in which its last record is looked for
LOSSES = 6  # numbers in the list


@dataclass(frozen=True)
class Shelved:
    """A run and its place in addresses. name: what people read; slug: letters, digits, `.`, `_` and `-`."""

    path: Path
    name: str
    slug: str

    def open(self) -> Run:
        """The run. Raises RunError, also where something in its folder is a link that leads out of it."""
        home = self.path.resolve()
        for name in FILES:
            refuse_outside(self.path / name, home)
        if not (self.path / "config.json").is_file():
            raise RunError(f"{self.name} is not a run any more: it has no config.json")
        return Run.open(self.path)

    def signature(self) -> str:
        """A text that changes whenever something that is shown of the run changes."""
        places = [self.path / name for name in FILES]
        places += [max((self.path / "samples").glob("step-*"), default=self.path)]  # it may still be being written
        return hashlib.sha256(repr([*map(stamp, places), self.state()]).encode()).hexdigest()[:24]

    def state(self) -> str:
        """`running`, `finished` or `stopped`."""
        config = self.path / "config.json"
        try:
            steps = int(json.loads(config.read_bytes())["steps"]) if config.is_file() else 0  # a pipe would never end
        except (OSError, ValueError, KeyError, TypeError):
            return "stopped"
        last = tail(self.path / "log.jsonl")
        if last and (number(last[-1].get("step")) or 0) >= steps:
            return "finished"
        seconds = [number(record.get("seconds")) or 0.0 for record in last[-2:]]
        rhythm = 3 * (seconds[-1] - seconds[0]) if len(seconds) == 2 else 0.0
        return "running" if time.time() - self.written() < max(PATIENCE, rhythm) else "stopped"

    def written(self) -> float:
        """When something in the run's folder was last written, in seconds of the system's clock."""
        stamps = [stamp(self.path / name) for name in FILES]
        return max((found[0] / 1e9 for found in stamps if found), default=0.0)


@dataclass
class Summary:
    """What the list says of a run. problem: why it cannot be shown, in a sentence."""

    shelved: Shelved
    state: str = "stopped"
    problem: str | None = None
    step: float = 0
    steps: int = 0
    losses: dict[str, Any] = field(default_factory=dict)
    warnings: int = 0
    picture: str | None = None
    text: str | None = None
    written: str = ""
    explorable: bool = False


class Shelf:
    """All served runs. paths: runs and folders of runs; what appears in a folder later is found too."""

    def __init__(self, paths: Sequence[Path]):
        for path in paths:
            if not path.is_dir():
                raise RunError(f"there is no folder {path}; name a run or a folder of runs")
        self.paths = [Path(os.path.abspath(path)) for path in paths]
        self._summaries: dict[str, tuple[str, Summary]] = {}

    def runs(self) -> dict[str, Shelved]:
        """Every run by its slug. Only what is found here can be asked for: an address is never taken as a path."""
        found: dict[Path, str] = {}
        for path in self.paths:
            for run, name in _within(path):
                found.setdefault(run, name)
        shelved: dict[str, Shelved] = {}
        for run, name in found.items():
            slug = _slug(run, name)
            if slug in shelved:
                name, slug = f"{run.parent.name}/{name}", _slug(run, name, marked=True)
            shelved[slug] = Shelved(run, name, slug)
        return shelved

    def summaries(self) -> list[Summary]:
        """Runs that are being written first, by name; then the others, the newest first."""
        found = [self._summary(shelved) for shelved in self.runs().values()]
        found.sort(key=lambda some: some.written, reverse=True)
        running = [some for some in found if some.state == "running"]
        return sorted(running, key=lambda some: some.shelved.name) + [some for some in found if some.state != "running"]

    def _summary(self, shelved: Shelved) -> Summary:
        signature = shelved.signature()
        known = self._summaries.get(shelved.slug)
        if known is None or known[0] != signature:
            known = self._summaries[shelved.slug] = signature, summary(shelved)
        return known[1]


def summary(shelved: Shelved) -> Summary:
    """What is worth knowing of a run at a glance, read without its whole log."""
    told = Summary(shelved)
    try:
        told.state = shelved.state()
        told.written = f"{datetime.fromtimestamp(shelved.written(), UTC):%Y-%m-%d %H:%M} UTC"
        run = shelved.open()
        last = (tail(shelved.path / "log.jsonl") or [{}])[-1]
        told.step, told.steps = number(last.get("step")) or 0, run.config.steps
        losses = {name: value for name, value in last.items() if name.startswith("loss/")}
        told.losses = dict(list(losses.items())[:LOSSES])
        told.warnings = _count_warnings(run)
        told.explorable = explorable(run)
        _show_sample(told, run)
    except (GanzooError, OSError) as error:
        told.problem = str(error)
    return told


def _show_sample(told: Summary, run: Run) -> None:
    """The newest sample: a picture's address, or the beginning of a text."""
    files = sample_files(run)
    if files and files[-1][1].suffix in MOVING:
        told.picture = address(told.shelved, files[-1][1], "thumbnails")
    elif files and files[-1][1].suffix in (".txt", ".csv"):
        with files[-1][1].open(encoding="utf-8", errors="replace") as file:
            told.text = "\n".join(file.read(400).splitlines()[:6])
    elif files:
        told.text = files[-1][1].name


def address(shelved: Shelved, path: Path, form: str = "samples") -> str:
    """Where a sample's file is served. It changes with the file, so that what a browser keeps is never old."""
    suffix = path.suffix if form == "samples" else ".png"
    return f"/run/{shelved.slug}/{form}/{path.stem.removeprefix('step-')}{suffix}?{path.stat().st_mtime_ns:x}"


def refuse_outside(path: Path, home: Path) -> None:
    """Raise RunError if a link leads out of the run's folder."""
    if not path.resolve().is_relative_to(home):
        raise RunError(f"{path.name} is a link that leads out of the run's folder; it is not shown")


def tail(path: Path) -> list[dict[str, Any]]:
    """The last records of a log, oldest first; what a crash cut short is left out."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL))
        lines = file.read().splitlines()
    return _records(lines[1:] if size > TAIL else lines)


def _records(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in found if isinstance(record, dict)]


def _count_warnings(run: Run) -> int:
    """How many different warnings a run gave. Most lines of a log have none, and are not parsed."""
    log = run.path / "log.jsonl"
    if not log.is_file():
        return len(warnings(run, []))
    with log.open("rb") as file:
        return len(warnings(run, _records(line for line in file if b'"warnings"' in line)))


def _within(path: Path) -> list[tuple[Path, str]]:
    """The runs that a path means, with their names: itself, or those in it and in the folders in it."""
    if (path / "config.json").exists():
        return [(path, path.name)]
    home = path.resolve()
    found = sorted({entry.parent for pattern in ("*/config.json", "*/*/config.json") for entry in path.glob(pattern)})
    return [
        (run, str(run.relative_to(path)))
        for run in found
        if run.resolve().is_relative_to(home) and not any(part.startswith(".") for part in run.relative_to(path).parts)
    ]


def _slug(path: Path, name: str, marked: bool = False) -> str:
    """The name if it can stand in an address; else what is left of it, marked by a digest of the path."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:80]
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
    return plain if plain == name and not marked else f"{plain}-{mark}".lstrip("-")


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file or a folder is written: its time and its size; None if it is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
