"""Tones and chirps that are reckoned when they are fetched: sound of any length, without any file."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy
import torch

from ganzoo import Batch, Collection, Dataset, OptionError, Spec, derive, hookimpl

KINDS = ("level", "rising", "falling")


class Tones(Dataset):
    """Generated tones whose pitch stays, rises or falls: no file is read and nothing is downloaded.

    Each is a sine that begins and ends softly. Pitch, its change, loudness and phase are drawn from a generator of
    (seed, index); the label says which way the pitch goes. Samples lie in [-1, 1], one channel.

    Args:
        count: how many, at least 1.
        length: samples of each, at least 16.
        rate_hz: samples a second.
        seed: of the tones.
    """

    name = "tones"
    offers = ("audio", "labels")
    tiny = {"count": 48, "length": 256}

    def __init__(self, count: int = 10_000, length: int = 4_096, rate_hz: int = 8_000, seed: int = 0):
        if count < 1 or length < 16 or rate_hz < 1:
            raise OptionError("count and rate_hz must be at least 1 and length at least 16")
        self.count, self.length, self.rate_hz, self.seed = count, length, rate_hz, seed

    def open(self) -> Collection:
        return Generated(self.count, self.length, self.rate_hz, self.seed)


class Generated(Collection):
    """Waveforms that are reckoned when they are fetched."""

    def __init__(self, count: int, length: int, rate_hz: int, seed: int):
        self.count, self.length, self.rate_hz, self.seed = count, length, rate_hz, seed
        self.spec = Spec("audio", (1, length), KINDS, encoding={"rate_hz": rate_hz})

    def __len__(self) -> int:
        return self.count

    def fetch(self, indices: list[int]) -> Batch:
        waves, labels = zip(*(self._wave(index) for index in indices), strict=True)
        samples = torch.from_numpy(numpy.stack(waves))[:, None]
        return Batch(samples, torch.tensor(labels), index=torch.as_tensor(indices))

    def _wave(self, index: int) -> tuple[numpy.ndarray, int]:
        generator = numpy.random.Generator(numpy.random.PCG64(derive(self.seed, "tones", index)))
        kind = int(generator.integers(len(KINDS)))
        low = self.rate_hz * numpy.exp(generator.uniform(numpy.log(0.02), numpy.log(0.2)))
        high = low * generator.uniform(1.3, 2.0)
        first, last = {"level": (low, low), "rising": (low, high), "falling": (high, low)}[KINDS[kind]]
        pitch = numpy.linspace(first, last, self.length) / self.rate_hz  # in turns a sample
        phase = 2 * numpy.pi * (numpy.cumsum(pitch) + generator.random())
        fade = numpy.sin(numpy.minimum(1, 10 * numpy.linspace(0, 1, self.length)) * numpy.pi / 2)
        wave = generator.uniform(0.2, 0.9) * fade * fade[::-1] * numpy.sin(phase)
        return wave.astype(numpy.float32), kind

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.spec, self.count, self.seed)).encode()).hexdigest()[:16]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Tones)
