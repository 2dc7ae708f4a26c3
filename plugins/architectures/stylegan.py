"""StyleGAN. Karras, Laine and Aila 2018, A Style-Based Generator Architecture for Generative Adversarial Networks,
arXiv:1812.04948, section 2 and appendix C."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Spec, hookimpl, ops
from ganzoo_plugins.architectures.progressive import (
    LARGEST,
    BoxConv,
    Discriminator,
    adopt,
    channel_widths,
    discriminator_end,
    double,
    note_group,
    shown,
)
from ganzoo_plugins.architectures.stages import stages
from ganzoo_plugins.architectures.style_layers import Conv, Linear, Noise, NoiseMode, Styles, low_pass

_MAKES = "stylegan makes pictures of 16 to 1024 px"


class Blur(nn.Module):
    """Filters a map with [1, 2, 1] along both axes, its size kept."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass((1, 2, 1)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return ops.filter2d(x, self.filter)


class StyledLayer(nn.Module):
    """What makes a map, then noise, leaky ReLU, and normalisation to a mean and a deviation that the style gives.

    make: a convolution, with a blur behind it where it doubles; or nothing, for the learned first map.
    """

    def __init__(self, make: nn.Module, width: int, style: int, size: tuple[int, int]):
        super().__init__()
        self.make, self.noise, self.style = make, Noise(*size, channels=width), Linear(style, 2 * width)
        self.epsilon = 1e-8
        with torch.no_grad():
            assert self.style.bias is not None
            self.style.bias[:width] = 1

    def forward(self, x: Tensor, style: Tensor, noise: NoiseMode | Tensor) -> Tensor:
        x = self.make(x)
        drawn = noise * self.noise.strength if isinstance(noise, Tensor) else self.noise(len(x), noise)
        x = F.leaky_relu(x if drawn is None else x + drawn.to(x.dtype), 0.2)
        scale, shift = self.style(style)[:, :, None, None].chunk(2, 1)
        return adaptive_instance_norm(x, scale, shift, self.epsilon)


def adaptive_instance_norm(x: Tensor, scale: Tensor, shift: Tensor, epsilon: float = 1e-8) -> Tensor:
    """x [N, C, H, W] with the mean `shift` and the deviation `scale`, [N, C, 1, 1], in each channel of each sample
    (equation 1). epsilon: is added to the variance that x is divided by the root of."""
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    scale = (scale * (variance + epsilon).rsqrt()).to(x.dtype)
    return x * scale + (shift.to(x.dtype) - mean * scale)


class Synthesis(nn.Module):
    """Styles [N, 2 * sizes, style] become a picture: a learned map, doubled again and again, styled after every layer.

    widths: channels of the maps, from the smallest, of `base` pixels, to the picture's. progress: see `shown`; where
    sizes are missing, the last styles are not used.
    """

    progress: float

    def __init__(self, widths: list[int], channels: int, style: int, base: tuple[int, int]):
        super().__init__()
        self.progress, self.levels = 1.0, len(widths)
        self.const = nn.Parameter(torch.ones(1, widths[0], *base))
        layers = []
        for level, (before, after) in enumerate(pairwise([0, *widths])):
            up = nn.Sequential(BoxConv(before, after, up=True), Blur()) if before else nn.Identity()
            size = (base[0] << level, base[1] << level)
            layers += [StyledLayer(make, after, style, size) for make in (up, Conv(after, after, 3))]
        self.layers = nn.ModuleList(layers)
        self.pictures = nn.ModuleList(Conv(width, channels, 1) for width in widths)

    def forward(self, styles: Tensor, noise: NoiseMode | Sequence[Tensor] = "random") -> Tensor:
        """noise: drawn from torch's generator, the maps that are kept with the network, none, or a map [N, 1, H, W]
        for each layer."""
        level, share = shown(self.progress, self.levels)
        x = before = self.const.expand(len(styles), -1, -1, -1)
        for index, layer in enumerate(list(self.layers)[: 2 * level + 2]):
            before = x if index == 2 * level else before
            x = layer(x, styles[:, index], noise if isinstance(noise, str) else noise[index])
        picture: Tensor = self.pictures[level](x)
        return picture if share == 1 else torch.lerp(double(self.pictures[level - 1](before)), picture, share)


