"""Which modes of known data are made. Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, section 4; Lin et al. 2018,
PacGAN, arXiv:1712.04086, section 4.1; for stacked digits Metz et al. 2016, Unrolled GAN, arXiv:1611.02163."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy
import torch

from ganzoo import Evidence, Measure, Metric, Spec, UsageError, hookimpl
from ganzoo_plugins.metrics.sides import share_interval

Array = numpy.ndarray[Any, Any]


class Modes(Metric):
    """How many modes of known data are made, how cleanly, and how evenly.

    Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, section 4, counted as in the code of Lin et al. 2018, PacGAN,
    arXiv:1712.04086 (fjxmlzn/PacGAN, extensions.py). Data that know their modes (`ring`, `grid`): a sample is of high
    quality within 3 standard deviations of the nearest mode. `modes` is the number of modes that are nearest to at
    least one such sample, `high_quality` is the share of such samples, and `reverse_kl` is how far their shares p of
    the K modes are from equal: sum p log(p K). A perfect sampler of the plane has a high_quality of 1 - exp(-4.5) =
    98.89 % (`perfect` in the protocol) and a reverse_kl of about (K - 1) / 2N (`floor`).

    Other data (`stacked-mnist`): the extractor tells the modes. Its most probable class is a sample's mode; where it
    looks at parts of a sample (the three digits) and gives [N, parts, K], the mode is the combination, one of K^parts.
    Then modes and reverse_kl count all samples, as the papers do.

    Differs from the paper: with classes, high_quality is the share of samples of which each part's class has at least
    the probability `confidence`; the papers give none.

    Args:
        deviations: how many standard deviations from a mode are of high quality.
        confidence: how probable a class is that counts as surely seen, from 0 to 1.
    """

    name = "modes"
    larger_is_better = ("modes", "high_quality")
    smaller_is_better = ("reverse_kl",)
    paper = "arXiv:1705.07761"
    extracts = False
    compares = False
    looks = True

    def __init__(self, deviations: float = 3.0, confidence: float = 0.9):
        if deviations <= 0 or not 0 <= confidence <= 1:
            raise ValueError("deviations must be more than 0 and confidence lies in [0, 1]")
        self.deviations, self.confidence = deviations, confidence

    def measure(self, evidence: Evidence) -> list[Measure]:
        if len(evidence.made) == 0:
            raise UsageError(f"{evidence.made.name} has no samples")
        if evidence.spec is not None and {"modes", "deviation"} <= evidence.spec.encoding.keys():
            return self._rows(self._around_centres(evidence, evidence.spec), len(evidence.made))
        if evidence.made.probabilities is not None:
            return self._rows(self._among_classes(evidence.made.probabilities), len(evidence.made))
        raise UsageError(
            "modes are known of data that name them (--data ring, --data grid), and of others by an extractor that "
            "tells classes (--features); here are neither"
        )

    def _around_centres(self, evidence: Evidence, spec: Spec) -> Found:
        centres = torch.tensor(spec.encoding["modes"], dtype=torch.float64)
        deviation, values = float(spec.encoding["deviation"]), evidence.made.values
        if values is None or values[0].numel() != centres.shape[1]:
            raise UsageError(f"{evidence.made.name} has no points of {centres.shape[1]} coordinates to look at")
        distances = torch.cdist(values.double().flatten(1), centres, compute_mode="donot_use_mm_for_euclid_dist")
        distance, mode = distances.min(1)
        clean = (distance <= self.deviations * deviation).numpy()
        half = torch.tensor([centres.shape[1], self.deviations**2], dtype=torch.float64) / 2
        perfect = float(torch.special.gammainc(half[0], half[1]))  # how much of a Gaussian lies within
        return Found(mode.numpy()[clean], len(centres), clean, {"deviations": self.deviations, "perfect": perfect})

    def _among_classes(self, probabilities: Array) -> Found:
        parts = probabilities if probabilities.ndim == 3 else probabilities[:, None]
        shape = (parts.shape[2],) * parts.shape[1]
        modes = numpy.ravel_multi_index(tuple(parts.argmax(2).T), shape)
        clean = (parts.max(2) >= self.confidence).all(1)
        return Found(modes, math.prod(shape), clean, {"confidence": self.confidence})

    def _rows(self, found: Found, count: int) -> list[Measure]:
        counts = numpy.bincount(found.modes, minlength=found.known)
        share = float(found.clean.mean())
        protocol = {"known": found.known, "counted": len(found.modes)}
        return [
            Measure("modes", float((counts > 0).sum()), None, {**protocol}),
            Measure("high_quality", share, share_interval(share, count), {**protocol, **found.protocol}),
            Measure("reverse_kl", *_reverse_kl(counts, protocol)),
        ]


@dataclass
class Found:
    """modes: of the samples that are counted. known: how many modes there are. clean: which samples are of high
    quality. protocol: what that depends on."""

    modes: Array
    known: int
    clean: Array
    protocol: dict[str, Any]


def _reverse_kl(counts: Array, protocol: dict[str, Any]) -> tuple[float, None, dict[str, Any]]:
    total, known = int(counts.sum()), len(counts)
    if not total:
        return math.log(known), None, {**protocol, "floor": None, "note": "nothing to count: the largest value, log K"}
    shares = counts[counts > 0] / total
    return float((shares * numpy.log(shares * known)).sum()), None, {**protocol, "floor": (known - 1) / (2 * total)}


@hookimpl
def register_metrics(register: Any) -> None:
    register(Modes)
