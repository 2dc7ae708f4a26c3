"""Measures against closed forms, other people's code, and values worked out another way."""

from __future__ import annotations

import importlib
import json
import math
import tracemalloc
from typing import Any

import numpy
import pytest
import torch
from scipy import linalg, stats

from ganzoo import Evidence, Measure, Sample, Spec, UsageError
from ganzoo.registry import Registry, installed
from ganzoo_plugins.metrics import neighbours
from ganzoo_plugins.metrics.frechet import frechet_distance
from ganzoo_plugins.metrics.kernel import polynomial, squared_discrepancy
from ganzoo_plugins.metrics.moments import Moments
from ganzoo_plugins.metrics.sides import share_interval
from ganzoo_plugins.metrics.sliced_wasserstein import squared_on_lines

Array = numpy.ndarray[Any, Any]
REGISTRY: Registry = installed()
OVER_FEATURES = ("frechet", "kernel", "precision-recall", "density-coverage", "sliced-wasserstein", "memorisation")


def normal(seed: int, *shape: int) -> Array:
    return numpy.random.default_rng(seed).standard_normal(shape)


def side(features: Any, name: str = "made", **more: Any) -> Sample:
    return Sample(name, numpy.asarray(features, dtype=numpy.float64), **more)


def measures(name: str, made: Any, real: Any = None, seed: int = 0, spec: Spec | None = None, **options: Any):
    """What a part says of features, or of whole samples."""
    made = made if isinstance(made, Sample) else side(made)
    real = real if real is None or isinstance(real, Sample) else side(real, "real")
    found: list[Measure] = REGISTRY.make("metric", name, options).measure(Evidence(made, real, spec, seed=seed))
    for measure in found:
        json.dumps(measure.protocol, allow_nan=False)
        assert math.isfinite(measure.value)
        assert measure.interval is None or measure.interval[0] <= measure.value <= measure.interval[1]
    return {measure.name: measure for measure in found}


def values(*arguments: Any, **options: Any) -> dict[str, float]:
    return {name: measure.value for name, measure in measures(*arguments, **options).items()}


def value(name: str, *arguments: Any, **options: Any) -> float:
    return values(name, *arguments, **options)[name]


# Golden values: features that no library draws, each value worked out in a second way that shares nothing with ours,
# and frozen


def drawn(seed: int, rows: int, columns: int) -> Array:
    """About normal numbers: sums of twelve from a linear congruential generator (Numerical Recipes' constants)."""
    state, found = seed, []
    for _ in range(rows * columns):
        total = 0
        for _ in range(12):
            state = (1664525 * state + 1013904223) % 2**32
            total += state >> 16
        found.append(total / 65536 - 6)
    return numpy.array(found).reshape(rows, columns)


MADE, REAL = drawn(1, 60, 5) * 1.2 + 0.3, drawn(2, 50, 5)
CLASSES = numpy.exp(drawn(3, 40, 6)) / numpy.exp(drawn(3, 40, 6)).sum(1, keepdims=True)
CENTRES = [[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [9.0, 9.0]]
PLANE = drawn(4, 80, 2) * 0.5 + numpy.array(CENTRES)[numpy.arange(80) % 7 % 3]
MIXTURE = Spec("points", (2,), encoding={"modes": CENTRES, "deviation": 0.2})


def distance(x: Array, y: Array) -> float:
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(x.tolist(), y.tolist(), strict=True)))


def nearest_others(points: Array, k: int) -> list[float]:
    return [sorted(distance(x, y) for j, y in enumerate(points) if j != i)[k - 1] for i, x in enumerate(points)]


def golden_frechet() -> dict[str, float]:
    a, b = numpy.cov(MADE.T), numpy.cov(REAL.T)
    apart = MADE.mean(0) - REAL.mean(0)
    return {"frechet": apart @ apart + numpy.trace(a + b - 2 * linalg.sqrtm(a @ b).real)}


def golden_kernel() -> dict[str, float]:
    def mean(pairs: Any) -> float:
        found = [(sum(x * y) / len(x) + 1) ** 3 for x, y in pairs]
        return math.fsum(found) / len(found)

    def within(points: Array) -> float:
        return mean((x, y) for i, x in enumerate(points) for j, y in enumerate(points) if i != j)

    return {"kernel": within(MADE[:50]) + within(REAL) - 2 * mean((x, y) for x in MADE[:50] for y in REAL)}


