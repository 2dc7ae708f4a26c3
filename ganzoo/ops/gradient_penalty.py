"""What a gradient penalty does around the two calls into the network, fused.

    x = between(real, fake, mix)
    gradient = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]
    loss = gradient_penalty(gradient, "two-sided", weight=10).mean()

Gulrajani et al. 2017, arXiv:1704.00028, equation 3; Mescheder, Geiger and Nowozin 2018, arXiv:1801.04406, equation 9.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .registration import arithmetic, fused, operators, solid, when_loaded

FORMS = ("squared", "two-sided", "one-sided")  # the order of Form in csrc/kernels/gradient_penalty.h


def between(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """real + mix * (fake - real): points on the lines between pairs of samples.

    real, fake: [N, ...] of one shape and dtype. mix: [N], shares of fake. Raises ValueError for other shapes.
    """
    _check_pair(real, fake, mix)
    if not fused(real):
        return reference_between(real, fake, mix)
    real = _dense(real)
    return operators().between(real, _like(fake, real), mix.to(arithmetic(real)).contiguous())


def reference_between(real: Tensor, fake: Tensor, mix: Tensor) -> Tensor:
    """The same in plain PyTorch."""
    _check_pair(real, fake, mix)
    wide = real.to(arithmetic(real))
    return (wide + _each(mix, wide) * (fake.to(wide.dtype) - wide)).to(real.dtype)


def gradient_penalty(gradient: Tensor, form: str = "two-sided", center: float = 1.0, weight: float = 1.0) -> Tensor:
    """What each sample's gradient costs: [N], in float32 (float64 for float64).

    gradient: [N, ...]; its norm is over all of a sample's values. form: `two-sided`, weight * (norm - center)^2;
    `one-sided`, the same where the norm is above the center, else 0; `squared`, weight * norm^2 (R1 and R2 with
    weight gamma / 2). The derivative is finite everywhere, 0 at a zero gradient.
    Raises ValueError for an unknown form.
    """
    number = _number(form)
    if not fused(gradient):
        return reference_gradient_penalty(gradient, form, center, weight)
    value, _ = operators().gradient_penalty(_dense(gradient), number, float(center), float(weight))
    return value


def reference_gradient_penalty(
    gradient: Tensor, form: str = "two-sided", center: float = 1.0, weight: float = 1.0
) -> Tensor:
    """The same in plain PyTorch."""
    number = _number(form)
    squared = gradient.to(arithmetic(gradient)).flatten(1).square().sum(1)
    if number == 0:
        return weight * squared
    zero = squared == 0
    norm = torch.where(zero, 1, squared).sqrt() * ~zero  # the root's derivative is infinite at 0
    distance = norm - center
    return weight * (distance.relu() if number == 2 else distance) ** 2


def _number(form: str) -> int:
    if form not in FORMS:
        raise ValueError(f"form is one of {', '.join(FORMS)}, got {form!r}")
    return FORMS.index(form)


def _check_pair(real: Tensor, fake: Tensor, mix: Tensor) -> None:
    if real.shape != fake.shape or real.dtype != fake.dtype or mix.shape != real.shape[:1]:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (real, fake, mix))
        raise ValueError(f"real and fake are [N, ...] of one shape and dtype and mix is [N], got {shapes}")


def _dense(x: Tensor) -> Tensor:
    """x, or a copy of it, whose samples are blocks of memory one after the other."""
    x = solid(x)
    last = x.ndim == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return x if last else x.contiguous()


def _like(x: Tensor, like: Tensor) -> Tensor:
    """x in the memory layout of `like`, which comes from `_dense`."""
    return x.contiguous(memory_format=torch.contiguous_format if like.is_contiguous() else torch.channels_last)


@when_loaded
def _register() -> None:
    ops, library = operators(), torch.library

    @library.register_fake("ganzoo::gradient_penalty")
    def shapes(g: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        return g.new_empty(len(g), dtype=arithmetic(g)), g.new_empty(len(g), dtype=arithmetic(g))

    library.register_fake("ganzoo::gradient_penalty_backward", lambda g, *_: torch.empty_like(g))
    library.register_fake("ganzoo::between", lambda real, *_: torch.empty_like(real))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.set_materialize_grads(False)
        g, *ctx.how = inputs
        ctx.save_for_backward(g, output[1])

    def backward(ctx: Any, dvalue: Tensor | None, dslope: Tensor | None) -> tuple[Any, ...]:
        g, slope = ctx.saved_tensors
        dg = None if dvalue is None else ops.gradient_penalty_backward(g, dvalue.contiguous(), slope)
        if dslope is not None:  # only in derivatives of derivatives: nobody else sees the slope
            bent = 2 * _each(dslope * _slope_derivative(g, *ctx.how), g) * g
            dg = bent if dg is None else dg + bent
        return dg, None, None, None

    library.register_autograd("ganzoo::gradient_penalty", backward, setup_context=keep)

    def keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    def backward_backward(ctx: Any, ddg: Tensor) -> tuple[Any, ...]:
        g, dvalue, slope = ctx.saved_tensors
        product = 2 * (ddg.to(slope.dtype) * g.to(slope.dtype)).flatten(1).sum(1)
        dg = ops.gradient_penalty_backward(_like(ddg, g), dvalue, slope)
        return dg, product * slope, product * dvalue

    library.register_autograd("ganzoo::gradient_penalty_backward", backward_backward, setup_context=keep_backward)

    def keep_mix(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(*inputs)

    def backward_between(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        real, fake, mix = ctx.saved_tensors
        to_fake = _each(mix, dy) * dy
        dmix = (dy * (fake - real)).flatten(1).sum(1).to(mix.dtype) if ctx.needs_input_grad[2] else None
        return dy - to_fake, to_fake, dmix

    library.register_autograd("ganzoo::between", backward_between, setup_context=keep_mix)


def _slope_derivative(g: Tensor, form: int, center: float, weight: float) -> Tensor:
    """The derivative [N] of the slope with respect to the squared norm; 0 where that is 0."""
    squared = g.to(arithmetic(g)).flatten(1).square().sum(1)
    bends = (squared > (center**2 if form == 2 else 0)) & (form != 0)
    return torch.where(bends, 0.5 * weight * center * torch.where(bends, squared, 1) ** -1.5, 0)


def _each(values: Tensor, x: Tensor) -> Tensor:
    """Values [N] to be multiplied with samples [N, ...], in their dtype."""
    return values.to(x.dtype).reshape(-1, *[1] * (x.ndim - 1))
