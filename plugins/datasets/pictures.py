"""What the picture data sets share: pixels in memory, enlarged or reduced once when they are opened."""

from __future__ import annotations

from typing import Any

import numpy
import torch
from PIL import Image

from ganzoo import Arrays, Size, Spec


def from_pictures(pixels: numpy.ndarray, labels: Any, classes: tuple[str, ...], size: Size) -> Arrays:
    """Pictures [N, H, W, C] of bytes as a collection of [C, height, width], resized with Pillow's bilinear filter."""
    height, width, channels = pixels.shape[1:]
    if (height, width) != size:
        grey = channels == 1
        made = [Image.fromarray(one[..., 0] if grey else one).resize((size.width, size.height), Image.Resampling.BILINEAR) for one in pixels]
        pixels = numpy.stack([numpy.asarray(one).reshape(*size, channels) for one in made])
    samples = torch.from_numpy(numpy.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    spec = Spec("image", tuple(samples.shape[1:]), classes)
    return Arrays(spec, samples, None if labels is None else torch.as_tensor(numpy.asarray(labels)).long())
