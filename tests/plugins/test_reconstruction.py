"""Generators without a discriminator's judgement: reconstruction losses in closed form, latents that are optimised,
gradients at the origin, variational autoencoders, and the adversarial runs that go on from them."""

from __future__ import annotations

import copy
import json
import math
import shutil

import numpy
import pytest
import scipy.ndimage
import torch
from conftest import invoke
from PIL import Image
from sklearn.decomposition import PCA
from torch import nn

import ganzoo as library
from ganzoo import Arrays, Draws, Mismatch, Plan, Request, Spec, UsageError, checkpoint
from ganzoo.config import resolve
from ganzoo.given import Given
from ganzoo.latents import Space
from ganzoo.registry import installed
from ganzoo.training import build, checked
from ganzoo_plugins.architectures import gon
from ganzoo_plugins.procedures.codes import divergence, drawn_as
from ganzoo_plugins.procedures.gradient_origin import code_at, still_statistics
from ganzoo_plugins.procedures.latent_optimization import principal_codes

SHAPE = (1, 16, 16)
WITHOUT_A_DISCRIMINATOR = ("latent-optimization", "gradient-origin", "vae")
GON = "gon:latent=4,width=4,norm=none"


def loss_of(name, **options):
    return installed().make("loss", name, options)


def pictures(count=12, seed=0, shape=SHAPE):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def game_of(procedure, arch=GON, loss="l2", data=None, batch=4, steps=0, seed=0):
    """A game of a few pictures, after some steps."""
    given = Given(Arrays(Spec("image", SHAPE), pictures())) if data is None else None
    words = {"arch": arch, "loss": loss, "procedure": procedure, "batch": batch, "seed": seed, "steps": 1000}
    config = resolve(installed(), {**words, "data": data}, given)
    parts = checked(config, installed(), given)
    with torch.random.fork_rng(devices=[]):
        game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
        for step in range(1, steps + 1):
            game.play(step)
        game.look()
    return game


# Losses


def test_differences_are_means_over_a_sample():
    made, wanted = torch.tensor([[[1.0, -1.0]], [[0.5, 0.0]]]), torch.tensor([[[1.0, 1.0]], [[0.0, 0.25]]])
    assert loss_of("l1").forward(made, wanted).tolist() == [1.0, 0.375]
    assert loss_of("l2").forward(made, wanted).tolist() == [2.0, 0.15625]
    assert loss_of("l2").total(made, wanted).tolist() == [4.0, 0.3125]
    assert loss_of("l2").mean(made, wanted).tolist() == [2.0, 0.15625]


def test_bernoulli_is_the_cross_entropy_of_probabilities_summed_over_a_sample():
    made, wanted = pictures(3).double() * 0.9, pictures(3, seed=1).double()
    p, t = (made + 1) / 2, (wanted + 1) / 2
    entropy = -(t * p.log() + (1 - t) * (1 - p).log()).flatten(1).sum(1)
    loss = loss_of("bernoulli")
    torch.testing.assert_close(loss.forward(made, wanted), entropy, rtol=1e-3, atol=0)
    assert torch.equal(loss.total(made, wanted), loss.forward(made, wanted)), "it is a sum already"
    torch.testing.assert_close(loss.mean(made, wanted), loss.forward(made, wanted) / 256)


def test_bernoulli_is_finite_where_a_network_is_sure_and_wrong():
    made = torch.tensor([[[[1.0, -1.0, 1.5, -1.5]]]], requires_grad=True)
    loss = loss_of("bernoulli").forward(made, -made.detach().clamp(-1, 1))
    (gradient,) = torch.autograd.grad(loss.sum(), made, create_graph=True)
    (second,) = torch.autograd.grad(gradient.sum(), made)
    assert torch.isfinite(loss).all() and torch.isfinite(gradient).all() and torch.isfinite(second).all()
    assert gradient[0, 0, 0, 0] > 0 > gradient[0, 0, 0, 1], "it leads back"
    assert loss > 4 * -math.log(2e-5)


def by_hand(picture, levels):
    """A Laplacian pyramid as scipy makes it."""
    found, taps = [], numpy.array([1, 4, 6, 4, 1]) / 16
    for _ in range(levels):
        blurred = picture
        for axis in (0, 1):
            blurred = scipy.ndimage.correlate1d(blurred, taps, axis, mode="nearest")
        found.append(picture - blurred)
        picture = blurred[::2, ::2]
    return [*found, picture]


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 9, 14), (1, 2, 2)])
def test_laplacian_pyramid_adds_up_the_means_of_its_levels(shape):
    made, wanted = pictures(2, 0, shape).double(), pictures(2, 1, shape).double()
    expected = [
        sum(
            numpy.mean([abs(one[level] - other[level]) for one, other in zip(*channels, strict=True)])
            for level in range(4)
        )
        for channels in (
            ([by_hand(channel.numpy(), 3) for channel in one], [by_hand(channel.numpy(), 3) for channel in other])
            for one, other in zip(made, wanted, strict=True)
        )
    ]
    found = loss_of("laplacian-pyramid", levels=3).forward(made, wanted)
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


