"""StyleGAN2, the layers that it shares, path length regularization, and adaptive augmentation."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

import ganzoo
from ganzoo import Draws, Plan, Scores, SizeError, Spec, capabilities, ops
from ganzoo.cli import main
from ganzoo.config import resolve
from ganzoo.game import Turn
from ganzoo.registry import installed
from ganzoo.training import build as build_game
from ganzoo_plugins.architectures import style_layers as layers
from ganzoo_plugins.regularizers import ada_transforms as transforms
from ganzoo_plugins.regularizers.path_length import path_lengths

TINY = "stylegan2:latent=4,style=4,mapping_layers=2,channel_base=64,channel_max=8,group=2"


@pytest.fixture(autouse=True)
def _seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def build(shape, classes=(), needs=(), **options):
    architecture = installed().make(
        "architecture", "stylegan2", {**installed().get("architecture", "stylegan2").tiny, **options}
    )
    plan = Plan(frozenset(needs))
    return architecture, architecture.build(Spec("image", shape, classes), plan), plan


def turned(make, **options):
    return installed().make("regularizer", make, options)


# Layers


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_learning_rate(rate):
    """The weight is N(0, 1) / rate; what counts is 1 / sqrt(inputs), and an Adam step of r moves it by r * rate times
    that."""
    layer = layers.Linear(400, 300, rate=rate, bias_start=1.0)
    used = layer(torch.eye(400)) - layer(torch.zeros(1, 400))
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    assert used.std().item() == pytest.approx(1 / math.sqrt(400), rel=0.02)
    torch.testing.assert_close(layer(torch.zeros(1, 400)), torch.ones(1, 300))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.rand(8, 400)).sum().backward()
    optimizer.step()
    moved = layer(torch.eye(400)) - layer(torch.zeros(1, 400)) - used
    torch.testing.assert_close(moved, torch.full_like(moved, -0.1 * rate / math.sqrt(400)), rtol=1e-3, atol=1e-6)


def test_convolution_keeps_the_variance():
    x = torch.randn(8, 64, 20, 20)
    made = layers.Conv(64, 48, 3)(x)[..., 1:-1, 1:-1]
    assert made.std().item() == pytest.approx(1, rel=0.05)
    assert layers.Conv(64, 48, 3, activation="lrelu", clamp=0.5)(x, gain=0.5).abs().max() == 0.25


def test_spectral_norm_holds_for_equalised_layers():
    _, networks, _ = build((1, 16, 16), group=1)
    turned("spectral-norm", iterations=30).prepare(networks)
    discriminator, seen = networks.discriminator, []
    for module in discriminator.modules():
        if isinstance(module, layers.Linear | layers.Conv):
            weight = layers.equalised(module)
            seen.append(torch.linalg.matrix_norm(weight.flatten(1), 2).item())
    assert seen == pytest.approx([1.0] * len(seen), rel=1e-3)
    assert len(seen) == sum(name.endswith("original") for name, _ in discriminator.named_parameters()) == 10


def test_pixel_norm_has_a_mean_square_of_one():
    x = torch.randn(3, 10, 2, 2) * 7
    torch.testing.assert_close(layers.PixelNorm()(x).square().mean(1), torch.ones(3, 2, 2))


@pytest.mark.parametrize(("count", "group", "used"), [(8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2), (8, 1, 1)])
@pytest.mark.parametrize("features", [1, 2])
def test_minibatch_deviation(count, group, used, features):
    """Sample i is with i + N / group, ...; where the group does not divide N, the largest number below it does."""
    x = torch.randn(count, 6, 3, 2)
    made = layers.MinibatchStdDev(group, features)(x)
    assert made.shape == (count, 6 + features, 3, 2)
    assert torch.equal(made[:, :6], x)
    apart = count // used
    for first in range(apart):
        members = x[first::apart]
        assert len(members) == used
        deviation = (members.var(0, correction=0) + 1e-8).sqrt().unflatten(0, (features, -1)).mean((1, 2, 3))
        wanted = deviation[None, :, None, None].expand(used, features, 3, 2)
        torch.testing.assert_close(made[first::apart, 6:], wanted)


def test_minibatch_deviation_of_equal_samples():
    made = layers.MinibatchStdDev(4)(torch.ones(8, 3, 2, 2))
    torch.testing.assert_close(made[:, 3:], torch.full((8, 1, 2, 2), 1e-4), rtol=1e-6, atol=0)


def modulated(x, weight, scale, **options):
    return layers.modulated_conv(x, weight, scale, layers.low_pass(layers.FILTER), **options)


def test_demodulation():
    """Unit variance in, unit variance out, for any positive style; the style's scale does not matter."""
    x, weight, scale = torch.randn(4, 64, 24, 24), torch.randn(32, 64, 3, 3), torch.rand(4, 64) * 10 + 0.1
    made = modulated(x, weight, scale)
    assert made[..., 1:-1, 1:-1].std((0, 2, 3)).mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(modulated(x, weight, scale * 100), made, rtol=1e-4, atol=1e-4)
    own = weight * scale[0][:, None, None]
    wanted = F.conv2d(x[:1], own / own.square().sum((1, 2, 3), keepdim=True).sqrt(), padding=1)
    torch.testing.assert_close(made[:1], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_both_forms_of_modulation_are_the_same(demodulate, up, size):
    """Values, first and second derivatives."""
    given = [
        torch.randn(shape, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 4, 5, 6), (5, 4, size, size), (3, 4))
    ]
    found = []
    for fused in (False, True):
        made = modulated(*given, demodulate=demodulate, up=up, fused=fused)
        first = torch.autograd.grad((made**3).sum(), given, create_graph=True)
        second = torch.autograd.grad(sum(each.square().sum() for each in first), given)
        found.append([made, *first, *second])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
    assert found[0][0].shape == (3, 5, 5 * up, 6 * up)


