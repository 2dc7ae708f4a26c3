"""Walks through a generator's space, mixed styles, and the place whose sample is nearest to a picture."""

from __future__ import annotations

import csv

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image
from safetensors.torch import load_file

import ganzoo as library
from ganzoo import projection, walk
from ganzoo.latents import Space

STYLED = "stylegan2:latent=4,style=4,mapping_layers=2,channel_base=64,channel_max=8,group=2,mixing=0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A generator that maps its latents and one that does not, both with samples that differ from one another."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, arch in (("mapped", f"{STYLED},conditional=true"), ("plain", "dcgan:width=4,latent=4")):
        run = library.train(arch=arch, data="digits:size=16", batch=4, steps=1, out=folder / name, quiet=True)
        game, chance = run.game(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            for network in (game.networks.generator, game.procedure.sampling_network(game)):
                for key, value in network.state_dict().items():
                    if key.startswith("main") and key.endswith("0.weight") and value.ndim == 4:
                        value.mul_(10)  # an untrained dcgan is nearly grey
                    if key.endswith("strength"):
                        value.zero_()  # samples that were made together have noise of their own
                    if key == "mapping.mean":
                        value.copy_(torch.randn(value.shape, generator=chance))
        run.save(game, 0.0, keep=0)
        found[name] = library.load(run.path)
    return found


@pytest.fixture(params=["mapped", "plain"])
def run(request, runs):
    return runs[request.param]


def frames(path):
    with Image.open(path) as picture:
        shown = []
        for index in range(picture.n_frames):
            picture.seek(index)
            shown.append(numpy.asarray(picture.convert("L"), dtype=numpy.float32))
        return numpy.stack(shown), picture.info


# Walks


def test_a_walk_ends_where_it_began(run):
    """The places are a closed loop: no step is longer than a few times the mean, the one over the seam included, and
    keys are met."""
    space = Space(run.game())
    with space.still():
        keys = space.enter(space.latents(0, 5), space.labels(0, 5, 3))[:, None]
        path = torch.stack(list(walk._closed(space, keys, 12)))
        assert len(path) == 5 * 12
        torch.testing.assert_close(path[::12], keys, atol=1e-5, rtol=1e-5)
        steps = (path.roll(-1, 0) - path).flatten(1).norm(dim=1)
        assert steps[-1] <= steps.max() and steps.max() < 5 * steps.mean()
        if space.mapped:  # and a spline has no corner where it is closed
            bends = (path.roll(-1, 0) - 2 * path + path.roll(1, 0)).flatten(1).norm(dim=1)
            assert bends[0] <= 1.5 * bends[1:].max()
        else:  # on great circles latents are about as long as those they lie between
            assert path.flatten(1).norm(dim=1).min() > 0.8 * keys.flatten(1).norm(dim=1).min()


def test_a_walk_as_an_animation(run, tmp_path):
    words = ["--keys", 3, "--frames", 4, "--count", 2, "--label", 7, "--seed", 5]
    told = invoke("interpolate", run.path, *words, "--out", tmp_path / "walk.gif").output
    assert told == f"{tmp_path}/walk.gif\n"
    shown, info = frames(tmp_path / "walk.gif")
    assert shown.shape == (12, 16, 34) and info["loop"] == 0
    walk.interpolate(run, tmp_path / "other.gif", keys=3, frames=4, count=2, label=7, seed=6)
    assert (frames(tmp_path / "other.gif")[0] != shown).any()
    # The first frame shows the run's samples of this seed.
    run.write(tmp_path / "samples.npz", count=2, seed=5, label=7)
    with numpy.load(tmp_path / "samples.npz") as arrays:
        wanted = arrays["samples"][..., 0].astype(numpy.float32)
    seen = numpy.stack([shown[0, :, :16], shown[0, :, 18:]])
    assert abs(seen - wanted).max() <= 2


def test_a_label_is_that_of_all_frames(runs, tmp_path):
    made = []
    for label in (1, 8):
        walk.interpolate(runs["mapped"], tmp_path / "walk.gif", keys=2, frames=2, label=label)
        made.append(frames(tmp_path / "walk.gif")[0])
    assert (made[0] != made[1]).any((1, 2)).all()


def test_truncation_brings_a_walk_to_the_samples_truncated(run, tmp_path):
    walk.interpolate(run, tmp_path / "walk.gif", keys=2, frames=1, truncation=0.5, label=2)
    run.write(tmp_path / "samples.npz", count=2, truncation=0.5, label=2)
    with numpy.load(tmp_path / "samples.npz") as arrays:
        assert abs(frames(tmp_path / "walk.gif")[0] - arrays["samples"][..., 0]).max() <= 2


def test_what_cannot_be_walked_is_told(runs, tmp_path):
    path = runs["plain"].path
    assert "is written as .gif" in invoke("interpolate", path, "--out", tmp_path / "walk.mp4", code=2).stderr
    assert "no class '12'" in invoke("interpolate", path, "--label", 12, "--out", tmp_path / "w.gif", code=2).stderr
    points = library.train(arch="mlp", data="ring", steps=1, batch=8, out=tmp_path / "points", quiet=True)
    for words in (("interpolate", "--out", tmp_path / "w.gif"), ("sample", "--mix", "0", "--out", tmp_path / "m.png")):
        assert "makes no pictures" in invoke(words[0], points.path, *words[1:], code=1).stderr


# Mixed styles


def tiles(path, count):
    sheet = numpy.asarray(Image.open(path), dtype=numpy.int64)
    return [[sheet[18 * row : 18 * row + 16, 18 * column : 18 * column + 16] for column in range(count + 1)]
            for row in range(count + 1)]  # fmt: skip


@pytest.mark.parametrize("layers", ["0-1", "3,5", "0-5"])
def test_mixed_styles(runs, tmp_path, layers):
    run, out = runs["mapped"], tmp_path / "mixed.png"
    invoke("sample", run.path, "--mix", layers, "--count", 3, "--seed", 4, "--truncation", 0.8, "--out", out)
    cells = tiles(out, 3)
    run.write(tmp_path / "samples.npz", count=6, seed=4, truncation=0.8)
    with numpy.load(tmp_path / "samples.npz") as arrays:
        samples = arrays["samples"][..., 0].astype(numpy.int64)
    for index in range(3):  # rows, then columns
        assert abs(cells[index + 1][0] - samples[index]).max() <= 1
        assert abs(cells[0][index + 1] - samples[3 + index]).max() <= 1
    assert (cells[0][0] == 255).all()
    space, chosen = Space(run.game()), {"0-1": [0, 1], "3,5": [3, 5], "0-5": [0, 1, 2, 3, 4, 5]}[layers]
    with space.still():
        places = space.middle().lerp(space.enter(space.latents(4, 6), space.labels(4, 6)), 0.8)
        places[1, chosen] = places[3 + 2, chosen]  # of the second row and the third column
        made = space.make(places[1:2], None)
    wanted = run.game().parts.dataset.decode(made, run.spec)[0, ..., 0]
    assert abs(cells[2][3] - wanted).max() <= 1
    same = abs(cells[2][3] - cells[0][3]).max() <= 1
    assert same == (layers == "0-5")  # with all its styles a cell is its column's


def test_styles_that_cannot_be_mixed_are_told(runs, tmp_path):
    out = ("--out", tmp_path / "mixed.png")
    assert "no styles" in invoke("sample", runs["plain"].path, "--mix", "0", *out, code=1).stderr
    for layers in ("0-6", "6", "5-2", "-1", "a", "1-", "0,,2", ""):
        told = invoke("sample", runs["mapped"].path, "--mix", layers, *out, code=2).stderr
        assert "the generator has the layers 0 to 5" in told
    told = invoke("sample", runs["mapped"].path, "--mix", "0", "--out", tmp_path / "mixed.npz", code=2).stderr
    assert "is written as .png" in told
    assert not list(tmp_path.iterdir())


# Projection


def test_a_picture_of_the_generator_is_found_again(run, tmp_path):
    run.write(tmp_path / "target.png", count=1, seed=11, label=6)
    out = tmp_path / "found"
    words = ["--steps", 60, "--label", 6, "--out", out]
    assert invoke("project", run.path, tmp_path / "target.png", *words).stdout == f"{out}\n"
    with (out / "distance.csv").open() as file:
        rows = list(csv.DictReader(file))
    distances = [float(row["distance"]) for row in rows]
    assert [int(row["step"]) for row in rows] == list(range(1, 61))
    assert distances[-1] < 0.5 * distances[0]
    names = {"target.png", "projected.png", "side-by-side.png", "distance.csv", "distance.png", "latent.safetensors"}
    assert {path.name for path in out.iterdir()} == names
    target, made = (numpy.asarray(Image.open(out / f"{name}.png"), numpy.float64) for name in ("target", "projected"))
    assert (target == numpy.asarray(Image.open(tmp_path / "target.png"))).all()
    pair = numpy.asarray(Image.open(out / "side-by-side.png"))
    assert (pair[:, :16] == target).all() and (pair[:, 18:] == made).all()
    space = Space(run.game())
    with space.still():
        place, labels = load_file(out / "latent.safetensors")["place"], space.labels(0, 1, 6)
        middle = space.survey(space.labels(0, 2000, 6))[1].mean(0, keepdim=True)
        again, mean = (run.game().parts.dataset.decode(space.make(at, labels), run.spec) for at in (place, middle))
    assert abs(again[0, ..., 0] - made).max() <= 1  # the place that is kept makes the picture that is shown
    assert abs(target - made).mean() < 0.7 * abs(target - mean[0, ..., 0]).mean()


def test_a_projection_begins_in_the_middle_of_its_class(runs):
    space = Space(runs["mapped"].game())
    target = torch.zeros(1, 1, 16, 16)
    begins = [projection.nearest(space, target, 1, 0, label)[1][0] for label in (0, 6, 6)]
    assert begins[0] != begins[1] == begins[2]


def test_pictures_of_other_forms_are_brought_to_the_runs(runs, tmp_path):
    """A colour picture of 40 x 20 is read as a grey one of 16 x 16: its middle."""
    wide = numpy.zeros((20, 40, 3), numpy.uint8)
    wide[:, 10:30] = (90, 90, 90)
    spec = runs["plain"].spec
    forms = {"RGB": "png", "RGBA": "png", "L": "bmp", "P": "gif", "CMYK": "tif", "I;16": "png"}
    for mode, suffix in forms.items():
        picture, path = Image.fromarray(wide), tmp_path / f"{mode.strip(';16')}.{suffix}"
        if mode == "I;16":
            picture = Image.fromarray(wide[..., 0].astype(numpy.uint16) * 257)
        else:
            picture = picture.quantize() if mode == "P" else picture.convert(mode)
        picture.save(path)
        read = projection.read(path, spec)
        torch.testing.assert_close(read, torch.full((1, 1, 16, 16), 90 / 127.5 - 1), atol=0.04, rtol=0)
    clear = numpy.concatenate([wide, numpy.zeros((20, 40, 1), numpy.uint8)], 2)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert (projection.read(tmp_path / "clear.png", spec) == 1).all()  # nothing is seen but white
    colour = projection.read(tmp_path / "RGB.png", type(spec)("image", (3, 8, 16)))
    assert colour.shape == (1, 3, 8, 16)


def test_a_damaged_picture_is_told_in_one_sentence(runs, tmp_path):
    Image.fromarray(numpy.random.default_rng(0).integers(0, 255, (32, 32, 3), numpy.uint8)).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    for name, data in (("cut.png", whole[:900]), ("noise.png", b"no picture"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(data)
        out = tmp_path / "found"
        told = invoke("project", runs["plain"].path, tmp_path / name, "--out", out, code=1).stderr
        assert f"cannot read {tmp_path / name}" in told and not out.exists()
