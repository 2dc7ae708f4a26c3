"""Mixtures of Gaussians in the plane. Srivastava et al. 2017, VEEGAN, arXiv:1705.07761; Lin et al. 2018, PacGAN,
arXiv:1712.04086, section 4.1: the same modes, deviations and number of points."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ganzoo import Arrays, Collection, Dataset, Spec, hookimpl


class Ring(Dataset):
    """Points around 8 modes on a circle of radius 1, with deviation 0.01.

    Lin et al. 2018, PacGAN, arXiv:1712.04086, section 4.1: 100,000 points, equal shares.

    Args:
        count: how many points.
        deviation: standard deviation around each mode.
        seed: of the points.
    """

    name = "ring"
    paper = "arXiv:1712.04086"
    offers = ("points", "labels")
    tiny = {"count": 256}

    def __init__(self, count: int = 100_000, deviation: float = 0.01, seed: int = 0):
        self.count, self.deviation, self.seed = _positive(count), deviation, seed

    def open(self) -> Collection:
        angles = torch.arange(8) * (2 * math.pi / 8)
        return _mixture(torch.stack([angles.cos(), angles.sin()], dim=1), self.deviation, self.count, self.seed)


class Grid(Dataset):
    """Points around 25 modes on a grid of side 8, with deviation 0.05.

    Lin et al. 2018, PacGAN, arXiv:1712.04086, section 4.1: modes at {-4, -2, 0, 2, 4} squared, 100,000 points.

    Args:
        count: how many points.
        deviation: standard deviation around each mode.
        seed: of the points.
    """

    name = "grid"
    paper = "arXiv:1712.04086"
    offers = ("points", "labels")
    tiny = {"count": 256}

    def __init__(self, count: int = 100_000, deviation: float = 0.05, seed: int = 0):
        self.count, self.deviation, self.seed = _positive(count), deviation, seed

    def open(self) -> Collection:
        side = torch.arange(-4.0, 5.0, 2.0)
        return _mixture(torch.cartesian_prod(side, side), self.deviation, self.count, self.seed)


def _positive(count: int) -> int:
    if count < 1:
        raise ValueError("count must be at least 1")
    return count


def _mixture(modes: Tensor, deviation: float, count: int, seed: int) -> Arrays:
    """Points in equal shares around the modes; the label is the mode. The modes are kept for measuring."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(modes)
    points = modes[labels] + deviation * torch.randn(count, 2, generator=generator)
    encoding = {"modes": modes.tolist(), "deviation": deviation}
    return Arrays(Spec("points", (2,), tuple(map(str, range(len(modes)))), encoding=encoding), points, labels)


@hookimpl
def register_datasets(register: Any) -> None:
    register(Ring)
    register(Grid)
