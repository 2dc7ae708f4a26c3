"""Bias, activation, gain and clamp in one pass over memory.

The operator and its arguments are those of Karras et al. 2020, Training Generative Adversarial Networks with Limited
Data, arXiv:2006.06676 (torch_utils/ops/bias_act.py of its code).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .registration import arithmetic, fused, operators, when_loaded


@dataclass(frozen=True)
class Activation:
    """An activation with its number in csrc/kernels/activation.h and its defaults.

    curvature: the derivative of its slope by its output, f'' / f'; None where that is zero (piecewise linear).
    keeps_input: the backward pass keeps the input, because the output does not tell the slope.
    """

    number: int
    function: Callable[[Tensor, float], Tensor]
    curvature: Callable[[Tensor], Tensor] | None = None
    alpha: float = 0.0
    gain: float = 1.0
    keeps_input: bool = False


ROOT2 = 2**0.5

ACTIVATIONS = {
    "linear": Activation(0, lambda x, _: x),
    "relu": Activation(1, lambda x, _: F.relu(x), gain=ROOT2),
    "lrelu": Activation(2, F.leaky_relu, alpha=0.2, gain=ROOT2),
    "tanh": Activation(3, lambda x, _: x.tanh(), lambda y: -2 * y),
    "sigmoid": Activation(4, lambda x, _: x.sigmoid(), lambda y: 1 - 2 * y),
    "elu": Activation(5, lambda x, _: F.elu(x), lambda y: (y < 0).to(y.dtype)),
    "selu": Activation(6, lambda x, _: F.selu(x), lambda y: (y < 0).to(y.dtype)),
    "softplus": Activation(7, lambda x, _: F.softplus(x, threshold=40), lambda y: torch.exp(-y)),
    "swish": Activation(8, lambda x, _: x * x.sigmoid(), gain=ROOT2, keeps_input=True),
}


def bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """clamp(act(x + b) * gain), with the shape, dtype and memory layout of x.

    x: any shape, float64, 32, 16 or bfloat16; computed in float32 (float64 for float64). b: [x.shape[dim]] or None.
    act: linear, relu, lrelu, tanh, sigmoid, elu, selu, softplus or swish. alpha: lrelu's slope below 0, else unused.
    gain: None is the activation's own, sqrt(2) for relu, lrelu and swish. clamp: None, or the largest magnitude.
    Raises ValueError for an unknown activation, a negative clamp, or a bias that does not fit.
    """
    kind, alpha, gain = _checked(x, b, dim, act, alpha, gain, clamp)
    if not _fused(x, act, alpha, gain):
        return reference_bias_act(x, b, dim, act, alpha, gain, clamp)
    b = None if b is None else b.to(arithmetic(x)).contiguous()
    limit = -1.0 if clamp is None else _representable(clamp, x.dtype)
    return operators().bias_act(x, b, dim % max(x.ndim, 1), kind.number, alpha, gain, limit)


def fused_leaky_relu(x: Tensor, b: Tensor | None = None, negative_slope: float = 0.2, scale: float = ROOT2) -> Tensor:
    """leaky_relu(x + b) * scale, the bias along dimension 1; StyleGAN2's activation."""
    return bias_act(x, b, act="lrelu", alpha=negative_slope, gain=scale)


def reference_bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """The same in plain PyTorch."""
    kind, alpha, gain = _checked(x, b, dim, act, alpha, gain, clamp)
    y = x.to(arithmetic(x))
    if b is not None:
        y = y + _along(b, y, dim % x.ndim)
    y = kind.function(y, alpha) * gain
    return (y if clamp is None else y.clamp(-clamp, clamp)).to(x.dtype)


def _checked(
    x: Tensor, b: Tensor | None, dim: int, act: str, alpha: float | None, gain: float | None, clamp: float | None
) -> tuple[Activation, float, float]:
    if act not in ACTIVATIONS:
        raise ValueError(f"act is one of {', '.join(ACTIVATIONS)}, got {act!r}")
    if clamp is not None and not clamp >= 0:
        raise ValueError(f"clamp must not be negative, got {clamp}")
    if b is not None and (b.ndim != 1 or not -x.ndim <= dim < x.ndim or b.shape[0] != x.shape[dim]):
        raise ValueError(f"the bias of x {tuple(x.shape)} along dim {dim} does not fit: it is {tuple(b.shape)}")
    kind = ACTIVATIONS[act]
    return kind, kind.alpha if alpha is None else float(alpha), kind.gain if gain is None else float(gain)


