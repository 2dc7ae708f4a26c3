"""Shapes and sizes that the built-in networks make, and refuse; their published layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo import Draws, Plan, SizeError, Spec, UsageError
from ganzoo.registry import installed


def build(name, shape, needs=(), **options):
    architecture = installed().make("architecture", name, options)
    plan = Plan(frozenset(needs))
    networks = architecture.build(Spec("image", shape), plan)
    return networks, architecture.latent(Draws(0), 3), plan


@pytest.mark.parametrize(
    "shape",
    [
        (1, 16, 16),
        (3, 28, 28),
        (3, 32, 32),
        (2, 48, 64),
        (4, 64, 48),
        (3, 112, 96),
        (5, 16, 64),
        (3, 128, 128),
        (1, 128, 64),
    ],
)
def test_dcgan_at_every_size(shape):
    networks, latent, _ = build("dcgan", shape, width=4, latent=5)
    made = networks.generator(latent)
    assert made.shape == (3, *shape)
    assert made.abs().max() <= 1
    assert networks.discriminator(made).value.shape == (3,)


@pytest.mark.parametrize("height", range(8, 140, 3))
def test_dcgan_names_a_size_that_works(height):
    try:
        build("dcgan", (3, height, 32), width=2, latent=2)
    except SizeError as error:
        size = str(error).split("size=")[1]
        build("dcgan", (3, *map(int, size.split("x"))), width=2, latent=2)


def test_dcgan_has_the_papers_layers():
    """64 px: four doublings from 4x4, 512 to 64 channels,
    no norm in the generator's last and the discriminator's first and last layer."""
    networks, _, _ = build("dcgan", (3, 64, 64))
    generator, discriminator = networks.generator.main, networks.discriminator.main
    assert [layer.out_channels for layer in generator if isinstance(layer, nn.ConvTranspose2d)] == [
        512,
        256,
        128,
        64,
        3,
    ]
    assert [layer.out_channels for layer in discriminator if isinstance(layer, nn.Conv2d)] == [64, 128, 256, 512, 1]
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in generator) == 4
    assert sum(isinstance(layer, nn.BatchNorm2d) for layer in discriminator) == 3
    assert sum(parameter.numel() for parameter in networks.generator.parameters()) == 3_576_704
    assert sum(parameter.numel() for parameter in networks.discriminator.parameters()) == 2_765_568
    weights = torch.cat([layer.weight.flatten() for layer in generator if isinstance(layer, nn.ConvTranspose2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)


def test_dcgan_adapts_and_says_so():
    for needs, normalised in (((), True), (("per_sample_scores",), False)):
        networks, _, plan = build("dcgan", (1, 16, 16), needs, width=2)
        assert any(isinstance(layer, nn.BatchNorm2d) for layer in networks.discriminator.modules()) == normalised
        assert bool(plan.notes) != normalised
    batch = installed().make("architecture", "dcgan", {"norm": "batch"})
    assert "per_sample_scores" not in batch.offers


@pytest.mark.parametrize("name", ["dcgan", "mlp", "resnet"])
def test_a_score_depends_on_its_own_sample_where_that_is_offered(name):
    networks, latent, _ = build(name, (1, 16, 16), ("per_sample_scores",), **installed().get("architecture", name).tiny)
    samples = networks.generator(latent).detach()
    alone = torch.cat([networks.discriminator(sample[None]).value for sample in samples])
    torch.testing.assert_close(networks.discriminator(samples).value, alone)


def test_mlp_takes_points_and_pictures():
    architecture = installed().make("architecture", "mlp", {"width": 8, "noise": "uniform"})
    for spec in (Spec("points", (2,)), Spec("image", (3, 5, 7))):
        networks = architecture.build(spec, Plan())
        latent = architecture.latent(Draws(0), 500)
        assert latent.min() >= -1 and latent.max() <= 1
        made = networks.generator(latent)
        assert made.shape == (500, *spec.shape)
        assert networks.discriminator(made).value.shape == (500,)
        assert spec.kind == "points" or made.abs().max() <= 1


def test_mlp_of_2014():
    """Generator of 1200 ReLU units, discriminator of 240 maxout units of 5 pieces, dropout of a fifth and a half."""
    networks, latent, _ = build(
        "mlp",
        (1, 28, 28),
        latent=100,
        width=1200,
        layers=2,
        noise="uniform",
        discriminator="maxout",
        discriminator_width=240,
        dropout_input=0.2,
        dropout=0.5,
    )
    layers = networks.discriminator.main
    assert [type(layer).__name__ for layer in layers] == ["Dropout", "Maxout", "Dropout", "Maxout", "Dropout", "Linear"]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.2, 0.5, 0.5]
    assert [layer.linear.weight.shape for layer in layers if hasattr(layer, "pieces")] == [(1200, 784), (1200, 240)]
    assert [layer.weight.shape for layer in networks.generator.main if isinstance(layer, nn.Linear)] == [
        (1200, 100),
        (1200, 1200),
        (784, 1200),
    ]
    made = networks.generator(latent)
    assert not torch.equal(networks.discriminator(made).value, networks.discriminator(made).value)
    networks.discriminator.eval()
    assert torch.equal(networks.discriminator(made).value, networks.discriminator(made).value)


def test_maxout_takes_the_largest_piece():
    networks, _, _ = build("mlp", (1, 4, 4), discriminator="maxout", width=3, layers=1, pieces=4)
    layer = networks.discriminator.main[0]
    x = torch.randn(5, 16)
    pieces = (x @ layer.linear.weight.T + layer.linear.bias).reshape(5, 3, 4)
    torch.testing.assert_close(layer(x), pieces.max(2).values)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pieces": 0}, "at least 1"),
        ({"discriminator_width": 0}, "at least 1"),
        ({"dropout": 1.0}, "lie in"),
        ({"dropout_input": -0.1}, "lie in"),
    ],
)
def test_mlp_options_that_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        build("mlp", (1, 4, 4), **options)


@pytest.mark.parametrize(
    "shape",
    [
        *((1, 16, 16), (3, 28, 28), (3, 32, 32), (2, 40, 48), (3, 48, 48), (4, 64, 48), (1, 56, 56), (5, 128, 32)),
        *((3, 112, 96), (3, 128, 128)),
    ],
)
@pytest.mark.parametrize("form", ["paper", "mimicry"])
def test_resnet_at_every_size(shape, form):
    options = {"generator_width": 2, "discriminator_width": 3, "latent": 5, "form": form}
    networks, latent, _ = build("resnet", shape, **options)
    made = networks.generator(latent)
    assert made.shape == (3, *shape)
    assert made.abs().max() <= 1
    assert networks.discriminator(made).value.shape == (3,)


@pytest.mark.parametrize("height", range(8, 140, 3))
def test_resnet_names_a_size_that_works(height):
    try:
        build("resnet", (3, height, 32), generator_width=1, discriminator_width=1, latent=2)
    except SizeError as error:
        size = str(error).split("size=")[1]
        build("resnet", (3, *map(int, size.split("x"))), generator_width=1, discriminator_width=1, latent=2)


RESNETS = {  # channels of the generator's maps and of the discriminator's blocks, appendix B.4, and how many halve
    32: ([256, 256, 256, 256], [128, 128, 128, 128], 2),
    48: ([512, 256, 128, 64], [64, 128, 256, 512, 1024], 4),
    64: ([1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024], 5),
    128: ([1024, 1024, 512, 256, 128, 64], [64, 128, 256, 512, 1024, 1024], 5),
}


@pytest.mark.parametrize("size", RESNETS)
def test_resnet_has_the_papers_layers(size):
    wide, narrow, halvings = RESNETS[size]
    with torch.device("meta"):
        networks, _, _ = build("resnet", (3, size, size))
    blocks = networks.generator.stages[1:]
    assert [blocks[0].conv1.in_channels, *(block.conv2.out_channels for block in blocks)] == wide
    assert networks.generator.stages[0][0].out_features == wide[0] * (6 if size == 48 else 4) ** 2
    blocks = networks.discriminator.stages
    assert [block.conv2.out_channels for block in blocks] == narrow
    assert [isinstance(block.pool, nn.AvgPool2d) for block in blocks] == [
        index < halvings for index in range(len(blocks))
    ]
    norms = [sum(isinstance(layer, nn.BatchNorm2d) for layer in net.modules()) for net in networks.all().values()]
    assert norms == [2 * len(wide) - 1, 0]


def test_resnet_is_homogeneous_but_for_what_its_forms_say():
    """Both forms and poolings hold the same parameters; each changes what comes out."""
    options = {"generator_width": 4, "discriminator_width": 4, "latent": 3}
    base, latent, _ = build("resnet", (3, 32, 32), **options)
    picture = base.generator(latent).detach()
    for other in ({"form": "mimicry"}, {"pooling": "mean"}):
        networks, _, _ = build("resnet", (3, 32, 32), **options, **other)
        for ours, theirs in zip(networks.all().values(), base.all().values(), strict=True):
            ours.load_state_dict(theirs.state_dict())
        assert torch.equal(networks.generator(latent), picture) == ("pooling" in other)
        assert not torch.allclose(networks.discriminator(picture).value, base.discriminator(picture).value)


def test_resnet_blocks_add_what_is_beside_them():
    """With the second convolution at zero a block is its shortcut: nearest doubling, or means of 2x2, of a 1x1."""
    networks, _, _ = build("resnet", (3, 32, 32), generator_width=4, discriminator_width=4, latent=3)
    up, first, down, plain, _ = networks.generator.stages[1], *networks.discriminator.stages
    for block in (up, first, down, plain):
        nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 4, 8, 8)
    torch.testing.assert_close(up(x), up.shortcut(x.repeat_interleave(2, 2).repeat_interleave(2, 3)))
    torch.testing.assert_close(down(x), down.shortcut(x).reshape(2, 4, 4, 2, 4, 2).mean((3, 5)))
    torch.testing.assert_close(plain(x), x)
    image = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(first(image), first.shortcut(image).reshape(2, 4, 4, 2, 4, 2).mean((3, 5)))


def test_resnet_begins_with_the_published_spread():
    """Uniform with a gain of the square root of two in 3x3 convolutions, of one elsewhere; biases are zero."""
    networks, _, _ = build("resnet", (3, 32, 32), generator_width=64, discriminator_width=64)
    block = networks.discriminator.stages[1]
    for layer, gain in ((block.conv1, 2**0.5), (block.shortcut, 1.0), (networks.generator.ending[2], 1.0)):
        weight = layer.weight
        fans = (weight.shape[0] + weight.shape[1]) * weight[0, 0].numel()
        assert weight.std().item() == pytest.approx(gain * (2 / fans) ** 0.5, rel=0.03)
        assert not layer.bias.any()
