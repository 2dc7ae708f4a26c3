"""The synthetic oracle of SeqGAN. Yu, Zhang, Wang and Yu 2017, arXiv:1609.05473, section 4."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ganzoo import Arrays, Collection, DataError, Dataset, Spec, derive, hookimpl, without_a_trace
from ganzoo_plugins.architectures.seqgan import Writer
from ganzoo_plugins.datasets.storage import looked_for, telling

# In the order in which the authors' code keeps them; gates by torch's order: input, forget, cell, output.
_GATES = (("01_Wi", "02_Ui", "03_bi"), ("04_Wf", "05_Uf", "06_bf"), ("10_Wc", "11_Uc", "12_bc"))
_OUTPUT_GATE = ("07_Wog", "08_Uog", "09_bog")
_OTHERS = ("00_emb", "13_Wo", "14_bo")
FILE = "target_params.npz"


class SeqGANOracle(Dataset):
    """Sentences of 20 of 5000 words, drawn from the LSTM with random weights that SeqGAN is measured with.

    Yu, Zhang, Wang and Yu 2017, arXiv:1609.05473, section 4.1. The LSTM is read from a .npz of the 15 arrays that
    LantaoYu/SeqGAN keeps in `save/target_params_py3.pkl`, named 00_emb, 01_Wi, 02_Ui, 03_bi, ... 14_bo in their order;
    the pickle itself is not read. Word 0 stands before the first word. It is drawn in 64 bit, so that the same seed
    gives the same sentences on every machine but for the rarest rounding. `ganzoo evaluate --metric oracle-likelihood`
    measures against the same LSTM.

    Args:
        path: the file, or its folder; without it $GANZOO_DATA/seqgan_oracle, then ./data/seqgan_oracle.
        count: how many sentences; the authors have 9984, 156 batches of 64.
        length: words of a sentence.
        seed: of the sentences.
    """

    name = "seqgan-oracle"
    paper = "arXiv:1609.05473"
    offers = ("tokens",)
    tiny = {"count": 32, "length": 6}

    def __init__(self, path: str | None = None, count: int = 9984, length: int = 20, seed: int = 0):
        if min(count, length) < 1:
            raise ValueError("count and length must be at least 1")
        self.path, self.count, self.length, self.seed = path, count, length, seed

    def open(self) -> Collection:
        path = self._path()
        oracle = load_oracle(path)
        words = [str(word) for word in range(oracle.words)]
        # The file is named for the measure; it is no part of what the sentences are.
        spec = Spec("tokens", (self.length,), encoding={"vocabulary": words, "oracle": str(path.absolute())})
        return _Sentences(spec, sentences_of(oracle, self.count, self.length, derive(self.seed, "oracle")))

    def _path(self) -> Path:
        if self.path:
            path = Path(self.path).expanduser()
        else:
            path = looked_for(["seqgan_oracle"], f"write --data seqgan-oracle:path=FOLDER, which holds {FILE}")
        return path / FILE if path.is_dir() else path


class _Sentences(Arrays):
    """Whose fingerprint is the sentences', wherever the oracle's file lies."""

    def fingerprint(self) -> str:
        encoding = {name: value for name, value in self.spec.encoding.items() if name != "oracle"}
        return Arrays(dataclasses.replace(self.spec, encoding=encoding), self.samples).fingerprint()


def load_oracle(path: Path) -> Writer:
    """The oracle's LSTM in 64 bit. Raises DataError."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; the oracle is a .npz of SeqGAN's 15 arrays, such as {FILE}")
    with telling(f"cannot read {path}", "it is a .npz of SeqGAN's 15 arrays"):
        arrays = numpy.load(path, allow_pickle=False)
        if isinstance(arrays, numpy.ndarray):
            raise DataError(f"{path} holds a single array; the oracle is a .npz of SeqGAN's 15 arrays")
        with arrays:
            wanted = [*_OTHERS, *_OUTPUT_GATE, *(name for gate in _GATES for name in gate)]
            missing = sorted(set(wanted) - set(arrays.files))
            if missing:
                raise DataError(f"{path} lacks {', '.join(missing)}; the oracle is a .npz of SeqGAN's 15 arrays")
            found = {name: torch.from_numpy(numpy.asarray(arrays[name], numpy.float64)) for name in wanted}
        return _oracle(found)


def _oracle(found: dict[str, Tensor]) -> Writer:
    (words, embedding), hidden = found["00_emb"].shape, len(found["02_Ui"])
    if not all(bool(value.isfinite().all()) for value in found.values()):
        raise ValueError("it holds numbers that are infinite or not a number")
    with without_a_trace(torch.device("cpu")):
        oracle = Writer(words, embedding, hidden).double().eval().requires_grad_(False)
    inputs, memories, biases = zip(*(map(found.get, gate) for gate in (*_GATES, _OUTPUT_GATE)), strict=True)
    state = {
        "embedding.weight": torch.cat([found["00_emb"], found["00_emb"][:1]]),
        "lstm.weight_ih_l0": torch.cat(inputs, dim=1).T,
        "lstm.weight_hh_l0": torch.cat(memories, dim=1).T,
        "lstm.bias_ih_l0": torch.cat(biases),
        "lstm.bias_hh_l0": torch.zeros(4 * hidden),
        "out.weight": found["13_Wo"].T,
        "out.bias": found["14_bo"],
    }
    oracle.load_state_dict(state)
    return oracle


def sentences_of(oracle: Writer, count: int, length: int, seed: int) -> Tensor:
    """`count` sentences [count, length] that an oracle writes."""
    uniforms = torch.rand(count, length, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    written: Tensor = oracle(uniforms)
    return written


@hookimpl
def register_datasets(register: Any) -> None:
    register(SeqGANOracle)
