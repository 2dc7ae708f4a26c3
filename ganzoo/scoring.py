"""`ganzoo score`: how unlike the data of a run single pictures are (Procedure.score)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from . import projection
from .config import Choice
from .data import Collection, Spec
from .errors import DataError, RunError, UsageError
from .options import schema
from .parts import Procedure
from .registry import Registry, installed
from .run import Run

_CHUNK = 256  # samples that are read at once
_CHANNELS = {1: "grey", 3: "rgb", 4: "rgba"}


def score(run: Run, what: str, step: int | None = None, device: str = "auto") -> list[dict[str, Any]]:
    """The `name`, `score` and `scaled` score of each sample of a folder, archive, file or data set, in its order.

    score: from 0; the higher, the less the run's data are like it. scaled: the same moved to [0, 1], the lowest and the
    highest of those that were asked about (Akcay et al. 2018, arXiv:1805.06725, equation 6); 0 where all are equal.
    Raises UsageError where the run's procedure gives no scores, before anything is read, and DataError.
    """
    registry = installed()
    _require_scores(run, registry)
    names, chunks = _samples(run, what, registry)
    game = run.game(step, device)
    scores = torch.cat([game.procedure.score(game, chunk) for chunk in chunks]).double()
    if not torch.isfinite(scores).all():
        raise RunError(f"{run.path} gives scores that are not finite; name an earlier step with --checkpoint")
    low, high = float(scores.min()), float(scores.max())
    scaled = (scores - low) / (high - low) if high > low else torch.zeros_like(scores)
    rows = zip(names, scores.tolist(), scaled.tolist(), strict=True)
    return [{"name": name, "score": value, "scaled": share} for name, value, share in rows]


def lines(scored: list[dict[str, Any]]) -> str:
    """A line for each: score, scaled score, name."""
    return "\n".join(f"{row['score']:.6f}  {row['scaled']:.3f}  {row['name']}" for row in scored)


def write_csv(scored: list[dict[str, Any]], path: Path) -> None:
    """A line for each below the names of the columns. Raises RunError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ("name", "score", "scaled"))
            writer.writeheader()
            writer.writerows(scored)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from None


def _require_scores(run: Run, registry: Registry) -> None:
    def scores(name: str) -> bool:
        return registry.get("procedure", name).score is not Procedure.score

    name = run.config.procedure.name
    if scores(name):
        return
    able = [other for other in registry.names("procedure") if scores(other)]
    raise UsageError(
        f"{run.path} was played by procedure '{name}', which learns no scores of samples; "
        f"procedures that do: {', '.join(able) or 'none is installed'}"
    )


def _samples(run: Run, what: str, registry: Registry) -> tuple[list[str], list[Tensor]]:
    """The names of samples and the samples, in chunks, of the run's shape."""
    path = Path(what).expanduser()
    if path.is_file() and run.spec.kind == "image" and not _is_data(path, registry):
        return [what], [projection.read(path, run.spec)]
    collection = _opened(run, Choice.parse_data(what, registry), registry)
    if collection.spec.shape != run.spec.shape:
        raise DataError(
            f"{what} holds samples of the shape {_shape(collection.spec)}, and {run.path} knows those of "
            f"{_shape(run.spec)}"
        )
    count = len(collection)
    starts = range(0, count, _CHUNK)
    chunks = [collection.fetch(list(range(start, min(start + _CHUNK, count)))).sample for start in starts]
    named = len(collection.names) == count
    return list(map(str, collection.names if named else range(count))), chunks


def _is_data(path: Path, registry: Registry) -> bool:
    """Whether a data set reads this file: an archive or an array, not a single picture."""
    return any(registry.get("dataset", name).recognises(path) for name in registry.names("dataset"))


def _opened(run: Run, choice: Choice, registry: Registry) -> Collection:
    """The data set, with its pictures brought to the run's size as the run's own were, unless the words say how."""
    known, own = schema(registry.get("dataset", choice.name)), run.config.dataset.options
    alike: dict[str, Any] = {"fit": own["fit"]} if "fit" in own else {}
    if run.spec.kind == "image":
        channels, height, width = run.spec.shape
        alike |= {"size": f"{height}x{width}", "channels": _CHANNELS.get(channels), "labels": "none"}
    fitting = {name: value for name, value in alike.items() if name in known and value is not None}
    opened: Collection = registry.make("dataset", choice.name, {**fitting, **choice.options}).open()
    return opened


def _shape(spec: Spec) -> str:
    return "x".join(map(str, spec.shape))
