"""bias_act: the reference against formulas, the kernels against the reference, and derivatives of every order."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from ganzoo.ops import bias_act, fused_leaky_relu, reference_bias_act
from ganzoo.ops.bias_act import ACTIVATIONS

LAYOUTS = [torch.contiguous_format, torch.channels_last]
# The largest error, where all numbers are around 1: half a unit in the last place of the output, or float32's sums.
ERRORS = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 2**-8, torch.float16: 2**-11}

FORMULAS = {
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0.0),
    "lrelu": lambda x: x if x > 0 else 0.2 * x,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "softplus": lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0),
    "swish": lambda x: x / (1 + math.exp(-x)),
}
GAINS = {"relu": 2**0.5, "lrelu": 2**0.5, "swish": 2**0.5}


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_the_formulas(act, implementation):
    x = torch.linspace(-30, 30, 241, dtype=torch.float64).reshape(-1, 1)
    expected = [FORMULAS[act](value + 0.25) * GAINS.get(act, 1.0) for value in x.flatten().tolist()]
    for dtype, error in ((torch.float64, 1e-13), (torch.float32, 1e-6)):
        made = bias_act(x.to(dtype), torch.tensor([0.25], dtype=dtype), act=act).flatten().double()
        torch.testing.assert_close(made, torch.tensor(expected, dtype=torch.float64), rtol=error, atol=error)


@pytest.mark.parametrize("act", ACTIVATIONS)
def test_extreme_values_and_what_is_not_a_number(act, implementation):
    x = torch.tensor([-700.0, -200.0, -104.0, -88.0, -1e-30, 0.0, 1e-30, 88.0, 89.5, 200.0, 700.0])
    made = bias_act(x, act=act, dim=0)
    expected = torch.tensor([FORMULAS[act](value) * GAINS.get(act, 1.0) for value in x.tolist()])
    torch.testing.assert_close(made, expected, rtol=2e-6, atol=1e-37)
    assert bias_act(torch.tensor([math.nan]), act=act, dim=0, clamp=1.0).isnan().all()


def test_fused_leaky_relu_listens_to_its_arguments(implementation):
    x, b = torch.randn(2, 3, 4, 4), torch.randn(3)
    expected = torch.nn.functional.leaky_relu(x + b.reshape(1, 3, 1, 1), 0.1) * 3
    torch.testing.assert_close(fused_leaky_relu(x, b, negative_slope=0.1, scale=3.0), expected)


shapes = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=shapes, act=st.sampled_from(list(ACTIVATIONS)), dtype=st.sampled_from(list(ERRORS)))
def test_kernels_agree_with_the_reference(device, data, shape, act, dtype):
    """Any shape, layout and options: values, and the gradients of x and b."""
    torch.manual_seed(data.draw(st.integers(0, 99)))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    options = {
        "alpha": data.draw(st.sampled_from([None, 0.0, 0.3, -0.4])),
        "gain": data.draw(st.sampled_from([None, 0.5, -1.5, 0.0])),
        "clamp": data.draw(st.sampled_from([None, 0.5, 3.0])),
    }
    x = torch.randn(shape, dtype=torch.float64, device=device)
    x = x.permute(data.draw(st.permutations(range(len(shape))))).to(dtype)
    if data.draw(st.booleans()) and x.numel():
        x = x.repeat_interleave(2, -1)[..., ::2]  # gaps in memory
    b = torch.randn(x.shape[dim], device=device).to(dtype) if data.draw(st.booleans()) else None
    inputs = [value.clone().requires_grad_() for value in (x, b) if value is not None]
    arguments = (*inputs, *[None] * (2 - len(inputs)), dim, act)
    made, expected = (function(*arguments, **options) for function in (bias_act, reference_bias_act))
    assert made.shape == expected.shape and made.dtype == dtype
    scale = 1 + float(expected.detach().abs().max()) if expected.numel() else 1
    assert_near(made, expected, ERRORS[dtype] * scale)
    if dtype in (torch.float64, torch.float32):
        weights = torch.randn_like(made)
        ours, theirs = (torch.autograd.grad((y * weights).sum(), inputs) for y in (made, expected))
        for gradient, reference in zip(ours, theirs, strict=True):
            assert_near(gradient, reference, 30 * ERRORS[dtype] * scale)


def assert_near(made, expected, error):
    torch.testing.assert_close(made, expected, rtol=0, atol=error)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_16_bit(device, act, dtype):
    """Against the same in float32 from the same 16 bit numbers, away from the clamp's edge, where rounding decides."""
    x = torch.randn(4, 40, 9, 9, device=device).to(dtype)
    b = torch.randn(40, device=device)
    weights = torch.randn(x.shape, device=device).to(dtype)

    def gradients(function, dtype):
        inputs = [x.to(dtype, copy=True).requires_grad_(), b.clone().requires_grad_()]
        y = function(*inputs, act=act)
        return torch.autograd.grad((y * weights.to(dtype)).sum(), inputs)

    for made, expected in zip(gradients(bias_act, dtype), gradients(reference_bias_act, torch.float32), strict=True):
        error = (made.float() - expected).norm() / expected.norm()
        assert error < 4 * torch.finfo(dtype).eps, error


