"""Compiled operators: built from C++ or CUDA sources at first use, kept in a cache, loaded into `torch.ops`.

`native("cpu")` and `native("cuda")` ask for ganzoo's own. A plugin builds its own with the same few lines:

    BLUR = Extension("blur", Path(__file__).parent / "csrc")  # *.cpp, written for torch's stable ABI
    ...
    return torch.ops.blur.blur(x) if BLUR.native() else reference_blur(x)

`GANZOO_KERNELS` says what happens where a library cannot be had: `auto` (unless told) warns once and leaves the work to
the reference, `require` raises. `reference` neither builds nor loads.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from . import built, toolchain
from .errors import KernelError, UsageError
from .progress import speaks

OPS = ("bias_act", "upfirdn2d", "gradient_penalty", "between")
_only_reference = False
EXTENSIONS: list[Extension] = []  # every one that was made: ganzoo's two, and those of the plugins that are imported

_PACKAGE = Path(__file__).parent
_HEADERS = {"cpu": (".h", ".hpp"), "cuda": (".h", ".hpp", ".cuh")}


@dataclass(frozen=True)
class Status:
    """Which implementation runs and, in one line, why; the library and the log of its build where they exist."""

    state: Literal["native", "reference", "not built yet"]
    why: str
    library: Path | None = None
    log: Path | None = None


class Extension:
    """Sources that become one library of operators; there is no Python in it: it registers by STABLE_TORCH_LIBRARY.

    `folder` holds the sources (names or patterns) and what they include; `flags` are added to the compiler's (nvcc's
    when `device` is "cuda"); the library of `after` is loaded first.
    """

    def __init__(
        self,
        name: str,
        folder: Path | str,
        sources: tuple[str, ...] = ("*.cpp",),
        device: Literal["cpu", "cuda"] = "cpu",
        flags: tuple[str, ...] = (),
        after: Extension | None = None,
    ):
        if not name.isidentifier():
            raise ValueError(f"an extension's name is letters, digits and _, not '{name}'")
        self.name, self.folder, self.sources = name, Path(folder).absolute(), sources
        self.device, self.flags, self.after = device, (*toolchain.FLAGS[device], *flags), after
        self._native: bool | None = None
        self._library: Path | None = None
        self._failure: str | None = None
        self._lock = threading.RLock()
        EXTENSIONS.append(self)

    def native(self) -> bool:
        """Whether the operators are there. The first call loads or builds them, as GANZOO_KERNELS says."""
        if self._native is None:
            with self._lock:
                self._native = self._decide() if self._native is None else self._native
        return self._native

    # What torch.compiler.assume_constant_result sets: a compiled function keeps the answer that it was traced with.
    # To call that here would import torch._dynamo, which takes longer than everything else in this file.
    native._dynamo_marked_constant = True  # type: ignore[attr-defined]

    def _decide(self) -> bool:
        if mode() == "reference" or (self.after and not self.after.native()):
            return False
        try:
            self.load()
        except KernelError as error:
            if mode() == "require":
                raise
            if speaks():
                warnings.warn(f"{error}; the reference runs instead, slower", RuntimeWarning, stacklevel=4)
            return False
        return True

    def load(self) -> None:
        """Load the library, built now unless it was before. What failed once fails in this process until `build`."""
        with self._lock:
            if self._failure:
                raise KernelError(self._failure)
            try:
                self._load(again=False)
            except KernelError as error:
                self._failure = str(error)
                raise

    def build(self) -> Path:
        """The loaded library's path. A build that failed and a library that does not load are built again."""
        with self._lock:
            library = self._load(again=True)
            self._failure = self._native = None
            return library

    def _load(self, again: bool) -> Path:
        if self.after:
            self.after._load(again)
        if self._library is None:
            inputs = self._inputs()
            library = built.find(self.name, inputs, opens=again) or self._make(inputs, again)
            built.load(library)
            self._library = library
        return self._library

    def status(self) -> Status:
        """What `native` would find, without a build."""
        if mode() == "reference":
            return Status("reference", "GANZOO_KERNELS=reference")
        log = None
        try:
            inputs = self._inputs()
            if self.after and (before := self.after.status()).state != "native":
                return Status(before.state, before.why, log=before.log)
            library = self._library or built.find(self.name, inputs)
            written = (library.parent if library else self._target(inputs)) / "build.log"
            log = written if written.is_file() else None
            if library is None:
                built.recall_failure(self._target(inputs))
                self._check(inputs)
                return Status("not built yet", "built at first use, or by `ganzoo kernels build`")
            built.load(library)
        except KernelError as error:
            return Status("reference", str(error), log=log)
        return Status("native", str(library), library, log)

    def absent(self) -> str | None:
        """Why this machine has no use for the library, if it has none."""
        import torch

        if self.device == "cuda" and torch.version.cuda is None:
            return f"this torch ({torch.__version__}) is without CUDA"
        if self.device == "cuda" and not toolchain.architectures():
            return "no CUDA device is visible (to build for another machine's, set TORCH_CUDA_ARCH_LIST)"
        return None

    def _inputs(self) -> dict[str, Any]:
        """All that decides which library comes out. Where one of these differs, another one is built."""
        import torch

        if reason := self.absent():
            raise KernelError(f"{self.name}: {reason}")
        cuda = self.device == "cuda"
        headers = [path for path in self.folder.rglob("*") if path.suffix in _HEADERS[self.device]]
        files = {str(path.relative_to(self.folder)): _digest(path.read_bytes()) for path in self._paths() + headers}
        return {
            "files": files,
            "flags": list(self.flags),
            "torch": [str(torch.__version__), torch.version.cuda],
            "machine": platform.machine() if cuda else f"{platform.machine()} {toolchain.processor()}",
            "architectures": toolchain.architectures() if cuda else [],
            "compilers": [toolchain.version(tool) for tool in self._compilers()],
        }

    def _paths(self) -> list[Path]:
        found = sorted({path for pattern in self.sources for path in self.folder.glob(pattern)})
        if not found:
            raise KernelError(f"{self.name}: there are no sources {' or '.join(self.sources)} in {self.folder}")
        return found

    def _compilers(self) -> list[str]:
        return [toolchain.compiler(), toolchain.nvcc()] if self.device == "cuda" else [toolchain.compiler()]

    def _target(self, inputs: dict[str, Any]) -> Path:
        return built.cache() / f"{self.name}-{_digest(json.dumps(inputs, sort_keys=True).encode())[:12]}"

    def _check(self, inputs: dict[str, Any]) -> None:
        """Raises what this machine lacks for a build. It is not remembered: it may be mended at any time."""
        missing = [tool for tool, version in zip(self._compilers(), inputs["compilers"], strict=True) if not version]
        if missing:
            what, how = ("C++", "CXX") if missing[0] == toolchain.compiler() else ("CUDA", "CUDA_HOME")
            raise KernelError(f"{self.name}: no {what} compiler (tried {missing[0]}; set {how})")
        if toolchain.ninja() is None:
            raise KernelError(f"{self.name}: ninja is missing (pip install ninja)")
        built.check_writable()

    def _make(self, inputs: dict[str, Any], again: bool) -> Path:
        """Build, or wait for the process that does. A build that failed is not tried by others unless `again`."""
        self._check(inputs)
        target = self._target(inputs)
        with built.alone(target, self.name):
            if library := built.find(self.name, inputs, opens=again):
                return library
            if not again:
                built.recall_failure(target)
            built.say(f"building {self.name} in {target}; this takes up to a minute, once")
            with built.replacing(target) as aside:
                self._fill(aside, target / "build.log", inputs)
            built.recall_failure(target)
        return target / f"{self.name}.so"

    def _fill(self, aside: Path, log: Path, inputs: dict[str, Any]) -> None:
        reason = toolchain.build(self.name, self._paths(), self.folder, self.device, self.flags, aside)
        if self._inputs() != inputs:  # what came out is neither the old nor the new
            raise KernelError(f"{self.name}: its sources changed while they were compiled; try again")
        if reason is None:
            (aside / "inputs.json").write_text(json.dumps(inputs))
        else:
            again = f"log: {log}; to try again: ganzoo kernels build"
            built.remember_failure(aside, f"{self.name}: {reason}; {again}")


