"""Handwritten digits that come with scikit-learn: 1797 pictures of 8x8 pixels (Alpaydin and Kaynak 1998, UCI)."""

from __future__ import annotations

from typing import Any

import numpy

from ganzoo import Collection, Dataset, Size, hookimpl
from ganzoo_plugins.datasets.pictures import from_pictures


class Digits(Dataset):
    """1797 handwritten digits, embedded: no file is read and nothing is downloaded.

    The UCI set of Alpaydin and Kaynak (1998) as scikit-learn ships it, 8x8 grey pixels of 17 levels, enlarged.

    Args:
        size: height and width of the pictures.
    """

    name = "digits"
    offers = ("image", "labels")
    tiny = {"size": "16"}

    def __init__(self, size: Size = Size(32, 32)):  # noqa: B008
        self.size = size

    def open(self) -> Collection:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = (images.reshape(-1, 8, 8) * (255 / 16)).round().astype(numpy.uint8)
        return from_pictures(pixels[..., None], labels, tuple("0123456789"), self.size)


@hookimpl
def register_datasets(register: Any) -> None:
    register(Digits)
