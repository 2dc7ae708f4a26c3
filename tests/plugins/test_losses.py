"""Losses against closed forms: values and derivatives at real logits (1, -2) and fake logits (.5, 3),
means over the batch."""

from __future__ import annotations

import math

import numpy
import pytest
import torch

from ganzoo import AdversarialLoss, Scores
from ganzoo.registry import installed

REAL, FAKE = (1.0, -2.0), (0.5, 3.0)


def softplus(x):
    return numpy.log1p(numpy.exp(x))


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def relativistic_average(real, fake):
    """A line of the table below: each side is compared with the other's mean, which is differentiated too."""
    real, fake = numpy.array(real), numpy.array(fake)

    def side(high, low):  # whose scores ought to be high, and whose low
        above, below = low.mean() - high, low - high.mean()
        value = (softplus(above) + softplus(below)).mean()
        by_high = -(sigmoid(above) + sigmoid(below).mean()) / len(high)
        return value, tuple(by_high), tuple((sigmoid(above).mean() + sigmoid(below)) / len(low))

    value, by_real, by_fake = side(real, fake)
    generator, generator_by_fake, _ = side(fake, real)
    return value, by_real, by_fake, generator, generator_by_fake


# name: discriminator's value, its derivatives by real and by fake scores, generator's value,
# its derivative by fake scores
CLOSED_FORMS = {
    "minimax": (3.231427, (-0.134471, -0.440399), (0.311230, 0.476287), -2.011332, (-0.311230, -0.476287)),
    "nonsaturating": (3.231427, (-0.134471, -0.440399), (0.311230, 0.476287), 0.261332, (-0.188770, -0.023713)),
    "lsgan": (4.5625, (0.0, -1.5), (0.25, 1.5), 1.0625, (-0.25, 1.0)),
    "wgan": (2.25, (-0.5, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
    "wgan-gp": (2.25, (-0.5, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
    "hinge": (4.25, (0.0, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
    "relativistic": (2.740396, (-0.188770, -0.496654), (0.188770, 0.496654), 0.490396, (-0.311230, -0.003346)),
    "relativistic-average": relativistic_average(REAL, FAKE),
    "f-gan": (12.745597, (-0.183940, -3.694528), (0.824361, 10.042768), -0.671841, (-0.303265, -0.024894)),
}
# name: discriminator's and generator's value where both scores are zero
EQUILIBRIUM = {
    "minimax": (2 * math.log(2), -math.log(2)),
    "nonsaturating": (2 * math.log(2), math.log(2)),
    "lsgan": (0.5, 0.5),
    "wgan": (0.0, 0.0),
    "wgan-gp": (0.0, 0.0),
    "hinge": (2.0, 0.0),
    "relativistic": (math.log(2), math.log(2)),
    "relativistic-average": (2 * math.log(2), 2 * math.log(2)),
    "f-gan": (0.0, 0.0),
}
ADVERSARIAL = [name for name in installed().names("loss") if issubclass(installed().get("loss", name), AdversarialLoss)]


def terms(name, real, fake, dtype=torch.float64, **options):
    loss = installed().make("loss", name, options)
    real = torch.tensor(real, dtype=dtype, requires_grad=True)
    fake = torch.tensor(fake, dtype=dtype, requires_grad=True)
    generator = loss.generator(Scores(real), Scores(fake)).mean()
    return real, fake, loss.discriminator(Scores(real), Scores(fake)).mean(), generator


def built_in(names):
    return [name for name in names if installed().find("loss", name).package == "ganzoo"]


def test_every_built_in_adversarial_loss_has_a_closed_form():
    assert set(built_in(ADVERSARIAL)) == set(CLOSED_FORMS) == set(EQUILIBRIUM)


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form(name):
    value, by_real, by_fake, generator_value, generator_by_fake = CLOSED_FORMS[name]
    real, fake, discriminator, generator = terms(name, REAL, FAKE)
    assert discriminator.item() == pytest.approx(value, abs=1e-6)
    assert generator.item() == pytest.approx(generator_value, abs=1e-6)
    for found, wanted in zip(torch.autograd.grad(discriminator, (real, fake)), (by_real, by_fake), strict=True):
        assert found.tolist() == pytest.approx(wanted, abs=1e-6)
    (found,) = torch.autograd.grad(generator, fake)
    assert found.tolist() == pytest.approx(generator_by_fake, abs=1e-6)


@pytest.mark.parametrize("name", EQUILIBRIUM)
def test_equilibrium(name):
    _, _, discriminator, generator = terms(name, (0.0, 0.0), (0.0, 0.0))
    assert (discriminator.item(), generator.item()) == pytest.approx(EQUILIBRIUM[name], abs=1e-9)


@pytest.mark.parametrize("name", ADVERSARIAL)
@pytest.mark.parametrize("real", [1e4, -1e4])
@pytest.mark.parametrize("fake", [1e4, -1e4])
def test_finite_at_large_scores(name, real, fake):
    reals, fakes, discriminator, generator = terms(name, (real, 0.0), (fake, 0.0), torch.float32)
    for value, by in ((discriminator, (reals, fakes)), (generator, (fakes,))):
        assert torch.isfinite(value)
        for gradient in torch.autograd.grad(value, by, retain_graph=True):
            assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_values_are_unreduced_and_keep_the_shape_of_a_score_map(name):
    loss = installed().make("loss", name)
    real, fake = torch.randn(3, 1, 5, 5), torch.randn(3, 1, 5, 5)
    assert loss.discriminator(Scores(real), Scores(fake)).shape == real.shape
    assert loss.generator(Scores(real), Scores(fake)).shape == fake.shape


# Relativistic losses


def test_relativistic_generators_look_at_real_scores():
    real, _, _, generator = terms("relativistic", REAL, FAKE)
    assert torch.autograd.grad(generator, real)[0].tolist() == pytest.approx((0.311230, 0.003346), abs=1e-6)
    for name in ("relativistic", "relativistic-average"):
        assert installed().make("loss", name).relativistic
    real, fake, _, generator = terms("relativistic-average", REAL, FAKE)
    swapped = relativistic_average(FAKE, REAL)
    for found, wanted in zip(torch.autograd.grad(generator, (real, fake)), (swapped[2], swapped[1]), strict=True):
        assert found.tolist() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", ["relativistic", "relativistic-average"])
def test_relativistic_losses_do_not_see_what_is_added_to_all_scores(name):
    _, _, *values = terms(name, REAL, FAKE)
    _, _, *shifted = terms(name, [score + 7 for score in REAL], [score + 7 for score in FAKE])
    assert [value.item() for value in shifted] == pytest.approx([value.item() for value in values])


# f-GAN. The paper's tables: f and its derivative, g_f with derivative and inverse, f* with derivative

TABLES = {
    "kl": (
        (lambda u: u * numpy.log(u), lambda u: 1 + numpy.log(u)),
        (lambda v: v, numpy.ones_like, lambda t: t),
        (lambda t: numpy.exp(t - 1), lambda t: numpy.exp(t - 1)),
    ),
    "reverse-kl": (
        (lambda u: -numpy.log(u), lambda u: -1 / u),
        (lambda v: -numpy.exp(-v), lambda v: numpy.exp(-v), lambda t: -numpy.log(-t)),
        (lambda t: -1 - numpy.log(-t), lambda t: -1 / t),
    ),
    "pearson": (
        (lambda u: (u - 1) ** 2, lambda u: 2 * (u - 1)),
        (lambda v: v, numpy.ones_like, lambda t: t),
        (lambda t: t**2 / 4 + t, lambda t: t / 2 + 1),
    ),
    "jensen-shannon": (
        (lambda u: u * numpy.log(u) - (u + 1) * numpy.log((1 + u) / 2), lambda u: numpy.log(2 * u / (1 + u))),
        (
            lambda v: numpy.log(2) - numpy.log(1 + numpy.exp(-v)),
            lambda v: numpy.exp(-v) / (1 + numpy.exp(-v)),
            lambda t: -numpy.log(2 * numpy.exp(-t) - 1),
        ),
        (lambda t: -numpy.log(2 - numpy.exp(t)), lambda t: numpy.exp(t) / (2 - numpy.exp(t))),
    ),
    "squared-hellinger": (
        (lambda u: (numpy.sqrt(u) - 1) ** 2, lambda u: 1 - 1 / numpy.sqrt(u)),
        (lambda v: 1 - numpy.exp(-v), lambda v: numpy.exp(-v), lambda t: -numpy.log(1 - t)),
        (lambda t: t / (1 - t), lambda t: 1 / (1 - t) ** 2),
    ),
}


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("divergence", TABLES)
def test_f_gan_is_what_the_tables_say(divergence, saturating):
    _, (activation, slope, _), (conjugate, steepness) = TABLES[divergence]
    real, fake, discriminator, generator = terms(
        "f-gan", REAL, FAKE, divergence=divergence, saturating=str(saturating).lower()
    )
    r, f = numpy.array(REAL), numpy.array(FAKE)
    assert discriminator.item() == pytest.approx((conjugate(activation(f)) - activation(r)).mean(), rel=1e-12)
    by_real, by_fake = torch.autograd.grad(discriminator, (real, fake))
    assert by_real.tolist() == pytest.approx(-slope(r) / 2, rel=1e-12)
    bound = steepness(activation(f)) * slope(f) / 2
    assert by_fake.tolist() == pytest.approx(bound, rel=1e-12)
    wanted = -(conjugate(activation(f)) if saturating else activation(f)).mean()
    assert generator.item() == pytest.approx(wanted, rel=1e-12)
    (by_fake,) = torch.autograd.grad(generator, fake)
    assert by_fake.tolist() == pytest.approx(-bound if saturating else -slope(f) / 2, rel=1e-12)


@pytest.mark.parametrize("divergence", TABLES)
def test_the_best_discriminator_of_f_gan_reads_the_divergence(divergence):
    """Two distributions of four values, as samples: at g_f(v) = f'(p / q) the loss is -D_f(P, Q), and flat."""
    (f, derivative), (_, _, inverse), _ = TABLES[divergence]
    counts = numpy.array([1, 2, 3, 4]), numpy.array([4, 3, 2, 1])
    p, q = (count / 10 for count in counts)
    values = torch.tensor(inverse(derivative(p / q)), requires_grad=True)
    real, fake = (Scores(values.repeat_interleave(torch.tensor(count))) for count in counts)
    loss = installed().make("loss", "f-gan", {"divergence": divergence}).discriminator(real, fake).mean()
    assert loss.item() == pytest.approx(-(q * f(p / q)).sum(), rel=1e-12)
    assert torch.autograd.grad(loss, values)[0].tolist() == pytest.approx([0.0] * 4, abs=1e-12)


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("divergence", TABLES)
def test_f_gan_is_finite_at_large_scores(divergence, saturating):
    for real, fake in ((1e4, 1e4), (1e4, -1e4), (-1e4, 1e4), (-1e4, -1e4)):
        options = {"divergence": divergence, "saturating": str(saturating).lower()}
        reals, fakes, discriminator, generator = terms("f-gan", (real, 0.0), (fake, 0.0), torch.float32, **options)
        for value, by in ((discriminator, (reals, fakes)), (generator, (fakes,))):
            assert torch.isfinite(value)
            for gradient in torch.autograd.grad(value, by, retain_graph=True):
                assert torch.isfinite(gradient).all()


def test_bounded_exp_goes_on_along_its_tangent():
    from ganzoo_plugins.losses.f_gan import STEEP, bounded_exp

    x = torch.tensor([-1e4, 0.0, STEEP - 1, STEEP, STEEP + 1, 1e4], dtype=torch.float64, requires_grad=True)
    value = bounded_exp(x)
    (slope,) = torch.autograd.grad(value.sum(), x)
    top = math.exp(STEEP)
    assert value.tolist() == pytest.approx([0.0, 1.0, top / math.e, top, 2 * top, top * (1e4 - STEEP + 1)])
    assert slope.tolist() == pytest.approx([0.0, 1.0, top / math.e, top, top, top])


def test_f_gan_with_jensen_shannon_is_the_original_game_less_a_constant():
    _, _, original, generator = terms("minimax", REAL, FAKE)
    _, _, discriminator, saturating = terms("f-gan", REAL, FAKE, divergence="jensen-shannon", saturating="true")
    assert discriminator.item() == pytest.approx(original.item() - 2 * math.log(2))
    assert saturating.item() == pytest.approx(generator.item() + math.log(2))
