"""Recorded numbers of the official operators: ours on the recorded inputs.

Case i of a recording has its arguments as JSON under the metadata's key i, and tensors `i.x`, `i.b` or `i.f`, what came
out `i.y`, and the gradients `i.gx`, `i.gb` of `(y * i.v).sum()`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from .bias_act import bias_act
from .upfirdn2d import upfirdn2d

OPERATORS: dict[str, tuple[str, Callable[..., Tensor], str]] = {  # by the official file: name, function, second input
    "torch_utils/ops/bias_act.py": ("bias_act", bias_act, "b"),
    "torch_utils/ops/upfirdn2d.py": ("upfirdn2d", upfirdn2d, "f"),
}


def operator(source: str) -> str | None:
    """The name of the operator that was recorded from this source, if it was one."""
    return next((name for file, (name, *_) in OPERATORS.items() if file in source), None)


def outputs(metadata: Mapping[str, str], tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """For every output of every case its name (y, gx, gb), what was recorded, and what ours makes."""
    _, function, second = next(entry for file, entry in OPERATORS.items() if file in metadata["source"])
    for case in filter(str.isdigit, metadata):
        given = {name: tensors.get(f"{case}.{name}") for name in ("x", second)}
        wanted = [name for name in ("x", "b") if f"{case}.g{name}" in tensors]
        for name in wanted:
            given[name] = given[name].clone().requires_grad_()  # type: ignore[union-attr]
        y = function(given["x"], given[second], **json.loads(metadata[case]))
        yield "y", tensors[f"{case}.y"], y
        if wanted:
            weights = tensors[f"{case}.v"]
            gradients = torch.autograd.grad((y * weights).sum(), [given[name] for name in wanted])  # type: ignore[arg-type]
            for name, gradient in zip(wanted, gradients, strict=True):
                yield f"g{name}", tensors[f"{case}.g{name}"], gradient
