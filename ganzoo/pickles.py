"""Pickled networks, read without running anything that they hold.

A pickle is a program. This reader knows a short list of what such files name: dictionaries, tensors and their storages,
numbers, and the envelope in which NVIDIA's checkpoints keep a network's class, source and state. For each it puts an
inert record of its own in place; the source is skipped unread. Anything else is refused by its name.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .errors import DataError

_STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # at the head of torch's older files
_DEEPEST = 64  # modules in modules
_LARGEST = 1 << 34  # bytes of a file


@dataclass
class Pickled:
    """A network as a pickle keeps it. name: its class's. options: what it was built with. state: its parameters and
    buffers by their full names."""

    name: str
    options: dict[str, Any]
    state: dict[str, Tensor] = field(default_factory=dict)


def read_networks(path: Path) -> dict[str, Pickled]:
    """The networks of a checkpoint such as stylegan2-ada-pytorch and stylegan3 write: `G`, `D`, `G_ema`.

    Raises DataError, naming what the file asked for if that is more than data.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError("it is larger than 16 GiB")
        held = _load(path.read_bytes())
        if not isinstance(held, dict):
            raise ValueError("it does not hold networks by name")
        networks = {str(name): _network(value) for name, value in held.items() if isinstance(value, _Module)}
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    # The machine inside a pickle fails in nearly any way on a damaged file.
    except Exception as error:
        told = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path} is refused: {told}. Nothing in it was run") from None
    if not networks:
        raise DataError(f"{path} holds no networks in the form of NVIDIA's checkpoints")
    return networks


def _load(data: bytes) -> Any:
    # The reader in Python, because the one in C gives a damaged position the memory that it asks for.
    return _Reader(io.BytesIO(data)).load()


class _Reader(pickle._Unpickler):
    """Puts harmless forms of our own in place of the names that it knows."""

    def find_class(self, module: str, name: str) -> Any:
        made = _known(module, name)
        if made is None:
            raise ValueError(f"it asks for {module!a:.60}.{name!a:.60}, and only dictionaries and tensors are read")
        return made

    def get_extension(self, code: int) -> Any:
        raise ValueError(f"it asks for the registered extension {code}, and only dictionaries and tensors are read")

    def persistent_load(self, saved: Any) -> Any:
        raise ValueError("it refers to what is outside of it")


def _known(module: str, name: str) -> Any:
    """What stands for a name, made anew each time, since a pickle may set attributes of what it was given."""
    match module.replace("numpy._core", "numpy.core"), name:
        case ("collections", "OrderedDict") | ("dnnlib.util" | "dnnlib", "EasyDict"):
            made = type(name, (dict,), {"__setstate__": _ignored})
        case ("torch_utils.persistence", "_reconstruct_persistent_obj"):
            made = type(name, (_Module,), {})
        case ("torch._utils", "_rebuild_tensor_v2"):
            made = type(name, (_Tensor,), {})
        case ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        case ("torch.storage", "_load_from_bytes"):
            return lambda *data: _storage(*data)  # noqa: PLW0108  (made anew)
        case ("numpy.core.multiarray", "scalar"):
            return lambda *data: _number(*data)  # noqa: PLW0108
        case ("numpy", "dtype"):
            made = type("Kind", (), {"__init__": _named, "__setstate__": _ignored})
        case _:
            return None
    return made


def _ignored(_self: Any, _state: Any) -> None:
    """Attributes of a dictionary, and a type's details, are not needed."""


def _named(self: Any, code: Any, *_: Any) -> None:
    self.code = code


def _number(kind: Any, data: Any) -> float | int | bool:
    """A number that numpy stored: little-endian, of a plain type."""
    if str(getattr(kind, "code", "")) not in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"):
        raise ValueError("it holds a number of a type that is not read")
    found: float | int | bool = numpy.frombuffer(data, numpy.dtype(kind.code).newbyteorder("<"))[0].item()
    return found


