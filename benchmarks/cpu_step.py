"""One process of test_cpu_settings.py: the steps of one training with some settings, timed. Prints JSON.

    python benchmarks/cpu_step.py '{"net": "five-layer", "layout": "channels-last", "keep_memory": true, ...}'

A process of its own, because memory settings last and freed memory is never clean of what was done before.
"""

from __future__ import annotations

import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import forms
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo import ops
from ganzoo.allocator import keep_memory

LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


@dataclass(frozen=True)
class Settings:
    """What is timed. operators: `plain` is what a person writes in PyTorch, `ganzoo` is ganzoo.ops, which
    GANZOO_KERNELS may still turn into its references."""

    net: str
    layout: str
    keep_memory: bool
    precision: str
    operators: str = "ganzoo"
    r1: bool = False
    batch: int = 32
    width: int = 64
    steps: int = 5
    profile: bool = False

    @property
    def format(self) -> torch.memory_format:
        return LAYOUTS[self.layout]


# DCGAN, through ganzoo's own Game


def dcgan(settings: Settings) -> Callable[[int], None]:
    from ganzoo.config import resolve
    from ganzoo.registry import installed
    from ganzoo.training import build, checked

    words = {"arch": f"dcgan:width={settings.width}", "data": "digits:size=64", "loss": "nonsaturating"}
    config = resolve(installed(), {**words, "batch": settings.batch, "precision": settings.precision})
    parts = checked(config, installed())
    game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
    game.layout = settings.format  # before the first step: there are no moments yet that lie otherwise
    for network in game.networks.all().values():
        network.to(memory_format=settings.format)
    return game.play


# Five layers in the manner of StyleGAN: 3x3 convolutions, bias and leaky ReLU in one operator, blurred resampling


class Plain:
    """The operators as a person writes them in PyTorch."""

    def __init__(self) -> None:
        self.made: dict[tuple[str, int, torch.dtype], Any] = {}

    def act(self, x: Tensor, b: Tensor) -> Tensor:
        return F.leaky_relu(x + b.to(x.dtype).reshape(1, -1, 1, 1), 0.2) * 2**0.5

    def up(self, x: Tensor) -> Tensor:
        return self._function("up", forms.eager_up, x)(x)

    def down(self, x: Tensor) -> Tensor:
        return self._function("down", forms.eager_down, x)(x)

    def _function(self, name: str, maker: forms.Maker, x: Tensor) -> Any:
        key = (name, x.shape[1], x.dtype)
        if key not in self.made:
            self.made[key] = maker(x.dtype, "cpu", x.shape[1])[0]
        return self.made[key]


class Ours:
    def __init__(self) -> None:
        self.taps = forms.taps()

    def act(self, x: Tensor, b: Tensor) -> Tensor:
        return ops.fused_leaky_relu(x, b)

    def up(self, x: Tensor) -> Tensor:
        return ops.upsample2d(x, self.taps)

    def down(self, x: Tensor) -> Tensor:
        return ops.downsample2d(x, self.taps)


class Layer(nn.Module):
    """A 3x3 convolution without bias, then bias and leaky ReLU; resampled before (up) or after (down)."""

    def __init__(self, entering: int, leaving: int, operators: Plain | Ours, resample: str = ""):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(leaving, entering, 3, 3) / math.sqrt(9 * entering))
        self.bias = nn.Parameter(torch.zeros(leaving))
        self.operators, self.resample = operators, resample

    def forward(self, x: Tensor) -> Tensor:
        x = self.operators.up(x) if self.resample == "up" else x
        x = self.operators.act(F.conv2d(x, self.weight, padding=1), self.bias)
        return self.operators.down(x) if self.resample == "down" else x


class Generator(nn.Module):
    """A latent becomes 4x4 features; four layers double them to 64x64, a fifth makes the picture."""

    def __init__(self, width: int, operators: Plain | Ours):
        super().__init__()
        channels = [8 * width, 4 * width, 2 * width, width, width]
        self.first = nn.Linear(128, channels[0] * 16)
        pairs = pairwise(channels)
        self.layers = nn.Sequential(*(Layer(a, b, operators, "up") for a, b in pairs))
        self.picture = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.first(latent).reshape(len(latent), -1, 4, 4)
        return self.picture(self.layers(x.contiguous(memory_format=_format_of(self)))).tanh()


