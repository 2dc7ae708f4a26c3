"""What gradient penalties are made of: formulas, the kernels against the reference, derivatives, the zero gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from ganzoo.ops import between, gradient_penalty, reference_between, reference_gradient_penalty
from ganzoo.ops.gradient_penalty import FORMS

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def test_the_formulas(implementation):
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]])  # norms 5 and 0.5
    torch.testing.assert_close(gradient_penalty(gradient, "two-sided", 1.0, 10.0), torch.tensor([160.0, 2.5]))
    torch.testing.assert_close(gradient_penalty(gradient, "one-sided", 1.0, 10.0), torch.tensor([160.0, 0.0]))
    torch.testing.assert_close(gradient_penalty(gradient, "squared", weight=5.0), torch.tensor([125.0, 1.25]))


@pytest.mark.parametrize("form", FORMS)
def test_a_zero_gradient_is_safe(form, implementation):
    gradient = torch.zeros(2, 3, 4, requires_grad=True)
    value = gradient_penalty(gradient, form)
    (first,) = torch.autograd.grad(value.sum(), gradient, create_graph=True)
    assert value.tolist() == ([1.0, 1.0] if form == "two-sided" else [0.0, 0.0])
    assert not first.any()
    (second,) = torch.autograd.grad(first.sum(), gradient)
    assert second.isfinite().all()


@settings(max_examples=80, deadline=None)
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=3).map(lambda rest: [3, *rest]),
    form=st.sampled_from(FORMS), dtype=st.sampled_from(DTYPES), last=st.booleans(),
)  # fmt: skip
def test_kernels_agree_with_the_reference(device, shape, form, dtype, last):
    torch.manual_seed(0)
    x, y = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
    if len(shape) == 4 and last:
        x = x.contiguous(memory_format=torch.channels_last)
    error = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    x.requires_grad_()
    made, expected = (function(x, form, 0.8, 3.0) for function in (gradient_penalty, reference_gradient_penalty))
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected, rtol=max(error, 2e-6), atol=1e-6)
    weights = torch.arange(3, device=device)
    ours, theirs = (torch.autograd.grad((value * weights).sum(), x)[0] for value in (made, expected))
    torch.testing.assert_close(ours, theirs, rtol=4 * error, atol=4 * error)
    mix = torch.rand(3, device=device, dtype=torch.float64).to(dtype)
    torch.testing.assert_close(between(x, y, mix), reference_between(x, y, mix), rtol=error, atol=error)


@pytest.mark.parametrize("form", FORMS)
def test_derivatives(device, form):
    torch.manual_seed(0)
    x = torch.randn(3, 2, 2, dtype=torch.float64, device=device)
    x[0] *= 0.1  # below the center
    x.requires_grad_()

    def value(x):
        return gradient_penalty(x, form, 0.9, 3.0)

    def slope(x):
        return torch.autograd.grad(value(x).square().sum(), x, create_graph=True)[0]

    for function in (value, slope):
        assert gradcheck(function, (x,))
        assert gradgradcheck(function, (x,))


def test_derivatives_of_the_line(device):
    real, fake = (torch.randn(3, 2, 4, dtype=torch.float64, device=device, requires_grad=True) for _ in range(2))
    mix = torch.rand(3, dtype=torch.float64, device=device, requires_grad=True)
    assert gradcheck(between, (real, fake, mix))
    assert gradgradcheck(between, (real, fake, mix))


def test_large_samples_and_threads(device):
    """Sums do not depend on the threads, and are exact to float32's last places."""
    x = torch.randn(2, 3, 257, 300, device=device)
    expected = x.double().flatten(1).square().sum(1)
    values = []
    for threads in (1, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        values.append(gradient_penalty(x, "squared"))
        torch.set_num_threads(before)
    assert torch.equal(values[0], values[1])
    torch.testing.assert_close(values[0].double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_torch_finds_no_fault_with_the_operators(device, form):
    g = torch.randn(3, 2, 4, 4, device=device, requires_grad=True)
    gradient_penalty(g)
    ops = torch.ops.ganzoo
    torch.library.opcheck(ops.gradient_penalty, (g, FORMS.index(form), 1.0, 10.0))
    mix = torch.rand(3, device=device)
    torch.library.opcheck(ops.gradient_penalty_backward, (g, mix, mix))
    torch.library.opcheck(ops.between, (g, g.detach().flip(0), mix))


def test_what_does_not_fit_is_refused(implementation):
    with pytest.raises(ValueError, match="two-sided"):
        gradient_penalty(torch.ones(2, 2), "both")
    with pytest.raises(ValueError, match="one shape"):
        between(torch.ones(2, 2), torch.ones(2, 3), torch.ones(2))


def test_no_samples(implementation):
    assert gradient_penalty(torch.zeros(0, 3)).shape == (0,)
    assert between(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0)).shape == (0, 3)


def test_a_gradient_that_torch_keeps_without_memory_is_zero(implementation):
    nothing = torch._efficientzerotensor((3, 2, 4, 4))
    assert gradient_penalty(nothing, "squared").tolist() == [0, 0, 0]
    assert gradient_penalty(nothing, "two-sided", center=2.0).tolist() == [4, 4, 4]
