"""StyleGAN2. Karras et al. 2019, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958, section 2,
in the form of Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Scores, Spec, hookimpl, ops
from ganzoo_plugins.architectures.stages import stages
from ganzoo_plugins.architectures.style_layers import (
    FILTER,
    Conv,
    Linear,
    Mapping,
    MinibatchStdDev,
    ModulatedConv,
    Noise,
    NoiseMode,
    Styles,
    low_pass,
)
from ganzoo_plugins.architectures.stylegan2_forms import nvidia_name, recovered, to_nvidia
from ganzoo_plugins.regularizers.path_length import path_lengths
from ganzoo_plugins.regularizers.r1 import squared_gradient

_MAKES = "stylegan2 makes pictures of 16 to 1024 px"
Form = Literal["resnet", "orig"]


class SynthesisLayer(nn.Module):
    """A modulated convolution, noise, bias and leaky ReLU; it makes maps of height x width."""

    def __init__(
        self, inputs: int, outputs: int, style: int, size: tuple[int, int], up: int = 1, clamp: float | None = None
    ):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, style, up=up)
        self.noise, self.bias, self.clamp = Noise(*size), nn.Parameter(torch.zeros(outputs)), clamp

    def forward(self, x: Tensor, style: Tensor, noise: NoiseMode) -> Tensor:
        x = self.conv(x, style)
        drawn = self.noise(len(x), noise)
        x = x if drawn is None else x + drawn.to(x.dtype)
        return ops.bias_act(x, self.bias, act="lrelu", clamp=self.clamp)


class ToPicture(nn.Module):
    """A modulated 1x1 convolution to the picture's channels, without demodulation."""

    def __init__(self, inputs: int, channels: int, style: int, clamp: float | None):
        super().__init__()
        self.conv = ModulatedConv(inputs, channels, 1, style, demodulate=False)
        self.bias, self.clamp = nn.Parameter(torch.zeros(channels)), clamp

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return ops.bias_act(self.conv(x, style), self.bias, clamp=self.clamp)


class SynthesisBlock(nn.Module):
    """The layers of one size: two (the first block: one) that make maps, and one that adds to the picture."""

    def __init__(
        self, inputs: int, outputs: int, channels: int, style: int, size: tuple[int, int], clamp: float | None
    ):
        super().__init__()
        self.const = None if inputs else nn.Parameter(torch.randn(outputs, *size))
        self.conv0 = SynthesisLayer(inputs, outputs, style, size, up=2, clamp=clamp) if inputs else None
        self.conv1 = SynthesisLayer(outputs, outputs, style, size, clamp=clamp)
        self.topicture = ToPicture(outputs, channels, style, clamp)
        self.register_buffer("filter", low_pass(FILTER), persistent=False)
        self.filter: Tensor

    def forward(
        self, x: Tensor | None, picture: Tensor | None, styles: list[Tensor], noise: NoiseMode
    ) -> tuple[Tensor, Tensor]:
        if self.const is not None:
            x = self.const.expand(len(styles[0]), -1, -1, -1)
        elif self.conv0 is not None:
            x = self.conv0(x, styles[-3], noise)
        x = self.conv1(x, styles[-2], noise)
        added: Tensor = self.topicture(x, styles[-1]).to(styles[-1].dtype)
        return x, added if picture is None else ops.upsample2d(picture, self.filter) + added


class Synthesis(nn.Module):
    """Styles [N, layers, style] become pictures [N, C, H, W]: every size adds its share to the picture so far.

    widths: channels at each size, the smallest first; each size is twice as large as the one before it, the first
    is `base`. A picture is about in [-1, 1]; nothing keeps it there.
    """

    def __init__(self, widths: list[int], channels: int, style: int, base: tuple[int, int], clamp: float | None):
        super().__init__()
        self.blocks = nn.ModuleList(
            SynthesisBlock(before, after, channels, style, (base[0] << level, base[1] << level), clamp)
            for level, (before, after) in enumerate(pairwise([0, *widths]))
        )

    @property
    def layers(self) -> int:
        return 2 * len(self.blocks)

    def forward(self, styles: Tensor, noise: NoiseMode = "random") -> Tensor:
        """noise: drawn from torch's generator, the maps that are kept with the network, or none."""
        each = styles.unbind(1)
        x = picture = None
        for level, block in enumerate(self.blocks):
            # A size's style for the picture is the next size's first.
            x, picture = block(x, picture, list(each[max(0, 2 * level - 1) : 2 * level + 2]), noise)
        assert picture is not None
        return picture


