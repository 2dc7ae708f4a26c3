"""Signs of death: each fires on a run that was made to die that way, once, and not on a healthy one."""

from __future__ import annotations

import json
import math

import numpy
import pytest
import torch

import ganzoo
from ganzoo.config import resolve
from ganzoo.detectors import LASTING, LOOKS, Detector, Watch
from ganzoo.errors import NonFiniteError
from ganzoo.registry import installed
from ganzoo.run import json_lines
from ganzoo.training import build, checked


def dying(folder, **words):
    """The names of the signs of a run, in the order in which they were seen."""
    settings = {"data": "digits:size=16", "batch": 16, "log_every": 20, "save_every": 0, "sample_every": 0}
    run = ganzoo.train(**{**settings, "device": "cpu", "quiet": True, "out": folder / "run", **words})
    return run, [line["warning"].split(":")[0] for line in json_lines(run.path / "warnings.jsonl")]


def test_a_discriminator_that_wins(tmp_path):
    procedure = "adversarial:generator_rate=1e-7,rate=1e-3"
    run, names = dying(tmp_path, arch="dcgan:width=4,norm=none", steps=600, procedure=procedure)
    assert names == ["discriminator saturated"]
    assert run.logged()[-1]["loss/discriminator"] < 0.02


@pytest.mark.slow
def test_a_critic_without_bounds(tmp_path):
    words = {"loss": "wgan", "no_reg": "weight-clip", "procedure": "adversarial:rate=1e-3", "data": "digits"}
    _, names = dying(tmp_path, arch="dcgan:width=8,norm=none", steps=500, **words)
    assert names[0] == "discriminator score gap exploding"


def test_a_generator_that_is_told_nothing(tmp_path):
    words = {"loss": "minimax", "procedure": "adversarial:rate=3e-3,generator_rate=1e-6"}
    _, names = dying(tmp_path, arch="dcgan:width=8,norm=none", steps=600, **words)
    assert "generator gradient vanished" in names