def test_what_is_clamped_has_no_gradient_also_in_16_bit(device):
    """0.7 is no bfloat16 number: the clamp compares with what the output holds."""
    x = torch.full((1, 4), 5.0, dtype=torch.bfloat16, device=device, requires_grad=True)
    (gradient,) = torch.autograd.grad(bias_act(x, clamp=0.7).sum(), x)
    assert not gradient.any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("channels", [1, 3, 64, 1500])
def test_the_memory_layout_stays(device, layout, channels):
    x = torch.randn(2, channels, 5, 3, device=device).contiguous(memory_format=layout).requires_grad_()
    b = torch.randn(channels, device=device, requires_grad=True)
    y = bias_act(x, b, act="lrelu")
    dx, db = torch.autograd.grad(y.square().sum(), (x, b))
    assert y.stride() == x.stride() == dx.stride()
    torch.testing.assert_close(y, reference_bias_act(x, b, act="lrelu"))
    torch.testing.assert_close(db, dx.sum((0, 2, 3)), rtol=1e-4, atol=1e-4)


def test_the_bias_gradient_does_not_depend_on_threads(device):
    torch.manual_seed(0)
    for layout in LAYOUTS:
        x = torch.randn(8, 96, 33, 31, device=device).contiguous(memory_format=layout)
        b = torch.randn(96, device=device, requires_grad=True)
        sums = []
        for threads in (1, 2, 3):
            before = torch.get_num_threads()
            torch.set_num_threads(threads)
            sums.append(torch.autograd.grad(bias_act(x, b, act="lrelu").square().sum(), b)[0])
            torch.set_num_threads(before)
        assert torch.equal(sums[0], sums[1]) and torch.equal(sums[0], sums[2])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("clamp", [None, 0.7])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_derivatives(device, act, bias, clamp, layout):
    torch.manual_seed(1)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, device=device).contiguous(memory_format=layout).requires_grad_()
    b = torch.randn(3, dtype=torch.float64, device=device, requires_grad=True)

    def function(x, b=None):
        return bias_act(x, b, act=act, clamp=clamp)

    inputs = (x, b) if bias else (x,)
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("act", ["tanh", "swish", "lrelu"])
def test_third_derivatives(device, act):
    x = torch.randn(2, 3, dtype=torch.float64, device=device, requires_grad=True)
    b = torch.randn(3, dtype=torch.float64, device=device, requires_grad=True)

    def gradient(x, b):
        return torch.autograd.grad(bias_act(x, b, act=act).square().sum(), (x, b), create_graph=True)

    assert gradgradcheck(gradient, (x, b))


@pytest.mark.parametrize("act", ["lrelu", "swish"])
def test_torch_finds_no_fault_with_the_operators(device, act):
    kind = ACTIVATIONS[act]
    x, b = torch.randn(2, 3, 4, 4, device=device, requires_grad=True), torch.randn(3, device=device, requires_grad=True)
    bias_act(x)
    how = (1, kind.number, kind.alpha, kind.gain, 1.5)
    torch.library.opcheck(torch.ops.ganzoo.bias_act, (x, b, *how))
    kept = (x.detach(), b if act == "swish" else None)
    torch.library.opcheck(torch.ops.ganzoo.bias_act_backward, (x, None, *kept, *how, True))


def test_what_does_not_fit_is_refused(implementation):
    x = torch.randn(2, 3)
    with pytest.raises(ValueError, match="lrelu"):
        bias_act(x, act="leaky")
    with pytest.raises(ValueError, match="does not fit"):
        bias_act(x, torch.randn(2))
    with pytest.raises(ValueError, match="negative"):
        bias_act(x, clamp=-1)


def test_autocast_needs_no_rule(device):
    x = torch.randn(2, 3, 4, 4, device=device)
    with torch.autocast(device, torch.bfloat16):
        h = torch.nn.functional.conv2d(x, torch.randn(5, 3, 1, 1, device=device))
        assert bias_act(h, torch.randn(5, device=device), act="lrelu").dtype == torch.bfloat16
