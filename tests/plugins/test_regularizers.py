"""Penalties against closed forms, the Dirac-GAN, spectral norms against singular values, augmentations."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ganzoo import Draws, Networks, Scores
from ganzoo.game import Turn
from ganzoo.registry import installed


def make(name, **options):
    return installed().make("regularizer", name, options)


def turn(critic, real, fake, seed=0):
    """A discriminator's turn with this function as the discriminator."""
    game = SimpleNamespace(step=1, draws=Draws(seed, 1), score=lambda x, label, name: Scores(critic(x)))
    real = real.clone().requires_grad_()
    return Turn(game, None, "discriminator", "discriminator", fake, Scores(critic(fake)), real, Scores(critic(real)))


# Gradient penalty


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 4, 4)])
@pytest.mark.parametrize("weight", [0.1, 10.0])
def test_gradient_penalty_of_a_linear_critic(shape, weight):
    """weight * (|w| - 1)^2 for any pair of batches, gradient 2 weight (|w| - 1) w / |w|;
    the norm is over all dimensions."""
    torch.manual_seed(1)
    w = torch.randn(shape[1:], dtype=torch.float64, requires_grad=True)
    real, fake = torch.randn(shape, dtype=torch.float64), 5 * torch.randn(shape, dtype=torch.float64)
    value = make("gradient-penalty", weight=weight).penalty(turn(lambda x: (x * w).flatten(1).sum(1), real, fake))
    norm = w.detach().norm()
    assert value.item() == pytest.approx(weight * (norm.item() - 1) ** 2, rel=1e-12)
    (gradient,) = torch.autograd.grad(value, w)
    torch.testing.assert_close(gradient, 2 * weight * (norm - 1) * w.detach() / norm)


def test_gradient_penalty_is_per_sample():
    """Duplicated rows do not change the mean, and a row's term does not depend on the others."""
    w = torch.randn(3, 2, dtype=torch.float64)
    points = torch.randn(4, 3, 2, dtype=torch.float64)

    def value(points):
        return make("gradient-penalty").penalty(turn(lambda x: (x * w).sum((1, 2)) ** 2, points, points))

    torch.testing.assert_close(value(points), value(points.flip(0)))
    torch.testing.assert_close(value(points), value(torch.cat([points, points])))
    torch.testing.assert_close(value(points), torch.stack([value(point[None]) for point in points]).mean())


def test_gradient_penalty_at_zero_gradient_has_a_finite_derivative():
    w = torch.zeros(3, requires_grad=True)
    value = make("gradient-penalty", weight=1.0).penalty(turn(lambda x: x @ w, torch.randn(5, 3), torch.randn(5, 3)))
    assert value.item() == pytest.approx(1.0)
    assert torch.isfinite(torch.autograd.grad(value, w)[0]).all()


def test_one_sided_gradient_penalty():
    for scale, wanted in ((0.5, 0.0), (3.0, 4.0)):
        w = torch.tensor([scale, 0.0], requires_grad=True)
        value = make("gradient-penalty", weight=1.0, one_sided=True).penalty(
            turn(lambda x, w=w: x @ w, torch.randn(5, 2), torch.randn(5, 2))
        )
        assert value.item() == pytest.approx(wanted)


def test_gradient_penalty_lies_between_real_and_fake():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.sum(1)

    real, fake = torch.zeros(1000, 1), torch.ones(1000, 1)
    make("gradient-penalty").penalty(turn(critic, real, fake))
    between = seen[-1][:, 0]
    assert 0 <= between.min() < 0.05 and 0.95 < between.max() <= 1
    assert between.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("weight", "slope", "objective"), [(10.0, 1.1, 2.1), (0.1, 11.0, 12.0)])
