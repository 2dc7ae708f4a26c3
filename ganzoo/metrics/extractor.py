"""What extractors of features share: what one is, the file of weights that it is known by, and pictures as it takes
them."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy
import torch
from torch import Tensor, nn

from ..errors import DataError, UsageError

Array = numpy.ndarray[Any, Any]
Distance = Callable[[Tensor, Tensor], Array]
_COUNT = "num_batches_tracked"  # of batch norm: what older files lack


@dataclass
class Extractor:
    """samples [N, ...] -> features [N, d] float64, and class probabilities [N, K] or None.

    distance: how far samples are from others, [N, ...] twice -> [N] float64; samples are not rounded for it, so that it
    can follow small steps. perceptual: whether it stands for what people see (LPIPS). protocol: everything about the
    extractor that a number depends on. standard: the field's words that these weights earn, and how a number is then
    called, such as {"FID": "clean-FID"}.
    """

    name: str
    extract: Callable[[Tensor], tuple[Array, Array | None]]
    distance: Distance
    protocol: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    perceptual: bool = False
    standard: dict[str, str] = field(default_factory=dict)


def squared_distance(features: Callable[[Tensor], Array]) -> Distance:
    """The squared Euclidean distance of features, pair by pair."""

    def distance(first: Tensor, second: Tensor) -> Array:
        apart: Array = numpy.square(features(first) - features(second)).sum(1)
        return apart

    return distance


@dataclass
class Weights:
    """A file's tensors by name, and the sha256 of the file."""

    path: Path
    state: dict[str, Tensor]
    sha256: str

    @classmethod
    def read(cls, path: Path) -> Weights:
        """A flat state, from a .safetensors file or from one of torch's that holds nothing but tensors. Nothing in it
        is executed. Raises DataError."""
        state: Any
        try:
            if path.suffix == ".safetensors":
                import safetensors.torch

                state = safetensors.torch.load_file(path)
            else:
                state = torch.load(path, map_location="cpu", weights_only=True)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except UnpicklingError:  # whose text says how to execute what the file holds
            why = "torch did not write it, or it holds more than tensors, which is never read"
            raise DataError(f"{path} is not a file of weights: {why}") from None
        except Exception as error:  # torch raises many things for a file that is not one of its own
            told = (str(error) or type(error).__name__).splitlines()[0]
            raise DataError(f"{path} is not a file of weights: {told}") from None
        held = state.get("state_dict", state) if isinstance(state, dict) else {}
        found = {str(name).removeprefix("module."): value for name, value in held.items() if isinstance(value, Tensor)}
        return cls(path, {name: value for name, value in found.items() if not name.endswith(_COUNT)}, sha256)

    def shapes(self) -> dict[str, torch.Size]:
        return {name: value.shape for name, value in self.state.items()}


def shapes(module: nn.Module) -> dict[str, torch.Size]:
    """What a file of this network's weights holds."""
    return {name: value.shape for name, value in module.state_dict().items() if not name.endswith(_COUNT)}


def filled(module: Any, state: dict[str, Tensor]) -> Any:
    """A network that was built on torch's device `meta`, with these weights, to be looked at and not trained."""
    # Convolutions are quickest with the channels last: half as many pictures more in the same time.
    network = module.to_empty(device="cpu").to(memory_format=torch.channels_last)
    network.load_state_dict(state, strict=False)
    return network.eval().requires_grad_(False)


def accept(word: str, options: dict[str, str], known: dict[str, tuple[str, ...] | None]) -> None:
    """Raise UsageError unless these are options of the extractor `word`.

    known: the values of each option, None for one that takes a path.
    """
    for name, value in options.items():
        if name not in known:
            takes = f"options of {word}: {', '.join(known)}" if known else f"{word} has none"
            raise UsageError(f"--features has no option '{name}' for these weights; {takes}")
        if (values := known[name]) and value not in values:
            raise UsageError(f"--features option {name}={value}: {name} is {' or '.join(values)}")


def coloured(values: Tensor) -> Tensor:
    """Pictures [N, 1 or 3, H, W] in [-1, 1] with three channels, grey ones in three equal ones, float32."""
    if values.ndim != 4 or values.shape[1] not in (1, 3):
        raise UsageError(
            f"these features are of grey or coloured pictures [N, 1 or 3, H, W], not of samples {list(values.shape)}"
        )
    return values.float().expand(-1, 3, -1, -1)


def by_channel(extractor: Extractor) -> Extractor:
    """The same for pictures whose channels are pictures by themselves: features of all, side by side [N, C * d], and
    the classes of each [N, C, K]."""

    def extract(values: Tensor) -> tuple[Array, Array | None]:
        channels = values.shape[1]
        rows, classes = extractor.extract(values.flatten(0, 1)[:, None])
        rows = rows.reshape(len(values), -1)
        return rows, None if classes is None else classes.reshape(len(values), channels, -1)

    return dataclasses.replace(
        extractor, extract=extract, protocol={**extractor.protocol, "channels": "one by one"}, standard={}
    )