class Generator(nn.Module):
    """A latent [N, latent] becomes styles by `mapping`, and styles become a picture by `synthesis`."""

    def __init__(self, mapping: Styles, synthesis: Synthesis):
        super().__init__()
        self.mapping, self.synthesis = mapping, synthesis

    @property
    def mean_style(self) -> Tensor:
        """The mean style [style] of the latents seen in training."""
        return self.mapping.mean

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        picture: Tensor = self.synthesis(self.mapping(latent, label))
        return picture


class DiscriminatorBlock(nn.Module):
    """Two convolutions, the second of which halves the map; in the form `resnet`, beside them a 1x1 that halves."""

    def __init__(self, inputs: int, outputs: int, form: Form, clamp: float | None):
        super().__init__()
        self.conv0 = Conv(inputs, inputs, 3, activation="lrelu", clamp=clamp)
        self.conv1 = Conv(inputs, outputs, 3, activation="lrelu", down=2, clamp=clamp)
        self.skip = Conv(inputs, outputs, 1, bias=False, down=2) if form == "resnet" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.skip is None:
            made: Tensor = self.conv1(self.conv0(x))
            return made
        half = math.sqrt(0.5)  # of the variance comes from each way
        summed: Tensor = self.skip(x, half) + self.conv1(self.conv0(x), half)
        return summed


class Discriminator(nn.Module):
    """Blocks halve the picture to the small map; the deviation within a group, a convolution and two dense layers
    follow: [N]. With classes, the score is the product with the mapped label over the root of its size.

    widths: as of Synthesis. group: of the minibatch standard deviation; 1: none.
    """

    def __init__(
        self,
        widths: list[int],
        channels: int,
        base: tuple[int, int],
        *,
        classes: int = 0,
        form: Form = "resnet",
        group: int = 4,
        clamp: float | None = None,
    ):
        super().__init__()
        narrow = widths[0]
        self.frompicture = Conv(channels, widths[-1], 1, activation="lrelu", clamp=clamp)
        self.blocks = nn.ModuleList(DiscriminatorBlock(*pair[::-1], form, clamp) for pair in pairwise(widths))
        self.deviation = MinibatchStdDev(group) if group > 1 else None
        self.conv = Conv(narrow + (group > 1), narrow, 3, activation="lrelu", clamp=clamp)
        self.dense = Linear(narrow * base[0] * base[1], narrow, activation="lrelu")
        self.score = Linear(narrow, narrow if classes else 1)
        self.mapping = Mapping(0, classes, narrow, 8) if classes else None

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Scores:
        x = self.frompicture(pictures)
        for block in reversed(self.blocks):
            x = block(x)
        with torch.autocast(x.device.type, enabled=False):  # the end in full precision, as published
            x = x.to(self.score.weight.dtype)
            x = self.conv(x if self.deviation is None else self.deviation(x))
            x = self.score(self.dense(x.flatten(1)))
            if self.mapping is not None:
                mapped = self.mapping(None, label)
                x = (x * mapped).sum(1) / math.sqrt(mapped.shape[1])
        return Scores(x.flatten())