def eight(tmp_path):
    pictures = installed().make("dataset", "digits", {"size": "16"}).open().fetch(list(range(0, 80, 10))).sample
    numpy.savez(tmp_path / "eight.npz", samples=((pictures + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    return str(tmp_path / "eight.npz")


@pytest.mark.slow
def test_a_generator_that_collapses(tmp_path):
    words = {"data": eight(tmp_path), "batch": 8, "log_every": 50}
    run, names = dying(tmp_path, arch="dcgan:width=16", steps=1_400, **words)
    assert "diversity falling" in names
    assert run.logged()[-1]["diversity"] < 0.1


def test_a_generator_that_makes_copies(tmp_path):
    """A lookup table of the training pictures, played as if it had been learnt."""
    path = eight(tmp_path)
    config = resolve(installed(), {"arch": "dcgan:width=4", "data": path, "batch": 8})
    parts = checked(config, installed())
    collection = parts.dataset.open()
    game = build(config, parts, collection, torch.device("cpu"), 0)
    watch = Watch(game, collection, log_every=1)
    pictures = collection.fetch(list(range(8))).sample

    def copies(asked):
        return pictures.repeat(4, 1, 1, 1)[: asked.count] + 0.01

    told = []
    game.procedure.sample = lambda game, asked: copies(asked)
    for step in range(50, 400, 50):
        game.step = step
        told += watch.look({"step": step, **watch.numbers(game)})
    assert [sentence.split(":")[0] for sentence in told] == ["memorisation"]


def test_faint_samples_are_no_copies():
    """What hardly sounds yet lies near to every quiet sound, and is none of them."""
    config = resolve(installed(), {"arch": "wavegan:width=2", "data": "tones:length=1024,count=64", "batch": 4})
    parts = checked(config, installed())
    collection = parts.dataset.open()
    watch = Watch(build(config, parts, collection, torch.device("cpu"), 0), collection, log_every=0)
    real = collection.fetch(list(range(32))).sample
    shown = {"faint": 1e-3 * torch.randn(real.shape, generator=torch.Generator().manual_seed(0)), "copies": real}
    nearness = {name: watch.real.compared(samples)["nearness"] for name, samples in shown.items()}
    assert nearness["faint"] > 0.8
    assert nearness["copies"] < 0.1


def test_augmentation_at_its_bound_is_told(tmp_path):
    words = {"arch": "dcgan:width=4,norm=none", "procedure": "adversarial:generator_rate=1e-7,rate=1e-3"}
    _, names = dying(tmp_path, **words, reg="ada:speed=0.2,largest=0.7", steps=500)
    assert "ada" in names


def test_numbers_that_are_not_finite_are_told_with_their_layer(tmp_path):
    with pytest.raises(NonFiniteError):
        dying(tmp_path, arch="mlp:width=8", data="ring", steps=40, procedure="adversarial:rate=1e20")
    (line,) = json_lines(tmp_path / "run" / "warnings.jsonl")
    assert "discriminator.main" in line["warning"] and "clip_norm" in line["warning"]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_healthy_run_is_left_in_peace(tmp_path, seed):
    _, names = dying(tmp_path, recipe="gan-ring", data=None, batch=128, steps=600, seed=seed, log_every=10)
    assert names == []


# When


def lasting(values, every=50):
    detector = Detector("sign", lambda record: "seen" if record["value"] else None, "Advice")
    told = [detector.look({"step": every * (index + 1), "value": value}) for index, value in enumerate(values)]
    return [every * (index + 1) for index, sentence in enumerate(told) if sentence]


def test_a_sign_must_last_and_is_told_once():
    assert lasting([True] * 20) == [LASTING + 50]
    assert lasting([True] * 20, every=500) == [500 * LOOKS]
    assert lasting([True, True, False] * 7) == []
    assert lasting([True] * 6 + [False] + [True] * 6) == [250, 600]


@pytest.mark.parametrize("kind", ["pictures", "points", "tokens"])
def test_diversity_is_a_share_of_that_of_real_samples(kind):
    data = {"pictures": "digits:size=16", "points": "ring", "tokens": "toy-tokens"}[kind]
    arch = {"pictures": "dcgan:width=4", "points": "mlp:width=8", "tokens": "toy-tokens:width=4"}[kind]
    config = resolve(installed(), {"arch": arch, "data": data, "batch": 4})
    parts = checked(config, installed())
    collection = parts.dataset.open()
    game = build(config, parts, collection, torch.device("cpu"), 0)
    watch = Watch(game, collection, log_every=0)
    real = collection.fetch([index * 7 % len(collection) for index in range(32)]).sample
    game.procedure.sample = lambda game, asked: real
    same = watch.numbers(game)
    assert 0.6 < same["diversity"] < 1.6
    game.procedure.sample = lambda game, asked: real[:1].repeat(32, *[1] * (real.ndim - 1))
    assert watch.numbers(game)["diversity"] == pytest.approx(0, abs=1e-6)
    assert all(math.isfinite(value) for value in same.values())


# What follows


def test_stop_saves_and_ends_and_the_same_command_goes_on(tmp_path, ganzoo):
    words = ("--arch", "dcgan:width=4,norm=none", "--data", "digits:size=16", "--batch", 16, "--log-every", 20)
    words += ("--procedure", "adversarial:generator_rate=1e-7,rate=1e-3", "--save-every", 0, "--out", "run")
    words += ("--device", "cpu")
    ended = ganzoo("train", *words, "--steps", 900, "--on-warning", "stop", code=1)
    assert "stopped by a warning after step" in ended.stderr
    (line,) = json_lines(tmp_path / "run" / "warnings.jsonl")
    assert (tmp_path / "run" / "checkpoints" / f"step-{line['step']:08d}").is_dir()
    gone_on = ganzoo("train", *words, "--steps", line["step"] + 40, "--on-warning", "stop")
    assert f"after step {line['step']}" in gone_on.stdout  # and the warning that is known is not told again
    assert len(json_lines(tmp_path / "run" / "warnings.jsonl")) == 1
    assert "discriminator saturated" in (ganzoo("report", "run"), (tmp_path / "run" / "report.html").read_text())[1]


def test_save_keeps_the_step_of_the_warning(tmp_path):
    words = {"procedure": "adversarial:generator_rate=1e-7,rate=1e-3", "on_warning": "save"}
    run, _ = dying(tmp_path, arch="dcgan:width=4,norm=none", steps=600, **words)
    (line,) = json_lines(run.path / "warnings.jsonl")
    assert run.steps == [line["step"], 600]


def test_watching_changes_nothing(tmp_path):
    """Looked at or not, a run comes out the same."""
    states = []
    for name, every in (("often", 1), ("once", 0)):
        words = {"recipe": "gan-ring", "steps": 60, "batch": 32, "device": "cpu", "quiet": True}
        run = ganzoo.train(**words, log_every=every, out=tmp_path / name)
        states.append((run.path / "checkpoints" / "step-00000060" / "state.safetensors").read_bytes())
    assert states[0] == states[1]


# Measured while it trains


def test_the_best_and_the_last_checkpoint_stay(tmp_path, ganzoo):
    words = ("gan-ring", "--batch", 32, "--steps", 60, "--keep", 1, "--save-every", 10, "--out", "run")
    done = ganzoo(
        "train", *words, "--evaluate-every", 20, "--metric", "sliced-wasserstein:projections=16", "--count", 100
    )
    lines = json_lines(tmp_path / "run" / "measures.jsonl")
    assert [line["step"] for line in lines] == [20, 40, 60]
    assert done.stdout.count("sliced-wasserstein") + done.stdout.count("sliced_wasserstein") >= 3
    best = min(lines, key=lambda line: line["value"])
    told = json.loads((tmp_path / "run" / "best.json").read_text())
    assert told == {"step": best["step"], "name": best["name"], "value": best["value"]}
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == sorted({f"step-{step:08d}" for step in (best["step"], 60)})
    after = ganzoo("evaluate", "run", "--metric", "sliced-wasserstein:projections=16", "--count", 100, "--json")
    assert json.loads(after.stdout)[0]["value"] == lines[-1]["value"]


def test_an_unknown_answer_to_warnings_is_refused(tmp_path):
    with pytest.raises(ganzoo.UsageError, match="ignore, save, stop"):
        dying(tmp_path, arch="mlp", data="ring", steps=1, on_warning="panic")
