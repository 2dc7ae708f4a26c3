"""BigGAN. Brock, Donahue and Simonyan 2018, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
arXiv:1809.11096, appendix B."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Scores, Spec, UsageError, hookimpl
from ganzoo_plugins.architectures.biggan_forms import layers, official_name, recovered
from ganzoo_plugins.architectures.class_layers import (
    ClassNorm,
    ClassVectors,
    Convolution,
    Dense,
    SelfAttention,
    plain_vectors,
)
from ganzoo_plugins.architectures.stages import stages

_MAKES = "biggan makes pictures of 16 to 256 px (published: 32, 64, 128 and 256)"


class GeneratorBlock(nn.Module):
    """Doubles a map: norm, ReLU, upsampling, convolution, norm, ReLU, convolution; beside it an upsampled 1x1.

    conditions, classes: as `ClassNorm` has them. attends: whether self-attention follows.
    """

    def __init__(self, inputs: int, outputs: int, conditions: int, *, classes: bool, attends: bool):
        super().__init__()
        self.norm1, self.norm2 = (ClassNorm(width, conditions, classes=classes) for width in (inputs, outputs))
        self.conv1, self.conv2 = Convolution(inputs, outputs), Convolution(outputs, outputs)
        self.shortcut = Convolution(inputs, outputs, 1)
        self.attention = SelfAttention(outputs) if attends else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, condition)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, condition)))
        # A 1x1 convolution and upsampling commute, and this order costs a quarter.
        out: Tensor = self.attention(h + F.interpolate(self.shortcut(x), scale_factor=2))
        return out


class DiscriminatorBlock(nn.Module):
    """ReLU, convolution, ReLU, convolution, and 2x2 means when it halves; the first block has no ReLU before it.

    attends: whether self-attention follows.
    """

    def __init__(self, inputs: int, outputs: int, *, first: bool, halves: bool, attends: bool):
        super().__init__()
        self.conv1, self.conv2 = Convolution(inputs, outputs), Convolution(outputs, outputs)
        self.shortcut = Convolution(inputs, outputs, 1) if halves or inputs != outputs else nn.Identity()
        self.pool = nn.AvgPool2d(2) if halves else nn.Identity()
        self.attention = SelfAttention(outputs) if attends else nn.Identity()
        self.first = first

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        out: Tensor = self.attention(self.pool(h) + self.shortcut(self.pool(x)))
        return out


class Generator(nn.Module):
    """A latent [N, latent] and a class [N] become a picture in [-1, 1]. With an embedding, the class's vector
    [N, embedding], `class_vectors(label)`, may be given in place of the class, so that one may go from class to class.

    widths: channels of the maps, from the small one of `base` pixels to the picture's. embedding: size of the class's
    vector that all norms see; 0: every norm has a gain and a bias for each class. hierarchical: the latent is cut into
    a part for the dense layer and one for each block, set beside the class's vector; where it cannot be cut evenly the
    first parts are one longer. attention: shorter sides of the maps after which there is self-attention.
    """

    def __init__(
        self,
        latent: int,
        widths: list[int],
        channels: int,
        base: tuple[int, int],
        classes: int,
        *,
        embedding: int,
        hierarchical: bool,
        attention: tuple[int, ...],
    ):
        super().__init__()
        self.parts = len(widths) if hierarchical else 1
        sizes = [len(part) for part in torch.arange(latent).tensor_split(self.parts)]
        self.linear, self.base = Dense(sizes[0], widths[0] * base[0] * base[1]), base
        self.shared = plain_vectors(classes, embedding) if embedding else None
        beside = sizes[1:] if hierarchical else [0] * (len(widths) - 1)
        self.blocks = nn.ModuleList(
            GeneratorBlock(
                before,
                after,
                embedding + size if embedding else classes,
                classes=not embedding,
                attends=min(base) << index in attention,
            )
            for index, ((before, after), size) in enumerate(zip(pairwise(widths), beside, strict=True), start=1)
        )
        self.ending = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(), Convolution(widths[-1], channels), nn.Tanh())

    def class_vectors(self, label: Tensor) -> Tensor | None:
        """The vectors [N, embedding] of classes [N], None where the norms have tables."""
        return None if self.shared is None else self.shared(label)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        condition = label if self.shared is None or label.is_floating_point() else self.shared(label)
        first, *rest = latent.tensor_split(self.parts, 1)
        h = self.linear(first).unflatten(1, (-1, *self.base))
        for index, block in enumerate(self.blocks):
            h = block(h, torch.cat([condition, rest[index]], 1) if rest else condition)
        images: Tensor = self.ending(h)
        return images


class Discriminator(nn.Module):
    """Blocks, the sum over the map, h, and the score [N]: linear in h, and added to it the product of h and the class's
    vector (Miyato and Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637, equation 4).

    widths: channels of what comes out of the blocks, from the picture on. halvings: how many blocks halve. side: the
    picture's shorter side. attention: of the maps after whose first block there is self-attention.
    """

    def __init__(
        self, widths: list[int], channels: int, classes: int, *, halvings: int, side: int, attention: tuple[int, ...]
    ):
        super().__init__()
        self.blocks = nn.Sequential(
            *(
                DiscriminatorBlock(
                    before,
                    after,
                    first=index == 0,
                    halves=index < halvings,
                    attends=index < halvings and side >> (index + 1) in attention,
                )
                for index, (before, after) in enumerate(pairwise([channels, *widths]))
            )
        )
        self.linear, self.classes = Dense(widths[-1], 1), ClassVectors(classes, widths[-1])
        self.feature_size = widths[-1]

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        assert label is not None
        h = F.relu(self.blocks(images)).sum((2, 3))
        return Scores(self.linear(h).flatten() + (self.classes(label) * h).sum(1), features=h)


class BigGAN(Architecture):
    """Wide residual networks told the class, with self-attention, a latent for every block and spectral normalisation.

    Brock, Donahue and Simonyan 2018, arXiv:1809.11096, appendix B, tables 4 and 5, to be trained with the hinge loss;
    Miyato and Koyama 2018, arXiv:1802.05637 (projection); Zhang et al. 2018, arXiv:1805.08318 (attention). Pictures of
    16 to 256 pixels a side, square or not, any channels, with classes: below 64 px (the shorter side) the layers of
    the authors' 32 px, then those of 64, of 128 and of 256 px. Every layer but the generator's class vectors is
    spectrally normalised, as published, so `spectral-norm` changes nothing but rounding. Sampling truncates the latent.

    Differs from the paper: samples are normalised by running means of the batch statistics, not by standing statistics
    of one generator. Latents are not drawn again but moved where they are truncated. The weight average is
    `adversarial:average=...`.

    Args:
        latent: size of the latent; published: 20 for each part, so 120 at 128 px and 140 at 256 px, and 128 at 32 px
            without parts.
        generator_width: channels next to the picture (a quarter of all layers' below 64 px); none: as published, 64
            below 128 px, else 96.
        discriminator_width: the same for the discriminator.
        embedding: size of the class's vector, which all norms share; 0: every norm has its own, as published at 32 px.
        hierarchical: whether every block gets a part of the latent; published so but at 32 px; it needs an embedding.
        attention: shorter sides, in px, of the maps after which there is self-attention, 0 for none; none: 64 from
            128 px on, as published, 32 at 64 px, else 0.
    """

    name = "biggan"
    paper = "arXiv:1809.11096"
    needs = ("image", "labels")
    offers = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "class_generator",
        "class_discriminator",
    )
    suggests = {"n_critic": 2, "generator_rate": 5e-5, "discriminator_rate": 2e-4, "beta1": 0.0, "beta2": 0.999}
    tiny = {"latent": 8, "generator_width": 1, "discriminator_width": 1, "embedding": 3, "attention": (8,)}

    def __init__(
        self,
        latent: int = 120,
        generator_width: int | None = None,
        discriminator_width: int | None = None,
        embedding: int = 128,
        hierarchical: bool = True,
        attention: tuple[int, ...] | None = None,
    ):
        if any(value is not None and value < 1 for value in (latent, generator_width, discriminator_width)):
            raise ValueError("latent and widths must be at least 1")
        if embedding < 0:
            raise ValueError("embedding must not be negative")
        if hierarchical and not embedding:
            raise ValueError("hierarchical needs a shared embedding of at least 1; otherwise add hierarchical=false")
        self.latent_size, self.widths = latent, (generator_width, discriminator_width)
        self.embedding, self.hierarchical, self.attention = embedding, hierarchical, attention

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, largest=256)
        wide, narrow, halvings = layers(doublings, *self.widths)
        if self.hierarchical and self.latent_size < len(wide):
            raise UsageError(
                f"biggan: a latent of {self.latent_size} cannot be cut into {len(wide)} parts, one for each block and "
                f"one before them; choose latent={len(wide)} or more, or hierarchical=false"
            )
        side, attention = min(height, width), self._attended(min(height, width), doublings, halvings)
        form: dict[str, Any] = {"embedding": self.embedding, "hierarchical": self.hierarchical}
        classes = len(spec.classes)
        return Networks.pair(
            Generator(self.latent_size, wide, channels, base, classes, attention=attention, **form),
            Discriminator(narrow, channels, classes, halvings=halvings, side=side, attention=attention),
        )

    def _attended(self, side: int, doublings: int, halvings: int) -> tuple[int, ...]:
        """The maps with self-attention, by their shorter sides."""
        if self.attention is None:
            return (side >> (1 if doublings < 6 else 2),) if doublings > 3 else ()
        return maps_of_both(self.name, self.attention, side, doublings, halvings)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        made = _official_networks, _official_outputs, official_name
        return (Official("ajbrock/BigGAN-PyTorch", *made, recover=recovered),)


def maps_of_both(
    architecture: str, asked: tuple[int, ...], side: int, doublings: int, halvings: int
) -> tuple[int, ...]:
    """The sizes where attention was asked for, without zeros. Raises UsageError where one network has no such map."""
    possible = [side >> power for power in range(1, min(doublings - 1, halvings) + 1)]
    for size in asked:
        if size and size not in possible:
            raise UsageError(
                f"{architecture}: attention={size} was asked for, and at this size the maps that both networks have "
                f"are of {', '.join(map(str, possible))} px; choose among these, or attention=0 for none"
            )
    return tuple(size for size in asked if size)


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    side, classes = config["resolution"], config["n_classes"]
    base, doublings = stages(side, side, _MAKES, largest=256)
    wide, narrow, halvings = layers(doublings, config["G_ch"], config["D_ch"])
    attention = tuple(int(size) for size in config["attention"].split("_"))
    parts = len(wide) if config["hierarchical"] else 1
    form = {
        "embedding": config["shared_dim"] if config["G_shared"] else 0,
        "hierarchical": config["hierarchical"],
        "attention": attention,
    }
    return {
        "G": Generator(config["dim_z"] // parts * parts, wide, 3, base, classes, **form),
        "D": Discriminator(narrow, 3, classes, halvings=halvings, side=side, attention=attention),
    }


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    image = networks["G"].eval()(recorded["z"], recorded["y"])
    return {"image": image, "logits": networks["D"].eval()(image, recorded["y"]).value}


@hookimpl
def register_architectures(register: Any) -> None:
    register(BigGAN)