def test_modulation_in_float16_does_not_overflow():
    x, weight, scale = torch.randn(2, 64, 6, 6), torch.randn(8, 64, 3, 3) * 1e3, torch.rand(2, 64) * 1e4 + 1
    with torch.autocast("cpu", dtype=torch.float16):
        made = modulated(x, weight, scale)
    torch.testing.assert_close(made.float(), modulated(x, weight, scale), rtol=0.05, atol=0.02)


def test_resampling_goes_with_the_convolution_in_any_order():
    """Filtering commutes with the convolution, except at the edges that the order moves."""
    x, weight, taps = torch.randn(2, 3, 16, 12), torch.randn(4, 3, 3, 3), layers.low_pass(layers.FILTER)
    up = layers.convolve(x, weight, taps, up=2)
    plain = F.conv2d(ops.upsample2d(x, taps), weight.flip(2, 3), padding=1)
    assert up.shape == (2, 4, 32, 24)
    torch.testing.assert_close(up[..., 4:-4, 4:-4], plain[..., 4:-4, 4:-4], rtol=1e-4, atol=1e-4)
    down = layers.convolve(x, weight, taps, down=2)
    plain = ops.downsample2d(F.conv2d(x, weight, padding=1), taps)
    assert down.shape == (2, 4, 8, 6)
    torch.testing.assert_close(down[..., 2:-2, 2:-2], plain[..., 2:-2, 2:-2], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        layers.convolve(x, weight[..., :1, :1], taps, down=2),
        ops.downsample2d(F.conv2d(x, weight[..., :1, :1]), taps),
        rtol=1e-4,
        atol=1e-4,
    )


# StyleGAN2


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (2, 32, 64), (4, 64, 48), (3, 112, 96), (3, 128, 128)])
def test_every_size(shape):
    architecture, networks, _ = build(shape)
    made = networks.generator(architecture.latent(Draws(0), 4))
    assert made.shape == (4, *shape)
    assert networks.discriminator(made).value.shape == (4,)


@pytest.mark.parametrize("height", [8, 17, 36, 600, 2048])
def test_a_size_that_works_is_named(height):
    with pytest.raises(SizeError) as error:
        build((3, height, 64))
    build((3, *map(int, str(error.value).split("size=")[1].split("x"))))


