"""MNIST (LeCun, Cortes and Burges 1998) and Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747) from their
four IDX files. The IDX format: http://yann.lecun.com/exdb/mnist/ (magic number, dimensions, bytes; big-endian)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

import numpy

from ganzoo import Collection, DataError, Dataset, Size, hookimpl
from ganzoo_plugins.datasets.pictures import from_pictures
from ganzoo_plugins.datasets.storage import looked_for, telling, unpacked

_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_LARGEST = 1 << 30  # bytes of one file, unpacked: ten times the largest of these


class Mnist(Dataset):
    """70,000 handwritten digits of 28x28 grey pixels, read from the four IDX files (gzipped or not);
    nothing is downloaded.

    LeCun, Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/:
    60,000 pictures for training and 10,000 for testing.

    Args:
        path: the folder of the four files; without it $GANZOO_DATA/mnist, then ./data/mnist.
        split: which part.
        size: height and width in pixels that the pictures are stretched to.
    """

    name = "mnist"
    offers = ("image", "labels")
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    folders: ClassVar[tuple[str, ...]] = ("mnist",)

    def __init__(self, path: str | None = None, split: Literal["train", "test"] = "train", size: Size = Size(32, 32)):  # noqa: B008
        self.path, self.split, self.size = path, split, size

    def open(self) -> Collection:
        folder = self._folder()
        images, labels = (_present(folder, name, self.name) for name in _FILES[self.split])
        pixels = read_idx(images, 3)
        numbers = read_idx(labels, 1)
        if len(pixels) != len(numbers):
            raise DataError(
                f"{images} holds {len(pixels)} pictures and {labels} {len(numbers)} labels; "
                "they are not of one set, get both again"
            )
        if numbers.max() >= len(self.classes):
            raise DataError(
                f"{labels} holds the label {numbers.max()}, "
                f"and {self.name} has labels from 0 to {len(self.classes) - 1}"
            )
        return from_pictures(pixels[..., None], numbers, self.classes, self.size)

    def _folder(self) -> Path:
        """Where the files lie. Raises DataError."""
        if self.path is not None:
            folder = Path(self.path).expanduser()
            if not folder.is_dir():
                raise DataError(f"{folder} is not a folder; {_wanted(self.name)}")
            return folder
        return looked_for(self.folders, _wanted(self.name))


class FashionMnist(Mnist):
    """70,000 pictures of clothes, 28x28 grey pixels, read from the four IDX files (gzipped or not);
    nothing is downloaded.

    Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747: 60,000 pictures for training and 10,000 for testing.

    Args:
        path: the folder of the four files; without it $GANZOO_DATA/fashion-mnist, then ./data/fashion-mnist (or
            fashion_mnist in either).
        split: which part.
        size: height and width in pixels that the pictures are stretched to.
    """

    name = "fashion-mnist"
    paper = "arXiv:1708.07747"
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    folders = ("fashion-mnist", "fashion_mnist")


def read_idx(path: Path, dimensions: int) -> numpy.ndarray:
    """The bytes of an IDX file of so many dimensions, gzipped or not. Raises DataError naming the file."""
    with telling(f"cannot read {path}", "get the file again"), unpacked(path) as file:
        head = file.read(4 + 4 * dimensions)
        if head[:4] != bytes((0, 0, 8, dimensions)):
            raise DataError(
                f"{path} begins with the bytes {head[:4].hex(' ') or '(none)'}, "
                f"and an IDX file of {dimensions} dimensions with 00 00 08 0{dimensions}; give the original file"
            )
        if len(head) < 4 + 4 * dimensions:
            raise DataError(f"{path} ends within its header; get the file again")
        shape = struct.unpack(f">{dimensions}I", head[4:])
        return _contents(path, file, shape)


def _contents(path: Path, file: IO[bytes], shape: tuple[int, ...]) -> numpy.ndarray:
    told, expected = "x".join(map(str, shape)), int(numpy.prod(shape, dtype=object))
    if not 0 < expected <= _LARGEST:
        raise DataError(f"{path} says that it holds {told} bytes, which is not possible; get the file again")
    data = file.read(expected + 1)
    if len(data) != expected:
        length = f"only {len(data)}" if len(data) < expected else "more"
        raise DataError(
            f"{path} should hold {told} = {expected} bytes after its header and holds {length}; get the file again"
        )
    return numpy.frombuffer(bytearray(data), numpy.uint8).reshape(shape)


def _present(folder: Path, name: str, dataset: str) -> Path:
    """The file of this name, in any of the spellings in use."""
    dotted = name.replace("-idx", ".idx")
    for spelling in (name, dotted):
        for suffix in ("", ".gz"):
            if (path := folder / f"{spelling}{suffix}").is_file():
                return path
    raise DataError(f"{folder} has no {name} (or .gz); {_wanted(dataset)}")


def _wanted(dataset: str) -> str:
    names = ", ".join(name for pair in _FILES.values() for name in pair)
    return f"put the four files {names} (each may end in .gz) in one folder and write --data {dataset}:path=FOLDER"


@hookimpl
def register_datasets(register: Any) -> None:
    register(Mnist)
    register(FashionMnist)
