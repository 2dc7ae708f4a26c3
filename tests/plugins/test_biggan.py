"""BigGAN: published layers, classes by projection and by norms, attention, spectral norm, and a run; then SAGAN."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ganzoo as library
from ganzoo import Draws, Mismatch, Plan, SizeError, Spec, UsageError
from ganzoo.registry import installed
from ganzoo_plugins.architectures.biggan import DiscriminatorBlock, GeneratorBlock
from ganzoo_plugins.architectures.class_layers import (
    ClassNorm,
    ClassVectors,
    Convolution,
    Dense,
    SelfAttention,
    normalised,
)

CLASSES = ("a", "b", "c")
LABEL = torch.tensor([0, 1, 2])
SMALL = {"latent": 11, "generator_width": 2, "discriminator_width": 2, "embedding": 5}
TABLES = {"embedding": 0, "hierarchical": False}  # the published form at 32 px
TINY = "biggan:latent=8,generator_width=1,discriminator_width=1,embedding=3,attention=8"


def make(**options):
    return installed().make("architecture", "biggan", {**SMALL, **options})


def build(shape, **options):
    architecture = make(**options)
    torch.manual_seed(0)
    networks = architecture.build(Spec("image", shape, CLASSES), Plan())
    return networks, architecture.latent(Draws(0), 3)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (4, 32, 48), (2, 64, 64), (1, 128, 128), (3, 256, 256)])
@pytest.mark.parametrize("form", [{}, TABLES], ids=["shared and in parts", "tables"])
def test_every_size(shape, form):
    """Pictures in [-1, 1], and scores that do not depend on the rest of the batch."""
    networks, latent = build(shape, generator_width=1, discriminator_width=1, **form)
    made = networks.generator(latent, LABEL)
    assert made.shape == (3, *shape)
    assert made.abs().max() <= 1
    discriminator = networks.discriminator.eval()
    scores = discriminator(made, LABEL).value
    alone = [discriminator(made[index, None], LABEL[index, None]).value for index in range(3)]
    assert scores.shape == (3,)
    torch.testing.assert_close(scores, torch.cat(alone), rtol=1e-4, atol=1e-4)


PARAMETERS = {  # of the authors' generator and discriminator in their published settings
    32: (10, {"latent": 128, **TABLES}, (4304387, 4207361)),
    64: (1000, {"generator_width": 64, "discriminator_width": 64}, (31969540, 20571842)),
    128: (1000, {}, (70433988, 87982370)),
    256: (1000, {"latent": 140}, (82235844, 99225890)),
}


@pytest.mark.parametrize("size", PARAMETERS)
def test_published_sizes_of_the_networks(size):
    """Channels, attention and the parts of the latent, as far as a count of parameters tells; nothing is computed."""
    classes, options, wanted = PARAMETERS[size]
    architecture = installed().make("architecture", "biggan", options)
    with torch.device("meta"):
        networks = architecture.build(Spec("image", (3, size, size), tuple(map(str, range(classes)))), Plan())
    counted = [sum(map(torch.Tensor.numel, network.parameters())) for network in networks.all().values()]
    assert tuple(counted) == wanted


@pytest.mark.parametrize(("size", "attended"), [(32, None), (64, 32), (128, 64), (256, 64)])
def test_published_attention(size, attended):
    """Both networks look round once, at the published size; below 64 px neither does."""
    networks, latent = build((1, size, size), generator_width=1, discriminator_width=1)
    seen = []
    for network in networks.all().values():
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda module, given, made: seen.append(made.shape[-1]))
    networks.discriminator(networks.generator(latent, LABEL), LABEL)
    assert seen == ([attended] * 2 if attended else [])


def test_projection():
    """Two classes' scores of one picture differ by the product of the difference of their vectors and h."""
    networks, latent = build((1, 32, 32))
    discriminator = networks.discriminator.eval()
    images = networks.generator(latent, LABEL)
    other = (LABEL + 1) % 3
    h = F.relu(discriminator.blocks(images)).sum((2, 3))
    assert h.shape == (3, 8)
    vectors = discriminator.classes(LABEL) - discriminator.classes(other)
    difference = discriminator(images, LABEL).value - discriminator(images, other).value
    torch.testing.assert_close(difference, (vectors * h).sum(1), rtol=1e-4, atol=1e-4)
    assert difference.abs().min() > 1e-3


@pytest.mark.parametrize("classes", [False, True])
def test_class_norm_is_one_plus_gain(classes):
    """The normalised map times 1 + gain(condition), plus bias(condition)."""
    torch.manual_seed(0)
    norm = ClassNorm(4, 3, classes=classes).train()
    condition = LABEL if classes else torch.randn(3, 3)
    x = torch.randn(3, 4, 5, 5)
    plain = (x - x.mean((0, 2, 3), keepdim=True)) / (x.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-5).sqrt()
    made = norm(x, condition)
    norm.eval()  # the weights as they are after the iteration above
    gain, bias = ((layer(condition)[:, :, None, None]) for layer in (norm.gain, norm.bias))
    torch.testing.assert_close(made, plain * (1 + gain) + bias, rtol=1e-4, atol=1e-4)
    assert gain.abs().min() > 1e-4