class Generator(nn.Module):
    """A latent [N, latent] becomes styles by `mapping`, and styles become a picture by `synthesis`."""

    def __init__(self, mapping: Styles, synthesis: Synthesis):
        super().__init__()
        self.mapping, self.synthesis, self.levels = mapping, synthesis, synthesis.levels

    @property
    def mean_style(self) -> Tensor:
        """The mean style [style] of the latents seen in training."""
        return self.mapping.mean

    @property
    def progress(self) -> float:
        """How far it has grown; see `shown`."""
        return self.synthesis.progress

    @progress.setter
    def progress(self, progress: float) -> None:
        self.synthesis.progress = progress
        self.mapping.used = 2 * shown(progress, self.levels)[0] + 2

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        picture: Tensor = self.synthesis(self.mapping(latent, label))
        return picture

    def truncated(self, styles: Tensor, share: float, layers: int) -> Tensor:
        """Styles [N, layers, style] of which the first `layers` have only this share of their way from the mean."""
        near = self.mean_style.lerp(styles[:, :layers], share)
        return torch.cat([near, styles[:, layers:]], 1)


def _discriminator(widths: list[int], channels: int, base: tuple[int, int], group: int) -> Discriminator:
    return Discriminator(
        [Conv(channels, width, 1, activation="lrelu") for width in widths],
        [
            nn.Sequential(
                Conv(after, after, 3, activation="lrelu"), Blur(), BoxConv(after, before, up=False, activation="lrelu")
            )
            for before, after in pairwise(widths)
        ],
        discriminator_end(widths[0], base, group),
    )


class StyleGAN(Architecture):
    """A generator whose layers are controlled by styles, mapped from the latent, and by noise.

    Karras, Laine and Aila 2018, arXiv:1812.04948: mapping network, learned first map, adaptive instance norm, noise and
    bilinear filters (section 2), style mixing (section 3.1), truncation of styles (appendix B), the settings of
    appendix C. The discriminator is that of `progressive`, with filters. Published with `nonsaturating` and
    `r1:gamma=10`, or `wgan-gp`. It grows with `--procedure progressive`; any other procedure uses it fully grown.
    Pictures of 16 to 1024 pixels a side, square or not, any channels. Sampled with a truncation below 1, the styles
    of the first `truncated_layers` layers are moved towards their mean: mean + truncation * (style - mean).

    The networks are `generator.mapping(latent)`, the styles [N, layers, style], and
    `generator.synthesis(styles, noise)`; `generator.mean_style` is the mean [style].

    Differs from the paper: no labels; narrower below 1024 px unless `channel_base` says 16384; whether and where styles
    are mixed is drawn for each sample, not for each batch; a doubling layer's bias stands before the filter; the gain
    of the discriminator's leaky ReLUs stands behind them, so that biases learn 1.4 times as fast. Through the minibatch
    standard deviation the score of a sample depends a little on others of its group, and gradient penalties are of the
    sum of scores, as published; with `group=1` it depends on its own sample only.

    Args:
        latent: size of the latent.
        style: size of a style.
        mapping_layers: dense layers from latent to style; they learn at a hundredth of the rate.
        channel_base: channels times pixels of a map's shorter side; none: 16 times the picture's side, as published
            for 1024 px (16384).
        channel_max: most channels of a map.
        mixing: probability that a sample in training gets the styles of two latents.
        truncated_layers: in how many layers, from the smallest, `--truncation` acts; there are two for each size.
        group: samples that share a minibatch standard deviation; 1: none.
    """

    name = "stylegan"
    paper = "arXiv:1812.04948"
    needs = ("image",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores", "grows", "mapped_latents")
    suggests = {"rate": 1e-3, "beta1": 0.0, "beta2": 0.99, "average": 10_000.0, "average_ramp": 0.05}
    tiny = {"latent": 4, "style": 4, "mapping_layers": 2, "channel_max": 4, "group": 2}

    def __init__(
        self,
        latent: int = 512,
        style: int = 512,
        mapping_layers: int = 8,
        channel_base: int | None = None,
        channel_max: int = 512,
        mixing: float = 0.9,
        truncated_layers: int = 8,
        group: int = 4,
    ):
        if min(latent, style, mapping_layers, channel_max, group, 1 if channel_base is None else channel_base) < 1:
            raise ValueError("latent, style, mapping_layers, channels and group must be at least 1")
        if not 0 <= mixing <= 1 or truncated_layers < 0:
            raise ValueError("mixing lies in [0, 1], and truncated_layers is at least 0")
        self.latent_size, self.style, self.mapping_layers = latent, style, mapping_layers
        self.channel_base, self.channel_max, self.group = channel_base, channel_max, group
        self.mixing, self.truncated_layers = mixing, truncated_layers

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, LARGEST)
        note_group(self.name, self.group, plan)
        widths = channel_widths(base, doublings, self.channel_base, self.channel_max)
        styles = Styles(self.latent_size, 0, self.style, self.mapping_layers, 2 * len(widths), self.mixing)
        return Networks.pair(
            Generator(styles, Synthesis(widths, channels, self.style, base)),
            _discriminator(widths, channels, base, self.group),
        )

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """What a generator makes; truncation: the share of the way from the mean style to the latent's own, in the
        first layers."""
        generator: Any = network
        if truncation == 1:
            made: Tensor = generator(latent)
            return made
        styles = generator.truncated(generator.mapping(latent), truncation, self.truncated_layers)
        truncated: Tensor = generator.synthesis(styles)
        return truncated

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (Official("rosinality/style-based-gan-pytorch", _official_networks, _official_outputs, _official_name),)


