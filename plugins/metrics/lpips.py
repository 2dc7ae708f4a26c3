"""Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, arXiv:1801.03924, over
pairs of made samples."""

from __future__ import annotations

import math
from typing import Any

from ganzoo import Evidence, Measure, Metric, UsageError, hookimpl


class Lpips(Metric):
    """How different made pictures look from each other: the mean perceptual distance of random pairs.

    Distance: Zhang et al. 2018, arXiv:1801.03924, equation 1, by the features: `--features TRUNK:heads=HEADS`, files of
    a VGG16 or AlexNet and of LPIPS's heads for it. It may be called LPIPS only with the published files; which trunk it
    was stands in the protocol, and numbers of two trunks do not compare. Pairs: for GANs the mean over pairs of samples
    is usual as a measure of diversity, of several outputs for one input (Zhu et al. 2017, Toward Multimodal
    Image-to-Image Translation, arXiv:1711.11586, section 5) or within clusters round few training pictures (Ojha et al.
    2021, Few-shot Image Generation via Cross-domain Correspondence, arXiv:2104.06820, section 4). For a whole generator
    no number of pairs is agreed upon. Here all samples are paired off at random, each in one pair, so that pairs are
    independent; the interval is the mean and 1.96 standard errors.

    More is not better as such: noise lies far apart. Compare with what real pictures score (`ganzoo evaluate DATA`).

    Differs from the paper: the paper judges one pair of pictures; the mean over pairs is as above.
    """

    name = "lpips"
    standard = {"lpips": "LPIPS"}
    paper = "arXiv:1801.03924"
    compares = False
    looks = True

    def measure(self, evidence: Evidence) -> list[Measure]:
        values, distance = evidence.made.values, evidence.distance
        if distance is None or not evidence.perceptual:
            raise UsageError(
                f"metric 'lpips' needs a perceptual distance, and features '{evidence.extractor}' have none; "
                "write --features TRUNK:heads=HEADS with files of a VGG16 or AlexNet and of LPIPS's heads for it"
            )
        if values is None or len(values) < 4:
            raise UsageError(f"metric 'lpips' pairs samples off and needs at least 4, not {len(evidence.made)}")
        order, pairs = evidence.random(self.name).permutation(len(values)), len(values) // 2
        distances = distance(values[order[:pairs]], values[order[pairs : 2 * pairs]])
        mean, half = float(distances.mean()), 1.96 * float(distances.std(ddof=1)) / math.sqrt(pairs)
        return [Measure(self.name, mean, (mean - half, mean + half), {"pairs": pairs})]


@hookimpl
def register_metrics(register: Any) -> None:
    register(Lpips)
