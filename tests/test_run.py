"""A run's folder and what is done with it: log, samples, labels, TensorBoard, starting from another run, Python use."""

from __future__ import annotations

import json

import numpy
import pytest
import torch
from PIL import Image

import ganzoo as library
from ganzoo.errors import RunError

DCGAN = {"arch": "dcgan:width=4,latent=4", "data": "digits:size=16", "batch": 8, "quiet": True}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of five steps, logged and sampled every second."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return library.train(**DCGAN, loss="wgan-gp", steps=5, log_every=2, sample_every=2, save_every=2, keep=2, out=out)


def test_the_folder(trained):
    assert {entry.name for entry in trained.path.iterdir()} == {"config.json", "log.jsonl", "samples", "checkpoints"}
    assert trained.steps == [4, 5]
    assert [path.name for path in sorted((trained.path / "samples").iterdir())] == [
        f"step-{step:08d}.png" for step in (2, 4, 5)
    ]
    assert {entry.name for entry in (trained.path / "checkpoints" / "step-00000005").iterdir()} == {
        "state.json",
        "state.safetensors",
    }


def test_the_log(trained):
    records = trained.logged()
    assert [record["step"] for record in records] == [2, 4, 5]
    wanted = {"step", "seconds", "samples_per_second", "loss/generator", "loss/discriminator"}
    wanted |= {"penalty/gradient-penalty", "score/real", "score/fake", "gradient/generator", "gradient/discriminator"}
    assert all(set(record) == wanted for record in records)  # samples are looked at every fifty steps
    for record in records:
        difference = record["score/fake"] - record["score/real"]
        assert record["loss/discriminator"] == pytest.approx(difference, rel=1e-4, abs=1e-6)


def test_the_configuration_is_complete(trained):
    recorded = json.loads((trained.path / "config.json").read_text())
    assert recorded["procedure"]["options"]["n_critic"] == 5
    assert recorded["regularizers"][0]["options"] == {"weight": 10.0, "center": 1.0, "one_sided": False, "every": 1}
    assert recorded["packages"]["architecture dcgan"].startswith("ganzoo ")
    assert set(recorded["versions"]) == {"ganzoo", "torch", "python"}
    assert recorded["spec"]["shape"] == [1, 16, 16]


def test_samples_as_files(trained, tmp_path):
    trained.write(tmp_path / "x.npz", count=7, seed=3, label="4")
    with numpy.load(tmp_path / "x.npz") as arrays:
        assert list(arrays) == ["samples", "labels"]
        assert arrays["samples"].shape == (7, 16, 16, 1) and arrays["samples"].dtype == numpy.uint8
        assert arrays["labels"].tolist() == [4] * 7
    trained.write(tmp_path / "x.png", count=9)
    assert Image.open(tmp_path / "x.png").size == (3 * 18 - 2, 3 * 18 - 2)


def test_samples_are_a_function_of_seed_and_number(trained):
    samples = trained.sample(40, seed=1)
    assert samples.shape == (40, 1, 16, 16)
    assert torch.equal(library.load(trained.path).sample(3, seed=1), samples[:3])
    assert not torch.equal(trained.sample(3, seed=2), samples[:3])
    assert not torch.equal(trained.sample(3, seed=1, step=4), samples[:3])
    assert torch.equal(trained.sample(3, seed=1), samples[:3])


def test_points_as_a_table_and_a_picture(tmp_path):
    run = library.train(arch="mlp:width=4", data="ring:count=64", steps=1, batch=8, quiet=True, out=tmp_path / "run")
    run.write(tmp_path / "x.csv", count=5)
    assert (tmp_path / "x.csv").read_text().splitlines()[0] == "x0,x1"
    assert len((tmp_path / "x.csv").read_text().splitlines()) == 6
    run.write(tmp_path / "x.png")
    assert numpy.asarray(Image.open(tmp_path / "x.png")).min() < 100


def test_starting_from_another_run(trained, tmp_path):
    """Every tensor of the same name and shape is taken."""
    words = {**DCGAN, "loss": "wgan-gp", "init": trained.path, "out": tmp_path / "run"}
    game = library.load(trained.path).game()
    run = library.train(**words, steps=1, procedure="adversarial:rate=0")
    for name, network in run.game().networks.all().items():
        for key, value in network.named_parameters():
            assert torch.equal(value, dict(game.networks.all()[name].named_parameters())[key])
    with pytest.raises(RunError, match="no tensor of that run"):
        library.train(**{**DCGAN, "arch": "mlp", "init": trained.path, "out": tmp_path / "other"}, steps=1)


def test_arrays_and_torch_datasets_from_python(tmp_path):
    pictures, labels = torch.randint(0, 256, (20, 16, 16, 3), dtype=torch.uint8), torch.arange(20) % 3
    words = {"arch": "dcgan:width=4", "steps": 2, "batch": 4, "quiet": True}
    run = library.train(**words, data=(pictures, labels), out=tmp_path / "a")
    assert run.spec.shape == (3, 16, 16) and run.spec.classes == ("0", "1", "2")
    dataset = torch.utils.data.TensorDataset(torch.rand(20, 1, 16, 16) * 2 - 1, torch.zeros(20, dtype=torch.int64))
    run = library.train(**words, data=dataset, workers=0, out=tmp_path / "b")
    assert library.load(run.path).sample(2).shape == (2, 1, 16, 16)
    run = library.train(
        arch="mlp:width=4", data=numpy.random.rand(30, 5), steps=1, batch=4, quiet=True, out=tmp_path / "c"
    )
    assert run.sample(2).shape == (2, 5)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="the tensorboard extra is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = library.train(**DCGAN, steps=3, log_every=1, tensorboard=True, out=tmp_path / "run")
    events = EventAccumulator(str(run.path / "tensorboard")).Reload()
    assert {"loss/generator", "loss/discriminator"} <= set(events.Tags()["scalars"])
    logged = [record["loss/generator"] for record in run.logged()]
    assert [event.value for event in events.Scalars("loss/generator")] == pytest.approx(logged)