# Recordings


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    """Networks like that code's: no mean style, no kept noise, another epsilon, and a convolution for a dense layer."""
    size, levels = config["code_dim"], config["step"] + 1
    widths, base = [config["channels"]] * levels, (4, 4)
    mapping = Styles(size, 0, size, config["n_mlp"], 2 * levels, 0.0)
    generator = Generator(mapping, Synthesis(widths, 3, size, base))
    mapping.register_buffer("mean", mapping.mean, persistent=False)
    for module in generator.modules():
        if isinstance(module, Noise):
            module.register_buffer("const", module.const, persistent=False)
        elif isinstance(module, StyledLayer):
            module.epsilon = 1e-5
    discriminator = _discriminator(widths, 3, base, group=1_000_000)  # in that code the whole batch is a group

    def flat(_module: nn.Module, state: dict[str, Tensor], prefix: str, *_rest: Any) -> None:
        state[prefix + "weight"] = state[prefix + "weight"].flatten(1)

    discriminator.end[3].register_load_state_dict_pre_hook(flat)
    return {"G": generator, "D": discriminator}


def _official_name(name: str) -> str | None:
    """`generator.progression.2.conv1.1.conv.weight_orig` -> `synthesis.layers.4.make.0.weight`; filters are
    constants."""
    if name.endswith("weight_flip") or re.search(r"conv\d\.[02]\.weight$", name):
        return None
    for theirs, ours in (
        (r"weight_orig$", "weight"),
        (r"\.(conv|linear)\.(weight|bias)$", r".\2"),
        (r"^style\.(\d+)\.", lambda found: f"mapping.layers.{int(found[1]) // 2}."),
        (r"^generator\.progression\.0\.conv1\.input", "synthesis.const"),
        (r"^generator\.progression\.(\d+)\.(\w+?)([12])\.", _layer),
        (r"^generator\.to_rgb", "synthesis.pictures"),
        (r"make\.1\.", "make.0."),
        (r"noise\.weight$", "noise.strength"),
        (r"^from_rgb\.(\d)(\.0)?", lambda found: f"pictures.{8 - int(found[1])}"),
        (r"^progression\.8\.conv1\.0", "end.1"),
        (r"^progression\.8\.conv2\.0", "end.3"),
        (r"^progression\.(\d)\.conv1\.0", lambda found: f"blocks.{7 - int(found[1])}.0"),
        (r"^progression\.(\d)\.conv2\.1", lambda found: f"blocks.{7 - int(found[1])}.2"),
        (r"^linear\b", "end.4"),
    ):
        name = re.sub(theirs, ours, name)
    return name


def _layer(found: re.Match[str]) -> str:
    """`generator.progression.2.conv1.` -> `synthesis.layers.4.make.`"""
    kind = {"conv": "make.", "noise": "noise.", "adain": ""}[found[2]]
    return f"synthesis.layers.{2 * int(found[1]) + int(found[3]) - 1}.{kind}"


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """That code gives both layers of a size the same noise, and scales its strength like a weight."""
    generator: Any = networks["G"].eval()
    discriminator: Any = networks["D"].eval()
    for network in networks.values():
        adopt(network)
    with torch.no_grad():
        for layer in generator.synthesis.layers:
            layer.noise.strength.mul_((2 / layer.noise.strength.numel()) ** 0.5)
        generator.mean_style.copy_(recorded["mean_style"].flatten())
    noise = [recorded[f"noise.{index // 2}"] for index in range(2 * generator.levels)]
    styles = generator.mapping(recorded["z"])
    outputs = {
        "w": styles[:, 0],
        "image": generator.synthesis(styles, noise),
        "image_psi07": generator.synthesis(generator.truncated(styles, 0.7, styles.shape[1]), noise),
    }
    outputs["logits"] = discriminator(outputs["image"]).value
    generator.progress = discriminator.progress = 0.3
    outputs["image_alpha03"] = generator.synthesis(styles, noise)
    outputs["logits_alpha03"] = discriminator(outputs["image_alpha03"]).value
    return outputs


@hookimpl
def register_architectures(register: Any) -> None:
    register(StyleGAN)
