"""The operators' tests run on every device that is here, with kernels and without."""

from __future__ import annotations

import pytest
import torch

from ganzoo import kernels


@pytest.fixture(params=["cpu", "cuda"], scope="module")
def device(request) -> str:
    """A device on which the kernels run."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device is visible to torch")
    extension = kernels.CPU if request.param == "cpu" else kernels.CUDA
    if not extension.native():
        pytest.skip(f"no kernels for {request.param}: {extension.status().why}")
    return request.param


@pytest.fixture(params=["native", "reference"])
def implementation(request, monkeypatch) -> str:
    """Both implementations behind the public functions, on the CPU."""
    if request.param == "native" and not kernels.CPU.native():
        pytest.skip(f"no kernels: {kernels.CPU.status().why}")
    if request.param == "reference":
        monkeypatch.setattr(kernels, "native", lambda device: False)
    return request.param
