"""What ganzoo's settings bring on a CPU: a whole training step in several processes, each with some of them.

The rungs of the ladder, each adding one: as a person writes it (NCHW, glibc's allocator, float32, no kernels), channels
last, memory kept, kernels, bfloat16. The rungs take turns, and each rung's figure is the median of its processes.
`make bench` prints it and writes benchmarks/results/cpu-settings.json. Timing decides no test.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import cpu_step
import measuring
import pytest
from rich.console import Console
from rich.table import Table

TURNS = 3
# Widths: the five layers take about as long as the DCGAN-like net of the earlier measurements (batch 32, 64 px).
NETS: dict[str, dict[str, Any]] = {
    "dcgan": {"net": "dcgan", "width": 64},
    "five-layer": {"net": "five-layer", "width": 32},
    "five-layer with R1": {"net": "five-layer", "width": 32, "r1": True},
}
NAIVE = {"layout": "contiguous", "keep_memory": False, "precision": "fp32", "kernels": "reference"}
LAST = {**NAIVE, "layout": "channels-last"}
KEPT = {**LAST, "keep_memory": True}
FUSED = {**KEPT, "kernels": "require"}
RUNGS = {
    "plain NCHW": {**NAIVE, "operators": "plain"},
    "references NCHW": NAIVE,
    "+ channels last": {**LAST, "operators": "plain"},
    "+ memory kept": {**KEPT, "operators": "plain"},
    "+ kernels": FUSED,
    "+ bf16": {**FUSED, "precision": "bf16"},
}
# DCGAN has no operator of ours in it: its first two rungs are the same, and so are the fourth and the fifth.
OF_DCGAN = ("references NCHW", "+ channels last", "+ memory kept", "+ bf16")
BASE = ("plain NCHW", "references NCHW")


def step(net: dict[str, Any], rung: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The figures of one process."""
    words = {**net, **rung, **more}
    environment = {**os.environ, "GANZOO_KERNELS": words.pop("kernels")}
    command = [sys.executable, cpu_step.__file__, json.dumps(words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    kept: dict[str, Any] = {}
    yield kept
    if kept:
        command = " ".join(["python -m pytest", *request.config.invocation_params.args])
        print(measuring.write("cpu-settings", {**measuring.machine(), "command": command, "nets": kept}))


@pytest.mark.parametrize("name", NETS)
def test_settings(name: str, found: dict[str, Any], request: pytest.FixtureRequest) -> None:
    rungs = {rung: words for rung, words in RUNGS.items() if name != "dcgan" or rung in OF_DCGAN}
    if not measuring.enabled(request.config):
        # One process of this kind is enough to see that all of it runs; the rungs differ in words.
        tiny = {**NETS[name], "width": 4, "batch": 2, "steps": 1}
        assert step(tiny, {**RUNGS["+ bf16"], "kernels": "auto"}, profile=True)["median_ms"] > 0
        return
    turns = 1 if request.config.getoption("--quick") else TURNS
    times: dict[str, list[dict[str, Any]]] = {rung: [] for rung in rungs}
    for turn in range(turns):
        for rung in list(rungs)[:: 1 if turn % 2 else -1]:
            times[rung].append(step(NETS[name], rungs[rung], profile=turn == turns - 1))
    found[name] = {"settings": NETS[name], "rungs": ladder(times, rungs)}
    show(name, found[name]["rungs"])


def ladder(times: dict[str, list[dict[str, Any]]], rungs: dict[str, Any]) -> list[dict[str, Any]]:
    medians = {rung: statistics.median(one["median_ms"] for one in several) for rung, several in times.items()}
    base = [medians[rung] for rung in BASE if rung in medians]
    return [
        {
            "rung": rung,
            "settings": rungs[rung],
            "times_base": round(base[0] / medians[rung], 2),
            "times_references": round(base[-1] / medians[rung], 2),
            "median_ms": medians[rung],
            "processes_ms": [one["median_ms"] for one in several],
            "best_ms": min(one["best_ms"] for one in several),
            **{key: several[-1][key] for key in ("page_faults_a_step", "in_system", "shares")},
            "images_per_second": statistics.median(one["images_per_second"] for one in several),
        }
        for rung, several in times.items()
    ]


def show(name: str, rungs: list[dict[str, Any]]) -> None:
    """The ladder, with how many times quicker than its first rung each is."""
    kinds = list(dict.fromkeys(kind for rung in rungs for kind in rung["shares"]))
    table = Table(title=f"{name}, batch 32, 64 px", title_justify="left", box=None, pad_edge=False)
    for heading in ("rung", "ms", "best", "img/s", "times quicker", "faults a step", "in system", *kinds):
        table.add_column(heading, justify="left" if heading == "rung" else "right")
    for rung in rungs:
        of_kinds = [f"{rung['shares'].get(kind, 0):.0%}" for kind in kinds]
        figures = [f"{rung[name]:.0f}" for name in ("median_ms", "best_ms", "images_per_second")]
        table.add_row(
            rung["rung"],
            *figures,
            f"{rung['times_base']:.2f}",
            str(rung["page_faults_a_step"]),
            f"{rung['in_system']:.0%}",
            *of_kinds,
        )
    Console(width=170).print("\n", table)
