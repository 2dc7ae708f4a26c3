"""Networks that grow: the published layers of the progressive GAN and of StyleGAN, fading in, styles; and the procedure
that grows them, its schedule, and runs that continue exactly."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import ganzoo as library
from ganzoo import Draws, Plan, Request, SizeError, Spec, UsageError
from ganzoo.config import resolve
from ganzoo.registry import installed
from ganzoo.training import build as build_game
from ganzoo_plugins.architectures.progressive import BoxConv, channel_widths, shown
from ganzoo_plugins.architectures.style_layers import equalised
from ganzoo_plugins.architectures.stylegan import adaptive_instance_norm
from ganzoo_plugins.recipes.progressive import RECIPES

SMALL = {
    "progressive": {"latent": 6, "channel_max": 8, "group": 2},
    "stylegan": {"latent": 6, "style": 5, "mapping_layers": 2, "channel_max": 8, "group": 2},
}
GROWING = pytest.mark.parametrize("name", SMALL)


def build(name, shape=(3, 32, 32), **options):
    architecture = installed().make("architecture", name, {**SMALL[name], **options})
    torch.manual_seed(0)
    networks = architecture.build(Spec("image", shape), Plan())
    wake(networks)
    return networks, architecture.latent(Draws(0), 4), architecture


def wake(networks):
    """Noise strengths begin at 0; give them a value."""
    for key, parameter in networks.generator.named_parameters():
        if key.endswith("strength"):
            nn.init.constant_(parameter, 0.5)


def grow(networks, progress):
    for network in networks.all().values():
        network.progress = progress


def made(networks, latent, progress=1.0):
    """The same noise each time, as far as there is noise."""
    grow(networks, progress)
    torch.manual_seed(0)
    with torch.no_grad():
        return networks.generator.eval()(latent)


# Networks


def test_what_is_shown():
    levels = 4
    assert [shown(progress, levels) for progress in (1, 0, -1, -2)] == [(3, 1), (2, 1), (1, 1), (0, 1)]
    assert shown(0.25, levels) == (3, 0.25)
    assert shown(-1.75, levels) == (1, 0.25)
    assert shown(-9.5, levels) == (0, 1), "there is nothing smaller"


@GROWING
@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 28, 28), (4, 32, 80), (2, 48, 32), (3, 256, 128)])
def test_every_size(name, shape):
    networks, latent, _ = build(name, shape)
    levels = networks.generator.levels
    assert networks.discriminator.levels == levels
    for halvings in range(levels):
        samples = made(networks, latent, 1 - halvings)
        assert samples.shape == (4, shape[0], shape[1] >> halvings, shape[2] >> halvings)
        assert networks.discriminator(samples).value.shape == (4,)
    assert 4 <= min(shape[1:]) >> (levels - 1) <= 7


@GROWING
def test_sizes_that_are_refused(name):
    for shape in ((3, 8, 8), (3, 33, 32), (3, 2048, 1024)):
        with pytest.raises(SizeError, match=f"{name} makes pictures of 16 to 1024 px.*try size="):
            build(name, shape)


@GROWING
def test_a_size_fades_in(name):
    """The picture goes in a straight line from the smaller size, enlarged, to the larger one."""
    networks, latent, _ = build(name)
    if name == "stylegan":  # random noise would not be the same for both sizes
        synthesis, styles = networks.generator.synthesis, networks.generator.eval().mapping(latent)

        def picture(progress):
            grow(networks, progress)
            return synthesis(styles, "const").detach()
    else:

        def picture(progress):
            return made(networks, latent, progress)

    for larger in (1, 0):
        small, large = picture(larger - 1), picture(larger)
        enlarged = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
        for share in (0.25, 0.5):
            wanted = enlarged + share * (large - enlarged)
            torch.testing.assert_close(picture(larger - 1 + share), wanted, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(picture(larger - 1 + 2**-40), enlarged, rtol=1e-3, atol=1e-3)
        assert not torch.allclose(enlarged, large, atol=0.1)


@GROWING
def test_a_size_fades_into_the_discriminator(name):
    """At the beginning it sees what the smaller one saw, the picture averaged; at the end it is the larger one."""
    networks, latent, _ = build(name)
    samples = made(networks, latent)
    for larger in (1, 0):
        samples = samples if larger == 1 else F.avg_pool2d(samples, 2)

        def score(progress, samples):
            grow(networks, progress)
            return networks.discriminator(samples).value.detach()

        small, large = score(larger - 1, F.avg_pool2d(samples, 2)), score(larger, samples)
        torch.testing.assert_close(score(larger - 1 + 2**-40, samples), small)
        torch.testing.assert_close(score(larger - 2**-40, samples), large)
        assert not torch.allclose(small, large)


@GROWING
def test_new_layers_are_left_alone_until_they_are_shown(name):
    networks, latent, _ = build(name)
    grow(networks, -1)
    networks.discriminator(networks.generator(latent)).value.sum().backward()
    for network in networks.all().values():
        shown_ones = {key for key, parameter in network.named_parameters() if parameter.grad is not None}
        pictures = {key for key in shown_ones if "pictures" in key}
        assert {key.split("pictures.")[1][0] for key in pictures} == {"1"}
        assert 0 < len(shown_ones) < len(list(network.parameters()))


PUBLISHED_WIDTHS = [512, 512, 512, 512, 256, 128, 64, 32, 16]  # 4 to 1024 px
MILLIONS = {"progressive": (23.1, 23.1), "stylegan": (26.2, 23.1)}  # trainable parameters as the papers tell


def test_published_widths():
    assert channel_widths((4, 4), 8, 16384, 512) == PUBLISHED_WIDTHS
    assert channel_widths((4, 4), 8, None, 512) == PUBLISHED_WIDTHS
    assert channel_widths((4, 4), 4, None, 512) == [256, 128, 64, 32, 16]
    assert channel_widths((7, 7), 2, None, 512) == [64, 32, 16]


@GROWING
def test_published_size(name):
    networks = installed().make("architecture", name, {}).build(Spec("image", (3, 1024, 1024)), Plan())
    counts = [sum(parameter.numel() for parameter in network.parameters()) for network in networks.all().values()]
    assert tuple(round(count / 1e6, 1) for count in counts) == MILLIONS[name]


@pytest.mark.parametrize("up", [True, False])
def test_box_convolution_is_what_it_says(up):
    """Nearest doubling, then 3x3; or 3x3, then means of 2x2: with derivatives of both orders."""
    layer = BoxConv(3, 4, up=up).double()
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 3, 6, 4, dtype=torch.float64, requires_grad=True)
    weight = layer.weight / math.sqrt(27)
    if up:
        wanted = F.conv2d(F.interpolate(x, scale_factor=2), weight, layer.bias, padding=1)
    else:
        wanted = F.avg_pool2d(F.conv2d(x, weight, layer.bias, padding=1), 2)
    torch.testing.assert_close(layer(x), wanted)
    parameters = (x[:1, :, :4], layer.weight)
    assert torch.autograd.gradgradcheck(lambda x, _: layer(x).square(), parameters)


@GROWING
def test_latents_are_directions(name):
    networks, latent, _ = build(name)
    torch.testing.assert_close(made(networks, 3.0 * latent), made(networks, latent), rtol=1e-3, atol=1e-3)


def test_every_vector_of_the_progressive_generator_is_on_the_sphere():
    networks, latent, _ = build("progressive")
    seen = []
    for picture in networks.generator.pictures:
        picture.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for progress in range(-2, 2):
        made(networks, latent, progress)
    assert len(seen) == 4
    for x in seen:
        torch.testing.assert_close(x.square().mean(1), torch.ones_like(x[:, 0]), rtol=1e-3, atol=1e-3)


@GROWING
def test_scores_meet_in_the_deviation_and_only_there(name):
    for group, alone in ((1, True), (4, False)):
        networks, latent, _ = build(name, group=group)
        samples = made(networks, latent)
        scores = networks.discriminator(samples).value
        each = torch.cat([networks.discriminator(sample[None]).value for sample in samples])
        assert torch.allclose(scores, each, atol=1e-5) == alone


@GROWING
def test_what_gradient_penalties_are_of_is_told(name):
    for group, needs, told in ((4, "per_sample_scores", True), (1, "per_sample_scores", False), (4, "image", False)):
        plan = Plan(frozenset({needs}))
        options = {**SMALL[name], "group": group}
        installed().make("architecture", name, options).build(Spec("image", (1, 16, 16)), plan)
        assert any("group=1" in note for note in plan.notes) == told


@GROWING
@pytest.mark.parametrize("wrong", [{"latent": 0}, {"group": 0}, {"channel_base": 0}, {"channel_max": 0}])
def test_options_that_are_refused(name, wrong):
    with pytest.raises(UsageError, match="at least 1"):
        build(name, **wrong)


@GROWING
def test_spectral_norm_is_of_the_weights_in_use(name):
    networks, latent, _ = build(name)
    installed().make("regularizer", "spectral-norm", {"iterations": 30}).prepare(networks)
    networks.discriminator(made(networks, latent))
    layers = [layer for layer in networks.discriminator.modules() if hasattr(layer, "weight_gain")]
    assert len(layers) > 10
    for layer in layers:
        largest = torch.linalg.matrix_norm(equalised(layer).flatten(1), 2)
        assert largest.item() == pytest.approx(1, rel=0.05)


# Styles


def test_adaptive_instance_norm():
    x, scale, shift = torch.randn(3, 4, 8, 8) * 3 + 1, torch.rand(3, 4, 1, 1) + 0.5, torch.randn(3, 4, 1, 1)
    out = adaptive_instance_norm(x, scale, shift)
    torch.testing.assert_close(out.mean((2, 3), keepdim=True), shift, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out.std((2, 3), correction=0, keepdim=True), scale, rtol=1e-4, atol=1e-5)


def test_mapping_learns_at_a_hundredth():
    """A step of Adam moves an effective weight by rate x 0.01 / sqrt(inputs) there, and by rate / sqrt(inputs) in
    other layers."""
    networks, latent, _ = build("stylegan")
    generator = networks.generator
    layers = {"mapping": generator.mapping.layers[0], "style": generator.synthesis.layers[1].style}
    before = {key: (layer.weight * layer.weight_gain).detach().clone() for key, layer in layers.items()}
    assert before["mapping"].std().item() == pytest.approx(1 / math.sqrt(6), rel=0.3)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.1, betas=(0.0, 0.99), eps=1e-12)
    generator(latent).sin().sum().backward()
    optimizer.step()
    for key, factor in (("mapping", 0.01), ("style", 1.0)):
        layer = layers[key]
        moved = (layer.weight * layer.weight_gain - before[key]).abs()
        wanted = torch.full_like(moved, 0.1 * factor / math.sqrt(layer.weight.shape[1]))
        torch.testing.assert_close(moved, wanted, rtol=1e-2, atol=1e-7)


def test_styles_are_mixed_in_training():
    """From a random layer on a sample has another latent's style; the first layer never, and while the networks are
    small the change lies among the layers in use."""
    networks, latent, _ = build("stylegan", mixing=1.0)
    mapping = networks.generator.mapping
    latent = latent[:1].expand(64, -1)
    plain = mapping.eval()(latent)
    assert all(torch.equal(plain[:, 0], plain[:, index]) for index in range(8))
    for progress, used in ((1, 8), (-1, 4), (-0.5, 6)):
        networks.generator.progress = progress
        styles = mapping.train()(latent).detach()
        changes = (styles[:, 1:] != styles[:, :-1]).any(2)
        torch.testing.assert_close(styles[:, 0], plain[:, 0])
        assert torch.equal(changes.sum(1), torch.ones(64, dtype=torch.int64))
        assert set(changes.int().argmax(1).tolist()) == set(range(used - 1))
    without, _, _ = build("stylegan", mixing=0.0)
    styles = without.generator.mapping.train()(latent)
    assert torch.equal(styles, styles[:, :1].expand_as(styles))


def test_mean_style_is_followed_in_training_only():
    networks, latent, _ = build("stylegan", mixing=0.0)
    generator = networks.generator
    assert not generator.mean_style.any()
    generator.eval()(latent)
    assert not generator.mean_style.any()
    styles = generator.mapping(latent)[:, 0]
    generator.train()(latent)
    torch.testing.assert_close(generator.mean_style, 0.005 * styles.mean(0))
    assert "mapping.mean" in generator.state_dict()


def test_truncation_moves_the_first_layers_to_the_mean():
    networks, latent, architecture = build("stylegan", truncated_layers=3)
    generator = networks.generator.eval()
    generator.mean_style.normal_()
    styles = generator.mapping(latent)
    torch.manual_seed(1)
    truncated = architecture.sample(generator, latent, None, 0.3)
    by_hand = styles.clone()
    by_hand[:, :3] = generator.mean_style + 0.3 * (styles[:, :3] - generator.mean_style)
    torch.manual_seed(1)
    torch.testing.assert_close(truncated, generator.synthesis(by_hand), rtol=1e-3, atol=1e-3)
    torch.manual_seed(1)
    whole = architecture.sample(generator, latent, None)
    assert not torch.allclose(truncated, whole)
    torch.manual_seed(1)
    torch.testing.assert_close(whole, generator.synthesis(styles), rtol=1e-3, atol=1e-3)


def test_sorts_of_noise():
    networks, latent, _ = build("stylegan")
    generator = networks.generator.eval()
    styles = generator.mapping(latent)
    for noise, same in (("none", True), ("const", True), ("random", False)):
        assert torch.equal(generator.synthesis(styles, noise), generator.synthesis(styles, noise)) == same
    sides = [4, 4, 8, 8, 16, 16, 32, 32]
    given = [torch.zeros(4, 1, side, side) for side in sides]
    torch.testing.assert_close(generator.synthesis(styles, given), generator.synthesis(styles, "none"))


# The procedure


def game(name="progressive", *, batch=4, size=16, loss="nonsaturating", arch=None, reg=(), **options):
    words = ",".join(f"{key}={value}" for key, value in (SMALL[name] if arch is None else arch).items())
    rest = ",".join(f'{key}="{value}"' for key, value in options.items())
    asked = {"arch": f"{name}:{words}" if words else name, "procedure": f"progressive:{rest}", "loss": loss}
    config = resolve(installed(), {**asked, "data": f"digits:size={size}", "batch": batch, "reg": reg, "steps": 100})
    parts = config.make(installed())
    return build_game(config, parts, parts.dataset.open(), torch.device("cpu"), 0)


def planned(size, batch, levels, **options):
    """The procedure as it is for pictures of this size, without networks to play."""
    procedure = installed().make("procedure", "progressive", options)
    networks = {"generator": SimpleNamespace(levels=levels)}
    told = SimpleNamespace(
        spec=SimpleNamespace(shape=(3, size, size)),
        networks=SimpleNamespace(all=lambda: networks),
        batch=batch,
        draws=SimpleNamespace(world=1),
    )
    procedure.stages = procedure._plan(told)
    procedure.begins = [0]
    for stage in procedure.stages[:-1]:
        procedure.begins.append(procedure.begins[-1] + stage.steps)
    return procedure


def test_schedule():
    """16 px from 4 px: 20 pictures at each size, 8 in which the next fades in; batches of 2, 4 and 4."""
    procedure = game(stable_kimg=0.02, fade_kimg=0.008, batches="2,4,4", rates="0.1,0.2,0.3", batch=4).procedure
    wanted = [-1] * 10 + [-0.5, 0] + [0] * 5 + [0.5, 1] + [1] * 9
    assert [procedure.progress(step) for step in range(1, 29)] == wanted
    assert [procedure.stage(step).batch for step in range(1, 29)] == [2] * 10 + [4] * 18
    assert [procedure.stage(step).rate for step in range(1, 29)] == [0.1] * 10 + [0.2] * 7 + [0.3] * 11
    assert [procedure.seen(step) for step in (1, 10, 11, 12, 17, 28)] == [2, 20, 24, 28, 48, 92]
    assert procedure.progress(0) == -1
    assert procedure.progress(10**9) == 1


@pytest.mark.parametrize(
    ("size", "levels", "batch", "batches"),
    [
        (128, 6, 16, [128, 128, 128, 64, 32, 16]),
        (512, 8, 4, [128, 128, 128, 64, 32, 16, 8, 4]),
        (16, 3, 4, [16, 8, 4]),
        (16, 3, 300, [300] * 3),
    ],
)
def test_batches_are_the_published_ones(size, levels, batch, batches):
    stages = [stage for stage in planned(size, batch, levels).stages if not stage.fades]
    assert [stage.batch for stage in stages] == batches


def test_rates_are_the_published_ones():
    stages = [stage for stage in planned(1024, 4, 9, start_size=8).stages if not stage.fades]
    wanted = [0.001, 0.001, 0.001, 0.001, 0.0015, 0.002, 0.003, 0.003]
    assert [stage.rate for stage in stages] == pytest.approx(wanted)


def test_where_it_starts():
    for start_size, smallest in ((1, 4), (4, 4), (5, 8), (8, 8), (16, 16), (99, 16)):
        assert 16 >> planned(16, 4, 3, start_size=start_size).stages[0].halvings == smallest
    assert [stage.fades for stage in planned(16, 4, 3, fade_kimg=0).stages] == [False] * 3
    assert [stage.halvings for stage in planned(16, 4, 3, fade_kimg=0, stable_kimg=0).stages] == [0]


def test_pictures_are_averaged_down_and_faded():
    played = game(stable_kimg=0.008, fade_kimg=0.016)  # batches of 16, 8, 4
    procedure, seen = played.procedure, {}
    score = played.score
    played.score = lambda x, *rest: seen.setdefault(played.step, x.detach().clone()) is None or score(x, *rest)
    taken, take = {}, played.take

    def watched(count):
        batch = take(count)
        taken.setdefault(played.step, batch.sample)
        return batch

    played.take = watched
    for step in range(1, 9):
        played.play(step)
    progress = {step: procedure.progress(step) for step in seen}
    assert list(progress.values()) == [-1, -0.5, 0, 0, 0.25, 0.5, 0.75, 1]
    for step, value in progress.items():
        full = taken[step]
        halvings = math.ceil(1 - value) - (value % 1 > 0)
        real = F.avg_pool2d(full, 2**halvings) if halvings else full
        if value % 1:
            coarse = F.avg_pool2d(real, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
            real = coarse + (value % 1) * (real - coarse)
        torch.testing.assert_close(seen[step], real)


@pytest.mark.parametrize("reset", [True, False])
def test_moments_are_forgotten_where_a_size_begins(reset):
    played = game(stable_kimg=0.032, fade_kimg=0.016, start_size=8, reset=reset)  # batches of 8 and 4
    assert played.procedure.begins == [0, 4, 8]
    counts = []
    for step in range(1, 11):
        played.play(step)
        moments = played.procedure.generator.optimizer.state
        counts.append(int(max(moment["step"] for moment in moments.values())))
    assert counts == ([1, 2, 3, 4, 1, 2, 3, 4, 1, 2] if reset else list(range(1, 11)))


@GROWING
def test_samples_have_the_full_size_from_the_start(name):
    played = game(name, size=32, stable_kimg=0.1, fade_kimg=0.1)
    for step, pixels in ((0, 8), (1, 8)):
        if step:
            played.play(step)
        samples = played.procedure.sample(played, Request(3))
        assert samples.shape == (3, 1, 32, 32)
        assert torch.equal(samples, F.interpolate(samples[:, :, ::pixels, ::pixels], scale_factor=pixels))


@GROWING
@pytest.mark.parametrize("loss", ["wgan-gp", "nonsaturating", "relativistic"])
def test_every_stage_plays_and_stays_finite(name, loss):
    reg = ("r1:gamma=1,every=2",) if loss == "nonsaturating" else ()
    played = game(name, stable_kimg=0.016, fade_kimg=0.016, loss=loss, reg=reg, n_critic=1)
    last = played.procedure.begins[-1] + 2
    before = {key: value.clone() for key, value in played.networks.generator.state_dict().items()}
    for step in range(1, last + 1):
        played.play(step)
        played.look()
        numbers = played.numbers()
        assert numbers["growth"] == played.procedure.progress(step)
        assert all(map(math.isfinite, numbers.values()))
    after = played.networks.generator.state_dict()
    still = [key for key, value in before.items() if torch.equal(value, after[key]) and not key.endswith("const")]
    assert not still, "by the end every layer has learned"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"batches": "8,4"}, "batches has 2 numbers, and there are 3 sizes"),
        ({"batches": "8,8,8"}, "batches ends with 8, and the run's batch is 4; say --batch 8"),
        ({"rates": "0.1,0.1,0.1,0.1"}, "rates has 4 numbers, and there are 3 sizes"),
        ({"fade_kimg": -1}, "must not be negative"),
        ({"n_critic": 0}, "at least 1"),
        ({"beta2": 1}, "betas lie in"),
    ],
)
def test_schedules_that_are_refused(options, told):
    with pytest.raises(UsageError, match=told):
        game(**options)


def test_it_needs_networks_that_grow(ganzoo):
    refused = ganzoo("train", "--arch", "dcgan", "--procedure", "progressive", "--dry-run", code=2)
    assert "needs `grows`" in refused.stderr
    assert "stylegan" in refused.stderr


@GROWING
def test_continues_exactly_across_a_change_of_size(name, tmp_path):
    """Stopped before, at and within a fade; every byte of the last state is that of a run that was never stopped."""
    words = ",".join(f"{key}={value}" for key, value in SMALL[name].items())
    asked = {
        "arch": f"{name}:{words}",
        "procedure": "progressive:stable_kimg=0.016,fade_kimg=0.032,start_size=8,average=50,average_ramp=0.5",
        "data": "digits:size=16",
        **{"loss": "wgan-gp", "batch": 4, "quiet": True, "sample_every": 3},
    }
    # n_critic is 5: 8 px in step 1, 16 px fades in from step 2 to 3, then is whole.
    library.train(**asked, steps=5, out=tmp_path / "whole")
    for stops in ((1,), (2, 3)):
        out = tmp_path / "-".join(map(str, stops))
        for steps in (*stops, 5):
            library.train(**asked, steps=steps, out=out)
        states = [(folder / "checkpoints/step-00000005/state.safetensors") for folder in (tmp_path / "whole", out)]
        assert states[0].read_bytes() == states[1].read_bytes()
    run = library.load(tmp_path / "whole")
    assert run.sample(3, seed=1).shape == (3, 1, 16, 16)


@GROWING
def test_fully_grown_without_the_procedure(name, tmp_path):
    """The words of the README: an architecture, a loss and a folder."""
    options = ",".join(f"{key}={value}" for key, value in SMALL[name].items())
    asked = {"arch": f"{name}:{options}", "loss": "wgan-gp", "data": "digits:size=32", "batch": 4, "quiet": True}
    run = library.train(**asked, steps=2, out=tmp_path / "run")
    assert run.sample(2, truncation=0.5).shape == (2, 1, 32, 32)


# Recipes

THOUSANDS = {"progressive-celeba": 12_000, "stylegan-ffhq": 25_000}  # pictures, as published


@pytest.mark.parametrize("recipe", RECIPES[:2], ids=lambda recipe: recipe.name)
def test_recipes_have_the_published_length(recipe):
    for variant in (recipe.name, *(f"{recipe.name}:{variant}" for variant in recipe.variants)):
        config = resolve(installed(), {"recipe": variant, "data": "folder:path=."})
        size = config.dataset.options["size"].height
        options = config.procedure.options
        procedure = planned(size, config.batch, int(math.log2(size)) - 1, **options)
        sides = [size >> stage.halvings for stage in procedure.stages]
        assert sides[0] == options["start_size"]
        assert all(larger in (side, 2 * side) for side, larger in pairwise(sides))
        seen = procedure.seen(config.steps)
        assert THOUSANDS[recipe.name] * 1000 <= seen < THOUSANDS[recipe.name] * 1000 + config.batch


def test_recipe_from_the_command_line(ganzoo, tmp_path):
    Image.new("RGB", (140, 140)).save(tmp_path / "face.png")
    told = ganzoo("train", "progressive-celeba", "--data", tmp_path, "--dry-run")
    assert json.loads(told.stdout)["procedure"]["options"]["batches"] == [128, 128, 128, 64, 32, 16]
