"""The benchmarks' own options. Without --benchmark-enable they only check, at tiny sizes, that results agree."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("ganzoo benchmarks")
    group.addoption("--peer", metavar="PATH", help="a checkout of NVIDIA's StyleGAN2-ADA or 3, whose operators compete")
    group.addoption("--on", default="auto", choices=("auto", "cpu", "cuda"), help="the device that kernels run on")
    group.addoption("--quick", action="store_true", help="fewer rounds, and nothing compiled by torch.compile")