def golden_inception_score() -> dict[str, float]:
    """The exponential of the entropy of the mean, less the mean entropy."""
    return {"inception-score": math.exp(stats.entropy(CLASSES.mean(0)) - stats.entropy(CLASSES, axis=1).mean())}


def golden_precision_recall() -> dict[str, float]:
    real, made = nearest_others(REAL, 3), nearest_others(MADE, 3)
    precise = [any(distance(x, y) < radius for y, radius in zip(REAL, real, strict=True)) for x in MADE]
    recalled = [any(distance(x, y) < radius for y, radius in zip(MADE, made, strict=True)) for x in REAL]
    return {"precision": sum(precise) / 60, "recall": sum(recalled) / 50}


def golden_density_coverage() -> dict[str, float]:
    radii = nearest_others(REAL, 5)
    inside = [[distance(x, y) < radius for x in MADE] for y, radius in zip(REAL, radii, strict=True)]
    return {"density": sum(map(sum, inside)) / (5 * 60), "coverage": sum(map(any, inside)) / 50}


def golden_sliced_wasserstein() -> dict[str, float]:
    """On a line there are two directions, and 300 copies of each value make both sides equally many."""
    pairs = zip(sorted(MADE[:, 0].tolist() * 5), sorted(REAL[:, 0].tolist() * 6), strict=True)
    return {"sliced-wasserstein": math.sqrt(sum((a - b) ** 2 for a, b in pairs) / 300)}


def golden_memorisation() -> dict[str, float]:
    usual = nearest_others(REAL, 1)
    found = [min(distance(x, y) for y in REAL) for x in MADE]
    threshold = stats.mstats.mquantiles(usual, 0.25, alphap=1, betap=1)[0]
    above = stats.mannwhitneyu(found, usual).statistic
    return {
        "memorisation": sum(x <= threshold for x in found) / 60,
        "data_copying": (above - 60 * 50 / 2) / math.sqrt(60 * 50 * 111 / 12),
    }


def golden_modes() -> dict[str, float]:
    homes = []
    for x in PLANE:
        apart = [distance(x, numpy.array(centre)) for centre in CENTRES]
        if min(apart) <= 0.6:
            homes.append(apart.index(min(apart)))
    shares = [homes.count(mode) / len(homes) for mode in range(4)]
    return {
        "modes": float(len(set(homes))),
        "high_quality": len(homes) / 80,
        "reverse_kl": float(stats.entropy(shares, [0.25] * 4)),
    }


GOLDEN: list[tuple[str, dict[str, Any], Any, dict[str, float]]] = [
    ("frechet", {}, golden_frechet, {"frechet": 1.1168936052207532}),
    ("kernel", {}, golden_kernel, {"kernel": 0.6935061561736697}),
    ("inception-score", {"splits": 1}, golden_inception_score, {"inception-score": 1.3773341820648248}),
    ("precision-recall", {}, golden_precision_recall, {"precision": 0.7333333333333333, "recall": 0.92}),
    ("density-coverage", {}, golden_density_coverage, {"density": 0.6333333333333333, "coverage": 0.96}),
    ("sliced-wasserstein", {}, golden_sliced_wasserstein, {"sliced-wasserstein": 0.6962419987759235}),
    (
        "memorisation",
        {"quantile": 0.25},
        golden_memorisation,
        {"memorisation": 0.16666666666666666, "data_copying": 2.683342006588859},
    ),
    ("modes", {}, golden_modes, {"modes": 3.0, "high_quality": 0.575, "reverse_kl": 0.3241447430566125}),
]


