"""pix2pix. Isola, Zhu, Zhou and Efros 2017, Image-to-Image Translation with Conditional Adversarial Networks,
arXiv:1611.07004, section 3.2 and appendix 6.1."""

from __future__ import annotations

import re
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Architecture, Networks, Official, OptionError, Plan, Recovered, Spec, Weights, hookimpl
from ganzoo_plugins.architectures.translation_layers import (
    SOURCE,
    Norm,
    Patch,
    Patches,
    build_networks,
    check_widths,
    checked_size,
    maps,
    normalisation,
    official_generator,
    patches_name,
    recorded_norm,
    recorded_outputs,
    recorded_patches,
    recovered_patches,
    translated,
    without_statistics,
)

_DEEPEST = 8  # halvings: of 256 px to one
_DROPPING = 3  # decoder layers with dropout, the innermost ones


class Layer(nn.Module):
    """An activation, a convolution that halves or doubles, a norm, dropout."""

    def __init__(self, slope: float, convolution: nn.Module, norm: nn.Module, dropout: float = 0.0):
        super().__init__()
        self.slope, self.conv, self.norm, self.dropout = slope, convolution, norm, dropout

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.slope == 1 else F.leaky_relu(x, self.slope)
        x = self.norm(self.conv(x))
        return F.dropout(x, self.dropout) if self.dropout and self.training else x


class SkipTranslator(nn.Module):
    """A U-Net: pictures [N, C, H, W] are halved `depth` times and doubled again, each map beside its like on the way
    down. The sides are multiples of `multiple`, 2**depth."""

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, norm: Norm, dropout: float):
        super().__init__()
        self.multiple = 2**depth
        bias = norm != "batch"
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level in range(depth):
            first, last = level == 0, level == depth - 1
            above, here = inputs if first else maps(width, level - 1), maps(width, level)
            halve = nn.Conv2d(above, here, 4, 2, 1, bias=bias)
            # No norm next to the picture, nor where the map may be a single pixel.
            self.down.append(
                Layer(1.0 if first else 0.2, halve, normalisation("none" if first or last else norm, here))
            )
            to = outputs if first else above
            double = nn.ConvTranspose2d(here if last else 2 * here, to, 4, 2, 1, bias=bias or first)
            share = dropout if not first and level >= depth - _DROPPING else 0.0
            self.up.append(Layer(0.0, double, normalisation("none" if first else norm, to), share))

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Tensor:
        x, passed = pictures, []
        for layer in self.down:
            x = layer(x)
            passed.append(x)
        x = passed.pop()
        for layer in list(self.up)[:0:-1]:
            x = torch.cat([passed.pop(), layer(x)], 1)
        return torch.tanh(self.up[0](x))


