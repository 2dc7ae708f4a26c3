"""How this process's memory is taken from the system: a setting of whole programs, which `ganzoo train` makes."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def _setting() -> Any:
    return getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None


def adjustable() -> bool:
    """Whether this system has the setting; glibc has."""
    return _setting() is not None


def keep_memory() -> None:
    """Keep freed memory for the next tensor of its size, where the system has such a setting.

    Otherwise glibc hands every large tensor back to the system, and each next one costs page faults that take longer
    than most of what is computed in it.
    """
    if set_ := _setting():
        set_(MMAP_MAX, 0)
        set_(TRIM_THRESHOLD, 2**31 - 1)
