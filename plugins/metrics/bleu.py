"""Which runs of words are shared with real sentences. Papineni et al. 2002, BLEU, ACL; Zhu et al. 2018, Texygen,
arXiv:1802.01886."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from itertools import takewhile
from typing import Any

import numpy

from ganzoo import Evidence, Measure, Metric, Sample, Spec, UsageError, hookimpl

Array = numpy.ndarray[Any, Any]
Sentence = tuple[int, ...]
NOTHING = 0.1  # what counts in place of no run in common: Chen and Cherry 2014, smoothing 1


class Bleu(Metric):
    """How many of the written runs of 2 to 5 words also stand in real sentences: BLEU.

    Papineni et al. 2002, BLEU: a Method for Automatic Evaluation of Machine Translation, equations 2 to 4, of one
    sentence at a time against all references together, as Zhu et al. 2018, Texygen, arXiv:1802.01886,
    measure text: `bleu_n` is the geometric mean of the clipped precisions of 1 to n words, times the brevity penalty,
    and the mean over the sentences. No run of some length in common counts as 0.1 of one (Chen and Cherry 2014,
    smoothing 1), no word in common as 0. Copies of the references score 1, so read it beside `self-bleu`.

    Differs from the paper: means of sentences, not one number of the whole text.

    Args:
        longest: words of the longest runs.
        references: the first so many real sentences, 500 as in Texygen's code; 0: all.
    """

    name = "bleu"
    paper = "arXiv:1802.01886"
    extracts = False
    looks = True
    larger_is_better = tuple(f"bleu_{n}" for n in range(1, 10))

    def __init__(self, longest: int = 5, references: int = 500):
        if not 2 <= longest <= 9 or references < 0:
            raise ValueError("longest lies in 2 to 9, and references must not be negative")
        self.longest, self.references = longest, references

    def measure(self, evidence: Evidence) -> list[Measure]:
        if evidence.reference is None:
            raise UsageError("metric 'bleu' compares with real sentences; name some with --data or --reference")
        real = sentences(evidence.reference, evidence.spec)[: self.references or None]
        texts = References(real, self.longest)
        scores = numpy.array([texts.bleu(one) for one in sentences(evidence.made, evidence.spec)])
        return _measures("bleu", scores, {"references": len(real)}, independent=True)


class SelfBleu(Metric):
    """How many of a written sentence's runs of 2 to 5 words also stand in other written ones: less is more varied.

    Zhu et al. 2018, Texygen, arXiv:1802.01886: BLEU (see `bleu`) of each written sentence against the
    others. Real sentences share runs too, so 0 is not the aim: where they are measured beside (with `--metric bleu`),
    the protocol has the same number of as many of them (`floor`).

    Differs from the paper: none known.

    Args:
        longest: words of the longest runs.
        sentences: the first so many written sentences, 500 as in Texygen's code; 0: all.
    """

    name = "self-bleu"
    paper = "arXiv:1802.01886"
    extracts = False
    compares = False
    looks = True
    smaller_is_better = tuple(f"self_bleu_{n}" for n in range(1, 10))

    def __init__(self, longest: int = 5, sentences: int = 500):
        if not 2 <= longest <= 9 or sentences < 0 or sentences == 1:
            raise ValueError("longest lies in 2 to 9, and sentences is 0 or at least 2")
        self.longest, self.sentences = longest, sentences

    def measure(self, evidence: Evidence) -> list[Measure]:
        written = sentences(evidence.made, evidence.spec)[: self.sentences or None]
        if len(written) < 2:
            raise UsageError(f"{evidence.made.name} has one sentence; metric 'self-bleu' compares several")
        found = _measures("self_bleu", self._scores(written), {"sentences": len(written)}, independent=False)
        real = evidence.reference
        if real is not None and real.values is not None and len(real) >= len(written):
            floor = self._scores(sentences(real, evidence.spec)[: len(written)]).mean(0)
            for measure, value in zip(found, floor, strict=True):
                measure.protocol["floor"] = float(value)
        return found

    def _scores(self, texts: list[Sentence]) -> Array:
        """BLEU-2 to BLEU-longest of each sentence against the others, [N, longest - 1]."""
        references = References(texts, self.longest)
        return numpy.array([references.bleu(one, leaving_out=index) for index, one in enumerate(texts)])


def sentences(sample: Sample, spec: Spec | None) -> list[Sentence]:
    """Words of each sample as whole numbers, up to the word that marks the end where the data have one."""
    if sample.values is None or sample.values.ndim != 2 or sample.values.is_floating_point():
        raise UsageError(f"BLEU reads sentences of whole numbers [N, T], which {sample.name} has none of")
    end = spec.encoding.get("end") if spec is not None else None
    return [tuple(takewhile(lambda word: word != end, row)) for row in sample.values.tolist()]


class References:
    """Sentences that others are compared with: for each run of words the most that one of them has, which one that is,
    and the most that any other has."""

    def __init__(self, texts: list[Sentence], longest: int):
        self.texts, self.longest = texts, longest
        self.most: dict[Sentence, tuple[int, int, int]] = {}
        for index, text in enumerate(texts):
            for run, count in Counter(runs(text, longest)).items():
                best, holder, second = self.most.get(run, (0, -1, 0))
                if count > best:
                    self.most[run] = count, index, best
                elif count > second:
                    self.most[run] = best, holder, count
        self.lengths = Counter(map(len, texts))

    def bleu(self, text: Sentence, leaving_out: int = -1) -> list[float]:
        """BLEU-2 to BLEU-longest of a sentence; leaving_out: which of the references does not count."""
        shared: Counter[int] = Counter()
        total: Counter[int] = Counter()
        for run, count in Counter(runs(text, self.longest)).items():
            best, holder, second = self.most.get(run, (0, -1, 0))
            shared[len(run)] += min(count, second if holder == leaving_out else best)
            total[len(run)] += count
        if not shared[1]:
            return [0.0] * (self.longest - 1)
        logs = [math.log((shared[n] or NOTHING) / max(1, total[n])) for n in range(1, self.longest + 1)]
        brevity = min(0.0, 1 - self._closest(len(text), leaving_out) / len(text))
        return [math.exp(brevity + sum(logs[:n]) / n) for n in range(2, self.longest + 1)]

    def _closest(self, length: int, leaving_out: int) -> int:
        """The references' length that is nearest; of two the smaller."""
        own = len(self.texts[leaving_out]) if leaving_out >= 0 else -1
        others = (found for found, count in self.lengths.items() if count > (found == own))
        return min(others, key=lambda found: (abs(found - length), found))


def runs(text: Sentence, longest: int) -> Iterable[Sentence]:
    """Every run of 1 to `longest` words."""
    return (text[start : start + n] for n in range(1, longest + 1) for start in range(len(text) - n + 1))


def _measures(name: str, scores: Array, protocol: dict[str, Any], independent: bool) -> list[Measure]:
    """The means of the columns of scores [N, longest - 1]. Sentences that are compared with each other are not
    independent, so their mean has no such interval."""
    found = []
    for n, column in enumerate(scores.T, start=2):
        middle = float(column.mean())
        half = 1.96 * float(column.std(ddof=1)) / math.sqrt(len(column)) if len(column) > 1 else math.inf
        found.append(
            Measure(f"{name}_{n}", middle, (middle - half, middle + half) if independent else None, {**protocol})
        )
    return found


@hookimpl
def register_metrics(register: Any) -> None:
    register(Bleu)
    register(SelfBleu)
