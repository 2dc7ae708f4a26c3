"""The progressive GAN. Karras, Aila, Laine and Lehtinen 2018, Progressive Growing of GANs for Improved Quality,
Stability, and Variation, arXiv:1710.10196, and what other networks that grow share."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Recovered, Scores, Spec, Weights, hookimpl, ops
from ganzoo_plugins.architectures.stages import stages
from ganzoo_plugins.architectures.style_layers import Conv, Linear, MinibatchStdDev, equalised, pixel_norm

_MAKES = "progressive makes pictures of 16 to 1024 px"
LARGEST = 1024
Activation = Literal["linear", "lrelu"]


def shown(progress: float, levels: int) -> tuple[int, float]:
    """What networks of so many sizes show: the number of a size (0 is the smallest), and how far it has faded in,
    in (0, 1].

    progress: 1 is fully grown, 1 less is half the size; between two whole numbers the larger size fades in.
    """
    behind = min(max(0.0, 1.0 - progress), levels - 1.0)
    return levels - 1 - math.floor(behind), 1.0 - behind % 1.0


def channel_widths(base: tuple[int, int], doublings: int, channel_base: int | None, channel_max: int) -> list[int]:
    """Channels of the maps from the smallest, of `base` pixels, to the picture's: channel_base / side, at most
    channel_max. channel_base: none leaves 16 channels next to the picture, as published for 1024 px."""
    sides = [min(base) * 2**power for power in range(doublings + 1)]
    whole = 16 * sides[-1] if channel_base is None else channel_base
    return [max(1, min(channel_max, whole // side)) for side in sides]


def double(x: Tensor) -> Tensor:
    """Twice the size by nearest neighbours."""
    return F.interpolate(x, scale_factor=2)


class BoxConv(nn.Conv2d):
    """A 3x3 convolution behind nearest doubling, or in front of means of 2x2, and an activation; equalised as `Conv`.

    Both are computed as one convolution of 4x4 with a stride of 2, the weights summed over the four places where a
    pixel lies: the same numbers for 16 products a pixel in place of 36.
    """

    def __init__(self, inputs: int, outputs: int, *, up: bool, activation: Activation = "linear"):
        super().__init__(inputs, outputs, 3, padding=1)
        nn.init.normal_(self.weight)
        assert self.bias is not None
        nn.init.zeros_(self.bias)
        self.weight_gain, self.up, self.activation = 1 / math.sqrt(inputs * 9), up, activation

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(equalised(self), (1, 1, 1, 1))
        summed = padded[..., 1:, 1:] + padded[..., 1:, :-1] + padded[..., :-1, 1:] + padded[..., :-1, :-1]
        if self.up:  # a transposed convolution turns its weights round
            x = F.conv_transpose2d(x, summed.flip(2, 3).transpose(0, 1), stride=2, padding=1)
        else:
            x = F.conv2d(x, summed / 4, stride=2, padding=1)
        return ops.bias_act(x, self.bias, act=self.activation)


class Generator(nn.Module):
    """A latent [N, latent] is put on the sphere and becomes a picture; every vector of a map is put back on it.

    widths: channels of the maps, from the smallest, of `base` pixels, to the picture's. progress: see `shown`.
    """

    progress: float

    def __init__(self, latent: int, widths: list[int], channels: int, base: tuple[int, int]):
        super().__init__()
        self.progress, self.levels, self.base = 1.0, len(widths), base
        # A smaller first gain, from the authors' code; what follows it is normalised.
        self.dense = Linear(latent, widths[0] * base[0] * base[1], activation="lrelu", gain=0.25)
        self.first = Conv(widths[0], widths[0], 3, activation="lrelu")
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                (BoxConv(before, after, up=True, activation="lrelu"), Conv(after, after, 3, activation="lrelu"))
            )
            for before, after in pairwise(widths)
        )
        self.pictures = nn.ModuleList(Conv(width, channels, 1) for width in widths)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        level, share = shown(self.progress, self.levels)
        x = pixel_norm(self.dense(pixel_norm(latent)).unflatten(1, (-1, *self.base)))
        x = before = pixel_norm(self.first(x))
        for block in list(self.blocks)[:level]:
            before = x
            for layer in block:  # type: ignore[attr-defined]
                x = pixel_norm(layer(x))
        picture: Tensor = self.pictures[level](x)
        return picture if share == 1 else torch.lerp(double(self.pictures[level - 1](before)), picture, share)


class Discriminator(nn.Module):
    """Blocks that each halve a map, and an end that makes a score [N] of the smallest.

    pictures: what makes each size's first map of a picture. blocks: what leads from each size, but the smallest, to
    the next smaller one. Both from small to large. progress: see `shown`.
    """

    progress: float

    def __init__(self, pictures: list[nn.Module], blocks: list[nn.Module], end: nn.Sequential):
        super().__init__()
        self.progress, self.levels = 1.0, len(pictures)
        self.pictures, self.blocks, self.end = nn.ModuleList(pictures), nn.ModuleList(blocks), end

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        level, share = shown(self.progress, self.levels)
        x = self.pictures[level](images)
        for index in range(level, 0, -1):
            x = self.blocks[index - 1](x)
            if index == level and share < 1:
                x = torch.lerp(self.pictures[level - 1](F.avg_pool2d(images, 2)), x, share)
        return Scores(self.end(x).flatten())


def discriminator_end(width: int, base: tuple[int, int], group: int) -> nn.Sequential:
    """The smallest map, with its deviation over groups of samples unless `group` is 1, becomes one number."""
    return nn.Sequential(
        MinibatchStdDev(group) if group > 1 else nn.Identity(),
        Conv(width + (group > 1), width, 3, activation="lrelu"),
        nn.Flatten(),
        Linear(width * base[0] * base[1], width, activation="lrelu"),
        Linear(width, 1),
    )


def note_group(name: str, group: int, plan: Plan) -> None:
    """Say what gradient penalties are of, where there are any and scores meet."""
    if group > 1 and "per_sample_scores" in plan.needs:
        plan.notes.append(
            f"{name}: gradient penalties are of the sum of scores, which meet in the minibatch standard deviation, "
            f"as published; {name}:group=1 goes without it"
        )


def _discriminator(widths: list[int], channels: int, base: tuple[int, int], group: int) -> Discriminator:
    return Discriminator(
        [Conv(channels, width, 1, activation="lrelu") for width in widths],
        [
            nn.Sequential(
                Conv(after, after, 3, activation="lrelu"),
                Conv(after, before, 3, activation="lrelu"),
                nn.AvgPool2d(2),
            )
            for before, after in pairwise(widths)
        ],
        discriminator_end(widths[0], base, group),
    )


class ProgressiveGAN(Architecture):
    """Networks that grow: they begin with small pictures, and layers for larger ones fade in.

    Karras, Aila, Laine and Lehtinen 2018, arXiv:1710.10196: equalised learning rates and pixel norm (section 4),
    minibatch standard deviation (section 3), fading in (section 2, figure 2), the layers of table 2. They grow with
    `--procedure progressive`; any other procedure uses them fully grown. Pictures of 16 to 1024 pixels a side, square
    or not, any channels; the smallest map has 4 to 7 pixels on its shorter side. Latents are normal numbers, put on
    the sphere by the generator (also those of `--truncation`, which are cut first).

    Differs from the paper: no labels; narrower below 1024 px unless `channel_base` says 16384; the gain of leaky ReLUs
    stands behind them, so that biases learn 1.4 times as fast. Through the minibatch standard deviation the score of a
    sample depends a little on others of its group, and gradient penalties are of the sum of scores, as published; with
    `group=1` it depends on its own sample only.

    Args:
        latent: size of the latent.
        channel_base: channels times pixels of a map's shorter side; none: 16 times the picture's side, as published
            for 1024 px (16384).
        channel_max: most channels of a map.
        group: samples that share a minibatch standard deviation; 1: none.
    """

    name = "progressive"
    paper = "arXiv:1710.10196"
    needs = ("image",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores", "grows")
    suggests = {"rate": 1e-3, "beta1": 0.0, "beta2": 0.99, "average": 10_000.0, "average_ramp": 0.05}
    tiny = {"latent": 4, "channel_max": 4, "group": 2}

    def __init__(self, latent: int = 512, channel_base: int | None = None, channel_max: int = 512, group: int = 4):
        if min(latent, channel_max, group, 1 if channel_base is None else channel_base) < 1:
            raise ValueError("latent, channel_base, channel_max and group must be at least 1")
        self.latent_size, self.channel_base, self.channel_max, self.group = latent, channel_base, channel_max, group

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, LARGEST)
        note_group(self.name, self.group, plan)
        widths = channel_widths(base, doublings, self.channel_base, self.channel_max)
        return Networks.pair(
            Generator(self.latent_size, widths, channels, base), _discriminator(widths, channels, base, self.group)
        )

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (
            Official(
                "facebookresearch/pytorch_GAN_zoo models/networks/progressive_conv_net",
                _official_networks,
                _official_outputs,
                _official_name,
                recovered,
            ),
        )


# Recordings


def adopt(network: nn.Module, bias_gained: bool = False) -> None:
    """Put recorded weights on our scale: all of that code's layers have the gain sqrt(2 / inputs) and plain leaky
    ReLUs, ours gains of their own, and sqrt(2) behind leaky ReLUs. bias_gained: that code scales biases like weights.
    """
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, (Linear, Conv, BoxConv)) and layer.bias is not None:
                gain = math.sqrt(2 / layer.weight[0].numel())
                behind = math.sqrt(2) if layer.activation == "lrelu" else 1.0
                layer.weight.mul_(gain / (behind * layer.weight_gain))
                layer.bias.mul_((gain if bias_gained else 1.0) / (behind * getattr(layer, "rate", 1.0)))


class _NeighbouringStdDev(nn.Module):
    """Groups of neighbouring samples and their unbiased deviation, as pytorch_GAN_zoo has them."""

    def forward(self, x: Tensor) -> Tensor:
        group = 4 if len(x) % 4 == 0 else len(x)
        deviation = (x.unflatten(0, (-1, group)).var(1) + 1e-8).sqrt().flatten(1).mean(1)
        added = deviation.repeat_interleave(group)[:, None, None, None]
        return torch.cat([x, added.expand(-1, -1, *x.shape[2:])], 1)


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    widths, base = config["depths"], (4, 4)
    discriminator = _discriminator(widths, 3, base, 4)
    discriminator.end[0] = _NeighbouringStdDev()
    return {"G": Generator(config["latent"], widths, 3, base), "D": discriminator}


def _official_name(name: str) -> str:
    """`scaleLayers.0.1.module.weight` -> `blocks.0.1.weight`."""
    for theirs, ours in (
        (r"\.module\.", "."),
        (r"^formatLayer", "dense"),
        (r"^groupScale0\.0", "first"),
        (r"^scaleLayers", "blocks"),
        (r"^(to|from)RGBLayers", "pictures"),
        (r"^groupScaleZero\.0", "end.1"),
        (r"^groupScaleZero\.1", "end.3"),
        (r"^decisionLayer", "end.4"),
    ):
        name = re.sub(theirs, ours, name)
    return name


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """The recorded alpha is the weight of the smaller size."""
    outputs = {}
    for network in networks.values():
        adopt(network, bias_gained=True)
    for suffix, progress in (("", 1.0), ("_alpha04", 0.6)):
        for network in networks.values():
            network.progress = progress  # type: ignore[assignment]
        outputs["image" + suffix] = networks["G"](recorded["z"])
        outputs["logits" + suffix] = networks["D"](outputs["image" + suffix]).value
    return outputs


def recovered(weights: Weights) -> Recovered | None:
    """Fully grown networks of pytorch_GAN_zoo, on our scales. Raises ValueError for channels that no options give."""
    state = weights.states.get("G_ema") or weights.states.get("G") or {}
    if not {"formatLayer.module.weight", "groupScale0.0.module.weight"} <= set(state):
        return None
    doublings = sum(name.endswith(".1.module.weight") and name.startswith("scaleLayers.") for name in state)
    names = ["groupScale0.0", *(f"scaleLayers.{level}.1" for level in range(doublings))]
    widths = [len(state[f"{name}.module.weight"]) for name in names]
    base, most = max(width * 4 << level for level, width in enumerate(widths)), max(widths)
    if channel_widths((4, 4), doublings, base, most) != widths:
        raise ValueError(f"maps of {', '.join(map(str, widths))} channels follow from no channel_base and channel_max")
    end = weights.states.get("D", {}).get("groupScaleZero.0.module.weight")
    group = 1 if end is not None and end.shape[1] == widths[0] else 4
    options = {
        "latent": state["formatLayer.module.weight"].shape[1],
        "channel_base": base,
        "channel_max": most,
        "group": group,
    }
    side = 4 << doublings
    spec = Spec("image", (len(state["toRGBLayers.0.module.weight"]), side, side))
    built, states = ProgressiveGAN(**options).build(spec, Plan()), {}
    for name, held in weights.states.items():
        network = built.discriminator if name == "D" else built.generator
        network.load_state_dict({_official_name(theirs): value for theirs, value in held.items()})
        adopt(network, bias_gained=True)
        states[name] = {ours: value.clone() for ours, value in network.state_dict().items()}
    told = "the discriminator compares other samples with one another than in that code: those of a group lie apart"
    return Recovered(options, spec, states, (told,) if end is not None and group > 1 else ())


@hookimpl
def register_architectures(register: Any) -> None:
    register(ProgressiveGAN)