class Pix2Pix(Architecture):
    """A U-Net that translates pictures, judged patch by patch.

    Isola, Zhu, Zhou and Efros 2017, arXiv:1611.07004, section 3.2 and appendix 6.1: a generator with skip connections
    and dropout in its three innermost decoder layers, and a discriminator of overlapping patches that sees the source
    beside the picture. Played by `cycle` there are two of each, and a discriminator sees a picture of its domain alone.
    Pictures of at least 16 px, square or not, any channels; a trained generator also takes other sizes whose sides are
    multiples of its `multiple`, 2**depth.

    Differs from the paper: at other sizes than 256 px the picture is halved as often as its sides allow. Dropout and
    statistics of the batch are of training alone, where the authors keep both when they sample, from batches of one.
    With `norm=auto` the discriminator has instance normalisation where a part of the run needs `per_sample_scores`
    (gradient penalties do); at a batch of one, as published, both are the same.

    Args:
        generator_width: channels after the generator's first convolution; each halving doubles them, up to eight times.
        discriminator_width: the discriminator's.
        depth: how often the picture is halved, 2 to 8; none: as often as its sides allow.
        patch: side in px of the patches that are judged; 1 is each pixel, 286 more than a picture of 256 px.
        norm: of both networks; auto: batch normalisation, but for the discriminator of a run that needs scores of
            single samples.
        dropout: share of values that are dropped, in [0, 1).
    """

    name = "pix2pix"
    paper = "arXiv:1611.07004"
    needs = ("image", "pairs|two_domains")
    offers: tuple[str, ...] = ("translator", "two_way", "discriminator", "smooth_samples", "per_sample_scores")
    procedure = "paired"
    dataset = "paired-shapes"
    tiny = {"generator_width": 2, "discriminator_width": 2, "patch": 16}

    def __init__(
        self,
        generator_width: int = 64,
        discriminator_width: int = 64,
        depth: int | None = None,
        patch: Patch = 70,
        norm: Literal["auto", "batch", "instance", "none"] = "auto",
        dropout: float = 0.5,
    ):
        check_widths(generator_width, discriminator_width)
        if depth is not None and not 2 <= depth <= _DEEPEST:
            raise OptionError(f"depth is from 2 to {_DEEPEST}")
        if not 0 <= dropout < 1:
            raise OptionError("dropout lies in [0, 1)")
        self.generator_width, self.discriminator_width, self.depth = generator_width, discriminator_width, depth
        self.patch, self.norm, self.dropout = patch, norm, dropout
        if norm == "batch":
            self.offers = tuple(word for word in self.offers if word != "per_sample_scores")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        height, width = checked_size(self.name, spec, 2 ** (self.depth or 2), self.patch)
        depth = self.depth or next(n for n in range(_DEEPEST, 0, -1) if not (height % 2**n or width % 2**n))
        norm, judged = self._norms(plan)
        return build_networks(
            spec,
            plan,
            lambda inputs, outputs: SkipTranslator(inputs, outputs, self.generator_width, depth, norm, self.dropout),
            lambda channels: Patches(channels, self.discriminator_width, self.patch, judged),
        )

    def _norms(self, plan: Plan) -> tuple[Norm, Norm]:
        """The generator's and the discriminator's."""
        if self.norm != "auto":
            return self.norm, self.norm
        if "per_sample_scores" not in plan.needs:
            return "batch", "batch"
        plan.notes.append(
            "pix2pix: the discriminator has instance normalisation, because a part needs per_sample_scores"
        )
        return "batch", "instance"

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """Translations of sources, which take the latents' place; there is nothing to truncate (UsageError)."""
        return translated(network, latent, truncation)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (
            Official(
                SOURCE,
                _official_networks,
                recorded_outputs,
                rename=lambda name: translator_name(name) or patches_name(name),
                recover=recovered,
                takes=lambda config: str(config.get("generator")).startswith("unet"),
            ),
        )


def translator_name(name: str) -> str | None:
    """A parameter's official name as `SkipTranslator` has it: there, each level is a module inside the one above.

    None for what is no parameter of such a network.
    """
    found = re.fullmatch(r"model((?:\.model\.\d+)+)\.(\w+)", name)
    if found is None:
        return None
    places = [int(number) for number in re.findall(r"\d+", found[1])]
    level, place = len(places) - 1, places[-1]
    # The innermost level has nothing inside, so what follows stands two places earlier.
    part = {0: "down.conv", 1: "down.conv", 2: "down.norm", 3: "up.conv", 4: "up.norm", 5: "up.conv", 6: "up.norm"}[
        place
    ]
    way, _, what = part.partition(".")
    return f"{way}.{level}.{what}.{found[2]}"


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    norm, words = recorded_norm(config), str(config["generator"])
    found = re.search(r"num_downs (\d+)", words)
    depth = int(found[1]) if found else {"unet_128": 7}.get(words, 8)
    inputs, outputs = int(config.get("input_nc", 3)), int(config.get("output_nc", 3))
    generator = SkipTranslator(inputs, outputs, int(config["ngf"]), depth, norm, 0.5)
    return {"G": generator, "D": recorded_patches(config)}


def recovered(weights: Weights) -> Recovered | None:
    """A generator of the authors' PyTorch code, and its discriminator where the file holds both."""
    named = {translator_name(name): value for name, value in official_generator(weights).items()}
    state = {name: value for name, value in named.items() if name is not None}
    if "down.0.conv.weight" not in state or len(state) < len(named):
        return None
    depth = 1 + max(int(name.split(".")[1]) for name in state)
    width, inputs = state["down.0.conv.weight"].shape[:2]
    outputs = state["up.0.conv.weight"].shape[1]
    norm: Norm = "batch" if f"up.{depth - 1}.norm.weight" in state else "instance"
    options, judge, notes = recovered_patches(weights, inputs + outputs)
    options = {"generator_width": width, "discriminator_width": width, "depth": depth, "norm": norm, **options}
    side = 2**depth
    spec = Spec("image", (outputs, side, side), source=(inputs, side, side), words=("pairs",))
    return Recovered(options, spec, {"G": without_statistics(state, norm), **judge}, notes, procedure="paired")


@hookimpl
def register_architectures(register: Any) -> None:
    register(Pix2Pix)
