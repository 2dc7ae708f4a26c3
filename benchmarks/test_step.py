"""What the frame costs: ganzoo's step against a bare hand-written loop with the same networks, data and settings.

Both run in one process, in turn, pair by pair; the figure is the median ratio. `make bench` prints it and writes it to
benchmarks/results/step.json.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ganzoo.config import resolve
from ganzoo.registry import installed
from ganzoo.training import build, checked

PAIRS = 40
RESULTS = Path(__file__).parent / "results"
CASES = {
    "dcgan-32": ("dcgan", "digits:size=32", "nonsaturating"),
    "dcgan-64": ("dcgan", "digits:size=64", "nonsaturating"),
}


def game_of(arch: str, data: str, loss: str):
    config = resolve(installed(), {"arch": arch, "data": data, "loss": loss, "batch": 64})
    parts = checked(config, installed())
    return build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)


def bare_loop(game):
    """The same game as a person would write it in a script."""
    generator, discriminator = game.networks.generator, game.networks.discriminator
    options = game.procedure.options
    settings = {"lr": options["rate"], "betas": (options["beta1"], options["beta2"]), "fused": True}
    of_generator = torch.optim.Adam(generator.parameters(), **settings)
    of_discriminator = torch.optim.Adam(discriminator.parameters(), **settings)
    images = game.stream.collection.samples.float() / 127.5 - 1
    batches = (rows for _ in iter(int, 1) for rows in torch.randperm(len(images)).split(64) if len(rows) == 64)

    def step():
        for _ in range(options["n_critic"]):
            real = images[next(batches)]
            with torch.no_grad():
                fake = generator(torch.randn(64, 100))
            on_real, on_fake = discriminator(real).value, discriminator(fake).value
            loss = (F.softplus(-on_real) + F.softplus(on_fake)).mean()
            of_discriminator.zero_grad()
            loss.backward()
            of_discriminator.step()
        for parameter in discriminator.parameters():
            parameter.requires_grad_(False)
        score = discriminator(generator(torch.randn(64, 100))).value
        loss = F.softplus(-score).mean()
        of_generator.zero_grad()
        loss.backward()
        of_generator.step()
        for parameter in discriminator.parameters():
            parameter.requires_grad_(True)

    return step


def seconds(run) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


@pytest.mark.parametrize("name", CASES)
def test_step_against_a_bare_loop(name, benchmark):
    game, pairs = game_of(*CASES[name]), PAIRS
    bare, counter = bare_loop(game_of(*CASES[name])), iter(range(1, 10_000))

    def ours():
        game.play(next(counter))

    for run in (ours, bare, ours, bare):
        run()
    # Each pair in both orders by turns, so that neither side always runs first.
    times = [
        [seconds(ours), seconds(bare)] if pair % 2 else [seconds(bare), seconds(ours)][::-1] for pair in range(pairs)
    ]
    ratios = sorted(mine / theirs for mine, theirs in times)
    found = {
        "case": name,
        "pairs": pairs,
        "median_ratio": round(statistics.median(ratios), 4),
        "quartiles": [round(ratios[pairs // 4], 4), round(ratios[3 * pairs // 4], 4)],
        "ganzoo_ms": round(1e3 * statistics.median(mine for mine, _ in times), 2),
        "bare_ms": round(1e3 * statistics.median(theirs for _, theirs in times), 2),
    }
    benchmark.extra_info.update(found)
    benchmark.pedantic(ours, rounds=3)
    print(
        f"\n{name}: ganzoo {found['ganzoo_ms']} ms, bare {found['bare_ms']} ms, "
        f"median ratio {found['median_ratio']} of {pairs} pairs"
    )
    record(found)


def record(found: dict) -> None:
    """Keep the figure with the machine, the versions and the commit."""
    path = RESULTS / "step.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = {"processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    versions = {"torch": torch.__version__, "python": platform.python_version(), "commit": commit}
    kept[found["case"]] = {**found, **machine, **versions, "command": "make bench"}
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0] if names else platform.processor()
