"""Official networks and operators rebuilt from recorded numbers.

A recording is a safetensors file: weights under their official names behind a prefix (`G.`, `D.`, `F.`), inputs and
outputs, and in its metadata the `source` and the `config` that built them.
Architectures say through `official()` which they rebuild; recordings of operators are read by ops/recorded.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor, nn

from .errors import GanzooError, UsageError
from .ops import recorded
from .parts import Official
from .registry import Registry, installed

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-6}


def compare(path: Path) -> dict[str, Any]:
    """Rebuild one recording's network and compare every output. Raises GanzooError when no architecture can."""
    metadata, tensors = _read(path)
    if name := recorded.operator(metadata.get("source", "")):
        return _result(path, f"operator {name}", metadata, _compare_operator(metadata, tensors))
    config = json.loads(metadata.get("config", "{}"))
    architecture, official = _find(installed(), metadata.get("source", ""), config, path)
    networks = official.build(config)
    for prefix, network in networks.items():
        own = {key: tensors.pop(key) for key in list(tensors) if key.startswith(f"{prefix}.")}
        _load(network, {key.removeprefix(f"{prefix}."): value for key, value in own.items()}, official, path)
    made = official.outputs(networks, tensors)
    outputs = [_compare_group(group, tensors, made) for group in dict.fromkeys(map(_group, made))]
    return _result(path, architecture, metadata, outputs)


def _result(path: Path, part: str, metadata: dict[str, str], outputs: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "file": str(path),
        "architecture": part,
        "source": metadata["source"],
        "passed": all(output["passed"] for output in outputs),
        "outputs": outputs,
    }


def report(results: list[dict[str, Any]]) -> str:
    """The comparison as text."""
    lines = []
    for result in results:
        lines.append(
            f"{result['file']}: {'equal' if result['passed'] else 'NOT EQUAL'}  "
            f"({result['architecture']}; {result['source']})"
        )
        lines += [
            f"  {output['name']:<16} largest difference {output['error']:.1e} of the largest value, "
            f"allowed {output['tolerance']:.0e}"
            f"{'' if output['passed'] else '  FAILED'}"
            for output in result["outputs"]
        ]
    return "\n".join(lines)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, safetensors.SafetensorError) as error:
        raise GanzooError(f"{path} is not a recording: {error}") from None


def _find(registry: Registry, source: str, config: dict[str, Any], path: Path) -> tuple[str, Official]:
    """The architecture that rebuilds what this source built."""
    known = [
        (name, official)
        for name in registry.names("architecture")
        for official in registry.get("architecture", name).official()
    ]
    for name, official in known:
        if official.source in source and official.takes(config):
            return name, official
    sources = ", ".join(official.source for _, official in known)
    raise UsageError(
        f"{path} was recorded from '{source}', which no installed architecture rebuilds; known sources: {sources}"
    )


def _load(network: nn.Module, official_state: dict[str, Tensor], official: Official, path: Path) -> None:
    """Put official weights in place; every one must find its place and every place its weight."""
    state = {ours: value for theirs, value in official_state.items() if (ours := official.rename(theirs)) is not None}
    if state:
        network.to(next(value.dtype for value in state.values() if value.is_floating_point()))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise GanzooError(
            f"{path}: the weights do not fit the rebuilt network: {' '.join(str(error).split())}"
        ) from None


def _compare_operator(metadata: dict[str, str], tensors: dict[str, Tensor]) -> list[dict[str, Any]]:
    """The worst case of each output."""
    worst: dict[str, dict[str, Any]] = {}
    for name, expected, made in recorded.outputs(metadata, tensors):
        found = _compare_group(name, {name: expected}, {name: made})
        worst[name] = max(worst.get(name, found), found, key=lambda output: output["error"])
    return list(worst.values())


def _group(name: str) -> str:
    """Outputs `group.name` are judged together, by the largest magnitude in the group."""
    return name.partition(".")[0]


def _compare_group(group: str, recorded: dict[str, Tensor], made: dict[str, Tensor]) -> dict[str, Any]:
    names = [name for name in made if _group(name) == group]
    absent = [name for name in names if name not in recorded]
    if absent:
        raise GanzooError(f"the recording has no output '{absent[0]}'")
    tolerance = TOLERANCE.get(recorded[names[0]].dtype, 1e-4)
    scale = max(float(recorded[name].abs().max()) for name in names)
    errors = []
    for name in names:
        same_size = made[name].numel() == recorded[name].numel()
        errors.append(
            float((made[name].detach().reshape(recorded[name].shape) - recorded[name]).abs().max())
            if same_size
            else float("inf")
        )
    error = max(errors) / max(scale, 1e-30)
    return {"name": group, "error": error, "tolerance": tolerance, "passed": error <= tolerance}
