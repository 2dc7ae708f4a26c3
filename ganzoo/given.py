"""Data given as arrays: what they are is read off their shape and type."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy
import torch
from torch import Tensor

from .data import Arrays, Batch, Collection, Spec
from .errors import DataError
from .parts import Dataset

MOST_CLASSES = 100_000
KINDS = ("image", "points", "tokens", "audio", "video", "table")


class Given(Dataset):
    """An array, a tensor, a pair (samples, labels) or a torch Dataset, handed over in Python."""

    name = "given"
    offers: tuple[str, ...] = (*KINDS, "labels")

    def __init__(self, data: Any = None):
        self.data = data
        if isinstance(data, Collection):
            self.offers = data.spec.offers  # it says what it is: pairs, say, which no array can

    def open(self) -> Collection:
        if isinstance(self.data, Collection):
            return self.data
        if isinstance(self.data, torch.utils.data.Dataset):
            return _Indexed(self.data)
        samples, labels = self.data if isinstance(self.data, tuple) else (self.data, None)
        return from_arrays(samples, labels)


def from_arrays(samples: Any, labels: Any = None, classes: tuple[str, ...] = ()) -> Arrays:
    """A data set of arrays. Samples: bytes [N, H, W], [N, H, W, C] or [N, C, H, W]; or floats [N, C, H, W] in [-1, 1]
    for pictures; floats [N, D] for points; whole numbers [N, T] for tokens. labels: whole numbers [N] from 0.
    Raises DataError."""
    samples = _tensor(samples)
    if samples.ndim < 2 or not samples.numel():
        why = (
            "is empty"
            if not samples.numel()
            else f"has one axis only, {tuple(samples.shape)}: cannot tell what it holds"
        )
        raise DataError(f"the data set {why}; pictures are [N, H, W, C], points [N, D]")
    samples, spec = _described(samples)
    if labels is not None:
        labels = _checked_labels(_tensor(labels), len(samples))
        spec = dataclasses.replace(spec, classes=classes or tuple(map(str, range(int(labels.max()) + 1))))
    return Arrays(spec, samples, labels)


def _tensor(values: Any) -> Tensor:
    """Anything like an array of numbers as a tensor."""
    if isinstance(values, Tensor):
        return values.detach().cpu()
    array = numpy.asarray(values)
    if array.dtype.kind not in "biuf":
        raise DataError(f"the data must be numbers, not {array.dtype}")
    return torch.from_numpy(numpy.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))))


def _checked_labels(labels: Tensor, count: int) -> Tensor:
    if labels.shape != (count,) or labels.is_floating_point() or labels.min() < 0 or labels.max() >= MOST_CLASSES:
        span = f" from {labels.min()} to {labels.max()}" if labels.numel() else ""
        got = f"{labels.dtype} {tuple(labels.shape)}{span}"
        raise DataError(
            f"labels must be whole numbers from 0 to {MOST_CLASSES - 1}, one for each of the {count} samples; got {got}"
        )
    return labels.long()


def _described(samples: Tensor) -> tuple[Tensor, Spec]:
    encoding: dict[str, Any] = {}
    if samples.ndim == 2 and samples.is_floating_point():
        kind, samples = "points", samples.float()
    elif samples.ndim == 2:
        kind, samples = "tokens", samples.long()
        if samples.min() < 0 or samples.max() >= MOST_CLASSES:
            raise DataError(
                f"tokens must be whole numbers from 0 to {MOST_CLASSES - 1}; "
                f"got {int(samples.min())} to {int(samples.max())}"
            )
        encoding = {"vocabulary": [str(word) for word in range(int(samples.max()) + 1)]}
    elif samples.ndim in (3, 4):
        kind = "image"
        encoding = {"bits": 16} if samples.dtype == torch.uint16 else {}
        samples = _pictures(samples)
    else:
        raise DataError(
            f"cannot tell what an array of shape {tuple(samples.shape)} holds; pictures are [N, H, W, C], points [N, D]"
        )
    if samples.is_floating_point() and not torch.isfinite(samples).all():
        raise DataError("the data hold values that are infinite or not a number")
    return samples, Spec(kind, tuple(samples.shape[1:]), encoding=encoding)


def _pictures(samples: Tensor) -> Tensor:
    """As [N, C, H, W]: the last axis is the channels' if it has at most 4 and the second has more."""
    if samples.ndim == 3:
        samples = samples[:, None]
    elif samples.shape[-1] <= 4 < samples.shape[1]:
        samples = samples.permute(0, 3, 1, 2).contiguous()
    if samples.dtype == torch.uint8:
        return samples
    if samples.dtype == torch.uint16:
        return samples.float() / 32767.5 - 1
    if samples.is_floating_point() and not samples.abs().max() > 1:
        return samples.float()
    raise DataError("pictures must be bytes (uint8), 16-bit numbers (uint16) or floats in [-1, 1]")


class _Indexed(Collection):
    """A torch Dataset with a length, whose items are samples or (sample, label)."""

    decodes = True

    def __init__(self, dataset: Any):
        self.dataset = dataset
        first = self.dataset[0] if len(dataset) else None
        if first is None:
            raise DataError("the data set is empty")
        self.labelled = isinstance(first, (tuple, list))
        sample = torch.as_tensor(first[0] if self.labelled else first)
        kind = {1: "points", 3: "image"}.get(sample.ndim)
        if kind is None or not sample.is_floating_point():
            raise DataError(
                f"items must be float tensors [C, H, W] in [-1, 1] or [D]; got {sample.dtype} {tuple(sample.shape)}"
            )
        classes = tuple(map(str, getattr(dataset, "classes", ()))) if self.labelled else ()
        self.spec = Spec(kind, tuple(sample.shape), classes)

    def __len__(self) -> int:
        return len(self.dataset)

    def fetch(self, indices: list[int]) -> Batch:
        items = [self.dataset[index] for index in indices]
        samples = torch.stack([torch.as_tensor(item[0] if self.labelled else item) for item in items])
        labels = torch.tensor([int(item[1]) for item in items]) if self.labelled and self.spec.classes else None
        return Batch(samples.float(), labels, index=torch.as_tensor(indices))
