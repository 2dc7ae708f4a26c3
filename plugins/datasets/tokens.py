"""Text as words: a file of sentences, one on each line, and sentences of a small grammar."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Arrays, Collection, DataError, Dataset, OptionError, Spec, hookimpl
from ganzoo_plugins.datasets.storage import LARGEST, telling

END, UNKNOWN = "<end>", "<unk>"
LONGEST = 512  # words of a sentence that are kept without being asked for

Sentences = list[list[str]]


class Tokens(Dataset):
    """Sentences of words in a text file, one on each line, as whole numbers of one length.

    The file is UTF-8, and its words are divided by white space. The vocabulary holds `<end>`, `<unk>` and the words by
    how often they occur. A sentence shorter than the others goes on with `<end>` and a longer one is cut; a word that
    is not in the vocabulary becomes `<unk>`. What was skipped, cut or unknown is counted and told. Samples are written
    as text up to the first `<end>`.

    Args:
        path: the file.
        test: a second file, of sentences that nobody trains on, in the words of the first.
        split: train: the sentences of `path`; test: those of `test`.
        length: words of a sentence; none: as many as the longest of `path` has.
        words: most words of the vocabulary, without `<end>` and `<unk>`; none: all.
        least: how often a word must occur to stand in the vocabulary.
        lower: whether capital letters become small ones.
    """

    name = "tokens"
    offers = ("tokens",)

    def __init__(
        self,
        path: str,
        test: str | None = None,
        split: Literal["train", "test"] = "train",
        length: int | None = None,
        words: int | None = None,
        least: int = 1,
        lower: bool = False,
    ):
        if not path:
            raise OptionError("path is empty; write path=FILE.txt")
        if min(least, *(value for value in (length, words) if value is not None), 1) < 1:
            raise OptionError("length, words and least are at least 1")
        if split == "test" and not test:
            raise OptionError("split=test needs a second file; write test=FILE.txt")
        self.path, self.test = Path(path).expanduser(), Path(test).expanduser() if test else None
        # Only where there is a part that nobody trains on does this one have a counterpart.
        self.split = split if test else "all"
        self.length, self.words, self.least, self.lower = length, words, least, lower

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.suffix.lower() == ".txt" and path.is_file()

    def open(self) -> Collection:
        sentences, notes = read(self.path, self.lower)
        length = self.length or max(map(len, sentences))
        if self.length is None and length > LONGEST:
            raise DataError(
                f"{self.path}: the longest line has {length} words; one sentence stands on each line. "
                "Write length=N, which cuts longer ones"
            )
        counts = Counter(itertools.chain.from_iterable(sentences))
        kept = [word for word in ordered(counts) if counts[word] >= self.least][: self.words]
        if not kept:
            raise DataError(f"{self.path}: no word occurs {self.least} times; write a smaller least")
        if self.split == "test" and self.test is not None:
            sentences, notes = read(self.test, self.lower)
        return encoded(sentences, kept, counts, length, notes)

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        return lines(samples, spec)


class Grammar(Dataset):
    """Sentences of a small grammar, such as "the old cats see a dog": no file is read.

    Subjects and verbs agree in number, `a` stands before one thing only, and adjectives and objects may be missing;
    sentences have 3 to 7 words.

    Args:
        count: how many sentences.
        seed: of the sentences.
    """

    name = "sentences"
    offers = ("tokens",)
    tiny = {"count": 64}

    def __init__(self, count: int = 4096, seed: int = 0):
        if count < 2:
            raise ValueError("count must be at least 2")
        self.count, self.seed = count, seed

    def open(self) -> Collection:
        draw = random.Random(self.seed)
        sentences = [_sentence(draw) for _ in range(self.count)]
        return encoded(sentences, sorted(_words()), Counter(itertools.chain.from_iterable(sentences)), 7, [])

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        return lines(samples, spec)


def read(path: Path, lower: bool) -> tuple[Sentences, list[str]]:
    """The sentences of a file, and what is to be told of it. Raises DataError."""
    if not path.is_file():
        raise DataError(f"there is no file {path}; write --data tokens:path=FILE.txt")
    with telling(f"cannot read {path}"):
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} has more than {LARGEST >> 20} MiB; take a part of it")
        data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}: line {line} is not UTF-8 (byte {data[error.start]:#04x}); save the file as UTF-8 text"
        ) from None
    if "\0" in text:
        raise DataError(f"{path} holds bytes that no text has; give a text file with a sentence on each line")
    rows = [row.split() for row in (text.lower() if lower else text).removesuffix("\n").split("\n")]
    sentences = [[word for word in row if word != END] for row in rows]
    marks = sum(map(len, rows)) - sum(map(len, sentences))
    found = [sentence for sentence in sentences if sentence]
    if len(found) < 2:
        raise DataError(
            f"{path} has {len(found)} line{'s' * (len(found) != 1)} with words; "
            "give a text file with a sentence on each line, at least 2"
        )
    notes = [f"tokens: {len(sentences) - len(found)} lines without words are left out"] * (len(found) < len(sentences))
    notes += [f"tokens: the word {END}, which marks the end, is left out {marks} times"] * (marks > 0)
    return found, notes


def ordered(counts: Counter[str]) -> list[str]:
    """Words by how often they occur, and of those that occur as often by the alphabet."""
    return sorted((word for word in counts if word != UNKNOWN), key=lambda word: (-counts[word], word))


def encoded(sentences: Sentences, words: list[str], counts: Counter[str], length: int, notes: list[str]) -> Arrays:
    """Sentences as whole numbers [N, length]."""
    vocabulary = [END, UNKNOWN, *words]
    places = {word: place for place, word in enumerate(vocabulary)}
    rows = torch.zeros(len(sentences), length, dtype=torch.int64)
    unknown = total = 0
    for row, sentence in zip(rows, sentences, strict=True):
        found = [places.get(word, 1) for word in sentence[:length]]
        row[: len(found)] = torch.tensor(found)
        unknown, total = unknown + found.count(1), total + len(found)
    cut = sum(len(sentence) > length for sentence in sentences)
    if cut:
        notes = [*notes, f"tokens: {cut} of {len(sentences)} sentences are cut to {length} words"]
    if unknown:
        notes = [*notes, f"tokens: {unknown} of {total} words are not in the vocabulary and become {UNKNOWN}"]
    encoding = {"vocabulary": vocabulary, "counts": [counts[word] for word in vocabulary], "end": 0, "unknown": 1}
    return Arrays(Spec("tokens", (length,), encoding=encoding), rows, notes=tuple(notes))


def lines(samples: Tensor, spec: Spec) -> list[str]:
    """Samples [N, T] as text, each up to its first `<end>`."""
    words, end = spec.encoding["vocabulary"], spec.encoding["end"]
    written = (itertools.takewhile(lambda place: place != end, row) for row in samples.tolist())
    return [" ".join(words[place] for place in row) for row in written]


_THINGS = {"cat": "cats", "dog": "dogs", "bird": "birds", "child": "children", "horse": "horses", "sheep": "flocks"}
_DEEDS = {"sees": "see", "likes": "like", "hears": "hear", "follows": "follow", "finds": "find"}
_KINDS = ("old", "young", "small", "black", "white", "hungry")


def _words() -> set[str]:
    pairs = itertools.chain(_THINGS.items(), _DEEDS.items())
    return {"the", "a", "sleeps", "sleep", *_KINDS, *itertools.chain.from_iterable(pairs)}


def _sentence(draw: random.Random) -> list[str]:
    subject, many = _group(draw)
    if draw.random() < 0.25:
        return [*subject, "sleep" if many else "sleeps"]
    one, several = draw.choice(list(_DEEDS.items()))
    return [*subject, several if many else one, *_group(draw)[0]]


def _group(draw: random.Random) -> tuple[list[str], bool]:
    """A thing or several, and whether there are several."""
    many = draw.random() < 0.5
    thing = draw.choice(list(_THINGS.items()))[many]
    article = "the" if many else draw.choice(("the", "a"))
    return [article, *([draw.choice(_KINDS)] if draw.random() < 0.5 else []), thing], many


@hookimpl
def register_datasets(register: Any) -> None:
    register(Tokens)
    register(Grammar)
