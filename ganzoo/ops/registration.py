"""What the operators' Python faces share: whether the kernels run, and derivatives that torch is told once they do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import kernels

_registrations: list[Callable[[], None]] = []


def when_loaded(register: Callable[[], None]) -> Callable[[], None]:
    """Shapes and derivatives of operators: told to torch as soon as the library that defines them is loaded."""
    _registrations.append(register)
    return register


def fused(x: Tensor) -> bool:
    """Whether a kernel runs for this tensor; the first call may build it."""
    return x.is_floating_point() and _loaded(x.device.type)


def _loaded(device: str) -> bool:
    if not kernels.native(device):
        return False
    while _registrations:
        _registrations.pop()()
    return True


# As for kernels.native: a compiled function keeps the answer that it was traced with.
_loaded._dynamo_marked_constant = True  # type: ignore[attr-defined]


def operators() -> Any:
    """The loaded operators."""
    return torch.ops.ganzoo


def solid(x: Tensor) -> Tensor:
    """x, in memory. A derivative that is 0 everywhere (that of a sign) torch may keep as a shape without memory, and
    hands a kernel one number, repeated, that does not lie as it was said to."""
    # Where code is compiled there are none, and the question would cut its graph in two.
    return x.clone() if not torch.compiler.is_compiling() and x._is_zerotensor() else x


def arithmetic(x: Tensor) -> torch.dtype:
    """What kernels compute in: float64 for float64, float32 for all others."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32
