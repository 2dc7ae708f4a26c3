"""Coloured shapes that move in one of three ways, reckoned when they are fetched: film of any length without any file.

In the manner of the data of Tulyakov et al. 2018, arXiv:1707.04993, section 4.1.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy
import torch

from ganzoo import Batch, Collection, Dataset, OptionError, Size, Spec, derive, hookimpl

MOTIONS = ("across", "down", "around")
FRAMES_PER_SECOND = 10.0

Array = numpy.ndarray[Any, Any]


class MovingShapes(Dataset):
    """Generated clips of a disc or a square that swings across or down or goes around; no file is read.

    Shape, colour, scale, place, pace and phase are drawn from a generator of (seed, index); the label is the way of
    moving. Samples [3, frames, height, width] in [-1, 1], on black. In the manner of Tulyakov et al. 2018,
    arXiv:1707.04993, section 4.1.

    Args:
        count: how many clips, at least 1.
        frames: of a clip, at least 2.
        size: height and width in pixels, at least 8.
        seed: of the clips.
    """

    name = "moving-shapes"
    paper = "arXiv:1707.04993"
    offers = ("video", "labels")
    tiny = {"count": 24, "frames": 7, "size": "16"}

    def __init__(self, count: int = 10_000, frames: int = 16, size: Size = Size(32, 32), seed: int = 0):  # noqa: B008
        if count < 1 or frames < 2 or min(size) < 8:
            raise OptionError("count must be at least 1, frames at least 2 and size at least 8x8")
        self.count, self.frames, self.size, self.seed = count, frames, size, seed

    def open(self) -> Collection:
        return Generated(self.count, self.frames, self.size, self.seed)


class Generated(Collection):
    """Clips that are reckoned when they are fetched."""

    def __init__(self, count: int, frames: int, size: Size, seed: int):
        self.count, self.frames, self.size, self.seed = count, frames, size, seed
        encoding = {"frames_per_second": FRAMES_PER_SECOND}
        self.spec = Spec("video", (3, frames, *size), MOTIONS, encoding=encoding)

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: list[int]) -> Batch:
        clips, labels = zip(*(self._clip(index) for index in indices), strict=True)
        return Batch(torch.from_numpy(numpy.stack(clips)), torch.tensor(labels), index=torch.as_tensor(indices))

    def _clip(self, index: int) -> tuple[Array, int]:
        generator = numpy.random.Generator(numpy.random.PCG64(derive(self.seed, "moving-shapes", index)))
        motion, square = int(generator.integers(len(MOTIONS))), bool(generator.integers(2))
        colour = generator.uniform(0.2, 1.0, 3)
        radius = generator.uniform(0.1, 0.2)
        place = numpy.repeat(generator.uniform(radius + 0.2, 0.8 - radius, (1, 2)), self.frames, 0)  # down, across
        reach = numpy.minimum(place[0], 1 - place[0]) - radius  # so that it stays inside
        angle = 2 * numpy.pi * (generator.random() + generator.uniform(0.04, 0.08) * numpy.arange(self.frames))
        if MOTIONS[motion] in ("down", "around"):
            place[:, 0] += reach[0] * numpy.sin(angle)
        if MOTIONS[motion] in ("across", "around"):
            place[:, 1] += reach[1] * numpy.cos(angle)
        covered = self._covered(place, radius, square)
        return (2 * colour[:, None, None, None] * covered - 1).astype(numpy.float32), motion

    def _covered(self, place: Array, radius: float, square: bool) -> Array:
        """The share of each pixel that the shape covers [frames, height, width], by its distance from the edge."""
        short = min(self.size)
        down, across = ((numpy.arange(side) + 0.5) / side for side in self.size)
        away_down = numpy.abs(down[:, None] - place[:, 0, None, None]) * self.size.height
        away_across = numpy.abs(across[None, :] - place[:, 1, None, None]) * self.size.width
        away = numpy.maximum(away_down, away_across) if square else numpy.hypot(away_down, away_across)
        covered: Array = (radius * short - away + 0.5).clip(0, 1)
        return covered

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.spec, self.count, self.seed)).encode()).hexdigest()[:16]


@hookimpl
def register_datasets(register: Any) -> None:
    register(MovingShapes)
