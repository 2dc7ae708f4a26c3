"""What sounds are made of, in numbers. Peeters 2004, A Large Set of Audio Features for Sound Description, IRCAM."""

from __future__ import annotations

from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, Sample, UsageError, hookimpl

Array = numpy.ndarray[Any, Any]

SILENCE = 1e-10  # mean square that counts as none: -100 dB
BANDS = 64
STATISTICS = {"energy": "mean square", "level": "dB of full scale", "centroid": "Hz", "bandwidth": "Hz"}


class Spectrum(Metric):
    """How far energy, level, spectral centroid and bandwidth of made sounds are distributed from those of real ones.

    Of each sound, over all of it: `energy` is the mean square, `level` the same in decibels (at least -100), `centroid`
    the mean frequency, weighted with the power at it, and `bandwidth` the standard deviation about that mean (Peeters
    2004; silence has 0 Hz of both). A number `..._distance` is the earth mover's distance between the two sides'
    distributions of that statistic (as between their histograms with ever finer bins), divided by the standard
    deviation of the real ones: 0 for equal distributions, and 1 for a shift by one deviation. `spectrum` is the root
    mean square, in decibels, of the difference of the two sides' mean power in 64 bands of equal width.

    The protocol has mean and deviation of both sides. Statistics do not tell whether a sound can be understood: the
    inception score of a classifier that was trained on the data does (`ganzoo features train`).

    Differs from the paper: statistics over whole sounds, not frame by frame.
    """

    name = "spectrum"
    paper = "Peeters 2004, IRCAM"
    extracts = False
    looks = True
    resamples = 20
    smaller_is_better = (*(f"{name}_distance" for name in STATISTICS), "spectrum")

    def measure(self, evidence: Evidence) -> list[Measure]:
        if evidence.reference is None:
            raise UsageError("this measure compares with real samples; name some with --data or --reference")
        rate = _rate(evidence)
        made = _described(evidence.made, rate)
        real = evidence.once(self.name, lambda: _described(evidence.reference, rate))
        found = [_distance(name, made[0][name], real[0][name]) for name in STATISTICS]
        apart = _decibels(made[1].mean(0)) - _decibels(real[1].mean(0))
        protocol = {"unit": "dB", "bands": BANDS, "rate_hz": rate}
        return [*found, Measure("spectrum", float(numpy.sqrt(numpy.square(apart).mean())), None, protocol)]


def _distance(name: str, made: Array, real: Array) -> Measure:
    from scipy.stats import wasserstein_distance

    spread = float(real.std())
    if spread <= 1e-9 * abs(float(real.mean())):
        raise UsageError(f"the real samples all have the same {name}; there is no deviation to measure a distance in")
    told = {side: [float(values.mean()), float(values.std())] for side, values in (("made", made), ("real", real))}
    protocol = {"unit": STATISTICS[name], **{f"{side}_mean_and_deviation": values for side, values in told.items()}}
    return Measure(f"{name}_distance", float(wasserstein_distance(made, real)) / spread, None, protocol)


def _rate(evidence: Evidence) -> int:
    spec = evidence.spec
    if spec is None or spec.kind != "audio":
        raise UsageError("metric 'spectrum' measures sounds; these samples are none. For pictures: --metric frechet")
    return int(spec.encoding.get("rate_hz", 16_000))


def _described(sample: Sample | None, rate: int) -> tuple[dict[str, Array], Array]:
    """The statistics of each sound by name, and its power in bands [N, BANDS]."""
    if sample is None or sample.values is None or sample.values.ndim != 3:
        name = "the reference" if sample is None else sample.name
        raise UsageError(f"{name} has no waveforms [N, channels, T] to look at")
    pieces = [_statistics(chunk.double().numpy(), rate) for chunk in sample.values.split(256)]
    named = {name: numpy.concatenate([piece[0][name] for piece in pieces]) for name in STATISTICS}
    return named, numpy.concatenate([piece[1] for piece in pieces])


def _statistics(waves: Array, rate: int) -> tuple[dict[str, Array], Array]:
    """Of waveforms [N, channels, T]."""
    power = numpy.square(numpy.abs(numpy.fft.rfft(waves))).sum(1)
    frequencies = numpy.fft.rfftfreq(waves.shape[2], 1 / rate)
    energy = numpy.square(waves).mean((1, 2))
    heard = energy > SILENCE
    shares = numpy.where(heard[:, None], power, 0) / numpy.where(heard, power.sum(1), 1)[:, None]
    centroid = shares @ frequencies
    bandwidth = numpy.sqrt(numpy.maximum(shares @ numpy.square(frequencies) - numpy.square(centroid), 0))
    edges = numpy.linspace(0, power.shape[1], BANDS, endpoint=False).astype(int)
    bands = numpy.add.reduceat(power, numpy.unique(edges), axis=1)
    named = {"energy": energy, "level": _decibels(energy), "centroid": centroid, "bandwidth": bandwidth}
    return named, bands / waves.shape[2] ** 2


def _decibels(power: Array) -> Array:
    found: Array = 10 * numpy.log10(numpy.maximum(power, SILENCE))
    return found


@hookimpl
def register_metrics(register: Any) -> None:
    register(Spectrum)
