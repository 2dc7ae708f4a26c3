"""Layers that the style-based GANs and the progressive GAN share.

Equalised learning rates, pixel norm, minibatch standard deviation: Karras et al. 2018, Progressive Growing of GANs,
arXiv:1710.10196, sections 3 and 4. Noise inputs: Karras et al. 2018, arXiv:1812.04948, section 2. Modulated convolution
and filtered resampling: Karras et al. 2019, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958,
section 2.2 and appendix B.
Mapping and mixing: arXiv:1812.04948, sections 2 and 3.1.

Weights are stored as N(0, 1) and scaled when they are used, so that Adam moves all layers alike. Parameters have the
shapes of the official networks, so that these map one to one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ganzoo import mean_over_processes, ops

FILTER = (1.0, 3.0, 3.0, 1.0)
_FOLLOW = 0.005  # how much of the mean style is new after a batch
NoiseMode = Literal["random", "const", "none"]


class Linear(nn.Linear):
    """A dense layer [N, inputs] -> [N, outputs] with an equalised learning rate, and an activation.

    The weight begins as N(0, 1) / rate and is multiplied by gain * rate / sqrt(inputs) when it is used, the bias by
    rate; so the layer learns `rate` times as fast as others. activation: one of `ops.bias_act`, with its own gain
    (sqrt(2) for lrelu). bias_start: what the bias is worth at first.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        activation: str = "linear",
        rate: float = 1.0,
        gain: float = 1.0,
        bias: bool = True,
        bias_start: float = 0.0,
    ):
        super().__init__(inputs, outputs, bias)
        nn.init.normal_(self.weight, std=1 / rate)
        if bias:
            nn.init.constant_(self.bias, bias_start / rate)
        self.weight_gain, self.rate, self.activation = gain * rate / math.sqrt(inputs), rate, activation

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias if self.bias is None or self.rate == 1 else self.bias * self.rate
        if self.activation == "linear":
            return F.linear(x, equalised(self), bias)
        return ops.bias_act(F.linear(x, equalised(self)), bias, act=self.activation)


class Conv(nn.Conv2d):
    """A convolution [N, inputs, H, W] with an equalised learning rate, filtered resampling by 2, and an activation.

    The weight begins as N(0, 1) and is multiplied by gain / sqrt(inputs * size^2) when it is used. up, down: 1 or 2;
    the map's size is kept otherwise. clamp: the largest magnitude of what comes out, or None. taps: of the filter.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        *,
        activation: str = "linear",
        gain: float = 1.0,
        up: int = 1,
        down: int = 1,
        bias: bool = True,
        clamp: float | None = None,
        taps: Sequence[float] = FILTER,
    ):
        super().__init__(inputs, outputs, size, padding=size // 2, bias=bias)
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.weight_gain = gain / math.sqrt(inputs * size**2)
        self.activation, self.up, self.down, self.clamp = activation, up, down, clamp
        self.register_buffer("filter", low_pass(taps), persistent=False)
        self.filter: Tensor

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """gain: what the result and its clamp are multiplied with."""
        x = convolve(x, equalised(self), self.filter, self.up, self.down)
        clamp = None if self.clamp is None else self.clamp * gain
        usual = math.sqrt(2) if self.activation in ("relu", "lrelu", "swish") else 1.0
        return ops.bias_act(x, self.bias, act=self.activation, gain=usual * gain, clamp=clamp)


class PixelNorm(nn.Module):
    """Divides each vector along dimension 1 by the root of its mean square."""

    def forward(self, x: Tensor) -> Tensor:
        return pixel_norm(x)


class MinibatchStdDev(nn.Module):
    """Adds maps with the standard deviation over a group of samples: [N, C, H, W] -> [N, C + features, H, W].

    Samples i, i + N / group, i + 2 N / group, ... are a group; the channels are cut into `features` equal parts, and
    each part's deviation, sqrt(variance + 1e-8), is averaged over its channels and over pixels. Where `group` does not
    divide N (the last samples of an evaluation), groups are of the largest number below it that does: samples of
    different sizes of group are never mixed, but a score then depends on N.
    """

    def __init__(self, group: int, features: int = 1):
        super().__init__()
        self.group, self.features = group, features

    def forward(self, x: Tensor) -> Tensor:
        count, channels, height, width = x.shape
        group = next(size for size in range(min(self.group, count), 0, -1) if count % size == 0)
        y = x.reshape(group, count // group, self.features, channels // self.features, height, width)
        y = (y - y.mean(0)).square().mean(0)
        y = (y + 1e-8).sqrt().mean((2, 3, 4))
        y = y[None, :, :, None, None].expand(group, -1, -1, height, width)
        return torch.cat([x, y.reshape(count, self.features, height, width)], 1)


class ModulatedConv(nn.Module):
    """A convolution whose weights a style scales for each sample: [N, inputs, H, W] and a style [N, style].

    An affine layer makes a scale for every input channel of the style (1 at first). demodulate: every output channel is
    divided by the norm of its scaled weights (arXiv:1912.04958, equation 3); else the weights have the equalised
    gain. up: 1 or 2. fused: scale the weights and convolve in groups, one a sample; else scale what goes in and what
    comes out of one convolution, which is the same number and quicker (see `modulated_conv`).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int,
        style: int,
        *,
        demodulate: bool = True,
        up: int = 1,
        fused: bool = False,
        taps: Sequence[float] = FILTER,
    ):
        super().__init__()
        self.affine = Linear(style, inputs, bias_start=1.0)
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.style_gain = 1.0 if demodulate else 1 / math.sqrt(inputs * size**2)
        self.demodulate, self.up, self.fused = demodulate, up, fused
        self.register_buffer("filter", low_pass(taps), persistent=False)
        self.filter: Tensor

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            scale = self.affine(style.to(self.weight.dtype)) * self.style_gain
        return modulated_conv(x, self.weight, scale, self.filter, self.demodulate, self.up, self.fused)


