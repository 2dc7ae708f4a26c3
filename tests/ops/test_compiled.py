"""Compiled networks with our operators in them: one graph, and the values and derivatives of the eager network."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo
import torch.nn.functional as F

from ganzoo.ops import between, bias_act, downsample2d, gradient_penalty, setup_filter


def network(x, weights, f):
    """A discriminator's first layers: [N, 3, 8, 8] -> [N]."""
    first, bias, second = weights
    h = bias_act(F.conv2d(x, first, padding=1), bias, act="lrelu", clamp=256)
    return F.conv2d(downsample2d(h, f), second).square().sum((1, 2, 3))


def made(device):
    torch.manual_seed(0)
    weights = [torch.randn(shape, device=device, requires_grad=True) for shape in ((8, 3, 3, 3), (8,), (4, 8, 1, 1))]
    return weights, setup_filter([1, 3, 3, 1], device=device), torch.randn(4, 3, 8, 8, device=device)


@pytest.fixture
def compiled_gradients(monkeypatch):
    """torch traces torch.autograd.grad inside of a compiled function behind this setting; without it, it refuses."""
    monkeypatch.setattr(torch._dynamo.config, "trace_autograd_ops", True, raising=False)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_values_and_first_gradients(device, backend):
    weights, f, x = made(device)
    network(x, weights, f)  # loads the operators, outside of the compiled function
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    ours, eager = compiled(x, weights, f), network(x, weights, f)
    torch.testing.assert_close(ours, eager, rtol=1e-5, atol=1e-4)
    for made_, expected in zip(*(torch.autograd.grad(y.sum(), weights) for y in (ours, eager)), strict=True):
        assert (made_ - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("form", ["squared", "two-sided"])
def test_gradients_of_a_penalty_in_one_graph(device, backend, form, compiled_gradients):
    """R1 (squared) and the gradient penalty: the inner and the outer derivative in one compiled graph."""
    weights, f, x = made(device)
    mix = torch.rand(4, device=device)

    def penalty(x, weights):
        (gradient,) = torch.autograd.grad(network(x, weights, f).sum(), x, create_graph=True)
        loss = gradient_penalty(gradient, form, weight=5.0).mean()
        return loss.detach(), torch.autograd.grad(loss, weights)

    points = between(x, x.flip(0), mix).detach().requires_grad_()
    value, gradients = penalty(points, weights)
    ours, compiled = torch.compile(penalty, fullgraph=True, backend=backend)(points, weights)
    torch.testing.assert_close(ours, value, rtol=1e-5, atol=0)
    for made_, expected in zip(compiled, gradients, strict=True):
        assert (made_ - expected).norm() <= 1e-5 * expected.norm()
