"""How compiled operators are built and found: real compilers, real processes, and everything that can be missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from environments import Environment, fake_distribution, fresh
from test_plugins import _unbuilt, build_wheel

from ganzoo import UsageError, built, doctor, kernels, toolchain
from ganzoo.errors import KernelError
from ganzoo.kernels import Extension
from ganzoo.registry import Broken, Registry

SOURCES = ROOT / "tests" / "extension"
EMPTY = 'extern "C" int answer() { return 42; }\n'  # a library that is compiled in no time
USE = """
import sys, torch
from ganzoo.kernels import Extension
extension = Extension({name!r}, {folder!r})
"""
LOAD = "print(extension.native())"


@pytest.fixture(autouse=True)
def _forget_extensions() -> Iterator[None]:
    before = list(kernels.EXTENSIONS)
    yield
    kernels.EXTENSIONS[:] = before


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, for this process and those that it starts."""
    for name in ("GANZOO_KERNELS", "CXX", "RANK", "TORCH_CUDA_ARCH_LIST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder with a source that is compiled in no time."""
    folder = tmp_path / "csrc"
    folder.mkdir()
    (folder / "empty.cpp").write_text(EMPTY)
    return folder


@dataclass
class Compiler:
    """A `c++` that keeps count, and fails or never ends when it is told to."""

    folder: Path
    path: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.path = self.folder / "g++"
        here = f"'{self.folder}'"
        compiles = f"echo $$ >>{here}/started; [ -e {here}/slow ] && sleep 600; [ -e {here}/broken ] && "
        compiles += '{ echo "empty.cpp:1:1: error: broken today" >&2; exit 1; }'
        self.path.write_text(f'#!/bin/sh\ncase " $* " in *" -c "*) {compiles};; esac\nexec c++ "$@"\n')
        self.path.chmod(0o755)

    def becomes(self, how: str, on: bool = True) -> None:
        (self.folder / how).touch() if on else (self.folder / how).unlink()

    @property
    def runs(self) -> int:
        started = self.folder / "started"
        return len(started.read_text().splitlines()) if started.exists() else 0


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler(tmp_path / "compiler")
    monkeypatch.setenv("CXX", str(made.path))
    return made


def start(code: str, folder: Path, name: str = "ganzoo_empty", **more: str) -> subprocess.Popen[str]:
    """A process of its own, in a session of its own: with all that it starts it can be killed."""
    return subprocess.Popen(
        [sys.executable, "-c", USE.format(name=name, folder=str(folder)) + code],
        env={**os.environ, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out, error


def wait_for(condition: object, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


# Cold and warm


@dataclass
class Built:
    cache: Path
    folder: Path
    said: str


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The tests' own operator, built by a process of its own in folders with spaces in their names."""
    home = tmp_path_factory.mktemp("with spaces") / "and more"
    folder = home / "my csrc"
    shutil.copytree(SOURCES, folder)
    code = LOAD + "; print(torch.ops.ganzoo_test.twice(torch.tensor([1.0, 2.5])).tolist())"
    out, said = finish(
        start(code, folder, "ganzoo_test", GANZOO_CACHE=str(home / "my cache"), GANZOO_KERNELS="require")
    )
    assert out.split("\n")[:2] == ["True", "[2.0, 5.0]"]
    return Built(home / "my cache", folder, said)


@pytest.fixture
def at_home(twice: Built, monkeypatch: pytest.MonkeyPatch) -> Built:
    monkeypatch.setenv("GANZOO_CACHE", str(twice.cache))
    return twice


def test_a_build_says_so_in_one_line_and_keeps_its_log(twice: Built) -> None:
    assert re.fullmatch(r"ganzoo: building ganzoo_test in .*; this takes .*, once\n", twice.said)
    names = {path.name for path in (twice.cache / "kernels").glob("*/*")}
    assert names == {"ganzoo_test.so", "build.log", "inputs.json"}
    (log,) = (twice.cache / "kernels").glob("*/build.log")
    assert "-O3 -march=native" in log.read_text()


def test_a_built_library_is_loaded_at_once_and_in_silence(at_home: Built) -> None:
    code = (
        "import time; began = time.perf_counter(); extension.load(); print(time.perf_counter() - began)\n"
        "print(sorted({'torch.utils.cpp_extension', 'torch._dynamo', 'filelock'} & set(sys.modules)))\n"
        "print(torch.ops.ganzoo_test.twice(torch.ones(1)).item())"
    )
    out, said = finish(start(code, at_home.folder, "ganzoo_test"))
    seconds, imported, result = out.split("\n")[:3]
    assert (said, imported, result) == ("", "[]", "2.0")
    assert float(seconds) < 0.3  # 0.005 on an idle machine


def test_native_is_a_constant_of_a_compiled_function(at_home: Built) -> None:
    extension = Extension("ganzoo_test", at_home.folder)
    extension.load()
    torch.library.register_fake("ganzoo_test::twice", torch.empty_like)

    @torch.compile(fullgraph=True, backend="eager")
    def compiled(x: torch.Tensor) -> torch.Tensor:
        x = torch.ops.ganzoo_test.twice(x) if extension.native() else x * 0
        return x if kernels.native("meta") else x + 1

    assert compiled(torch.ones(2)).tolist() == [3, 3]


def test_importing_is_free() -> None:
    code = "import sys, ganzoo.kernels; print({'torch', 'filelock', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# What a library depends on


CHANGES = {
    "a header": lambda folder, _: (folder / "twice.h").open("a").write("// more\n"),
    "a source": lambda folder, _: (folder / "twice.cpp").open("a").write("// more\n"),
    "a new header": lambda folder, _: (folder / "new.h").touch(),
    "the compiler": lambda folder, patch: patch.setattr(toolchain, "version", lambda _: "g++ 99"),
    "the processor": lambda folder, patch: patch.setattr(toolchain, "processor", lambda: "sse2"),
    "torch": lambda folder, patch: patch.setattr(torch, "__version__", "2.99.0"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_library_asks_for_another(
    change: str, at_home: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "copied"
    shutil.copytree(at_home.folder, folder)
    assert Extension("ganzoo_test", folder).status().state == "native"  # wherever its sources lie
    CHANGES[change](folder, monkeypatch)
    assert Extension("ganzoo_test", folder).status().state == "not built yet"


def test_other_flags_and_a_note_beside_the_sources(at_home: Built) -> None:
    (at_home.folder / "notes.txt").touch()
    assert Extension("ganzoo_test", at_home.folder).status().state == "native"
    assert Extension("ganzoo_test", at_home.folder, flags=("-DX",)).status().state == "not built yet"


def test_a_library_serves_where_there_is_no_compiler(at_home: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nonexistent")
    monkeypatch.setenv("GANZOO_KERNELS", "require")
    assert Extension("ganzoo_test", at_home.folder).native()


# What a machine may lack: one line, nothing remembered on disk


def test_no_compiler(empty: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extension = Extension("ganzoo_empty", empty)
    monkeypatch.setenv("CXX", "/nonexistent")
    with pytest.raises(KernelError, match=r"no C\+\+ compiler \(tried /nonexistent; set CXX\)"):
        extension.load()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX")
    with pytest.raises(KernelError, match=r"no C\+\+ compiler \(tried c\+\+; set CXX\)"):
        extension.build()
    assert extension.status().state == "reference"
    assert not cache.exists()
    monkeypatch.undo()
    monkeypatch.setenv("GANZOO_CACHE", str(cache.parent))
    assert extension.status().state == "not built yet"


def test_no_ninja(empty: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "c++").symlink_to(shutil.which("c++") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert Extension("ganzoo_empty", empty).status().state == "not built yet"  # pip's is found, though not on the PATH
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setitem(sys.modules, "ninja", None)
    with pytest.raises(KernelError, match=r"ninja is missing \(pip install ninja\)"):
        Extension("ganzoo_empty", empty).load()
    assert not list(cache.glob("*"))


@pytest.mark.parametrize("home", ["/proc/nothing", "a file"])
def test_a_cache_that_cannot_be_written(
    home: str, empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("GANZOO_CACHE", str(tmp_path / home))
    with pytest.raises(KernelError, match=r"the cache folder .*kernels cannot be written \(.*\); set GANZOO_CACHE"):
        Extension("ganzoo_empty", empty).load()


def test_no_sources(tmp_path: Path) -> None:
    with pytest.raises(KernelError, match=r"there are no sources \*\.cpp in"):
        Extension("ganzoo_empty", tmp_path).load()


def test_no_cuda(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    extension = Extension("ganzoo_empty", empty, device="cuda")
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "is without CUDA" in extension.status().why
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "no CUDA device is visible" in extension.status().why
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.0 9.0+PTX")
    monkeypatch.setenv("CUDA_HOME", "/nowhere")
    assert "no CUDA compiler (tried /nowhere/bin/nvcc; set CUDA_HOME)" in extension.status().why


def test_the_toolkit_is_where_nvcc_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvcc on the PATH may be a script that lies elsewhere."""
    script = tmp_path / "nvcc"
    script.write_text(f"#!/bin/sh\necho '#$ TOP={tmp_path}/toolkit/bin/..' >&2\n")
    script.chmod(0o755)
    for name in ("CUDA_HOME", "CUDA_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert toolchain.cuda_home() == str(tmp_path / "toolkit")


def test_code_for_more_devices_serves(tmp_path: Path) -> None:
    inputs = {"files": {}, "flags": [], "torch": [], "machine": "", "compilers": ["g++ 12"]}
    (tmp_path / "inputs.json").write_text(json.dumps({**inputs, "architectures": ["8.0", "9.0+PTX"]}))
    for architectures, serves in ((["9.0"], True), (["8.0", "9.0"], True), (["8.6"], False)):
        assert built._serves(tmp_path, {**inputs, "architectures": architectures}) is serves


# Builds that fail, that are killed, and several at once


def test_a_failed_build_is_remembered_until_it_is_asked_for(
    empty: Path, compiler: Compiler, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler.becomes("broken")
    with pytest.raises(KernelError, match=r"empty.cpp:1:1: error: broken today; log: .*; to try again: ") as caught:
        Extension("ganzoo_empty", empty).load()
    log = Path(re.findall(r"log: (.*?);", str(caught.value))[0])
    assert "broken today" in log.read_text()
    compiler.becomes("broken", False)
    other = Extension("ganzoo_empty", empty)  # as another process would
    with pytest.raises(KernelError, match="broken today"):
        other.load()
    assert other.status() == kernels.Status("reference", str(caught.value), log=log)
    assert compiler.runs == 1
    assert other.build().is_file()
    monkeypatch.setenv("GANZOO_KERNELS", "require")
    assert other.native()
    assert compiler.runs == 2
    assert not list(cache.glob("*/failed.json"))


def test_sources_that_do_not_compile(empty: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the machine's own compiler. Mended sources are other sources."""
    (empty / "empty.cpp").write_text("int answer() { return wrong; }\n")
    with pytest.raises(KernelError, match=r"ganzoo_empty: .*empty.cpp:1:\d+: error: .*wrong.*; log: "):
        Extension("ganzoo_empty", empty).load()
    (empty / "empty.cpp").write_text(EMPTY)
    Extension("ganzoo_empty", empty).load()
    assert capfd.readouterr().err.count("\n") == 2  # nothing but that it builds, twice


def test_sources_that_change_under_the_compiler(empty: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "build", lambda *_: (empty / "empty.cpp").write_text("// other\n") and None)
    with pytest.raises(KernelError, match="its sources changed while they were compiled"):
        Extension("ganzoo_empty", empty).load()
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_build_that_is_killed_leaves_nothing_in_the_way(empty: Path, compiler: Compiler, cache: Path) -> None:
    compiler.becomes("slow")
    killed = start(LOAD, empty)
    try:
        wait_for(lambda: compiler.runs == 1)
        waits = start(LOAD, empty)
        assert waits.stderr.readline() == "ganzoo: another process is building ganzoo_empty; waiting for it\n"
        compiler.becomes("slow", False)
        assert len(list(cache.glob(".ganzoo_empty-*"))) == 1
        killed.kill()  # the process alone: its compiler runs on
        assert finish(waits)[0] == "True\n"
    finally:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
    assert not list(cache.glob(".ganzoo_empty-*"))
    assert compiler.runs == 2


def test_four_processes_build_once(empty: Path, compiler: Compiler) -> None:
    done = [finish(process) for process in [start(LOAD, empty) for _ in range(4)]]
    assert [out for out, _ in done] == ["True\n"] * 4
    assert compiler.runs == 1
    assert sum("building ganzoo_empty in" in said for _, said in done) == 1


def test_a_library_that_does_not_load(empty: Path) -> None:
    extension = Extension("ganzoo_empty", empty)
    inputs = extension._inputs()
    library = extension._target(inputs) / "ganzoo_empty.so"
    library.parent.mkdir(parents=True)
    (library.parent / "inputs.json").write_text(json.dumps(inputs))
    library.write_text("not a library")
    assert extension.status().state == "reference"
    with pytest.raises(KernelError, match=r"ganzoo_empty.so does not load \(.*\); to build it again: ganzoo kernels"):
        extension.load()
    assert extension.build() == library
    assert extension.status().state == "native"


# GANZOO_KERNELS


def test_auto_warns_once_and_the_reference_runs(empty: Path) -> None:
    code = "print([extension.native() for _ in range(3)]); Extension('ganzoo_later', '', after=extension).native()"
    out, said = finish(start(code, empty, CXX="/nonexistent"))
    assert out == "[False, False, False]\n"
    assert said.count("Warning") == 1
    assert "ganzoo_empty: no C++ compiler (tried /nonexistent; set CXX); the reference runs instead, slower" in said
    assert finish(start(code, empty, CXX="/nonexistent", RANK="1")) == (out, "")


def test_require_raises_each_time(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_KERNELS", "require")
    monkeypatch.setenv("CXX", "/nonexistent")
    extension = Extension("ganzoo_empty", empty)
    for _ in range(2):
        with pytest.raises(KernelError, match=r"no C\+\+ compiler"):
            extension.native()
    with pytest.raises(KernelError, match="no kernels for tensors on 'mps'"):
        kernels.native("mps")


def test_reference_loads_nothing(at_home: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_KERNELS", "reference")
    monkeypatch.setattr(built, "load", None)
    extension = Extension("ganzoo_test", at_home.folder)
    assert not extension.native()
    assert extension.status().why == "GANZOO_KERNELS=reference"
    assert not kernels.native("mps")


def test_a_wrong_value_is_refused(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_KERNELS", "yes")
    with pytest.raises(UsageError, match="GANZOO_KERNELS is 'yes'; it can be auto, require or reference"):
        Extension("ganzoo_empty", empty).native()


def test_a_name_must_be_a_word(empty: Path) -> None:
    with pytest.raises(ValueError, match="letters, digits and _"):
        Extension("my-extension", empty)


# Wheels


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout, with the tests' operator for kernels: they are compiled sooner."""
    copied = tmp_path_factory.mktemp("source") / "ganzoo"
    shutil.copytree(ROOT, copied, ignore=lambda folder, names: [name for name in names if _unbuilt(Path(folder), name)])
    shutil.rmtree(copied / "csrc")
    shutil.copytree(SOURCES, copied / "csrc")
    (copied / "csrc" / "kernels").mkdir()
    (copied / "csrc" / "twice.h").rename(copied / "csrc" / "kernels" / "twice.h")
    text = (copied / "csrc" / "twice.cpp").read_text()
    (copied / "csrc" / "twice.cpp").write_text(text.replace('"twice.h"', '"kernels/twice.h"'))
    return copied


def test_a_wheel_brings_the_sources(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=lambda folder, names: [name for name in names if _unbuilt(Path(folder), name)])
    wheel = build_wheel(source, tmp_path / "wheel")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    ours = {path.relative_to(source / "csrc") for path in (source / "csrc").rglob("*.*") if path.is_file()}
    assert {f"ganzoo/_csrc/{path}" for path in ours} <= names
    assert not any("_built" in name for name in names)


def test_a_wheel_with_kernels_needs_no_compiler(
    source: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANZOO_BUILD", "1")
    wheel = build_wheel(source, tmp_path / "wheel")
    assert re.search(r"-py3-none-linux_\w+\.whl$", wheel.name)
    environment: Environment = fresh(tmp_path / "venv", with_ganzoo=False)
    environment.run(["pip", "install", wheel], cwd=tmp_path)
    for name, value in (("GANZOO_CACHE", "/proc/nothing"), ("CXX", "/nonexistent"), ("GANZOO_KERNELS", "require")):
        monkeypatch.setenv(name, value)
    found = json.loads(environment.run(["ganzoo", "doctor", "--json"], cwd=tmp_path).stdout)
    here = [row for row in found["operators"] if row["device"] == "cpu"]
    assert {row["name"] for row in here} == set(kernels.OPS)
    assert {row["state"] for row in here} == {"native"}
    assert all(
        re.fullmatch(rf"{environment.folder}/.*/_built/ganzoo_cpu-\w+/ganzoo_cpu.so", row["why"]) for row in here
    )


def test_a_wheel_with_kernels_needs_torch(source: Path) -> None:
    code = "import runpy, sys; sys.modules['torch'] = None; sys.argv[1:] = ['build_py']; runpy.run_path('setup.py')"
    words = {**os.environ, "GANZOO_BUILD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, env=words, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "type: GANZOO_BUILD=1 pip install --no-build-isolation ." in done.stderr.splitlines()[-1]


# Commands

PLUGIN = """
from ganzoo.kernels import Extension
EXTENSION = Extension("crystal", {folder!r})
"""


def test_doctor_and_kernels_know_plugins(ganzoo, tmp_path: Path, empty: Path) -> None:
    """Their parts, what is broken, and extensions that are imported with them."""
    modules = {
        "crystal_parts": PLUGIN.format(folder=str(empty)),
        "crystal_broken": "raise RuntimeError('no file')",
    }
    fake_distribution(tmp_path / "site", "crystal", "2.0", modules)
    words = {"PYTHONPATH": str(tmp_path / "site"), "CXX": "/nonexistent", "COLUMNS": "200"}
    found = json.loads(ganzoo("doctor", "--json", env=words).stdout)
    assert set(found) == {"versions", "devices", "settings", "operators", "plugins"}
    (row,) = [row for row in found["operators"] if row["name"] == "crystal"]
    assert (row["state"], row["why"]) == ("reference", "crystal: no C++ compiler (tried /nonexistent; set CXX)")
    (plugin,) = [plugin for plugin in found["plugins"] if plugin["package"] == "crystal"]
    assert plugin["broken"] == ["crystal_broken: RuntimeError: no file"]
    done = ganzoo("kernels", "build", code=1, env=words)
    assert "crystal: no C++ compiler" in done.stderr


def test_doctor_as_a_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("GANZOO_KERNELS", "reference")
    registry = Registry()
    registry.broken.append(Broken("parts", "crystal", "2.0", "RuntimeError: no file"))
    doctor.table(doctor.gather(registry))
    out = capsys.readouterr().out
    assert re.search(rf"cpu +reference +{', '.join(kernels.OPS)} +GANZOO_KERNELS=reference", out)
    assert re.search(r"crystal 2.0 +0 parts; broken: parts: RuntimeError: no file", out)


def test_doctor_builds_nothing(ganzoo, cache: Path) -> None:
    rows = json.loads(ganzoo("doctor", "--json", toys=False).stdout)["operators"]
    assert {row["state"] for row in rows if row["device"] == "cpu"} == {"not built yet"}
    assert not list(cache.glob("*"))


def test_clean_says_what_is_gone(ganzoo, cache: Path) -> None:
    (cache / "ganzoo_empty-0").mkdir(parents=True)
    (cache / "ganzoo_empty-0" / "ganzoo_empty.so").write_bytes(bytes(1_000_000))
    assert ganzoo("kernels", "clean").stdout == f"removed {cache}: 1 library, 1.0 MB\n"
    assert ganzoo("kernels", "clean").stdout == f"there is nothing to remove: {cache} does not exist\n"
    assert not cache.exists()


# Another torch


def test_another_torch_builds_its_own(twice: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    python = os.environ.get("GANZOO_TEST_TORCH")
    if not python:
        pytest.skip("GANZOO_TEST_TORCH names no Python interpreter with another version of torch")
    code = USE.format(name="ganzoo_test", folder=str(twice.folder)) + "print(extension.status().state)\n" + LOAD
    words = {**os.environ, "GANZOO_CACHE": str(twice.cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([python, "-c", code], env=words, capture_output=True, text=True, check=False)
    assert done.stdout == "not built yet\nTrue\n", done.stderr
