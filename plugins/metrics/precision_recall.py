"""Kynkaanniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, arXiv:1904.06991."""

from __future__ import annotations

from typing import Any

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.neighbours import hits
from ganzoo_plugins.metrics.sides import both, share_interval


class PrecisionRecall(Metric):
    """The share of made samples that look real, and the share of real ones that can be made.

    Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 and 2: `precision` is the share of made samples that lie in
    a ball around some real sample that reaches to its k-th nearest other; `recall` is that with the sides exchanged.

    The intervals are Wilson's for a share, with the balls as they are: what another sample of the side that has the
    balls would change is not in them.

    Differs from the paper: a sample on a ball's rim is outside (<), as in prdc, where the paper and NVIDIA's code have
    it inside (<=). It matters only for exact copies.

    Args:
        k: which neighbour a ball reaches to, not counting the sample itself.
    """

    name = "precision-recall"
    larger_is_better = ("precision", "recall")
    paper = "arXiv:1904.06991"

    def __init__(self, k: int = 3):
        if k < 1:
            raise ValueError("k must be at least 1")
        self.k = k

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, real = both(evidence, least=self.k + 1)
        found = hits(real, made, self.k, around_made=True)
        assert found.within is not None
        shares = {"precision": found.around_made > 0, "recall": found.within}
        return [
            Measure(name, float(hit.mean()), share_interval(float(hit.mean()), len(hit)), {"k": self.k, "rim": "<"})
            for name, hit in shares.items()
        ]


@hookimpl
def register_metrics(register: Any) -> None:
    register(PrecisionRecall)
