"""Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium,
arXiv:1706.08500."""

from __future__ import annotations

from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, hookimpl
from ganzoo_plugins.metrics.moments import Moments
from ganzoo_plugins.metrics.sides import both

Array = numpy.ndarray[Any, Any]


class Frechet(Metric):
    """The squared Frechet distance between two Gaussians, with the means and covariances of made and real features.

    Heusel et al. 2017, arXiv:1706.08500, equation 6: |m - m'|^2 + Tr(C + C' - 2 (C C')^(1/2)), in float64, with
    unbiased covariances as in the authors' code (bioinf-jku/TTUR). The square root's trace is the sum of the singular
    values of A^T A', where C = A A^T by eigenvalues: these are the square roots of the eigenvalues of C C', and stay
    real and finite where there are fewer samples than features. It may be called FID only over the features of the
    2015 Inception.

    `bias` in the protocol is what two samples of these sizes from one Gaussian with the reference's covariance score
    on average, to first order in 1/N: (Tr C + 1/2 sum_ij l_i l_j (1 + [i = j]) / (l_i + l_j)) (1/N + 1/N') with the
    eigenvalues l. With two samples a feature it is up to a fifth too low, and with fewer it is null.

    Differs from the paper: the square root, as above.
    """

    name = "frechet"
    standard = {"frechet": "FID"}
    paper = "arXiv:1706.08500"
    resamples = 20
    smaller_is_better = ("frechet",)

    def measure(self, evidence: Evidence) -> list[Measure]:
        made, rows = both(evidence, least=2)
        real, root = evidence.once(self.name, lambda: _with_root(Moments.of(rows)))
        here = Moments.of(made)
        return [Measure(self.name, frechet_distance(here, real, root), protocol={"bias": _bias(here, real, root)})]


def frechet_distance(first: Moments, second: Moments, second_root: Array | None = None) -> float:
    """The squared Frechet distance between two Gaussians. second_root: of the second's covariance, if it is known."""
    a, b = first.covariance, second.covariance
    root = _root(a).T @ (_root(b) if second_root is None else second_root)
    cross = numpy.linalg.svd(root, compute_uv=False).sum() if root.size else 0.0
    apart = first.mean - second.mean
    return max(float(apart @ apart + numpy.trace(a) + numpy.trace(b) - 2 * cross), 0.0)


def _with_root(moments: Moments) -> tuple[Moments, Array]:
    return moments, _root(moments.covariance)


def _root(covariance: Array) -> Array:
    """A [d, r] with A A^T = covariance, without the directions whose eigenvalues are only rounding: a square root would
    make them visible."""
    values, vectors = numpy.linalg.eigh(covariance)
    kept = values > max(len(values) * numpy.finfo(values.dtype).eps * values[-1], 0.0)
    root: Array = vectors[:, kept] * numpy.sqrt(values[kept])
    return root


def _bias(made: Moments, real: Moments, root: Array) -> float | None:
    if min(made.count, real.count) < 2 * len(real.mean):
        return None
    values = numpy.square(root).sum(0)
    pairs = values[:, None] * values / (values[:, None] + values)
    expected = values.sum() + (pairs.sum() + numpy.trace(pairs)) / 2
    return float(expected * (1 / made.count + 1 / real.count))


@hookimpl
def register_metrics(register: Any) -> None:
    register(Frechet)