def test_published_layers():
    """Parameters of config F at 1024 px as the authors' code counts them."""
    _, networks, _ = build(
        (3, 1024, 1024), latent=512, style=512, mapping_layers=8, channel_base=32768, channel_max=512
    )
    counts = [sum(p.numel() for p in network.parameters()) for network in (networks.generator, networks.discriminator)]
    assert counts == [30_370_060, 29_012_513]
    _, networks, _ = build((3, 32, 32), discriminator="orig")
    assert not any("skip" in name for name, _ in networks.discriminator.named_parameters())


def test_mean_style_is_followed_in_training_only():
    architecture, networks, _ = build((1, 16, 16))
    generator, latent = networks.generator, architecture.latent(Draws(0), 32)
    generator.eval()
    styles = generator.mapping(latent)
    assert styles.shape == (32, 6, 4)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))
    assert generator.mean_style.abs().max() == 0
    generator.train()(latent)
    torch.testing.assert_close(generator.mean_style, 0.005 * styles[:, 0].mean(0))
    generator(latent)
    torch.testing.assert_close(generator.mean_style, (1 - 0.995**2) * styles[:, 0].mean(0))


@pytest.mark.parametrize("mixing", [0.0, 0.5, 1.0])
def test_mixing(mixing):
    """A sample's layers have one style up to a random one, and another style from there on."""
    architecture, networks, _ = build((1, 16, 16), mixing=mixing)
    latent = architecture.latent(Draws(0), 600)
    own = networks.generator.eval().mapping(latent)[:, :1]
    mixed = networks.generator.train().mapping(latent)
    same = (mixed - own).abs().amax(2) < 1e-6
    assert same[:, 0].all()
    assert torch.equal(same.cummin(1).values, same)
    assert (~same[:, -1]).float().mean().item() == pytest.approx(mixing, abs=0.06)
    first = same.sum(1)[~same[:, -1]]
    assert mixing == 0 or first.unique().tolist() == [1, 2, 3, 4, 5]


def test_truncation_moves_styles_to_their_mean():
    architecture, networks, _ = build((1, 16, 16))
    generator, latent = networks.generator.eval(), architecture.latent(Draws(0), 4)
    generator.mean_style.normal_()
    middle = generator.synthesis(generator.mean_style.expand(4, 6, 4), "none")
    assert torch.equal(architecture.sample(generator, latent, None, 0.0), middle)
    assert torch.equal(architecture.sample(generator, latent, None, 1.0), generator(latent))
    near = [(architecture.sample(generator, latent, None, share) - middle).square().mean() for share in (0.2, 0.5, 1.0)]
    assert 0 < near[0] < near[1] < near[2]


def test_noise():
    architecture, networks, _ = build((1, 16, 16))
    generator = networks.generator.eval()
    styles = generator.mapping(architecture.latent(Draws(0), 2)[:1].expand(2, -1))
    plain = generator.synthesis(styles, "none")
    assert torch.equal(generator.synthesis(styles), plain)  # the strength begins at 0
    with torch.no_grad():
        for module in generator.modules():
            if isinstance(module, layers.Noise):
                module.strength.fill_(0.3)
    constant, drawn = generator.synthesis(styles, "const"), generator.synthesis(styles)
    assert torch.equal(constant, generator.synthesis(styles, "const"))
    assert torch.equal(generator.synthesis(styles, "none"), plain)
    assert not torch.equal(constant, plain)
    assert not torch.equal(drawn[0], drawn[1])
    torch.manual_seed(5)
    again = generator.synthesis(styles)
    torch.manual_seed(5)
    assert torch.equal(again, generator.synthesis(styles))


def test_labels_are_used_where_they_are_asked_for():
    classes, first, second = ("a", "b", "c"), torch.tensor([0, 1, 2, 0]), torch.tensor([1, 2, 0, 2])
    for conditional in (False, True):
        architecture, networks, _ = build((1, 16, 16), classes, conditional=conditional, mixing=0.0)
        assert ("labels" in architecture.needs) == conditional
        latent = architecture.latent(Draws(0), 4)
        made = [networks.generator(latent, label) for label in (first, second)]
        assert torch.equal(*made) != conditional
        scores = [networks.discriminator(made[0], label).value for label in (first, second)]
        assert torch.equal(*scores) != conditional


