"""Drawn scenes of simple shapes, in the manner of dSprites (Matthey et al. 2017, https://github.com/google-deepmind/dsprites-dataset)
and 3D Shapes (Burgess and Kim 2018): pictures of any size whose factors are known, without any file."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy
import torch
from PIL import Image, ImageDraw

from ganzoo import Batch, Collection, Dataset, OptionError, Size, Spec, derive, hookimpl
from ganzoo_plugins.datasets.pictures import to_samples

KINDS = ("circle", "square", "triangle")
_FINER = 4  # drawn this much larger and reduced, so that edges are smooth
_POLYGONS = {"square": (4, 0.25), "triangle": (3, 0.5)}  # corners, and turn in half circles so that a side lies flat


class Shapes(Dataset):
    """Drawn pictures of one or two coloured shapes (circle, square, triangle) on a coloured ground, made when fetched.

    Shape, colour, place and scale are drawn from a generator of (seed, index); the label is the shape in front. An
    opened set tells a picture's factors with `factors(index)`. In the manner of dSprites (Matthey et al. 2017).

    Args:
        count: how many pictures, at least 1.
        size: height and width in pixels.
        seed: of the pictures.
    """

    name = "shapes"
    offers = ("image", "labels")
    tiny = {"count": 64, "size": "16"}

    def __init__(self, count: int = 10_000, size: Size = Size(32, 32), seed: int = 0):  # noqa: B008
        if count < 1:
            raise OptionError("count must be at least 1")
        self.count, self.size, self.seed = count, size, seed

    def open(self) -> Collection:
        return Scenes(self.count, self.size, self.seed)


class Scenes(Collection):
    """Pictures that are drawn when they are fetched."""

    decodes = True

    def __init__(self, count: int, size: Size, seed: int):
        self.count, self.size, self.seed = count, size, seed
        self.spec = Spec("image", (3, *size), KINDS)

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: list[int]) -> Batch:
        scenes = [self.factors(index) for index in indices]
        labels = torch.tensor([KINDS.index(scene["shapes"][-1]["shape"]) for scene in scenes])
        return Batch(
            to_samples([_drawn(scene, self.size) for scene in scenes], "rgb"), labels, index=torch.as_tensor(indices)
        )

    def factors(self, index: int) -> dict[str, Any]:
        """What picture `index` shows: `background` (red, green, blue from 0 to 255) and `shapes` from the back to the
        front, each with `shape`, `colour`, `x`, `y` (centre, in widths and heights)
        and `scale` (radius in shorter sides)."""
        generator = numpy.random.Generator(numpy.random.PCG64(derive(self.seed, "shapes", index)))
        background = _colour(generator)
        behind = [_shape(generator, background, 0.08, 0.16)] if generator.random() < 0.5 else []
        return {"background": background, "shapes": [*behind, _shape(generator, background, 0.18, 0.34)]}

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.spec, self.count, self.seed)).encode()).hexdigest()[:16]


def _colour(generator: numpy.random.Generator) -> tuple[int, ...]:
    return tuple(map(int, generator.integers(0, 256, 3)))


def _shape(generator: numpy.random.Generator, background: tuple[int, ...], least: float, most: float) -> dict[str, Any]:
    """A shape wholly inside the picture, in a colour that can be told from the background."""
    scale = float(generator.uniform(least, most))
    x, y = (float(place) for place in generator.uniform(scale, 1 - scale, 2))
    colour = _colour(generator)
    while math.dist(colour, background) < 100:
        colour = _colour(generator)
    return {"shape": KINDS[generator.integers(len(KINDS))], "colour": colour, "x": x, "y": y, "scale": scale}


def _drawn(scene: dict[str, Any], size: Size) -> Image.Image:
    height, width = size.height * _FINER, size.width * _FINER
    picture = Image.new("RGB", (width, height), scene["background"])
    pen = ImageDraw.Draw(picture)
    for shape in scene["shapes"]:
        x, y, radius = shape["x"] * width, shape["y"] * height, shape["scale"] * min(height, width)
        if shape["shape"] == "circle":
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=shape["colour"])
        else:
            corners, turn = _POLYGONS[shape["shape"]]
            pen.polygon(_corners(x, y, radius, corners, turn * math.pi), fill=shape["colour"])
    return picture.reduce(_FINER)


def _corners(x: float, y: float, radius: float, count: int, turn: float) -> list[tuple[float, float]]:
    angles = [turn + 2 * math.pi * corner / count for corner in range(count)]
    return [(x + radius * math.cos(angle), y - radius * math.sin(angle)) for angle in angles]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Shapes)
