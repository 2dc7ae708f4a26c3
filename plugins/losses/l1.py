"""The mean absolute difference of two samples."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import ReconstructionLoss, hookimpl


class Absolute(ReconstructionLoss):
    """The mean absolute difference of two samples.

    Pictures in [-1, 1] are at most 2 apart. Kept edges: it is the median that it asks for, where `l2` asks for the
    mean.
    """

    name = "l1"

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        return (made - wanted).abs().flatten(1).mean(1)


@hookimpl
def register_losses(register: Any) -> None:
    register(Absolute)
