"""What networks that translate pictures share: the discriminator of patches, norms, first weights, and the names that
junyanz/pytorch-CycleGAN-and-pix2pix gives to their parts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import Networks, OptionError, Plan, Scores, SizeError, Spec, UsageError, Weights

Norm = Literal["batch", "instance", "none"]
# By the side in px of the patch that one score looks at: how often the picture is halved. Literal, as an option's type.
HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
Patch = Literal[1, 16, 34, 70, 142, 286]
SOURCE = "junyanz/pytorch-CycleGAN-and-pix2pix"
_WIDEST = 8  # times the width: channels double at each halving up to here


class InstanceNorm(nn.InstanceNorm2d):
    """Each map of each picture to mean 0 and variance 1. Of one picture, that is what batch normalisation computes,
    and is twice as quick on a CPU, where the channels lie last."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 1:
            return super().forward(x)
        return F.batch_norm(x, None, None, training=True, eps=self.eps)


def normalisation(norm: Norm, channels: int) -> nn.Module:
    if norm == "none":
        return nn.Identity()
    return nn.BatchNorm2d(channels) if norm == "batch" else InstanceNorm(channels)


def maps(width: int, level: int) -> int:
    """Channels after `level` doublings of them."""
    return width * min(2**level, _WIDEST)


class Patches(nn.Module):
    """Pictures [N, C, H, W] become raw scores [N, 1, h, w], one for each patch of so many pixels a side.

    The patches overlap, and lie beyond the edges (zeros) by a part of themselves. No norm in the first and the last
    layer. 1 pixel: convolutions of that size alone. slope: of what is below 0, after the halvings that have a norm.
    """

    def __init__(self, channels: int, width: int, patch: int, norm: Norm, slope: float = 0.2):
        super().__init__()
        halvings, bias = HALVINGS[patch], norm != "batch"
        kernel, strides = (4, [2] * halvings + [1]) if halvings else (1, [1, 1])
        main: list[nn.Module] = []
        for level, stride in enumerate(strides):
            wide = maps(width, level)
            main.append(nn.Conv2d(channels, wide, kernel, stride, kernel // 4, bias=bias or level == 0))
            main += [normalisation(norm, wide)] if level else []
            main.append(nn.LeakyReLU(slope if 0 < level < len(strides) - 1 else 0.2, True))
            channels = wide
        self.main = nn.Sequential(*main, nn.Conv2d(channels, 1, kernel, 1, kernel // 4, bias=bias or halvings > 0))

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.main(pictures))


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of batch normalisation from N(1, 0.02), no biases (Isola et al., section 6.2)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d)) and module.bias is not None:
        nn.init.zeros_(module.bias)


def check_widths(*widths: int) -> None:
    if min(widths) < 1:
        raise OptionError("widths are at least 1")


def checked_size(name: str, spec: Spec, multiple: int, patch: int) -> tuple[int, int]:
    """Height and width of sources and samples. Raises SizeError naming what works."""
    source, (height, width) = spec.source or (), spec.shape[1:]
    if len(source) != 3 or source[1:] != (height, width):
        told = "x".join(map(str, source[1:])) or "none"
        raise SizeError(
            f"{name} translates a picture into one of the same size, and the data have sources of {told} and samples "
            f"of {height}x{width}; give both one size, with the data's option size={height}x{width}"
        )
    if height % multiple or width % multiple or min(height, width) < 16:
        near = "x".join(str(max(16, multiple, round(side / multiple) * multiple)) for side in (height, width))
        raise SizeError(
            f"{name} translates pictures of at least 16 px whose sides are multiples of {multiple}, not "
            f"{height}x{width}; try size={near}"
        )
    if min(height, width) < least_side(patch):
        fits = max(side for side in HALVINGS if min(height, width) >= least_side(side))
        raise SizeError(
            f"{name} with patches of {patch} px needs sides of at least {least_side(patch)} px, not {height}x{width}; "
            f"say --arch {name}:patch={fits}, or try size={least_side(patch)}"
        )
    return height, width


def least_side(patch: int) -> int:
    """Of a picture, such that there is a score, and that instance normalisation has more than one pixel before it."""
    return 3 * 2 ** HALVINGS[patch] if HALVINGS[patch] else 2


def build_networks(
    spec: Spec, plan: Plan, translator: Callable[[int, int], nn.Module], discriminator: Callable[[int], nn.Module]
) -> Networks:
    """One translator, and a discriminator of sources and samples joined; or, where a part needs `two_way`, a translator
    and a discriminator for each domain: `a`, that of the sources, and `b`, that of the samples.

    translator: makes one from the channels of what it is given and of what it makes. discriminator: from the channels
    of what it sees.
    """
    assert spec.source is not None
    sources, samples = spec.source[0], spec.shape[0]
    if "two_way" in plan.needs:
        networks = Networks(
            {"generator_a": translator(samples, sources), "generator_b": translator(sources, samples)},
            {"discriminator_a": discriminator(sources), "discriminator_b": discriminator(samples)},
        )
    else:
        networks = Networks.pair(translator(sources, samples), discriminator(sources + samples))
    for network in networks.all().values():
        network.apply(initialise)
    return networks


def translated(network: nn.Module, source: Tensor, truncation: float) -> Tensor:
    """What `Architecture.sample` is here: sources are pictures, and nothing of them is drawn."""
    if truncation != 1:
        raise UsageError("a translator has no latents to be truncated; leave out the truncation")
    made: Tensor = network(source)
    return made


# Official networks


def recorded_patches(config: Mapping[str, Any]) -> Patches:
    """The discriminator of a recording's configuration: its `discriminator` is text such as `n_layers 3`.

    The recorded form, which calls itself the current one, has plain ReLU after the halvings with a norm; the paper, and
    the form in which the authors' checkpoints were trained, a slope of 0.2 everywhere.
    """
    words = str(config["discriminator"])
    found = re.search(r"n_layers (\d+)", words)
    halvings = 0 if "pixel" in words.lower() else int(found[1]) if found else 3
    channels = int(config.get("output_nc", 3)) + (int(config.get("input_nc", 3)) if "concatenated" in words else 0)
    return Patches(channels, int(config["ndf"]), patch_of(halvings), recorded_norm(config), slope=0.0)


def recorded_norm(config: Mapping[str, Any]) -> Norm:
    return "batch" if str(config["norm"]).startswith("batch") else "instance"


def recorded_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """The translation of `x`, and its scores: of itself, or joined to `x`, as many channels as are looked at."""
    generator, discriminator = networks["G"].eval(), networks["D"].eval()
    made = generator(recorded["x"])
    seen = made if next(discriminator.parameters()).shape[1] == made.shape[1] else torch.cat([recorded["x"], made], 1)
    return {"y": made, "scores": discriminator(seen).value}


def patch_of(halvings: int) -> int:
    for patch, halved in HALVINGS.items():
        if halved == halvings:
            return patch
    raise OptionError(f"patches of {halvings} halvings are not known; there are up to {max(HALVINGS.values())}")


def patches_name(name: str) -> str:
    """A parameter's official name, as `Patches` has it."""
    return re.sub(r"^(model|net)\.", "main.", name)


def official_generator(weights: Weights) -> Mapping[str, Tensor]:
    """The generator's tensors. Raises UsageError for a file that holds a discriminator of patches alone."""
    state = weights.states.get("G_ema") or weights.states.get("G") or {}
    named = sorted((name for name in state if re.fullmatch(r"(model|net)\.\d+\.weight", name)), key=_number)
    convolutions = [state[name] for name in named if state[name].ndim == 4]
    kernels = {tuple(value.shape[2:]) for value in convolutions}
    if len(convolutions) > 2 and kernels <= {(4, 4), (1, 1)} and len(convolutions[-1]) == 1:
        raise UsageError(
            "the file holds a discriminator alone; a run needs the network that translates, such as latest_net_G.pth"
        )
    return state


def recovered_patches(
    weights: Weights, channels: int
) -> tuple[dict[str, Any], dict[str, Mapping[str, Tensor]], tuple[str, ...]]:
    """Options and tensors of a checkpoint's discriminator if it sees so many channels, and a note if it does not."""
    state = weights.states.get("D") or {}
    own = {patches_name(name): value for name, value in state.items()}
    layers = [own[name] for name in sorted(own, key=_number) if name.endswith(".weight") and own[name].ndim == 4]
    if not layers:
        return {}, {}, ()
    if layers[0].shape[1] != channels:
        return {}, {}, (f"the file's discriminator sees {layers[0].shape[1]} channels and not the source too",)
    norm: Norm = (
        "batch" if any(name.endswith(".weight") and value.ndim == 1 for name, value in own.items()) else "instance"
    )
    halvings = 0 if layers[0].shape[2] == 1 else len(layers) - 2
    options = {"discriminator_width": len(layers[0]), "patch": patch_of(halvings)}
    return options, {"D": without_statistics(own, norm)}, ()


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(word) for word in name.split(".") if word.isdigit())


def without_statistics(state: Mapping[str, Tensor], norm: Norm) -> dict[str, Tensor]:
    """Tensors without what older versions kept beside instance normalisation, and did not use."""
    beside = ("running_mean", "running_var", "num_batches_tracked")
    return {name: value for name, value in state.items() if norm == "batch" or not name.endswith(beside)}
