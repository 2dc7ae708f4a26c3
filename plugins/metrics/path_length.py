"""Karras et al. 2019, A Style-Based Generator Architecture for Generative Adversarial Networks, arXiv:1812.04948."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, Literal

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import (
    Draws,
    Evidence,
    Game,
    Measure,
    Metric,
    Request,
    UsageError,
    derive,
    hookimpl,
    sample_latent_generator,
)

Array = numpy.ndarray[Any, Any]
BLOCK = 64  # pairs of samples that are held at once
LARGEST = 256  # pixels of a side; larger pictures are averaged down, as VGG was built for 224


class PathLength(Metric):
    """How much samples change along a straight way between two latents, as the features see it: less is smoother.

    Karras et al. 2019, arXiv:1812.04948, section 4.1, equation 3: E[d(G(z_t), G(z_(t+epsilon))) / epsilon^2], where z_t
    is a share t of the way from one random latent to another, t uniform in [0, 1]. d is LPIPS if the features have it
    (`--features TRUNK:heads=HEADS`), else the squared Euclidean distance of the features. Both samples of a pair have
    the same class and the same noise in the network. The network is the one that makes the run's samples; it computes
    in 32 bit at least, whose rounding leaves LPIPS about 1e-3 of noise, and nothing is rounded to 8 bit. As many pairs
    are made as samples are judged (`--count`; the paper: 100,000).

    The smallest and the largest hundredth of the distances are left out, as in the authors' code; the interval is the
    trimmed mean and 1.96 times its standard error (Tukey and McLaughlin 1963: of the distances cut at the same
    quantiles, divided by what is kept). It may be called PPL only over LPIPS with the published VGG16.

    Differs from the paper: no crop of faces (nor in StyleGAN2, arXiv:1912.04958); the way goes through z, not w, whose
    numbers are others. Latents keep their length: directions go along the arc, lengths along a line, which changes
    nothing where the network normalizes its latent.

    Args:
        epsilon: the step along the way, as a share of it.
        path: slerp goes along the arc, lerp along the line.
    """

    name = "path-length"
    paper = "arXiv:1812.04948"
    compares = False
    asks = True
    smaller_is_better = ("path_length",)

    def __init__(self, epsilon: float = 1e-4, path: Literal["slerp", "lerp"] = "slerp"):
        if not 0 < epsilon < 1:
            raise ValueError("epsilon lies in (0, 1)")
        self.epsilon, self.path = epsilon, path
        self.standard = {"path_length": "PPL"} if (epsilon, path) == (1e-4, "slerp") else {}

    def measure(self, evidence: Evidence) -> list[Measure]:
        distances = self._distances(evidence)
        low = numpy.quantile(distances, 0.01, method="lower")
        high = numpy.quantile(distances, 0.99, method="higher")
        kept = distances[(low <= distances) & (distances <= high)]
        value, share = float(kept.mean()), len(kept) / len(distances)
        half = 1.96 * float(distances.clip(low, high).std(ddof=1)) / (share * math.sqrt(len(distances)))
        protocol = {"pairs": len(distances), "kept": len(kept), "space": "z", "crop": "none", "rounded": "no"}
        return [Measure("path_length", value, (value - half, value + half), protocol)]

    def _distances(self, evidence: Evidence) -> Array:
        """One number a pair, [N], over epsilon squared."""
        game, distance, count = evidence.game, evidence.distance, len(evidence.made)
        if game is None or distance is None:
            raise UsageError("metric 'path-length' asks a trained run's generator; give it a run")
        if not {"latent_generator", "smooth_samples"} <= set(game.parts.architecture.offers):
            name = game.parts.architecture.name
            raise UsageError(f"metric 'path-length' follows latents, and '{name}' makes no smooth samples of latents")
        if count < 2:
            raise UsageError("metric 'path-length' needs at least 2 samples; write a larger --count")
        network, seed = Precise(game.procedure.sampling_network(game)), derive(evidence.seed, "measure", self.name)
        found = []
        for first in range(0, count, BLOCK):
            asked = Request(min(BLOCK, count - first), seed, first=first)
            # The same request twice: the same latents, classes and noise, and only the place on the way is another.
            ends = [
                sample_latent_generator(game, network, asked, given=partial(self._latents, game, step))
                for step in (0.0, self.epsilon)
            ]
            found.append(distance(*map(shrunk, ends)) / self.epsilon**2)
        return numpy.concatenate(found)

    def _latents(self, game: Game, step: float, draws: Draws, count: int) -> Tensor:
        """Latents a step beyond a random place on the way from one to another."""
        start, end = game.latent(count, draws), game.latent(count, draws)
        if not start.is_floating_point():
            raise UsageError("metric 'path-length' follows latents that are numbers, and this run's are classes")
        share = draws.uniform("path", count).double() + step
        share = share.reshape(-1, *[1] * (start.ndim - 1))
        way = slerp if self.path == "slerp" else torch.lerp
        return way(start.double(), end.double(), share).to(start.dtype)


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """A share of the way from one vector [N, ...] to another: its direction along the arc, its length along a line."""
    first, second = start.flatten(1), end.flatten(1)
    lengths = [x.norm(dim=1, keepdim=True).clamp_min(1e-12) for x in (first, second)]
    first, second, share = first / lengths[0], second / lengths[1], share.reshape(-1, 1)
    cosine = (first * second).sum(1, keepdim=True).clamp(-1, 1)
    across = second - cosine * first
    across = across / across.norm(dim=1, keepdim=True).clamp_min(1e-12)
    angle = share * cosine.acos()
    direction = first * angle.cos() + across * angle.sin()
    return (direction * torch.lerp(lengths[0], lengths[1], share)).reshape(start.shape)


def shrunk(samples: Tensor) -> Tensor:
    """Pictures larger than 256x256 averaged over blocks down to about that size; anything else as it is."""
    factor = samples.shape[2] // LARGEST if samples.ndim == 4 else 1
    return F.avg_pool2d(samples, factor) if factor > 1 else samples


class Precise(nn.Module):
    """A generator in the precision of its weights: a step of 1e-4 is lost in 16 bit."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, latent: Tensor, label: Tensor | None) -> Tensor:
        with torch.autocast(latent.device.type, enabled=False):
            made: Tensor = self.network(latent, label)
        return made


@hookimpl
def register_metrics(register: Any) -> None:
    register(PathLength)
