"""Reading one sound file: WAV of any rate, width and number of channels, as numbers in [-1, 1]."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any, NamedTuple

import numpy

SUFFIXES = (".wav", ".wave")
FULL = 32767  # what 1 is, where sounds are kept in 16 bits

Array = numpy.ndarray[Any, Any]


class Wave(NamedTuple):
    """A sound. samples: [length, channels] in [-1, 1]. over: whether some lay beyond, and were cut."""

    rate_hz: int
    samples: Array
    over: bool = False


def read_wave(data: bytes) -> Wave:
    """A WAV file with scipy. Raises ValueError, and whatever a damaged file makes scipy raise."""
    from scipy.io import wavfile

    with warnings.catch_warnings():
        warnings.simplefilter("error", wavfile.WavFileWarning)  # a file that ends too soon
        warnings.filterwarnings("ignore", ".*not understood", wavfile.WavFileWarning)  # notes beside the sound
        rate, values = wavfile.read(io.BytesIO(data))
    if rate < 1 or not values.size:
        raise ValueError("it holds no samples" if rate >= 1 else f"it says that it has {rate} samples a second")
    samples = _scaled(values.reshape(len(values), -1))
    if not numpy.isfinite(samples).all():
        raise ValueError("it holds samples that are infinite or not a number")
    over = bool(numpy.abs(samples).max() > 1)
    return Wave(int(rate), samples.clip(-1, 1) if over else samples, over)


def _scaled(values: Array) -> Array:
    """Numbers of any width so that full scale is 1. Bytes have their middle at 128, as WAV has it."""
    if values.dtype.kind == "f":
        return values.astype(numpy.float32)
    if values.dtype == numpy.uint8:
        return (values.astype(numpy.float32) - 128) / 128
    return (values / -float(numpy.iinfo(values.dtype).min)).astype(numpy.float32)


def resampled(samples: Array, from_hz: int, to_hz: int) -> Array:
    """Sound [length, channels] at another rate, by scipy's polyphase filter, which takes away what the new rate cannot
    hold."""
    if from_hz == to_hz:
        return samples
    from scipy.signal import resample_poly

    common = math.gcd(from_hz, to_hz)
    found: Array = resample_poly(samples, to_hz // common, from_hz // common, axis=0)
    return found.astype(numpy.float32)
