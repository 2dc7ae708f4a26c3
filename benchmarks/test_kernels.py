"""ganzoo's kernels against plain PyTorch, torch.compile and, with --peer, NVIDIA's own operators.

A row is an operator at a size, a dtype, a memory layout and a pass. All contenders of a row, and a plain copy of a
tensor of the row's size, are timed in turn in one process; what counts are the ratios, and the share of the floor: the
time in which a copy moves the bytes that must move. `make bench` prints the table and writes
benchmarks/results/kernels-*.json. Timing decides no test: what is asserted is that all contenders agree.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import measuring
import pytest
import torch
from forms import BACKWARD, DOUBLE, FORWARD, OPERATORS, PASSES, PENALTY, Maker, Operator, Peer
from measuring import Run
from rich.console import Console
from rich.table import Table
from torch import Tensor

from ganzoo import kernels
from ganzoo.allocator import keep_memory

SIZES = {
    "cpu": [(4, 512, 64, 64), (4, 128, 256, 256), (4, 64, 16, 16)],
    "cuda": [(32, 512, 64, 64), (32, 128, 256, 256), (4, 64, 16, 16)],
}
PENALTY_SIZE = {"cpu": (16, 3, 256, 256), "cuda": (64, 3, 256, 256)}
TINY = (2, 3, 8, 12)
DTYPES = {
    "cpu": [torch.float32, torch.bfloat16],
    "cuda": [torch.float32, torch.bfloat16, torch.float16],
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
ROTATED = 512e6  # bytes of inputs, used by turns, so that they come from memory: several times a GPU's cache
LARGE = 2**22  # numbers: smaller tensors stay in a cache, and what is timed is mostly calls
COMPILED_FROM = 2**24  # numbers: to compile takes seconds a row
ERRORS = {torch.float32: 1e-4, torch.bfloat16: 2**-5, torch.float16: 2**-8}  # of the largest value


@dataclass(frozen=True)
class Row:
    operator: Operator
    size: tuple[int, ...]
    dtype: torch.dtype
    layout: str
    which: str

    def words(self) -> dict[str, Any]:
        dtype = str(self.dtype).removeprefix("torch.")
        return {
            "op": self.operator.name,
            "size": list(self.size),
            "dtype": dtype,
            "layout": self.layout,
            "pass": self.which,
        }

    def __str__(self) -> str:
        words = self.words()
        return "-".join([words["op"], "x".join(map(str, self.size)), words["dtype"], self.layout, self.which])


def rows(device: str, timed: bool) -> list[Row]:
    def of(operator: Operator, sizes: list[tuple[int, ...]]) -> Iterator[Row]:
        passes = [which for which in PASSES if which in operator.traffic]
        for words in itertools.product(sizes if timed else [TINY], DTYPES[device], LAYOUTS, passes):
            # PyTorch's own double backward of a grouped convolution goes group by group: on a CPU, seconds a call.
            if not (device == "cpu" and words[-1] == DOUBLE and math.prod(words[0]) > COMPILED_FROM):
                yield Row(operator, *words)

    found = [row for operator in OPERATORS for row in of(operator, SIZES[device])]
    return found + list(of(PENALTY, [PENALTY_SIZE[device]]))


def device_of(config: pytest.Config) -> str:
    asked = config.getoption("--on")
    return asked if asked != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "row" in metafunc.fixturenames:
        metafunc.parametrize("row", rows(device_of(metafunc.config), measuring.enabled(metafunc.config)), ids=str)


@dataclass
class Board:
    """The results of one run, and what it runs with."""

    config: pytest.Config
    device: str
    timed: bool
    peer: Peer | None
    found: list[dict[str, Any]] = field(default_factory=list)

    @property
    def quick(self) -> bool:
        return bool(self.config.getoption("--quick"))

    def close(self) -> None:
        if not self.found:
            return
        peer = self.config.getoption("--peer")
        words = ["PATH" if word == peer else word for word in self.config.invocation_params.args]
        command = " ".join(["python -m pytest", *words])
        # The small ones' copies stay in a cache.
        large = [row for row in self.found if math.prod(row["size"]) >= LARGE]
        best = max(row["copy_gb_s"] for row in large or self.found)
        where = measuring.machine(self.device)
        name = measuring.slug(where.get("gpu", where["processor"]))
        everything = {**where, "copy_gb_s": best, "command": command, "rows": self.found}
        path = measuring.write(f"kernels-{name}", everything)
        show(self.found, where, best)
        print(path)


@pytest.fixture(scope="module")
def board(request: pytest.FixtureRequest) -> Iterator[Board]:
    device = device_of(request.config)
    threads = torch.get_num_threads()
    if not kernels.native(device):
        pytest.skip(f"no kernels for {device}")
    if timed := measuring.enabled(request.config):  # in all that competes: as `ganzoo train` has it
        keep_memory()
        torch.set_num_threads(os.cpu_count() or 1)
    checkout = request.config.getoption("--peer")
    made = Board(request.config, device, timed, Peer(Path(checkout).absolute(), device) if checkout else None)
    yield made
    torch.set_num_threads(threads)
    buffers.cache_clear()
    made.close()


# Contenders


def shape(size: tuple[int, ...], shrink: int) -> tuple[int, ...]:
    return (*size[:2], *(side // shrink for side in size[2:]))


@functools.lru_cache(maxsize=8)
def buffers(size: tuple[int, ...], dtype: torch.dtype, layout: str, device: str) -> list[Tensor]:
    """Tensors of this kind, more than a cache holds."""
    first = torch.randn(size, device=device, generator=torch.Generator(device).manual_seed(0)).to(dtype)
    count = min(16, max(2, math.ceil(ROTATED / (first.numel() * first.element_size()))))
    return [first.roll(turn, 0).contiguous(memory_format=LAYOUTS[layout]) for turn in range(count)]


def inputs(row: Row, layout: str, device: str) -> list[Tensor]:
    return buffers(shape(row.size, row.operator.shrinks[0]), row.dtype, layout, device)


def run_of(row: Row, maker: Maker, layout: str, device: str, compiled: bool = False) -> Run:
    """One call of a contender in the row's pass. Returns what it computed."""
    function, more = maker(row.dtype, device, row.size[1])
    function = torch.compile(function, dynamic=False) if compiled else function
    pictures = [x.detach().requires_grad_(row.which != FORWARD) for x in inputs(row, layout, device)]
    if row.which == FORWARD:
        return functools.partial(forward, function, more, pictures)
    slopes = output_gradients(row, function(pictures[0], *more), layout, device)
    return functools.partial(backward if row.which == BACKWARD else double_backward, function, more, pictures, slopes)


