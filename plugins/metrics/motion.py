"""How much and how smoothly clips move, in numbers: what neighbouring frames differ by."""

from __future__ import annotations

from typing import Any

import numpy
from torch import Tensor

from ganzoo import Evidence, Measure, Metric, Sample, UsageError, hookimpl

Array = numpy.ndarray[Any, Any]

MOVING = ("frame_difference", "frame_change", "drift")  # 0 where nothing moves
STATISTICS = (*MOVING, "brightness")
_CHUNK = 64  # clips that are looked at together


class Motion(Metric):
    """How much made clips move from frame to frame, and how far that is distributed from real ones.

    Of each clip with values in [-1, 1], over all of it: `frame_difference` is the mean absolute difference of
    neighbouring frames, `frame_change` that of neighbouring differences (small where things go on as they went),
    `drift` that of the last frame and the first, `brightness` the mean value. A number `..._ratio` is the made clips'
    mean over the real ones': 1 for equal means, less for less motion. A number `..._distance` is the earth mover's
    distance between the two sides' distributions, divided by the standard deviation of the real ones: 0 for equal
    distributions, and 1 for a shift by one deviation.

    The protocol has mean and deviation of both sides. Frames of noise move too: look at the clips, and at all four
    distances together. Compare only clips of the same size, number of frames and frame step.

    Differs from the paper: there is none; these are numbers of our own.
    """

    name = "motion"
    extracts = False
    looks = True
    resamples = 20
    smaller_is_better = tuple(f"{name}_distance" for name in STATISTICS)

    def measure(self, evidence: Evidence) -> list[Measure]:
        if evidence.spec is None or evidence.spec.kind != "video":
            raise UsageError("metric 'motion' measures clips; these samples are none. For pictures: --metric frechet")
        if evidence.reference is None:
            raise UsageError("this measure compares with real samples; name some with --data or --reference")
        made = _described(evidence.made)
        real = evidence.once(self.name, lambda: _described(evidence.reference))
        return [measure for name in STATISTICS for measure in _compared(name, made[name], real[name])]


def _compared(name: str, made: Array, real: Array) -> list[Measure]:
    from scipy.stats import wasserstein_distance

    middle, spread = float(real.mean()), float(real.std())
    if spread <= 1e-9 * abs(middle) or spread == 0:
        raise UsageError(f"the real clips all have the same {name}; there is no deviation to measure a distance in")
    sides = (("made", made), ("real", real))
    protocol = {f"{side}_mean_and_deviation": [float(values.mean()), float(values.std())] for side, values in sides}
    found = [Measure(f"{name}_distance", float(wasserstein_distance(made, real)) / spread, None, protocol)]
    if name in MOVING:
        found.insert(0, Measure(f"{name}_ratio", float(made.mean()) / middle, None, protocol))
    return found


def _described(sample: Sample | None) -> dict[str, Array]:
    """The statistics of each clip [N], by name."""
    if sample is None or sample.values is None or sample.values.ndim != 5 or sample.values.shape[2] < 3:
        name = "the reference" if sample is None else sample.name
        raise UsageError(f"{name} has no clips [N, C, T, H, W] of at least three frames to look at")
    pieces = [_statistics(chunk.float()) for chunk in sample.values.split(_CHUNK)]
    return {name: numpy.concatenate([piece[name] for piece in pieces]) for name in STATISTICS}


def _statistics(clips: Tensor) -> dict[str, Array]:
    """Of clips [N, C, T, H, W]."""
    steps = clips.diff(dim=2)
    found = {
        "frame_difference": steps.abs(),
        "frame_change": steps.diff(dim=2).abs(),
        "drift": (clips[:, :, -1] - clips[:, :, 0]).abs(),
        "brightness": clips,
    }
    return {name: values.flatten(1).mean(1).double().numpy() for name, values in found.items()}


@hookimpl
def register_metrics(register: Any) -> None:
    register(Motion)