class _Module:
    """A network or a part of one: a dictionary of what it was."""

    def __init__(self, meta: Any):
        if not isinstance(meta, dict) or not isinstance(meta.get("state"), dict):
            raise ValueError("it holds a network without a state")
        self.name, self.held = str(meta.get("class_name")), meta["state"]


@dataclass
class _Storage:
    """Numbers in a row."""

    values: Tensor


class _Tensor:
    """A tensor as it is stored; it becomes one when the file has been read."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any):
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride

    def tensor(self) -> Tensor:
        if not isinstance(self.storage, _Storage):
            raise ValueError("it holds a tensor without numbers")
        whole = [self.offset, *self.size, *self.stride]
        if len(self.size) != len(self.stride) or any(type(number) is not int or number < 0 for number in whole):
            raise ValueError("it holds a tensor whose shape is none")
        empty = 0 in self.size
        end = self.offset + 1 + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if not empty and (end > len(self.storage.values) or math.prod(self.size) > len(self.storage.values)):
            raise ValueError("it holds a tensor that is larger than its numbers")
        if empty:
            return self.storage.values.new_empty(tuple(self.size))
        return self.storage.values.as_strided(tuple(self.size), tuple(self.stride), self.offset).clone()


class _Stored(_Reader):
    """The reader of a storage that torch wrote by itself: a few pickles one after another, then the numbers."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        raise ValueError(f"a storage in it asks for {module!a:.60}.{name!a:.60}, and only storages are read")

    def persistent_load(self, saved: Any) -> Any:
        match saved:
            case ("storage", torch.dtype() as kind, str(key), str(), int(count), None) if count >= 0:
                return (kind, key, count)
        raise ValueError("it refers to what is outside of it")


def _storage(data: Any) -> _Storage:
    """A storage from the bytes that torch made of it, in its older form."""
    if not isinstance(data, bytes):
        raise ValueError("it holds a storage that is not bytes")
    file = io.BytesIO(data)
    magic, protocol, _machine, held, keys = (_Stored(file).load() for _ in range(5))
    if magic != _MAGIC or protocol != _PROTOCOL or not (isinstance(held, tuple) and len(held) == 3):
        raise ValueError("it holds a storage in a form that is not read")
    kind, key, count = held
    if keys != [key]:
        raise ValueError("it holds a storage in a form that is not read")
    length = int.from_bytes(file.read(8), "little", signed=True)
    content = file.read(count * kind.itemsize)
    if length != count or len(content) != count * kind.itemsize or file.read(1):
        raise ValueError("it holds a storage that is cut short")
    return _Storage(torch.frombuffer(bytearray(content), dtype=kind) if count else torch.empty(0, dtype=kind))


def _network(module: _Module) -> Pickled:
    options = {key: value for key, value in _plain(module.held.get("_init_kwargs", {})).items()}
    return Pickled(module.name, options, dict(_flat(module)))


def _flat(module: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """A module's tensors by their full names."""
    if not isinstance(module, _Module) or depth > _DEEPEST:
        raise ValueError("it holds modules in a form that is not read")
    for kind in ("_parameters", "_buffers"):
        for name, value in _table(module, kind).items():
            if isinstance(value, _Tensor):
                yield f"{prefix}{name}", value.tensor()
    for name, inner in _table(module, "_modules").items():
        yield from _flat(inner, f"{prefix}{name}.", depth + 1)


def _table(module: _Module, kind: str) -> dict[str, Any]:
    found = module.held.get(kind, {})
    if not isinstance(found, dict):
        raise ValueError("it holds modules in a form that is not read")
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """Options as JSON could hold them; what is none of its values is left out."""
    if depth > _DEEPEST:
        raise ValueError("it holds options in options without end")
    if isinstance(value, dict):
        found = {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
        return {key: inner for key, inner in found.items() if inner is not ...}
    if isinstance(value, (list, tuple)):
        return [inner for inner in (_plain(one, depth + 1) for one in value) if inner is not ...]
    return value if value is None or isinstance(value, (bool, int, float, str)) else ...