def output_gradients(row: Row, output: Tensor, layout: str, device: str) -> list[Tensor]:
    if output.ndim == 1:
        return [torch.ones_like(output)]
    made = buffers(shape(row.size, row.operator.shrinks[1]), row.dtype, layout, device)[::-1]
    return [dy.detach().requires_grad_(row.which == DOUBLE) for dy in made]


def forward(function: Any, more: tuple[Tensor, ...], pictures: list[Tensor], call: int) -> tuple[Tensor, ...]:
    with torch.no_grad():
        return (function(pictures[call % len(pictures)], *more),)


def backward(
    function: Any, more: tuple[Tensor, ...], pictures: list[Tensor], slopes: list[Tensor], call: int
) -> tuple[Tensor, ...]:
    x, dy = pictures[call % len(pictures)], slopes[call % len(slopes)]
    return torch.autograd.grad(function(x, *more), (x, *more), dy)


def double_backward(
    function: Any, more: tuple[Tensor, ...], pictures: list[Tensor], slopes: list[Tensor], call: int
) -> tuple[Tensor, ...]:
    """R1's: the gradient of a gradient's squared sum, by what came down from the layers above."""
    x, dy = pictures[call % len(pictures)], slopes[call % len(slopes)]
    (gradient,) = torch.autograd.grad(function(x, *more), x, dy, create_graph=True)
    return torch.autograd.grad(gradient.square().sum(), dy)


def contenders(row: Row, board: Board) -> dict[str, Run]:
    device, eager = board.device, row.operator.eager
    found = {"ours": run_of(row, row.operator.ours, row.layout, device)}
    for layout in LAYOUTS:
        found[f"eager {layout}"] = run_of(row, eager, layout, device)
    large = math.prod(row.size) >= COMPILED_FROM or row.operator is PENALTY
    if board.timed and not board.quick and row.which == BACKWARD and row.dtype == torch.float32 and large:
        torch.compiler.reset()  # of the rows before: there is a limit to how often a function is compiled again
        found["compiled"] = run_of(row, eager, row.layout, device, compiled=True)
    if board.peer and (maker := board.peer.maker(row.operator.name)):
        found[board.peer.name] = run_of(row, maker, row.layout, device)
    return found


