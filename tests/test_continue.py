"""Real processes, stopped by signals at random steps and started again by the same command: every byte of the last
state is that of a run that was never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from conftest import command, environment

import ganzoo as library

STEPS = 40
DCGAN = ("--arch", "dcgan:latent=4,width=4", "--data", "digits:size=16")
MLP = ("--arch", "mlp:latent=2,width=8,layers=1", "--data", "ring:count=300")
COMBINATIONS = [
    (*DCGAN, "--loss", "nonsaturating"),
    (*DCGAN, "--loss", "wgan-gp"),
    (*DCGAN, "--loss", "wgan"),
    (*DCGAN, "--loss", "hinge", "--reg", "spectral-norm"),
    (*DCGAN, "--loss", "hinge", "--reg", "spectral-norm:side=both,iterations=2", "--reg", "diffaugment"),
    (*DCGAN, "--loss", "lsgan", "--reg", "instance-noise:steps=30"),
    (*DCGAN, "--loss", "minimax", "--reg", "r1:every=4"),
    (*DCGAN, "--loss", "nonsaturating", "--procedure", "adversarial:average=100,average_ramp=0.1"),
    (*DCGAN, "--loss", "nonsaturating", "--procedure", "adversarial:optimizer=sgd,momentum=0.9,rate=0.01"),
    (*DCGAN, "--loss", "nonsaturating", "--procedure", "adversarial:optimizer=rmsprop,momentum=0.5,micro_batches=2"),
    (*DCGAN, "--loss", "nonsaturating", "--precision", "bf16"),
    (*MLP, "--loss", "nonsaturating", "--procedure", "adversarial:schedule=linear,schedule_start=5"),
    (*MLP, "--loss", "wgan-gp", "--procedure", "adversarial:schedule=cosine,clip_norm=0.5"),
    (*MLP, "--loss", "hinge", "--reg", "r1:every=3", "--reg", "instance-noise:steps=20"),
    (*MLP, "--loss", "lsgan", "--reg", "gradient-penalty:one_sided=true"),
    ("--arch", "toy-cycle"),
    ("--arch", "toy-tokens"),
    ("--arch", "dcgan:latent=4,width=4", "--procedure", "toy-latents", "--loss", "toy-l2", "--data", "digits:size=16"),
    ("--arch", "toy-growing"),
    ("--arch", "toy-table"),
    (*DCGAN[:2], "--loss", "nonsaturating", "--data", "shapes:count=50,size=16", "--workers", "2"),
]
WITHOUT_WORKERS = len(COMBINATIONS) - 1  # the last one decodes in workers; its undisturbed twin does not


def words(index: int, out: Path, steps: int = STEPS) -> list[str]:
    fast = ("--batch", "8", "--steps", steps, "--seed", index, "--log-every", 1, "--sample-every", 9, "--save-every", 7)
    return command("train", *COMBINATIONS[index], *fast, "--out", out)


def last_state(run: Path) -> bytes:
    return (run / "checkpoints" / f"step-{STEPS:08d}" / "state.safetensors").read_bytes()


def logged(run: Path) -> list[dict]:
    """The log, without what the clock says."""
    lines = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [
        {key: value for key, value in line.items() if not key.startswith(("seconds", "samples_per"))} for line in lines
    ]


def stop_at(words: list[str], run: Path, step: int, number: int) -> subprocess.CompletedProcess:
    """Start a run, send it a signal once this step stands in its log, and wait for its end."""
    process = subprocess.Popen(
        words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline, log = time.monotonic() + 120, run / "log.jsonl"
    while process.poll() is None and time.monotonic() < deadline:
        if log.exists() and log.read_text().count("\n") >= step:
            # The whole group, as a terminal or a job scheduler would: worker processes get it too.
            os.killpg(process.pid, number)
            break
        time.sleep(0.002)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


# Every fourth is quick enough for each change: test_zoo continues all of the zoo, without processes.
QUICK = range(0, len(COMBINATIONS), 4)


@pytest.mark.parametrize(
    "index",
    [
        pytest.param(index, id=" ".join(words), marks=() if index in QUICK else pytest.mark.slow)
        for index, words in enumerate(COMBINATIONS)
    ],
)
def test_stopped_and_continued(index, tmp_path):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    undisturbed = [word if word != "2" or index < WITHOUT_WORKERS else "0" for word in words(index, straight)]
    twin = subprocess.Popen(undisturbed, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    step = random.Random(index).randint(1, STEPS - 10)
    number = (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)[index % 3]
    ended = stop_at(words(index, stopped), stopped, step, number)
    assert ended.returncode in (128 + number, 0), ended.stderr
    assert "Traceback" not in ended.stderr
    if ended.returncode:  # it did not reach the end before the signal came
        assert "The same command goes on from there" in ended.stdout
        again = subprocess.run(
            words(index, stopped), env=environment(), capture_output=True, text=True, timeout=120, check=False
        )
        assert again.returncode == 0, again.stderr
        assert f"continuing {stopped} after step" in again.stdout
    out, err = twin.communicate(timeout=120)
    assert twin.returncode == 0, out + err
    assert last_state(stopped) == last_state(straight)
    assert logged(stopped) == logged(straight)
    pictures = [sorted((run / "samples").iterdir())[-1].read_bytes() for run in (straight, stopped)]
    assert pictures[0] == pictures[1]


def test_killed_without_warning_goes_on_from_the_last_checkpoint(tmp_path):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    subprocess.run(words(0, straight), env=environment(), check=True, capture_output=True)
    for step in (10, 25):
        ended = stop_at(words(0, killed), killed, step, signal.SIGKILL)
        assert ended.returncode == -signal.SIGKILL
    with (killed / "log.jsonl").open("a") as file:
        file.write('{"step": 99')  # a line that the kill cut short
    subprocess.run(words(0, killed), env=environment(), check=True, capture_output=True)
    assert last_state(killed) == last_state(straight)
    assert logged(killed) == logged(straight)


@pytest.mark.slow
def test_more_steps_continue_a_run(tmp_path):
    """A larger --steps goes on, and gives what the larger number would have given at once."""
    subprocess.run(words(1, tmp_path / "a", 15), env=environment(), check=True, capture_output=True)
    subprocess.run(words(1, tmp_path / "a"), env=environment(), check=True, capture_output=True)
    subprocess.run(words(1, tmp_path / "b"), env=environment(), check=True, capture_output=True)
    assert last_state(tmp_path / "a") == last_state(tmp_path / "b")
    finished = subprocess.run(words(1, tmp_path / "a"), env=environment(), check=True, capture_output=True, text=True)
    assert f"already has {STEPS} steps" in finished.stdout


def test_a_schedule_tied_to_the_steps_refuses_more(tmp_path, ganzoo):
    ganzoo(*words(11, tmp_path / "a", 12)[3:])
    finished = ganzoo(*words(11, tmp_path / "a", 13)[3:], code=1)
    assert "tied to the number of steps" in finished.stderr
    assert "steps is 12 there and 13 here" in finished.stderr


def test_logging_sampling_and_saving_change_nothing(tmp_path):
    def train(name, **every):
        run = library.train(
            arch="dcgan:width=4,latent=4",
            data="digits:size=16",
            loss="hinge",
            reg="spectral-norm",
            batch=8,
            steps=6,
            quiet=True,
            out=tmp_path / name,
            **every,
        )
        return (run.checkpoints / "step-00000006" / "state.safetensors").read_bytes()

    often = train("often", log_every=1, sample_every=1, save_every=1)
    assert often == train("never", log_every=0, sample_every=0, save_every=0)


def test_a_callers_random_numbers_stay_as_they_were(tmp_path):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    library.train(arch="mlp:width=4,layers=1", data="ring:count=64", steps=2, batch=8, quiet=True, out=tmp_path / "a")
    assert torch.equal(torch.rand(4), wanted)


def workers_of(process: subprocess.Popen) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True)
    return list(map(int, found.stdout.split()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_signals_that_reach_the_workers(tmp_path, number):
    """A service manager's SIGTERM to every process ends the run in order; a killed worker is told in a sentence."""
    run = tmp_path / "run"
    several = command("train", *COMBINATIONS[-1], "--batch", 8, "--steps", 4000, "--log-every", 1, "--out", run)
    process = subprocess.Popen(several, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not ((run / "log.jsonl").exists() and (run / "log.jsonl").read_text()):
        time.sleep(0.05)
    for worker in workers_of(process):
        os.kill(worker, number)
    if number == signal.SIGTERM:
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    if number == signal.SIGTERM:
        assert process.returncode == 128 + number and "The same command goes on from there" in out
    else:
        assert process.returncode == 1 and "a process that decodes data was killed" in err
