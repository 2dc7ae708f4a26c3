"""`ganzoo score`: the networks and the terms of GANomaly, scores of folders, archives, files and data sets, and what is
refused."""

from __future__ import annotations

import csv
import json
import zipfile

import numpy
import pytest
import torch
import torch.nn.functional as F
from conftest import invoke
from PIL import Image
from sklearn.metrics import roc_auc_score

import ganzoo as library
from ganzoo import Plan, Request, Spec, UsageError
from ganzoo.registry import installed
from ganzoo.scoring import lines, score

SIDE = 16


def write_pictures(folder, pictures):
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{index:03d}.png")
    return folder


def stripes(count, across, seed=0):
    """Soft stripes of any phase and width, across or down, as bytes [count, SIDE, SIDE]."""
    random = numpy.random.default_rng(seed)
    place = numpy.arange(SIDE)
    rows = [numpy.sin(place * random.uniform(0.5, 0.9) + random.uniform(0, 6.3)) for _ in range(count)]
    pictures = numpy.stack([numpy.tile(row, (SIDE, 1)) for row in rows])
    return ((pictures if across else pictures.transpose(0, 2, 1)) * 120 + 128).astype(numpy.uint8)


WORDS = {"batch": 16, "device": "cpu", "quiet": True, "workers": 0, "seed": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that has seen stripes of one direction."""
    folder = tmp_path_factory.mktemp("scored")
    write_pictures(folder / "normal", stripes(200, across=True))
    return library.train(
        arch="ganomaly:latent=8,width=8",
        procedure="ganomaly:rate=0.001",
        data=str(folder / "normal"),
        steps=150,
        out=folder / "run",
        **WORDS,
    )


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Pictures that the run has not seen: stripes of its direction and of the other."""
    folder = tmp_path_factory.mktemp("asked")
    write_pictures(folder / "a-normal", stripes(40, across=True, seed=1))
    write_pictures(folder / "b-strange", stripes(40, across=False, seed=2))
    return folder


def test_the_strange_score_higher(run, asked):
    found = score(run, str(asked), device="cpu")
    strange = [row["name"].startswith("b-strange") for row in found]
    assert strange == [False] * 40 + [True] * 40, "a line each, in the order of the data"
    assert roc_auc_score(strange, [row["score"] for row in found]) > 0.8
    assert min(row["scaled"] for row in found) == 0 and max(row["scaled"] for row in found) == 1
    assert (
        numpy.argsort([row["score"] for row in found]).tolist()
        == numpy.argsort([row["scaled"] for row in found]).tolist()
    )


def test_a_score_is_the_difference_of_the_two_codes(run, asked):
    game = run.game()
    picture = torch.from_numpy(numpy.array(Image.open(asked / "b-strange" / "000.png"))).float()[None, None] / 127.5 - 1
    network = game.networks.generator.eval()
    with torch.no_grad():
        code = network.encode(picture)
        again = network.encode_again(network(picture))
    expected = float((code - again).abs().mean())
    assert score(run, str(asked / "b-strange"), device="cpu")[0]["score"] == pytest.approx(expected, rel=1e-4)
    (alone,) = score(run, str(asked / "b-strange" / "000.png"), device="cpu")
    assert alone["score"] == pytest.approx(expected, rel=1e-4), "and does not depend on what stands beside it"
    assert alone["scaled"] == 0


def test_archives_arrays_and_named_data_sets(run, asked, tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for path in sorted((asked / "b-strange").iterdir()):
            archive.write(path, path.name)
    wanted = [row["score"] for row in score(run, str(asked / "b-strange"), device="cpu")]
    zipped = score(run, str(tmp_path / "pictures.zip"), device="cpu")
    assert [row["score"] for row in zipped] == pytest.approx(wanted)
    assert zipped[1]["name"] == "001.png"
    numpy.save(tmp_path / "pictures.npy", stripes(40, across=False, seed=2))
    stacked = score(run, str(tmp_path / "pictures.npy"), device="cpu")
    assert [row["score"] for row in stacked] == pytest.approx(wanted)
    assert stacked[1]["name"] == "1"
    assert len(score(run, "digits", device="cpu")) == 1797, "brought to the run's size"


def test_pictures_are_brought_to_the_size_and_the_channels_of_the_run(run, asked, tmp_path):
    larger = [numpy.repeat(numpy.repeat(picture, 2, 0), 2, 1) for picture in stripes(4, across=False, seed=2)]
    write_pictures(tmp_path / "large", [numpy.repeat(picture[..., None], 3, 2) for picture in larger])
    wanted = [row["score"] for row in score(run, str(asked / "b-strange"), device="cpu")][:4]
    assert [row["score"] for row in score(run, str(tmp_path / "large"), device="cpu")] == pytest.approx(wanted, rel=0.3)


def test_the_command_prints_a_line_each(run, asked, tmp_path):
    table = tmp_path / "tables" / "scores.csv"
    told = invoke("score", run.path, asked, "--device", "cpu", "--csv", table).stdout
    found = score(run, str(asked), device="cpu")
    assert told.splitlines() == lines(found).splitlines()
    assert told.splitlines()[0].endswith("  a-normal/000.png")
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["score"]) for row in rows] == [row["score"] for row in found]
    ordered = json.loads(invoke("score", run.path, asked, "--device", "cpu", "--json", "--sort").stdout)
    assert ordered == sorted(found, key=lambda row: -row["score"])


