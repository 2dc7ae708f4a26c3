"""Two domains of digits that are not paired: as they were written, and thickened on white paper."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Arrays, Batch, Collection, DataError, Dataset, Size, Spec, hookimpl
from ganzoo_plugins.datasets.idx import Mnist
from ganzoo_plugins.datasets.picture_files import VIEWS, pairing
from ganzoo_plugins.datasets.pictures import from_pictures


class MnistInverted(Dataset):
    """Two domains of MNIST digits that are not paired: as they were written, and thickened on white paper.

    The sources are the first half of MNIST's pictures. The samples are the second half, thickened (each pixel of 28x28
    becomes the largest of the 3x3 around it) and inverted: a true translation is known for every source, and a digit's
    class must survive it. An epoch shows each sample beside 64 different sources. There are no labels.

    Args:
        path: the folder of MNIST's four files; without it $GANZOO_DATA/mnist, then ./data/mnist.
        split: which part of MNIST the digits are from.
        size: height and width in pixels that the pictures are stretched to.
    """

    name = "mnist-inverted"
    offers = ("image", "two_domains")

    def __init__(self, path: str | None = None, split: Literal["train", "test"] = "train", size: Size = Size(32, 32)):  # noqa: B008
        self.path, self.split, self.size = path, split, size

    def open(self) -> Collection:
        digits = Mnist(self.path, self.split, Size(28, 28)).open()
        assert isinstance(digits, Arrays)
        half = len(digits) // 2
        if not half:
            raise DataError("one digit cannot be halved into two domains; get MNIST's files again")
        first, second = digits.samples[:half], thick_and_inverted(digits.samples[half:])
        return Halves(*(from_pictures(part.movedim(1, -1).numpy(), None, (), self.size) for part in (first, second)))


def thick_and_inverted(pixels: Tensor) -> Tensor:
    """Pictures of bytes [N, 1, H, W] dilated by a square of 3x3 pixels, black and white exchanged."""
    return 255 - torch.nn.functional.max_pool2d(pixels.float(), 3, stride=1, padding=1).to(torch.uint8)


class Halves(Collection):
    """Two collections of pictures, the second the samples; index i is sample i % samples and the source then due."""

    def __init__(self, given: Arrays, wanted: Arrays):
        self.given, self.wanted = given, wanted
        self.sources: Tensor = pairing(len(given), VIEWS * len(wanted))
        self.spec = Spec("image", wanted.spec.shape, source=given.spec.shape, words=("two_domains",))

    def __len__(self) -> int:
        return len(self.sources)

    def fetch(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        samples = self.wanted.fetch((rows % len(self.wanted)).tolist()).sample
        return Batch(samples, source=self.given.fetch(self.sources[rows].tolist()).sample, index=rows)

    def fingerprint(self) -> str:
        content = f"{self.given.fingerprint()} {self.wanted.fingerprint()} {len(self)}"
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@hookimpl
def register_datasets(register: Any) -> None:
    register(MnistInverted)
