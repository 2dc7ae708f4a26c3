"""LPIPS: Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, arXiv:1801.03924,
read from a file of a trunk's weights and a file of the heads that were fitted to what people see.

Trunks: torchvision's `vgg16-397923af.pth` and `alexnet-owt-7be5be79.pth`. Heads: `weights/v0.1/vgg.pth` and `alex.pth`
of the authors' package lpips.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import UsageError
from .extractor import Array, Extractor, Weights, accept, coloured, filled, shapes

BATCH = 8
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of pictures in [-1, 1]; about ImageNet's
TINY = 1e-10


@dataclass(frozen=True)
class Layout:
    """A trunk: its layers as torchvision numbers them, after which of them LPIPS looks, and the smallest picture.

    sha256: of the published trunk and heads. standard: which of the field's words these two files earn.
    """

    layers: tuple[tuple[int, ...], ...]  # convolution: inputs, outputs, size, stride, padding; maximum: size, stride
    taps: tuple[int, ...]  # numbers of ReLUs
    widths: tuple[int, ...]  # channels of the maps there
    side: int
    sha256: tuple[str, str]
    standard: dict[str, str]


def _vgg(*widths: int) -> tuple[tuple[int, ...], ...]:
    layers: list[tuple[int, ...]] = []
    inputs = 3
    for width in widths:
        layers.append((inputs, width, 3, 1, 1) if width else (2, 2))
        inputs = width or inputs
    return tuple(layers)


LAYOUTS = {
    "vgg16": Layout(
        _vgg(64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512),
        (3, 8, 15, 22, 29),
        (64, 128, 256, 512, 512),
        16,
        (
            "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
            "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
        ),
        {"LPIPS": "LPIPS", "PPL": "PPL"},
    ),
    "alexnet": Layout(
        (
            *((3, 64, 11, 4, 2), (3, 2), (64, 192, 5, 1, 2), (3, 2)),
            *((192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1)),
        ),
        (1, 4, 7, 9, 11),
        (64, 192, 384, 256, 256),
        31,
        (
            "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
            "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
        ),
        {"LPIPS": "LPIPS"},
    ),
}


class Trunk(nn.Module):
    """The convolutions of a classifier: pictures [N, 3, H, W] -> five maps, each [N, C, H', W']."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.taps = layout.taps
        self.features = nn.Sequential(*(module for layer in layout.layers for module in _modules(layer)))

    def forward(self, x: Tensor) -> Iterator[Tensor]:
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                yield x


def _modules(layer: tuple[int, ...]) -> tuple[nn.Module, ...]:
    if len(layer) == 2:
        return (nn.MaxPool2d(*layer),)
    inputs, outputs, size, stride, padding = layer
    return nn.Conv2d(inputs, outputs, size, stride, padding), nn.ReLU()


def extractor(weights: Weights, options: dict[str, str]) -> Extractor | None:
    """The extractor of a trunk's weights, or None if they are of another network.

    Its distance is LPIPS, version 0.1 (equation 1): at each position of each map the activations have length 1; their
    squared differences, weighted by the head, are added over channels and maps and averaged over positions. Without
    heads each channel weighs 1. Pictures are taken in their own size and not rounded. Its features, for measures that
    compare rows, are the means of the same activations over positions, of all maps beside each other.

    Option `heads`: the path of the file of heads.
    """
    for word, layout in LAYOUTS.items():
        with torch.device("meta"):
            trunk = Trunk(layout)
        wanted, held = shapes(trunk), weights.shapes()
        if all(held.get(name) == shape for name, shape in wanted.items()):
            accept(word, options, {"heads": None})
            heads = _heads(options["heads"], word) if "heads" in options else None
            return _named(word, filled(trunk, {name: weights.state[name] for name in wanted}), weights, heads)
    return None


def _heads(asked: str, word: str) -> Weights:
    """The file of heads, checked: one weight a channel of each map."""
    path = Path(asked).expanduser()
    if not path.is_file():
        raise UsageError(f"heads={asked}: there is no such file; give the path of LPIPS's heads for {word}")
    found = Weights.read(path)
    wanted = {_head(number): torch.Size((1, width, 1, 1)) for number, width in enumerate(LAYOUTS[word].widths)}
    if found.shapes() != wanted:
        raise UsageError(f"heads={asked}: these are not LPIPS's heads for {word}, which are called {', '.join(wanted)}")
    return found


def _head(number: int) -> str:
    return f"lin{number}.model.1.weight"


def _named(word: str, trunk: Trunk, weights: Weights, heads: Weights | None) -> Extractor:
    layout = LAYOUTS[word]
    name = f"{word}-{weights.sha256[:8]}" + ("" if heads is None else f"-heads-{heads.sha256[:8]}")
    protocol = {
        "features": name,
        "sha256": weights.sha256,
        "heads_sha256": None if heads is None else heads.sha256,
        "resize": "none",
        "rounded": "no",
    }
    published = heads is not None and (weights.sha256, heads.sha256) == layout.sha256
    standard = layout.standard if published else {}
    scales = None if heads is None else [heads.state[_head(number)].float() for number in range(len(layout.taps))]
    sight = Sight(word, trunk, scales)
    return Extractor(name, sight.extract, sight.distance, protocol, perceptual=True, standard=standard)


@dataclass
class Sight:
    """A trunk, and what each channel weighs: for each map [1, C, 1, 1], or None where all weigh 1."""

    word: str
    trunk: Trunk
    scales: list[Tensor] | None

    def extract(self, values: Tensor) -> tuple[Array, None]:
        with torch.no_grad():
            rows = [torch.cat([x.mean((2, 3)) for x in self._maps(some)], 1) for some in coloured(values).split(BATCH)]
        return torch.cat(rows).double().numpy(), None

    def distance(self, first: Tensor, second: Tensor) -> Array:
        pairs = zip(coloured(first).split(BATCH), coloured(second).split(BATCH), strict=True)
        with torch.no_grad():
            apart: Array = torch.cat([self._apart(one, other) for one, other in pairs]).double().numpy()
        return apart

    def _apart(self, first: Tensor, second: Tensor) -> Tensor:
        squares = [(one - other).square() for one, other in zip(self._maps(first), self._maps(second), strict=True)]
        if self.scales is not None:
            squares = [square * scale for square, scale in zip(squares, self.scales, strict=True)]
        return torch.stack([square.sum(1).mean((1, 2)) for square in squares]).sum(0)

    def _maps(self, values: Tensor) -> list[Tensor]:
        """The activations of each map, of length 1 at each position."""
        (height, width), least = values.shape[2:], LAYOUTS[self.word].side
        if min(height, width) < least:
            raise UsageError(f"pictures of {height}x{width} are too small for {self.word}, which needs {least}x{least}")
        shift, scale = (torch.tensor(each).reshape(1, 3, 1, 1) for each in (SHIFT, SCALE))
        return [x / (x.square().sum(1, keepdim=True).sqrt() + TINY) for x in self.trunk((values - shift) / scale)]