def test_labels_that_are_not_there_are_refused():
    parts = resolve(installed(), {"arch": f"{TINY},conditional=true", "data": "digits"}).make(installed())
    assert capabilities.check(parts) == []
    assert "needs `labels`" in capabilities.check(parts, ["image"])[0]


def test_scores_meet_in_the_minibatch_deviation_only():
    for group in (1, 4):
        architecture, networks, plan = build((1, 16, 16), needs=("per_sample_scores",), group=group)
        samples = networks.generator(architecture.latent(Draws(0), 4)).detach()
        together = networks.discriminator(samples).value
        alone = torch.cat([networks.discriminator(sample[None]).value for sample in samples])
        assert torch.allclose(together, alone, atol=1e-5) == (group == 1)
        assert bool(plan.notes) == (group > 1)
    assert build((1, 16, 16))[2].notes == []


# Path length


class LinearGenerator(nn.Module):
    """Styles [N, layers, style] become pictures [N, 1, 4, 5] by one matrix for each layer."""

    def __init__(self, layers=3, style=6):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(layers * style, 20, dtype=torch.float64))
        self.layers, self.style = layers, style

    def mapping(self, latent, label=None):
        return latent.requires_grad_()

    def synthesis(self, styles, noise="random"):
        return (styles.flatten(1) @ self.matrix).view(-1, 1, 4, 5)


def test_path_length_of_a_linear_generator():
    """E |J^T y|^2 = |J|_F^2 / (H W), here over the layers' mean."""
    generator = LinearGenerator()
    styles = generator.mapping(torch.zeros(20_000, 3, 6, dtype=torch.float64))
    noise = torch.randn(20_000, 1, 4, 5, dtype=torch.float64) / math.sqrt(20)
    lengths = path_lengths(generator.synthesis(styles), styles, noise)
    exact = (noise.flatten(1) @ generator.matrix.T).square().sum(1) / 3
    torch.testing.assert_close(lengths, exact.sqrt())
    assert lengths.square().mean().item() == pytest.approx(generator.matrix.square().sum().item() / 60, rel=0.02)


def path_turn(generator, step=1):
    game = SimpleNamespace(
        networks=SimpleNamespace(generator=generator),
        draws=Draws(0, step),
        dtype=torch.float64,
        arithmetic=lambda: torch.autograd.grad_mode.set_grad_enabled(True),
    )
    latent = torch.zeros(40, 3, 6, dtype=torch.float64)
    return Turn(game, None, "discriminator", "generator", torch.zeros(40, 1, 4, 5), latent=latent)


def test_path_length_penalty_follows_the_mean():
    generator, part = LinearGenerator(), turned("path-length", weight=3.0, decay=0.2)
    mean = 0.0
    for step in range(1, 5):
        noise = Draws(0, step).normal("path length", 20, 1, 4, 5).double() / math.sqrt(20)  # half of the batch
        lengths = ((noise.flatten(1) @ generator.matrix.T).square().sum(1) / 3).sqrt()
        mean += 0.2 * (lengths.mean() - mean)
        value = part.penalty(path_turn(generator, step))
        torch.testing.assert_close(value, 3 * (lengths - mean.detach()).square().mean())
    fresh = turned("path-length", weight=3.0, decay=0.2)
    fresh.load(part.state())
    assert torch.equal(fresh.penalty(path_turn(generator, 9)), part.penalty(path_turn(generator, 9)))


def test_path_length_is_differentiated_again():
    _, networks, _ = build((1, 16, 16), mixing=0.0)
    generator = networks.generator.double().eval()
    weight = generator.synthesis.blocks[1].conv1.conv.weight
    latent, noise = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 1, 16, 16, dtype=torch.float64)

    def length(change):
        parameters = {"synthesis.blocks.1.conv1.conv.weight": weight + change}
        styles = generator.mapping(latent).detach().requires_grad_()
        with torch.nn.utils.stateless._reparametrize_module(generator, parameters):
            made = generator.synthesis(styles, "const")
        return path_lengths(made, styles, noise)

    change = torch.zeros_like(weight).requires_grad_()
    (gradient,) = torch.autograd.grad(length(change).sum(), change)
    direction = torch.randn_like(weight)
    moved = [length((step * direction).requires_grad_()).sum().item() for step in (1e-5, -1e-5)]
    assert (gradient * direction).sum().item() == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-5)