@pytest.mark.parametrize(("name", "options", "otherwise", "frozen"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden_values(name: str, options: dict[str, Any], otherwise: Any, frozen: dict[str, float]) -> None:
    assert otherwise() == pytest.approx(frozen, rel=1e-9)
    assert ours(name, options) == pytest.approx(frozen, rel=1e-9)


def ours(name: str, options: dict[str, Any]) -> dict[str, float]:
    if name == "modes":
        return values(name, side(PLANE, values=torch.tensor(PLANE)), spec=MIXTURE, **options)
    if name == "inception-score":
        return values(name, side(CLASSES, probabilities=CLASSES), **options)
    if name == "kernel":
        return values(name, MADE[:50], REAL, **options)
    if name == "sliced-wasserstein":
        return values(name, MADE[:, :1], REAL[:, :1], **options)
    return values(name, MADE, REAL, **options)


# Other people's code


def test_frechet_agrees_with_scipy() -> None:
    for seed, dimensions in enumerate((1, 3, 16, 64)):
        mixing = normal(seed, dimensions, dimensions)
        x, y = normal(seed + 10, 500, dimensions) @ mixing + 1, normal(seed + 20, 400, dimensions) * 2
        a, b = (numpy.cov(rows.T).reshape(dimensions, dimensions) for rows in (x, y))
        apart = x.mean(0) - y.mean(0)
        wanted = apart @ apart + numpy.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
        assert value("frechet", x, y) == pytest.approx(wanted, rel=1e-10)


@pytest.mark.parametrize(("rows", "others", "dimensions"), [(200, 200, 3), (300, 150, 20), (90, 160, 64)])
def test_neighbours_agree_with_prdc(rows: int, others: int, dimensions: int) -> None:
    prdc = pytest.importorskip("prdc", reason="prdc is not installed")
    made, real = normal(1, rows, dimensions) * 0.9 + 0.2, normal(2, others, dimensions)
    for k in (1, 3, 5):
        wanted = prdc.compute_prdc(real, made, k)
        found = {**values("precision-recall", made, real, k=k), **values("density-coverage", made, real, k=k)}
        assert found == pytest.approx(wanted, rel=1e-12)


class Flat(torch.nn.Module):
    """An extractor for torchmetrics that gives what it is given."""

    num_features = 12

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def torchmetrics_of(module: str, name: str, made: Array, real: Array | None = None, **options: Any) -> Any:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    metric = getattr(importlib.import_module(f"torchmetrics.image.{module}"), name)(feature=Flat(), **options)
    metric.set_dtype(torch.float64)
    pictures = torch.tensor(made)[:, :, None, None]
    if real is None:
        metric.update(pictures)
    else:
        metric.update(torch.tensor(real)[:, :, None, None], real=True)
        metric.update(pictures, real=False)
    return metric.compute()


@pytest.mark.filterwarnings("ignore")
def test_agreement_with_torchmetrics() -> None:
    made, real = normal(1, 300, 12) * 1.3 + 0.4, normal(2, 300, 12)
    wanted = torchmetrics_of("fid", "FrechetInceptionDistance", made, real)
    assert value("frechet", made, real) == pytest.approx(float(wanted), rel=1e-6)
    wanted, _ = torchmetrics_of("kid", "KernelInceptionDistance", made, real, subsets=2, subset_size=300)
    assert value("kernel", made, real) == pytest.approx(float(wanted), rel=1e-6)
    wanted, _ = torchmetrics_of("inception", "InceptionScore", made, splits=1)
    probabilities = torch.softmax(torch.tensor(made), 1).numpy()
    found = value("inception-score", side(made, probabilities=probabilities), splits=1)
    assert found == pytest.approx(float(wanted), rel=1e-6)


# What holds for every measure over features


def columns(name: str) -> int:
    return 1 if name == "sliced-wasserstein" else 4  # on a line a direction is drawn as well as any other


@pytest.mark.parametrize("name", OVER_FEATURES)
def test_the_order_of_samples_does_not_matter(name: str) -> None:
    made, real, random = normal(1, 200, columns(name)), normal(2, 200, columns(name)) + 0.3, numpy.random.default_rng(0)
    shuffled = values(name, random.permutation(made), random.permutation(real))
    assert shuffled == pytest.approx(values(name, made, real), rel=1e-9)


@pytest.mark.parametrize("name", OVER_FEATURES)
def test_a_measurement_can_be_repeated(name: str) -> None:
    made, real = normal(1, 300, 4), normal(2, 300, 4)
    options = {"subset_size": 50, "subsets": 5} if name == "kernel" else {}
    first = values(name, made, real, seed=3, **options)
    assert values(name, made, real, seed=3, **options) == first
    if name in ("kernel", "sliced-wasserstein"):
        assert values(name, made, real, seed=4, **options) != first


@pytest.mark.parametrize("name", OVER_FEATURES)
def test_what_cannot_be_measured_is_refused(name: str) -> None:
    made, real = normal(1, 20, 4), normal(2, 20, 4)
    broken = made.copy()
    broken[3, 1] = math.nan
    for sides, told in (
        ((made, None), "--reference"),
        ((made, real[:, :3]), "4 features a sample and real has 3"),
        ((broken, real), "made has features that are infinite or not numbers"),
        ((made, real[:0]), "real has 0 samples"),
        ((made[:, :0], real[:, :0]), "features of shape"),
    ):
        with pytest.raises(UsageError, match=told):
            measures(name, *sides)


@pytest.mark.parametrize("name", OVER_FEATURES)
def test_one_picture_again_and_again_is_measured(name: str) -> None:
    """The collapsed generator gives finite numbers, against real data and against itself."""
    same = numpy.repeat(normal(1, 1, 6), 30, axis=0)
    measures(name, same, normal(2, 40, 6))
    measures(name, normal(2, 40, 6), same)
    measures(name, same, same)


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    made, real = normal(1, 130, 7), normal(2, 170, 7)
    names = ("precision-recall", "density-coverage", "memorisation")
    whole = [values(name, made, real) for name in names]
    monkeypatch.setattr(neighbours, "MOST", 1000)
    assert [values(name, made, real) for name in names] == whole


def test_neighbours_are_found_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "MOST", 2**18)
    made, real = normal(1, 5000, 2), normal(2, 5000, 2)
    tracemalloc.start()
    values("precision-recall", made, real)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 2**20  # the whole matrix: 190 MiB


# Moments


@pytest.mark.parametrize("sizes", [[1000], [1, 999], [100] * 10, [7, 0, 493, 499, 1]], ids=str)
def test_moments_of_batches_are_those_of_two_passes(sizes: list[int]) -> None:
    rows = normal(0, 1000, 5) * [1, 10, 0.1, 1, 1] + [1e6, 0, -1e4, 1, 0]
    moments = Moments(5)
    for batch in numpy.split(rows, numpy.cumsum(sizes)[:-1]):
        moments.add(batch)
    centred = rows - rows.mean(0)
    assert moments.count == 1000
    numpy.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-14)
    numpy.testing.assert_allclose(moments.covariance, centred.T @ centred / 999, rtol=1e-9, atol=1e-12)


