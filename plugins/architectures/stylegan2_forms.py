"""Checkpoints of StyleGAN2: their names, and what their tensors tell. Those of NVIDIA's stylegan2-ada-pytorch and those
of rosinality's stylegan2-pytorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import Draws, Recovered, Spec, UsageError, Weights, derive, ops
from ganzoo_plugins.architectures.style_layers import FILTER
from ganzoo_plugins.architectures.style_layers import Mapping as Layers

MEAN_OF = 4_096  # latents over which rosinality's code takes a mean style
_State = Mapping[str, Tensor]
_Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]


def recovered(weights: Weights) -> Recovered | None:
    """Networks of either form, None if they are of neither."""
    state = weights.states.get("G_ema") or weights.states.get("G") or {}
    if {"mapping.fc0.weight", "synthesis.b4.const", "synthesis.b4.conv1.affine.weight"} <= set(state):
        return _of_nvidia(weights, state)
    if {"style.1.weight", "input.input", "conv1.conv.modulation.weight"} <= set(state):
        return _of_rosinality(weights, state)
    return None


def _widths(widths: dict[int, int]) -> dict[str, int]:
    """Options that give maps of these sides these channels."""
    return {
        "channel_base": max(side * width for side, width in widths.items()),
        "channel_max": max(widths.values()),
    }


def _replaced(name: str, rules: _Rules) -> str:
    for theirs, ours in rules:
        name = re.sub(theirs, ours, name)
    return name


# NVIDIA's


def nvidia_name(name: str) -> str | None:
    """`synthesis.b8.conv0.affine.weight` -> `synthesis.blocks.1.conv0.conv.affine.weight`; filters are constants."""
    return None if name.endswith("resample_filter") else _replaced(name, _FROM_NVIDIA)


def _level(side: str) -> int:
    """How often 4 pixels were doubled."""
    return int(side).bit_length() - 3


_FROM_NVIDIA: _Rules = (
    (r"\bfc(\d+)\.", r"layers.\1."),  # of a mapping
    (r"^b4\.fc\.", "dense."),
    (r"^b4\.out\.", "score."),
    (r"^b4\.conv\.", "conv."),
    (r"^b\d+\.fromrgb\.", "frompicture."),
    (r"\.w_avg$", ".mean"),
    (r"\.noise_(strength|const)$", r".noise.\1"),
    (r"^(synthesis\.b\d+\.\w+)\.(affine|weight)", r"\1.conv.\2"),
    (r"\.torgb\.", ".topicture."),
    (r"^synthesis\.b(\d+)\.", lambda found: f"synthesis.blocks.{_level(found[1])}."),
    (r"^b(\d+)\.", lambda found: f"blocks.{_level(found[1]) - 1}."),
)


def _of_nvidia(weights: Weights, state: _State) -> Recovered:
    sides = [int(found[1]) for name in state if (found := re.fullmatch(r"synthesis\.b(\d+)\.conv1\.weight", name))]
    style = state["synthesis.b4.conv1.affine.weight"].shape[1]
    embedding = state.get("mapping.embed.weight")
    classes = 0 if embedding is None else embedding.shape[1]
    built, judged = (weights.options.get(name, {}) for name in ("G", "D"))
    discriminator = weights.states.get("D", {})
    options = {
        "latent": state["mapping.fc0.weight"].shape[1] - (style if classes else 0),
        "style": style,
        "mapping_layers": sum(bool(re.fullmatch(r"mapping\.fc\d+\.weight", name)) for name in state),
        **_widths({side: len(state[f"synthesis.b{side}.conv1.weight"]) for side in sides}),
        "discriminator": "orig" if discriminator and not any(".skip." in name for name in discriminator) else "resnet",
        "group": judged.get("epilogue_kwargs", {}).get("mbstd_group_size") or 4,
        "clamp": built.get("synthesis_kwargs", {}).get("conv_clamp"),
        "conditional": classes > 0,
    }
    channels, side = len(state[f"synthesis.b{max(sides)}.torgb.weight"]), max(sides)
    states = {
        network: {ours: value for name, value in held.items() if (ours := nvidia_name(name)) is not None}
        for network, held in weights.states.items()
    }
    return Recovered(options, Spec("image", (channels, side, side), tuple(map(str, range(classes)))), states)


def to_nvidia(network: str, state: _State) -> dict[str, Tensor]:
    """The parameters of our generator (`G`) or discriminator (`D`) as NVIDIA's code names them, with its filters."""
    if network == "G" and state["synthesis.blocks.0.const"].shape[1:] != (4, 4):
        raise UsageError("the official StyleGAN2 makes square pictures of 16, 32, 64, ... px, which these are not")
    levels = len({name.split(".")[1] for name in state if name.startswith("blocks.")})
    named = {official_name(name, levels): value for name, value in state.items()}
    return {**named, **dict.fromkeys(_filters(named), ops.setup_filter(FILTER, separable=False))}


