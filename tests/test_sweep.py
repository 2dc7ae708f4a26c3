"""`ganzoo sweep`: a grid is checked before it runs, goes on from whatever ended it, and ends in one table."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import numpy
import pytest
from click.testing import CliRunner
from conftest import command, environment

from ganzoo.cli import main
from ganzoo.errors import UsageError
from ganzoo.grid import Grid, regularizers_of
from ganzoo.registry import installed

TINY = ("--arch", "mlp:width=4,layers=1", "--data", "ring:count=64", "--batch", 8, "--steps", 4, "--device", "cpu")
TINY += ("--loss", "hinge", "--count", 16)


def cells(**axes) -> dict[str, object]:
    found, _ = Grid(axes).cells(installed())
    return {cell.name: cell.config for cell in found}


def rows(path: Path) -> list[dict[str, str]]:
    """The lines of a table without the times, which no two sweeps share."""
    with path.open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


# The grid


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, ()),
        ("none", ()),
        ("r1", ("r1",)),
        ("r1:gamma=1,every=16+diffaugment", ("r1:gamma=1,every=16", "diffaugment")),
        ("""r1:gamma='1e+1' + x:y="a+b",z='c+d'""", ("r1:gamma='1e+1'", """x:y="a+b",z='c+d'""")),
    ],
)
def test_a_set_of_regularizers_is_joined_by_plus_outside_quotes(text, wanted):
    assert regularizers_of(text) == wanted


@pytest.mark.parametrize("text", ["", "+", "r1+", "r1++r2"])
def test_a_set_that_cannot_be_read_is_told(text):
    with pytest.raises(UsageError, match="NAME\\+NAME, or none"):
        regularizers_of(text)


def test_every_combination_is_a_cell_named_by_what_varies():
    found, unfit = Grid(
        {"arch": ["dcgan"], "loss": ["hinge", "wgan-gp"], "reg": ["none", "r1:gamma=1,every=16+diffaugment"]},
        seeds=2,
        seed=5,
    ).cells(installed())
    assert not unfit
    assert [cell.name for cell in found][:4] == [
        "hinge_none_seed5",
        "hinge_r1-gamma=1,every=16+diffaugment_seed5",
        "wgan-gp_none_seed5",
        "wgan-gp_r1-gamma=1,every=16+diffaugment_seed5",
    ]
    assert [cell.config.seed for cell in found] == [5] * 4 + [6] * 4
    assert [choice.name for choice in found[3].config.regularizers] == ["gradient-penalty", "r1", "diffaugment"]
    assert found[1].config.regularizers[0].options["gamma"] == 1


def test_names_are_safe_as_folders_and_short(tmp_path):
    numpy.save(tmp_path / "a b$(rm).npy", numpy.zeros((8, 2), numpy.float32))
    found = cells(
        arch=["mlp"], data=[str(tmp_path / "a b$(rm).npy"), "ring"], procedure=["adversarial", "adversarial:rate=1e-3"]
    )
    assert "a-b-rm-.npy_adversarial-rate=1e-3_seed0" in found
    assert "ring_adversarial_seed0" in found
    long = cells(arch=["mlp"], data=["ring", "ring:count=" + "0" * 300 + "64"])
    assert max(map(len, long)) < 200
    assert len(long) == 2


def test_what_is_the_same_once_spelled_out_is_one_cell():
    assert len(cells(loss=["wgan-gp"], arch=["dcgan"], reg=["none", "gradient-penalty"])) == 1
    assert len(cells(arch=["dcgan"], data=["digits", "digits:size=32", "digits:size=16"])) == 2


def test_a_recipe_is_what_the_grid_stands_on():
    found, _ = Grid({"batch": [8, 16]}, recipe="gan-ring", steps=7).cells(installed())
    assert [cell.name for cell in found] == ["batch8_seed0", "batch16_seed0"]
    assert {(cell.config.dataset.name, cell.config.steps) for cell in found} == {("ring", 7)}


def test_what_does_not_fit_is_told_and_left_out_and_what_is_wrong_is_refused():
    found, unfit = Grid({"arch": ["dcgan", "toy-cycle"], "loss": ["hinge"], "data": ["digits"]}).cells(installed())
    assert [cell.name for cell in found] == ["dcgan_seed0"]
    assert [one.name for one in unfit] == ["toy-cycle"]
    assert "need" in unfit[0].why
    for axes in (
        {"arch": ["dcgan", "dcgn"]},
        {"arch": ["dcgan", "dcgan:widht=4"]},
        {"arch": ["dcgan"], "reg": ["r1+"]},
    ):
        with pytest.raises(UsageError):
            Grid(axes).cells(installed())


def test_nothing_runs_unless_everything_asked_is_right(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words, told in (
        (("--arch", "toy-cycle", "--data", "digits", "--loss", "hinge"), "nothing of the grid fits"),
        (("--arch", "dcgan", "--arch", "dcgn"), "did you mean dcgan"),
        ((*TINY, "--metric", "frechett"), "there is no metric 'frechett'"),
        ((*TINY, "--metric", "inception-score"), "--features"),
        ((*TINY, "--features", "nothing.safetensors"), "nothing.safetensors"),
        ((*TINY, "--precision", "fp32", "--precision", "fp16"), "needs a GPU"),
    ):
        result = CliRunner().invoke(main, ["sweep", *map(str, words), "--out", "swept"])
        assert result.exit_code == 2
        assert told in result.stderr
    assert not (tmp_path / "swept").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    result = CliRunner().invoke(main, ["sweep", *map(str, TINY), "--out", "other"])
    assert result.exit_code == 1
    assert "not empty and not a sweep" in result.stderr


# The work


def test_a_sweep_ends_in_a_table_and_is_not_done_again(ganzoo, tmp_path):
    words = ("sweep", *TINY, "--out", "swept")
    first = ganzoo(*words, "--arch", "toy-cycle", "--metric", "modes")
    name = "mlp-width=4,layers=1_seed0"
    assert "toy-cycle does not fit: " in first.stdout
    assert f"1/1 {name}: trained and measured in" in first.stdout
    (row,) = rows(tmp_path / "swept" / "table.csv")
    assert (row["run"], row["steps"], row["modes"] != "") == (name, "4", True)
    assert "does not fit" in (tmp_path / "swept" / "index.html").read_text(encoding="utf-8")
    measures = (tmp_path / "swept" / name / "measures.jsonl").read_text()
    # A larger grid: what is there keeps its folder, and neither trains nor is measured again.
    again = ganzoo(*words, "--seeds", 2, "--metric", "modes")
    assert f"{name}: done before" in again.stdout
    assert "2/2 seed1: trained and measured in" in again.stdout
    assert (tmp_path / "swept" / name / "measures.jsonl").read_text() == measures
    assert [found["run"] for found in rows(tmp_path / "swept" / "table.csv")] == [name, "seed1"]
    # A run can be repeated by hand: what its log says is a command that knows it is done.
    by_hand = next(
        line for line in (tmp_path / "swept/logs" / f"{name}.txt").read_text().splitlines() if line.startswith("$")
    )
    assert "already has 4 steps" in ganzoo(*shlex.split(by_hand)[2:]).stdout


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(ganzoo, tmp_path):
    words = ("--procedure", "adversarial:rate=1e30", "--procedure", "adversarial", "--metric", "none")
    done = ganzoo("sweep", *TINY, *words, "--out", "swept", "--log-every", 1, code=1)
    assert "adversarial-rate=1e30_seed0: failed: " in done.stdout
    assert "not finite" in done.stdout or "non-finite" in done.stdout or "not a number" in done.stdout
    assert "adversarial_seed0: trained in" in done.stdout
    assert "1 run failed" in done.stderr
    assert [row["run"] for row in rows(tmp_path / "swept" / "table.csv")] == ["adversarial_seed0"]
    assert "failed: " in (tmp_path / "swept" / "index.html").read_text(encoding="utf-8")


def started(folder: Path, *words: object) -> subprocess.Popen:
    return subprocess.Popen(
        command("sweep", *words),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def until(process: subprocess.Popen, there) -> None:
    """Wait for something that the sweep makes."""
    while not there():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.002)


def newest(run: Path) -> int:
    return max((int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")), default=0)


@pytest.mark.parametrize("whom", ["only the sweep", "all, as Ctrl-C does"])
def test_an_interrupted_sweep_saves_and_says_how_to_go_on(tmp_path, whom):
    words = (*TINY, "--steps", 100_000, "--seeds", 2, "--save-every", 10, "--out", "swept")
    process = started(tmp_path, *words)
    run = tmp_path / "swept" / "seed0"
    until(process, lambda: newest(run))
    before = newest(run)
    (os.killpg if whom.startswith("all") else os.kill)(process.pid, signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "stopped by SIGINT; 0 of 2 runs are done. The same command goes on from there" in told
    assert "Traceback" not in told
    assert "; saved." in (tmp_path / "swept" / "logs" / "seed0.txt").read_text()
    assert before <= newest(run) < 100_000
    assert not (tmp_path / "swept" / "seed1").exists()
    with pytest.raises(ProcessLookupError):  # nobody is left of them
        os.killpg(process.pid, 0)


def test_what_another_process_still_works_on_is_left_alone(ganzoo, tmp_path):
    from filelock import FileLock

    (tmp_path / "swept" / "logs").mkdir(parents=True)
    (tmp_path / "swept" / "sweep.json").write_text('{"cells": {}}')
    with FileLock(tmp_path / "swept" / "logs" / "seed0.lock"):
        done = ganzoo("sweep", *TINY, "--out", "swept", code=1)
    assert "another process is still at work" in done.stdout
    assert not (tmp_path / "swept" / "seed0").exists()


@pytest.mark.slow
def test_a_killed_sweep_ends_in_the_table_of_one_that_was_not(tmp_path, ganzoo):
    """Two losses, two sets of regularizers, two seeds; the sweep and all that it started are killed half-way."""
    from sklearn.datasets import load_digits

    pixels = numpy.kron(load_digits().images, numpy.ones((2, 2)))[:200]
    numpy.save(tmp_path / "digits.npy", (pixels * (255 / 16)).astype(numpy.uint8))
    words = ("--arch", "dcgan:width=4,latent=4", "--data", "digits.npy", "--batch", 8, "--steps", 24, "--seeds", 2)
    words += ("--loss", "hinge", "--loss", "wgan-gp", "--reg", "none", "--reg", "diffaugment", "--device", "cpu")
    words += ("--save-every", 4, "--log-every", 4, "--sample-every", 0, "--metric", "frechet", "--count", 32)
    ganzoo("sweep", *words, "--out", "whole")
    whole = rows(tmp_path / "whole" / "table.csv")
    assert len(whole) == 8
    assert all(float(row["frechet@identity"]) > 0 for row in whole)

    process = started(tmp_path, *words, "--out", "killed")
    half_way = tmp_path / "killed" / "wgan-gp_diffaugment_seed0"  # the fourth of eight
    until(process, lambda: newest(half_way))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert 0 < newest(half_way) < 24
    assert not (tmp_path / "killed" / "table.csv").exists()

    done = ganzoo("sweep", *words, "--out", "killed")
    assert done.stdout.count("done before") == 3
    assert f"{half_way.name}: trained and measured" in done.stdout
    assert rows(tmp_path / "killed" / "table.csv") == whole
    for row in whole:
        states = [
            tmp_path / one / row["run"] / "checkpoints/step-00000024/state.safetensors" for one in ("whole", "killed")
        ]
        assert states[0].read_bytes() == states[1].read_bytes()
    assert json.loads((tmp_path / "killed" / "sweep.json").read_text())["cells"].keys() == (
        json.loads((tmp_path / "whole" / "sweep.json").read_text())["cells"].keys()
    )


@pytest.mark.parametrize(
    ("device", "visible", "wanted"), [("cpu", "", [None]), ("auto", "", ["0", "1"]), ("cuda", "3,5", ["3", "5"])]
)
def test_every_visible_gpu_is_a_place_for_a_run(monkeypatch, device, visible, wanted):
    import torch

    from ganzoo.sweep import _places

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [place.get("CUDA_VISIBLE_DEVICES") for place in _places(device)] == wanted
