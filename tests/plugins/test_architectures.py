"""Shapes and sizes that the built-in networks make, and refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo import Draws, Plan, SizeError, Spec
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


@pytest.mark.parametrize("name", ["dcgan", "mlp"])
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