def test_what_is_refused(run, asked, tmp_path):
    plain = library.train(arch="mlp:latent=4,width=8", data="digits:size=16", steps=1, out=tmp_path / "run", **WORDS)
    refused = invoke("score", plain.path, asked, code=2)
    assert "was played by procedure 'adversarial', which learns no scores of samples" in refused.stderr
    assert "procedures that do: ganomaly" in refused.stderr
    with pytest.raises(UsageError, match="learns no scores"):
        plain.game().procedure.score(plain.game(), torch.zeros(1, 1, SIDE, SIDE))
    nowhere = invoke("score", run.path, tmp_path / "nowhere", code=2)
    assert "there is no file or folder" in nowhere.stderr
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert "cannot read" in invoke("score", run.path, tmp_path / "broken.png", code=1).stderr
    other = invoke("score", run.path, "ring", code=1)
    assert "holds samples of the shape 2, and" in other.stderr and "those of 1x16x16" in other.stderr


# Networks and terms


def test_networks_for_every_size():
    architecture = installed().make("architecture", "ganomaly", {"latent": 6, "width": 4})
    for shape in ((1, 16, 16), (3, 32, 48), (4, 28, 28)):
        networks = architecture.build(Spec("image", shape), Plan())
        pictures = torch.zeros(2, *shape)
        made = networks.generator(pictures)
        assert made.shape == pictures.shape
        assert networks.generator.encode(pictures).shape == networks.generator.encode_again(made).shape == (2, 6)
        scores = networks.discriminator(pictures)
        assert scores.value.shape == (2,)
        assert scores.features.shape == (2, networks.discriminator.feature_size)


def test_the_generator_minimises_the_published_sum(run):
    game = run.game()
    real = torch.rand(4, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        code, fake, again = game.procedure._passed(game, real)
        features = [game.networks.discriminator(pictures).features for pictures in (real, fake)]
        terms = game.procedure._generator_terms(game, real, fake, code, again)
    assert float(terms["loss/contextual"]) == pytest.approx(50 * float((fake - real).abs().mean()), rel=1e-5)
    assert float(terms["loss/encoder"]) == pytest.approx(float((code - again).square().mean()), rel=1e-5)
    assert float(terms["loss/generator"]) == pytest.approx(float(F.mse_loss(*features)), rel=1e-4)


def test_samples_are_reconstructions_of_kept_pictures(run):
    game = run.game()
    real, made = game.procedure.side_by_side(game, Request(64))
    assert len(real) == len(made) == 16
    sampled = run.sample(20, seed=1)
    nearest = torch.cdist(sampled.flatten(1), made.flatten(1)).amin(1)
    assert nearest.max() < 1e-3
    assert len(sampled.flatten(1).unique(dim=0)) > 4
