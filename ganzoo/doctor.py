"""What `ganzoo doctor` tells: versions, devices, which implementation of each operator runs and why, and plugins."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from . import allocator, built, kernels, toolchain
from .registry import Registry

_FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")  # the last three are ARM's


def gather(registry: Registry) -> dict[str, Any]:
    """Everything, as JSON has it. Nothing is built."""
    return {
        "versions": _versions(),
        "devices": _devices(),
        "settings": _settings(),
        "operators": _operators(),
        "plugins": _plugins(registry),
    }


def _versions() -> dict[str, str]:
    import torch

    return {
        "ganzoo": metadata.version("ganzoo"),
        "python": f"{platform.python_version()} ({sys.executable})",
        "torch": str(torch.__version__),
        "CUDA": torch.version.cuda or "none",
    }


def _devices() -> dict[str, str]:
    import torch

    flags = toolchain.processor().split()
    features = [name for name in _FEATURES if name in flags]
    name = toolchain.processor("model name") or platform.processor() or platform.machine()
    devices = {"cpu": f"{name}; {torch.get_num_threads()} threads; {' '.join(features) or 'no features known'}"}
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        devices[f"cuda:{index}"] = f"{card.name}; sm_{card.major}{card.minor}; {card.total_memory / 2**30:.0f} GiB"
    return devices


def _settings() -> dict[str, str]:
    """What decides how fast all else runs. What training sets for the whole process belongs here, a line each."""
    return {
        "memory": "freed memory is kept while training" if allocator.adjustable() else "as the system handles it",
        "layout": "channels last on a CPU, and on a GPU in 16 bit",
        "GANZOO_KERNELS": kernels.mode(),
        "kernels": str(built.cache()),
    }


def _operators() -> list[dict[str, str | None]]:
    """A row for every operator of ganzoo on every device, and one for every extension of a plugin."""
    names = {kernels.CPU: kernels.OPS, kernels.CUDA: kernels.OPS}
    return [
        {"name": name, "device": extension.device, **_status(status)}
        for extension in kernels.EXTENSIONS
        for status in [extension.status()]
        for name in names.get(extension, (extension.name,))
    ]


def _status(status: kernels.Status) -> dict[str, str | None]:
    return {"state": status.state, "why": status.why, "log": str(status.log) if status.log else None}


def _plugins(registry: Registry) -> list[dict[str, Any]]:
    parts: dict[tuple[str, str], int] = {}
    for entry in registry.entries():
        parts[entry.package, entry.version] = parts.get((entry.package, entry.version), 0) + 1
    for plugin in registry.broken:
        parts.setdefault((plugin.package, plugin.version), 0)
    return [
        {
            "package": package,
            "version": version,
            "parts": count,
            "broken": [f"{one.name}: {one.reason}" for one in registry.broken if one.package == package],
        }
        for (package, version), count in sorted(parts.items())
    ]


def table(found: dict[str, Any]) -> None:
    """Print it, as wide as the terminal."""
    for title in ("versions", "devices", "settings"):
        _print(title, list(found[title].items()))
    alike: dict[tuple[str, ...], list[str]] = {}
    for row in found["operators"]:
        alike.setdefault((row["device"], row["state"], row["why"]), []).append(row["name"])
    _print("operators", [(device, state, ", ".join(names), why) for (device, state, why), names in alike.items()])
    _print("plugins", [(f"{row['package']} {row['version']}", _plugin(row)) for row in found["plugins"]])


def _plugin(row: dict[str, Any]) -> str:
    return "; ".join([f"{row['parts']} parts", *(f"broken: {one}" for one in row["broken"])])


def _print(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False, title_style="bold")
    for row in rows:
        if not shown.columns:
            shown.add_column(no_wrap=True, style="cyan")
            for _ in row[1:]:
                shown.add_column(overflow="fold")
        shown.add_row(*map(escape, row))
    Console().print(shown, "")