def test_bias_of_the_gradient_penalty(weight, slope, objective):
    """A linear critic on a shift of 2: the best slope is 1 + shift / (2 weight),
    objective shift + shift^2 / (4 weight)."""
    a = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    real, fake = torch.full((4, 1), 2.0, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    optimizer = torch.optim.LBFGS([a], max_iter=200, tolerance_grad=1e-14, tolerance_change=1e-16)

    def closure():
        optimizer.zero_grad()
        now = turn(lambda x: (x * a).sum(1), real, fake)
        loss = installed().make("loss", "wgan-gp").discriminator(now.real_scores, now.fake_scores).mean()
        value = loss + make("gradient-penalty", weight=weight).penalty(now)
        value.backward()
        return value

    optimizer.step(closure)
    assert a.item() == pytest.approx(slope, rel=1e-6)
    assert -closure().item() == pytest.approx(objective, rel=1e-6)


# R1


def test_r1_of_a_quadratic_critic():
    """D = x'Ax / 2 with A symmetric: gamma / 2 * mean |Ax|^2; in expectation gamma / 2 * (tr(A^2 S) + |Am|^2)."""
    torch.manual_seed(0)
    a = torch.randn(3, 3, dtype=torch.float64)
    a = (a + a.T).requires_grad_()
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    x = torch.randn(200_000, 3, dtype=torch.float64) + mean
    now = turn(lambda x: ((x @ a) * x).sum(1) / 2, x, x)
    value = make("r1", gamma=3.0).penalty(now)
    assert value.item() == pytest.approx(1.5 * (x @ a).square().sum(1).mean().item(), rel=1e-12)
    expected = 1.5 * ((a @ a).trace() + (a @ mean).square().sum())
    assert value.item() == pytest.approx(expected.item(), rel=0.01)


def test_gamma_falls_along_a_half_cosine():
    from ganzoo_plugins.regularizers.r1 import weight_at

    part = make("r1", gamma=2.0, gamma_end=0.2, gamma_steps=100)
    assert [weight_at(part, step) for step in (1, 51, 101, 500)] == pytest.approx([2.0, 1.1, 0.2, 0.2])
    assert weight_at(make("r2", gamma=3.0), 77) == 3.0


def test_r1_of_a_constant_critic_is_zero():
    w = torch.zeros(3, requires_grad=True)
    assert make("r1").penalty(turn(lambda x: x @ w + 7, torch.randn(4, 3), torch.randn(4, 3))).item() == 0


# The Dirac-GAN (Mescheder et al. 2018): data at 0, generator at theta, linear critic psi * x, non-saturating loss


def dirac_field(theta, psi, gamma, name="nonsaturating"):
    loss = installed().make("loss", name)
    now = turn(lambda x: (x * psi).sum(1), torch.zeros(1, 1, dtype=torch.float64), theta.reshape(1, 1))
    objective = loss.discriminator(now.real_scores, now.fake_scores).mean()
    if gamma:
        objective = objective + make("r1", gamma=gamma).penalty(now)
    (by_psi,) = torch.autograd.grad(objective, psi, create_graph=True)
    fake = Scores((theta.reshape(1, 1) * psi).sum(1))
    (by_theta,) = torch.autograd.grad(loss.generator(None, fake).mean(), theta, create_graph=True)
    return torch.stack([-by_theta, -by_psi])


@pytest.mark.parametrize(
    ("gamma", "wanted"),
    [
        (0.0, (0.5j, -0.5j)),
        (0.5, (-0.25 + 0.4330127j, -0.25 - 0.4330127j)),
        (1.0, (-0.5, -0.5)),
        (2.0, (-0.1339746, -1.8660254)),
    ],
)
def test_dirac_gan_eigenvalues(gamma, wanted):
    jacobian = torch.autograd.functional.jacobian(
        lambda both: dirac_field(both[0], both[1], gamma),
        torch.zeros(2, dtype=torch.float64, requires_grad=True),
        create_graph=False,
    )
    found = sorted(torch.linalg.eigvals(jacobian).tolist(), key=lambda value: (value.real, value.imag))
    for value, right in zip(
        found, sorted(map(complex, wanted), key=lambda value: (value.real, value.imag)), strict=True
    ):
        assert abs(value - right) < 1e-6


def test_dirac_gan_converges_with_r1_only():
    """4,000 simultaneous steps of 0.1 of the original (minimax) game from (1, 0): |theta| grows to 3.08 without R1, and
    falls to 4e-87 at most with it. The steps use the field in closed form, which the parts' own field equals."""

    def closed_form(theta, psi, gamma):
        push = 1 / (1 + math.exp(-psi * theta))
        return push * psi, -(push * theta + gamma * psi)

    for theta, psi in ((0.7, -0.4), (-1.2, 2.0)):
        values = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (theta, psi))
        assert dirac_field(*values, 1.0, "minimax").tolist() == pytest.approx(closed_form(theta, psi, 1.0), rel=1e-9)
    for gamma, low, high in ((0.0, 3.07, 3.09), (1.0, 0.0, 4e-87)):
        theta, psi = 1.0, 0.0
        for _ in range(4000):
            by_theta, by_psi = closed_form(theta, psi, gamma)
            theta, psi = theta + 0.1 * by_theta, psi + 0.1 * by_psi
        assert low <= abs(theta) <= high


# Spectral norm