def test_moments_of_processes_join() -> None:
    rows = normal(0, 100, 3)
    joined = Moments(3).join(Moments.of(rows[:30])).join(Moments(3)).join(Moments.of(rows[30:]))
    numpy.testing.assert_allclose(joined.covariance, numpy.cov(rows.T), rtol=1e-12)


# Frechet


def test_frechet_closed_form() -> None:
    x, y = normal(0, 400_000, 8), 0.5 + 1.5 * normal(1, 400_000, 8)
    assert value("frechet", x, y) == pytest.approx(8 * 0.5**2 + 8 * (1 - 1.5) ** 2, rel=0.01)


def test_frechet_of_exact_moments() -> None:
    """A cross of 2d points has any mean and any diagonal covariance that is wanted."""

    def cross(mean: float, deviation: float) -> Array:
        points = numpy.vstack([numpy.eye(8), -numpy.eye(8)]) * deviation * math.sqrt(15 / 2)
        return points + mean

    assert value("frechet", cross(0, 1), cross(0.5, 1.5)) == pytest.approx(4.0, rel=1e-12)


@pytest.mark.parametrize("rows", [5, 20, 400])
def test_frechet_is_symmetric_and_zero_for_equal_sides(rows: int) -> None:
    x, y = normal(0, rows, 50) * 7 + 30, normal(1, rows, 50) + 29
    assert value("frechet", x, y) == pytest.approx(value("frechet", y, x), rel=1e-12)
    assert value("frechet", x, x) == pytest.approx(0, abs=1e-6)
    assert value("frechet", x, y) > 1


def test_frechet_with_fewer_samples_than_features() -> None:
    x, y = normal(0, 30, 200), 2 * normal(1, 40, 200) + 1
    a, b = numpy.cov(x.T), numpy.cov(y.T)
    apart = x.mean(0) - y.mean(0)
    # The same trace by the small matrix of inner products: the non-zero singular values are those of x y^T.
    cross = numpy.linalg.svd((x - x.mean(0)) @ (y - y.mean(0)).T / math.sqrt(29 * 39), compute_uv=False).sum()
    wanted = apart @ apart + numpy.trace(a) + numpy.trace(b) - 2 * cross
    found = measures("frechet", x, y)["frechet"]
    assert found.value == pytest.approx(wanted, rel=1e-9)
    assert found.protocol["bias"] is None


def test_frechet_of_streams_is_that_of_arrays() -> None:
    x, y = normal(0, 300, 6) + 100, normal(1, 200, 6)
    streamed = [Moments(6), Moments(6)]
    for moments, rows in zip(streamed, (x, y), strict=True):
        for start in range(0, len(rows), 64):
            moments.add(rows[start : start + 64])
    assert frechet_distance(*streamed) == pytest.approx(value("frechet", x, y), rel=1e-12)