# Adaptive augmentation: how strong


def follow(part, sign, batches, batch=100):
    """Real scores of one sign, seen by the regularizer in so many discriminator turns."""
    notes = {}
    game = SimpleNamespace(draws=Draws(0), batch=batch, note=notes.__setitem__)
    scores = Scores(torch.full((batch,), float(sign)))
    for _ in range(batches):
        assert part.penalty(Turn(game, None, "discriminator", "discriminator", None, scores, None, scores)) is None
    return notes["ada/p"].item()


def test_strength_grows_by_the_published_speed():
    """Sure of every real sample: 0.6 after 300 thousand of them, and no further than the bound."""
    part = turned("ada")
    assert follow(part, 1, 3) == 0
    assert follow(part, 1, 1) == pytest.approx(400 / 500_000)
    assert follow(part, 1, 2996) == pytest.approx(0.6, abs=1e-4)
    assert follow(part, 1, 3000) == pytest.approx(0.8)
    assert follow(turned("ada", largest=1.0), 1, 6000) == pytest.approx(1.0)


def test_strength_never_falls_below_nothing():
    part = turned("ada", speed=1.0)
    assert follow(part, -1, 8) == 0
    assert follow(part, 1, 4) == pytest.approx(0.4)
    assert follow(part, -1, 4) == 0
    assert follow(turned("ada", probability=0.3).__class__(target=1.0), 1, 8) == 0  # at the target it stays


def test_strength_counts_samples_not_calls():
    """Micro-batches and several moves in a step change nothing."""
    whole, parts = turned("ada"), turned("ada")
    game = SimpleNamespace(draws=Draws(0), batch=100, note=lambda *_: None)
    for _ in range(16):
        scores = Scores(torch.ones(25))
        parts.penalty(Turn(game, None, "discriminator", "discriminator", None, scores, None, scores))
    follow(whole, 1, 4)
    assert torch.equal(whole.p, parts.p) and whole.p > 0


@pytest.mark.parametrize("preset", ["bgc", "bgcfnc", "cutout"])
def test_no_strength_changes_nothing(preset):
    x = torch.randn(5, 3, 24, 20)
    assert turned("ada", probability=0.0, transforms=preset).augment(x, Draws(0)) is x
    assert torch.equal(turned("ada", transforms=preset).augment(x, Draws(0)), x)


# Adaptive augmentation: what is done

FLIP, TURN, WHOLE, SCALE, BEFORE, AFTER, STRETCH, FRACTION = (
    [0, 1],
    [2, 3],
    [5, 6, 4],
    [7, 8],
    [10, 9],
    [12, 11],
    [13, 14],
    [16, 17, 15],
)
BRIGHTNESS, CONTRAST, LUMA, HUE, SATURATION = ([2 * place, 2 * place + 1] for place in range(5))


def chances(columns, *values, count=1):
    """Numbers that choose one transformation, and say how strong it is; the last column is whether it is chosen."""
    numbers = torch.full((count, transforms.COLUMNS), 0.9, dtype=torch.float64)
    numbers[:, columns] = torch.tensor([*values, 0.1], dtype=torch.float64)
    return transforms.Chances(numbers, torch.tensor(0.5, dtype=torch.float64))


def percentile(deviations):
    return torch.special.ndtr(torch.tensor(float(deviations), dtype=torch.float64)).item()


HEIGHT, WIDTH = 48, 40


def wave(x, y):
    """A smooth picture, at places in pixels from the middle."""
    return torch.cos(0.15 * x + 0.1 * y) + 0.5 * torch.sin(0.07 * x - 0.2 * y + 1)


def places():
    down, across = torch.meshgrid(
        torch.arange(HEIGHT, dtype=torch.float64) - (HEIGHT - 1) / 2,
        torch.arange(WIDTH, dtype=torch.float64) - (WIDTH - 1) / 2,
        indexing="ij",
    )
    return across, down


def rotated(x, y, angle):
    return math.cos(angle) * x - math.sin(angle) * y, math.sin(angle) * x + math.cos(angle) * y


