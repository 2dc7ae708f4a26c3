"""Environments for tests of packages: a fresh venv that sees this one's third-party packages,
and installed-looking plugins."""

from __future__ import annotations

import os
import site
import subprocess
import tomllib
import venv
from dataclasses import dataclass
from pathlib import Path

# No index, no isolation: everything is built from what is here.
# (pip reads NO_BUILD_ISOLATION=0 as "without isolation".)
PIP = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

# The rules of this repository for a package that is not in it: there, ganzoo is third-party.
_LINT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
STRICT = [
    "--isolated",
    "--line-length",
    "120",
    "--select",
    ",".join(_LINT["select"]),
    "--ignore",
    ",".join(_LINT["ignore"]),
]


@dataclass
class Environment:
    """A venv. `run` runs a command in it as if it were activated."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, command: list[str | Path] | str, cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        words = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        words |= {**PIP, "PATH": path, "VIRTUAL_ENV": str(self.folder), "OMP_NUM_THREADS": "1", "COLUMNS": "120"}
        shell = isinstance(command, str)
        done = subprocess.run(
            command, shell=shell, cwd=cwd, env=words, capture_output=True, text=True, timeout=300, check=False
        )
        if code is not None:
            assert done.returncode == code, f"{command} exited with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done


def fresh(folder: Path, *, with_ganzoo: bool) -> Environment:
    """A venv that sees the third-party packages of this one; and this checkout's ganzoo, or none."""
    venv.create(folder, with_pip=False, symlinks=True)
    home = next(folder.glob("lib/python*/site-packages"))
    for packages in _site_packages():
        # addsitedir runs what an editable install left there; a plain line only makes the folder importable.
        line = f"import site; site.addsitedir({packages!r})" if with_ganzoo else packages
        with (home / "third_party.pth").open("a") as file:
            file.write(line + "\n")
    _script(folder / "bin" / "pip", f'exec "{folder}/bin/python" -m pip "$@"')
    if with_ganzoo:
        _script(folder / "bin" / "ganzoo", f'exec "{folder}/bin/python" -m ganzoo "$@"')
    return Environment(folder)


def _site_packages() -> list[str]:
    return [path for path in dict.fromkeys(site.getsitepackages()) if Path(path).is_dir()]


def _script(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def fake_distribution(folder: Path, name: str, version: str, modules: dict[str, str]) -> None:
    """What an installed package with one plugin per module looks like on PYTHONPATH."""
    information = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = "".join(f"{module} = {module}\n" for module in modules)
    (information / "entry_points.txt").write_text(f"[ganzoo]\n{points}")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)
