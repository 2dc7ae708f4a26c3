"""What a run folder says, as plain values for the page."""

from __future__ import annotations

import base64
import csv
import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..run import Run, json_lines, read_json
from .command import repeating, spelled
from .curves import Curve, gather, grouped, number

PICTURES = 60  # samples on a page, evenly over the training, the last one always
BUDGET = 12_000_000  # bytes of them
LETTERS = 20_000  # of one text
TABLE = 100  # rows of one table of samples
ROWS = 1_000  # of the table of all measurements

_SAMPLE = re.compile(r"step-(\d+)\.(png|gif|wav|txt|csv|npz)")
MOVING = {".png": "PNG", ".gif": "GIF"}  # what is shown as a picture


def contents(run: Run, address: Callable[[Path], str] | None = None) -> dict[str, Any]:
    """Everything that the page shows; `data` is what its script reads.

    address: where a picture is to be had by whom the page is served; without it pictures are in the page itself.
    """
    records = [record for record in run.logged() if isinstance(record, dict)]
    measures = [measure(record) for record in json_lines(run.path / "measures.jsonl") if isinstance(record, dict)]
    recorded = read_json(run.path / "config.json")
    curves = gather(records)
    charts = [*grouped(curves), *_measured(measures)]
    samples, found = _samples(run, address)
    command, remark = repeating(run.config)
    packed = [{"title": title, "curves": [curve.to_json() for curve in members]} for title, members in charts]
    return {
        "name": run.path.resolve().name,
        "facts": _facts(run, records),
        "parts": _parts(run, recorded),
        "settings": _settings(run, recorded),
        "command": command,
        "remark": remark,
        "charts": packed,
        "thinned": any("mx" in curve for chart in packed for curve in chart["curves"]),
        "last_values": [curve.last_values() for _, members in charts for curve in members],
        "samples": samples,
        "samples_found": found,
        "measures": _latest(measures),
        "pictures": _pictures(run, measures, address),
        "all_measures": measures[::-1][:ROWS],
        "warnings": warnings(run, records),
        "versions": recorded.get("versions") or {},
        "data": {"charts": packed, "samples": samples[:-1], "last": _without_body(samples)},
    }


def _facts(run: Run, records: list[dict[str, Any]]) -> dict[str, str]:
    """The run in a line of numbers."""
    last = records[-1] if records else {}
    step, seconds = number(last.get("step")) or 0, number(last.get("seconds"))
    shape = " x ".join(map(str, run.spec.shape))
    facts = {
        "steps": f"{step:,.0f} of {run.config.steps:,}" if step < run.config.steps else f"{step:,.0f}",
        "trained": "nothing logged yet" if seconds is None else clock(seconds),
        "data": f"{run.data_size:,} samples, {run.spec.kind} {shape}",
    }
    log = run.path / "log.jsonl"
    if log.exists():
        facts["last logged"] = f"{datetime.fromtimestamp(log.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"
    return facts


def clock(seconds: float) -> str:
    """Seconds in words: `2 h 05 min`, `3 min 20 s`, `12.3 s`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute:02d} min"
    return f"{minutes} min {second:02d} s" if minutes else f"{seconds:.1f} s"


def _parts(run: Run, recorded: dict[str, Any]) -> list[dict[str, Any]]:
    """Every part with its options and the package that it came from."""
    config, packages = run.config, recorded.get("packages") or {}
    chosen = [("data set", "dataset", config.dataset), ("architecture", "architecture", config.architecture)]
    chosen += [("loss", "loss", config.loss)]
    chosen += [("regularizer", "regularizer", choice) for choice in config.regularizers]
    chosen += [("procedure", "procedure", config.procedure)]
    return [
        {
            "kind": title,
            "name": choice.name,
            "options": {key: spelled(value) for key, value in choice.options.items()},
            "package": packages.get(f"{kind} {choice.name}", ""),
        }
        for title, kind, choice in chosen
    ]


def _settings(run: Run, recorded: dict[str, Any]) -> dict[str, Any]:
    config = run.config
    settings = {name: getattr(config, name) for name in ("recipe", "steps", "batch", "seed", "precision", "init")}
    settings["classes"] = len(run.spec.classes) or None
    settings["data fingerprint"] = (recorded.get("identity") or {}).get("data")
    return {name: value for name, value in settings.items() if value is not None}


def sample_files(run: Run) -> list[tuple[int, Path]]:
    """The files of samples with their steps, oldest first. Sound that has a picture beside it stands with that."""
    home = run.path.resolve()
    named = [(_SAMPLE.fullmatch(path.name), path) for path in (run.path / "samples").glob("step-*")]
    found = sorted(
        (int(match[1]), path)
        for match, path in named
        if match and path.is_file() and path.resolve().is_relative_to(home)  # a link could lead anywhere
    )
    heard = {sound for _, path in found if (sound := sound_of(path))}
    return [(step, path) for step, path in found if path not in heard]


def sound_of(path: Path) -> Path | None:
    """The sound that belongs to a picture of samples."""
    sound = path.with_suffix(".wav")
    there = path.suffix == ".png" and sound.is_file() and sound.resolve().parent == path.resolve().parent
    return sound if there else None


def _samples(run: Run, address: Callable[[Path], str] | None) -> tuple[list[dict[str, Any]], int]:
    """The samples to show, oldest first, and how many there are."""
    files = sample_files(run)
    count = min(len(files), PICTURES)
    while address is None and count > 1 and sum(_size(path) for _, path in _spread(files, count)) > BUDGET:
        count -= 1
    shown = [{"step": step, **_shown(path, address)} for step, path in _spread(files, count)]
    return shown, len(files)


def _size(path: Path) -> int:
    """Bytes of a sample's files."""
    sound = sound_of(path)
    return path.stat().st_size + (sound.stat().st_size if sound else 0)