def test_laplacian_pyramid_sees_a_shift_of_grey_only_in_what_is_left():
    picture = pictures(2) / 2
    assert loss_of("laplacian-pyramid").forward(picture + 0.25, picture).tolist() == pytest.approx([0.25, 0.25])


# Gaussians


def test_divergence_in_closed_form():
    mean, log_variance = torch.tensor([[0.0, 0.0], [1.0, -2.0]]), torch.tensor([[0.0, 0.0], [math.log(4.0), 0.0]])
    assert divergence(mean, log_variance).tolist() == pytest.approx([0.0, (1 + 4 + 4 - math.log(4) - 1) / 2])


def test_what_is_drawn_has_the_mean_and_covariance_even_if_that_is_singular():
    covariance = torch.tensor([[4.0, 2.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 0.25]])  # the second is half the first
    drawn = drawn_as(torch.tensor([1.0, 2.0, 3.0]), covariance)(Draws(0), 20_000)
    assert drawn.mean(0).tolist() == pytest.approx([1, 2, 3], abs=0.05)
    torch.testing.assert_close(drawn.T.cov(), covariance.double(), atol=0.1, rtol=0)
    torch.testing.assert_close(drawn[:, 0] - 1, 2 * (drawn[:, 1] - 2), atol=1e-6, rtol=0)


# Latent optimization


def codes_of(game):
    return game.procedure.codes.values.detach().clone()


def test_latents_stay_in_the_ball_and_only_those_of_the_batch_move():
    game = game_of("latent-optimization:latent_rate=1000", batch=3, steps=1)
    for step in range(2, 6):
        before, position = codes_of(game), game.stream.position
        game.play(step)
        moved = (codes_of(game) != before).any(1).nonzero().flatten().tolist()
        assert moved == sorted(game.stream.indices(position, 3))
        assert codes_of(game).norm(dim=1).max() <= 1 + 1e-6


def test_latents_begin_at_principal_components_in_the_ball():
    game = game_of("latent-optimization:latent_rate=0", steps=1)
    flat = pictures().flatten(1).numpy()
    expected = torch.from_numpy(PCA(4, svd_solver="full").fit_transform(flat))
    expected = expected / expected.norm(dim=1, keepdim=True).clamp(min=1)
    signs = (codes_of(game) * expected).sum(0).sign()
    torch.testing.assert_close(codes_of(game), expected * signs, atol=1e-4, rtol=0)
    random = game_of("latent-optimization:latent_rate=0,start=random", steps=1)
    assert not torch.allclose(codes_of(random), expected * signs, atol=0.1)


def test_principal_components_of_less_than_the_latent_leave_zeros():
    points = Arrays(Spec("points", (2,)), torch.randn(9, 2, generator=torch.Generator().manual_seed(0)))
    codes = principal_codes(points, 5, seed=0, most=6)
    assert codes.shape == (9, 5)
    assert (codes[:, 2:] == 0).all() and (codes[:, :2] != 0).all()
    torch.testing.assert_close(torch.cdist(codes, codes), torch.cdist(points.samples, points.samples))


def test_principal_components_are_the_better_start():
    """At equal steps, with the published rates."""
    words = {"arch": "dcgan:latent=16,width=4", "loss": "laplacian-pyramid", "data": "digits:size=16", "batch": 64}
    errors = {
        start: game_of(f"latent-optimization:start={start}", steps=40, **words).numbers()["reconstruction/error"]
        for start in ("pca", "random")
    }
    assert errors["pca"] < 0.8 * errors["random"], errors


def test_new_samples_are_made_of_latents_drawn_like_those_of_the_data():
    game = game_of("latent-optimization", steps=1)
    seen = []
    generator = game.networks.generator
    handle = generator.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach().clone()))
    with torch.no_grad():
        spread = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 0.02, 0.1, 0])
        game.procedure.codes.values.copy_(spread + torch.tensor([0.5, 0, -0.3, 0.1]))
    game.procedure.sample(game, Request(2_000))
    handle.remove()
    drawn = torch.cat(seen)
    codes = codes_of(game)
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(0), codes.std(0, correction=0), atol=0.02, rtol=0)
    assert drawn.norm(dim=1).max() <= 1 + 1e-6


