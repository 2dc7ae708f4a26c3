"""The grid of 25: how many modes a plain GAN, packing and unrolling find, with PacGAN's networks, shortened.

    python benchmarks/modes.py FOLDER [--steps 8000] [--seeds 3] [FORM...]

The protocol is PacGAN's (Lin et al. 2018, arXiv:1712.04086, section 4.1: 2,500 samples, the metric `modes`), but for
the number of steps and the rate: they took 400,000 steps at 1e-4, this takes 8,000 at 1e-3. So the figures stand beside
each other, not beside the paper's.

Runs lie in FOLDER and are continued if the script is started again. Writes benchmarks/results/modes-grid.json after
every run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from measuring import RESULTS, machine, write

import ganzoo
from ganzoo.metrics.evaluate import Asked, evaluate

SETTINGS = "rate=1e-3,beta1=0.8"
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"recipe": "pacgan-grid:plain", "procedure": f"adversarial:{SETTINGS}"},
    "packing-2": {"recipe": "pacgan-grid", "procedure": f"adversarial:{SETTINGS}"},
    "unrolled-3": {"recipe": "pacgan-grid:unrolled", "procedure": f"unrolled:unroll=3,{SETTINGS}"},
    "veegan": {"recipe": "pacgan-grid:veegan", "procedure": f"veegan:{SETTINGS}"},
    "mode-seeking": {
        "recipe": "pacgan-grid:plain",
        "reg": "mode-seeking:weight=0.1",
        "procedure": f"adversarial:{SETTINGS}",
    },
    "minibatch-discrimination": {
        "recipe": "pacgan-grid:plain",
        "reg": "minibatch-discrimination:kernels=20",
        "procedure": f"adversarial:{SETTINGS}",
    },
}
SHOWN = ("modes", "high_quality", "reverse_kl")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("forms", nargs="*", default=["plain", "packing-2", "unrolled-3"])
    parser.add_argument("--steps", type=int, default=8000)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for seed in range(asked.seeds):
        for form in asked.forms:
            record(form, seed, asked.steps, played(form, seed, asked.steps, asked.folder / f"{form}-{seed}"))


def played(form: str, seed: int, steps: int, folder: Path) -> dict[str, float]:
    """What a run's samples are worth; CPU minutes of what was still to be trained."""
    start = time.process_time()
    settings = {"device": "cpu", "workers": 0, "quiet": True, "sample_every": 0, "log_every": 100}
    run = ganzoo.train(**FORMS[form], seed=seed, steps=steps, out=folder, **settings)
    minutes = (time.process_time() - start) / 60
    if run.steps[-1] < steps:  # a signal stopped it; started again, the script goes on from there
        raise SystemExit(f"{folder.name} was stopped at step {run.steps[-1]}")
    results = evaluate(run.path, Asked(metrics=("modes",), count=2500))
    return {**{result["name"]: result["value"] for result in results}, "cpu_minutes": round(minutes, 2)}


def record(form: str, seed: int, steps: int, numbers: dict[str, float]) -> None:
    """Put a run's numbers beside the others', and the means over the seeds."""
    path = RESULTS / "modes-grid.json"
    found = json.loads(path.read_text()) if path.exists() else {"runs": {}}
    found["protocol"] = " ".join(__doc__.split("\n\n")[2].split())
    found["runs"][f"{form}, seed {seed}, {steps} steps"] = numbers
    means: dict[str, Any] = {}
    for one in {name.rpartition(", seed")[0] for name in found["runs"]}:
        same = [values for name, values in found["runs"].items() if name.startswith(f"{one}, ")]
        means[one] = {word: round(statistics.mean(run[word] for run in same), 4) for word in SHOWN}
        means[one]["seeds"] = len(same)
    found["means"] = dict(sorted(means.items()))
    write("modes-grid", {**found, "machine": machine()})
    print(form, seed, numbers, flush=True)


if __name__ == "__main__":
    main()