def copying(row: Row, device: str) -> Run:
    """A copy of a tensor of the row's size: what memory can do."""
    tensors = buffers(row.size, row.dtype, row.layout, device)
    target = torch.empty_like(tensors[0])
    return lambda call: target.copy_(tensors[call % len(tensors)])


def agreeing(row: Row, found: dict[str, Run]) -> dict[str, Run]:
    """The contenders whose results are ours (asserted), less those of the peer that do not know this dtype."""
    ours, works = found["ours"](0), {}
    for name, run in found.items():
        try:
            theirs = run(0)
        except RuntimeError as error:
            if not name.startswith("nvidia"):
                raise
            print(f"\n{row}: {name} does not run: {str(error).splitlines()[0]}")
            continue
        works[name] = run
        for one, other in zip(ours, theirs, strict=True):
            assert one.shape == other.shape
            if one.ndim > 1:  # the first sample tells enough, and in no time
                one, other = one[:1], other[:1]
            error = (one.float() - other.float()).abs().max()
            assert error <= ERRORS[row.dtype] * other.abs().max().float(), f"{row}: {name}"
    return works


# Rows


def test_kernel(row: Row, board: Board, benchmark: Any) -> None:
    found = agreeing(row, contenders(row, board))
    if board.timed:
        runs = {**found, "copy": copying(row, board.device)}
        seconds, least = (0.2, 3) if board.quick else (0.8, 5)
        board.found.append(result(row, measuring.in_turn(runs, board.device, seconds, least)))
        benchmark.extra_info.update(board.found[-1])
    counter = itertools.count()

    def ours() -> None:
        found["ours"](next(counter))
        if board.device == "cuda":
            torch.cuda.synchronize()

    benchmark.pedantic(ours, rounds=3, warmup_rounds=0)


def result(row: Row, times: dict[str, list[float]]) -> dict[str, Any]:
    copy, ours = min(times.pop("copy")), times.pop("ours")
    floor = row.operator.traffic[row.which] / 2 * copy
    size = math.prod(row.size) * row.dtype.itemsize
    return {
        **row.words(),
        "copy_gb_s": round(2 * size / copy / 1e9, 1),
        "floor_ms": _ms(floor),
        "rounds": len(ours),
        "ours_ms": _ms(statistics.median(ours)),
        "ours_best_ms": _ms(min(ours)),
        "of_floor": round(floor / statistics.median(ours), 3),
        "against": {
            name: {
                "ms": _ms(statistics.median(theirs)),
                "best_ms": _ms(min(theirs)),
                "ratio": round(measuring.ratio(theirs, ours), 3),
            }
            for name, theirs in times.items()
        },
    }


def _ms(seconds: float) -> float:
    return float(f"{seconds * 1e3:.4g}")


def show(found: list[dict[str, Any]], where: dict[str, Any], copy: float) -> None:
    """The table: ours in ms and as a share of the floor, and how many times longer each other contender takes."""
    others = list(dict.fromkeys(name for row in found for name in row["against"]))
    title = f"{where.get('gpu', where['processor'])}, torch {where['torch']}, copy {copy} GB/s; times ours"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("op", "size", "dtype", "layout", "pass"):
        table.add_column(heading, no_wrap=True)
    for heading in ("ours ms", "of floor", *others):
        table.add_column(heading, justify="right")
    for row in found:
        words = [row["op"], "x".join(map(str, row["size"])), row["dtype"], row["layout"], row["pass"]]
        cells = [_times(row["against"].get(name)) for name in others]
        table.add_row(*words, f"{row['ours_ms']:.4g}", f"{row['of_floor']:.0%}", *cells)
    console = Console(width=170)
    console.print("\n", table)
    slower = [(row, name) for row in found for name in others if row["against"].get(name, {"ratio": 1})["ratio"] < 1]
    console.print(f"{len(slower)} of {len(found)} rows have a contender that is quicker than ours" if slower else "")


def _times(contender: dict[str, float] | None) -> str:
    if contender is None:
        return "-"
    words = f"{contender['ratio']:.2f}"
    return f"[red]{words}[/red]" if contender["ratio"] < 1 else words
