"""R3GAN. Huang, Gokaslan, Kuleshov and Tompkin 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN,
arXiv:2501.05441, section 4."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Architecture,
    Draws,
    Networks,
    Official,
    Plan,
    Recovered,
    Scores,
    Spec,
    UsageError,
    Weights,
    hookimpl,
    ops,
)
from ganzoo_plugins.architectures.stages import stages

_MAKES = "r3gan makes pictures of 16 to 256 px"
_LEAKY_GAIN = math.sqrt(2 / (1 + 0.2**2))  # keeps the spread of what passes a leaky ReLU of slope 0.2


class ResidualBlock(nn.Module):
    """1x1 to more channels, grouped 3x3, 1x1 back, added to the input; leaky ReLUs between, no normalisation.

    In place of normalisation the last convolution begins at zero and the others small, by the number of blocks in the
    network (section 4.1, after Zhang et al. 2019, Fixup Initialization, arXiv:1901.09321).
    """

    def __init__(self, width: int, groups: int, expansion: int, blocks: int):
        super().__init__()
        hidden, gain = width * expansion, _LEAKY_GAIN * blocks**-0.25
        self.expand = _initialised(nn.Conv2d(width, hidden, 1, bias=False), gain)
        self.grouped = _initialised(nn.Conv2d(hidden, hidden, 3, padding=1, groups=groups, bias=False), gain)
        self.project = _initialised(nn.Conv2d(hidden, width, 1, bias=False), 0.0)
        self.expand_bias, self.grouped_bias = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(hidden))

    def forward(self, x: Tensor) -> Tensor:
        h = ops.bias_act(self.expand(x), self.expand_bias, act="lrelu", gain=1)
        h = ops.bias_act(self.grouped(h), self.grouped_bias, act="lrelu", gain=1)
        added: Tensor = x + self.project(h)
        return added


class Resample(nn.Module):
    """Doubles or halves a map by bilinear interpolation, with a 1x1 where the channels change, always on the small map.

    The filter is [1, 3, 3, 1], which is [1, 2, 1] after a step of nearest neighbours.
    """

    filter: Tensor

    def __init__(self, inputs: int, outputs: int, up: bool):
        super().__init__()
        self.up = up
        self.conv = _initialised(nn.Conv2d(inputs, outputs, 1, bias=False)) if inputs != outputs else nn.Identity()
        self.register_buffer("filter", ops.setup_filter([1, 3, 3, 1]), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            return ops.upsample2d(self.conv(x), self.filter)
        halved: Tensor = self.conv(ops.downsample2d(x, self.filter))
        return halved


class Start(nn.Module):
    """A learned small map, each channel scaled by a number that is linear in the latent."""

    def __init__(self, latent: int, width: int, base: tuple[int, int]):
        super().__init__()
        self.basis = nn.Parameter(torch.randn(width, *base))
        self.linear = _initialised(nn.Linear(latent, width, bias=False))

    def forward(self, latent: Tensor) -> Tensor:
        maps: Tensor = self.basis * self.linear(latent)[:, :, None, None]
        return maps


class End(nn.Module):
    """The small map becomes one number a channel by learned weights, and these become the output [N, outputs]."""

    def __init__(self, width: int, outputs: int, base: tuple[int, int]):
        super().__init__()
        self.basis = _initialised(nn.Conv2d(width, width, base, groups=width, bias=False))
        self.linear = _initialised(nn.Linear(width, outputs, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(self.basis(x).flatten(1))
        return out


class Embedding(nn.Module):
    """A learned vector for each class: [N] whole numbers become [N, size]."""

    def __init__(self, classes: int, size: int, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, classes) * gain / math.sqrt(classes))

    def forward(self, label: Tensor) -> Tensor:
        return nn.functional.embedding(label, self.weight.T)


class Generator(nn.Module):
    """A latent [N, latent], and a label where it has classes, become a picture; nothing squashes it into [-1, 1].

    widths, groups: of every stage, from the small map of `base` pixels to the picture. embedded: size of a class's
    vector, which is set beside the latent.
    """

    def __init__(
        self,
        latent: int,
        widths: list[int],
        groups: list[int],
        channels: int,
        base: tuple[int, int],
        *,
        blocks: int = 2,
        expansion: int = 2,
        classes: int = 0,
        embedded: int = 0,
    ):
        super().__init__()
        starts: list[nn.Module] = [Start(latent + (embedded if classes else 0), widths[0], base)]
        starts += [Resample(before, after, up=True) for before, after in pairwise(widths)]
        total = blocks * len(widths)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(start, *(ResidualBlock(width, group, expansion, total) for _ in range(blocks)))
                for start, width, group in zip(starts, widths, groups, strict=True)
            )
        )
        self.picture = _initialised(nn.Conv2d(widths[-1], channels, 1, bias=False))
        self.embedding = Embedding(classes, embedded) if classes else None

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            assert label is not None
            latent = torch.cat([latent, self.embedding(label)], 1)
        images: Tensor = self.picture(self.stages(latent))
        return images


class Discriminator(nn.Module):
    """The generator turned round: a score [N]; with classes, the product of the last vector and the class's.

    widths, groups: as the generator's, from the small map to the picture.
    """

    def __init__(
        self,
        widths: list[int],
        groups: list[int],
        channels: int,
        base: tuple[int, int],
        *,
        blocks: int = 2,
        expansion: int = 2,
        classes: int = 0,
        embedded: int = 0,
    ):
        super().__init__()
        ends: list[nn.Module] = [Resample(before, after, up=False) for before, after in pairwise(widths[::-1])]
        ends += [End(widths[0], embedded if classes else 1, base)]
        total = blocks * len(widths)
        self.picture = _initialised(nn.Conv2d(channels, widths[-1], 1, bias=False))
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(ResidualBlock(width, group, expansion, total) for _ in range(blocks)), end)
                for end, width, group in zip(ends, widths[::-1], groups[::-1], strict=True)
            )
        )
        self.embedding = Embedding(classes, embedded, 1 / math.sqrt(embedded)) if classes else None

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        out = self.stages(self.picture(images))
        if self.embedding is None:
            return Scores(out.flatten())
        assert label is not None
        return Scores((out * self.embedding(label)).sum(1))


class R3GAN(Architecture):
    """Plain residual networks without normalisation, to be trained with the relativistic loss, `r1` and `r2`.

    Huang, Gokaslan, Kuleshov and Tompkin 2024, arXiv:2501.05441, section 4 and appendix (Config E): grouped
    convolutions in inverted bottlenecks, bilinear resampling, no normalisation, no style, no minibatch statistics.
    Pictures of 16 to 256 pixels a side, square or not, any channels. Published for 32, 64 and 256 px with
    `--loss relativistic --reg r1 --reg r2`; the recipes name the rest.

    Differs from the paper: none known in the networks. Lower precision in the large stages is the run's `--precision`.

    Args:
        latent: size of the latent.
        widths: channels of the maps, from the small one to the picture's; one number: of maps up to 32 px, halved with
            every doubling after that, as published (ImageNet: 1536 throughout).
        cardinalities: groups of the 3x3 convolutions, in the same order; none: an eighth of the widths, as published.
        blocks: residual blocks at each size.
        expansion: how many times the width of a map is that between a block's convolutions.
        conditional: whether the networks see the classes of labelled data.
    """

    name = "r3gan"
    paper = "arXiv:2501.05441"
    needs: tuple[str, ...] = ("image",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores")
    suggests = {"rate": 2e-4, "beta1": 0.0, "beta2": 0.9}
    tiny = {"latent": 4, "widths": (8,), "blocks": 1}

    def __init__(
        self,
        latent: int = 64,
        widths: tuple[int, ...] = (768,),
        cardinalities: tuple[int, ...] | None = None,
        blocks: int = 2,
        expansion: int = 2,
        conditional: bool = False,
    ):
        if min(latent, blocks, expansion, *widths, *(cardinalities or (1,))) < 1:
            raise ValueError("latent, widths, cardinalities, blocks and expansion must be at least 1")
        self.latent_size, self.widths, self.cardinalities = latent, widths, cardinalities
        self.blocks, self.expansion, self.conditional = blocks, expansion, conditional
        if conditional:
            self.needs = (*self.needs, "labels")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, largest=256)
        widths = self._widths([min(base) * 2**power for power in range(doublings + 1)])
        groups = self._groups(widths)
        rest = {
            "blocks": self.blocks,
            "expansion": self.expansion,
            "classes": len(spec.classes) if self.conditional else 0,
        }
        return Networks.pair(
            Generator(self.latent_size, widths, groups, channels, base, embedded=self.latent_size, **rest),
            Discriminator(widths, groups, channels, base, embedded=widths[0], **rest),
        )

    def _widths(self, sides: list[int]) -> list[int]:
        """The channels of maps whose shorter sides these are."""
        if len(self.widths) == 1:
            return [max(1, self.widths[0] * 32 // max(32, 2 ** math.floor(math.log2(side)))) for side in sides]
        return _one_each("widths", self.widths, len(sides))

    def _groups(self, widths: list[int]) -> list[int]:
        if self.cardinalities is None:  # where an eighth does not divide, the largest number that divides both
            return [math.gcd(width * self.expansion, max(1, width // 8)) for width in widths]
        groups = _one_each("cardinalities", self.cardinalities, len(widths))
        for width, group in zip(widths, groups, strict=True):
            if width * self.expansion % group:
                raise UsageError(
                    f"r3gan: {width * self.expansion} channels (widths x expansion) cannot be cut into {group} groups; "
                    "choose cardinalities that divide them, or leave them out"
                )
        return groups

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (Official("brownvc/R3GAN", _official_networks, _official_outputs, _official_name, recovered),)


def _one_each(name: str, values: tuple[int, ...], stages: int) -> list[int]:
    if len(values) != stages:
        raise UsageError(
            f"r3gan: {name} has {len(values)} numbers, and at this size there are {stages} stages; "
            f"write {stages} numbers, from the small map to the picture, or leave it out"
        )
    return list(values)


def _initialised(layer: Any, gain: float = 1.0) -> Any:
    """Weights of spread gain / sqrt(fan in), so that what comes out is as spread as what goes in."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return layer


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    rest = {
        "blocks": config["blocks"][0],
        "expansion": config["expansion"],
        "classes": config["condition"],
        "embedded": config["condition_embedding"],
    }
    generator = Generator(config["noise"], config["widths_G"], config["cardinality_G"], 3, (4, 4), **rest)
    return {
        "G": generator,
        "D": Discriminator(config["widths_D"][::-1], config["cardinality_D"][::-1], 3, (4, 4), **rest),
    }


