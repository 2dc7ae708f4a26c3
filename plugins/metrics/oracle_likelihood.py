"""How likely the oracle finds what was written. Yu, Zhang, Wang and Yu 2017, SeqGAN, arXiv:1609.05473, section 4."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ganzoo import Evidence, Measure, Metric, UsageError, derive, hookimpl
from ganzoo_plugins.datasets.seqgan_oracle import load_oracle, sentences_of

Array = numpy.ndarray[Any, Any]
BLOCK = 32  # sentences that are read at once: more would not stay in the cache


class OracleLikelihood(Metric):
    """How likely SeqGAN's oracle finds the written sentences, and the generator new sentences of the oracle.

    Yu, Zhang, Wang and Yu 2017, arXiv:1609.05473, section 4: `nll_oracle` (the paper's NLL_oracle) is minus the
    log-likelihood of a written word under the oracle, in nats, the mean over all words. It is also small, even less
    than what the oracle gives its own sentences (`own` in the protocol; 5.76 for the authors' file), when a generator
    writes few likely sentences over and over, so it is never read alone: `nll_held_out` is the same with the sides
    exchanged, of sentences of the oracle that nobody trained on under the generator, and rises when that happens (the
    NLL-test of Zhu et al. 2018, Texygen, arXiv:1802.01886). It needs a trained run whose generator tells likelihoods.
    Intervals are of the mean over sentences.

    Differs from the paper: the second number is not in it.

    Args:
        path: the oracle's file; without it the file of the data that the samples are compared with.
        held_out: how many new sentences of the oracle; 0: as many as are judged.
    """

    name = "oracle-likelihood"
    paper = "arXiv:1609.05473"
    extracts = False
    compares = False
    looks = True
    smaller_is_better = ("nll_oracle", "nll_held_out")

    def __init__(self, path: str | None = None, held_out: int = 0):
        if held_out < 0:
            raise ValueError("held_out must not be negative")
        self.path, self.held_out = path, held_out

    def measure(self, evidence: Evidence) -> list[Measure]:
        path, values = self._path(evidence), evidence.made.values
        oracle = load_oracle(path)
        if values is None or values.ndim != 2 or values.is_floating_point():
            raise UsageError(
                f"metric '{self.name}' reads sentences of whole numbers [N, T], which {evidence.made.name} has none of"
            )
        if values.min() < 0 or values.max() >= oracle.words:
            raise UsageError(
                f"{evidence.made.name} has words from {values.min()} to {values.max()}, and the oracle of {path} knows "
                f"0 to {oracle.words - 1}"
            )
        count, length = self.held_out or len(values), values.shape[1]
        seed = derive(evidence.seed, "measure", self.name)
        new, own = evidence.once(f"{self.name} {path} {count} {length}", lambda: _own(oracle, count, length, seed))
        protocol = {"own": float(own.mean()), "length": length}
        found = [_mean("nll_oracle", surprise(oracle, values), protocol)]
        if evidence.game is not None:
            network: Any = evidence.game.procedure.sampling_network(evidence.game)
            if hasattr(network, "log_likelihood"):
                new = new.to(evidence.game.device)
                found.append(_mean("nll_held_out", surprise(network, new), {"held_out": count, "length": length}))
        return found

    def _path(self, evidence: Evidence) -> Path:
        named = self.path or (evidence.spec.encoding.get("oracle") if evidence.spec else None)
        if not named:
            raise UsageError(
                f"metric '{self.name}' needs the oracle's file; write --metric {self.name}:path=FILE.npz, or compare "
                "with --data seqgan-oracle:path=FILE.npz"
            )
        return Path(named).expanduser()


def _own(oracle: Any, count: int, length: int, seed: int) -> tuple[Tensor, Array]:
    """New sentences of the oracle, and how surprising it finds them itself."""
    new = sentences_of(oracle, count, length, seed)
    return new, surprise(oracle, new)


@torch.no_grad()
def surprise(network: Any, sentences: Tensor) -> Array:
    """Minus the mean log-likelihood of each sentence's words [N], in nats."""
    pieces = [-network.log_likelihood(piece).double().mean(1) for piece in sentences.split(BLOCK)]
    found: Array = torch.cat(pieces).cpu().numpy()
    return found


def _mean(name: str, values: Array, protocol: dict[str, Any]) -> Measure:
    middle = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Measure(name, middle, (middle - half, middle + half), protocol)


@hookimpl
def register_metrics(register: Any) -> None:
    register(OracleLikelihood)
