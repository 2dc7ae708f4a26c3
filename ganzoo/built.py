"""The folder where built libraries are kept: found whole or not at all, written by one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .errors import KernelError
from .progress import speaks

PREBUILT = Path(__file__).parent / "_built"  # what was compiled when the wheel was made; looked at first


def home() -> Path:
    """Where ganzoo keeps what it can make again."""
    asked = os.environ.get("GANZOO_CACHE") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "ganzoo")
    return Path(os.path.expanduser(asked)).absolute()


def cache() -> Path:
    return home() / "kernels"


def find(name: str, inputs: dict[str, Any], opens: bool = False) -> Path | None:
    """The library that these inputs lead to, if it was built; with `opens`, one that loads."""
    for home in (PREBUILT, cache()):
        for library in sorted(home.glob(f"{name}-*/{name}.so")):
            if _serves(library.parent, inputs) and (not opens or _opens(library)):
                return library
    return None


def _serves(folder: Path, wanted: dict[str, Any]) -> bool:
    """Whether the library there does for what is wanted. Another compiler's is refused only where there is one to build
    it again, and not from the wheel; code for more CUDA devices than are here is welcome."""
    try:
        built = json.loads((folder / "inputs.json").read_text())
    except (OSError, ValueError):
        return False
    if folder.parent != PREBUILT and None not in wanted["compilers"] and built["compilers"] != wanted["compilers"]:
        return False
    here, there = ({name.removesuffix("+PTX") for name in one["architectures"]} for one in (wanted, built))
    return here <= there and all(built[key] == wanted[key] for key in ("files", "flags", "torch", "machine"))


def load(library: Path) -> None:
    import torch

    try:
        torch.ops.load_library(str(library))
    except (OSError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        raise KernelError(f"{library} does not load ({why}); to build it again: ganzoo kernels build") from None


def _opens(library: Path) -> bool:
    with suppress(KernelError):
        load(library)
        return True
    return False


def check_writable() -> None:
    with _writing():
        cache().mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache()).close()


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A new folder that becomes `target` when all went well. Nobody ever sees a half of it."""
    for left in target.parent.glob(f".{target.name}-*"):  # by builds that were killed: the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    with _writing():
        aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            yield aside
            shutil.rmtree(target, ignore_errors=True)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def alone(target: Path, name: str) -> Iterator[None]:
    """Holds a lock of the operating system: it goes with the process that holds it, however that ends."""
    from filelock import FileLock, Timeout

    lock = FileLock(f"{target}.lock")
    with _writing():
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"another process is building {name}; waiting for it")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = f"the cache folder {cache()} cannot be written ({error.strerror}); set GANZOO_CACHE to another"
        raise KernelError(reason) from None


def remember_failure(folder: Path, reason: str) -> None:
    (folder / "failed.json").write_text(json.dumps({"reason": reason}))


def recall_failure(target: Path) -> None:
    """Raises what the last build said, if it failed."""
    with suppress(FileNotFoundError):
        raise KernelError(json.loads((target / "failed.json").read_text())["reason"])


def clean() -> str:
    """Remove everything in the cache, and say what that was."""
    if not cache().exists():
        return f"there is nothing to remove: {cache()} does not exist"
    files = [path for path in cache().rglob("*") if path.is_file()]
    libraries, size = sum(path.suffix == ".so" for path in files), sum(path.stat().st_size for path in files)
    with _writing():
        shutil.rmtree(cache())
    return f"removed {cache()}: {libraries} librar{'y' if libraries == 1 else 'ies'}, {size / 1e6:.1f} MB"


def say(sentence: str) -> None:
    if speaks():
        print(f"ganzoo: {sentence}", file=sys.stderr, flush=True)
