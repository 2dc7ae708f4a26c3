"""Upsample, pad, filter and downsample pictures in one pass over memory.

The operator and its arguments are those of Karras et al. 2019, Analyzing and Improving the Image Quality of StyleGAN,
arXiv:1912.04958 (torch_utils/ops/upfirdn2d.py of its authors' PyTorch code).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .registration import arithmetic, fused, operators, solid, when_loaded

Factor = int | Sequence[int]


def setup_filter(
    f: Tensor | Sequence[Any] | float | None,
    device: torch.device | str = "cpu",
    normalize: bool = True,
    flip_filter: bool = False,
    gain: float = 1,
    separable: bool | None = None,
) -> Tensor:
    """A filter for the functions below: float32, [height, width], or [taps] for the same filter along both axes.

    f: one number, a list of taps or a matrix; None is the identity. normalize: make it sum to 1. gain: of the whole
    picture. separable: keep a list as it is; None does so for 8 taps and more, and makes a matrix of shorter ones.
    """
    taps = torch.as_tensor(1 if f is None else f, dtype=torch.float32)
    if taps.ndim > 2 or taps.numel() == 0:
        raise ValueError(f"a filter is a number, a list or a matrix, got the shape {tuple(taps.shape)}")
    taps = taps.reshape(1) if taps.ndim == 0 else taps
    if separable is None:
        separable = taps.ndim == 1 and taps.numel() >= 8
    if taps.ndim == 1 and not separable:
        taps = torch.outer(taps, taps)
    if separable and taps.ndim != 1:
        raise ValueError("a separable filter is given as one list of taps")
    taps = taps / taps.sum() if normalize else taps
    taps = taps.flip(list(range(taps.ndim))) if flip_filter else taps
    return (taps * gain ** (taps.ndim / 2)).to(device)


def upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """Put up - 1 zeros after each pixel, pad, filter, keep every down-th pixel.

    x: [N, C, H, W], any float dtype, contiguous or channels-last (kept); computed in float32 (float64 for float64).
    f: from `setup_filter`, or None. up, down: one factor, or [x, y]. padding: one number, [x, y], or
    [x before, x after, y before, y after], in pixels of the upsampled picture; negative crops. flip_filter: False is a
    convolution, True a correlation. The result has (H * up + padding - taps) // down + 1 rows.
    Raises ValueError for arguments that do not fit and when no pixel would be left.
    """
    f, numbers = _checked(x, f, up, down, padding)
    if not fused(x):
        return _reference(x, f, numbers, flip_filter, gain)
    if not (x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)):
        x = x.contiguous()
    return operators().upfirdn2d(x, f.to(arithmetic(x)).contiguous(), *numbers, flip_filter, float(gain))


def filter2d(x: Tensor, f: Tensor | None, padding: Factor = 0, flip_filter: bool = False, gain: float = 1) -> Tensor:
    """Filter pictures, their size kept; padding is what is added to that."""
    x0, x1, y0, y1 = _padding(padding)
    width, height = _size(f)
    around = [x0 + width // 2, x1 + (width - 1) // 2, y0 + height // 2, y1 + (height - 1) // 2]
    return upfirdn2d(x, f, padding=around, flip_filter=flip_filter, gain=gain)


def upsample2d(
    x: Tensor, f: Tensor | None, up: Factor = 2, padding: Factor = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """Pictures `up` times as large, of the same brightness."""
    x0, x1, y0, y1 = _padding(padding)
    (up_x, up_y), (width, height) = _pair(up), _size(f)
    around = [
        x0 + (width + up_x - 1) // 2,
        x1 + (width - up_x) // 2,
        y0 + (height + up_y - 1) // 2,
        y1 + (height - up_y) // 2,
    ]
    return upfirdn2d(x, f, up=up, padding=around, flip_filter=flip_filter, gain=gain * up_x * up_y)


def downsample2d(
    x: Tensor, f: Tensor | None, down: Factor = 2, padding: Factor = 0, flip_filter: bool = False, gain: float = 1
) -> Tensor:
    """Pictures a `down`-th as large."""
    x0, x1, y0, y1 = _padding(padding)
    (down_x, down_y), (width, height) = _pair(down), _size(f)
    around = [
        x0 + (width - down_x + 1) // 2,
        x1 + (width - down_x) // 2,
        y0 + (height - down_y + 1) // 2,
        y1 + (height - down_y) // 2,
    ]
    return upfirdn2d(x, f, down=down, padding=around, flip_filter=flip_filter, gain=gain)


def reference_upfirdn2d(
    x: Tensor,
    f: Tensor | None,
    up: Factor = 1,
    down: Factor = 1,
    padding: Factor = 0,
    flip_filter: bool = False,
    gain: float = 1,
) -> Tensor:
    """The same as `upfirdn2d` in plain PyTorch."""
    f, numbers = _checked(x, f, up, down, padding)
    return _reference(x, f, numbers, flip_filter, gain)


def _reference(x: Tensor, f: Tensor, numbers: list[int], flip: bool, gain: float) -> Tensor:
    up_x, up_y, down_x, down_y, *padding = numbers
    samples, channels, height, width = x.shape
    wide = x.to(arithmetic(x)).reshape(samples, channels, height, 1, width, 1)
    wide = F.pad(wide, [0, up_x - 1, 0, 0, 0, up_y - 1]).reshape(samples, channels, height * up_y, width * up_x)
    wide = F.pad(wide, [max(number, 0) for number in padding])
    crop = [max(-number, 0) for number in padding]
    wide = wide[..., crop[2] : wide.shape[2] - crop[3], crop[0] : wide.shape[3] - crop[1]]
    taps = f.to(wide.dtype) if flip else f.to(wide.dtype).flip(list(range(f.ndim)))
    taps = (torch.outer(taps, taps) if taps.ndim == 1 else taps) * gain
    planes = wide.reshape(samples * channels, 1, *wide.shape[2:])
    kept = F.conv2d(planes, taps[None, None], stride=(down_y, down_x))
    out = kept.reshape(samples, channels, *kept.shape[2:]).to(x.dtype)
    return out.contiguous(memory_format=_format(x))


def _format(x: Tensor) -> torch.memory_format:
    last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _checked(x: Tensor, f: Tensor | None, up: Factor, down: Factor, padding: Factor) -> tuple[Tensor, list[int]]:
    """The filter, and [up x, up y, down x, down y, four paddings]."""
    if x.ndim != 4:
        raise ValueError(f"x is [N, C, H, W], got the shape {tuple(x.shape)}")
    f = x.new_ones(1, dtype=arithmetic(x)) if f is None else f
    if f.ndim not in (1, 2) or f.numel() == 0 or f.requires_grad:
        raise ValueError("the filter is [taps] or [height, width] and a constant: make it with setup_filter")
    numbers = [*_pair(up), *_pair(down), *_padding(padding)]
    if min(numbers[:4]) < 1:
        raise ValueError(f"up and down are at least 1, got {numbers[:2]} and {numbers[2:4]}")
    if min(_output_size(x, f, *numbers)) < 1:
        raise ValueError(f"no pixel would be left of {tuple(x.shape)} with padding {numbers[4:]} and the filter")
    return f, numbers


def _output_size(
    x: Tensor, f: Tensor, up_x: int, up_y: int, down_x: int, down_y: int, x0: int, x1: int, y0: int, y1: int
) -> tuple[int, int]:
    """Height and width of the result."""
    height = (x.shape[2] * up_y + y0 + y1 - f.shape[0] + down_y) // down_y
    return height, (x.shape[3] * up_x + x0 + x1 - f.shape[-1] + down_x) // down_x


def _pair(factor: Factor) -> tuple[int, int]:
    x, y = (factor, factor) if isinstance(factor, int) else factor
    return int(x), int(y)


def _padding(padding: Factor) -> tuple[int, int, int, int]:
    if isinstance(padding, int):
        return padding, padding, padding, padding
    if len(padding) == 2:
        return padding[0], padding[0], padding[1], padding[1]
    x0, x1, y0, y1 = padding
    return int(x0), int(x1), int(y0), int(y1)


def _size(f: Tensor | None) -> tuple[int, int]:
    """Width and height of a filter."""
    return (1, 1) if f is None else (f.shape[-1], f.shape[0])


@when_loaded
def _register() -> None:
    ops = operators()

    @torch.library.register_fake("ganzoo::upfirdn2d")
    def shapes(x: Tensor, f: Tensor, *rest: Any) -> Tensor:
        size = (*x.shape[:2], *_output_size(x, f, *rest[:8]))
        return x.new_empty(size).contiguous(memory_format=_format(x))

    def keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, f, *ctx.how = inputs
        ctx.size = x.shape[2:]
        ctx.output_size = output.shape[2:]
        ctx.last = _format(x)
        ctx.save_for_backward(f)

    def backward(ctx: Any, dy: Tensor) -> tuple[Any, ...]:
        """The transpose of the operator is the operator: factors swapped, the filter turned round."""
        (f,) = ctx.saved_tensors
        up_x, up_y, down_x, down_y, x0, _, y0, _, flip, gain = ctx.how
        (height, width), (out_height, out_width) = ctx.size, ctx.output_size
        taps_x, taps_y = f.shape[-1], f.shape[0]
        padding = (
            taps_x - x0 - 1,
            width * up_x - out_width * down_x + x0 - up_x + 1,
            taps_y - y0 - 1,
            height * up_y - out_height * down_y + y0 - up_y + 1,
        )
        dy = solid(dy).contiguous(memory_format=ctx.last)
        dx = ops.upfirdn2d(dy, f, down_x, down_y, up_x, up_y, *padding, not flip, gain)
        return dx, None, *(None,) * len(ctx.how)

    torch.library.register_autograd("ganzoo::upfirdn2d", backward, setup_context=keep)
