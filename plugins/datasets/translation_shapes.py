"""Drawn shapes in two forms, outlined and filled: small data for translators, without any file."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ganzoo import Arrays, Collection, Dataset, OptionError, Size, Spec, derive, hookimpl
from ganzoo_plugins.datasets.shapes import Scenes

_FINER = 4  # drawn this much larger and reduced, so that edges are smooth
_CORNERS = {"square": 4, "triangle": 3}
_GROUND = (255, 255, 255)


class PairedShapes(Dataset):
    """Pictures of a coloured shape on white, each with its outline as the source.

    Circles, squares and triangles of `shapes`, in its places, scales and colours. The outline has the colour of the
    shape, so that all of the picture can be told from it.

    Args:
        count: how many pairs, at least 1.
        size: height and width in pixels.
        seed: of the pictures.
    """

    name = "paired-shapes"
    offers = ("image", "pairs")
    tiny = {"count": 24, "size": "16"}

    def __init__(self, count: int = 400, size: Size = Size(64, 64), seed: int = 0):  # noqa: B008
        _check(count)
        self.count, self.size, self.seed = count, size, seed

    def open(self) -> Collection:
        return _collection("pairs", self.count, self.size, self.seed, self.seed)


class UnpairedShapes(Dataset):
    """Outlines of coloured shapes (the sources), and filled shapes that are others (the samples).

    As `paired-shapes`, but no outline is that of a sample.

    Args:
        count: how many pictures of each domain, at least 1.
        size: height and width in pixels.
        seed: of the pictures.
    """

    name = "unpaired-shapes"
    offers = ("image", "two_domains")
    tiny = {"count": 24, "size": "16"}

    def __init__(self, count: int = 400, size: Size = Size(64, 64), seed: int = 0):  # noqa: B008
        _check(count)
        self.count, self.size, self.seed = count, size, seed

    def open(self) -> Collection:
        return _collection("two_domains", self.count, self.size, derive(self.seed, "outlines"), self.seed)


def _check(count: int) -> None:
    if count < 1:
        raise OptionError("count must be at least 1")


def _collection(word: str, count: int, size: Size, outlines: int, shapes: int) -> Arrays:
    """Outlines and filled shapes of two seeds."""
    sources, samples = (_pictures(count, size, seed, filled) for seed, filled in ((outlines, False), (shapes, True)))
    shape = tuple(samples.shape[1:])
    return Arrays(Spec("image", shape, source=shape, words=(word,)), samples, sources=sources)


def _pictures(count: int, size: Size, seed: int, filled: bool) -> Tensor:
    scenes = Scenes(count, size, seed)
    drawn = [_drawn(scenes.factors(index)["shapes"][-1], size, filled) for index in range(count)]
    return torch.from_numpy(numpy.stack([numpy.asarray(picture) for picture in drawn])).permute(0, 3, 1, 2).contiguous()


def _drawn(shape: dict[str, Any], size: Size, filled: bool) -> Image.Image:
    height, width = size.height * _FINER, size.width * _FINER
    picture = Image.new("RGB", (width, height), _GROUND)
    pen = ImageDraw.Draw(picture)
    radius = shape["scale"] * min(height, width)
    x, y = shape["x"] * width, shape["y"] * height
    colour = tuple(value * 3 // 4 for value in shape["colour"])  # none is lost on the white ground
    look: dict[str, Any] = {"fill": colour} if filled else {"outline": colour, "width": max(_FINER, round(radius / 6))}
    if shape["shape"] == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), **look)
    else:
        pen.regular_polygon((x, y, radius), _CORNERS[shape["shape"]], **look)
    return picture.reduce(_FINER)


@hookimpl
def register_datasets(register: Any) -> None:
    register(PairedShapes)
    register(UnpairedShapes)
