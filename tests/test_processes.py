"""Several processes play the game that one would have played. Real processes on this machine, over gloo."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import environment

from ganzoo import checkpoint

DCGAN = ("--arch", "dcgan:latent=4,width=4", "--data", "digits:size=16", "--batch", "8", "--seed", "3")


def command(count: int, out: Path, steps: int, *words: str) -> list[str]:
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    quick = ("--log-every", "2", "--sample-every", "0", "--save-every", "4", "--steps", str(steps), "--out", str(out))
    return [sys.executable, *several, "-m", "ganzoo", "train", *DCGAN, *words, *quick]


def train(count: int, out: Path, steps: int, *words: str) -> dict:
    finished = subprocess.run(
        command(count, out, steps, *words), env=environment(), capture_output=True, text=True, timeout=200, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("trained ") == 1  # only the first process speaks
    return checkpoint.load(out / "checkpoints")


def distance(one: dict, other: dict) -> float:
    """The relative distance by norm over all parameters and buffers of the networks."""

    def flat(state: dict) -> torch.Tensor:
        networks = state["networks"]
        found = [networks[name][key] for name in sorted(networks) for key in sorted(networks[name])]
        return torch.cat([value.double().flatten() for value in found])

    return ((flat(one) - flat(other)).norm() / flat(one).norm()).item()


CASES = {
    "adam in float64": (("--precision", "fp64"), 1e-12),
    "batch statistics in float64": (("--precision", "fp64", "--loss", "nonsaturating", "--reg", "diffaugment"), 1e-12),
    "penalties in float64": (("--precision", "fp64", "--loss", "wgan-gp", "--reg", "r1:every=2"), 1e-12),
    "means of scores in float64": (
        ("--precision", "fp64", "--loss", "relativistic-average", "--reg", "lecam:weight=1"),
        1e-12,
    ),
    "sgd in float32": (("--procedure", "adversarial:optimizer=sgd,rate=0.01"), 1e-6),
    "sgd without batch statistics in float32": (
        (
            "--arch",
            "mlp:width=16",
            "--loss",
            "hinge",
            "--reg",
            "r1",
            "--procedure",
            "adversarial:optimizer=sgd,rate=0.01",
        ),
        1e-6,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_two_processes_at_half_the_batch_are_one_at_the_whole(name, tmp_path):
    words, tolerance = CASES[name]
    one, two = (train(count, tmp_path / str(count), 10, *words) for count in (1, 2))
    assert distance(one, two) < tolerance
    assert one["stream"] == two["stream"]


@pytest.mark.slow
def test_continuing_with_another_number_of_processes(tmp_path):
    wanted = train(1, tmp_path / "one", 12, "--precision", "fp64")
    for steps, count in ((4, 1), (8, 2), (12, 1)):
        found = train(count, tmp_path / "changing", steps, "--precision", "fp64")
    assert distance(wanted, found) < 1e-12


def test_a_batch_that_cannot_be_shared(tmp_path):
    words = command(2, tmp_path / "run", 2, "--batch", "7")
    finished = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert finished.returncode
    assert finished.stderr.count("ganzoo: a batch of 7 cannot be shared among 2 processes") == 1


def start(tmp_path: Path) -> subprocess.Popen:
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(2, run, 4000), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not checkpoint.steps(run / "checkpoints"):
        time.sleep(0.05)
    assert checkpoint.steps(run / "checkpoints"), process.communicate(timeout=10)
    return process


def children(process: subprocess.Popen) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    return sorted(map(int, found.stdout.split()))


@pytest.mark.parametrize("which", [0, 1])
def test_the_death_of_one_ends_the_run_and_the_same_command_goes_on(tmp_path, which):
    process = start(tmp_path)
    subprocess.run(["kill", "-9", str(children(process)[which])], check=True)
    process.communicate(timeout=90)
    assert process.returncode != 0
    saved = checkpoint.steps(tmp_path / "run" / "checkpoints")[-1]
    state = train(1, tmp_path / "run", saved + 2)
    assert state["step"] == saved + 2


def test_a_signal_ends_all_after_the_same_step(tmp_path):
    process = start(tmp_path)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=90)
    assert "stopped by SIGTERM after step" in out, out + err
    step = int(out.split("stopped by SIGTERM after step ")[1].split(";")[0])
    assert checkpoint.load(tmp_path / "run" / "checkpoints")["step"] == step
