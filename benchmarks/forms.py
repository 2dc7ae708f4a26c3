"""The contenders of the kernels' benchmark: every operator as ganzoo's, as plain PyTorch, and as NVIDIA's own.

A maker takes the dtype, the device and the number of channels, and returns the function of the picture x and what else
it is differentiated by, and those other tensors.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo import ops, toolchain

Made = tuple[Callable[..., Tensor], tuple[Tensor, ...]]
Maker = Callable[[torch.dtype, str, int], Made]

TAPS = [1.0, 3.0, 3.0, 1.0]
SLOPE, GAIN = 0.2, 2**0.5
FORWARD, BACKWARD, DOUBLE = "forward", "forward+backward", "double backward"
PASSES = (FORWARD, BACKWARD, DOUBLE)


@dataclass(frozen=True)
class Operator:
    """An operator, its contenders, and what must move: passes over the listed size, N, read or written once.

    shrinks: how many times smaller than the listed size the sides of the input and of the output are.
    """

    name: str
    ours: Maker
    eager: Maker
    traffic: dict[str, float]
    shrinks: tuple[int, int] = (1, 1)


def taps(dtype: torch.dtype = torch.float32, device: str = "cpu") -> Tensor:
    return ops.setup_filter(TAPS).to(device, dtype)


def bias(dtype: torch.dtype, device: str, channels: int) -> Tensor:
    """Numbers that 16 bits hold too: otherwise contenders would disagree about the signs of what is near zero."""
    return (torch.arange(channels, device=device) % 17 / 8 - 1).to(dtype).requires_grad_()


# ganzoo


def our_bias_act(dtype: torch.dtype, device: str, channels: int) -> Made:
    return lambda x, b: ops.fused_leaky_relu(x, b, SLOPE, GAIN), (bias(torch.float32, device, channels),)


def _our_resampling(function: Callable[..., Tensor]) -> Maker:
    def make(dtype: torch.dtype, device: str, channels: int) -> Made:
        f = taps(device=device)
        return lambda x: function(x, f), ()

    return make


def our_penalty(dtype: torch.dtype, device: str, channels: int) -> Made:
    return lambda x: ops.gradient_penalty(x, "two-sided"), ()


# Plain PyTorch, in the quickest form that gives the same result


def eager_bias_act(dtype: torch.dtype, device: str, channels: int) -> Made:
    return lambda x, b: F.leaky_relu(x + b.reshape(1, -1, 1, 1), SLOPE) * GAIN, (bias(dtype, device, channels),)


def eager_blur(dtype: torch.dtype, device: str, channels: int) -> Made:
    # Four taps that keep the size need padding of 2 before and 1 after. A fifth tap of zero makes that 2 and 2, which a
    # convolution does by itself: less than half the time, with the backward pass, of F.pad first or of cropping after.
    weight = F.pad(taps(dtype, device), [0, 1, 0, 1]).repeat(channels, 1, 1, 1)
    return lambda x: F.conv2d(x, weight, padding=2, groups=channels), ()


def eager_up(dtype: torch.dtype, device: str, channels: int) -> Made:
    weight = (taps(dtype, device) * 4).repeat(channels, 1, 1, 1)
    return lambda x: F.conv_transpose2d(x, weight, stride=2, padding=1, groups=channels), ()


def eager_down(dtype: torch.dtype, device: str, channels: int) -> Made:
    weight = taps(dtype, device).repeat(channels, 1, 1, 1)
    return lambda x: F.conv2d(x, weight, stride=2, padding=1, groups=channels), ()


def eager_penalty(dtype: torch.dtype, device: str, channels: int) -> Made:
    return lambda x: (torch.linalg.vector_norm(x, dim=(1, 2, 3), dtype=torch.float32) - 1).square(), ()


# What a double backward moves besides: the squared sum reads the gradient, its backward reads it and writes another.
OPERATORS = (
    Operator("bias_act", our_bias_act, eager_bias_act, {FORWARD: 2, BACKWARD: 2 + 3, DOUBLE: 2 + 3 + 3 + 3}),
    Operator("blur", _our_resampling(ops.filter2d), eager_blur, {FORWARD: 2, BACKWARD: 4, DOUBLE: 6 + 3}),
    Operator(
        "up2",
        _our_resampling(ops.upsample2d),
        eager_up,
        {FORWARD: 1.25, BACKWARD: 2.5, DOUBLE: 3.75 + 0.75},
        shrinks=(2, 1),
    ),
    Operator(
        "down2",
        _our_resampling(ops.downsample2d),
        eager_down,
        {FORWARD: 1.25, BACKWARD: 2.5, DOUBLE: 3.75 + 3},
        shrinks=(1, 2),
    ),
)
# A penalty is a function of a gradient: its own gradient is already a second one.
PENALTY = Operator("gradient_penalty", our_penalty, eager_penalty, {FORWARD: 1, BACKWARD: 3})


class Peer:
    """NVIDIA's operators out of a checkout of theirs: `ref` on a CPU, `cuda` on a GPU where their plugins build."""

    def __init__(self, checkout: Path, device: str):
        _stand_ins()
        if device == "cuda":  # torch looks when its build is first imported, and guesses wrong where nvcc is a script
            os.environ.setdefault("CUDA_HOME", toolchain.cuda_home())
        sys.path.insert(0, str(checkout))
        importlib.import_module("torch_utils.custom_ops").get_plugin = _plugin
        self.bias_act = importlib.import_module("torch_utils.ops.bias_act")
        self.upfirdn2d = importlib.import_module("torch_utils.ops.upfirdn2d")
        self.implementation = "cuda" if device == "cuda" and self._builds() else "ref"
        self.name = f"nvidia {self.implementation}"

    def _builds(self) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # theirs: a warning, and the reference in silence
            try:
                return bool(self.bias_act._init() and self.upfirdn2d._init())
            except Exception as error:
                print(f"NVIDIA's plugins do not build, their reference runs: {error}", file=sys.stderr)
                return False

    def maker(self, operator: str) -> Maker | None:
        how = {"impl": self.implementation}
        if operator == "bias_act":
            act = {"act": "lrelu", "alpha": SLOPE, "gain": GAIN, **how}
            return lambda dtype, device, channels: (
                lambda x, b: self.bias_act.bias_act(x, b, **act),
                (bias(dtype, device, channels),),
            )
        names = {"blur": "filter2d", "up2": "upsample2d", "down2": "downsample2d"}
        if operator not in names:
            return None
        function = getattr(self.upfirdn2d, names[operator])

        def make(dtype: torch.dtype, device: str, channels: int) -> Made:
            f = taps(device=device)
            return lambda x: function(x, f, **how), ()

        return make


def _stand_ins() -> None:
    """What the checkout's Python files import and today's Python lacks (distutils, pkg_resources) or is not needed."""

    class EasyDict(dict[str, Any]):
        __getattr__ = dict.__getitem__

    for name, words in (
        ("dnnlib", {"EasyDict": EasyDict}),
        ("pkg_resources", {"parse_version": importlib.import_module("packaging.version").Version}),
    ):
        module = types.ModuleType(name)
        vars(module).update(words)
        sys.modules.setdefault(name, module)


def _plugin(module_name: str, sources: list[str], headers: Any = None, source_dir: str = "", **flags: Any) -> Any:
    """Their build, less the import by name, which no longer finds what torch has just loaded."""
    from torch.utils import cpp_extension

    nvidia = Path(torch.__file__).parent.parent / "nvidia"  # pip's packages of CUDA's other libraries
    return cpp_extension.load(
        module_name,
        [os.path.join(source_dir or "", source) for source in sources],
        extra_include_paths=[str(folder) for folder in nvidia.glob("*/include")],
        verbose=False,
        **flags,
    )
