"""Sound to be listened to and looked at: samples one after the other as a WAV file, and their spectrograms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from .data import Spec

PAUSE = 0.1  # seconds between samples
RANGE = 70.0  # decibels from white to black
COLUMNS = 128  # of a spectrogram, at most about so many

Array = numpy.ndarray[Any, Any]


def rate(spec: Spec) -> int:
    """Samples a second; 16,000 where the data do not say."""
    return int(spec.encoding.get("rate_hz", 16_000))


def write_wav(path: Path, waves: Array, rate_hz: int) -> None:
    """Waveforms [N, channels, T] in [-1, 1] one after the other, a short pause between, 16 bits."""
    from scipy.io import wavfile

    waves = numpy.asarray(waves, dtype=numpy.float64)
    pause = numpy.zeros((*waves.shape[:2], round(PAUSE * rate_hz)))
    together = numpy.concatenate([waves, pause], axis=2).transpose(0, 2, 1).reshape(-1, waves.shape[1])
    heard = together[: len(together) - pause.shape[2]]
    wavfile.write(path, rate_hz, (numpy.nan_to_num(heard).clip(-1, 1) * 32767).round().astype(numpy.int16))


def spectrograms(waves: Array, rate_hz: int) -> Array:
    """Pictures [N, frequencies, times, 1] (uint8) of waveforms [N, channels, T]: high frequencies above, black the
    loudest of all of them, white 70 decibels below it and less. Windows of about 32 ms; channels are added up."""
    found = 10 * numpy.log10(numpy.maximum(power(waves, rate_hz), 1e-20))
    dark = 1 + (found - found.max()) / RANGE
    return (255 * (1 - dark.clip(0, 1))).round().astype(numpy.uint8).transpose(0, 2, 1)[:, ::-1, :, None]


def power(waves: Array, rate_hz: int) -> Array:
    """Power [N, times, frequencies] under Hann windows, a power of two of samples long, a quarter of it apart; longer
    sounds have them farther apart."""
    waves = numpy.nan_to_num(numpy.asarray(waves, dtype=numpy.float64))
    length = waves.shape[2]
    window = min(2 ** round(numpy.log2(max(0.032 * rate_hz, 16))), max(16, 1 << (length.bit_length() - 1)))
    hop = max(window // 4, -(-length // COLUMNS))
    padded = numpy.pad(waves, ((0, 0), (0, 0), (window // 2, window // 2)))
    frames = numpy.lib.stride_tricks.sliding_window_view(padded, window, axis=2)[:, :, ::hop]
    each = [numpy.square(numpy.abs(numpy.fft.rfft(frame * numpy.hanning(window)))).sum(0) for frame in frames]
    return numpy.stack(each)
