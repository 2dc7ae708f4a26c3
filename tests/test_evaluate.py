"""`ganzoo evaluate`: what is measured, against what, under which name, and with which protocol."""

from __future__ import annotations

import base64
import json
import math
import sys

import numpy
import pytest
import torch

from ganzoo.errors import UsageError
from ganzoo.metrics import features
from ganzoo.metrics.evaluate import Asked, evaluate

SMALL = ("--arch", "dcgan:width=4", "--data", "digits:size=16", "--batch", 16, "--sample-every", 0)
FIELDS = {"name", "value", "interval", "protocol"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))


def clouds(folder, count=20_000):
    random = numpy.random.default_rng(0)
    numpy.savez(folder / "a.npz", samples=random.standard_normal((count, 8)))
    numpy.savez(folder / "b.npz", samples=0.5 + 1.5 * random.standard_normal((count, 8)))
    return folder / "a.npz", folder / "b.npz"


def test_two_gaussian_clouds_have_the_closed_form(tmp_path):
    """|mean|^2 + d (1 - s)^2 = 8 * .25 + 8 * .25"""
    a, b = clouds(tmp_path)
    (found,) = evaluate(b, Asked(metrics=["frechet"], reference=str(a)))
    assert found["name"] == "frechet@identity"
    assert found["value"] == pytest.approx(4.0, abs=0.15)
    low, high = found["interval"]
    assert low < found["value"] < high
    protocol = found["protocol"]
    assert protocol["count"] == protocol["reference_count"] == 20_000
    assert 0 < protocol["halves"] < 0.05


def test_a_perfect_sampler_of_the_ring(tmp_path, ganzoo):
    random = numpy.random.default_rng(0)
    angles = random.integers(8, size=2500) * (2 * math.pi / 8)
    points = numpy.stack([numpy.cos(angles), numpy.sin(angles)], 1) + 0.01 * random.standard_normal((2500, 2))
    numpy.savez(tmp_path / "perfect.npz", samples=points.astype(numpy.float32))
    made = ganzoo("evaluate", "perfect.npz", "--data", "ring", "--metric", "modes", "--json")
    rows = {row["name"]: row["value"] for row in json.loads(made.stdout)}
    assert rows["modes"] == 8
    assert rows["high_quality"] == pytest.approx(0.9889, abs=0.006)
    assert 0 <= rows["reverse_kl"] < 0.01  # (K - 1) / 2n = .0014 is the floor
    assert made.stderr.strip() == "" or "it/s" not in made.stdout


def test_a_run_is_measured_against_its_own_data_and_the_numbers_stay_with_it(tmp_path, ganzoo):
    ganzoo("train", "gan-ring", "--steps", 3, "--batch", 64, "--out", "run", "--sample-every", 0)
    told = json.loads(ganzoo("evaluate", "run", "--count", 500, "--json").stdout)
    assert [row["name"] for row in told] == ["modes", "high_quality", "reverse_kl"]
    assert all(set(row) == FIELDS for row in told)
    kept = [json.loads(line) for line in (tmp_path / "run" / "measures.jsonl").read_text().splitlines()]
    assert [row["step"] for row in kept] == [3, 3, 3]
    assert [row["value"] for row in kept] == [row["value"] for row in told]
    assert ganzoo("evaluate", "run/checkpoints/step-00000003", "--count", 500).stdout.startswith("modes")


def test_real_features_are_kept_by_their_content(tmp_path):
    asked = Asked(metrics=["frechet"], data="digits", count=64)
    random = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "noise.npz", samples=random.integers(0, 255, (64, 32, 32, 1), dtype=numpy.uint8))
    lenet = tmp_path / "lenet.safetensors"
    import safetensors.torch

    safetensors.torch.save_file(features.LeNet().state_dict(), lenet)
    asked.features = str(lenet)
    first = evaluate(tmp_path / "noise.npz", asked)
    kept = list((tmp_path / "cache" / "features").iterdir())
    assert len(kept) >= 1
    assert evaluate(tmp_path / "noise.npz", asked) == first
    assert first[0]["name"].startswith("frechet@lenet-")
    assert first[0]["protocol"]["sha256"][:8] in first[0]["name"]


def test_a_part_of_a_set_is_not_kept_as_the_whole(tmp_path):
    """The first samples of a file, and then all of it: the numbers are of as many as they say."""
    import safetensors.torch

    random = numpy.random.default_rng(0)
    numpy.savez(tmp_path / "noise.npz", samples=random.integers(0, 255, (64, 32, 32, 1), dtype=numpy.uint8))
    safetensors.torch.save_file(features.LeNet().state_dict(), tmp_path / "lenet.safetensors")
    asked = Asked(metrics=["frechet"], data="digits", features=str(tmp_path / "lenet.safetensors"))
    counts = []
    for asked.count in (16, None, 32):
        counts.append(evaluate(tmp_path / "noise.npz", asked)[0]["protocol"]["count"])
    assert counts == [16, 64, 32]


def test_weights_of_an_unknown_network_are_refused(tmp_path):
    torch.save({"layer.weight": torch.zeros(3, 3)}, tmp_path / "x.pth")
    with pytest.raises(UsageError, match="resnet20"):
        features.load(str(tmp_path / "x.pth"))


def test_what_cannot_be_measured_is_said_in_one_sentence(tmp_path, ganzoo):
    a, _ = clouds(tmp_path, 10)
    for words, told in (
        (("evaluate", a), "name what to compare with"),
        (("evaluate", a, "--metric", "frechet"), "compares with real samples"),
        (("evaluate", a, "--metric", "inception-score"), "have none"),
        (("evaluate", a, "--metric", "frechett", "--reference", a), "frechet"),
        (("evaluate", a, "--data", "ring", "--reference", a), "give one of them"),
    ):
        assert told in ganzoo(*words, code=2).stderr


