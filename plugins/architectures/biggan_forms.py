"""The published sizes of BigGAN, and its form in the authors' code (ajbrock/BigGAN-PyTorch): what a checkpoint of it
was built with, and what its parameters are called here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ganzoo import Recovered, Spec, Weights

# Channels by how often the small map doubles, in units of the width: the generator's maps from the small one to the
# picture, and what comes out of the discriminator's blocks from the picture on.
_GENERATOR = {4: (16, 16, 8, 4, 2), 5: (16, 16, 8, 4, 2, 1), 6: (16, 16, 8, 8, 4, 2, 1)}
_DISCRIMINATOR = {4: (1, 2, 4, 8, 16), 5: (1, 2, 4, 8, 16, 16), 6: (1, 2, 4, 8, 8, 16, 16)}


def layers(doublings: int, generator: int | None, discriminator: int | None) -> tuple[list[int], list[int], int]:
    """Channels of the generator's maps and of the discriminator's blocks, and how many of the blocks halve."""
    default = 64 if doublings < 5 else 96
    wide = _GENERATOR.get(doublings, (4,) * (doublings + 1))
    narrow = _DISCRIMINATOR.get(doublings, (4,) * 4)
    halvings = doublings if doublings in _DISCRIMINATOR else 2
    generator, discriminator = generator or default, discriminator or default
    return [times * generator for times in wide], [times * discriminator for times in narrow], halvings


_OFFICIAL_NAMES = (
    (r"^blocks\.(\d+)\.0\.", r"blocks.\1."),
    (r"^blocks\.(\d+)\.1\.", r"blocks.\1.attention."),
    (r"\.bn\.(stored|running)_", r".stored_"),  # a normalisation of their own (mybn), or of several GPUs
    (r"\.bn(\d)\.stored_(mean|var)$", r".norm\1.norm.running_\2"),
    (r"\.bn(\d)\.", r".norm\1."),
    (r"\.conv_sc\.", ".shortcut."),
    (r"\.theta\.", ".query."),
    (r"\.phi\.", ".key."),
    (r"\.g\.", ".value."),
    (r"\.o\.", ".output."),
    (r"^output_layer\.0\.stored_", "ending.0.running_"),
    (r"^output_layer\.0\.gain$", "ending.0.weight"),
    (r"^output_layer\.", "ending."),
    (r"^embed\.", "classes."),
    (r"\.u0$", ".u"),
)

_NOTE = (
    "it was trained with normalisation over several GPUs (cross_replica), which multiplies by its gain here and in "
    "training; the authors' code adds the gain when it samples",
)


def official_name(name: str) -> str | None:
    """`blocks.2.1.theta.u0` -> `blocks.2.attention.query.u`; what is only shown or counted there is left out."""
    if re.search(r"\.(sv\d+|u[1-9]\d*|accumulation_counter|num_batches_tracked)$", name):
        return None
    for theirs, ours in _OFFICIAL_NAMES:
        name = re.sub(theirs, ours, name)
    return name


def recovered(weights: Weights) -> Recovered | None:
    """The authors' networks, of one file or of several; a file of `D.pth` holds a discriminator only. Raises ValueError
    where they are of a form that is not built here."""
    states = dict(weights.states)
    if "embed.weight" in states.get("G", {}):  # a file with one network does not say which
        states["D"] = states.pop("G")
    generator, discriminator = states.get("G_ema") or states.get("G") or {}, states.get("D") or {}
    if not ({"output_layer.0.gain", "blocks.0.0.bn1.gain.weight"} <= set(generator) or "embed.weight" in discriminator):
        return None
    for state in filter(None, (generator, discriminator)):
        if "blocks.0.0.conv4.weight" in state:
            raise ValueError("this is a BigGAN-deep, and only BigGAN is built")
        if "linear.u0" not in state:
            raise ValueError("its layers are not spectrally normalised")
    built, judged = (_generator_form(generator) if generator else {}), _discriminator_form(discriminator)
    if built and judged and any(built[key] != judged[key] for key in ("side", "classes", "attention")):
        raise ValueError("generator and discriminator differ in size, classes or attention")
    # The width of a network that is not there is the other's, as in every published setting.
    widths = built.get("generator_width"), judged.get("discriminator_width")
    options = {"generator_width": widths[1], "discriminator_width": widths[0], **judged, **built}
    side, channels, classes = (options.pop(key) for key in ("side", "channels", "classes"))
    spec = Spec("image", (channels, side, side), tuple(map(str, range(classes))))
    notes = _NOTE if any(name.endswith(".bn1.bn.running_mean") for name in generator) else ()
    return Recovered(options, spec, {name: _ours(state) for name, state in states.items()}, notes)


def _generator_form(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a generator was built with."""
    doublings = sum(bool(re.fullmatch(r"blocks\.\d+\.0\.conv1\.weight", name)) for name in state)
    gain, shared = state["blocks.0.0.bn1.gain.weight"], state.get("shared.weight")
    if "blocks.0.0.bn1.stored_mean" not in {re.sub(r"\.bn\.(stored|running)_", ".stored_", name) for name in state}:
        raise ValueError("its normalisation is not that of batches")
    ending = state["output_layer.2.weight"]
    width = _width(layers(doublings, 1, 1)[0], [len(state["linear.bias"]) // 16, *_outputs(state, doublings)])
    embedding = 0 if shared is None else shared.shape[1]
    hierarchical = bool(embedding) and gain.shape[1] > embedding
    attended = tuple(4 << (at + 1) for at in range(doublings) if f"blocks.{at}.1.theta.weight" in state)
    return {
        "side": 4 << doublings,
        "channels": len(ending),
        "classes": len(gain) if shared is None else len(shared),
        "latent": state["linear.weight"].shape[1] * (doublings + 1 if hierarchical else 1),
        "generator_width": width,
        "embedding": embedding,
        "hierarchical": hierarchical,
        "attention": attended or (0,),
    }


def _discriminator_form(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """What a discriminator was built with; nothing of none."""
    if not state:
        return {}
    blocks = sum(bool(re.fullmatch(r"blocks\.\d+\.0\.conv1\.weight", name)) for name in state)
    doublings, first = blocks - 1, state["blocks.0.0.conv1.weight"]
    side = 4 << doublings
    if any(len(state[f"blocks.{at}.0.conv1.weight"]) != out for at, out in enumerate(_outputs(state, blocks))):
        raise ValueError("its discriminator's blocks are not wide inside (D_thin)")
    attended = tuple(side >> (at + 1) for at in range(blocks) if f"blocks.{at}.1.theta.weight" in state)
    return {
        "side": side,
        "channels": first.shape[1],
        "classes": len(state["embed.weight"]),
        "discriminator_width": _width(layers(doublings, 1, 1)[1], _outputs(state, blocks)),
        "attention": tuple(sorted(attended)) or (0,),
    }


def _outputs(state: Mapping[str, Tensor], blocks: int) -> list[int]:
    """Channels of what comes out of the blocks."""
    return [len(state[f"blocks.{at}.0.conv2.weight"]) for at in range(blocks)]


def _width(times: list[int], channels: list[int]) -> int:
    """What these channels are so many times of."""
    width = channels[-1] // times[-1]
    if not 3 <= len(times) <= 7 or channels != [width * factor for factor in times]:
        raise ValueError(f"its maps have {', '.join(map(str, channels))} channels, which no size of 32 to 256 px has")
    return width


def _ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """An official state under our names. Sums of statistics become means."""
    made = {}
    for name, value in state.items():
        counted = state.get(re.sub(r"stored_(mean|var)$", "accumulation_counter", name))
        if (ours := official_name(name)) is not None:
            summed = counted is not None and counted is not value and float(counted) > 0
            made[ours] = value / counted if summed and counted is not None else value
    norms = [name for name in made if name.endswith("running_mean")]
    return made | {name.replace("running_mean", "num_batches_tracked"): torch.tensor(0) for name in norms}
