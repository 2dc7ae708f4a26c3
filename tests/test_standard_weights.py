"""Features of the standard weights (the Inception of 2015, LPIPS's trunks) and the measures that only they may name.

The weights here are random, in files of the published layout. `filled` and `pictures` make the same numbers everywhere;
what other people's code says of them was recorded once: torch-fidelity 0.4.0 and lpips 0.1.4, with torch 2.13.
"""

from __future__ import annotations

import dataclasses
import json
import math
import pickle

import numpy
import pytest
import torch
from scipy import stats
from torch import nn

from ganzoo import Evidence, Sample, UsageError, sample_latent_generator
from ganzoo.config import resolve
from ganzoo.errors import DataError
from ganzoo.game import Game
from ganzoo.metrics import features, inception, perceptual
from ganzoo.metrics.evaluate import Asked, evaluate
from ganzoo.metrics.extractor import shapes
from ganzoo.parts import Request
from ganzoo.registry import installed
from ganzoo_plugins.metrics.frechet import Frechet
from ganzoo_plugins.metrics.path_length import shrunk, slerp


def drawn(seed, *shape):
    return torch.from_numpy(numpy.random.RandomState(seed).uniform(-1, 1, shape)).float()


def pictures(count, height=32, width=32, seed=0):
    """Blocks of colour with a little noise, [count, 3, height, width] in [-1, 1]."""
    blocks = numpy.kron(drawn(seed, count, 3, 4, 4), numpy.ones((1, 1, height // 4, width // 4)))
    return 0.8 * torch.from_numpy(blocks).float() + 0.2 * drawn(seed + 1, count, 3, height, width)


def filled(wanted):
    """A state of these shapes through which activations neither vanish nor grow."""
    state = {}
    for seed, (name, shape) in enumerate(sorted(wanted.items())):
        values = drawn(seed, *shape)
        if len(shape) > 1:
            state[name] = values * math.sqrt(6 / math.prod(shape[1:]))
        else:
            state[name] = 1 + 0.2 * values if name.endswith(("running_var", "bn.weight")) else 0.1 * values
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of files: inception.pth, vgg16.pth, alexnet.pth, and the heads of both trunks."""
    folder = tmp_path_factory.mktemp("weights")
    with torch.device("meta"):
        networks = {"inception": inception.Inception2015()}
        networks |= {word: perceptual.Trunk(layout) for word, layout in perceptual.LAYOUTS.items()}
    for word, network in networks.items():
        torch.save(filled(shapes(network)), folder / f"{word}.pth")
    for word, layout in perceptual.LAYOUTS.items():
        heads = {
            f"lin{index}.model.1.weight": drawn(100 + index, 1, width, 1, 1) + 1
            for index, width in enumerate(layout.widths)
        }
        torch.save(heads, folder / f"{word}-heads.pth")
    return folder


@pytest.fixture(scope="module")
def eye(weights):
    return features.load(str(weights / "inception.pth"))


def lpips_of(weights, word, heads=True):
    option = f":heads={weights / word}-heads.pth" if heads else ""
    return features.load(f"{weights / word}.pth{option}")


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """Two files of ten pictures, and a folder of our own for kept features."""
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(("made", "real")):
        stored = ((pictures(10, seed=10 * seed) + 1) * 127.5).round().byte().permute(0, 2, 3, 1)
        numpy.savez(tmp_path / f"{name}.npz", samples=stored.numpy())
    return tmp_path


# The Inception of 2015


def test_the_layout_is_that_of_the_published_file():
    """Names and shapes as pytorch-fid and torch-fidelity load them: 94 convolutions and one matrix."""
    found = shapes(inception.Inception2015())
    convolutions = [name for name in found if name.endswith(".conv.weight")]
    assert len(convolutions) == 94
    assert len(found) == 94 * 5 + 2
    # torchvision's v3 has 27,161,264 parameters, 3,326,696 of them in its second classifier, and 8 classes less.
    parameters = sum(math.prod(shape) for name, shape in found.items() if "running" not in name)
    assert parameters == 27_161_264 - 3_326_696 + 8 * 2049
    for name, shape in {
        "Conv2d_1a_3x3.conv.weight": (32, 3, 3, 3),
        "Mixed_5b.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_5d.branch_pool.bn.running_mean": (64,),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6e.branch7x7dbl_5.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7c.branch3x3dbl_3b.conv.weight": (384, 384, 3, 1),
        "fc.weight": (1008, 2048),
    }.items():
        assert found[name] == shape


def test_features_and_classes_are_those_of_torch_fidelity(eye):
    """Recorded from its FeatureExtractorInceptionV3: `2048`, and the softmax of `logits_unbiased`."""
    rows, classes = eye.extract(pictures(2, 32, 48))
    assert rows.shape == (2, 2048)
    assert classes.shape == (2, 1008)
    numpy.testing.assert_allclose(rows.mean(1), [0.328548491, 0.326939285], rtol=1e-5)
    numpy.testing.assert_allclose(numpy.square(rows).mean(1), [0.296738684, 0.293231457], rtol=1e-5)
    told = [[0.104216, 0.217355, 0.012032, 0.0, 0.034478], [0.113779, 0.214469, 0.009745, 0.0, 0.027859]]
    numpy.testing.assert_allclose(rows[:, 1:6], told, atol=3e-6)
    told = [[0.48318, 1.37635, 0.88478, 0.36642, 1.00294], [0.47491, 1.3497, 0.8459, 0.37978, 1.0347]]
    numpy.testing.assert_allclose(1000 * classes[:, :5], told, atol=1e-4)


def test_features_do_not_depend_on_what_is_beside_a_picture(eye, monkeypatch):
    x = pictures(5)
    together = eye.extract(x)
    monkeypatch.setattr(inception, "BATCH", 2)
    for few, all_of_them in zip(eye.extract(x), together, strict=True):
        numpy.testing.assert_allclose(few, all_of_them, rtol=1e-4, atol=1e-6)
    numpy.testing.assert_allclose(eye.extract(x[3:4])[0], together[0][3:4], rtol=1e-4, atol=1e-6)


def test_pictures_are_rounded_as_stored_ones_are(eye):
    stored = ((pictures(1) + 1) * 127.5).round() / 127.5 - 1
    shaken = stored + 0.3 / 127.5
    assert (eye.extract(shaken)[0] == eye.extract(stored)[0]).all()
    assert eye.distance(shaken, stored) > 0  # but small steps can be followed
    assert eye.distance(stored, stored) == 0


def test_grey_pictures_are_seen_in_three_equal_channels(eye):
    grey = pictures(1)[:, :1]
    assert (eye.extract(grey)[0] == eye.extract(grey.repeat(1, 3, 1, 1))[0]).all()
    for shape in ((2, 2), (2, 4, 32, 32)):
        with pytest.raises(UsageError, match="grey or coloured"):
            eye.extract(torch.zeros(shape))


@pytest.mark.parametrize(("height", "width"), [(32, 32), (48, 20), (299, 299), (400, 301), (1, 2)])
def test_resize_of_tensorflow_1(height, width):
    """Pixel by pixel: output i lies at i * length / 299, and beyond the last pixel is the last pixel."""
    x = drawn(3, 1, 3, height, width) * 0.9
    found = inception.prepared(x, "tf", rounded=False)[0] * 128 + 128
    values = (x[0].double().numpy() + 1) * 127.5
    for row, column in ((0, 0), (298, 298), (150, 7), (13, 290), (297, 1)):
        y, x_ = row * height / 299, column * width / 299
        top, left = math.floor(y), math.floor(x_)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        upper = values[:, top, left] * (1 - x_ + left) + values[:, top, right] * (x_ - left)
        lower = values[:, bottom, left] * (1 - x_ + left) + values[:, bottom, right] * (x_ - left)
        wanted = upper * (1 - y + top) + lower * (y - top)
        numpy.testing.assert_allclose(found[:, row, column], wanted, atol=0.01)


def bicubic(length):
    """[299, length]: the cubic with a = -1/2, as wide as a pixel of the smaller of the two grids, rows adding to 1."""
    scale = length / 299
    wide = max(scale, 1.0)
    apart = abs((numpy.arange(299)[:, None] + 0.5) * scale - (numpy.arange(length) + 0.5)) / wide
    near, far = 1.5 * apart**3 - 2.5 * apart**2 + 1, -0.5 * apart**3 + 2.5 * apart**2 - 4 * apart + 2
    weights = numpy.where(apart < 1, near, numpy.where(apart < 2, far, 0.0))
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (640, 50), (299, 299)])
def test_clean_resize(height, width):
    values = numpy.random.RandomState(4).randint(0, 256, (2, 3, height, width)).astype(numpy.float64)
    found = inception.prepared(torch.from_numpy(values / 127.5 - 1).float(), "clean") * 128 + 128
    wanted = numpy.clip(bicubic(height) @ values @ bicubic(width).T, 0, 255)
    numpy.testing.assert_allclose(found.numpy(), wanted, atol=0.01)


# Names


def names(sets, file, *metrics):
    asked = Asked(metrics=metrics, reference=str(sets / "real.npz"), features=str(file))
    found = evaluate(sets / "made.npz", asked)
    assert all(math.isfinite(row["value"]) for row in found)
    return {row["name"]: row["protocol"] for row in found}


def test_bare_names_are_for_the_published_weights(sets, weights, eye, monkeypatch):
    file, sha256 = weights / "inception.pth", eye.protocol["sha256"]
    monkeypatch.setattr(Frechet, "resamples", 0)  # 20 more times 3 s
    assert eye.standard == {}
    assert eye.name == f"inception2015-{sha256[:8]}"
    assert list(names(sets, file, "kernel")) == [f"kernel@{eye.name}"]
    monkeypatch.setattr(inception, "SHA256", sha256[:8] + "0" * 56)  # the digits of the file's name are not enough
    assert list(names(sets, file, "kernel")) == [f"kernel@{eye.name}"]

    monkeypatch.setattr(inception, "SHA256", sha256)
    found = names(sets, file, "frechet", "kernel", "inception-score", "kernel:subsets=7", "inception-score:splits=2")
    assert list(found) == ["FID", "KID", "IS", f"kernel@{eye.name}", f"inception-score@{eye.name}"]
    protocol = found["FID"]
    assert protocol["sha256"] == sha256
    assert "TensorFlow 1" in protocol["resize"]
    assert (protocol["count"], protocol["reference_count"], protocol["seed"]) == (10, 10, 0)
    assert protocol["rounded"] == "to 8 bit"


def test_the_clean_resize_has_names_of_its_own(sets, weights, eye, monkeypatch):
    monkeypatch.setattr(inception, "SHA256", eye.protocol["sha256"])
    found = names(sets, f"{weights / 'inception.pth'}:resize=clean", "kernel", "inception-score")
    assert list(found) == ["clean-KID", f"inception-score@inception2015-clean-{eye.protocol['sha256'][:8]}"]
    assert "antialias" in found["clean-KID"]["resize"]
    assert inception.STANDARD["clean"] == {"FID": "clean-FID", "KID": "clean-KID"}


def test_the_published_digests_begin_as_the_published_names_do():
    assert inception.SHA256.startswith("6726825d")
    assert perceptual.LAYOUTS["vgg16"].sha256[0].startswith("397923af")
    assert perceptual.LAYOUTS["alexnet"].sha256[0].startswith("7be5be79")
    for digest in (inception.SHA256, *(each for layout in perceptual.LAYOUTS.values() for each in layout.sha256)):
        assert len(bytes.fromhex(digest)) == 32


# Files and options


def test_wrong_options_are_told_with_the_right_ones(weights, tmp_path):
    trunk = weights / "alexnet.pth"
    torch.save({"x": torch.zeros(2)}, tmp_path / "x.pth")
    for asked, told in (
        (f"{weights / 'inception.pth'}:resize=nearest", "resize is tf or clean"),
        (
            f"{weights / 'inception.pth'}:heads=x",
            "no option 'heads' for these weights; options of inception2015: resize",
        ),
        (f"{trunk}:resize=tf", "options of alexnet: heads"),
        (f"{trunk}:heads={tmp_path / 'none.pth'}", "there is no such file"),
        (f"{trunk}:heads={weights / 'vgg16-heads.pth'}", "not LPIPS's heads for alexnet"),
        (f"{tmp_path / 'none.pth'}:resize=tf", "there is no file"),
        (f"{tmp_path / 'x.pth'}", "lenet, resnet20, spectral, inception2015, vgg16, alexnet"),
    ):
        with pytest.raises(UsageError, match=told):
            features.load(asked)


class Hostile:
    """A pickle that writes a file when it is read."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (str(self.target), "w")


def test_a_file_of_weights_that_would_execute_something_is_refused(weights, tmp_path, ganzoo):
    touched, file = tmp_path / "touched", tmp_path / "hostile.pth"
    torch.save({"fc.weight": torch.zeros(1008, 2048), "x": Hostile(touched)}, file)
    with pytest.raises(DataError, match="not a file of weights"):
        features.load(str(file))
    with pytest.raises(DataError, match="not a file of weights"):
        features.load(f"{weights / 'alexnet.pth'}:heads={file}")
    numpy.savez(tmp_path / "a.npz", samples=numpy.zeros((4, 32, 32, 3), numpy.uint8))
    refused = ganzoo("evaluate", "a.npz", "--reference", "a.npz", "--features", file, code=1)
    assert (
        "hostile.pth is not a file of weights: torch did not write it, or it holds more than tensors" in refused.stderr
    )
    assert not touched.exists()
    pickle.loads(pickle.dumps(Hostile(touched))).close()
    assert touched.exists()  # it would have


# LPIPS


@pytest.mark.parametrize(
    ("word", "weighted", "unweighted"),
    [
        ("vgg16", (1.3502827, 1.3805125), (1.4867274, 1.5129988)),
        ("alexnet", (1.8434120, 1.7331587), (1.8832095, 1.7932055)),
    ],
)
def test_distances_are_those_of_the_authors_package(weights, word, weighted, unweighted):
    first, second = pictures(2, 32, 48), pictures(2, 32, 48, seed=7)
    for heads, told in ((True, weighted), (False, unweighted)):
        numpy.testing.assert_allclose(lpips_of(weights, word, heads).distance(first, second), told, rtol=1e-5)


def test_what_holds_for_a_distance(weights, monkeypatch):
    see = lpips_of(weights, "alexnet")
    first, second = pictures(5, 40, 36), pictures(5, 40, 36, seed=5)
    there, back = see.distance(first, second), see.distance(second, first)
    assert (there > 0).all()
    numpy.testing.assert_allclose(there, back, rtol=1e-6)
    assert (see.distance(first, first) == 0).all()
    monkeypatch.setattr(perceptual, "BATCH", 2)
    numpy.testing.assert_allclose(see.distance(first, second), there, rtol=1e-5)
    rows, classes = see.extract(first)
    assert rows.shape == (5, 64 + 192 + 384 + 256 + 256)
    assert classes is None


def test_distance_is_the_mean_over_positions(weights):
    """With heads of ones over the first map alone, worked out from that map."""
    state = torch.load(weights / "alexnet.pth")
    heads = {
        name: torch.full_like(value, float(name.startswith("lin0")))
        for name, value in torch.load(weights / "alexnet-heads.pth").items()
    }
    torch.save(heads, weights / "first.pth")
    see = features.load(f"{weights / 'alexnet.pth'}:heads={weights / 'first.pth'}")
    first, second = pictures(1), pictures(1, seed=3)

    def directions(x):
        shift = torch.tensor([-0.03, -0.088, -0.188]).reshape(3, 1, 1)
        scale = torch.tensor([0.458, 0.448, 0.45]).reshape(3, 1, 1)
        convolved = nn.functional.conv2d(
            (x - shift) / scale, state["features.0.weight"], state["features.0.bias"], 4, 2
        )
        return nn.functional.normalize(convolved.relu()[0].double().flatten(1), dim=0)

    wanted = (2 - 2 * (directions(first) * directions(second)).sum(0)).mean()
    assert see.distance(first, second)[0] == pytest.approx(float(wanted), rel=1e-5)


def test_the_word_lpips_needs_both_published_files(weights, monkeypatch):
    see, alone = lpips_of(weights, "vgg16"), lpips_of(weights, "vgg16", heads=False)
    digests = see.protocol["sha256"], see.protocol["heads_sha256"]
    assert see.name == f"vgg16-{digests[0][:8]}-heads-{digests[1][:8]}"
    assert alone.name == f"vgg16-{digests[0][:8]}"
    assert see.standard == alone.standard == {}
    for known, wanted in (
        ((digests[0], "0" * 64), {}),
        (("0" * 64, digests[1]), {}),
        (digests, {"LPIPS": "LPIPS", "PPL": "PPL"}),
    ):
        layout = dataclasses.replace(perceptual.LAYOUTS["vgg16"], sha256=known)
        monkeypatch.setitem(perceptual.LAYOUTS, "vgg16", layout)
        assert lpips_of(weights, "vgg16").standard == wanted
        assert lpips_of(weights, "vgg16", heads=False).standard == {}
    assert "PPL" not in perceptual.LAYOUTS["alexnet"].standard


def test_pictures_too_small_for_a_trunk_are_refused(weights):
    for word, side in (("vgg16", 16), ("alexnet", 31)):
        see = lpips_of(weights, word, heads=False)
        assert numpy.isfinite(see.extract(torch.zeros(1, 3, side, side))[0]).all()
        with pytest.raises(UsageError, match=f"which needs {side}x{side}"):
            see.extract(torch.zeros(1, 3, side, side - 1))


def made(values, **more):
    sample = Sample("made", values.flatten(1).double().numpy(), values)
    return Evidence(sample, distance=features.identity().distance, **more)


def test_lpips_pairs_each_sample_once():
    metric = installed().make("metric", "lpips", {})
    (found,) = metric.measure(made(torch.eye(7), perceptual=True))
    assert (found.value, found.interval, found.protocol) == (2.0, (2.0, 2.0), {"pairs": 3})
    numbers = 2.0 ** torch.arange(8).reshape(8, 1)  # every pair has a distance of its own
    values = [metric.measure(made(numbers, perceptual=True, seed=seed))[0].value for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]
    with pytest.raises(UsageError, match="--features TRUNK:heads=HEADS"):
        metric.measure(made(torch.eye(7)))
    with pytest.raises(UsageError, match="at least 4"):
        metric.measure(made(torch.eye(3), perceptual=True))


def test_lpips_and_path_length_of_a_run(weights, tmp_path, ganzoo):
    ganzoo("train", "--arch", "dcgan:width=4", "--data", "digits", "--steps", 2, "--batch", 8, "--out", "run")
    see = f"{weights / 'alexnet.pth'}:heads={weights / 'alexnet-heads.pth'}"
    numpy.savez(tmp_path / "few.npz", samples=numpy.zeros((4, 32, 32, 1), numpy.uint8))  # quicker than all its data
    words = ("evaluate", "run", "--reference", "few.npz", "--features", see, "--count", 20)
    words = (*words, "--metric", "lpips", "--metric", "path-length")
    told = json.loads(ganzoo(*words, "--json").stdout)
    name = lpips_of(weights, "alexnet").name
    assert [row["name"] for row in told] == [f"lpips@{name}", f"path_length@{name}"]
    for row, pairs in zip(told, (10, 20), strict=True):
        assert row["value"] > 0
        assert (row["protocol"]["count"], row["protocol"]["pairs"], row["protocol"]["seed"]) == (20, pairs, 0)
        assert row["protocol"]["heads_sha256"][:8] in name
        assert row["protocol"]["resize"] == "none"


# Path length


class Linear(nn.Module):
    """z -> A z, with the same noise added to a sample as to the one that it is compared with."""

    def __init__(self, matrix, noise=0.0):
        super().__init__()
        self.matrix, self.noise = nn.Parameter(matrix), noise

    def forward(self, latent, label):
        made = nn.functional.linear(latent, self.matrix)
        return made + self.noise * torch.randn_like(made)


def game(generator=None, precision="fp64", procedure="adversarial"):
    asked = {"arch": "mlp:latent=4", "data": "ring", "procedure": procedure}
    config = resolve(installed(), asked)
    collection = installed().make("dataset", "ring", {}).open()
    found = Game(
        config.make(installed()), collection.spec, None, batch=8, seed=0, steps=1, data_size=8, precision=precision
    )
    if generator is not None:
        found.networks.generators["generator"] = generator
    return found


def path_length(of, count=4000, seed=0, **options):
    metric = installed().make("metric", "path-length", options)
    (found,) = metric.measure(made(torch.zeros(count, 2), seed=seed, game=of))
    return found


ORTHOGONAL = 3.0 * torch.linalg.qr(drawn(0, 6, 4).double())[0]


def test_path_length_of_a_linear_generator():
    """|A (z - z')|^2 = 2 * 9 * chi^2 with 4 degrees, of which the outer hundredths are left out."""
    found = path_length(game(Linear(ORTHOGONAL)), path="lerp")
    ends = stats.chi2.ppf([0.01, 0.99], 4)
    wanted = 18 * 4 * numpy.diff(stats.chi2.cdf(ends, 6)) / 0.98
    assert found.value == pytest.approx(float(wanted[0]), rel=0.04)
    low, high = found.interval
    assert low < wanted[0] < high
    cut = 18 * stats.chi2.rvs(4, size=200_000, random_state=0).clip(*ends)
    assert high - low == pytest.approx(2 * 1.96 * cut.std() / (0.98 * math.sqrt(4000)), rel=0.1)
    assert found.protocol["pairs"] == 4000
    assert 3900 < found.protocol["kept"] < 3940


def test_path_length_of_a_constant_generator_is_zero():
    assert path_length(game(Linear(torch.zeros(6, 4, dtype=torch.float64), noise=1.0)), count=100).value == 0


def test_noise_inside_the_network_does_not_count():
    quiet, noisy = (path_length(game(Linear(ORTHOGONAL, noise)), count=200) for noise in (0.0, 1.0))
    assert noisy.value == pytest.approx(quiet.value, rel=1e-6)
    again, other = (path_length(game(Linear(ORTHOGONAL)), count=200, seed=seed) for seed in (0, 1))
    assert again.value == quiet.value != other.value


def test_path_length_is_not_lost_in_16_bit():
    exact = path_length(game(Linear(ORTHOGONAL)), count=200).value
    for precision in ("fp32", "bf16"):
        found = path_length(game(Linear(ORTHOGONAL.float()), precision), count=200).value
        assert found == pytest.approx(exact, rel=0.01)


def test_epsilon_is_divided_out():
    near, far = (path_length(game(Linear(ORTHOGONAL)), count=200, epsilon=step).value for step in (1e-5, 1e-2))
    assert near == pytest.approx(far, rel=0.02)


def test_the_weight_average_is_what_is_measured_and_sampled():
    of = game(Linear(ORTHOGONAL), procedure="adversarial:average=100")
    assert of.procedure.sampling_network(of) is of.procedure.average.network
    of.procedure.average.network = Linear(torch.zeros(2, 4, dtype=torch.float64))
    assert path_length(of, count=20).value == 0
    asked = Request(4)
    assert torch.equal(
        of.procedure.sample(of, asked), sample_latent_generator(of, of.procedure.sampling_network(of), asked)
    )
    plain = game()
    assert plain.procedure.sampling_network(plain) is plain.networks.generator


def test_slerp_goes_along_the_arc_at_one_speed():
    start, end = drawn(1, 50, 2, 3).double(), 4 * drawn(2, 50, 2, 3).double()

    def angle(first, second):
        cosine = torch.cosine_similarity(first.flatten(1), second.flatten(1))
        return cosine.clamp(-1, 1).acos()

    def at(share):
        return slerp(start, end, torch.full((50, 1, 1), share, dtype=torch.float64))

    torch.testing.assert_close(at(0.0), start)
    torch.testing.assert_close(at(1.0), end)
    torch.testing.assert_close(angle(at(0.2), at(0.7)), 0.5 * angle(start, end))
    lengths = [x.flatten(1).norm(dim=1) for x in (start, at(0.25), end)]
    torch.testing.assert_close(lengths[1], 0.75 * lengths[0] + 0.25 * lengths[2])
    assert torch.isfinite(slerp(start, start, torch.rand(50, 1, 1).double())).all()
    torch.testing.assert_close(slerp(start, start, torch.rand(50, 1, 1).double()), start)


def test_large_pictures_are_averaged_down():
    x = drawn(0, 2, 3, 512, 600)
    wanted = x.reshape(2, 3, 256, 2, 300, 2).mean((3, 5))
    torch.testing.assert_close(shrunk(x), wanted)
    assert shrunk(x[..., :256, :256]).shape == (2, 3, 256, 256)
    assert shrunk(x[:, 0, 0]).shape == (2, 600)


def test_the_word_ppl_needs_the_published_settings():
    make = installed().make
    assert make("metric", "path-length", {}).standard == {"path_length": "PPL"}
    for options in ({"epsilon": "1e-3"}, {"path": "lerp"}):
        assert make("metric", "path-length", options).standard == {}


def test_path_length_needs_a_generator_of_latents():
    of = game()
    with pytest.raises(UsageError, match="give it a run"):
        path_length(None)
    of.parts.architecture.offers = ("smooth_samples",)
    with pytest.raises(UsageError, match="'mlp' makes no smooth samples of latents"):
        path_length(of)
    with pytest.raises(UsageError, match=r"epsilon lies in \(0, 1\)"):
        path_length(of, epsilon=0)
