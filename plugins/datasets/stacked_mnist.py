"""Stacked MNIST: a thousand modes that a digit classifier can count. Metz et al. 2016, Unrolled Generative Adversarial
Networks, arXiv:1611.02163, section 3.3.1; Lin et al. 2018, PacGAN, arXiv:1712.04086, section 4.1."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Batch, Collection, Dataset, Size, Spec, derive, hookimpl
from ganzoo_plugins.datasets.idx import Mnist


class StackedMnist(Dataset):
    """Three random MNIST digits as the red, green and blue of a picture: a thousand modes.

    Metz et al. 2016, arXiv:1611.02163, section 3.3.1; Lin et al. 2018, arXiv:1712.04086, section 4.1, with its 128,000
    pictures. The metric `modes` with the features of a digit classifier (`ganzoo features train --data mnist`) counts
    them: each channel is classified by itself. No labels, as in the papers.

    Differs from the papers: 32x32 pixels instead of 28x28, unless `size` says otherwise.

    Args:
        path: the folder of MNIST's four files; without it $GANZOO_DATA/mnist, then ./data/mnist.
        split: which part of MNIST the digits are from.
        size: height and width in pixels that the digits are stretched to.
        count: how many pictures.
        seed: of the digits that are drawn.
    """

    name = "stacked-mnist"
    paper = "arXiv:1611.02163"
    offers = ("image",)

    def __init__(
        self,
        path: str | None = None,
        split: Literal["train", "test"] = "train",
        size: Size = Size(32, 32),  # noqa: B008
        count: int = 128_000,
        seed: int = 0,
    ):
        if count < 1:
            raise ValueError("count must be at least 1")
        self.path, self.split, self.size, self.count, self.seed = path, split, size, count, seed

    def open(self) -> Collection:
        return Stacked(Mnist(self.path, self.split, self.size).open(), self.count, self.seed)


class Stacked(Collection):
    """Pictures of three grey pictures each. chosen: [N, 3], which ones."""

    def __init__(self, digits: Collection, count: int, seed: int):
        self.digits = digits
        random = torch.Generator().manual_seed(derive(seed, "stacked"))
        self.chosen: Tensor = torch.randint(len(digits), (count, 3), generator=random)
        self.spec = Spec("image", (3, *digits.spec.shape[1:]), encoding={"parts": "channels"})

    def __len__(self) -> int:
        return len(self.chosen)

    def fetch(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        grey = self.digits.fetch(self.chosen[rows].flatten().tolist()).sample
        return Batch(grey.unflatten(0, (len(rows), 3)).flatten(1, 2), index=rows)

    def fingerprint(self) -> str:
        content = self.digits.fingerprint().encode() + self.chosen.numpy().tobytes()
        return hashlib.sha256(content).hexdigest()[:16]


@hookimpl
def register_datasets(register: Any) -> None:
    register(StackedMnist)
