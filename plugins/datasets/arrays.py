"""Samples in a .npy or .npz file, as numpy writes them and as `ganzoo sample` does."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy
import torch

from ganzoo import Arrays, Collection, DataError, Dataset, OptionError, Size, from_arrays, hookimpl
from ganzoo_plugins.datasets.pictures import resized
from ganzoo_plugins.datasets.storage import reason, shown, telling

_SAMPLES = ("samples", "images", "x", "arr_0")
_LABELS = ("labels", "y", "arr_1")


class Array(Dataset):
    """Samples in a .npy or .npz file: pictures, points or tokens, told apart by the shape and type of the array.

    Pictures are bytes [N, H, W], [N, H, W, C] or [N, C, H, W], numbers of 16 bits (uint16) of the same shapes, or
    floats in [-1, 1]; points are floats [N, D]; tokens are whole numbers [N, T].
    Files that hold Python objects are refused.

    Args:
        path: the file.
        samples: name of the samples in an .npz; without it samples, images, x, arr_0 or the first array.
        labels: name of the labels in an .npz, whole numbers [N] from 0; without it labels, y or arr_1 where they fit.
        size: height and width in pixels that pictures are stretched to; without it they keep theirs.
    """

    name = "array"
    offers = ("image", "points", "tokens", "labels")

    def __init__(self, path: str, samples: str | None = None, labels: str | None = None, size: Size | None = None):
        if not path:
            raise OptionError("path is empty; write path=FILE.npz")
        self.path, self.samples, self.labels, self.size = Path(path).expanduser(), samples, labels, size

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() in (".npy", ".npz") and path.is_file()

    def open(self) -> Collection:
        if not self.path.is_file():
            raise DataError(f"there is no file {self.path}; write --data array:path=FILE.npz")
        samples, labels, guessed = self._loaded()
        try:
            collection = self._collected(samples, labels, guessed)
        except DataError as error:
            raise DataError(f"{self.path}: {reason(error)}") from None
        return self._sized(collection) if self.size else collection

    def _collected(self, samples: numpy.ndarray, labels: numpy.ndarray | None, guessed: bool) -> Arrays:
        """What was asked for; an array that only has a label's name and cannot be one is left out, and that is told."""
        try:
            return from_arrays(samples, labels)
        except DataError as error:
            if labels is None or not guessed:
                raise
            collection = from_arrays(samples)
            collection.notes = (f"array: there are no labels, because {reason(error)}",)
            return collection

    def _loaded(self) -> tuple[numpy.ndarray, numpy.ndarray | None, bool]:
        """Samples, labels, and whether the labels were found by their usual name only."""
        with telling(f"cannot read {self.path}", "write it with numpy.save or numpy.savez, without Python objects"):
            loaded = numpy.load(self.path, allow_pickle=False)
            if isinstance(loaded, numpy.ndarray):
                if self.samples or self.labels:
                    raise DataError(
                        f"{self.path} holds a single array without a name; "
                        "leave out samples= and labels=, or write an .npz"
                    )
                return loaded, None, False
            with loaded:
                return self._named(loaded)

    def _named(self, arrays: Any) -> tuple[numpy.ndarray, numpy.ndarray | None, bool]:
        names = list(arrays.keys())
        for asked in (self.samples, self.labels):
            if asked is not None and asked not in names:
                raise DataError(f"{self.path} has no array '{asked}'; it has: {', '.join(map(shown, names)) or 'none'}")
        first = [name for name in names if name not in _LABELS and name != self.labels]
        name = self.samples or next((name for name in _SAMPLES if name in names), first[0] if first else None)
        if name is None:
            raise DataError(f"{self.path} has no array of samples; it has: {', '.join(map(shown, names)) or 'none'}")
        label = self.labels or next((label for label in _LABELS if label in names and label != name), None)
        return self._array(arrays, name), None if label is None else self._array(arrays, label), self.labels is None

    def _array(self, arrays: Any, name: str) -> numpy.ndarray:
        found = arrays[name]
        if not isinstance(found, numpy.ndarray):  # numpy hands over the bytes of whatever else a .zip holds
            raise DataError(f"'{shown(name)}' in {self.path} is not an array; write it with numpy.savez")
        return found

    def _sized(self, collection: Arrays) -> Arrays:
        if collection.spec.kind != "image" or self.size is None:
            raise DataError(
                f"{self.path} holds {collection.spec.kind}, and size={self.size} is for pictures; leave it out"
            )
        pixels = resized(collection.samples.permute(0, 2, 3, 1).numpy(), self.size)
        collection.samples = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        collection.spec = dataclasses.replace(collection.spec, shape=tuple(collection.samples.shape[1:]))
        return collection


@hookimpl
def register_datasets(register: Any) -> None:
    register(Array)
