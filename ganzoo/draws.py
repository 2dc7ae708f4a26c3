"""Random numbers that depend on (seed, purpose, step) and nothing else.

A run can be continued from its step alone, and sampling or logging in between changes nothing. Numbers are drawn for
the whole batch and sliced by rank, so that several processes see what one would have seen.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def derive(seed: int, *key: object) -> int:
    """A 63-bit seed made from a seed and a key; equal keys give equal seeds on every machine."""
    digest = hashlib.blake2b(repr((seed, *key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_networks(seed: int, device: torch.device) -> None:
    """Seed the generators that dropout and noise layers draw from. (`torch.manual_seed` would also ask every kind of
    device that is not in use, and keep a stack trace for each: a third of a millisecond a step.)"""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def without_a_trace(device: torch.device, seed: int | None = None) -> Iterator[None]:
    """Within: networks draw, from generators of this seed if there is one, and nobody notices afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        if seed is not None:
            seed_networks(seed, device)
        yield


class Draws:
    """The random numbers of one step. Asking twice for the same purpose gives two different draws."""

    def __init__(self, seed: int, step: int = 0, device: torch.device | str = "cpu", rank: int = 0, world: int = 1):
        self.seed, self.step, self.device = seed, step, torch.device(device)
        self.rank, self.world = rank, world
        self._asked: Counter[str] = Counter()

    def generator(self, purpose: str, device: torch.device | str | None = None) -> torch.Generator:
        """A torch generator for this purpose at this step (equal on every rank)."""
        self._asked[purpose] += 1
        generator = torch.Generator(self.device if device is None else device)
        return generator.manual_seed(derive(self.seed, purpose, self.step, self._asked[purpose]))

    def normal(self, purpose: str, count: int, *shape: int) -> Tensor:
        """Standard normal numbers, shape `[count, *shape]`."""
        generator = self.generator(purpose)
        return self._mine(torch.randn(count * self.world, *shape, generator=generator, device=self.device))

    def uniform(self, purpose: str, count: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Uniform numbers in [low, high), shape `[count, *shape]`."""
        generator = self.generator(purpose)
        draw = torch.rand(count * self.world, *shape, generator=generator, device=self.device)
        return self._mine(draw if (low, high) == (0.0, 1.0) else draw * (high - low) + low)

    def integers(self, purpose: str, count: int, *shape: int, low: int = 0, high: int) -> Tensor:
        """Whole numbers in [low, high), shape `[count, *shape]`."""
        generator = self.generator(purpose)
        return self._mine(
            torch.randint(low, high, (count * self.world, *shape), generator=generator, device=self.device)
        )

    def _mine(self, draw: Tensor) -> Tensor:
        return draw if self.world == 1 else draw.chunk(self.world)[self.rank]