MOVES = {
    "flip": (FLIP, (0.7,), lambda x, y: (-x, y)),
    "no flip": (FLIP, (0.3,), lambda x, y: (x, y)),
    "quarter turn": (TURN, (0.3,), lambda x, y: rotated(x, y, math.pi / 2)),
    "half turn": (TURN, (0.6,), lambda x, y: (-x, -y)),
    "three quarters": (TURN, (0.8,), lambda x, y: rotated(x, y, -math.pi / 2)),
    "whole pixels": (WHOLE, (0.8, 0.3), lambda x, y: (x - round(0.6 * 0.125 * WIDTH), y + round(0.4 * 0.125 * HEIGHT))),
    "scale": (SCALE, (percentile(1.5),), lambda x, y: (x / 2**0.3, y / 2**0.3)),
    "rotation before": (BEFORE, (0.55,), lambda x, y: rotated(x, y, 0.1 * math.pi)),
    "rotation after": (AFTER, (0.4,), lambda x, y: rotated(x, y, -0.2 * math.pi)),
    "stretch": (STRETCH, (percentile(1),), lambda x, y: (x / 2**0.2, y * 2**0.2)),
    "fraction": (FRACTION, (percentile(0.5), percentile(-1)), lambda x, y: (x - 0.0625 * WIDTH, y + 0.125 * HEIGHT)),
}


@pytest.mark.parametrize("name", MOVES)
def test_moves_are_the_published_ones(name):
    """What lies at a place afterwards is what lay where the formula says: where that was inside the picture."""
    columns, values, back = MOVES[name]
    x, y = places()
    made = transforms.move(wave(x, y)[None, None], chances(columns, *values))[0, 0]
    before = back(x, y)
    inside = (before[0].abs() < WIDTH / 2 - 3) & (before[1].abs() < HEIGHT / 2 - 3)
    assert inside.sum() > 500
    # The wavelet's filter is not quite symmetric, so that what is turned over moves by a tenth of a pixel.
    assert (made - wave(*before))[inside].abs().max() < 0.035


def test_what_lies_beyond_the_edge_is_a_mirror():
    x = torch.randn(1, 2, 32, 32, dtype=torch.float64)
    made = transforms.move(x, chances(WHOLE, 0.95, 0.5))  # round(0.9 / 8 * 32) = 4 to the right
    torch.testing.assert_close(made[..., 4:], x[..., :-4], rtol=0, atol=1e-5)
    torch.testing.assert_close(made[..., :4], x[..., 1:5].flip(3), rtol=0, atol=1e-5)
    far = transforms.move(x, chances(SCALE, percentile(-12)))  # seen from far away
    assert far.abs().max() <= 4 * x.abs().max() and far.isfinite().all()


def test_everything_at_once_is_the_product_of_the_moves():
    """The order of the paper: whole pixels first, fractions last."""
    numbers = torch.full((1, transforms.COLUMNS), 0.1, dtype=torch.float64)
    for columns, values, _ in (MOVES[name] for name in ("flip", "quarter turn", "scale", "rotation before", "stretch")):
        numbers[:, columns[:-1]] = torch.tensor(values, dtype=torch.float64)
    for columns in (WHOLE, FRACTION, AFTER):
        numbers[:, columns[-1]] = 0.99
    x, y = places()
    made = transforms.move(wave(x, y)[None, None], transforms.Chances(numbers, torch.tensor(0.9, dtype=torch.float64)))[
        0, 0
    ]
    before = (x, y)
    for name in ("stretch", "rotation before", "scale", "quarter turn", "flip"):
        before = MOVES[name][2](*before)
    inside = (before[0].abs() < WIDTH / 2 - 3) & (before[1].abs() < HEIGHT / 2 - 3)
    assert inside.sum() > 300
    assert (made - wave(*before))[inside].abs().max() < 0.03


def test_one_of_two_rotations_has_the_probability_asked_for():
    numbers = torch.rand(40_000, transforms.COLUMNS)
    numbers[:, [1, 3, 4, 8, 14, 15]] = 0.999
    chosen = transforms.Chances(numbers, torch.tensor(0.6))
    back = transforms._blit(chosen, 8, 8) @ transforms._general(chosen, 8, 8)
    share = (back != torch.eye(3)).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.6, abs=0.01)


