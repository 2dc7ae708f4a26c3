"""upfirdn2d: the reference against scipy, the kernels against the reference, and derivatives of every order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import signal
from torch.autograd import gradcheck, gradgradcheck

from ganzoo.ops import downsample2d, filter2d, reference_upfirdn2d, setup_filter, upfirdn2d, upsample2d

LAYOUTS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, 2), (2, 3), (4, 1)])
@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1.0, 2, 4, 3, 5], [1]])
def test_one_axis_is_scipys(up, down, taps, implementation):
    x = np.random.default_rng(0).standard_normal(17)
    expected = signal.upfirdn(taps, x, up, down)
    picture = torch.from_numpy(x).reshape(1, 1, 1, -1)
    kernel = torch.tensor([taps], dtype=torch.float64)
    # scipy keeps every sample that the filter meets, and no zero after the last one.
    made = upfirdn2d(picture, kernel, up=[up, 1], down=[down, 1], padding=[len(taps) - 1, len(taps) - up, 0, 0])
    np.testing.assert_allclose(made.flatten()[: len(expected)], expected, rtol=1e-12, atol=1e-12)


def test_two_axes_are_scipys(implementation):
    generator = np.random.default_rng(0)
    x, f = generator.standard_normal((9, 8)), generator.standard_normal((3, 4))
    arguments = torch.from_numpy(x)[None, None], torch.from_numpy(f)
    np.testing.assert_allclose(
        upfirdn2d(*arguments, padding=[3, 3, 2, 2])[0, 0], signal.convolve2d(x, f), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_allclose(
        upfirdn2d(*arguments, flip_filter=True)[0, 0], signal.correlate2d(x, f, "valid"), rtol=1e-12, atol=1e-12
    )


def test_filters():
    torch.testing.assert_close(setup_filter([1, 3, 3, 1]).sum(), torch.tensor(1.0))
    assert setup_filter([1, 3, 3, 1]).shape == (4, 4)
    assert setup_filter([1.0] * 8).shape == (8,)
    assert setup_filter([1, 3, 3, 1], separable=True).shape == (4,)
    assert setup_filter([[1, 2], [3, 4]], normalize=False, gain=4).tolist() == [[4, 8], [12, 16]]
    assert setup_filter([1, 2], normalize=False, flip_filter=True).tolist() == [[4, 2], [2, 1]]
    assert setup_filter(None).tolist() == [[1.0]]
    with pytest.raises(ValueError, match="separable"):
        setup_filter([[1, 2], [3, 4]], separable=True)


def test_brightness_and_size(implementation):
    """A smooth picture keeps its brightness; sizes are what the names say."""
    f, x = setup_filter([1, 3, 3, 1]), torch.ones(1, 2, 12, 10)
    for made, size in ((filter2d(x, f), (12, 10)), (upsample2d(x, f), (24, 20)), (downsample2d(x, f), (6, 5))):
        assert made.shape == (1, 2, *size)
        torch.testing.assert_close(made[..., 2:-2, 2:-2], torch.ones_like(made[..., 2:-2, 2:-2]))


factors = st.one_of(st.integers(1, 4), st.lists(st.integers(1, 3), min_size=2, max_size=2))
paddings = st.one_of(st.integers(-2, 6), st.lists(st.integers(-3, 6), min_size=4, max_size=4))
kernels_ = st.one_of(
    st.sampled_from([[1.0, 3, 3, 1], [1.0, 2, 1], [1.0, 1], [1.0] * 9]),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
)


@settings(max_examples=200, deadline=None)
@given(
    size=st.tuples(st.integers(0, 3), st.sampled_from([1, 2, 5, 16, 40]), st.integers(1, 12), st.integers(1, 40)),
    up=factors, down=factors, padding=paddings, taps=kernels_, flip=st.booleans(),
    layout=st.sampled_from(LAYOUTS), dtype=st.sampled_from(DTYPES),
    separable=st.booleans(), seed=st.integers(0, 99),
)  # fmt: skip
def test_kernels_agree_with_the_reference(device, size, up, down, padding, taps, flip, layout, dtype, separable, seed):
    """Any size, factor, padding, filter, layout and dtype: values and gradients."""
    torch.manual_seed(seed)
    f = torch.randn(taps) if isinstance(taps, tuple) else setup_filter(taps, separable=separable)
    x = torch.randn(size, device=device).to(dtype).contiguous(memory_format=layout).requires_grad_()
    arguments = (f.to(device), up, down, padding, flip, 1.5)
    try:
        expected = reference_upfirdn2d(x, *arguments)
    except ValueError:
        assume(False)
    made = upfirdn2d(x, *arguments)
    assert made.shape == expected.shape and made.dtype == dtype
    if made.numel() == 0:
        return
    # Sums of up to 81 products, then one rounding to 16 bits.
    scale = float(f.abs().sum() ** (2 if f.ndim == 1 else 1)) * 1.5 * float(x.detach().abs().max())
    error = scale * {torch.float64: 1e-14, torch.float32: 2e-6, torch.bfloat16: 2**-8, torch.float16: 2**-11}[dtype]
    torch.testing.assert_close(made, expected, rtol=0, atol=error)
    weights = torch.randn_like(made)
    ours, theirs = (torch.autograd.grad((y * weights).sum(), x)[0] for y in (made, expected))
    assert ours.stride() == x.stride() or 1 in (*x.shape, *made.shape)  # one pixel is of either layout
    torch.testing.assert_close(ours, theirs, rtol=0, atol=5 * error)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("resample", [filter2d, upsample2d, downsample2d])
@pytest.mark.parametrize("size", [(2, 128, 32, 32), (1, 3, 65, 130), (2, 600, 9, 17)])
def test_real_sizes(device, layout, resample, size):
    """Wider than a strip, more channels than a block, odd."""
    f = setup_filter([1, 3, 3, 1], device=device)
    x = torch.randn(size, device=device).contiguous(memory_format=layout)
    made, expected = resample(x, f), resample(x.double(), f.double()).float()
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-5)
    assert made.is_contiguous(memory_format=layout)


def test_outputs_too_large_for_the_caches(device):
    """They are written another way."""
    f = setup_filter([1, 3, 3, 1], device=device)
    for layout in LAYOUTS:
        for dtype, error in ((torch.float32, 1e-6), (torch.bfloat16, 2**-7)):
            x = torch.rand(1, 65, 301, 303, device=device).to(dtype).contiguous(memory_format=layout)
            torch.testing.assert_close(upsample2d(x, f), upsample2d(x.double(), f).to(dtype), rtol=0, atol=error)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("up", "down"), [(1, 1), (2, 1), (1, 2), (3, [2, 1])])
@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [[1.0, 2, 3], [4, 6, 5]]])
def test_derivatives(device, taps, up, down, layout):
    f = setup_filter(taps, device=device)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, device=device).contiguous(memory_format=layout).requires_grad_()

    def function(x):
        return upfirdn2d(x, f, up, down, [2, 1, 1, 2])

    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_torch_finds_no_fault_with_the_operator(device, layout):
    f = setup_filter([1, 3, 3, 1], device=device)
    x = torch.randn(2, 3, 6, 6, device=device).contiguous(memory_format=layout).requires_grad_()
    upfirdn2d(x, f)
    torch.library.opcheck(torch.ops.ganzoo.upfirdn2d, (x, f, 2, 2, 1, 1, 2, 1, 2, 1, False, 4.0))


def test_what_does_not_fit_is_refused(implementation):
    f, x = setup_filter([1, 3, 3, 1]), torch.randn(1, 1, 4, 4)
    with pytest.raises(ValueError, match="no pixel"):
        upfirdn2d(x, f, padding=-1)
    with pytest.raises(ValueError, match="at least 1"):
        upfirdn2d(x, f, up=0)
    with pytest.raises(ValueError, match="N, C, H, W"):
        upfirdn2d(x[0], f)
    with pytest.raises(ValueError, match="constant"):
        upfirdn2d(x, f.requires_grad_())


def test_a_derivative_that_is_zero_everywhere_is_read_as_zeros(implementation):
    """The second derivative of an absolute difference of filtered pictures has such a part, which has no memory."""
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    f = setup_filter([1, 3, 3, 1])
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(upsample2d(x * scale, f).abs().sum(), x, create_graph=True)
    (found,) = torch.autograd.grad(gradient.square().sum(), scale)
    # |scale y| has the derivative scale s, s being what it is for scale 1 and does not change with it.
    torch.testing.assert_close(found, 2 * gradient.detach().square().sum() / scale.detach())