def _pictures(run: Run, measures: list[dict[str, Any]], address: Callable[[Path], str] | None) -> list[dict[str, Any]]:
    """What belongs to the newest measures, and is to be looked at."""
    home = (run.path / "pictures").resolve()
    named = {record["name"]: record["protocol"]["picture"] for record in measures if "picture" in record["protocol"]}
    files = {name: home / str(file) for name, file in named.items()}
    return [
        {"name": name, **_shown(path, address)}
        for name, path in files.items()
        if path.is_file() and path.resolve().parent == home and path.suffix == ".png"
    ]


def _spread(files: list[tuple[int, Path]], count: int) -> list[tuple[int, Path]]:
    """This many of the files, evenly, with the first and the last."""
    if count < 2:
        return files[-count:] if count else []
    return [files[round(index * (len(files) - 1) / (count - 1))] for index in range(count)]


def _shown(path: Path, address: Callable[[Path], str] | None) -> dict[str, Any]:
    """A sample file: a picture, a film or sound as a data URI or by its address, text as text, a table as its rows, of
    anything else the name."""
    sound = sound_of(path)
    heard = {"sound": _packed(sound, "audio/wav", address)} if sound else {}
    if path.suffix in MOVING:
        return {**_picture(path, address), **heard}
    if path.suffix == ".wav":
        return {"form": "sound", "body": "", "sound": _packed(path, "audio/wav", address)}
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            return _table(file.read(LETTERS + 1))
    if path.suffix == ".txt":
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(LETTERS + 1)
        return {"form": "text", "body": text if len(text) <= LETTERS else text[:LETTERS] + "…"}
    return {"form": "file", "body": f"samples/{path.name}"}


def _picture(path: Path, address: Callable[[Path], str] | None) -> dict[str, Any]:
    form = MOVING[path.suffix]
    try:
        with Image.open(path, formats=[form]) as picture:
            width, height = picture.size
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return {"form": "file", "body": f"{path.name} (not a whole picture)"}
    body = _packed(path, f"image/{form.lower()}", address)
    return {"form": "picture", "body": body, "width": width, "height": height}


def _packed(path: Path, kind: str, address: Callable[[Path], str] | None) -> str:
    return address(path) if address else f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _table(text: str) -> dict[str, Any]:
    """The rows of a .csv, the names of its columns first; what does not fit is left out, and that is said."""
    lines = text.splitlines()
    cut = len(text) > LETTERS or len(lines) > TABLE + 1
    lines = lines[:-1] if len(text) > LETTERS else lines  # the last may be cut
    rows = [row for row in csv.reader(lines[: TABLE + 1]) if row]
    return {"form": "table", "body": rows, "cut": cut}


def _without_body(samples: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The last sample; its picture, sound or text is in the page itself, which shows it without a script too."""
    if not samples or samples[-1]["form"] == "table":
        return samples[-1] if samples else None
    return {key: value for key, value in samples[-1].items() if key not in ("body", "sound")}


def measure(record: dict[str, Any]) -> dict[str, Any]:
    """A line of measures.jsonl, with all that the page asks for."""
    protocol = record.get("protocol")
    return {
        "name": str(record.get("name")),
        "step": number(record.get("step")),
        "value": record.get("value"),
        "interval": _interval(record),
        "protocol": protocol if isinstance(protocol, dict) else {},
    }


def _measured(measures: list[dict[str, Any]]) -> list[tuple[str, list[Curve]]]:
    """A chart for each measure that was taken in the same way at more than one step."""
    curves: dict[tuple[str, str], Curve] = {}
    for record in measures:
        step, value = record["step"], number(record["value"])
        if step is not None and math.isfinite(step) and value is not None:
            curves.setdefault(_taken(record), Curve(record["name"], measured=True)).add(step, value, record["interval"])
    return [(curve.name, [curve.ordered()]) for curve in curves.values() if len(set(curve.steps)) > 1]


def _taken(record: dict[str, Any]) -> tuple[str, str]:
    """What two measurements must share to stand on one line."""
    return record["name"], json.dumps(record["protocol"], sort_keys=True)


def _interval(record: dict[str, Any]) -> tuple[float, float] | None:
    ends = record.get("interval")
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    low, high = map(number, ends)
    return None if low is None or high is None else (low, high)


def _latest(measures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return list({_taken(record): record for record in measures}.values())


def warnings(run: Run, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each warning once, with the steps of its first and last time."""
    found: dict[str, dict[float | None, None]] = {}  # steps in order, each once
    for step, text in [*_logged_warnings(records), *_warning_lines(json_lines(run.path / "warnings.jsonl"))]:
        found.setdefault(text, {})[number(step)] = None
    return [
        {"text": text, "times": len(steps), "first": next(iter(steps)), "last": next(reversed(steps))}
        for text, steps in found.items()
    ]


def _logged_warnings(records: list[dict[str, Any]]) -> Iterable[tuple[Any, str]]:
    for record in records:
        texts = record.get("warnings")
        for text in texts if isinstance(texts, list) else []:
            yield record.get("step"), str(text)


def _warning_lines(values: list[Any]) -> Iterable[tuple[Any, str]]:
    """A line is a text, or an object with a step and a text under one of the usual names."""
    for value in values:
        if isinstance(value, dict):
            named = (value[key] for key in ("warning", "message", "text") if key in value)
            yield value.get("step"), str(next(named, json.dumps(value)))
        else:
            yield None, str(value)