@pytest.mark.parametrize("scales", [[1.0] * 16, [0.01, 0.1, 1, 10, 100, 3, 3, 3]], ids=["white", "unequal"])
def test_the_bias_of_frechet(scales: list[float]) -> None:
    found = [
        measures(
            "frechet", normal(2 * seed, 800, len(scales)) * scales, normal(2 * seed + 1, 400, len(scales)) * scales
        )
        for seed in range(60)
    ]
    mean = numpy.mean([row["frechet"].value for row in found])
    assert mean == pytest.approx(numpy.mean([row["frechet"].protocol["bias"] for row in found]), rel=0.1)
    if scales[0] == 1:
        assert mean == pytest.approx((16 * 17 / 4 + 16) * (1 / 800 + 1 / 400), rel=0.1)


# Kernel


def test_kernel_is_unbiased() -> None:
    found = [squared_discrepancy(normal(seed, 60, 8), normal(seed + 1000, 50, 8)) for seed in range(300)]
    assert abs(numpy.mean(found)) < 3 * numpy.std(found) / math.sqrt(300)
    assert min(found) < 0 < max(found)


def test_the_biased_kernel_estimate_is_positive() -> None:
    """The V-statistic is a squared norm; it is what one gets by comparing samples with themselves."""
    x, y = normal(0, 60, 8), normal(1, 50, 8)
    biased = polynomial(x, x).mean() + polynomial(y, y).mean() - 2 * polynomial(x, y).mean()
    assert biased > 0
    assert squared_discrepancy(x, y) < biased


def test_kernel_closed_form_on_a_line() -> None:
    """With d = 1 and k = 1 + 3xy + 3x^2y^2 + x^3y^3, for a shift by m of N(0, 1): 3 m^2 + 3 m^4 + (m^3 + 3m)^2."""
    x, y = normal(0, 20_000, 1) + 0.5, normal(1, 20_000, 1)
    wanted = 3 * 0.5**2 + 3 * 0.5**4 + (0.5**3 + 1.5) ** 2
    found = measures("kernel", x, y)["kernel"]
    assert found.interval is not None
    low, high = found.interval
    assert low < wanted < high
    assert high - low < 0.5 * wanted


def test_the_interval_of_kernel_covers() -> None:
    """For a shift of N(0, I) by a unit vector m in 4 dimensions the value is 3/4 |m|^2 + 3/16 |m|^4
    + (|m|^6 + 6 |m|^4 + 18 |m|^2) / 64.

    95 % are promised: about 57 of 60 intervals hold it; 50 are 4 deviations away.
    """
    wanted, held = 3 / 4 + 3 / 16 + 25 / 64, 0
    for seed in range(60):
        x, y = normal(10 + seed, 400, 4) + 0.5, normal(1000 + seed, 400, 4)
        low, high = measures("kernel", x, y, subsets=30, subset_size=100)["kernel"].interval or (0, 0)
        held += low < wanted < high
    assert held >= 50


def test_subsets_of_kernel() -> None:
    made, real = normal(0, 300, 4), normal(1, 500, 4)
    found = measures("kernel", made, real, subset_size=50, subsets=7)["kernel"]
    assert found.protocol["subsets"] == 7
    assert found.protocol["subset_size"] == 50
    whole = measures("kernel", made, real)["kernel"]  # 1000 is more than there are
    assert (whole.protocol["subset_size"], whole.interval) == (300, None)
    for options in ({"subsets": 0}, {"subset_size": 1}):
        with pytest.raises(UsageError, match="must be at least"):
            REGISTRY.make("metric", "kernel", options)


# Inception score


def classified(probabilities: Any) -> Sample:
    probabilities = numpy.asarray(probabilities, dtype=numpy.float64)
    return side(numpy.zeros((len(probabilities), 1)), probabilities=probabilities)


def test_inception_score_closed_forms() -> None:
    classes = 7
    balanced = numpy.eye(classes)[numpy.arange(700) % classes]
    assert value("inception-score", classified(numpy.full((100, classes), 1 / classes))) == pytest.approx(1)
    assert value("inception-score", classified(balanced), splits=1) == pytest.approx(classes)
    assert value("inception-score", classified(balanced[:1].repeat(100, 0))) == pytest.approx(1)
    drawn_at_random = numpy.random.default_rng(0).dirichlet(numpy.full(classes, 0.1), 500)
    assert 1 <= value("inception-score", classified(drawn_at_random)) <= classes


