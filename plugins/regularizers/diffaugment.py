"""Zhao et al. 2020, Differentiable Augmentation for Data-Efficient GAN Training, arXiv:2006.10738."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ganzoo import Draws, Regularizer, hookimpl


class DiffAugment(Regularizer):
    """Shows the discriminator real and fake pictures after the same kinds of differentiable augmentation.

    Zhao et al. 2020, arXiv:2006.10738, section 4: colour (brightness, saturation, contrast), translation by up to 1/8
    of the side, cutout of a square of half the side.

    Differs from the paper: none known.

    Args:
        color: change brightness, saturation and contrast.
        translation: shift, filling with zeros.
        cutout: blank a square.
    """

    name = "diffaugment"
    paper = "arXiv:2006.10738"
    needs = ("image", "smooth_samples")

    def __init__(self, color: bool = True, translation: bool = True, cutout: bool = True):
        self.color, self.translation, self.cutout = color, translation, cutout

    def augment(self, x: Tensor, draws: Draws) -> Tensor:
        for wanted, change in ((self.color, _recolor), (self.translation, _translate), (self.cutout, _cut)):
            if wanted:
                x = change(x, draws)
        return x


def _recolor(x: Tensor, draws: Draws) -> Tensor:
    brightness, saturation, contrast = (
        draws.uniform("diffaugment color", len(x), 3).to(x.dtype)[:, :, None, None, None].unbind(1)
    )
    x = x + (brightness - 0.5)
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * (saturation * 2) + grey
    middle = x.mean((1, 2, 3), keepdim=True)
    return (x - middle) * (contrast + 0.5) + middle


def _translate(x: Tensor, draws: Draws) -> Tensor:
    """Each picture by its own whole number of pixels, zeros coming in at the edge."""
    count, _, height, width = x.shape
    reach_down, reach_right = (height + 4) // 8, (width + 4) // 8
    down = draws.integers("diffaugment down", count, 1, low=-reach_down, high=reach_down + 1)
    right = draws.integers("diffaugment right", count, 1, low=-reach_right, high=reach_right + 1)
    rows = (torch.arange(height, device=x.device) - down + 1).clamp(
        0, height + 1
    )  # 0 and height + 1 are the zeros around
    columns = (torch.arange(width, device=x.device) - right + 1).clamp(0, width + 1)
    which = torch.arange(count, device=x.device)[:, None, None]
    padded = F.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1)
    return padded[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cut(x: Tensor, draws: Draws) -> Tensor:
    """A square of half the side, centred anywhere, becomes zero."""
    count, _, height, width = x.shape
    rows = _inside(draws, "diffaugment cut row", count, height, x.device)
    columns = _inside(draws, "diffaugment cut column", count, width, x.device)
    return x * ~(rows[:, :, None] & columns[:, None, :])[:, None]


def _inside(draws: Draws, purpose: str, count: int, side: int, device: torch.device) -> Tensor:
    """Which of `side` positions [count, side] lie in an interval of half the side around a random centre."""
    length = side // 2
    start = draws.integers(purpose, count, 1, high=side + (1 - length % 2)) - length // 2
    positions = torch.arange(side, device=device)
    return (positions >= start) & (positions < start + length)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(DiffAugment)