class Discriminator(nn.Module):
    """A picture of 64x64; four layers halve it to 4x4, a fifth makes the score."""

    def __init__(self, width: int, operators: Plain | Ours):
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 8 * width]
        pairs = pairwise(channels)
        self.layers = nn.Sequential(*(Layer(a, b, operators, "down") for a, b in pairs))
        self.score = nn.Linear(8 * width * 16, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.score(self.layers(pictures).flatten(1)).flatten()


def _format_of(network: nn.Module) -> torch.memory_format:
    weight = network.layers[0].weight
    return torch.contiguous_format if weight.is_contiguous() else torch.channels_last


def five_layer(settings: Settings) -> Callable[[int], None]:
    """Non-saturating loss, Adam, a bare loop: only operators and settings differ."""
    torch.manual_seed(0)
    operators = Plain() if settings.operators == "plain" else Ours()
    made = (kind(settings.width, operators) for kind in (Generator, Discriminator))
    generator, discriminator = (network.to(memory_format=settings.format) for network in made)
    of_generator, of_discriminator = (
        torch.optim.Adam(network.parameters(), 2e-4, (0.0, 0.99), fused=True) for network in (generator, discriminator)
    )
    pictures = [torch.rand(settings.batch, 3, 64, 64).contiguous(memory_format=settings.format) for _ in range(4)]
    bf16 = torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16")

    def moved(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def play(step: int) -> None:
        real = pictures[step % 4].detach().requires_grad_(settings.r1)
        with bf16:
            with torch.no_grad():
                fake = generator(torch.randn(settings.batch, 128))
            on_real, on_fake = discriminator(real), discriminator(fake.float())
        loss = (F.softplus(-on_real.float()) + F.softplus(on_fake.float())).mean()
        moved(of_discriminator, loss + _r1(on_real, real, settings.operators) if settings.r1 else loss)
        discriminator.requires_grad_(False)
        with bf16:
            on_fake = discriminator(generator(torch.randn(settings.batch, 128)).float())
        moved(of_generator, F.softplus(-on_fake.float()).mean())
        discriminator.requires_grad_(True)
        if not loss.isfinite():
            raise SystemExit("the loss is not a number")

    return play


def _r1(score: Tensor, real: Tensor, operators: str) -> Tensor:
    (gradient,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    if operators == "plain":
        return 5 * gradient.square().sum((1, 2, 3)).mean()
    return ops.gradient_penalty(gradient, "squared", weight=5).mean()


# Timing


def timed(settings: Settings) -> dict[str, Any]:
    if settings.keep_memory:
        keep_memory()
    torch.set_num_threads(os.cpu_count() or 1)
    play = {"dcgan": dcgan, "five-layer": five_layer}[settings.net](settings)
    for step in (1, 2):  # what is built, loaded and allocated once
        play(step)
    before, times = resource.getrusage(resource.RUSAGE_SELF), []
    for step in range(settings.steps):
        began = time.perf_counter()
        play(step + 3)
        times.append(time.perf_counter() - began)
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = {name: getattr(after, name) - getattr(before, name) for name in ("ru_utime", "ru_stime", "ru_minflt")}
    return {
        "median_ms": round(1e3 * statistics.median(times), 1),
        "best_ms": round(1e3 * min(times), 1),
        "images_per_second": round(settings.batch / statistics.median(times), 1),
        "page_faults_a_step": round(spent["ru_minflt"] / settings.steps),
        "in_system": round(spent["ru_stime"] / (spent["ru_utime"] + spent["ru_stime"]), 3),
        **({"shares": shares(play, settings.steps + 3)} if settings.profile else {}),
    }


KINDS = {
    "convolution": ("conv",),
    "matrix": ("mm", "linear"),
    "kernels": ("ganzoo::",),
    "normalisation": ("batch_norm",),
    "optimizer": ("adam",),
    "copies and layouts": ("copy_", "pad", "clone", "fill_", "zero_", "cat"),
}


def shares(play: Callable[[int], None], step: int) -> dict[str, float]:
    """Where a step's time goes, by the profiler's own times; `elementwise and other` is all that has no name here.

    A page fault is counted where memory is first touched, so the allocator's cost is in every kind: `in_system` has it.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        play(step)
    events = profile.key_averages()
    total, found = sum(event.self_cpu_time_total for event in events), dict.fromkeys([*KINDS, "other"], 0.0)
    for event in events:
        kind = next((kind for kind, words in KINDS.items() if any(word in event.key for word in words)), "other")
        found[kind] += event.self_cpu_time_total / total
    found["elementwise and other"] = found.pop("other")
    return {kind: round(share, 3) for kind, share in found.items() if share >= 0.001}


if __name__ == "__main__":
    print(json.dumps(timed(Settings(**json.loads(sys.argv[1])))))