def _fused(x: Tensor, act: str, alpha: float, gain: float) -> bool:
    # The backward pass reads a leaky ReLU's sign off its output, which is the input's if its slope is not negative.
    readable = gain != 0 and not (act == "lrelu" and alpha < 0)
    return readable and fused(x)


def _representable(clamp: float, dtype: torch.dtype) -> float:
    """The clamp as the output can hold it: the backward pass compares outputs with it."""
    if clamp == 0 or math.isinf(clamp):
        return float(clamp)
    unit = torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(clamp))
    return round(clamp / unit) * unit


@when_loaded
def _register() -> None:
    ops = operators()
    library = torch.library
    library.register_fake("ganzoo::bias_act", lambda x, *_: torch.empty_like(x))

    @library.register_fake("ganzoo::bias_act_backward")
    def shapes(dy: Tensor, v: Any, kept: Tensor, b: Any, dim: int, *rest: Any) -> tuple[Tensor, Tensor]:
        channels = kept.shape[dim] if rest[-1] else 0
        return torch.empty_like(kept), kept.new_empty(channels, dtype=arithmetic(kept))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, b, *ctx.how = inputs
        keeps_input = _by_number(ctx.how[1]).keeps_input
        ctx.save_for_backward(x if keeps_input else output, b if keeps_input else None)

    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        kept, b = ctx.saved_tensors
        dx, db = ops.bias_act_backward(dy, None, kept, b, *ctx.how, ctx.needs_input_grad[1])
        nothing = (None,) * len(ctx.how)
        return dx, db if ctx.needs_input_grad[1] else None, *nothing

    library.register_autograd("ganzoo::bias_act", backward, setup_context=keep)

    def keep_backward(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        dy, v, kept, b, *ctx.how, _ = inputs
        ctx.save_for_backward(dy, v, kept, b)

    def backward_backward(ctx: Any, ddx: Tensor, ddb: Tensor) -> tuple[Any, ...]:
        """dx is linear in (dy + v): its derivative is the operator itself, with the bias's part as the new v."""
        dy, v, kept, b = ctx.saved_tensors
        needs_dy, needs_v, needs_kept, needs_b = ctx.needs_input_grad[:4]
        from_db = None if ddb is None or ddb.numel() == 0 else ddb.contiguous()
        g_dy = g_v = g_kept = g_b = None
        if needs_dy or needs_v:
            g_dy, g_v = ops.bias_act_backward(ddx, from_db, kept, b, *ctx.how, needs_v)
        if needs_kept or needs_b:
            at = ctx.how[0]
            total = ddx if from_db is None else ddx + _along(from_db, ddx, at)
            g_kept = _curved(dy if v is None else dy + _along(v, dy, at), kept, b, total, *ctx.how)
            if needs_b and g_kept is not None:
                g_b = g_kept.to(b.dtype).sum([d for d in range(dy.ndim) if d != at])
        nothing = (None,) * (len(ctx.how) + 1)
        return g_dy, g_v if needs_v else None, g_kept, g_b, *nothing

    library.register_autograd("ganzoo::bias_act_backward", backward_backward, setup_context=keep_backward)


def _by_number(number: int) -> Activation:
    return list(ACTIVATIONS.values())[number]


def _along(values: Tensor, x: Tensor, dim: int) -> Tensor:
    return values.to(x.dtype).reshape([-1 if d == dim else 1 for d in range(x.ndim)])


def _curved(
    dy: Tensor, kept: Tensor, b: Tensor | None, ddx: Tensor, dim: int, act: int, alpha: float, gain: float, clamp: float
) -> Tensor | None:
    """The derivative of sum(ddx * dx) by what was kept; None where it is zero.

    In plain PyTorch, from which derivatives of any further order follow: only second derivatives of smooth activations
    need it, and networks with gradient penalties are piecewise linear.
    """
    kind = _by_number(act)
    wide = kept.to(arithmetic(kept))
    if kind.keeps_input:  # swish
        wide = wide if b is None else wide + _along(b, wide, dim)
        share = wide.sigmoid()
        y = wide * share * gain
        second = gain * share * (1 - share) * (2 + wide * (1 - 2 * share))
    elif kind.curvature is not None:
        y, second = wide, kind.curvature(wide / gain)
    else:
        return None
    curved = dy * ddx * second
    return (curved if clamp < 0 else torch.where(y.abs() < clamp, curved, 0)).to(kept.dtype)
