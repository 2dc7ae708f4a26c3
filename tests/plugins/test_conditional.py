"""Classes as parts that combine: CGAN's layers, an auxiliary classifier, projection and norms by class against their
closed forms; then runs that learn which class is which, continue exactly, and are refused in a sentence."""

from __future__ import annotations

import copy
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import invoke
from PIL import Image
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

import ganzoo as library
from ganzoo import Draws, Plan, Scores, Spec, UsageError
from ganzoo.config import resolve
from ganzoo.game import Turn
from ganzoo.registry import installed

CLASSES = ("a", "b", "c")
LABEL = torch.tensor([0, 1, 2, 1])
OTHER = (LABEL + 1) % 3
IMAGES = Spec("image", (1, 16, 16), CLASSES)


def make(kind, name, **options):
    return installed().make(kind, name, options)


def build(name="dcgan", parts=(), spec=IMAGES, needs=(), **options):
    """Networks of a tiny architecture, changed by these regularizers, and latents for them."""
    torch.manual_seed(0)
    architecture = installed().make("architecture", name, {**installed().get("architecture", name).tiny, **options})
    plan = Plan(frozenset([*needs, *(word for part in parts for word in part.needs)]), spec)
    for part in parts:
        part.plan(plan)
    networks = architecture.build(spec, plan)
    for part in parts:
        part.prepare(networks)
    return networks, architecture.latent(Draws(0), len(LABEL)), plan