def test_features_can_be_learnt(tmp_path, ganzoo):
    """On the embedded digits: real features, a name of their own, and better than chance."""
    told = ganzoo("features", "train", "--data", "digits", "--out", "digits.safetensors", "--epochs", 12, "--json")
    assert json.loads(told.stdout)["accuracy"] > 0.5
    ganzoo("train", "--arch", "dcgan:width=4", "--data", "digits", "--steps", 2, "--batch", 8, "--out", "run")
    words = ("evaluate", "run", "--features", "digits.safetensors", "--count", 64, "--metric", "frechet", "--json")
    (found,) = json.loads(ganzoo(*words).stdout)
    assert found["name"].startswith("frechet@lenet-digits-")


@pytest.mark.slow
def test_mnist_test_against_train_with_lenet(real_data, tmp_path):
    """The floor: what real digits that nobody trained on score. About 1.3."""
    asked = Asked(metrics=["frechet"], features=str(real_data / "weights" / "mnist_lenet_0.991.pth"))
    asked.data = f"mnist:path={real_data / 'mnist'}"
    numpy.savez(tmp_path / "noise.npz", samples=numpy.zeros((16, 32, 32, 1), dtype=numpy.uint8))
    (found,) = evaluate(tmp_path / "noise.npz", asked)
    assert found["protocol"]["floor"] == pytest.approx(1.3, abs=0.3)


@pytest.mark.slow
def test_two_processes_measure_what_one_does(tmp_path, ganzoo):
    """The samples of a run are made, and features taken, in shares; the numbers are the same ones."""
    from subprocess import run as run_process

    from conftest import environment

    ganzoo("train", *SMALL, "--steps", 2, "--out", "run")
    words = ("evaluate", "run", "--count", 600, "--seed", 3, "--device", "cpu", "--json")
    words += ("--metric", "frechet", "--metric", "density-coverage", "--metric", "memorisation")
    alone = json.loads(ganzoo(*words).stdout)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", "ganzoo", *map(str, words)]
    both = run_process(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=300
    )
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout) == alone
    assert len((tmp_path / "run" / "measures.jsonl").read_text().splitlines()) == 2 * len(alone)


def test_the_nearest_training_samples_are_a_picture_in_the_page(tmp_path, ganzoo):
    ganzoo("train", *SMALL, "--steps", 2, "--out", "run")
    told = json.loads(ganzoo("evaluate", "run", "--count", 64, "--metric", "memorisation", "--json").stdout)
    name = told[0]["protocol"]["picture"]
    picture = (tmp_path / "run" / "pictures" / name).read_bytes()
    ganzoo("report", "run")
    assert base64.b64encode(picture).decode() in (tmp_path / "run" / "report.html").read_text()


def stacked_mnist(folder, count=64):
    """A small MNIST in its own form, and the folder's words."""
    random = numpy.random.default_rng(0)
    folder.mkdir()
    for part, size in (("train", count), ("t10k", 16)):
        pixels = random.integers(0, 256, (size, 28, 28), dtype=numpy.uint8)
        head = bytes((0, 0, 8, 3)) + b"".join(int(n).to_bytes(4, "big") for n in pixels.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = (numpy.arange(size) % 10).astype(numpy.uint8)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(
            bytes((0, 0, 8, 1)) + size.to_bytes(4, "big") + labels.tobytes()
        )
    return f"stacked-mnist:path={folder}"


def test_stacked_digits_are_three_of_the_set_and_classified_one_by_one(tmp_path):
    import safetensors.torch

    from ganzoo.config import Choice
    from ganzoo.registry import installed

    word = stacked_mnist(tmp_path / "mnist")
    choice = Choice.parse(word + ",count=500")
    stacked = installed().make("dataset", choice.name, choice.options).open()
    single = installed().make("dataset", "mnist", {"path": str(tmp_path / "mnist")}).open()
    assert stacked.spec.shape == (3, 32, 32) and len(stacked) == 500
    digits = single.fetch(list(range(len(single)))).sample[:, 0]
    batch = stacked.fetch([7, 3])
    for picture, chosen in zip(batch.sample, stacked.chosen[[7, 3]], strict=True):
        assert torch.equal(picture, digits[chosen])
    again = installed().make("dataset", choice.name, choice.options).open()
    assert torch.equal(again.fetch([7, 3]).sample, batch.sample) and again.fingerprint() == stacked.fingerprint()

    network = features.NETWORKS["lenet"](10)
    safetensors.torch.save_file(network.state_dict(), tmp_path / "lenet.safetensors")
    asked = Asked(metrics=["modes"], data=word + ",count=500", features=str(tmp_path / "lenet.safetensors"))
    numpy.savez(tmp_path / "made.npz", samples=((batch.sample + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy())
    rows = {row["name"]: row for row in evaluate(tmp_path / "made.npz", asked)}
    assert rows["modes"]["protocol"]["known"] == 1000 and 1 <= rows["modes"]["value"] <= 2
    assert rows["modes"]["protocol"]["channels"] == "one by one"


def test_real_stacked_digits_have_nearly_all_modes(real_data, tmp_path):
    word = f"stacked-mnist:path={real_data / 'mnist'},split=test,count=5000"
    weights = str(real_data / "weights" / "mnist_lenet_0.991.pth")
    rows = {row["name"]: row["value"] for row in evaluate(word, Asked(metrics=["modes"], features=weights, data=word))}
    assert rows["modes"] > 970  # 1000 (1 - (999/1000)^5000) = 993 of 5,000 in equal shares
    assert rows["reverse_kl"] < 0.25  # (1000 - 1) / (2 * 5000) = 0.1 from the count alone