class Noise(nn.Module):
    """A map of noise, [N, 1, H, W] times a learned strength that begins at 0; with channels, one strength each.

    Called with how many samples and how: `random` draws from torch's generator, `const` is one map that is kept with
    the network, `none` is None.
    """

    def __init__(self, height: int, width: int, channels: int | None = None):
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(() if channels is None else (1, channels, 1, 1)))
        self.register_buffer("const", torch.randn(height, width))
        self.const: Tensor

    def forward(self, count: int, mode: NoiseMode = "random") -> Tensor | None:
        if mode == "none":
            return None
        if mode == "const":
            return self.const * self.strength
        drawn = torch.randn(count, 1, *self.const.shape, device=self.const.device, dtype=self.const.dtype)
        return drawn * self.strength


class Mapping(nn.Module):
    """Dense layers from a latent [N, latent] and a label to a style [N, style]; either may be absent (0).

    A label is a class [N] or the weights of the classes [N, classes]. Latent and embedded label are each brought to a
    mean square of 1. The layers learn at a hundredth of the rate.
    """

    def __init__(self, latent: int, classes: int, style: int, layers: int):
        super().__init__()
        self.latent, self.classes = latent, classes
        self.embed = Linear(classes, style) if classes else None
        sizes = [latent + (style if classes else 0), *[style] * layers]
        self.layers = nn.Sequential(
            *(Linear(before, after, activation="lrelu", rate=0.01) for before, after in pairwise(sizes))
        )

    def forward(self, latent: Tensor | None, label: Tensor | None) -> Tensor:
        parts = [] if latent is None else [pixel_norm(latent)]
        if self.embed is not None:
            assert label is not None
            weights = F.one_hot(label, self.classes) if label.ndim == 1 else label
            parts.append(pixel_norm(self.embed(weights.to(self.embed.weight.dtype))))
        styles: Tensor = self.layers(torch.cat(parts, 1))
        return styles


class Styles(Mapping):
    """The generator's mapping: one style for each of its layers, [N, count, style].

    While it trains it follows the mean style, and with the probability `mixing` a sample's layers from a random one on
    get the style of another latent (Karras et al. 2018, arXiv:1812.04948, section 3.1).

    used: how many of the layers are in use, which is fewer while a network grows.
    """

    def __init__(self, latent: int, classes: int, style: int, layers: int, count: int, mixing: float):
        super().__init__(latent, classes, style, layers)
        self.count = self.used = count
        self.mixing = mixing
        self.register_buffer("mean", torch.zeros(style))
        self.mean: Tensor

    def forward(self, latent: Tensor | None, label: Tensor | None = None) -> Tensor:
        assert latent is not None
        with torch.autocast(latent.device.type, enabled=False):
            if not self.training:
                return super().forward(latent, label)[:, None].expand(-1, self.count, -1)
            mixed = self.mixing > 0
            if mixed:  # both latents in one pass
                latent = torch.cat([latent, torch.randn_like(latent)])
                label = None if label is None else torch.cat([label, label])
            styles, *others = super().forward(latent, label).chunk(2 if mixed else 1)
        self._follow(styles)
        styles = styles[:, None].expand(-1, self.count, -1)
        return torch.where(self._crossed(styles), others[0][:, None], styles) if mixed else styles

    @torch.no_grad()
    def _follow(self, styles: Tensor) -> None:
        self.mean.lerp_(mean_over_processes(styles.mean(0)), _FOLLOW)

    def _crossed(self, styles: Tensor) -> Tensor:
        """Which layers of which samples get the other style, [N, count, 1]; the first layer never does."""
        draw, place = torch.rand(2, len(styles), 1, 1, device=styles.device)
        first = 1 + (place * (self.used - 1)).floor()
        layer = torch.arange(self.count, device=styles.device)[None, :, None]
        return (layer >= first) & (draw < self.mixing)


