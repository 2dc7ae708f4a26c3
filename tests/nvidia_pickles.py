"""NVIDIA's pickled checkpoints, written with classes of the same names as theirs."""

from __future__ import annotations

import collections
import sys
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def named_modules() -> Iterator[types.SimpleNamespace]:
    """Modules under the names that such pickles mention, while one is written."""
    names = ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence")
    made = {name: types.ModuleType(name) for name in names}
    easy = type("EasyDict", (dict,), {"__module__": "dnnlib.util", "__qualname__": "EasyDict"})

    def reconstruct(meta: Any) -> Any:
        raise AssertionError("nothing is rebuilt")

    reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"
    reconstruct.__name__ = "_reconstruct_persistent_obj"
    made["dnnlib.util"].EasyDict = easy  # type: ignore[attr-defined]
    made["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield types.SimpleNamespace(easy=easy, reconstruct=reconstruct)
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


class Persistent:
    """What pickles as a call of NVIDIA's reconstruction with a class's name, source and state."""

    def __init__(self, reconstruct: Any, name: str, state: Any):
        meta = {"type": "class", "version": 6, "module_src": "1/0", "class_name": name, "state": state}
        self.made = (reconstruct, (meta,))

    def __reduce__(self) -> Any:
        return self.made


def network(official: Any, name: str, state: Mapping[str, torch.Tensor], options: Any = None) -> Persistent:
    """A network with these parameters, its modules nested as their names say."""
    inner: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in state.items():
        if "." in key:
            inner.setdefault(key.partition(".")[0], {})[key.partition(".")[2]] = value
    own = {key: torch.nn.Parameter(value.clone()) for key, value in state.items() if "." not in key}
    modules = collections.OrderedDict((key, network(official, "Layer", held)) for key, held in inner.items())
    held = {"training": False, "_parameters": own, "_buffers": {}, "_modules": modules, "_init_kwargs": options or {}}
    return Persistent(official.reconstruct, name, held)