def colors(columns, *values):
    x = torch.rand(1, 3, 5, 4, dtype=torch.float64) * 2 - 1
    return x, transforms.recolor(x, chances(columns, *values))


def test_colors_are_the_published_ones():
    x, made = colors(BRIGHTNESS, percentile(1.5))
    torch.testing.assert_close(made, x + 0.3)
    x, made = colors(CONTRAST, percentile(-1))
    torch.testing.assert_close(made, x * 2**-0.5)
    x, made = colors(LUMA, 0.8)
    torch.testing.assert_close(made, x - 2 * x.mean(1, keepdim=True))
    x, made = colors(LUMA, 0.2)
    assert torch.equal(made, x)
    x, made = colors(SATURATION, percentile(2))
    grey = x.mean(1, keepdim=True)
    torch.testing.assert_close(made, grey + 4 * (x - grey))
    x, made = colors(HUE, 0.5 + 1 / 3)  # a third of half a circle each way: red becomes green
    torch.testing.assert_close(made, x[:, [2, 0, 1]])


def test_colors_of_grey_pictures():
    """As of a picture with three equal channels."""
    x = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    numbers = torch.rand(2, transforms.COLUMNS, dtype=torch.float64)
    strength = torch.tensor(0.99, dtype=torch.float64)
    grey = transforms.recolor(x, transforms.Chances(numbers, strength))
    rgb = transforms.recolor(x.expand(-1, 3, -1, -1), transforms.Chances(numbers, strength))
    torch.testing.assert_close(grey.expand(-1, 3, -1, -1), rgb)


def test_filter_bands_sum_to_the_identity_and_are_octaves():
    bank, _ = transforms.band_filters(torch.device("cpu"), torch.float64)
    wanted = torch.zeros(43, dtype=torch.float64)
    wanted[21] = 1
    torch.testing.assert_close(bank.sum(0), wanted)
    spectrum = torch.fft.rfft(bank, 2048).abs()
    power = [spectrum[:, 0], spectrum[:, 192], spectrum[:, 384], spectrum[:, 1024]]  # 0, 3 pi / 16, 3 pi / 8, pi
    assert [each.argmax().item() for each in power] == [0, 1, 2, 3]
    torch.testing.assert_close(power[0], torch.tensor([1.0, 0, 0, 0], dtype=torch.float64), rtol=0, atol=1e-6)


def test_filter_gains_keep_the_expected_power():
    """The lowest band four times as strong, over sqrt((10 * 16 + 3) / 13); a flat picture shows it on both axes."""
    x = torch.ones(1, 2, 16, 50, dtype=torch.float64)
    made = transforms.refilter(x, chances([0, 1], percentile(2)))
    gain = 4 / math.sqrt((10 * 16 + 3) / 13)
    torch.testing.assert_close(made, gain**2 * x)
    made = transforms.refilter(x, chances([6, 7], percentile(2)))  # the highest
    torch.testing.assert_close(made, x / ((12 + 16) / 13))


def test_noise_and_cutout():
    x = torch.ones(1, 1, 200, 200, dtype=torch.float64)
    noisy = transforms.add_noise(x, chances([0, 1], percentile(-2)), torch.randn(x.shape, dtype=torch.float64))
    assert (noisy - x).std().item() == pytest.approx(0.2, rel=0.02)
    made = transforms.cut(x, chances([1, 2, 0], 0.5, 0.3))
    rows, columns = (made[0, 0] == 0).any(1).nonzero(), (made[0, 0] == 0).any(0).nonzero()
    assert [columns.min().item(), columns.max().item(), rows.min().item(), rows.max().item()] == [50, 149, 10, 109]
    assert (made == 0).sum() == 100 * 100