def test_inception_score_of_a_sorted_folder() -> None:
    balanced = numpy.eye(5)[numpy.arange(5000) % 5]
    in_order = balanced[balanced.argmax(1).argsort(kind="stable")]
    found = measures("inception-score", classified(in_order))["inception-score"]
    assert found.value == pytest.approx(5, rel=0.01)
    assert found.protocol["splits"] == 10
    assert found.interval is not None


def test_inception_score_needs_classes() -> None:
    with pytest.raises(UsageError, match="tells no classes"):
        measures("inception-score", side(normal(0, 20, 3)))
    with pytest.raises(UsageError, match="no class probabilities that add up to 1"):
        measures("inception-score", classified(numpy.ones((20, 3))))
    with pytest.raises(UsageError, match="has 9 samples; this measure needs at least 10"):
        measures("inception-score", classified(numpy.eye(3)[[0] * 9]))


# Precision, recall, density, coverage


def neighbourhood(made: Array, real: Array, k: int = 3) -> dict[str, float]:
    return {**values("precision-recall", made, real, k=k), **values("density-coverage", made, real, k=k)}


def test_equal_and_disjoint_sides() -> None:
    x = normal(0, 300, 8)
    # A ball holds its own copy and the k - 1 nearer ones; the k-th is on its rim, which does not count.
    assert neighbourhood(x, x) == {"precision": 1, "recall": 1, "density": 1, "coverage": 1}
    assert neighbourhood(x + 100, x) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_the_rim_of_a_ball_is_outside() -> None:
    """Real points on whole numbers have balls of radius 1 (k = 2; 2 at the ends)."""
    real = numpy.arange(10.0)[:, None]
    made = numpy.array([[4.5], [-2.0], [11.0], [50.0], [-1.99]])
    found = neighbourhood(made, real, k=2)
    assert found["precision"] == 2 / 5
    assert found["density"] == (2 + 1) / 2 / 5
    assert found["coverage"] == 3 / 10


def test_one_of_two_modes() -> None:
    """targets.md: k = 3, 8 dimensions, 1,000 samples."""
    shift = numpy.array([8.0] + [0.0] * 7)
    real = normal(0, 1000, 8) + shift * (numpy.arange(1000) % 2)[:, None]
    found = neighbourhood(normal(1, 1000, 8), real)
    assert found["recall"] == pytest.approx(0.45, abs=0.06)
    assert found["precision"] > 0.85
    assert found["coverage"] < 0.5
    same = neighbourhood(normal(1, 1000, 8), normal(0, 1000, 8))
    assert same.pop("density") == pytest.approx(0.989, abs=0.1)
    assert same == pytest.approx({"precision": 0.873, "recall": 0.91, "coverage": 0.866}, abs=0.05)


@pytest.mark.parametrize(("rows", "others"), [(400, 400), (800, 200)])
def test_coverage_and_density_of_one_distribution(rows: int, others: int) -> None:
    found = [measures("density-coverage", normal(2 * s, rows, 4), normal(2 * s + 1, others, 4)) for s in range(30)]
    for name in ("density", "coverage"):
        mean = numpy.mean([row[name].value for row in found])
        assert mean == pytest.approx(found[0][name].protocol["expected"], abs=0.03)


def test_k_needs_as_many_samples() -> None:
    with pytest.raises(UsageError, match="made has 3 samples; this measure needs at least 4"):
        measures("precision-recall", normal(0, 3, 2), normal(0, 9, 2))
    measures("precision-recall", normal(0, 4, 2), normal(0, 9, 2))
    for name in ("precision-recall", "density-coverage"):
        with pytest.raises(UsageError, match="k must be at least 1"):
            REGISTRY.make("metric", name, {"k": 0})


def test_the_interval_of_a_share() -> None:
    for share, count in ((0.0, 10), (1.0, 10), (0.3, 50), (0.9889, 2500)):
        wanted = stats.binomtest(round(share * count), count).proportion_ci(method="wilson")
        assert share_interval(round(share * count) / count, count) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


# Sliced Wasserstein


def test_sliced_wasserstein_closed_forms() -> None:
    x = normal(0, 2000, 16)
    shift = normal(1, 16)
    wanted = numpy.linalg.norm(shift) / 4
    assert value("sliced-wasserstein", x + shift, x, projections=4096) == pytest.approx(wanted, rel=0.05)
    assert value("sliced-wasserstein", x, x) == 0
    assert value("sliced-wasserstein", normal(0, 50_000, 3) * 2.5, normal(1, 50_000, 3)) == pytest.approx(1.5, rel=0.02)
    assert value("sliced-wasserstein", x, x + shift) == pytest.approx(value("sliced-wasserstein", x + shift, x))
    assert value("sliced-wasserstein", x * 3, x + shift) == pytest.approx(
        value("sliced-wasserstein", x * 6, (x + shift) * 2) / 2
    )


