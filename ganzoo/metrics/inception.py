"""The Inception of 2015 that FID, KID and IS are defined with, read from a file of its weights.

The network: Szegedy et al. 2015, Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567, as it
stands in the graph `inception-2015-12-05` of TensorFlow. The file: `pt_inception-2015-12-05-6726825d.pth`, that graph's
weights under torch's names, as pytorch-fid and torch-fidelity publish them.
"""

from __future__ import annotations

from typing import Any

import numpy
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from .extractor import Array, Extractor, Weights, accept, coloured, filled, shapes, squared_distance

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SIDE, BATCH = 299, 16
RESIZES = {
    "tf": "bilinear to 299x299 as in TensorFlow 1, no antialias, no half-pixel offset",
    "clean": "PIL's bicubic to 299x299, antialias, each channel in float32, cut to [0, 255]",
}
STANDARD = {
    "tf": {"FID": "FID", "KID": "KID", "IS": "IS"},
    "clean": {"FID": "clean-FID", "KID": "clean-KID"},
}

Step = tuple[int, int | tuple[int, int]]  # outputs and size of a convolution
_WIDE, _HIGH, _FORK = (1, 7), (7, 1), (1, 3)  # a fork is (1, 3) beside (3, 1)


class Convolution(nn.Module):
    """A convolution, batch norm and ReLU. With stride 2 it has no padding, else as much as keeps the size."""

    def __init__(self, inputs: int, outputs: int, size: int | tuple[int, int], stride: int = 1, padded: bool = True):
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if padded and stride == 1 else 0
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Chains of convolutions beside each other and beside a pool, joined along the channels.

    chains: by name, the steps of each; the last is cut in two where it is a fork. pool: `average` (of what is inside
    the picture), `largest` (both 3x3, followed by a convolution of `pooled` channels), or `halve`, where the pool has
    no convolution and the last step of each chain goes with stride 2 too.
    """

    def __init__(self, inputs: int, chains: dict[str, list[Step]], pool: str, pooled: int = 0):
        super().__init__()
        self.pool = pool
        self.chains = {name: self._chain(name, inputs, steps) for name, steps in chains.items()}
        if pooled:
            self.branch_pool = Convolution(inputs, pooled, 1)

    def _chain(self, name: str, inputs: int, steps: list[Step]) -> list[tuple[str, ...]]:
        """Add the modules of a chain; returns their names, two where it forks."""
        names = []
        for number, (outputs, size) in enumerate(steps, 1):
            own, last = f"{name}_{number}" if len(steps) > 1 else name, number == len(steps)
            sizes = {f"{own}a": (1, 3), f"{own}b": (3, 1)} if size == _FORK else {own: size}
            for each, shape in sizes.items():
                self.add_module(each, Convolution(inputs, outputs, shape, 2 if last and self.pool == "halve" else 1))
            names.append(tuple(sizes))
            inputs = outputs
        return names

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([*(self._through(x, chain) for chain in self.chains.values()), self._pooled(x)], 1)

    def _through(self, x: Tensor, chain: list[tuple[str, ...]]) -> Tensor:
        for names in chain:
            x = torch.cat([self.get_submodule(name)(x) for name in names], 1)
        return x

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "halve":
            return F.max_pool2d(x, 3, 2)
        largest = self.pool == "largest"
        around = F.max_pool2d(x, 3, 1, 1) if largest else F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        found: Tensor = self.branch_pool(around)
        return found


def _at_35(inputs: int, pooled: int) -> Mixed:
    chains: dict[str, list[Step]] = {
        "branch1x1": [(64, 1)],
        "branch5x5": [(48, 1), (64, 5)],
        "branch3x3dbl": [(64, 1), (96, 3), (96, 3)],
    }
    return Mixed(inputs, chains, "average", pooled)


def _to_17() -> Mixed:
    return Mixed(288, {"branch3x3": [(384, 3)], "branch3x3dbl": [(64, 1), (96, 3), (96, 3)]}, "halve")


def _at_17(width: int) -> Mixed:
    chains: dict[str, list[Step]] = {
        "branch1x1": [(192, 1)],
        "branch7x7": [(width, 1), (width, _WIDE), (192, _HIGH)],
        "branch7x7dbl": [(width, 1), (width, _HIGH), (width, _WIDE), (width, _HIGH), (192, _WIDE)],
    }
    return Mixed(768, chains, "average", 192)


def _to_8() -> Mixed:
    chains: dict[str, list[Step]] = {
        "branch3x3": [(192, 1), (320, 3)],
        "branch7x7x3": [(192, 1), (192, _WIDE), (192, _HIGH), (192, 3)],
    }
    return Mixed(768, chains, "halve")


def _at_8(inputs: int, pool: str) -> Mixed:
    chains: dict[str, list[Step]] = {
        "branch1x1": [(320, 1)],
        "branch3x3": [(384, 1), (384, _FORK)],
        "branch3x3dbl": [(448, 1), (384, 3), (384, _FORK)],
    }
    return Mixed(inputs, chains, pool, 192)


class Inception2015(nn.Module):
    """[N, 3, 299, 299], (x - 128) / 128 of values 0 to 255, -> 2048 features (pool3) and 1008 logits without bias.

    It differs from torchvision's Inception v3 in this: averages do not count the padding, the last block takes the
    largest neighbour where the paper averages, there are 1008 classes and no second classifier. Scores are taken from
    logits without their bias, as in the code of the Inception Score's authors.
    """

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, padded=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, padded=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _at_35(192, 32), _at_35(256, 64), _at_35(288, 64)
        self.Mixed_6a = _to_17()
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_at_17(width) for width in (128, 160, 160, 192))
        self.Mixed_7a = _to_8()
        self.Mixed_7b, self.Mixed_7c = _at_8(1280, "average"), _at_8(2048, "largest")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for name, block in self.named_children():
            if name == "fc":
                break
            x = block(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        features = x.mean((2, 3))
        return features, features @ self.fc.weight.T


def extractor(weights: Weights, options: dict[str, str]) -> Extractor | None:
    """The extractor of these weights, or None if they are of another network.

    Option `resize`: `tf` as in the first FID, KID and IS, or `clean` (Parmar et al. 2022, On Aliased Resizing and
    Surprising Subtleties in GAN Evaluation, arXiv:2104.11222). Pictures are rounded to 8 bit first, as stored ones are.
    """
    with torch.device("meta"):
        module = Inception2015()
    if weights.shapes() != shapes(module):
        return None
    accept("inception2015", options, {"resize": tuple(RESIZES)})
    resize = options.get("resize", "tf")
    network = filled(module, weights.state)
    name = f"inception2015-{'clean-' if resize == 'clean' else ''}{weights.sha256[:8]}"

    def rows(values: Tensor, rounded: bool) -> tuple[Array, Array]:
        with torch.no_grad():
            found = [network(prepared(some, resize, rounded)) for some in coloured(values).split(BATCH)]
        features, logits = (torch.cat(each).double() for each in zip(*found, strict=True))
        return features.numpy(), logits.softmax(1).numpy()

    protocol = {"features": name, "sha256": weights.sha256, "resize": RESIZES[resize], "rounded": "to 8 bit"}
    return Extractor(
        name,
        lambda values: rows(values, rounded=True),
        squared_distance(lambda values: rows(values, rounded=False)[0]),
        protocol,
        standard=STANDARD[resize] if weights.sha256 == SHA256 else {},
    )


def prepared(values: Tensor, resize: str, rounded: bool = True) -> Tensor:
    """Pictures [N, 3, H, W] in [-1, 1] as the network takes them: [N, 3, 299, 299], (x - 128) / 128 of 0 to 255."""
    x = (values + 1) * 127.5
    x = x.round().clamp(0, 255) if rounded else x
    x = _clean(x) if resize == "clean" else _stretched(_stretched(x, 3), 2)
    return (x - 128) / 128


def _stretched(x: Tensor, dimension: int) -> Tensor:
    """One dimension to 299, straight lines between pixels: pixel i lies at i * length / 299."""
    length = x.shape[dimension]
    place = torch.arange(SIDE, dtype=torch.float32) * torch.tensor(length / SIDE, dtype=torch.float32)
    below = place.long().clamp_max(length - 1)
    share = (place - below).reshape([-1 if axis == dimension else 1 for axis in range(4)])
    low = x.index_select(dimension, below)
    return low + (x.index_select(dimension, (below + 1).clamp_max(length - 1)) - low) * share


def _clean(x: Tensor) -> Tensor:
    def channel(values: Any) -> Array:
        return numpy.asarray(Image.fromarray(values).resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    planes = x.reshape(-1, *x.shape[2:]).contiguous().numpy()
    resized = numpy.stack([channel(plane) for plane in planes]).clip(0, 255)
    return torch.from_numpy(resized).reshape(*x.shape[:2], SIDE, SIDE)