_OFFICIAL_NAMES = (
    (r"^MainLayers\.(\d+)\.Layers\.", r"stages.\1."),
    (r"LinearLayer1\.Layer", "expand"),
    (r"LinearLayer2\.Layer", "grouped"),
    (r"LinearLayer3\.Layer", "project"),
    (r"NonLinearity1\.Bias", "expand_bias"),
    (r"NonLinearity2\.Bias", "grouped_bias"),
    (r"LinearLayer\.Layer", "conv"),
    (r"(Extraction|Aggregation)Layer\.Layer", "picture"),
    (r"EmbeddingLayer", "embedding"),
    (r"LinearLayer", "linear"),
    (r"Basis", "basis"),
)


def _official_name(name: str) -> str | None:
    """`MainLayers.1.Layers.0.LinearLayer.Layer.weight` -> `stages.1.0.conv.weight`; filters are constants here."""
    if "Resampler" in name:
        return None
    for theirs, ours in _OFFICIAL_NAMES:
        name = re.sub(theirs, ours, name)
    return name


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    label = recorded["y"].argmax(1)  # recorded as rows that are 1 at the class
    image = networks["G"](recorded["z"], label)
    return {"image": image, "logits": networks["D"](image, label).value}


def recovered(weights: Weights) -> Recovered | None:
    """Networks of R3GAN's code, by themselves or as the `Model` of the networks that it trains."""
    states = {
        network: {
            ours: value
            for name, value in held.items()
            if (ours := _official_name(name.removeprefix("Model."))) is not None
        }
        for network, held in weights.states.items()
    }
    state = states.get("G_ema") or states.get("G") or {}
    if not {"stages.0.0.basis", "stages.0.0.linear.weight", "picture.weight"} <= set(state):
        return None
    count = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("stages."))
    grouped = [state[f"stages.{stage}.1.grouped.weight"] for stage in range(count)]
    widths = [len(state[f"stages.{stage}.1.project.weight"]) for stage in range(count)]
    embedding = state.get("embedding.weight")
    embedded, classes = (0, 0) if embedding is None else embedding.shape
    options = {
        "latent": state["stages.0.0.linear.weight"].shape[1] - embedded,
        "widths": widths,
        "cardinalities": [len(weight) // weight.shape[1] for weight in grouped],
        "blocks": sum(name.startswith("stages.0.") and name.endswith("project.weight") for name in state),
        "expansion": len(grouped[0]) // widths[0],
        "conditional": classes > 0,
    }
    height, width = (side << (count - 1) for side in state["stages.0.0.basis"].shape[1:])
    spec = Spec("image", (len(state["picture.weight"]), height, width), tuple(map(str, range(classes))))
    return Recovered(options, spec, states)


@hookimpl
def register_architectures(register: Any) -> None:
    register(R3GAN)