_CSRC = _PACKAGE / "_csrc" if (_PACKAGE / "_csrc").is_dir() else _PACKAGE.parent / "csrc"  # of a wheel, of a checkout
CPU = Extension("ganzoo_cpu", _CSRC)
CUDA = Extension("ganzoo_cuda", _CSRC, ("*_cuda.cu",), "cuda", after=CPU)  # the CPU library declares the operators
_OF_DEVICE = {"cpu": CPU, "cuda": CUDA}


def native(device_type: str) -> bool:
    """Whether ganzoo's compiled operators run on tensors of this device."""
    if _only_reference:
        return False
    if device_type in _OF_DEVICE:
        return _OF_DEVICE[device_type].native()
    if mode() == "require":
        raise KernelError(f"GANZOO_KERNELS=require: there are no kernels for tensors on '{device_type}'")
    return False


native._dynamo_marked_constant = True  # type: ignore[attr-defined]  # as above


@contextmanager
def only_reference() -> Iterator[None]:
    """Within, the reference runs whatever was built: for those who must see into the operators."""
    global _only_reference  # noqa: PLW0603
    before, _only_reference = _only_reference, True
    try:
        yield
    finally:
        _only_reference = before


def mode() -> str:
    asked = os.environ.get("GANZOO_KERNELS") or "auto"
    if asked not in ("auto", "require", "reference"):
        raise UsageError(f"GANZOO_KERNELS is '{asked}'; it can be auto, require or reference")
    return asked


def build_all(say: Callable[[str], Any]) -> list[str]:
    """Build and load every extension that this machine has a use for. Says what became of each; returns what failed."""
    failures = []
    for extension in EXTENSIONS:
        began = time.perf_counter()
        try:
            absent = extension.absent()
            outcome = f"not built: {absent}" if absent else str(extension.build())
        except KernelError as error:
            failures.append(str(error))
            outcome = "failed"
        say(f"{extension.name}  {outcome}  {time.perf_counter() - began:.1f} s")
    return failures


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