# Gradient origin


def test_a_code_of_a_linear_generator_in_closed_form():
    """F(z) = A z, squared distance: -grad at 0 is 2 A^T x, and gradients flow through it."""
    weights = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    wanted = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)).double()

    def code(weights):
        return code_at(torch.zeros(4, 3).double(), lambda z: (z @ weights.T - wanted).square().sum())

    torch.testing.assert_close(code(weights), 2 * wanted @ weights)
    assert torch.autograd.gradcheck(code, weights)


def code_of(game, samples):
    code = game.procedure._code(game, game.networks.generator, samples, None, None)
    return code.detach()


def test_a_code_does_not_depend_on_the_rest_of_the_batch():
    game = game_of("gradient-origin", steps=2)
    samples = pictures(6, seed=3)
    together = code_of(game, samples)
    torch.testing.assert_close(code_of(game, samples[2:3]), together[2:3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(code_of(game, samples.flip(0)).flip(0), together, rtol=1e-4, atol=1e-5)
    assert together.std(0).min() > 1e-3, "and it is the sample's"


def test_with_batch_normalisation_a_code_depends_on_the_batch():
    game = game_of("gradient-origin", arch="gon:latent=4,width=4", steps=2)
    samples = pictures(6, seed=3)
    with still_statistics(game.networks.generator):
        assert not torch.allclose(code_of(game, samples)[:3], code_of(game, samples[:3]), rtol=0.01)


def test_the_inner_mean_is_over_batch_and_values():
    """What the authors' code does: a code is smaller by their numbers."""
    apart, mean = game_of("gradient-origin"), game_of("gradient-origin:inner=batch")
    samples = pictures(4, seed=3)
    torch.testing.assert_close(code_of(mean, samples) * 4 * math.prod(SHAPE), code_of(apart, samples))


def test_the_origin_does_not_count_in_the_statistics_of_a_batch():
    """After a step, the kept means are those of what was made of the codes alone."""
    game = game_of("gradient-origin", arch="gon:latent=4,width=4")
    network = copy.deepcopy(game.networks.generator)
    batch = game.stream.take(4)
    game.stream.load({"position": 0})
    game.begin(1)
    with still_statistics(network):
        code = game.procedure._code(game, network, batch.sample, None, None).detach()
    assert float(network.main[1].num_batches_tracked) == 0
    network(code)
    game.play(1)
    for name, kept in game.networks.generator.named_buffers():
        assert torch.equal(kept, dict(network.named_buffers())[name]), name
    assert float(network.main[1].num_batches_tracked) == 1


def test_gon_has_the_published_size():
    network = installed().make("architecture", "gon", {}).build(Spec("image", (1, 32, 32)), Plan()).generator
    assert sum(parameter.numel() for parameter in network.parameters()) == 74_321
    made = network(torch.zeros(2, 32))
    torch.testing.assert_close(made, network.main(torch.zeros(2, 32, 1, 1)) * 2 - 1)
    assert made.shape == (2, 1, 32, 32)


@pytest.mark.parametrize("options", ["rate=0.002", "rate=0.002,inner=batch", "rate=0.002,variational=true"])
def test_gradient_origin_learns(options):
    norm = "batch" if "batch" in options else "none"
    loss = "bernoulli" if "variational" in options else "l2"
    words = {"arch": f"gon:latent=16,width=4,norm={norm}", "loss": loss, "data": "digits:size=16", "batch": 32}
    game = game_of(f"gradient-origin:{options}", **words)
    errors = []
    for step in range(1, 61):
        game.play(step)
        errors.append(game.numbers()["reconstruction/error"])
    game.look()
    assert sum(errors[-5:]) < 0.6 * sum(errors[:5]), (errors[:5], errors[-5:])


def test_new_samples_of_gradient_origin_are_drawn_like_its_codes():
    game = game_of("gradient-origin")
    seen = []
    for step in range(1, 31):
        position = game.stream.position
        rows = game.stream.indices(position, 4)
        seen.append(code_of(game, pictures()[rows]))
        game.play(step)
    moments, codes = game.procedure.moments, torch.cat(seen).double()
    torch.testing.assert_close(moments.mean, codes.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(moments.covariance(), codes.T.cov(correction=0), rtol=1e-3, atol=1e-3)


def test_the_variational_form_samples_the_normal_distribution():
    game = game_of("gradient-origin:variational=true", steps=2)
    assert set(game.numbers()) >= {"loss/generator", "loss/divergence"}
    seen = []
    game.networks.generator.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    game.procedure.sample(game, Request(512))
    assert float(torch.cat(seen).std()) == pytest.approx(1, abs=0.1)


class Deaf(nn.Module):
    """What it makes does not depend on its latent."""

    def __init__(self):
        super().__init__()
        self.picture = nn.Parameter(torch.zeros(1, *SHAPE))

    def forward(self, latent, label=None):
        return self.picture + 0 * latent.sum()


def test_a_network_that_is_closed_at_the_origin_is_opened_or_refused():
    game = game_of("gradient-origin", arch="dcgan:latent=4,width=4")
    (note,) = game.plan.notes
    assert note.startswith("dcgan: 2 of its layers begin with shifts from N(0, 0.1)")
    before = copy.deepcopy(game.networks.generator.state_dict())
    game.play(1)
    assert not torch.equal(before["main.0.weight"], game.networks.generator.state_dict()["main.0.weight"])
    assert not game_of("gradient-origin", arch="mlp:latent=4,width=8").plan.notes
    game.networks.generators["generator"] = Deaf()
    with pytest.raises(UsageError, match=r"lets no gradient through to a latent of zeros.*try --procedure"):
        game.procedure.start(game)


# Variational autoencoders and warm starts


@pytest.mark.parametrize(
    ("arch", "data", "loss"),
    [("dcgan:latent=8,width=4", "digits:size=16", "bernoulli"), ("mlp:latent=2,width=32", "ring:count=64", "l2")],
)
def test_a_variational_autoencoder_learns(arch, data, loss):
    game = game_of("vae:width=4,rate=0.003,weight=0.1,beta1=0.9", arch=arch, data=data, loss=loss, batch=32)
    errors = []
    for step in range(1, 101):
        game.play(step)
        errors.append(game.numbers()["reconstruction/error"])
    game.look()
    assert sum(errors[-5:]) < 0.7 * sum(errors[:5]), (errors[:5], errors[-5:])


def test_its_loss_is_the_bound():
    """-ELBO = the loss summed over values + weight x divergence, of the latent that the noise makes."""
    game = game_of("vae:width=4,weight=3")
    encoder, network = copy.deepcopy(game.procedure.encoder), copy.deepcopy(game.networks.generator)
    samples = game.stream.take(4).sample
    game.stream.load({"position": 0})
    game.play(1)
    mean, log_variance = encoder(samples)
    latent = mean + Draws(0, 1).normal("posterior", 4, 4) * log_variance.exp().sqrt()
    made = network(latent)
    numbers = game.numbers()
    assert numbers["loss/generator"] == pytest.approx((made - samples).square().sum().item() / 4, rel=1e-5)
    assert numbers["loss/divergence"] == pytest.approx(3 * divergence(mean, log_variance).mean().item(), rel=1e-5)


def test_an_adversarial_run_goes_on_from_it(tmp_path):
    words = {"arch": "dcgan:latent=4,width=4", "data": "digits:size=16", "batch": 4, "device": "cpu", "quiet": True}
    warm = library.train(**words, procedure="vae:width=4", steps=3, out=tmp_path / "vae")
    learned = warm.game().networks.generator.state_dict()
    rates = "adversarial:generator_rate=0,discriminator_rate=0.001"
    run = library.train(**words, procedure=rates, init=warm.path, steps=2, out=tmp_path / "gan", seed=1)
    for name, value in run.game().networks.generator.named_parameters():
        assert torch.equal(value, learned[name]), name
    cold = library.train(**words, procedure=rates, steps=2, out=tmp_path / "cold", seed=1)
    assert not torch.equal(cold.game().networks.generator.main[0].weight, learned["main.0.weight"])
    moving = library.train(**words, init=warm.path, steps=2, out=tmp_path / "moving", seed=1)
    assert not torch.equal(moving.game().networks.generator.main[0].weight, learned["main.0.weight"])


# What all have


@pytest.mark.parametrize("procedure", WITHOUT_A_DISCRIMINATOR)
def test_an_adversarial_loss_or_penalty_is_refused(procedure):
    words = {"arch": "mlp", "procedure": procedure, "data": "digits"}
    with pytest.raises(Mismatch, match=r"needs `reconstruction_loss`.*losses bernoulli, l1, l2, laplacian-pyramid"):
        checked(resolve(installed(), {**words, "loss": "nonsaturating"}), installed())
    with pytest.raises(Mismatch, match=r"'r1' needs `discriminator_turn`.*leave out --reg r1"):
        checked(resolve(installed(), {**words, "reg": ("r1",)}), installed())
    with pytest.raises(Mismatch, match=r"procedure 'adversarial' needs `adversarial_loss`.*procedures .*vae"):
        checked(resolve(installed(), {"arch": "mlp", "loss": "l2", "data": "digits"}), installed())


@pytest.mark.parametrize(
    ("procedure", "loss"),
    [("latent-optimization", "laplacian-pyramid"), ("gradient-origin", "l2"), ("vae", "l2"), ("ganomaly", "l1")],
)
def test_each_has_a_loss_of_its_own(procedure, loss):
    arch = "ganomaly" if procedure == "ganomaly" else "dcgan"
    assert resolve(installed(), {"arch": arch, "procedure": procedure}).loss.name == loss


@pytest.mark.parametrize("procedure", [*WITHOUT_A_DISCRIMINATOR, "gradient-origin:variational=true"])
def test_real_and_reconstructed_and_new_samples_stand_side_by_side_without_the_data(procedure, tmp_path):
    folder = tmp_path / "data"
    for index, picture in enumerate(((pictures(20) + 1) * 127.5).byte()):
        path = folder / str(index % 2) / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0].numpy()).save(path)
    words = {"data": f"{folder}:size=16", "steps": 3, "batch": 4, "device": "cpu", "quiet": True, "workers": 0}
    run = library.train(arch="mlp:latent=4,width=8", procedure=procedure, out=tmp_path / "run", **words)
    first = Image.open(run.path / "samples" / "step-00000003.png")
    shutil.rmtree(folder)
    found = library.load(run.path)
    game = found.game()
    real, reconstructed, new = game.procedure.side_by_side(game, Request(64))
    assert len(real) == len(reconstructed) == len(new) == 16
    assert first.size == (9 * 18 - 2, 6 * 18 - 2), "three and three and three side by side"
    shown = torch.from_numpy(numpy.array(first)[:16, :16]).float() / 127.5 - 1
    torch.testing.assert_close(shown, real[0, 0], atol=1e-2, rtol=0)
    assert (reconstructed - real).abs().mean() > 1e-3
    assert torch.equal(new, found.sample(16, seed=0))
    assert len(game.procedure.side_by_side(game, Request(5))[0]) == 5
    again = game.procedure.side_by_side(game, Request(64))
    assert all(map(torch.equal, again, (real, reconstructed, new))), "it left no trace"


@pytest.mark.parametrize("procedure", WITHOUT_A_DISCRIMINATOR)
def test_a_walk_goes_where_samples_come_from(procedure):
    """What `ganzoo interpolate` and the explorer move in are the latents that samples are made of."""
    game, seen = game_of(procedure, arch="gon:latent=4,width=4", steps=2), []
    game.networks.generator.register_forward_pre_hook(lambda _module, given: seen.append(given[0].detach().clone()))
    game.procedure.sample(game, Request(16, seed=3))
    assert torch.equal(Space(game).latents(3, 16), seen[0])


@pytest.mark.parametrize("procedure", ["latent-optimization", "gradient-origin:variational=true", "vae:width=4"])
def test_continues_exactly(procedure, tmp_path):
    whole, parted = game_of(procedure, steps=4), game_of(procedure, steps=2)
    checkpoint.save(tmp_path, parted.step, parted.state(), keep=0)
    going_on = game_of(procedure)
    going_on.load(checkpoint.load(tmp_path))
    with torch.random.fork_rng(devices=[]):
        for step in (3, 4):
            going_on.play(step)
    first, second = (
        checkpoint.save(tmp_path / name, game.step, game.state(), keep=0)
        for name, game in (("whole", whole), ("parted", going_on))
    )
    assert (first / "state.safetensors").read_bytes() == (second / "state.safetensors").read_bytes()


def test_the_first_step_on_mnist(real_data):
    """Where the authors' curve begins: the loss per pixel is 0.252 of pictures in [0, 1], 4 times that in [-1, 1]."""
    data = f"mnist:path={real_data / 'mnist'}"
    game = game_of("gradient-origin:inner=batch", arch="gon", data=data, batch=64, steps=1)
    numbers = game.numbers()
    assert numbers["reconstruction/error"] == pytest.approx(0.252, abs=0.04)
    assert numbers["loss/generator"] == pytest.approx(4 * numbers["reconstruction/error"])


def test_the_command_line_says_what_fits():
    done = invoke("train", "--arch", "gon", "--dry-run")
    config = json.loads(done.stdout)
    assert (config["procedure"]["name"], config["loss"]["name"]) == ("gradient-origin", "l2")
    refused = invoke("train", "--arch", "gon", "--procedure", "adversarial", "--dry-run", code=2)
    assert "needs `discriminator`" in refused.stderr
    assert gon.GON.summary().endswith(".")