@pytest.mark.parametrize("layer", [nn.Linear(7, 5), nn.Conv2d(4, 8, 3)], ids=["linear", "conv"])
def test_spectral_norm_reaches_the_largest_singular_value(layer):
    torch.manual_seed(0)
    network = nn.Sequential(layer)
    weight = layer.weight.detach().clone()
    make("spectral-norm").prepare(Networks({}, {"discriminator": network}))
    x = torch.randn(2, 7) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 5, 5)
    for _ in range(60):
        network(x)
    assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() == pytest.approx(1.0, abs=1e-3)
    sigma = torch.linalg.svdvals(weight.flatten(1))[0]
    torch.testing.assert_close(layer.weight * sigma, weight, rtol=1e-3, atol=1e-3)
    network.eval()
    torch.testing.assert_close(network(x), network(x), rtol=0, atol=0)
    assert any("_u" in key for key in network.state_dict())


def test_spectral_norm_on_the_side_that_was_asked():
    for side, wrapped in (("generator", "G"), ("discriminator", "D"), ("both", "GD")):
        networks = Networks(
            {"generator": nn.Sequential(nn.Linear(2, 2))}, {"discriminator": nn.Sequential(nn.Linear(2, 2))}
        )
        make("spectral-norm", side=side).prepare(networks)
        found = {"G": networks.generators["generator"], "D": networks.discriminators["discriminator"]}
        assert {key for key, network in found.items() if hasattr(network[0], "parametrizations")} == set(wrapped)


# Weight clipping


def test_weight_clip():
    network = nn.Linear(4, 3)
    with torch.no_grad():
        make("weight-clip", limit=0.02).project(Networks({}, {"discriminator": network}))
    assert max(parameter.abs().max().item() for parameter in network.parameters()) <= 0.02


def test_clipped_linear_critic_measures_up_to_a_constant():
    """The best clipped linear critic on a shift d has a gap of limit * |d|_1."""
    w = nn.Linear(3, 1, bias=False)
    shift = torch.tensor([1.0, -2.0, 0.5])
    with torch.no_grad():
        for _ in range(50):
            w.weight += 0.01 * shift
            make("weight-clip", limit=0.1).project(Networks({}, {"discriminator": w}))
    assert (w.weight @ shift).item() == pytest.approx(0.1 * shift.abs().sum().item())


# Augmentations


@pytest.mark.parametrize("name", ["diffaugment", "instance-noise"])
def test_augmentations_let_gradients_through(name):
    part = make(name)
    x = torch.rand(3, 3, 8, 6, dtype=torch.float64, requires_grad=True)
    assert part.augment(x, Draws(0, 1)).shape == x.shape
    assert torch.autograd.gradcheck(lambda x: part.augment(x, Draws(0, 1)), x)
    assert not torch.equal(part.augment(x, Draws(0, 1)), part.augment(x, Draws(0, 2)))


def test_diffaugment_translation_is_a_shift_by_at_most_an_eighth():
    part = make("diffaugment", color=False, cutout=False)
    x = torch.zeros(256, 1, 16, 16)
    x[:, :, 8, 8] = 1
    where = part.augment(x, Draws(0, 1)).flatten(1).argmax(1)
    shifts = torch.stack([where // 16 - 8, where % 16 - 8])
    assert shifts.min() == -2 and shifts.max() == 2


def test_diffaugment_cutout_blanks_a_square_of_half_the_side():
    part = make("diffaugment", color=False, translation=False)
    blanked = (part.augment(torch.ones(512, 1, 16, 16), Draws(0, 1)) == 0).flatten(1).sum(1)
    assert blanked.max() == 64
    assert blanked.min() >= 16


def test_diffaugment_color_keeps_the_mean_of_a_grey_picture_near():
    part = make("diffaugment", translation=False, cutout=False)
    x = torch.full((512, 3, 4, 4), 0.25)
    made = part.augment(x, Draws(0, 1))
    torch.testing.assert_close(made.std((1, 2, 3)), torch.zeros(512), atol=1e-6, rtol=0)
    assert made.mean().item() == pytest.approx(0.25, abs=0.05)
    assert made.amax().item() <= 0.75 and made.amin().item() >= -0.25


def test_instance_noise_falls_to_zero():
    part = make("instance-noise", deviation=0.5, steps=10)
    x = torch.zeros(4000, 2)
    found = [part.augment(x, Draws(0, step)).std().item() for step in (1, 6, 11, 50)]
    assert found == pytest.approx([0.5, 0.25, 0.0, 0.0], abs=0.02)
