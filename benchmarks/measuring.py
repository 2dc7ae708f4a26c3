"""What the benchmarks share: contenders timed in turn in one process, and where a figure was taken."""

from __future__ import annotations

import datetime
import json
import math
import os
import platform
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ganzoo import toolchain

RESULTS = Path(__file__).parent / "results"
Run = Callable[[int], Any]  # the argument counts the calls: it chooses the buffers


def enabled(config: Any) -> bool:
    """Whether pytest was told to time anything."""
    return bool(config.getoption("benchmark_enable") or not config.getoption("benchmark_disable"))


def in_turn(contenders: Mapping[str, Run], device: str, seconds: float, least: int = 5) -> dict[str, list[float]]:
    """Seconds a call of each contender, an entry a round: whatever disturbs the machine disturbs all of them.

    Every round times all contenders, each time another one first, until `seconds` are over and `least` rounds done.
    What takes longer than `seconds` / 5 a call takes part in the first two rounds alone.
    """
    measure = _on_cuda if device == "cuda" else _on_cpu
    once = {name: measure(run, 1) for name, run in contenders.items()}  # a first reading, which is not kept
    calls = {name: _calls(measure, run, once[name], device) for name, run in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    end = time.perf_counter() + seconds
    for turn in range(40):
        names = [name for name in contenders if turn < 2 or once[name] < seconds / 5]
        if not names or (turn >= least and time.perf_counter() > end):
            break
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            times[name].append(measure(contenders[name], calls[name]))
    return times


def _calls(measure: Callable[[Run, int], float], run: Run, once: float, device: str) -> int:
    """How many calls make one reading: a short one is lost in the clock and, on a GPU, in the first launch."""
    if once > 0.05:
        return 1
    once = max(measure(run, 2), 1e-7)
    return min(200, max(4 if device == "cuda" else 1, math.ceil(0.002 / once)))


def _on_cpu(run: Run, calls: int) -> float:
    began = time.perf_counter()
    for call in range(calls):
        run(call)
    return (time.perf_counter() - began) / calls


def _on_cuda(run: Run, calls: int) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    for call in range(calls):
        run(call)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3 / calls


def ratio(theirs: list[float], ours: list[float]) -> float:
    """How many times longer than ours: the median over the rounds in which both were timed, the first ones."""
    return statistics.median(one / other for one, other in zip(theirs, ours, strict=False))


def machine(device: str = "cpu") -> dict[str, Any]:
    """Where and of what a figure was taken."""
    cuda = device == "cuda"
    card = {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda, "clocks": clocks()} if cuda else {}
    return {
        "device": device,
        **card,
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        "ganzoo": _ganzoo(),
        "python": platform.python_version(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def processor() -> str:
    return toolchain.processor("model name") or platform.processor() or platform.machine()


def clocks() -> str | None:
    """The card's clocks now, as its driver tells them."""
    asked = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem,clocks.max.sm,power.draw", "--format=csv,noheader"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None


def commit() -> str | None:
    """The commit that ran, and whether there were changes on top of it. GANZOO_COMMIT tells where there is no git."""
    if told := os.environ.get("GANZOO_COMMIT"):
        return told
    described = ["git", "-C", str(RESULTS.parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(described, capture_output=True, text=True, check=False).stdout.strip() or None
    except OSError:
        return None


def _ganzoo() -> str | None:
    try:
        return metadata.version("ganzoo")
    except metadata.PackageNotFoundError:  # run from a checkout that was only carried there
        return None


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Keep figures in `benchmarks/results`, or where GANZOO_RESULTS says."""
    folder = Path(os.environ.get("GANZOO_RESULTS", RESULTS))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    return path


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")
