"""Pictures compared octave by octave. Bojanowski et al. 2018, Optimizing the Latent Space of Generative Networks,
arXiv:1707.05776, section 2.1; Burt and Adelson 1983, The Laplacian Pyramid as a Compact Image Code."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo import ReconstructionLoss, hookimpl

_TAPS = (1.0, 4.0, 6.0, 4.0, 1.0)  # Burt and Adelson's w with a = 3/8: the binomial one, near a Gaussian of deviation 1


class LaplacianPyramid(ReconstructionLoss):
    """The absolute difference of the levels of two pictures' Laplacian pyramids, a mean each, added up.

    Bojanowski et al. 2018, arXiv:1707.05776, section 2.1: edges of every size count, where `l2` sees mostly the
    largest areas. The paper weighs sums over a level with 4 to its power, which are means of it, up to a constant.

    Differs from the paper: a level is what blurring takes away (G - blur(G)), and is not made of the next one enlarged;
    the blur is Burt and Adelson's binomial one (1983) and repeats the picture's border.

    Args:
        levels: how often the picture is blurred and halved; what is then left is compared too.
    """

    name = "laplacian-pyramid"
    paper = "arXiv:1707.05776"
    needs = ("image",)

    def __init__(self, levels: int = 3):
        if levels < 1:
            raise ValueError("levels must be at least 1")
        self.levels = levels

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        # The pyramid is linear: that of the difference is the difference of the pyramids.
        levels = [level.abs().flatten(1).mean(1) for level in pyramid(made - wanted, self.levels)]
        return torch.stack(levels).sum(0)


def pyramid(pictures: Tensor, levels: int) -> list[Tensor]:
    """What each of so many blurs takes away of pictures [N, C, H, W], every level half the size, and what is left."""
    found = []
    for _ in range(levels):
        blurred = blur(pictures)
        found.append(pictures - blurred)
        pictures = blurred[:, :, ::2, ::2]
    return [*found, pictures]


def blur(pictures: Tensor) -> Tensor:
    """The binomial filter of 5 by 5 taps over pictures [N, C, H, W] whose border is repeated."""
    channels, taps = pictures.shape[1], pictures.new_tensor(_TAPS) / 16
    padded = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    rows = F.conv2d(padded, taps.reshape(1, 1, 5, 1).expand(channels, 1, 5, 1), groups=channels)
    return F.conv2d(rows, taps.reshape(1, 1, 1, 5).expand(channels, 1, 1, 5), groups=channels)


@hookimpl
def register_losses(register: Any) -> None:
    register(LaplacianPyramid)
