"""R3GAN's networks: published layers and first weights, sizes, classes, and a run with the published losses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import ganzoo as library
from ganzoo import Draws, Mismatch, Plan, Spec, UsageError
from ganzoo.config import resolve
from ganzoo.options import schema
from ganzoo.registry import installed
from ganzoo_plugins.architectures.r3gan import ResidualBlock

SMALL = {"latent": 5, "widths": (16,), "blocks": 1}
LEAKY_GAIN = (2 / 1.04) ** 0.5


def build(shape, classes=(), **options):
    architecture = installed().make("architecture", "r3gan", {**SMALL, **options})
    torch.manual_seed(0)
    networks = architecture.build(Spec("image", shape, classes), Plan())
    return networks, architecture.latent(Draws(0), 3)


def wake(networks):
    """Give the last convolutions of blocks weights, which begin at zero."""
    for module in (part for network in networks.all().values() for part in network.modules()):
        if isinstance(module, ResidualBlock):
            nn.init.normal_(module.project.weight, 0, 0.1)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (4, 32, 48), (2, 112, 64), (3, 256, 256)])
def test_every_size(shape):
    networks, latent = build(shape)
    wake(networks)
    made = networks.generator(latent)
    assert made.shape == (3, *shape)
    scores = networks.discriminator(made).value
    alone = torch.cat([networks.discriminator(sample[None]).value for sample in made])
    assert scores.shape == (3,)
    torch.testing.assert_close(scores, alone, rtol=1e-4, atol=1e-5)


PUBLISHED = {  # channels and groups of every stage from 4x4, as the authors' presets have them
    32: ([768] * 4, [96] * 4),
    64: ([768] * 4 + [384], [96] * 4 + [48]),
    256: ([768] * 4 + [384, 192, 96], [96] * 4 + [48, 24, 12]),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_layers(size):
    """At an eighth of the width, which is all that is different from the defaults."""
    published = schema(installed().get("architecture", "r3gan"))
    defaults = {name: option.default for name, option in published.items()}
    rest = {"cardinalities": None, "blocks": 2, "expansion": 2, "conditional": False}
    assert defaults == {"latent": 64, "widths": (768,), **rest}
    widths, groups = ([number // 8 for number in numbers] for numbers in PUBLISHED[size])
    networks, _ = build((3, size, size), **{**defaults, "widths": (96,)})
    for stages, wide, cut in (
        (networks.generator.stages, widths, groups),
        (networks.discriminator.stages, widths[::-1], groups[::-1]),
    ):
        blocks = [[layer for layer in stage if isinstance(layer, ResidualBlock)] for stage in stages]
        assert [len(found) for found in blocks] == [2] * len(wide)
        assert [found[0].project.out_channels for found in blocks] == wide
        assert [found[1].grouped.groups for found in blocks] == cut
        assert [found[0].grouped.in_channels for found in blocks] == [2 * width for width in wide]
    assert networks.generator.stages[0][0].linear.in_features == 64
    assert not any(isinstance(layer, nn.modules.batchnorm._NormBase) for layer in networks.generator.modules())


def test_first_weights_are_fixup():
    """The last convolution of a block is zero, so that a block begins as the identity; the two before it have the
    spread gain / sqrt(fan in) times the number of blocks to the power -1/4."""
    networks, _ = build((3, 32, 32), widths=(64,), blocks=2)
    blocks = [module for module in networks.generator.modules() if isinstance(module, ResidualBlock)]
    x = torch.randn(2, 64, 8, 8)
    assert all(torch.equal(block(x), x) for block in blocks)
    for weight in (blocks[0].expand.weight, blocks[0].grouped.weight):
        wanted = LEAKY_GAIN * (len(blocks) ** -0.25) / weight[0].numel() ** 0.5
        assert weight.std().item() == pytest.approx(wanted, rel=0.05)


def test_bilinear_resampling_keeps_a_plain_map_but_for_its_edges():
    networks, _ = build((3, 32, 32))
    up, down = networks.generator.stages[1][0], networks.discriminator.stages[0][-1]
    assert [(stage.up, type(stage.conv)) for stage in (up, down)] == [(True, nn.Identity), (False, nn.Identity)]
    plain = torch.ones(1, 16, 8, 8)
    torch.testing.assert_close(up(plain)[..., 1:-1, 1:-1], torch.ones(1, 16, 14, 14))
    torch.testing.assert_close(down(plain)[..., 1:-1, 1:-1], torch.ones(1, 16, 2, 2))


def test_classes_matter_where_asked():
    """With classes a score is the product of a vector of the picture and one of the class."""
    networks, latent = build((1, 16, 16), ("a", "b", "c"), conditional=True)
    wake(networks)
    label = torch.tensor([0, 1, 2])
    made, other = networks.generator(latent, label), networks.generator(latent, (label + 1) % 3)
    assert not torch.allclose(made, other)
    discriminator = networks.discriminator
    vectors = discriminator.stages(discriminator.picture(made))
    assert vectors.shape == (3, 16)
    wanted = torch.stack([row @ discriminator.embedding.weight[:, index] for index, row in enumerate(vectors)])
    torch.testing.assert_close(discriminator(made, label).value, wanted)


def test_classes_are_left_out_unless_asked():
    networks, latent = build((1, 16, 16), ("a", "b", "c"))
    assert networks.generator.embedding is None
    made = networks.generator(latent, torch.tensor([0, 1, 2]))
    assert torch.equal(made, networks.generator(latent, torch.tensor([1, 2, 0])))


def test_conditional_is_refused_without_labels(tmp_path):
    unlabelled = torch.zeros(8, 1, 16, 16)
    asked = {"data": unlabelled, "steps": 1, "batch": 2, "quiet": True, "out": tmp_path / "run"}
    with pytest.raises(Mismatch, match="labels"):
        library.train(arch="r3gan:conditional=true,widths=8", **asked)
    library.train(arch="r3gan:widths=8,blocks=1", **asked)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"widths": (8, 8)}, "there are 3 stages"),
        ({"widths": (8, 8, 8), "cardinalities": (2, 2)}, "cardinalities has 2 numbers"),
        ({"cardinalities": (5, 2, 2)}, "cannot be cut into 5 groups"),
        ({"widths": (0,)}, "at least 1"),
    ],
)
def test_options_that_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        build((3, 16, 16), **options)


def test_widths_stage_by_stage():
    networks, latent = build((3, 16, 16), widths=(24, 16, 12), cardinalities=(6, 4, 3))
    assert [layer.out_channels for layer in (stage[0].conv for stage in networks.generator.stages[1:])] == [16, 12]
    assert networks.generator(latent).shape == (3, 3, 16, 16)


@pytest.mark.parametrize("recipe", ["r3gan-cifar10", "r3gan-ffhq64"])
def test_recipes_have_the_published_losses(recipe):
    config = resolve(installed(), {"recipe": recipe, "data": "shapes"})
    assert config.loss.name == "relativistic"
    gammas = {choice.name: choice.options["gamma"] for choice in config.regularizers}
    assert gammas == dict.fromkeys(("r1", "r2"), {"r3gan-cifar10": 0.05, "r3gan-ffhq64": 2.0}[recipe])
    assert config.architecture.options["widths"] == (768,)


def test_trains_with_relativistic_loss_and_both_penalties(tmp_path):
    run = library.train(
        arch="r3gan:widths=16,blocks=1,conditional=true",
        data="digits:size=16",
        loss="relativistic",
        reg=("r1:gamma=0.05", "r2:gamma=0.05"),
        **{"steps": 3, "batch": 8, "quiet": True, "out": tmp_path / "run"},
    )
    assert {"penalty/r1", "penalty/r2", "loss/generator"} <= set(run.logged()[-1])
    assert run.sample(2, label=3).shape == (2, 1, 16, 16)
