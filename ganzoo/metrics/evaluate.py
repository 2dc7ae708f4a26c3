"""`ganzoo evaluate`: samples in, numbers out, each with all that it depends on."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from .. import built, processes, samples
from ..config import Choice
from ..data import Spec
from ..errors import UsageError
from ..given import Given
from ..progress import speaks
from ..registry import Registry, installed
from ..run import Run
from . import features, sources
from .evidence import Evidence, Measure, Sample
from .extractor import Extractor, by_channel
from .sources import Source

GENERATED = 10_000  # samples of a run, unless --count says otherwise


@dataclass
class Asked:
    """What is to be measured, as on the command line."""

    metrics: Sequence[str] = ()
    data: str | None = None
    reference: str | None = None
    features: str = "identity"
    count: int | None = None
    seed: int = 0
    device: str = "auto"


def evaluate(x: str | Path, asked: Asked) -> list[dict[str, Any]]:
    """Measure a run, a checkpoint, a folder of pictures or an array file. Returns one JSON object a number.

    Raises UsageError where the measures that were asked for cannot be taken of it.
    """
    with processes.joined(torch.device("cpu")):
        made, run = _made(Path(x), asked, installed())
        pictures = None if run is None else run.path / "pictures"
        results = Judge(asked, made.spec, *_real(asked, run, installed()), pictures).judge(made)
        if run is not None and processes.rank() == 0:
            keep(run, made.game.step, results)
        return results


class Judge:
    """Measures, and what they compare with: made once, and used for as many sets of samples as there are.

    metrics: the parts. They are taken in the first process; the features of several processes' shares are put together.
    pictures: the folder for what belongs to a number of a run (pairs of a sample and its nearest training sample).
    """

    def __init__(
        self, asked: Asked, spec: Spec, real: Source | None, held_out: Source | None, pictures: Path | None = None
    ):
        self.asked, self.extractor = asked, features.load(asked.features)
        self.spec = spec if real is None else real.spec
        if self.spec.encoding.get("parts") == "channels" and self.extractor.name != "identity":
            self.extractor = by_channel(self.extractor)
        registry = installed()
        chosen = _chosen(asked, self.spec, real)
        self.metrics = [registry.make("metric", choice.name, choice.options) for choice in chosen]
        self.looks = any(metric.looks for metric in self.metrics)
        compares = any(metric.compares for metric in self.metrics)
        self.real = self._sample(real, None) if real is not None and compares else None
        self.unseen = self._sample(held_out, None) if held_out is not None and compares else None
        self._bounds: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
        self._kept: dict[str, Any] = {}
        self.pictures = pictures

    def judge(self, made: Source) -> list[dict[str, Any]]:
        """One JSON object a number; in a process that is not the first, none."""
        sample, asked = self._sample(made, self.asked.count), self.asked
        if processes.rank():
            return []
        _check_tables(made, self.spec)
        evidence = Evidence(
            sample,
            self.real,
            self.spec,
            self.extractor.name,
            asked.seed,
            made.game,
            self.extractor.distance,
            self.extractor.perceptual,
            self._kept,
        )
        results = []
        for index, metric in enumerate(self.metrics):
            _check(metric, evidence)
            key = (index, len(sample))
            if key not in self._bounds:
                self._bounds[key] = _bounds(metric, evidence, self.unseen)
            bounds = self._bounds[key]
            for measure in _measured(metric, evidence):
                results.append(_result(metric, measure, evidence, bounds, self.extractor))
                if measure.picture is not None and made.game is not None and self.pictures is not None:
                    results[-1]["protocol"]["picture"] = self._put(measure.name, measure.picture, made.game.step)
        return results

    def _put(self, name: str, picture: Tensor, step: int) -> str:
        """Write a picture that belongs to a number; its name in the folder of pictures."""
        assert self.pictures is not None
        file = self.pictures / f"{name}-step-{step:08d}.png"
        samples.write(file, samples.decode(picture[None], self.spec), self.spec)
        return file.name

    def _sample(self, source: Source, count: int | None) -> Sample:
        return _sample(source, self.extractor, count, self.looks)


def _made(path: Path, asked: Asked, registry: Registry) -> tuple[Source, Run | None]:
    """What is judged, and the run that it came from."""
    found = sources.checkpoint_step(path) or (path, None)
    if sources.is_run(found[0]):
        run = Run.open(found[0])
        return sources.of_run(run, asked.count or GENERATED, asked.seed, found[1], asked.device), run
    return _source(str(path), asked, registry), None


def _source(text: str, asked: Asked, registry: Registry) -> Source:
    if asked.features == "identity" and text.endswith((".npz", ".npy")):
        return sources.of_features(Path(text))
    return _dataset(Choice.parse_data(text, registry), registry)


def _real(asked: Asked, run: Run | None, registry: Registry) -> tuple[Source | None, Source | None]:
    """What it is judged against, and more real samples that nobody trained on."""
    if asked.data and asked.reference:
        raise UsageError("--data and --reference both name what is compared with; give one of them")
    if asked.reference:
        return _source(asked.reference, asked, registry), None
    if asked.data:
        return _source(asked.data, asked, registry), _held_out(Choice.parse_data(asked.data, registry), registry)
    if run is None:
        return None, None
    choice = run.config.dataset
    if choice.name == Given.name:
        raise UsageError(f"{run.path} was trained on data given from Python; name what to compare with by --data")
    return _dataset(choice, registry), _held_out(choice, registry)


def _dataset(choice: Choice, registry: Registry) -> Source:
    return sources.of_collection(str(choice), sources.opened(choice, registry))


def _held_out(choice: Choice, registry: Registry) -> Source | None:
    unseen = sources.held_out(choice, registry)
    return None if unseen is None else sources.of_collection("test", unseen)


def _chosen(asked: Asked, spec: Spec, real: Source | None) -> list[Choice]:
    """The measures that were asked for, else those that always make sense."""
    if asked.metrics:
        return [Choice.parse(text) for text in asked.metrics]
    if "modes" in spec.encoding:
        return [Choice("modes", {})]
    if real is None:
        raise UsageError("name what to compare with: --data NAME, or --reference FOLDER or FILE.npz")
    return [Choice("frechet", {}), Choice("kernel", {})]


def _sample(source: Source, extractor: Extractor, count: int | None, looks: bool) -> Sample:
    """Its features, chunk by chunk; real data's are kept, by their content, for the next time."""
    kept = None if looks or not source.content else _kept(source, extractor, count)
    if kept is not None and all(processes.gathered(kept.is_file())):
        with numpy.load(kept, allow_pickle=False) as found:
            return Sample(source.name, found["features"], None, found.get("probabilities"))
    chunks = _extracted(source, extractor, count, looks)
    rows = numpy.concatenate([found for _, found, _ in chunks])
    classes = None if chunks[0][2] is None else numpy.concatenate([found for _, _, found in chunks])
    if kept is not None:
        _write(kept, rows, classes)
    return Sample(source.name, rows, torch.cat([values for values, _, _ in chunks]) if looks else None, classes)


