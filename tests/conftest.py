"""What tests share: where the optional real data lie, and how a real `ganzoo` process is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Tiny networks are quickest on one thread, above all when several tests run at once. Set before torch is imported,
# and inherited by the processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
ROOT = Path(__file__).parent.parent
TOYS = ROOT / "tests" / "toys"  # a plugin package, found through PYTHONPATH like an installed one
sys.path.insert(0, str(TOYS))  # and in this process, before the registry is first read


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip."""
    folder = Path(os.environ.get("GANZOO_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data: GANZOO_TEST_DATA is not set and {folder} does not exist")
    return folder


@pytest.fixture(params=["cpu", "cuda"], scope="module")
def device(request) -> str:
    """A device on which the kernels run."""
    import torch

    from ganzoo import kernels

    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible to torch")
    extension = kernels.CPU if request.param == "cpu" else kernels.CUDA
    if not extension.native():
        pytest.skip(f"no kernels for {request.param}: {extension.status().why}")
    return request.param


@pytest.fixture(params=["native", "reference"])
def implementation(request, monkeypatch) -> str:
    """Both implementations behind the public operators, on the CPU."""
    from ganzoo import kernels

    if request.param == "native" and not kernels.CPU.native():
        pytest.skip(f"no kernels: {kernels.CPU.status().why}")
    if request.param == "reference":
        monkeypatch.setattr(kernels, "native", lambda device: False)
    return request.param


@pytest.fixture
def ganzoo(tmp_path):
    """Run `ganzoo` in a process of its own, in a temporary folder; returns the finished process."""

    def run(
        *words: object, code: int | None = 0, env: dict[str, str] | None = None, cwd: Path = tmp_path, toys: bool = True
    ):
        finished = subprocess.run(
            command(*words),
            cwd=cwd,
            env=environment(toys, env),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if code is not None:
            assert finished.returncode == code, finished.stdout + finished.stderr
        assert "Traceback" not in finished.stderr, finished.stderr
        return finished

    return run


def invoke(*words: object, code: int = 0):
    """Run `ganzoo` in this process; what fails says one sentence."""
    from click.testing import CliRunner

    from ganzoo.cli import main

    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, (done.output, done.exception)
    if code:
        assert done.stderr.startswith("ganzoo: ") and done.stderr.count("\n") == 1, done.stderr
    return done


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "ganzoo", *map(str, words)]


def environment(toys: bool = True, extra: dict[str, str] | None = None) -> dict[str, str]:
    path = os.pathsep.join(([str(TOYS)] if toys else []) + [os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, **(extra or {})}
