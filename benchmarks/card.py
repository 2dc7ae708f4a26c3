"""First questions to a GPU, whose answers decide what to write next. Prints and writes JSON.

python benchmarks/card.py OUT.json      copy bandwidth, clocks, R1's outer convolution, CUDA graphs
python benchmarks/card.py touch         every kernel, dtype, layout and order once: for compute-sanitizer
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forms
import measuring
import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo import kernels, ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # on a CPU: to see that this file runs
# N, channels, side: layers of a discriminator for 256 px. The outer pass convolves with kernels of side x side.
LAYERS = [(32, 128, 128), (32, 512, 32), (32, 512, 8)] if DEVICE == "cuda" else [(2, 8, 16)]
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}


def milliseconds(runs: dict[str, measuring.Run], seconds: float = 0.5) -> dict[str, float]:
    times = measuring.in_turn(runs, DEVICE, seconds)
    return {name: float(f"{statistics.median(found) * 1e3:.4g}") for name, found in times.items()}


def card() -> dict[str, Any]:
    if DEVICE == "cpu":
        return {}
    found = torch.cuda.get_device_properties(0)
    names = ("name", "multi_processor_count", "L2_cache_size", "total_memory")
    return {name: getattr(found, name, None) for name in names}


def copy_bandwidth() -> dict[str, Any]:
    """GB read and written a second; each size from one buffer to another."""
    sizes = (64, 256, 1024, 4096) if DEVICE == "cuda" else (64,)
    found = {f"{megabytes} MiB": _bandwidth(megabytes * 2**20) for megabytes in sizes}
    return {"gb_s": found, "clocks": measuring.clocks() if DEVICE == "cuda" else None}


def _bandwidth(size: int) -> dict[str, float]:
    source, target = torch.randn(size // 4, device=DEVICE), torch.empty(size // 4, device=DEVICE)
    runs: dict[str, measuring.Run] = {
        "copy": lambda _: target.copy_(source),
        "read": lambda _: source.sum(),
        "write": lambda _: target.zero_(),
    }
    moved = {"copy": 2 * size, "read": size, "write": size}
    return {name: round(moved[name] / time / 1e6, 1) for name, time in milliseconds(runs).items()}


def outer_convolution() -> list[dict[str, Any]]:
    """R1 through one convolution: its outer backward pass convolves with a kernel as large as the picture."""
    dtypes = (torch.float32, torch.bfloat16)
    return [_outer(*words) for words in itertools.product(LAYERS, dtypes, LAYOUTS)]


def _outer(layer: tuple[int, int, int], dtype: torch.dtype, layout: str) -> dict[str, Any]:
    samples, channels, side = layer
    made = {"device": DEVICE, "dtype": dtype, "requires_grad": True}
    x = torch.randn(samples, channels, side, side, **made).detach().contiguous(memory_format=LAYOUTS[layout])
    weight = torch.randn(channels, channels, 3, 3, **made).detach().contiguous(memory_format=LAYOUTS[layout])
    dy = torch.randn_like(x).requires_grad_()
    x, weight = x.requires_grad_(), weight.requires_grad_()

    def inner() -> Tensor:
        return torch.autograd.grad(F.conv2d(x, weight, padding=1), x, dy, create_graph=True)[0]

    direction = torch.randn_like(x)
    gradient = inner()
    runs: dict[str, measuring.Run] = {
        "forward": lambda _: F.conv2d(x.detach(), weight.detach(), padding=1),
        "backward by x and w": lambda _: torch.autograd.grad(F.conv2d(x, weight, padding=1), (x, weight), dy),
        "inner": lambda _: inner(),
        "outer alone": lambda _: torch.autograd.grad(gradient, (weight, dy), direction, retain_graph=True),
    }
    named = {"layer": list(layer), "dtype": str(dtype), "layout": layout}
    return {**named, "ms": milliseconds(runs, 0.3), "outer kernels": _slowest(runs["outer alone"])}


def _slowest(run: measuring.Run) -> list[str]:
    """What the outer pass spends its time in."""
    with torch.profiler.profile() as profile:
        run(0)
    events = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)
    return [f"{event.key[:90]}: {event.self_device_time_total:.0f} us" for event in events[:3]]


def graphs() -> dict[str, Any]:
    """Each operator with its backward pass, captured: whether replaying gives the same, and what it costs."""
    return {name: _captured(*words) for name, words in _small().items()}


def _small() -> dict[str, tuple[Callable[..., Tensor], Tensor, tuple[Tensor, ...]]]:
    x = torch.randn(4, 64, 16, 16, device=DEVICE).contiguous(memory_format=torch.channels_last)
    found = {}
    for operator in (*forms.OPERATORS, forms.PENALTY):
        function, more = operator.ours(x.dtype, DEVICE, x.shape[1])
        found[operator.name] = function, x, more
    return found


def _captured(function: Callable[..., Tensor], x: Tensor, more: tuple[Tensor, ...]) -> dict[str, Any]:
    x = x.clone().requires_grad_()
    dy = torch.ones_like(function(x, *more))

    def run(_: int = 0) -> tuple[Tensor, ...]:
        return torch.autograd.grad(function(x, *more), (x, *more), dy)

    side = torch.cuda.Stream()  # what is made once must be made outside the capture, and not on the default stream
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    with torch.no_grad():
        x.mul_(-1.5)
    graph.replay()
    same = all(torch.equal(one, other) for one, other in zip(captured, run(), strict=True))
    return {"same": same, "ms": milliseconds({"eager": run, "replayed": lambda _: graph.replay()}, 0.2)}


def touch() -> None:
    """Odd sizes, views that start inside a buffer, every dtype, layout and order of gradient."""
    assert kernels.native(DEVICE)
    dtypes = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
    every = (*forms.OPERATORS, forms.PENALTY)
    for operator, dtype, layout, size in itertools.product(every, dtypes, LAYOUTS, [(3, 5, 6, 10), (2, 40, 34, 18)]):
        function, more = operator.ours(torch.float32, DEVICE, size[1])
        x = torch.randn(size[0] + 1, *size[1:], device=DEVICE, dtype=dtype)[1:]
        x = x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
        if dtype == torch.float64:
            more = tuple(one.detach().double().requires_grad_() for one in more)
        y = function(x, *more)
        dy = torch.randn_like(y).requires_grad_()
        gradients = torch.autograd.grad(y, (x, *more), dy, create_graph=True)
        torch.autograd.grad(sum(one.square().sum() for one in gradients), dy)
        ops.between(x.detach(), x.detach().flip(0), torch.rand(len(x), device=DEVICE))
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    print("touched")


def attempted(question: Callable[[], Any]) -> Any:
    """The answer, or what went wrong: one question does not stop the next."""
    try:
        return question()
    except Exception as error:
        traceback.print_exc()
        return f"failed: {error}"


def main(path: str) -> None:
    found: dict[str, Any] = attempted(lambda: measuring.machine(DEVICE))
    found = found if isinstance(found, dict) else {"machine": found}
    for question in (card, copy_bandwidth, graphs, outer_convolution):
        found[question.__name__] = attempted(question)
        Path(path).write_text(json.dumps(found, indent=1) + "\n")  # each as soon as it is there
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    touch() if sys.argv[1] == "touch" else main(sys.argv[1])