def test_every_transformation_is_differentiated_twice():
    x = torch.randn(2, 3, 8, 9, dtype=torch.float64, requires_grad=True)
    numbers, noise = (
        torch.rand(2, transforms.COLUMNS, dtype=torch.float64),
        torch.randn(2, 3, 8, 9, dtype=torch.float64),
    )

    def augment(x):
        found = transforms.Chances(numbers, torch.tensor(1.0))
        x = transforms.refilter(transforms.recolor(transforms.move(x, found), found), found)
        return transforms.cut(transforms.add_noise(x, found, noise), found)

    assert torch.autograd.gradcheck(augment, x, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda x: augment(x) ** 2, x, fast_mode=True)


def test_some_pictures_are_changed_and_the_others_are_not():
    x = torch.randn(400, 1, 16, 16)
    made = turned("ada", probability=0.3, transforms="noise").augment(x, Draws(0))
    changed = (made != x).flatten(1).any(1)
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.06)
    whole = turned("ada", probability=0.6, transforms="bgcfnc")
    both = [whole.augment(x.chunk(2)[rank], Draws(3, 7, "cpu", rank, 2)) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat(both), whole.augment(x, Draws(3, 7)))
    assert not torch.equal(whole.augment(x, Draws(3, 7)), whole.augment(x, Draws(3, 8)))


def test_a_gpus_way_gives_the_same(monkeypatch):
    """There the whole batch is transformed, and what was not chosen is put back."""
    part, x = turned("ada", probability=0.4, transforms="bgcfnc"), torch.randn(32, 3, 24, 20)
    wanted = part.augment(x, Draws(0))
    monkeypatch.setattr(transforms, "_where", transforms._blended)
    torch.testing.assert_close(part.augment(x, Draws(0)), wanted)
    assert torch.equal(turned("ada", transforms="bgcfnc").augment(x, Draws(0)), x)


# Together

TOGETHER = {
    "arch": TINY,
    "data": "digits:size=16",
    "loss": "nonsaturating",
    "reg": ("r1:gamma=1,every=2", "path-length:every=2", "ada:speed=0.1"),
    "batch": 4,
    "quiet": True,
    "device": "cpu",
    "workers": 0,
}


def test_both_sides_see_augmented_pictures():
    config = resolve(
        installed(), {**{key: TOGETHER[key] for key in ("arch", "data", "loss", "reg", "batch")}, "steps": 2}
    )
    parts = config.make(installed())
    game = build_game(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
    part, seen = parts.regularizers[2], []
    plain = part.augment
    part.augment = lambda x, draws: seen.append(x.requires_grad) or plain(x, draws)
    game.play(1)
    assert seen == [True, False, True]  # reals, of which R1 asks the gradient; fakes; fakes of the generator's turn
    game.look()


def test_continues_exactly(tmp_path):
    ganzoo.train(**TOGETHER, steps=8, out=tmp_path / "whole")
    ganzoo.train(**TOGETHER, steps=3, out=tmp_path / "parted")
    ganzoo.train(**TOGETHER, steps=8, out=tmp_path / "parted", sample_every=1, log_every=1)
    files = [tmp_path / name / "checkpoints" / "step-00000008" / "state.safetensors" for name in ("whole", "parted")]
    assert files[0].read_bytes() == files[1].read_bytes()
    state = load_file(files[0])
    assert any(name.endswith("mapping.mean") for name in state)
    record = json.loads((tmp_path / "parted" / "log.jsonl").read_text().splitlines()[-1])
    assert 0 <= record["ada/p"] <= 0.8


def test_other_losses_and_labels(tmp_path):
    """A Wasserstein loss with its gradient penalty, and labels; sampled near the mean style."""
    settings = {**TOGETHER, "arch": f"{TINY},conditional=true", "loss": "wgan-gp", "reg": ("ada:probability=0.3",)}
    run = ganzoo.train(**settings, steps=2, out=tmp_path / "run")
    made = CliRunner().invoke(
        main, ["sample", str(run.path), "--label=3", "--count=4", "--truncation=0.5", f"--out={tmp_path / 'made.npz'}"]
    )
    assert made.exit_code == 0, made.output
    with numpy.load(tmp_path / "made.npz") as file:
        assert file["labels"].tolist() == [3] * 4
        near = file["samples"].astype(float)
    far = (run.sample(4, seed=0, label=3).numpy() + 1) * 127.5
    assert near.std(0).mean() < far.std(0).mean()
