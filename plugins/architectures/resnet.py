"""Residual networks. Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957,
appendix B.4, after Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028, appendix."""

from __future__ import annotations

import math
import re
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Scores, Spec, hookimpl
from ganzoo_plugins.architectures.stages import stages
from ganzoo_plugins.regularizers.spectral_norm import SpectralNorm

_MAKES = "resnet makes pictures of 16 to 128 px (published: 32, 48, 64 and 128)"
Form = Literal["paper", "mimicry"]
Pooling = Literal["sum", "mean"]


class GeneratorBlock(nn.Module):
    """Doubles a map: norm, ReLU, upsampling, convolution, norm, ReLU, convolution; beside it an upsampled 1x1."""

    def __init__(self, inputs: int, outputs: int, form: Form):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.conv1, self.conv2 = _conv(inputs, outputs, 3), _conv(outputs, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest" if form == "paper" else "bilinear")

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(self.upsample(F.relu(self.norm1(x))))
        h = self.conv2(F.relu(self.norm2(h)))
        # A 1x1 convolution and upsampling commute, and this order costs a quarter.
        doubled: Tensor = self.upsample(self.shortcut(x))
        return h + doubled


class DiscriminatorBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, and 2x2 means when it halves; the first block has no ReLU before it."""

    def __init__(self, inputs: int, outputs: int, *, first: bool, halves: bool, form: Form):
        super().__init__()
        hidden = outputs if first else inputs
        self.conv1, self.conv2 = _conv(inputs, hidden, 3), _conv(hidden, outputs, 3)
        self.shortcut = _conv(inputs, outputs, 1) if halves or inputs != outputs else nn.Identity()
        self.first, self.form = first, form
        self.pool = nn.AvgPool2d(2, ceil_mode=True) if halves else nn.Identity()  # ceil: an odd edge counts too

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.first else F.relu(x)
        beside = x if self.form == "paper" else h
        h = self.conv2(F.relu(self.conv1(h)))
        added: Tensor = self.pool(h) + self.shortcut(self.pool(beside))
        return added


class Generator(nn.Module):
    """A latent [N, latent] becomes a small map by one dense layer, and blocks double it to a picture in [-1, 1]."""

    def __init__(self, latent: int, widths: list[int], channels: int, base: tuple[int, int], form: Form = "paper"):
        super().__init__()
        dense = nn.Linear(latent, widths[0] * base[0] * base[1])
        _initialise(dense, 1.0)
        blocks = [GeneratorBlock(before, after, form) for before, after in pairwise(widths)]
        self.stages = nn.Sequential(nn.Sequential(dense, nn.Unflatten(1, (widths[0], *base))), *blocks)
        self.ending = nn.Sequential(
            nn.BatchNorm2d(widths[-1]), nn.ReLU(True), _conv(widths[-1], channels, 3, gain=1.0), nn.Tanh()
        )

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        images: Tensor = self.ending(self.stages(latent))
        return images


class Discriminator(nn.Module):
    """Blocks, the first `halvings` of which halve the picture; the sum or mean over the map; one dense layer: [N]."""

    def __init__(self, widths: list[int], channels: int, halvings: int, form: Form = "paper", pooling: Pooling = "sum"):
        super().__init__()
        self.stages = nn.Sequential(
            *(
                DiscriminatorBlock(before, after, first=index == 0, halves=index < halvings, form=form)
                for index, (before, after) in enumerate(pairwise([channels, *widths]))
            )
        )
        self.score, self.pooling = nn.Linear(widths[-1], 1), pooling
        self.feature_size = widths[-1]
        _initialise(self.score, 1.0)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        h = F.relu(self.stages(images))
        h = h.sum((2, 3)) if self.pooling == "sum" else h.mean((2, 3))
        return Scores(self.score(h).flatten(), features=h)


class ResNet(Architecture):
    """Residual blocks in both networks, normalised in the generator only.

    Miyato et al. 2018, arXiv:1802.05957, appendix B.4; the paper's discriminator is this one with `spectral-norm`.
    Gulrajani et al. 2017, arXiv:1704.00028: 32 px with widths of 128 and `pooling=mean`. Pictures of 16 to 128 pixels
    a side, square or not, any channels: below 48 px (the shorter side) the layers of the paper's 32 px, then those of
    48, of 64 and of 128 px; the 64 px form is that of the authors' code.

    Differs from the paper: not conditional; `class-norm` and `projection` make it so. The unconditional score has a
    bias.

    Args:
        latent: size of the latent.
        generator_width: channels next to the picture, doubled (up to 16 times) towards the latent, but at every layer
            the same below 48 px; none: as published, 256 below 48 px, else 64.
        discriminator_width: the same for the discriminator; none: as published, 128 below 48 px, else 64.
        pooling: how the last map becomes one number a channel; mean is that of WGAN-GP.
        form: mimicry is the form of kwotsin/mimicry, whose numbers are often quoted: bilinear upsampling, and
            shortcuts of the discriminator that see the rectified input.
    """

    name = "resnet"
    paper = "arXiv:1802.05957"
    needs = ("image",)
    offers = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "unconditional_score",
        "batch_norm_generator",
    )
    suggests = {"rate": 2e-4, "beta1": 0.0, "beta2": 0.9}
    tiny = {"latent": 4, "generator_width": 4, "discriminator_width": 4}

    def __init__(
        self,
        latent: int = 128,
        generator_width: int | None = None,
        discriminator_width: int | None = None,
        pooling: Pooling = "sum",
        form: Form = "paper",
    ):
        widths = (generator_width, discriminator_width)
        if any(value is not None and value < 1 for value in (latent, *widths)):
            raise ValueError("latent and widths must be at least 1")
        self.latent_size, self.widths, self.pooling, self.form = latent, widths, pooling, form

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES)
        wide, narrow, halvings = _layers(min(height, width), doublings, *self.widths)
        generator = Generator(self.latent_size, wide, channels, base, self.form)
        return Networks.pair(generator, Discriminator(narrow, channels, halvings, self.form, self.pooling))

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return tuple(
            Official(
                f"torch_mimicry/nets/sngan/sngan_{size}",
                partial(_official_networks, size),
                _official_outputs,
                _official_name,
            )
            for size in (32, 48, 64, 128)
        )


def _layers(
    side: int, doublings: int, generator: int | None, discriminator: int | None
) -> tuple[list[int], list[int], int]:
    """Channels of the generator's maps and of the discriminator's blocks, and how many of the blocks halve."""
    if side < 48:
        return [generator or 256] * (doublings + 1), [discriminator or 128] * 4, 2
    wide = [(generator or 64) * min(16, 2**power) for power in range(doublings, -1, -1)]
    narrow = [(discriminator or 64) * min(16, 2**power) for power in range(max(5, doublings + 1))]
    return wide, narrow, min(5, doublings + 1)


def _conv(inputs: int, outputs: int, size: int, gain: float | None = None) -> nn.Conv2d:
    """A convolution that keeps the map's size; in front of a ReLU's output it begins larger."""
    conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    _initialise(conv, gain or (math.sqrt(2) if size == 3 else 1.0))
    return conv


def _initialise(layer: nn.Conv2d | nn.Linear, gain: float) -> None:
    nn.init.xavier_uniform_(layer.weight, gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _official_networks(size: int, config: dict[str, Any]) -> dict[str, nn.Module]:
    """The recorded `ngf` and `ndf` are the widths of the widest layer."""
    base, doublings = stages(size, size, _MAKES)
    widest_generator, widest_discriminator, _ = _layers(size, doublings, 1, 1)
    widths = config["ngf"] // max(widest_generator), config["ndf"] // max(widest_discriminator)
    wide, narrow, halvings = _layers(size, doublings, *widths)
    networks = Networks.pair(
        Generator(config["nz"], wide, 3, base, "mimicry"), Discriminator(narrow, 3, halvings, "mimicry")
    )
    SpectralNorm().prepare(networks)
    return {"G": networks.generator, "D": networks.discriminator}


def _official_name(name: str) -> str:
    """`block2.c1.weight_u` -> `stages.1.conv1.parametrizations.weight.0._u`."""
    name = re.sub(r"^block(\d)", lambda found: f"stages.{int(found[1]) - 1}", name)
    for theirs, ours in (
        (r"^l1\.", "stages.0.0."),
        (r"^l\d\.", "score."),
        (r"^b\d\.", "ending.0."),
        (r"^c\d\.", "ending.2."),
        (r"\.c_sc\.", ".shortcut."),
        (r"\.c(\d)\.", r".conv\1."),
        (r"\.b(\d)\.", r".norm\1."),
        (r"weight_orig$", "parametrizations.weight.original"),
        (r"weight_([uv])$", r"parametrizations.weight.0._\1"),
    ):
        name = re.sub(theirs, ours, name)
    return name


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    image = networks["G"].eval()(recorded["z"])
    return {"image": image, "logits": networks["D"].eval()(image).value}


@hookimpl
def register_architectures(register: Any) -> None:
    register(ResNet)