def _extracted(source: Source, extractor: Extractor, count: int | None, looks: bool) -> list[Any]:
    """Samples (where somebody looks at them), features and classes, chunk by chunk; each process takes every so manyth
    chunk, and all get all of them."""
    mine = [(number, values if looks else None, *extractor.extract(values)) for number, values in _shown(source, count)]
    return [
        found for _, *found in sorted((one for part in processes.gathered(mine) for one in part), key=itemgetter(0))
    ]


def _kept(source: Source, extractor: Extractor, count: int | None) -> Path:
    identity = json.dumps([source.content, source.first(count), extractor.protocol], sort_keys=True)
    return built.home() / "features" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.npz"


def _write(path: Path, rows: numpy.ndarray[Any, Any], classes: numpy.ndarray[Any, Any] | None) -> None:
    aside = path.with_name(f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as file:
            arrays = {"features": rows} if classes is None else {"features": rows, "probabilities": classes}
            numpy.savez(file, allow_pickle=False, **arrays)
        aside.replace(path)
    except OSError:
        return  # the next time takes as long as this one


def _shown(source: Source, count: int | None) -> Any:
    from rich.progress import track

    return track(
        source.chunks(count, processes.rank(), processes.world()),
        description=source.name,
        total=-(-source.first(count) // (sources.CHUNK * processes.world())),
        transient=True,
        disable=not (speaks() and sys.stderr.isatty()),
        console=_standard_error(),
    )


def _standard_error() -> Any:
    from rich.console import Console

    return Console(stderr=True)


def _check_tables(made: Source, spec: Spec) -> None:
    """The numbers of a row mean something only by the columns that they were fitted to."""
    if made.spec.kind == spec.kind == "table" and made.spec.encoding != spec.encoding:
        raise UsageError(
            f"{made.name} and what it is compared with are tables whose columns were fitted apart; of a run, name the "
            "real rows with the columns of the run: --data table:path=FILE.csv,like=RUN"
        )


def _check(metric: Any, evidence: Evidence) -> None:
    if metric.compares and evidence.reference is None:
        raise UsageError(f"metric '{metric.name}' compares with real samples; name them by --data or --reference")
    if metric.classifies and evidence.made.probabilities is None:
        raise UsageError(f"metric '{metric.name}' reads classes, and features '{evidence.extractor}' have none")
    if metric.asks and evidence.game is None:
        raise UsageError(f"metric '{metric.name}' asks a trained run's generator; give it a run")
    if evidence.reference is not None and metric.compares:
        here, there = (sample.features.shape[1] for sample in (evidence.made, evidence.reference))
        if here != there:
            raise UsageError(f"the samples have {here} features and {evidence.reference.name} {there}")


def _measured(metric: Any, evidence: Evidence) -> list[Measure]:
    """The numbers, with a bootstrap interval where the metric asks for one."""
    found: list[Measure] = metric.measure(evidence)
    if not metric.resamples:
        return found
    random, count = evidence.random("bootstrap"), len(evidence.made)
    rounds = [
        metric.measure(evidence.judging(evidence.made.rows(random.integers(count, size=count))))
        for _ in range(metric.resamples)
    ]
    for index, measure in enumerate(found):
        values = numpy.array([again[index].value for again in rounds])
        low, high = numpy.quantile(values - values.mean(), [0.025, 0.975])
        # Resampling repeats rows, which moves such measures away from what they are of; how they spread stays.
        measure.interval = (float(measure.value - high), float(measure.value - low))
    return found


def _result(
    metric: Any, measure: Measure, evidence: Evidence, bounds: dict[str, dict[str, Any]], extractor: Extractor
) -> dict[str, Any]:
    made, reference = evidence.made, evidence.reference
    protocol: dict[str, Any] = {"made": made.name, "count": len(made), "seed": evidence.seed, "options": metric.options}
    if metric.extracts or evidence.extractor != "identity":
        protocol |= extractor.protocol
    protocol["better"] = metric.better(measure.name)
    if metric.compares and reference is not None:
        protocol |= {"reference": reference.name, "reference_count": len(reference)}
        protocol |= bounds[measure.name]
    name = f"{measure.name}@{evidence.extractor}" if metric.extracts else measure.name
    name = extractor.standard.get(metric.standard.get(measure.name, ""), name)
    interval = None if measure.interval is None else list(measure.interval)
    return {"name": name, "value": measure.value, "interval": interval, "protocol": {**protocol, **measure.protocol}}


def _bounds(metric: Any, evidence: Evidence, unseen: Sample | None) -> dict[str, dict[str, Any]]:
    """What each number is of real samples: of those that nobody trained on (floor), and of two halves of the
    reference, at most as many as were judged (halves: what so few samples cost by themselves)."""
    bounds: dict[str, dict[str, Any]] = defaultdict(dict)
    reference = evidence.reference
    if reference is None or not metric.compares:
        return bounds
    if unseen is not None:
        for measure in metric.measure(evidence.judging(unseen)):
            bounds[measure.name]["floor"] = float(measure.value)
    order = evidence.random("halves").permutation(len(reference))
    half = min(len(evidence.made), len(reference) // 2)
    if half > 1:
        first, second = reference.rows(order[:half]), reference.rows(order[-half:])
        for measure in metric.measure(evidence.judging(first, second)):
            bounds[measure.name] |= {"halves": float(measure.value), "halves_count": half}
    return bounds


def keep(run: Run, step: int, results: list[dict[str, Any]]) -> None:
    """Write the numbers of a step into the run's folder."""
    run.append("measures.jsonl", [{"step": step, **result} for result in results])


def report(results: list[dict[str, Any]]) -> str:
    """The numbers as text, a line each."""
    lines = []
    for result in results:
        protocol = result["protocol"]
        interval = "" if result["interval"] is None else " [{:.4g}, {:.4g}]".format(*result["interval"])
        real = f" against {protocol['reference_count']} of {protocol['reference']}" if "reference" in protocol else ""
        told = [
            f"{name} {protocol[name]:.4g}" for name in ("floor", "halves", "bias") if protocol.get(name) is not None
        ]
        told += [f"{name} {protocol[name]}" for name in ("seed", "resize") if name in protocol]
        counts = f"{protocol['count']} of {protocol['made']}{real}"
        lines.append(f"{result['name']}  {result['value']:.6g}{interval}  ({'; '.join([counts, *told])})")
    return "\n".join(lines)
