"""CIFAR-10. Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images,
https://www.cs.toronto.edu/~kriz/cifar.html (which describes both forms of the files)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy

from ganzoo import Arrays, Collection, DataError, Dataset, Size, hookimpl
from ganzoo_plugins.datasets.pickles import read_pickle
from ganzoo_plugins.datasets.pictures import SUFFIXES, decode, from_pictures
from ganzoo_plugins.datasets.storage import Storage, Tar, looked_for, shown, storage, telling

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SIDE = 32
WHOLE = {"train": 50_000, "test": 10_000}
_BATCHES = {"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_FILES = {name + suffix for names in _BATCHES.values() for name in names for suffix in ("", ".bin")}
_PACKED = ("cifar-10-python.tar.gz", "cifar-10-binary.tar.gz")
_PLACES = ("cifar10", "cifar-10-batches-py", "cifar-10-batches-bin", *_PACKED)
_TARS = (".tar.gz", ".tgz", ".tar")
_RECORD = 1 + 3 * SIDE * SIDE  # bytes: a label, then the red, the green and the blue values
_AGAIN = "get the file again"
_WANTED = (
    "get cifar-10-python.tar.gz or cifar-10-binary.tar.gz (packed or unpacked), or pictures as SPLIT/CLASS/FILE in a "
    "folder or a .zip, and write --data cifar10:path=PATH"
)

Found = tuple[numpy.ndarray, numpy.ndarray]  # pictures [N, 32, 32, 3] and labels [N]


class Cifar10(Dataset):
    """60,000 photographs of ten classes, 32x32 pixels in colour, read from the published files or from picture files;
    nothing is downloaded.

    Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html: 50,000 pictures for training and 10,000 for testing,
    as the Python or the binary version, each unpacked or in its .tar.gz. Python's pickles are read without running
    anything in them. Picture files stand in a folder or a .zip as train/CLASS/FILE and test/CLASS/FILE, all or some of
    them. All of it is held in memory.

    Args:
        path: the folder, .tar.gz or .zip; without it cifar10, cifar-10-batches-py, cifar-10-batches-bin,
            cifar-10-python.tar.gz or cifar-10-binary.tar.gz in $GANZOO_DATA, then in ./data.
        split: which part.
        size: height and width in pixels that the pictures are stretched to.
    """

    name = "cifar10"
    offers = ("image", "labels")

    def __init__(self, path: str | None = None, split: Literal["train", "test"] = "train", size: Size = Size(32, 32)):  # noqa: B008
        self.path, self.split, self.size = path, split, size

    @classmethod
    def recognises(cls, path: Path) -> bool:
        if path.is_dir():
            return any((path / f"data_batch_1{suffix}").is_file() for suffix in ("", ".bin"))
        return path.is_file() and path.name.startswith("cifar-10-") and path.name.lower().endswith(_TARS)

    def open(self) -> Collection:
        path = looked_for(_PLACES, _WANTED) if self.path is None else Path(self.path).expanduser()
        pixels, labels = self._read(path, self._files(path))
        collection = from_pictures(pixels, labels, CLASSES, self.size)
        return self._noted(collection)

    def _files(self, path: Path) -> Storage:
        if path.is_file() and path.name.lower().endswith(_TARS):
            return Tar(path, lambda name: name.rpartition("/")[2] in _FILES)
        files = storage(path)
        packed = [name for name in files.sizes if name in _PACKED]
        return self._files(path / packed[0]) if packed and path.is_dir() and not _batches(files) else files

    def _read(self, path: Path, files: Storage) -> Found:
        batches = _batches(files)
        for suffix, read in (("", _from_pickle), (".bin", _from_records)):
            names = [name + suffix for name in _BATCHES[self.split]]
            there = [name for name in names if name in batches]
            if len(there) == len(names):
                return _joined(read(f"{name} in {path}", _data(path, files, batches[name])) for name in names)
            if there:
                missing = ", ".join(name for name in names if name not in there)
                raise DataError(f"{path} has {', '.join(there)} and no {missing}; {_WANTED}")
        return self._decoded(path, files)

    def _decoded(self, path: Path, files: Storage) -> Found:
        """Picture files, by split and class."""
        split = [name for name in files.sizes if name.split("/")[-3:-2] == [self.split]]
        names = [name for name in split if name.lower().endswith(SUFFIXES)]
        if not names:
            raise DataError(f"{path} holds no CIFAR-10 for split={self.split}; {_WANTED}")
        tops = [name.split("/")[-2] for name in names]
        if strange := sorted(set(tops) - set(CLASSES)):
            raise DataError(
                f"{path} has a folder {shown(strange[0])} in {self.split}, and the classes of CIFAR-10 are "
                f"{', '.join(CLASSES)}; for other pictures write --data folder:path=PATH"
            )
        pixels = numpy.empty((len(names), SIDE, SIDE, 3), numpy.uint8)
        for row, name in enumerate(names):
            with telling(f"cannot read the picture {shown(name)} in {path}", "mend or remove it"):
                picture = decode(files.read(name), "rgb")
                if picture.size != (SIDE, SIDE):
                    raise ValueError(f"it has {picture.height}x{picture.width} pixels and not {SIDE}x{SIDE}")
                pixels[row] = picture
        return pixels, numpy.array([CLASSES.index(top) for top in tops])

    def _noted(self, collection: Arrays) -> Arrays:
        if len(collection) != WHOLE[self.split]:
            collection.notes = (
                f"cifar10: {len(collection)} pictures, and the published {self.split} split has {WHOLE[self.split]}",
            )
        return collection


def _batches(files: Storage) -> dict[str, str]:
    """The published files that are there, by their own name."""
    return {name.rpartition("/")[2]: name for name in files.sizes if name.rpartition("/")[2] in _FILES}


def _data(path: Path, files: Storage, name: str) -> bytes:
    with telling(f"cannot read {shown(name)} in {path}", _AGAIN):
        return files.read(name)


def _joined(found: Iterable[Found]) -> Found:
    pixels, labels = zip(*found, strict=True)
    return numpy.concatenate(pixels), numpy.concatenate(labels)


def _from_pickle(where: str, data: bytes) -> Found:
    """The Python version: a dictionary with `data`, bytes [N, 3072], and `labels`, a list."""
    with telling(f"cannot read {where}", _AGAIN):
        held = read_pickle(data)
        if not isinstance(held, dict):
            raise ValueError("it does not hold a dictionary")
        named = {key.decode("ascii", "replace") if isinstance(key, bytes) else key: held[key] for key in held}
        if missing := [key for key in ("data", "labels") if key not in named]:
            there = ", ".join(sorted(key for key in named if isinstance(key, str)))
            raise ValueError(f"its dictionary has no {missing[0]}; it has: {there}")
        pixels, labels = named["data"], named["labels"]
        if isinstance(labels, list) and all(type(label) is int for label in labels):
            labels = numpy.array(labels)
        wanted = _RECORD - 1
        if not isinstance(pixels, numpy.ndarray) or pixels.dtype != numpy.uint8 or pixels.shape[1:] != (wanted,):
            raise ValueError(f"its data are not bytes [N, {wanted}]")
        whole = isinstance(labels, numpy.ndarray) and numpy.issubdtype(labels.dtype, numpy.integer)
        if not whole or labels.shape != pixels.shape[:1]:
            raise ValueError(f"its labels are not {len(pixels)} whole numbers")
        return _checked(pixels, labels)


def _from_records(where: str, data: bytes) -> Found:
    """The binary version: records of a label and 3072 values."""
    with telling(f"cannot read {where}", _AGAIN):
        if len(data) % _RECORD:
            raise ValueError(f"it has {len(data)} bytes, which is not a multiple of {_RECORD}")
        records = numpy.frombuffer(data, numpy.uint8).reshape(-1, _RECORD)
        return _checked(records[:, 1:], records[:, 0])


def _checked(pixels: numpy.ndarray, labels: numpy.ndarray) -> Found:
    if not len(labels):
        raise ValueError("it is empty")
    if labels.min() < 0 or labels.max() >= len(CLASSES):
        raise ValueError(f"it holds labels from {labels.min()} to {labels.max()}, and CIFAR-10 has 0 to 9")
    return pixels.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels.astype(numpy.int64)


@hookimpl
def register_datasets(register: Any) -> None:
    register(Cifar10)