class StyleGAN2(Architecture):
    """Styles, mapped from the latent, scale the weights of every convolution of the generator.

    Karras et al. 2019, arXiv:1912.04958, sections 2 and 4 (config F), in the form of Karras et al. 2020,
    arXiv:2006.06676, appendix B and C. The generator sums pictures of all sizes, the discriminator is residual.
    Pictures of 16 to 1024 pixels a side, square or not, any channels. It was published with `nonsaturating`, `r1`
    (`every=16`), `path-length`, and `ada` where data are few. Sampled with a truncation below 1, styles are moved
    towards their mean, in all layers: mean + truncation * (style - mean).

    The networks are `generator.mapping(latent, label)`, the styles [N, layers, style], and
    `generator.synthesis(styles, noise)`; `generator.mean_style` is the mean [style].

    Differs from the paper: lazy penalties are part of a step of the same optimizer, so its rate and betas are not
    corrected for them; whether styles are mixed, and where, is drawn for each sample, not for each batch. Through the
    discriminator's minibatch standard deviation the score of a sample depends a little on others of its group, and
    gradient penalties are of the sum of scores, as published; with `group=1` it depends on its own sample only.

    Args:
        latent: size of the latent.
        style: size of a style.
        mapping_layers: dense layers from latent to style.
        channel_base: a map has this many channels over its shorter side in pixels ...
        channel_max: ... and at most so many.
        discriminator: resnet, or orig without the residual ways (published for CIFAR-10).
        group: samples that share a minibatch standard deviation; 1: none.
        mixing: probability that a sample in training gets the styles of two latents.
        clamp: largest magnitude of what a convolution makes; none: no limit; 256 was published for fp16.
        conditional: both networks see the class of a sample; it needs data with labels.
    """

    name = "stylegan2"
    paper = "arXiv:1912.04958"
    needs: tuple[str, ...] = ("image",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores", "mapped_latents")
    suggests = {"rate": 0.0025, "beta1": 0.0, "beta2": 0.99, "average": 10_000.0, "average_ramp": 0.05}
    tiny = {"latent": 4, "style": 4, "mapping_layers": 2, "channel_base": 64, "channel_max": 8, "group": 2}

    def __init__(
        self,
        latent: int = 512,
        style: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        discriminator: Form = "resnet",
        group: int = 4,
        mixing: float = 0.9,
        clamp: float | None = None,
        conditional: bool = False,
    ):
        if min(latent, style, mapping_layers, channel_base, channel_max, group) < 1:
            raise ValueError("latent, style, mapping_layers, channels and group must be at least 1")
        if not 0 <= mixing <= 1 or (clamp is not None and clamp <= 0):
            raise ValueError("mixing lies in [0, 1], and clamp is above 0")
        self.latent_size, self.style, self.mapping_layers, self.mixing = latent, style, mapping_layers, mixing
        self.channel_base, self.channel_max, self.clamp = channel_base, channel_max, clamp
        self.form, self.group, self.conditional = discriminator, group, conditional
        if conditional:
            self.needs = (*self.needs, "labels")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, largest=1024)
        if self.group > 1 and "per_sample_scores" in plan.needs:
            plan.notes.append(
                "stylegan2: gradient penalties are of the sum of scores, which meet in the minibatch standard "
                "deviation, as published; stylegan2:group=1 goes without it"
            )
        sides = [min(base) << level for level in range(doublings + 1)]
        widths = [max(1, min(self.channel_base // side, self.channel_max)) for side in sides]
        classes = len(spec.classes) if self.conditional else 0
        synthesis = Synthesis(widths, channels, self.style, base, self.clamp)
        styles = Styles(self.latent_size, classes, self.style, self.mapping_layers, synthesis.layers, self.mixing)
        discriminator = Discriminator(
            widths, channels, base, classes=classes, form=self.form, group=self.group, clamp=self.clamp
        )
        return Networks.pair(Generator(styles, synthesis), discriminator)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """What a generator makes; truncation: the share of the way from the mean style to the latent's own."""
        if truncation == 1:
            made: Tensor = network(latent, label)
            return made
        generator: Any = network
        truncated: Tensor = generator.synthesis(generator.mean_style.lerp(generator.mapping(latent, label), truncation))
        return truncated

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (
            Official(
                "NVlabs/stylegan2-ada-pytorch", _official_networks, _official_outputs, nvidia_name, recovered, to_nvidia
            ),
        )


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    architecture = StyleGAN2(
        latent=config["z_dim"],
        style=config["w_dim"],
        mapping_layers=config["mapping_layers"],
        channel_base=config["channel_base"],
        channel_max=config["channel_max"],
        discriminator=config.get("architecture", "resnet"),
        group=config["mbstd_group_size"],
        clamp=config["conv_clamp"],
        conditional=config["c_dim"] > 0,
    )
    side, classes = config["img_resolution"], tuple(map(str, range(config["c_dim"])))
    networks = architecture.build(Spec("image", (config.get("img_channels", 3), side, side), classes), Plan())
    return {"G": networks.generator, "D": networks.discriminator}


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    generator: Any = networks["G"].eval()
    discriminator = networks["D"].eval()
    label = recorded.get("label")
    styles = generator.mapping(recorded["z"], label)
    image = generator.synthesis(styles, "const")
    real = image.detach().requires_grad_()
    scores = discriminator(real, label)
    squares = squared_gradient(scores, real)
    lengths = path_lengths(image, styles, recorded["path_noise"])
    return {
        "w": styles,
        "image": image,
        "image_psi07": generator.synthesis(generator.mean_style.lerp(styles, 0.7), "const"),
        "logits": scores.value,
        "r1_per_sample": squares,
        "path_lengths": lengths,
        **_gradients(0.5 * squares.mean(), discriminator, "r1_grad.D.", recorded),
        **_gradients((lengths - 0.5).square().mean(), generator, "path_grad.G.", recorded),
    }


def _gradients(value: Tensor, network: nn.Module, prefix: str, recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """The recorded gradients' names, and the value's gradients by our parameters."""
    parameters = dict(network.named_parameters())
    ours = {name: nvidia_name(name.removeprefix(prefix)) for name in recorded if name.startswith(prefix)}
    gradients = torch.autograd.grad(value, [parameters[str(name)] for name in ours.values()])
    return dict(zip(ours, gradients, strict=True))


@hookimpl
def register_architectures(register: Any) -> None:
    register(StyleGAN2)