def pictures():
    return torch.rand(len(LABEL), 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


# CGAN


def numbers(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_cgan_has_the_published_layers():
    """Section 4.1: 100 and 10 numbers to 200 and 1000 units, to 1200, to 784; maxout 240 of 5 pieces and 50 of 5, to
    240 of 4, to a score."""
    with torch.device("meta"):
        spec = Spec("image", (1, 28, 28), tuple("0123456789"))
        networks = make("architecture", "cgan", form="mlp").build(spec, Plan())

    def dense(inputs, outputs):
        return (inputs + 1) * outputs

    generator = dense(100, 200) + dense(10, 1000) + dense(1200, 1200) + dense(1200, 784)
    discriminator = dense(784, 240 * 5) + dense(10, 50 * 5) + dense(290, 240 * 4) + dense(240, 1)
    assert [numbers(network) for network in networks.all().values()] == [generator, discriminator]


def test_convolutional_cgan_is_dcgan_with_the_class_beside_its_input():
    networks, latent, _ = build("cgan")
    plain, _, _ = build("dcgan", latent=4 + 3, width=12)
    plain.generator.load_state_dict(networks.generator.network.state_dict())
    given = torch.cat([latent, torch.eye(3)[LABEL]], 1)
    torch.testing.assert_close(networks.generator(latent, LABEL), plain.generator(given), rtol=0, atol=0)
    images = pictures()
    maps = torch.zeros(len(LABEL), 3, 16, 16)
    maps[torch.arange(len(LABEL)), LABEL] = 1
    discriminator = networks.discriminator.eval()
    wanted = discriminator.network(torch.cat([images, maps], 1)).value
    torch.testing.assert_close(discriminator(images, LABEL).value, wanted, rtol=0, atol=0)
    assert not torch.equal(discriminator(images, OTHER).value, wanted)


@pytest.mark.parametrize("form", ["mlp", "convolutional"])
@pytest.mark.parametrize(
    ("told", "needs", "looks"),
    [
        ("auto", (), True),
        ("auto", ("unconditional_features",), False),
        ("auto", ("unconditional_score",), False),
        ("yes", (), True),
        ("no", (), False),
    ],
)
def test_cgan_tells_the_discriminator_unless_another_part_does(form, told, needs, looks):
    networks, latent, plan = build("cgan", needs=needs, form=form, told=told)
    discriminator, generator = networks.discriminator.eval(), networks.generator.eval()
    same = torch.equal(discriminator(pictures(), LABEL).value, discriminator(pictures(), OTHER).value)
    assert same is not looks
    assert not torch.equal(generator(latent, LABEL), generator(latent, OTHER))
    assert [note for note in plan.notes if "not told the class" in note] == plan.notes[: bool(needs)]


def test_cgan_of_points_and_of_uniform_latents():
    networks, latent, _ = build("cgan", spec=Spec("points", (2,), CLASSES), noise="uniform")
    assert networks.generator(latent, LABEL).shape == (4, 2)
    assert latent.min() >= 0 and latent.max() < 1


@pytest.mark.parametrize(
    "name", ["dcgan", "mlp", "resnet", "biggan", "sagan", "cgan", pytest.param("cgan", id="cgan-mlp")]
)
def test_scores_are_made_of_the_features(name, request):
    """The last layer, alone, makes the score of them; where a class is projected, what classes differ in is theirs."""
    networks, _, _ = build(name, **({"form": "mlp"} if "cgan-mlp" in request.node.name else {}))
    discriminator = networks.discriminator.eval()
    scores = discriminator(pictures(), LABEL)
    assert scores.features.shape == (4, discriminator.feature_size)
    inner = getattr(discriminator, "network", discriminator)
    last = next(found for word in ("score", "linear", "main") if (found := getattr(inner, word, None)) is not None)
    last = last[-1] if isinstance(last, nn.Sequential) else last
    value = last(scores.features.unflatten(1, last.weight.shape[1:])).flatten()
    if hasattr(inner, "classes") and isinstance(inner.classes, nn.Embedding):
        value = value + (inner.classes(LABEL) * scores.features).sum(1)
    torch.testing.assert_close(scores.value, value)


# Projection


def test_projection_adds_the_product_of_vector_and_features():
    plain, _, _ = build("resnet")
    networks, _, _ = build("resnet", [make("regularizer", "projection")])
    images, discriminator = pictures(), networks.discriminator
    bare = plain.discriminator(images)
    vectors, h = discriminator.projected_classes.weight, bare.features
    difference = discriminator(images, LABEL).value - discriminator(images, OTHER).value
    torch.testing.assert_close(difference, ((vectors[LABEL] - vectors[OTHER]) * h).sum(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(discriminator(images, LABEL).value, bare.value + (vectors[LABEL] * h).sum(1))
    assert difference.abs().min() > 1e-3
    nn.init.zeros_(vectors)
    assert torch.equal(discriminator(images, LABEL).value, bare.value)


def test_projection_refuses_a_map_of_scores():
    class Patches(nn.Module):
        feature_size = 4

        def forward(self, x, label=None):
            return Scores(x.flatten(2).mean(1), features=x.flatten(1)[:, :4])

    part = make("regularizer", "projection")
    part.plan(Plan(spec=IMAGES))
    network = Patches()
    part.prepare(library.Networks({}, {"discriminator": network}))
    with pytest.raises(UsageError, match=r"adds to one score for each sample.*\[256\].*leave out --reg projection"):
        network(pictures(), LABEL)


# Auxiliary classifier


def ac_turn(discriminator, side, noted=None):
    real, fake = pictures(), pictures().flip(2)
    game = SimpleNamespace(note=lambda name, value: None if noted is None else noted.update({name: value}))
    real_scores = discriminator(real, LABEL) if side == "discriminator" else None
    scores = {"fake_scores": discriminator(fake, OTHER), "real_scores": real_scores}
    return Turn(game, None, "discriminator", side, fake, real=real, label=LABEL, fake_label=OTHER, **scores)


def test_ac_is_the_cross_entropy_of_classes_found_in_the_features():
    part = make("regularizer", "ac", weight=2.0, generator_weight=3.0)
    networks, _, _ = build("resnet", [part])
    discriminator, noted = networks.discriminator, {}

    def by_hand(turn, scores, label):
        head = discriminator.class_head
        odds = scores.features @ head.weight.T + head.bias
        return (odds.exp().sum(1).log() - odds[torch.arange(4), label]).mean(), (odds.argmax(1) == label).float().mean()

    turn = ac_turn(discriminator, "discriminator", noted)
    real, found = by_hand(turn, turn.real_scores, LABEL)
    fake, _ = by_hand(turn, turn.fake_scores, OTHER)
    torch.testing.assert_close(part.penalty(turn), 2 * (real + fake))
    assert noted.keys() == {"accuracy/real", "accuracy/fake"} and noted["accuracy/real"] == found
    torch.testing.assert_close(part.penalty(ac_turn(discriminator, "generator")), 3 * fake)
    part.fake = False
    torch.testing.assert_close(part.penalty(turn), 2 * real)


def test_ac_leaves_the_score_alone():
    plain, _, _ = build()
    networks, _, _ = build(parts=[make("regularizer", "ac")])
    assert torch.equal(networks.discriminator(pictures(), LABEL).value, plain.discriminator(pictures()).value)


@pytest.mark.parametrize(("name", "layer"), [("ac", "class_head"), ("projection", "projected_classes")])
@pytest.mark.parametrize("order", [1, -1], ids=["spectral norm first", "spectral norm last"])
def test_added_layers_are_normalised_in_any_order(name, layer, order):
    parts = [make("regularizer", "spectral-norm", iterations=20), make("regularizer", name)][::order]
    networks, _, _ = build("resnet", parts)
    added = getattr(networks.discriminator, layer)
    assert is_parametrized(added, "weight")
    networks.discriminator(pictures(), LABEL)
    assert torch.linalg.matrix_norm(added.weight, 2).item() == pytest.approx(1, abs=0.01)


# Norms by class


@pytest.mark.parametrize("name", ["dcgan", "resnet", "cgan"])
def test_class_norm_begins_as_the_plain_network(name):
    plain, latent, _ = build(name)
    networks, _, _ = build(name, [make("regularizer", "class-norm")])
    made = networks.generator(latent, LABEL)
    torch.testing.assert_close(made, plain.generator(latent, LABEL), rtol=1e-4, atol=1e-5)
    kinds = [type(module) for module in networks.generator.modules()]
    assert nn.BatchNorm2d in kinds and nn.BatchNorm2d not in [
        type(module) for module in networks.generator.modules() if getattr(module, "affine", False)
    ]


@pytest.mark.parametrize("shared", [0, 5])
def test_class_norm_is_one_plus_what_the_class_adds(shared):
    """Of every class, or linear in its shared vector."""
    networks, latent, _ = build("resnet", [make("regularizer", "class-norm", shared=shared)])
    generator = networks.generator
    torch.manual_seed(2)
    norm = generator.stages[1].norm1
    if not shared:
        for table in (norm.gain, norm.bias):
            nn.init.normal_(table.weight)
    seen = []
    norm.register_forward_hook(lambda module, given, made: seen.extend((given[0], made)))
    generator(latent, LABEL)
    x, made = seen
    if shared:
        norm.eval()  # the linear maps as they are after the iteration above
        gain, bias = (layer(generator.norm_vectors(LABEL)) for layer in (norm.gain, norm.bias))
        assert generator.norm_vectors.weight.shape == (3, 5)
    else:
        gain, bias = norm.gain.weight[LABEL], norm.bias.weight[LABEL]
    plain = F.batch_norm(x, None, None, training=True)
    torch.testing.assert_close(
        made, plain * (1 + gain)[:, :, None, None] + bias[:, :, None, None], rtol=1e-4, atol=1e-4
    )
    assert gain.std() > 0.01


def test_class_norm_serves_maps_of_any_dimension_and_says_where_there_is_none():
    part = make("regularizer", "class-norm")
    part.plan(Plan(spec=IMAGES))

    class Flat(nn.Module):
        def __init__(self, norm):
            super().__init__()
            self.main = nn.Sequential(nn.Linear(4, 6), norm, nn.ReLU(True))

        def forward(self, latent, label=None):
            return self.main(latent)

    network = Flat(nn.BatchNorm1d(6, momentum=0.3))
    part.prepare(library.Networks({"generator": network}))
    assert network.main[1].norm.momentum == 0.3
    nn.init.normal_(network.main[1].bias.weight)
    assert network(torch.randn(4, 4), LABEL).shape == (4, 6)
    with pytest.raises(UsageError, match=r"no batch normalisation.*leave out --reg class-norm"):
        part.prepare(library.Networks({"generator": Flat(nn.Identity())}))


@pytest.mark.parametrize("shared", [0, 5])
def test_copies_use_their_own_layers(shared):
    """A network that ran, or failed to, can be copied, and the copy no longer hears of what the original learns."""
    parts = [make("regularizer", "class-norm", shared=shared), make("regularizer", "ac")]
    networks, latent, _ = build(parts=[*parts, make("regularizer", "projection")])
    made, images = networks.generator.eval()(latent, LABEL), pictures()
    with pytest.raises(RuntimeError):
        networks.generator(latent[:, :1], LABEL)
    scores = networks.discriminator.eval()(images, LABEL)
    generator, discriminator = copy.deepcopy(networks.generator), copy.deepcopy(networks.discriminator)
    with torch.no_grad():
        for network in networks.all().values():
            for parameter in network.parameters():
                parameter.zero_()
    assert torch.equal(generator(latent, LABEL), made)
    again = discriminator(images, LABEL)
    assert torch.equal(again.value, scores.value)
    assert torch.equal(again.classes, scores.classes)
    assert not networks.discriminator(images, LABEL).classes.any()


# Runs

COMBINATIONS = {
    "cgan": {"arch": "cgan:latent=4,width=8", "loss": "nonsaturating"},
    "cgan mlp": {"arch": "cgan:form=mlp,latent=4,width=48", "loss": "nonsaturating"},
    "ac-gan": {"arch": "cgan:latent=4,width=8", "loss": "nonsaturating", "reg": "ac"},
    "dcgan ac wgan-gp": {"arch": "dcgan:latent=4,width=8", "loss": "wgan-gp", "reg": ["class-norm", "ac"]},
    "projection": {
        "arch": "resnet:latent=4,generator_width=8,discriminator_width=8",
        "loss": "hinge",
        "reg": ["class-norm", "projection", "spectral-norm"],
    },
    "shared": {
        "arch": "dcgan:latent=4,width=8",
        "loss": "nonsaturating",
        "reg": ["projection", "r1:every=2", "class-norm:shared=6"],
    },
    "biggan ac": {
        "arch": "biggan:latent=8,generator_width=2,discriminator_width=2,embedding=3,attention=8",
        "loss": "hinge",
        "reg": "ac",
    },
}


def train(name, data, out, steps, **more):
    settings = {"procedure": "adversarial:rate=2e-3,average=64", "batch": 16, "device": "cpu", "workers": 0}
    return library.train(**{**COMBINATIONS[name], **settings, **more}, data=data, steps=steps, out=out, quiet=True)


def bright_and_dark():
    """Pictures of two classes that nobody could take for the other: dark ones and bright ones."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(128) % 2
    noise = 0.2 * torch.randn(128, 1, 16, 16, generator=generator)
    return ((labels[:, None, None, None] * 1.2 - 0.6) + noise).clamp(-1, 1), labels


@pytest.mark.parametrize("name", ["cgan", "ac-gan", "projection", "shared"])
def test_the_generator_learns_which_class_is_which(name, tmp_path):
    """The weight average that samples come from makes dark pictures where dark ones are asked for."""
    run = train(name, bright_and_dark(), tmp_path / "run", 80, save_every=0, sample_every=0)
    dark, bright = (run.sample(64, seed=0, label=label).mean().item() for label in (0, 1))
    assert bright - dark > 0.3, (dark, bright)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_continues_exactly_and_keeps_classes_apart(name, tmp_path):
    quick = {"batch": 4, "log_every": 1}
    train(name, "digits:size=16", tmp_path / "whole", 4, **quick)
    train(name, "digits:size=16", tmp_path / "parted", 2, **quick)
    run = train(name, "digits:size=16", tmp_path / "parted", 4, **quick, sample_every=1)
    whole, parted = (
        (tmp_path / folder / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes()
        for folder in ("whole", "parted")
    )
    assert whole == parted
    first, *others = (run.sample(4, seed=0, label=label) for label in range(10))
    assert not all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("name", ["shared", "cgan"])
def test_onnx_is_told_the_class(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    run = train(name, "digits:size=16", tmp_path / "run", 2, batch=4)
    invoke("export", run.path, "--onnx", tmp_path / "made.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "made.onnx")
    latent, label = torch.randn(5, 4), torch.tensor([0, 9, 3, 3, 1])
    (made,) = session.run(None, {"latent": latent.numpy(), "label": label.numpy()})
    game = run.game()
    with torch.no_grad():
        wanted = game.procedure.sampling_network(game).eval()(latent, label)
    torch.testing.assert_close(torch.as_tensor(made), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--arch dcgan --reg class-norm", "`class_discriminator` (.*add --reg ac or projection; architectures cgan"),
        ("--arch dcgan --reg ac", "`class_generator` (.*add --reg class-norm; architectures biggan, cgan, sagan"),
        ("--arch mlp --reg class-norm --reg ac", "`batch_norm_generator` (.*architectures cgan, dcgan, resnet"),
        ("--arch biggan --reg projection", "`unconditional_score` (.*architectures cgan"),
        ("--arch cgan:told=yes --reg ac", "`unconditional_features` (.*leave out --reg ac"),
        ("--arch cgan:told=no", "`class_discriminator` (.*add --reg ac or projection"),
        ("--arch cgan --data stacked-mnist:path=.", "`labels` (.*Pictures get classes from .*architectures dcgan"),
    ],
)
def test_refused_before_anything_is_read(words, told):
    stderr = invoke("train", *words.split(), "--dry-run", code=2).stderr
    assert re.search(told.replace("(", r"\("), stderr), stderr


def test_pictures_without_classes_are_refused_with_where_classes_come_from(tmp_path):
    Image.new("L", (32, 32)).save(tmp_path / "one.png")
    stderr = invoke("train", "--arch", "cgan", "--data", tmp_path, "--out", tmp_path / "run", code=2).stderr
    assert "needs `labels` (every sample carries a class)" in stderr
    assert "a folder for each class or from a `dataset.json`, unless labels=none was asked for" in stderr
    assert "What would fit: architectures dcgan" in stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["cgan-mnist", "acgan-mnist", "sngan-projection-cifar10", "sagan-cifar10"])
def test_recipes_are_told_classes(name):
    recipe = installed().get("recipe", name)
    for form in (name, *(f"{name}:{variant}" for variant in recipe.variants)):
        data = f"{recipe.data.partition(':')[0]}:path=nowhere"
        parts = resolve(installed(), {"recipe": form, "data": data}).make(installed())
        offers = {word for _, part in parts.each() for word in part.offers}
        assert {"class_generator", "class_discriminator"} <= offers
