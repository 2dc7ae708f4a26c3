"""Puts `plugins/` and `csrc/` into the distribution under their import names, `ganzoo_plugins` and `ganzoo._csrc`;
with GANZOO_BUILD=1 the compiled kernels too. Everything else is in pyproject.toml."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ASKED = os.environ.get("GANZOO_BUILD", "0") not in ("", "0")


def built_kernels() -> list[Path]:
    """The libraries that this machine can build, built."""
    sys.path.insert(0, str(Path(__file__).parent))  # build backends do not look here by themselves
    from ganzoo import GanzooError, kernels

    try:
        return [extension.build() for extension in (kernels.CPU, kernels.CUDA) if not extension.absent()]
    except ImportError as error:
        raise SystemExit(
            f"GANZOO_BUILD=1 compiles for the torch that is installed, and here is none ({error}): install torch, then "
            "type: GANZOO_BUILD=1 pip install --no-build-isolation ."
        ) from None
    except GanzooError as error:
        raise SystemExit(f"ganzoo: {error}") from None


class Build(build_py):
    def run(self) -> None:
        super().run()
        home = Path(self.build_lib) / "ganzoo" / "_built"
        shutil.rmtree(home, ignore_errors=True)  # an earlier build's
        for library in built_kernels() if ASKED else []:
            if not self.editable_mode:  # a checkout finds them in the cache
                shutil.copytree(library.parent, home / library.parent.name)


class Wheel(bdist_wheel):
    """A wheel with kernels is for this kind of machine, but for every Python: there is none in them."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = not ASKED

    def get_tag(self) -> tuple[str, str, str]:
        tag = super().get_tag()
        return ("py3", "none", tag[2]) if ASKED else tag


setup(
    package_dir={"ganzoo": "ganzoo", "ganzoo_plugins": "plugins", "ganzoo._csrc": "csrc"},
    cmdclass={"build_py": Build, "bdist_wheel": Wheel},
)