def test_attention_begins_as_the_identity_and_adds_a_weighted_mean():
    """Place by place: the mean of the pooled values, weighted by the softmax of query times pooled key."""
    torch.manual_seed(0)
    attention, x = SelfAttention(16).eval(), 3 * torch.randn(2, 16, 4, 6)
    assert torch.equal(attention(x), x)
    with torch.no_grad():
        attention.gamma.fill_(0.5)
    queries, keys, values = attention.query(x), F.max_pool2d(attention.key(x), 2), F.max_pool2d(attention.value(x), 2)
    assert (queries.shape[1], keys.shape, values.shape) == (2, (2, 2, 2, 3), (2, 8, 2, 3))
    seen = torch.empty(2, 8, 4, 6)
    for sample, row, column in itertools.product(range(2), range(4), range(6)):
        logits = (queries[sample, :, row, column, None, None] * keys[sample]).sum(0)
        weights = logits.exp() / logits.exp().sum()
        seen[sample, :, row, column] = (weights * values[sample]).sum((1, 2))
    torch.testing.assert_close(attention(x), x + 0.5 * attention.output(seen), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [Convolution(3, 6), Dense(5, 4), ClassVectors(4, 7)], ids=lambda one: type(one).__name__
)
def test_layers_are_divided_by_their_largest_singular_value(layer):
    """At first orthogonal; after some iterations the norm of what the layer computes with is 1, on any scale.
    Evaluation moves nothing, training does."""
    first = layer.weight.detach().flatten(1)
    side = min(first.shape)
    gram = first @ first.T if len(first) == side else first.T @ first
    torch.testing.assert_close(gram, torch.eye(side), rtol=1e-4, atol=1e-4)
    torch.manual_seed(0)
    with torch.no_grad():
        layer.weight.copy_(3 * torch.randn_like(layer.weight))
    kept = layer.u.clone()
    layer.eval()
    assert torch.equal(normalised(layer), normalised(layer))
    assert torch.equal(layer.u, kept)
    layer.train()
    for _ in range(300):
        weight = normalised(layer)
    assert not torch.equal(layer.u, kept)
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=1e-3)


def test_every_layer_but_the_class_vectors_of_the_generator_is_normalised():
    networks, _ = build((1, 64, 64))
    plain = [
        name
        for name, module in networks.generator.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)) and not hasattr(module, "u")
    ]
    assert plain == ["shared"]
    layers = [module for module in networks.discriminator.modules() if hasattr(module, "weight")]
    assert layers
    assert all(hasattr(layer, "u") for layer in layers)


def test_every_block_gets_its_part_of_the_latent():
    """A latent of 11 at 32 px is 3 + 3 + 3 + 2 numbers; a block's norms see theirs and the class's vector."""
    networks, latent = build((1, 32, 32))
    generator = networks.generator.eval()
    assert generator.linear.in_features == 3
    assert [block.norm1.gain.in_features - SMALL["embedding"] for block in generator.blocks] == [3, 3, 2]
    maps = []
    for block in generator.blocks:
        block.register_forward_hook(lambda module, given, made: maps.append(made))
    generator(latent, LABEL)
    changed = latent.clone()
    changed[:, 6:9] += 1  # the second block's
    generator(changed, LABEL)
    assert [torch.equal(before, after) for before, after in zip(maps[:3], maps[3:], strict=True)] == [
        True,
        False,
        False,
    ]


def test_without_parts_the_latent_goes_in_once():
    networks, _ = build((1, 32, 32), hierarchical=False)
    assert networks.generator.linear.in_features == 11
    assert {block.norm1.gain.in_features for block in networks.generator.blocks} == {5}


@pytest.mark.parametrize("form", [{}, TABLES], ids=["shared", "tables"])
def test_classes_reach_the_generator(form):
    networks, latent = build((1, 16, 16), **form)
    generator = networks.generator.eval()
    made, other = (generator(latent, label) for label in (LABEL, (LABEL + 1) % 3))
    assert not torch.allclose(made, other)


