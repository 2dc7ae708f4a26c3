"""The transformations of adaptive discriminator augmentation.
Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676, appendix B.

Every function takes pictures [N, C, H, W] and Chances, and gives back pictures of the same shape. A picture that no
transformation of a function was chosen for comes back as it was, bit for bit. Everything can be differentiated by the
pictures as often as one likes, and nothing waits for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo import ops

# Low-pass filters of two of Daubechies' least asymmetric wavelets.
SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)
SYM2 = (-0.12940952255092145, 0.22414386804185735, 0.836516303737469, 0.48296291314469025)
COLUMNS = 41  # uniform numbers that all transformations of a picture read
_POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)  # of a natural picture in the four bands


class Chances:
    """The random numbers of a batch, and what they decide.

    numbers: uniform in [0, 1), [N, COLUMNS]; each call reads the next column. strength: the probability of each
    transformation, a tensor [].
    """

    def __init__(self, numbers: Tensor, strength: Tensor):
        # Neither end of the open interval, where the normal distribution has no number.
        self.numbers, self.strength, self._read = numbers.clamp(2**-25, 1 - 2**-24), strength, 0

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        self._read += 1
        return self.numbers[:, self._read - 1] * (high - low) + low

    def normal(self, deviation: float) -> Tensor:
        return torch.special.ndtri(self.uniform()) * deviation

    def chosen(self, probability: Tensor | None = None) -> Tensor:
        """Which pictures are transformed, bool [N]."""
        return self.uniform() < (self.strength if probability is None else probability)

    def sometimes(self, value: Tensor, neutral: float) -> Tensor:
        """The value for the pictures that are chosen, and what changes nothing for the others."""
        return torch.where(self.chosen(), value, neutral)


# Pixel blitting and general geometric transformations: one resampling


def move(x: Tensor, chances: Chances, blit: bool = True, general: bool = True) -> Tensor:
    """Flips, quarter turns and shifts by whole pixels (blit); scaling, turning, stretching, and shifts (general).

    Pictures go on beyond their edges as in a mirror.
    """
    height, width = x.shape[2:]
    same = torch.eye(3, device=x.device, dtype=x.dtype)
    back = _blit(chances, height, width) if blit else same.expand(len(x), 3, 3)
    back = back @ _general(chances, height, width) if general else back
    return _where(x, (back != same).flatten(1).any(1), resample, back)


def _blit(chances: Chances, height: int, width: int) -> Tensor:
    """[N, 3, 3]: from places after to places before, in pixels from the middle."""
    flip = chances.sometimes(chances.uniform(high=2).floor(), 0)
    turns = chances.sometimes(chances.uniform(high=4).floor(), 0)
    shifted = chances.chosen()
    right, down = (torch.where(shifted, (chances.uniform(-0.125, 0.125) * side).round(), 0) for side in (width, height))
    # Exact quarter turns: the cosine of pi / 2 in floating point is not quite zero.
    cosine, sine = (turns == 0).to(turns.dtype) - (turns == 2).to(turns.dtype), (turns % 2) * (2 - turns)
    return _scaling(1 - 2 * flip, torch.ones_like(flip)) @ _matrix(cosine, -sine, sine, cosine) @ _shift(right, down)


def _general(chances: Chances, height: int, width: int) -> Tensor:
    """The same for scaling by 2^N(0, 0.2^2), any angle, stretching by 2^N(0, 0.2^2), another angle, and a shift by
    N(0, 0.125^2) of the side; the angles are chosen such that one of the two is with the probability asked for."""
    scale = chances.sometimes(torch.exp2(chances.normal(0.2)), 1)
    either = 1 - (1 - chances.strength).clamp(0, 1).sqrt()
    before, after = (
        torch.where(chances.chosen(either), chances.uniform(-math.pi, math.pi), 0) for _ in ("before", "after")
    )
    stretch = chances.sometimes(torch.exp2(chances.normal(0.2)), 1)
    shifted = chances.chosen()
    right, down = (torch.where(shifted, chances.normal(0.125) * side, 0) for side in (width, height))
    return (
        _scaling(1 / scale, 1 / scale)
        @ _rotation(before)
        @ _scaling(1 / stretch, stretch)
        @ _rotation(after)
        @ _shift(right, down)
    )


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrix(x, zero, zero, y)


def _rotation(angle: Tensor) -> Tensor:
    return _matrix(angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def _shift(right: Tensor, down: Tensor) -> Tensor:
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _matrix(one, zero, zero, one, -right, -down)


def _matrix(xx: Tensor, xy: Tensor, yx: Tensor, yy: Tensor, x: Tensor | None = None, y: Tensor | None = None) -> Tensor:
    zero, one = torch.zeros_like(xx), torch.ones_like(xx)
    rows = [xx, xy, zero if x is None else x, yx, yy, zero if y is None else y, zero, zero, one]
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def resample(x: Tensor, back: Tensor) -> Tensor:
    """Pictures whose pixel at q was at back @ q, [N, 3, 3], in pixels from the middle.

    At twice the size, between the low-pass filters of the wavelet sym6, which are orthogonal: nothing is lost where
    nothing moves.
    """
    sides = (x.shape[3], x.shape[2])
    taps = _filter(x.device)
    # As far as pictures are moved by whole pixels, and as the filters reach: there what is made is exact.
    edges = [min(len(taps) // 2 + math.ceil(side / 8), side - 1) for side in sides]
    large = ops.upsample2d(F.pad(x, [edges[0], edges[0], edges[1], edges[1]], mode="reflect"), taps)
    # Pixel i lies at 2 i in the large picture, as sym6 weighs; to make it, the filter reads from 2 i - 5 to 2 i + 6.
    before = len(taps) // 2 - 1
    places = [torch.arange(-before, 2 * side + before, device=x.device, dtype=x.dtype) / 2 for side in sides]
    across, down = torch.meshgrid(
        *(place - (side - 1) / 2 for place, side in zip(places, sides, strict=True)), indexing="xy"
    )
    there = back[:, :2, :2] @ torch.stack([across.flatten(), down.flatten()]) + back[:, :2, 2:]
    grid = []
    for axis, (side, edge) in enumerate(zip(sides, edges, strict=True)):
        place = there[:, axis] + (side - 1) / 2
        known = max(0, edge - len(taps) // 4)  # pixels beyond the edge that the filter made of pixels only
        inside = (place >= -known) & (place <= side - 1 + known)
        place = torch.where(inside, place, _mirrored(place, side))
        grid.append(4 * (place + edge) / (large.shape[3 - axis] - 1) - 1)
    moved: Tensor = _Sampling.apply(large, torch.stack(grid, -1).unflatten(1, across.shape))
    return ops.upfirdn2d(moved, taps, down=2, flip_filter=True)


@cache
def _filter(device: torch.device) -> Tensor:
    return ops.setup_filter(SYM6, device=device)


def _mirrored(place: Tensor, side: int) -> Tensor:
    """Places on an endless line as places in [0, side - 1], as in two mirrors that face each other."""
    period = 2 * (side - 1)
    along = place.remainder(period)
    return torch.minimum(along, period - along)


class _Sampling(torch.autograd.Function):
    """Bilinear sampling of a picture at a constant grid, which is linear: its derivative is `_Spreading`.

    (grid_sample itself has no second derivative before torch 2.13.)
    """

    @staticmethod
    def forward(context: Any, x: Tensor, grid: Tensor) -> Tensor:
        context.save_for_backward(grid)
        context.like = x.shape
        return F.grid_sample(x, grid, "bilinear", "border", align_corners=True)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (grid,) = context.saved_tensors
        spread: Tensor = _Spreading.apply(gradients[0], grid, context.like)
        return spread, None


class _Spreading(torch.autograd.Function):
    """The transpose of `_Sampling`; its derivative is `_Sampling` again."""

    @staticmethod
    def forward(context: Any, gradient: Tensor, grid: Tensor, like: Sequence[int]) -> Tensor:
        context.save_for_backward(grid)
        blank = gradient.new_zeros(1).expand(like)  # the values of the picture do not matter
        spread: Tensor = torch.ops.aten.grid_sampler_2d_backward(gradient, blank, grid, 0, 1, True, [True, False])[0]
        return spread

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (grid,) = context.saved_tensors
        sampled: Tensor = _Sampling.apply(gradients[0], grid)
        return sampled, None, None


# Colour: one matrix


def recolor(x: Tensor, chances: Chances) -> Tensor:
    """Brightness N(0, 0.2^2), contrast 2^N(0, 0.5^2), luma turned over, hue (three channels), saturation 2^N(0, 1).

    The luma axis is that of equal channels; with one channel there is nothing else, and hue and saturation do nothing.
    """
    channels = x.shape[1]
    brightness = chances.sometimes(chances.normal(0.2), 0)
    contrast = chances.sometimes(torch.exp2(chances.normal(0.5)), 1)
    over = chances.sometimes(chances.uniform(high=2).floor(), 0)
    hue = chances.sometimes(chances.uniform(-math.pi, math.pi), 0)
    saturation = chances.sometimes(torch.exp2(chances.normal(1.0)), 1)
    active = (brightness != 0) | (contrast != 1) | (over != 0) | (hue != 0) | (saturation != 1)
    same = torch.eye(channels, device=x.device, dtype=x.dtype)
    luma = torch.full_like(same, 1 / channels)
    brightness, contrast, over, hue, saturation = (
        value[:, None, None] for value in (brightness, contrast, over, hue, saturation)
    )
    change = contrast * (same - 2 * over * luma)
    if channels == 3:
        change = _turned(hue, luma) @ change
    change = (luma + (same - luma) * saturation) @ change
    offset = change.sum(2, keepdim=True) * brightness
    return _where(x, active, _recolored, change, offset)


def _turned(angle: Tensor, luma: Tensor) -> Tensor:
    """Rotations [N, 3, 3] around the luma axis (Rodrigues)."""
    same = torch.eye(3, device=luma.device, dtype=luma.dtype)
    cross = (same.roll(1, 0) - same.roll(1, 1)) / math.sqrt(3)  # the cross product with the axis
    return luma + angle.cos() * (same - luma) + angle.sin() * cross


def _recolored(x: Tensor, change: Tensor, offset: Tensor) -> Tensor:
    return torch.baddbmm(offset, change, x.flatten(2)).view(x.shape)


# Filtering in four bands


def refilter(x: Tensor, chances: Chances) -> Tensor:
    """Each of four bands of frequencies amplified by 2^N(0, 1), keeping the power of a natural picture."""
    drawn = torch.stack([chances.sometimes(torch.exp2(chances.normal(1.0)), 1) for _ in range(4)], 1)
    each = torch.diag_embed(drawn - 1) + 1  # [N, 4, 4]: row i amplifies band i alone
    rows, power = band_filters(x.device, x.dtype)
    each = each / (each.square() @ power[:, None]).sqrt()
    return _where(x, (drawn != 1).any(1), _refiltered, each.prod(1) @ rows)


def _refiltered(x: Tensor, taps: Tensor) -> Tensor:
    """Every picture filtered along both axes with its own taps [N, length]; edges are mirrors."""
    count, channels, height, width = x.shape
    reach = taps.shape[1] // 2
    rows, columns = (_mirrored(torch.arange(-reach, side + reach, device=x.device), side) for side in (height, width))
    x = x[:, :, rows][:, :, :, columns].reshape(1, count * channels, height + 2 * reach, width + 2 * reach)
    weights = taps.repeat_interleave(channels, 0)[:, None]
    x = F.conv2d(x, weights[:, :, None, :], groups=count * channels)
    x = F.conv2d(x, weights[:, :, :, None], groups=count * channels)
    return x.reshape(count, channels, height, width)


@cache
def band_filters(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Four filters [4, 43] whose sum is the identity, an octave each, the lowest first, by the wavelet sym2; and the
    power of a natural picture in each [4]."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1, -1, 1, -1])
    halves = [_correlation(taps, taps) / 2 for taps in (low, high)]  # they sum to the identity
    bank = torch.zeros(4, 1, dtype=torch.float64)
    bank[0] = 1
    for band in range(1, 4):
        spread = torch.zeros(4, 2 * bank.shape[1] - 1, dtype=torch.float64)
        spread[:, ::2] = bank  # an octave lower
        bank = torch.stack([_correlation(row, halves[0]) for row in spread])
        middle, reach = bank.shape[1] // 2, len(halves[1]) // 2
        bank[band, middle - reach : middle + reach + 1] += halves[1]
    return bank.to(device, dtype), torch.tensor(_POWER, device=device, dtype=dtype)


def _correlation(first: Tensor, second: Tensor) -> Tensor:
    """Of all shifts; with a symmetric second one, the convolution."""
    return F.conv1d(first[None, None], second[None, None], padding=len(second) - 1)[0, 0]


# Corruptions


def add_noise(x: Tensor, chances: Chances, noise: Tensor) -> Tensor:
    """Normal noise of a deviation that is |N(0, 0.1^2)|; noise: [N, C, H, W], standard normal."""
    deviation = chances.sometimes(chances.normal(0.1).abs(), 0)
    return _where(x, deviation > 0, torch.add, noise * deviation[:, None, None, None])


def cut(x: Tensor, chances: Chances) -> Tensor:
    """A rectangle of half the height and half the width, its middle anywhere in the picture, becomes zero."""
    chosen = chances.chosen()
    beside = [
        ((torch.arange(side, device=x.device) + 0.5) / side - chances.uniform()[:, None]).abs() >= 0.25
        for side in (x.shape[3], x.shape[2])
    ]
    keep = beside[0][:, None, None, :] | beside[1][:, None, :, None]
    return _where(x, chosen, torch.mul, keep)


def _where(x: Tensor, active: Tensor, change: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """x with the active pictures changed, the others bit for bit as they were. values: [N, ...] for `change`."""
    if x.device.type != "cpu":
        return _blended(x, active, change, *values)
    rows = active.nonzero().flatten()  # waits for nothing here, and saves the work on the rest
    if len(rows) in (0, len(x)):
        return change(x, *values) if len(rows) else x
    return x.index_copy(0, rows, change(x[rows], *(value[rows] for value in values)))


def _blended(x: Tensor, active: Tensor, change: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """The same without asking how many there are."""
    return torch.where(active[:, None, None, None], change(x, *values), x)
