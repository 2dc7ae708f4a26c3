"""Checkpoints: a folder with `state.safetensors` (tensors) and `state.json` (everything else, and the checksums).

A checkpoint is written beside its place, fsynced and renamed, so that at any moment each one there is whole. Nothing in
it is ever executed when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from .errors import CheckpointError, RunError

_NAME = re.compile(r"step-(\d{8,})$")


def path_of(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}"


def steps(folder: Path) -> list[int]:
    """The steps of which there is a checkpoint, oldest first."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for entry in folder.iterdir() if (match := _NAME.match(entry.name)))


def save(folder: Path, step: int, state: dict[str, Any], keep: int, spared: Collection[int] = ()) -> Path:
    """Write the checkpoint of a step and remove the oldest beyond `keep` (0 keeps all), but for those of spared steps.
    Raises RunError; old ones stay whole."""
    target = path_of(folder, step)
    tensors, values = _split(state)
    content = safetensors.torch.save(tensors)
    checksums = {"state.safetensors": hashlib.sha256(content).hexdigest(), "values": _digest(values)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _discard_leftovers(folder)
        if not (target.exists() and _checksums(target) == checksums and not _read(target)[1]):
            _put(target, content, json.dumps({"values": values, "sha256": checksums}, indent=1).encode())
        for old in steps(folder)[:-keep] if keep else []:
            if old not in spared:
                _remove(path_of(folder, old))
    except OSError as error:
        left = [found for found in steps(folder) if found != step]
        rest = f"the checkpoint of step {left[-1]} is whole" if left else "there is no earlier checkpoint"
        raise RunError(f"could not save step {step} in {folder}: {error.strerror or error}; {rest}") from None
    return target


def _put(target: Path, content: bytes, values: bytes) -> None:
    """Write a checkpoint beside its place, make it durable, and rename it. What fails leaves nothing behind."""
    aside = target.with_name(f".{target.name}.writing")
    try:
        aside.mkdir()
        _write(aside / "state.safetensors", content)
        _write(aside / "state.json", values)
        _sync(aside)
        if target.exists():  # it is damaged, or another run's
            target.rename(target.with_name(f".{target.name}.old"))
        aside.rename(target)
        _sync(target.parent)
        _discard_leftovers(target.parent)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def load(folder: Path, step: int | None = None) -> dict[str, Any]:
    """The state of one step, the newest unless given. Raises CheckpointError if it is not whole, naming one that is."""
    found = steps(folder)
    if not found:
        raise CheckpointError(f"there is no checkpoint in {folder}")
    if step is not None and step not in found:
        raise CheckpointError(
            f"there is no checkpoint of step {step} in {folder}; there are {', '.join(map(str, found))}"
        )
    step = found[-1] if step is None else step
    state, problem = _read(path_of(folder, step))
    if problem:
        whole = next(
            (other for other in reversed(found) if other != step and not _read(path_of(folder, other))[1]), None
        )
        use = (
            f"the newest whole one is step {whole}: add --checkpoint {whole}"
            if whole is not None
            else "no other one is whole"
        )
        raise CheckpointError(f"the checkpoint {path_of(folder, step)} is damaged ({problem}); {use}")
    return state


def set_aside_damaged(folder: Path, after: int) -> None:
    """Rename checkpoints later than a step that are not whole,
    so that a run that goes on from the step is not refused."""
    for step in steps(folder):
        if step > after and _read(path_of(folder, step))[1]:
            path_of(folder, step).rename(folder / f"damaged-{path_of(folder, step).name}")


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """The state in a folder, and what is wrong with it."""
    try:
        content = (path / "state.safetensors").read_bytes()
        recorded = json.loads((path / "state.json").read_bytes())
        if hashlib.sha256(content).hexdigest() != recorded["sha256"]["state.safetensors"]:
            return {}, "state.safetensors has changed since it was written"
        if _digest(recorded["values"]) != recorded["sha256"]["values"]:
            return {}, "state.json has changed since it was written"
        return _joined(safetensors.torch.load(content), recorded["values"]), None
    except OSError as error:
        return {}, f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError):
        return {}, "state.json cannot be read"


def _checksums(path: Path) -> Any:
    try:
        return json.loads((path / "state.json").read_bytes())["sha256"]
    except (OSError, ValueError, KeyError):
        return None


def _split(state: dict[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Nested state apart: tensors by path, and the rest in the same nesting (empty dicts keep the shape)."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            # A copy of its own: safetensors refuses tensors that share memory or are not contiguous.
            tensors[prefix + key] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        elif isinstance(value, dict):
            inner, values[key] = _split(value, f"{prefix}{key}/")
            tensors.update(inner)
        else:
            values[key] = value
    return tensors, values


def _joined(tensors: dict[str, Tensor], values: dict[str, Any]) -> dict[str, Any]:
    for path, tensor in tensors.items():
        *folders, name = path.split("/")
        place = values
        for folder in folders:
            place = place[folder]
        place[name] = tensor
    return values


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the folder's entries themselves durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    # Renamed first: a removal that is interrupted must not leave half a checkpoint under its name.
    aside = path.with_name(f".{path.name}.old")
    path.rename(aside)
    shutil.rmtree(aside)


def _discard_leftovers(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name.startswith(".step-"):
            shutil.rmtree(entry)
