"""The CPU kernels under the address and undefined behaviour sanitizers, without torch: reads and writes are in bounds.

The kernels' headers are compiled into a pybind11 module, which a process with the sanitizers' library calls with NumPy
arrays that end where their memory ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pybind11
import pytest

HERE = Path(__file__).parent
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FLAGS = ["-std=c++17", "-O1", "-g", "-march=native", "-fPIC", "-shared", *SANITIZERS]

CALLS = """
import itertools
import numpy as np
import sanitized

generator = np.random.default_rng(0)

def array(*shape, dtype="float32"):
    values = generator.standard_normal(shape).astype("float32")
    return values.view("uint32").__rshift__(16).astype("uint16") if dtype == "bfloat16" else values.astype(dtype)

calls = 0
for dtype in ("float32", "float64", "float16", "bfloat16"):
    bits = dtype == "bfloat16"
    as_stored = (lambda x: x.view("uint16")) if dtype == "float16" else (lambda x: x)
    wide = "float64" if dtype == "float64" else "float32"
    for outer, channels, inner in ((2, 3, 5), (2, 1, 1), (3, 7, 1), (1, 1500, 1), (1, 2, 2500), (0, 3, 4), (5, 129, 1)):
        count = outer * channels * inner
        x, dy = (as_stored(array(count, dtype=dtype)) for _ in range(2))
        b = array(channels, dtype=wide)
        for act in range(9):
            for bias, clamp in itertools.product((None, b), (-1.0, 0.5)):
                y = sanitized.bias_act(x, bias, channels, inner, act, 0.2, 1.5, clamp, bits)
                kept = x if act == 8 else y
                sanitized.bias_act_backward(dy, bias, kept, bias if act == 8 else None, channels, inner, act, 0.2, 1.5,
                                            clamp, bits)
                calls += 2
    for planes, height, width, depth in ((2, 5, 7, 1), (1, 9, 33, 3), (1, 4, 40, 130), (0, 3, 3, 2), (1, 1, 1, 1)):
        x = as_stored(array(planes, height, width, depth, dtype=dtype))
        for f in (np.outer([1, 3, 3, 1], [1, 3, 3, 1]), np.ones((3, 2)) + np.eye(3, 2), np.ones(9), np.ones(1)):
            f = f.astype(wide)
            for up, down in itertools.product((1, 2, 3), (1, 2, 3)):
                for padding in ((2, 1, 2, 1), (0, 0, 0, 0), (-1, 3, 12, -2), (9, 9, 9, 9)):
                    span = [side * up + low + high - taps for side, low, high, taps in
                            ((width, *padding[:2], f.shape[-1]), (height, *padding[2:], f.shape[0]))]
                    if min(span) >= 0:
                        sanitized.upfirdn2d(x, f, [up, up], [down, down], padding, False, 1.0, bits)
                        calls += 1
    for samples, size in ((3, 5), (2, 1024), (2, 3001), (0, 4), (2, 1)):
        g = as_stored(array(samples, size, dtype=dtype))
        for form in range(3):
            sanitized.gradient_penalty(g, form, 1.0, 10.0, bits)
        sanitized.between(g, g, array(samples, dtype=wide), bits)
        calls += 4
print(calls)
"""


@pytest.mark.slow
def test_no_access_out_of_bounds_and_nothing_undefined(tmp_path):
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    runtime = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    if not Path(runtime.stdout.strip()).is_file():
        pytest.skip("this compiler has no address sanitizer")
    module = tmp_path / f"sanitized{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_path('include')}"]
    command = [compiler, *FLAGS, "-DGANZOO_MODULE=sanitized", *includes, str(HERE / "bindings.cpp"), "-o", str(module)]
    subprocess.run(command, check=True)
    environment = {**os.environ, "LD_PRELOAD": runtime.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}
    made = subprocess.run(
        [sys.executable, "-c", CALLS], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr[-4000:]
    assert int(made.stdout) > 2000