@pytest.mark.parametrize(("rows", "others"), [(6, 4), (5, 7), (1, 9), (8, 8), (10, 5)])
def test_distance_on_a_line_with_unequal_numbers(rows: int, others: int) -> None:
    """By the transport problem itself: a linear program over all couplings."""
    from scipy.optimize import linprog

    x, y = normal(rows, rows, 1), normal(others, others, 1)
    cost = numpy.square(x - y.T).ravel()
    sums = [numpy.kron(numpy.eye(rows), numpy.ones(others)), numpy.kron(numpy.ones(rows), numpy.eye(others))]
    wanted = linprog(cost, A_eq=numpy.vstack(sums), b_eq=[1 / rows] * rows + [1 / others] * others).fun
    assert squared_on_lines(x, y)[0] == pytest.approx(wanted, rel=1e-9)


# Modes


def points(spec: Spec, samples: torch.Tensor, **options: Any) -> dict[str, Measure]:
    return measures("modes", side(samples.flatten(1), values=samples), spec=spec, **options)


@pytest.mark.parametrize(("name", "known", "floor"), [("ring", 8, 0.0014), ("grid", 25, 0.0048)])
def test_modes_of_a_perfect_sampler(name: str, known: int, floor: float) -> None:
    spec = REGISTRY.make("dataset", name, {"count": 10}).open().spec
    centres, deviation = torch.tensor(spec.encoding["modes"]), spec.encoding["deviation"]
    rows = []
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        modes = torch.randint(known, (2500,), generator=generator)
        found = points(spec, centres[modes] + deviation * torch.randn(2500, 2, generator=generator))
        assert list(found) == ["modes", "high_quality", "reverse_kl"]
        assert found["modes"].value == known
        assert found["high_quality"].protocol["perfect"] == pytest.approx(1 - math.exp(-4.5), rel=1e-9)
        assert found["reverse_kl"].protocol["floor"] == pytest.approx(floor, rel=0.05)
        rows.append((found["high_quality"].value, found["reverse_kl"].value))
    # 50,000 points: the share's deviation is 0.0005; the divergence's about floor * sqrt(2 / (K - 1) / 20).
    high_quality, reverse_kl = numpy.mean(rows, axis=0)
    assert high_quality == pytest.approx(0.98889, abs=0.002)
    assert reverse_kl == pytest.approx((known - 1) / 5000, rel=0.5)


def test_modes_are_told_apart() -> None:
    near, far = torch.tensor([[0.0, 0.0]] * 30 + [[2.0, 0.59]] * 10), torch.tensor([[5.0, 5.0]] * 60)
    found = points(MIXTURE, torch.cat([near, far]))
    assert found["modes"].value == 2
    assert found["high_quality"].value == 0.4
    assert found["reverse_kl"].value == pytest.approx(0.75 * math.log(3) + 0.25 * math.log(1))
    assert points(MIXTURE, near, deviations=2.9)["high_quality"].value == 0.75
    collapsed = points(MIXTURE, near[:30])
    assert (collapsed["modes"].value, collapsed["high_quality"].value) == (1, 1)
    assert collapsed["reverse_kl"].value == pytest.approx(math.log(4))
    nothing = points(MIXTURE, far)
    assert (nothing["modes"].value, nothing["high_quality"].value) == (0, 0)
    assert nothing["reverse_kl"].value == pytest.approx(math.log(4))
    assert "nothing to count" in nothing["reverse_kl"].protocol["note"]


def test_modes_of_stacked_digits() -> None:
    """26,000 draws of three digits: 1,000 modes and a divergence of 0.0192."""
    digits = numpy.random.default_rng(0).integers(0, 10, (26_000, 3))
    sure = numpy.eye(10)[digits]
    found = measures("modes", side(numpy.zeros((26_000, 1)), probabilities=sure))
    assert (found["modes"].value, found["high_quality"].value) == (1000, 1)
    assert found["reverse_kl"].value == pytest.approx(999 / 52_000, rel=0.1)
    assert found["reverse_kl"].protocol["floor"] == pytest.approx(0.0192, abs=1e-4)
    unsure = sure.copy()
    unsure[:13_000, 1] = 0.8 * unsure[:13_000, 1] + 0.02
    found = measures("modes", side(numpy.zeros((26_000, 1)), probabilities=unsure))
    assert (found["modes"].value, found["high_quality"].value) == (1000, 0.5)
    one = measures("modes", side(numpy.zeros((100, 1)), probabilities=sure[:1].repeat(100, 0)))
    assert (one["modes"].value, one["reverse_kl"].value) == (1, pytest.approx(math.log(1000)))