def equalised(layer: Any) -> Tensor:
    """The weight as it is used. One that is normalised anyhow (spectral norm) keeps its norm: a gain before the
    normalisation would change nothing, and behind it would undo it."""
    weight: Tensor = layer.weight
    return weight if parametrize.is_parametrized(layer, "weight") else weight * layer.weight_gain


def pixel_norm(x: Tensor, dim: int = 1) -> Tensor:
    """x divided by the root of its mean square along a dimension (plus 1e-8)."""
    return x * (x.square().mean(dim, keepdim=True) + 1e-8).rsqrt()


def low_pass(taps: Sequence[float]) -> Tensor:
    """A filter [taps, taps], the same along both axes, that keeps brightness. (As a matrix: quicker on a CPU.)"""
    return ops.setup_filter(taps, separable=False)


def convolve(x: Tensor, weight: Tensor, taps: Tensor, up: int = 1, down: int = 1, groups: int = 1) -> Tensor:
    """x [N, C, H, W] convolved with a weight [O, C / groups, k, k], k odd, at twice or half the size where asked.

    Filtering goes with it in the cheaper order: the convolution sees the small map where it can. A transposed
    convolution turns the weight round; that is how the official networks upsample, and their weights fit.
    """
    size, count = weight.shape[-1], len(taps)
    around = size // 2
    if up == 2 and size == 1:
        return ops.upsample2d(F.conv2d(x, weight, groups=groups), taps)
    if down == 2 and size == 1:
        return F.conv2d(ops.downsample2d(x, taps), weight, groups=groups)
    if up == 2:
        # From [groups * O', I', k, k] to the [groups * I', O', k, k] of a transposed convolution.
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        x = F.conv_transpose2d(x, turned, stride=2, groups=groups)
        before, after = (count + 1) // 2 + around - size + 1, (count - 2) // 2 + around - size + 2
        return ops.upfirdn2d(x, taps, padding=[before, after, before, after], gain=4)
    if down == 2:
        before, after = (count - 1) // 2 + around, (count - 2) // 2 + around
        x = ops.upfirdn2d(x, taps, padding=[before, after, before, after])
        return F.conv2d(x, weight, stride=2, groups=groups)
    return F.conv2d(x, weight, padding=around, groups=groups)


def modulated_conv(
    x: Tensor, weight: Tensor, scale: Tensor, taps: Tensor, demodulate: bool = True, up: int = 1, fused: bool = False
) -> Tensor:
    """x [N, I, H, W] convolved with weight [O, I, k, k] whose input channels are scaled for each sample by [N, I].

    Both forms give the same numbers and the same derivatives of any order. On a CPU the unfused one took 12 to 77 % of
    the fused one's time at every size that was measured (32 to 512 channels, 8 to 32 samples, with and without the
    backward pass): grouped convolutions cannot share the weights among samples.
    """
    bounded = demodulate and _sixteen_bit_floats(x.device.type)
    with torch.autocast(x.device.type, enabled=False):  # sums of many squares want full precision
        weight, scale = _bounded(weight, scale) if bounded else (weight, scale)
        norm = _demodulation(weight, scale) if demodulate else None
    if fused:
        return _grouped(x, weight, scale, norm, taps, up)
    x = convolve(x * scale.to(x.dtype)[:, :, None, None], weight, taps, up)
    return x if norm is None else x * norm.to(x.dtype)[:, :, None, None]


def _sixteen_bit_floats(device: str) -> bool:
    """Whether convolutions compute in float16, which ends at 65504."""
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device) == torch.float16


def _bounded(weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The same weight and scale, up to constants that demodulation takes out again, such that no sum overflows.

    The constants need no derivative, because the result does not depend on them.
    """
    inputs = weight[0].numel()
    largest = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-8)
    return weight / (largest * math.sqrt(inputs)), scale / scale.detach().abs().amax(1, keepdim=True).clamp_min(1e-8)


def _demodulation(weight: Tensor, scale: Tensor) -> Tensor:
    """What each output channel is multiplied with, [N, O]: one over the norm of its scaled weights."""
    scale = scale.to(weight.dtype)
    return (scale.square() @ weight.square().sum((2, 3)).t() + 1e-8).rsqrt()


def _grouped(x: Tensor, weight: Tensor, scale: Tensor, norm: Tensor | None, taps: Tensor, up: int) -> Tensor:
    count, inputs = scale.shape
    own = weight[None] * scale[:, None, :, None, None]
    own = own if norm is None else own * norm[:, :, None, None, None]
    x = convolve(x.reshape(1, count * inputs, *x.shape[2:]), own.flatten(0, 1).to(x.dtype), taps, up, groups=count)
    return x.reshape(count, -1, *x.shape[2:])