def test_blocks_as_they_are_published():
    """Written out plainly: upsampling before, and means after, the 1x1 beside a block."""
    torch.manual_seed(0)
    x, condition = torch.randn(3, 4, 6, 6), torch.randn(3, 5)
    up = GeneratorBlock(4, 3, 5, classes=False, attends=False).eval()
    wide = F.interpolate(F.relu(up.norm1(x, condition)), scale_factor=2, mode="nearest")
    h = up.conv2(F.relu(up.norm2(up.conv1(wide), condition)))
    torch.testing.assert_close(
        up(x, condition), h + up.shortcut(F.interpolate(x, scale_factor=2)), rtol=1e-4, atol=1e-5
    )
    for first in (False, True):
        down = DiscriminatorBlock(4, 3, first=first, halves=True, attends=False).eval()
        h = down.conv2(F.relu(down.conv1(x if first else F.relu(x))))
        torch.testing.assert_close(down(x), F.avg_pool2d(h + down.shortcut(x), 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("truncation", [0.25, 0.5])
def test_sampling_truncates_the_latent(truncation):
    """|z| is at most 2 truncation; 1 leaves the latent alone."""
    architecture, seen = make(), []

    class Watched(nn.Module):
        def forward(self, latent, label):
            seen.append((latent, label))
            return latent

    latent = architecture.latent(Draws(0), 500)
    architecture.sample(Watched(), latent, LABEL, truncation)
    architecture.sample(Watched(), latent, LABEL, 1.0)
    (cut, label), (whole, _) = seen
    assert latent.abs().max() > 2
    assert 1.8 * truncation < cut.abs().max() <= 2 * truncation
    assert torch.equal(whole, latent)
    assert torch.equal(label, LABEL)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"embedding": 0}, "hierarchical=false"),
        ({"embedding": -1}, "must not be negative"),
        ({"latent": 0}, "at least 1"),
        ({"latent": 3}, "cannot be cut into 4 parts.*latent=4"),
        ({"attention": (20,)}, "attention=20 .* of 16, 8 px"),
        ({"attention": (32,)}, "attention=32 .* of 16, 8 px"),
    ],
)
def test_options_that_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        build((3, 32, 32), **options)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 512, 512), (3, 33, 33)])
def test_sizes_that_are_refused(shape):
    with pytest.raises(SizeError, match=r"biggan makes pictures of 16 to 256 px.*try size="):
        build(shape)


def test_labels_are_needed(tmp_path):
    unlabelled = torch.zeros(8, 1, 16, 16)
    with pytest.raises(Mismatch, match="labels"):
        library.train(arch=TINY, data=unlabelled, steps=1, batch=2, quiet=True, out=tmp_path / "run")


def test_trains_as_published(tmp_path):
    """Hinge loss, two moves of the discriminator, the published rates and a weight average; it is sampled by class."""
    run = library.train(
        arch=TINY,
        data="digits:size=16",
        loss="hinge",
        reg="orthogonal",
        procedure="adversarial:average=16",
        **{"steps": 2, "batch": 8, "quiet": True, "out": tmp_path / "run"},
    )
    assert {"loss/generator", "loss/discriminator", "penalty/orthogonal"} <= set(run.logged()[-1])
    options = run.config.procedure.options
    assert (options["n_critic"], options["generator_rate"], options["discriminator_rate"]) == (2, 5e-5, 2e-4)
    three, four = run.sample(2, label=3), run.sample(2, label=4)
    assert three.shape == (2, 1, 16, 16)
    assert not torch.equal(three, four)
    assert not torch.equal(run.sample(2, label=3, truncation=0.3), three)


def build_sagan(shape, classes=CLASSES, **options):
    architecture = installed().make("architecture", "sagan", options)
    torch.manual_seed(0)
    return architecture.build(Spec("image", shape, classes), Plan()), architecture.latent(Draws(0), 3)


def test_sagan_has_the_published_size():
    """As many parameters as the networks that biggan's authors train under this name."""
    with torch.device("meta"):
        networks, _ = build_sagan((3, 128, 128), tuple(map(str, range(1000))))
    counted = [sum(map(torch.Tensor.numel, network.parameters())) for network in networks.all().values()]
    assert counted == [42017412, 39448258]


@pytest.mark.parametrize("size", [16, 32, 128])
def test_sagan_looks_round_at_half_the_picture(size):
    networks, latent = build_sagan((1, size, size), width=1)
    seen = []
    for network in networks.all().values():
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_hook(lambda module, given, made: seen.append(made.shape[-1]))
    assert networks.discriminator(networks.generator(latent, LABEL), LABEL).value.shape == (3,)
    assert seen == [size // 2] * 2


def test_sagan_begins_with_classes_alike_and_tells_them_apart_by_its_tables():
    networks, latent = build_sagan((1, 16, 16), width=2)
    generator = networks.generator.eval()
    made = generator(latent, LABEL)
    assert torch.equal(made, generator(latent, LABEL.flip(0)))
    nn.init.normal_(generator.blocks[0].norm1.gain.weight)
    assert not torch.equal(generator(latent, LABEL), generator(latent, LABEL.flip(0)))


@pytest.mark.parametrize("options", [{"attention": (64,)}, {"width": 0}])
def test_sagan_refuses(options):
    with pytest.raises(UsageError, match="sagan"):
        build_sagan((1, 32, 32), **options)


def test_sagan_trains_as_published(tmp_path):
    run = library.train(
        arch="sagan:latent=4,width=1",
        data="digits:size=16",
        loss="hinge",
        **{"steps": 2, "batch": 8, "quiet": True, "out": tmp_path / "run"},
    )
    options = run.config.procedure.options
    assert (options["n_critic"], options["generator_rate"], options["discriminator_rate"]) == (1, 1e-4, 4e-4)
    assert run.sample(2, label=3).shape == (2, 1, 16, 16)