def official_name(name: str, levels: int = 0) -> str:
    """The inverse of `nvidia_name`. levels: how many blocks a discriminator has."""
    rules: _Rules = (
        (r"^mapping\.layers\.(\d+)", r"mapping.fc\1"),
        (r"^mapping\.mean$", "mapping.w_avg"),
        (r"\.noise\.", ".noise_"),
        (r"\.topicture\.", ".torgb."),
        (r"^(synthesis\..*)\.conv\.", r"\1."),
        (r"^synthesis\.blocks\.(\d+)", lambda found: f"synthesis.b{4 << int(found[1])}"),
        (r"^(conv|dense|score)\.", lambda found: f"b4.{ {'conv': 'conv', 'dense': 'fc', 'score': 'out'}[found[1]] }."),
        (r"^frompicture", f"b{4 << levels}.fromrgb"),
        (r"^blocks\.(\d+)", lambda found: f"b{8 << int(found[1])}"),
    )
    return _replaced(name, rules)


def _filters(names: Mapping[str, Any]) -> list[str]:
    """Where that code keeps its filter: at every convolution without a style of its own, and at every block."""
    layers = {found[1] for name in names if (found := re.fullmatch(r"(.*\.(?:conv\d?|skip|fromrgb))\.weight", name))}
    blocks = {layer.rpartition(".")[0] for layer in layers} - {"b4"}
    return sorted(f"{place}.resample_filter" for place in layers | blocks)


# rosinality's


_GENERATOR: _Rules = (
    (r"^style\.(\d+)", lambda found: f"mapping.layers.{int(found[1]) - 1}"),
    (r"^input\.input$", "synthesis.blocks.0.const"),
    (r"^noises\.noise_(\d+)$", lambda found: f"synthesis.blocks.{_place(int(found[1]))}.noise.const"),
    (r"^conv1\.", "synthesis.blocks.0.conv1."),
    (r"^convs\.(\d+)", lambda found: f"synthesis.blocks.{_place(int(found[1]) + 1)}"),
    (r"^to_rgb1\.", "synthesis.blocks.0.topicture."),
    (r"^to_rgbs\.(\d+)", lambda found: f"synthesis.blocks.{int(found[1]) + 1}.topicture"),
    (r"\.modulation\.", ".affine."),
    (r"\.noise\.weight$", ".noise.strength"),
    (r"\.activate\.bias$", ".bias"),
)


def _place(layer: int) -> str:
    """Layers are counted from the smallest map's only one."""
    return f"{(layer + 1) // 2}.conv{(layer + 1) % 2}"


def _discriminator(levels: int) -> _Rules:
    """There blocks are counted from the picture's."""
    return (
        (r"^convs\.0\.[01]\.", "frompicture."),
        (r"^convs\.(\d+)", lambda found: f"blocks.{levels - int(found[1])}"),
        (r"\.conv1\.[01]\.", ".conv0."),
        (r"\.conv2\.[12]\.", ".conv1."),
        (r"\.skip\.1\.", ".skip."),
        (r"^final_conv\.[01]\.", "conv."),
        (r"^final_linear\.0\.", "dense."),
        (r"^final_linear\.1\.", "score."),
    )


def _of_rosinality(weights: Weights, state: _State) -> Recovered:
    """Its discriminator's groups are of 4 samples, it has no labels, and a latent is as large as a style."""
    levels = 1 + max(int(found[1]) for name in state if (found := re.match(r"to_rgbs\.(\d+)\.", name)))
    widths = {4: state["input.input"].shape[1]}
    widths |= {8 << level: state[f"convs.{2 * level + 1}.conv.weight"].shape[1] for level in range(levels)}
    style = state["style.1.weight"].shape[1]
    layers = sum(bool(re.fullmatch(r"style\.\d+\.weight", name)) for name in state)
    rules = {"G": _GENERATOR, "G_ema": _GENERATOR, "D": _discriminator(levels)}
    states = {
        network: {
            ours: _trimmed(ours, value)
            for name, value in held.items()
            if not name.endswith("kernel") and (ours := _replaced(name, rules[network]))
        }
        for network, held in weights.states.items()
    }
    kept = weights.others.get("latent_avg")
    for network in states.keys() - {"D"}:
        states[network]["mapping.mean"] = _mean(states[network], style, layers) if kept is None else kept.flatten()
    notes = () if kept is not None else (f"the file holds no mean style; it was taken over {MEAN_OF:,} latents",)
    options = {"latent": style, "style": style, "mapping_layers": layers, **_widths(widths), "group": 4}
    return Recovered(options, Spec("image", (3, 4 << levels, 4 << levels)), states, notes)


def _trimmed(name: str, value: Tensor) -> Tensor:
    """Without the axes of length 1 that only that code has."""
    if name.endswith("noise.const"):
        return value[0, 0]
    if name.endswith("noise.strength"):
        return value.reshape(())
    if name.endswith("topicture.bias"):
        return value.flatten()
    return value[0] if value.ndim == 5 or name.endswith(".const") else value


@torch.no_grad()
def _mean(state: _State, style: int, layers: int) -> Tensor:
    mapping, prefix = Layers(style, 0, style, layers), "mapping."
    mapping.load_state_dict({name.removeprefix(prefix): state[name] for name in state if name.startswith(prefix)})
    mean: Tensor = mapping(Draws(derive(0, "mean style")).normal("latent", MEAN_OF, style), None).mean(0)
    return mean
