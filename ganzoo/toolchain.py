"""What this machine compiles with and for, and one build: sources in, a library or the reason why there is none out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from .errors import KernelError

_STABLE_ABI = "-DTORCH_TARGET_VERSION=0x020a000000000000"  # torch 2.10's: nothing that came later can slip in
# Torch takes the arithmetic of 16 bit types away from nvcc, for the sake of headers that the stable ABI does not have.
_SIXTEEN_BIT = ("HALF_OPERATORS", "HALF_CONVERSIONS", "HALF2_OPERATORS", "BFLOAT16_CONVERSIONS")
FLAGS = {
    "cpu": ("-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno", "-fno-trapping-math", _STABLE_ABI),
    "cuda": ("-O3", "-DUSE_CUDA", _STABLE_ABI, *(f"-U__CUDA_NO_{name}__" for name in _SIXTEEN_BIT)),
}
_WHERE_TAKEN = {"-march=native", "-mprefer-vector-width=512"}  # some compilers and processors do not know them
_BUILD = "import json, sys; from torch.utils.cpp_extension import load; load(**json.loads(sys.argv[1]))"


def compiler() -> str:
    return os.environ.get("CXX") or "c++"


def nvcc() -> str:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    return os.path.join(home, "bin", "nvcc") if home else shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"


def version(command: str) -> str | None:
    """How a compiler names itself; None where it does not run."""
    with suppress(OSError):
        told = subprocess.run([command, "--version"], capture_output=True, text=True, check=False)
        if told.returncode == 0:
            return " ".join(told.stdout.split())
    return None


def cuda_home() -> str:
    """The toolkit's folder as nvcc itself tells it: the nvcc on the PATH may be a script that lies elsewhere."""
    told = subprocess.run([nvcc(), "--dryrun", "-x", "cu", os.devnull], capture_output=True, text=True, check=False)
    found = re.search(r"^#\$ TOP=(.+)$", told.stderr, re.MULTILINE)
    return os.path.realpath(found[1]) if found else str(Path(nvcc()).parent.parent)


def architectures() -> list[str]:
    """Those that CUDA code is built for: TORCH_CUDA_ARCH_LIST, else those of the devices that are visible."""
    import torch

    asked = os.environ.get("TORCH_CUDA_ARCH_LIST", "").replace(";", " ").split()
    if asked and asked != ["native"]:
        return sorted(asked)
    devices = range(torch.cuda.device_count())
    return sorted({"{}.{}".format(*torch.cuda.get_device_capability(device)) for device in devices})


def processor(line: str = "flags|Features") -> str:
    """A line of what Linux knows about the first processor; unless told, what it can do (ARM's are called Features)."""
    with suppress(OSError):
        found = re.search(rf"^(?:{line})\s*:\s*(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if found:
            return found[1]
    return ""


def search_path() -> str:
    """PATH, and the folders where pip puts ninja: they are not on it when Python is called by its full name."""
    folders = [os.environ.get("PATH", ""), os.path.dirname(sys.executable)]
    with suppress(ImportError):
        import ninja

        folders.append(ninja.BIN_DIR)
    return os.pathsep.join(filter(None, folders))


def ninja() -> str | None:
    return shutil.which("ninja", path=search_path())


def build(name: str, sources: list[Path], include: Path, device: str, flags: tuple[str, ...], into: Path) -> str | None:
    """Build `into/NAME.so`. Returns what went wrong, in one line, if something did; `into/build.log` has it all.

    Torch's own build runs in a process apart: every word of it, the compilers' too, goes to the log, and this process
    is spared what it imports.
    """
    work, log = into / "work", into / "build.log"
    work.mkdir()
    asked = {
        "name": name,
        "sources": [str(path) for path in sources],
        "extra_cuda_cflags" if device == "cuda" else "extra_cflags": [flag for flag in flags if _taken(flag)],
        "extra_ldflags": ["-Wl,--no-as-needed"],
        "extra_include_paths": [str(include)],
        "build_directory": str(work),
        "is_python_module": False,
        "verbose": True,
    }
    with log.open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-c", _BUILD, json.dumps(asked)],
            cwd=work,
            env=_environment(device),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            check=False,
        )
    if done.returncode < 0:  # by a person or for want of memory: it says nothing about the sources
        raise KernelError(f"{name}: the build was ended by signal {-done.returncode}")
    if done.returncode > 0:
        return _first_error(log.read_text(errors="replace"))
    (work / f"{name}.so").rename(into / f"{name}.so")
    shutil.rmtree(work)
    return None


def _environment(device: str) -> dict[str, str]:
    words = {**os.environ, "PATH": search_path(), "CXX": compiler()}
    words.setdefault("MAX_JOBS", str(os.cpu_count() or 1))
    if device == "cuda":
        words |= {"TORCH_CUDA_ARCH_LIST": ";".join(architectures()), "CUDA_HOME": cuda_home()}
    return words


def _taken(flag: str) -> bool:
    if flag not in _WHERE_TAKEN:
        return True
    command = [compiler(), flag, "-fsyntax-only", "-x", "c++", os.devnull]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = (line for line in lines if re.search(r"\berror:|undefined reference|cannot find -l", line))
    return next(telling, lines[-1] if lines else "it said nothing")[:300]
