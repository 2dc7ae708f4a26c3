"""StyleGAN2's whole iteration, R1 and path length with it, on the kernels and on plain PyTorch: the same networks.

    python -m pytest benchmarks/test_style.py --benchmark-enable -s

Sixteen steps are one reading: in them R1 is due once and path length four times. Both sides run in one process, in
turn, channels-last and with freed memory kept; only the operators differ.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import forms
import measuring
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo import ops
from ganzoo.allocator import keep_memory
from ganzoo.config import resolve
from ganzoo.registry import installed
from ganzoo.training import build, checked

CYCLE, PAIRS = 16, 3
WORDS = {
    "arch": "stylegan2:channel_base=4096,channel_max=256,latent=256,style=256",
    "loss": "nonsaturating",
    "reg": ("r1:gamma=1,every=16", "path-length:every=4"),
    "data": "shapes:size=64",
    "batch": 16,
}
SLOPES = {"lrelu": (0.2, 2**0.5), "linear": (1.0, 1.0)}


def plain_bias_act(
    x: Tensor,
    b: Tensor | None = None,
    dim: int = 1,
    act: str = "linear",
    alpha: float | None = None,
    gain: float | None = None,
    clamp: float | None = None,
) -> Tensor:
    """What a person writes."""
    slope, usual = SLOPES[act]
    x = x if b is None else x + b.to(x.dtype).reshape([-1 if axis == dim else 1 for axis in range(x.ndim)])
    x = x if act == "linear" else F.leaky_relu(x, slope if alpha is None else alpha)
    gain = usual if gain is None else gain
    x = x if gain == 1 else x * gain
    return x if clamp is None else x.clamp(-clamp, clamp)


MADE: dict[Any, Any] = {}


def plain_resampling(maker: forms.Maker) -> Any:
    def resample(x: Tensor, f: Tensor, *rest: Any, **named: Any) -> Tensor:
        key = (maker, x.shape[1], x.dtype)
        if key not in MADE:
            MADE[key] = maker(x.dtype, "cpu", x.shape[1])[0]
        made: Tensor = MADE[key](x)
        return made

    return resample


def plain_upfirdn2d(x: Tensor, f: Tensor, up: Any = 1, down: Any = 1, padding: Any = 0, **named: Any) -> Tensor:
    """Padding and a depthwise convolution; the layers ask for nothing else."""
    assert up == 1 and down == 1
    taps = (f * named.get("gain", 1)).flip([0, 1]).to(x.dtype)
    weight = taps[None, None].expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, list(padding)), weight, groups=x.shape[1])


PLAIN = {
    "bias_act": plain_bias_act,
    "upfirdn2d": plain_upfirdn2d,
    "upsample2d": plain_resampling(forms.eager_up),
    "downsample2d": plain_resampling(forms.eager_down),
}


@contextmanager
def plainly() -> Iterator[None]:
    kept = {name: getattr(ops, name) for name in PLAIN}
    for name, function in PLAIN.items():
        setattr(ops, name, function)
    try:
        yield
    finally:
        for name, function in kept.items():
            setattr(ops, name, function)


def game_of(precision: str) -> Any:
    config = resolve(installed(), {**WORDS, "precision": precision})
    parts = checked(config, installed())
    return build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_iteration(precision: str, request: pytest.FixtureRequest) -> None:
    if not measuring.enabled(request.config):
        pytest.skip("a timing; add --benchmark-enable")
    keep_memory()
    ours, theirs = game_of(precision), game_of(precision)
    times: dict[str, list[float]] = {"kernels": [], "plain": []}

    def cycle(game: Any, name: str) -> None:
        began = time.perf_counter()
        for step in range(game.step + 1, game.step + 1 + CYCLE):
            game.play(step)
        times[name].append(time.perf_counter() - began)

    for pair in range(PAIRS + 1):
        for name in ("kernels", "plain") if pair % 2 else ("plain", "kernels"):
            if name == "kernels":
                cycle(ours, name)
            else:
                with plainly():
                    cycle(theirs, name)
    if precision == "fp32":  # the same game: losses agree as far as rounding lets them after so many steps
        first, second = ours.numbers(), theirs.numbers()
        assert first["loss/discriminator"] == pytest.approx(second["loss/discriminator"], rel=0.2)
    ratios = [mine / other for mine, other in zip(times["kernels"][1:], times["plain"][1:], strict=True)]
    found = {
        "precision": precision,
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "ms_an_iteration": {
            name: round(1e3 * statistics.median(values[1:]) / CYCLE, 1) for name, values in times.items()
        },
        "words": {name: list(value) if isinstance(value, tuple) else value for name, value in WORDS.items()},
    }
    command = "python -m pytest benchmarks/test_style.py --benchmark-enable -s"
    print(f"\n{found}\n{measuring.write(f'style-{precision}', {**measuring.machine(), 'command': command, **found})}")