def test_modes_of_plain_classes() -> None:
    found = values("modes", classified(numpy.eye(4)[[0, 0, 1, 1, 2, 2]]))
    assert found == pytest.approx({"modes": 3, "high_quality": 1, "reverse_kl": math.log(4 / 3)})


def test_modes_need_to_be_known() -> None:
    with pytest.raises(UsageError, match="modes are known of data that name them"):
        measures("modes", side(normal(0, 20, 2)), spec=Spec("points", (2,)))
    with pytest.raises(UsageError, match="no points of 2 coordinates"):
        measures("modes", side(normal(0, 20, 2)), spec=MIXTURE)
    with pytest.raises(UsageError, match="has no samples"):
        measures("modes", side(normal(0, 0, 2)), spec=MIXTURE)


# Memorisation, and who is told from whom


def test_a_collapsed_generator_and_a_memoriser_are_told_apart() -> None:
    train, random = normal(0, 1000, 8), numpy.random.default_rng(7)
    sides = {
        "healthy": normal(1, 1000, 8),
        "memoriser": train[random.integers(0, 1000, 1000)],
        "nearly": train[random.integers(0, 1000, 1000)] + 0.01 * normal(3, 1000, 8),
        "collapsed": numpy.repeat(normal(4, 1, 8), 1000, axis=0) + 1e-3 * normal(5, 1000, 8),
    }
    found = {
        name: {**neighbourhood(made, train), **values("memorisation", made, train)} for name, made in sides.items()
    }
    healthy, collapsed = found["healthy"], found["collapsed"]
    assert healthy["memorisation"] < 0.03
    assert abs(healthy["data_copying"]) < 3
    for name in ("memoriser", "nearly"):
        assert found[name]["memorisation"] == 1
        assert found[name]["data_copying"] < -30
    assert found["memoriser"]["coverage"] > 0.85  # which is why coverage alone tells nothing of copies
    assert collapsed["memorisation"] < 0.03
    for name in ("coverage", "recall"):
        assert collapsed[name] < 0.05
        assert healthy[name] > 0.8


def test_memorisation_of_one_distribution_is_the_quantile() -> None:
    found = [measures("memorisation", normal(2 * s, 1000, 4), normal(2 * s + 1, 1000, 4)) for s in range(20)]
    assert numpy.mean([row["memorisation"].value for row in found]) == pytest.approx(0.01, abs=0.004)
    assert abs(numpy.mean([row["data_copying"].value for row in found])) < 1
    assert found[0]["memorisation"].protocol["expected"] == 0.01


def test_memorisation_where_the_training_data_hold_copies() -> None:
    real = numpy.concatenate([normal(0, 500, 6)] * 2)
    assert value("memorisation", normal(1, 300, 6), real) < 0.05
    assert value("memorisation", real[:300], real) == 1


def test_memorisation_looks_up_some_of_many() -> None:
    made, real = normal(1, 200, 4), normal(0, 3000, 4)
    some = measures("memorisation", made, real, queries=500)["memorisation"]
    assert some.protocol["queries"] == 500
    every = measures("memorisation", made, real, queries=0)["memorisation"]
    assert every.protocol["queries"] == 3000
    assert some.protocol["threshold"] == pytest.approx(every.protocol["threshold"], rel=0.5)


def test_the_picture_of_memorisation() -> None:
    """The nearest pairs first, made above and training below."""
    real = torch.rand(50, 3, 6, 5, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = torch.rand(20, 3, 6, 5, generator=torch.Generator().manual_seed(1)) * 2 - 1
    made[13] = real[31]
    sides = [side(pictures.flatten(1), name, values=pictures) for pictures, name in ((made, "made"), (real, "real"))]
    picture = measures("memorisation", *sides, pairs=4)["memorisation"].picture
    assert picture is not None
    assert picture.shape == (3, 6 + 2 + 6, 4 * 5 + 3 * 2)
    assert torch.equal(picture[:, :6, :5], made[13])
    assert torch.equal(picture[:, 8:, :5], real[31])
    assert (picture[:, 6:8] == 1).all()
    assert measures("memorisation", made.flatten(1), real.flatten(1))["memorisation"].picture is None
