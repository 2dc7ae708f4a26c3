"""Python's pickles, read without running anything that they hold: lists, dictionaries, texts, numbers and arrays."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy

_NUMBERS = re.compile(r"[biuf][1248]")
_MODULES = ("multiarray", "numeric")


def read_pickle(data: bytes) -> Any:
    """What a pickle holds: an array, or a list or a dictionary, in which arrays are numpy's. Raises ValueError for
    anything that would have to be called by its name, and many types for a damaged file."""
    # The reader in Python, because the one in C gives a damaged position the memory that it asks for.
    held = _Reader(io.BytesIO(data), encoding="bytes").load()
    if isinstance(held, dict):
        return {key: _finished(value) for key, value in held.items()}
    return [_finished(value) for value in held] if isinstance(held, (list, tuple)) else _finished(held)


class _Reader(pickle._Unpickler):
    """Knows the names under which numpy stores an array, and puts harmless forms of our own in their place."""

    def find_class(self, module: str, name: str) -> Any:
        # Made anew each time: a pickle may set attributes of what it was given.
        if (module, name) == ("numpy", "dtype"):
            return lambda code, *_: _Type(code)
        if (module, name) == ("numpy", "ndarray"):
            return None
        if module in {f"numpy.{core}.{part}" for core in ("core", "_core") for part in _MODULES}:
            if name == "_reconstruct":
                return lambda *_: _Array()
            if name == "_frombuffer":
                return lambda data, kind, shape, order: _Array(data, kind, shape, order == "F")
        if (module, name) == ("_codecs", "encode"):  # bytes in pickles that Python 3 writes for Python 2
            return _latin1_encoder()
        raise ValueError(f"it asks for {module}.{name}, and only lists, dictionaries, texts and arrays are read")


class _Type:
    """An array's type: a letter and a number of bytes, such as `u1`, and then the order of the bytes."""

    def __init__(self, code: Any):
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)
        self.order = "="

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        self.order = order.decode("ascii") if isinstance(order, bytes) else str(order)

    def numpy(self) -> numpy.dtype[Any]:
        if not _NUMBERS.fullmatch(self.code) or self.order not in ("=", "|", "<", ">"):
            raise ValueError(f"it holds an array of type {self.order + self.code!a:.40}, and only numbers are read")
        return numpy.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """What an array is stored as."""

    def __init__(self, data: Any = b"", kind: Any = None, shape: Any = (), fortran: Any = False):
        self.data, self.kind, self.shape, self.fortran = data, kind, shape, fortran

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.kind, self.fortran, self.data = state

    def numpy(self) -> numpy.ndarray:
        if not isinstance(self.kind, _Type) or not isinstance(self.data, (bytes, bytearray)):
            raise ValueError("it holds an array that is not made of numbers")
        values = numpy.frombuffer(bytes(self.data), self.kind.numpy())
        return values.reshape(self.shape, order="F" if self.fortran else "C")


def _latin1_encoder() -> Callable[[str, str], bytes]:
    def encode(text: str, encoding: str) -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"it asks for the encoding {encoding!a:.40}, and only latin1 is read")
        return text.encode("latin1")

    return encode


def _finished(value: Any) -> Any:
    return value.numpy() if isinstance(value, _Array) else value
