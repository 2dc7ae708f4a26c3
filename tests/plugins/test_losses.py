"""Losses against closed forms: values and derivatives at real logits (1, -2) and fake logits (.5, 3),
means over the batch."""

from __future__ import annotations

import math

import pytest
import torch

from ganzoo import AdversarialLoss, Scores
from ganzoo.registry import installed

REAL, FAKE = (1.0, -2.0), (0.5, 3.0)

# name: discriminator's value, its derivatives by real and by fake scores, generator's value,
# its derivative by fake scores
CLOSED_FORMS = {
    "minimax": (3.231427, (-0.134471, -0.440399), (0.311230, 0.476287), -2.011332, (-0.311230, -0.476287)),
    "nonsaturating": (3.231427, (-0.134471, -0.440399), (0.311230, 0.476287), 0.261332, (-0.188770, -0.023713)),
    "lsgan": (4.5625, (0.0, -1.5), (0.25, 1.5), 1.0625, (-0.25, 1.0)),
    "wgan": (2.25, (-0.5, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
    "wgan-gp": (2.25, (-0.5, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
    "hinge": (4.25, (0.0, -0.5), (0.5, 0.5), -1.75, (-0.5, -0.5)),
}
# name: discriminator's and generator's value where both scores are zero
EQUILIBRIUM = {
    "minimax": (2 * math.log(2), -math.log(2)),
    "nonsaturating": (2 * math.log(2), math.log(2)),
    "lsgan": (0.5, 0.5),
    "wgan": (0.0, 0.0),
    "wgan-gp": (0.0, 0.0),
    "hinge": (2.0, 0.0),
}
ADVERSARIAL = [name for name in installed().names("loss") if issubclass(installed().get("loss", name), AdversarialLoss)]


def terms(name, real, fake, dtype=torch.float64):
    loss = installed().make("loss", name)
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
