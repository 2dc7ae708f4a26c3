"""Sounds in a folder or a .zip, one WAV file each, cut into slices of one length."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy
import torch

from ganzoo import Batch, Collection, DataError, Dataset, OptionError, Spec, derive, hookimpl
from ganzoo_plugins.datasets import pictures
from ganzoo_plugins.datasets.storage import Storage, common_folder, holds, shown, storage, telling
from ganzoo_plugins.datasets.waves import FULL, SUFFIXES, Array, Wave, read_wave, resampled

SILENT = 1e-3  # of full scale: a clip that never gets louder teaches nothing
MOST = 4 << 30  # bytes of sound that are held in memory
_SKIP = "mend or remove it, or leave such files out with skip_broken=true"


class Audio(Dataset):
    """Sounds in a folder or a .zip of WAV files, at any depth, as slices [channels, length] in [-1, 1].

    Files of 8 to 64 bits, whole numbers or floats, of any rate; other rates are resampled (scipy's polyphase filter).
    Files are decoded when the data are opened and held in memory at 16 bits. A clip of L samples gives
    `views` slices for each begun `length`; where they begin is drawn once, from the number of the slice. Shorter clips
    begin where they begin and end in silence. Silent clips (never above 0.1 % of full scale) are left out. What was
    resampled, mixed, padded, cut or left out is counted in a note.

    Args:
        path: a folder, a .zip, or a folder inside a .zip (FILE.zip/FOLDER).
        length: samples of a slice.
        rate_hz: samples a second; without it the rate that most files have.
        channels: 1 mixes channels to one, 2 is stereo, in which a clip of one channel has it twice.
        views: how many slices are cut for each stretch of `length`; 0: the first `length` samples of each clip alone.
        level: keep leaves loudness as it is, peak makes the loudest sample of each clip 1.
        labels: folders are the folders below the root, prefix is a file's name up to its first `_`, none leaves labels
            out, auto is folders where there are at least two.
        split: train leaves out about a tenth of the clips, drawn by their names; test is that tenth.
        skip_broken: leaves out files that cannot be read.
    """

    name = "audio"
    offers = ("audio", "labels")
    tiny = {"length": 256}

    def __init__(
        self,
        path: str,
        length: int = 16_384,
        rate_hz: int | None = None,
        *,
        channels: Literal[1, 2] = 1,
        views: int = 4,
        level: Literal["keep", "peak"] = "keep",
        labels: Literal["auto", "folders", "prefix", "none"] = "auto",
        split: Literal["all", "train", "test"] = "all",
        skip_broken: bool = False,
    ):
        if not path:
            raise OptionError("path is empty; write path=FOLDER or path=FILE.zip")
        if length < 1 or views < 0 or (rate_hz is not None and not 100 <= rate_hz <= 400_000):
            raise OptionError("length must be at least 1, views at least 0 and rate_hz between 100 and 400000")
        self.path, self.length, self.rate_hz, self.channels = Path(path).expanduser(), length, rate_hz, channels
        self.views, self.level, self.labels, self.split, self.skip_broken = views, level, labels, split, skip_broken

    @classmethod
    def recognises(cls, path: Path) -> bool:
        # Pictures with a sound among them, and a .zip that is empty or damaged, are told about by `folder`.
        return holds(path, SUFFIXES) and not holds(path, pictures.SUFFIXES)

    def open(self) -> Collection:
        files, told = storage(self.path), Told()
        names = self._names(files)
        waves = dict(self._read(files, names, told))
        if not waves:
            raise DataError(
                f"none of the {len(names)} sounds in {self.path} can be used: {told.left_out()}; name another place"
            )
        rates = Counter(wave.rate_hz for wave in waves.values())
        rate = self.rate_hz or rates.most_common(1)[0][0]
        told.rates = sorted(found for found in rates if found != rate)
        told.resampled = sum(count for found, count in rates.items() if found != rate)
        clips = {name: self._fitted(wave, rate) for name, wave in waves.items()}
        told.short = sum(len(clip) < self.length for clip in clips.values())
        labels, classes = self._labelled(list(clips))
        spec = Spec("audio", (self.channels, self.length), classes, encoding={"rate_hz": rate})
        return Slices(spec, list(clips.values()), labels, self.views, told.notes(len(names), spec))

    def _names(self, files: Storage) -> list[str]:
        names = [name for name in files.sizes if name.lower().endswith(SUFFIXES)]
        if not names:
            there = f"none of its {len(files.sizes)} files ends in .wav" if files.sizes else "it is empty"
            raise DataError(
                f"there are no sounds in {self.path}: {there}; name another place with path=FOLDER or path=FILE.zip"
            )
        chosen = [name for name in names if self.split == "all" or self.split == _split(name)]
        if not chosen:
            raise DataError(f"none of the {len(names)} sounds in {self.path} is of split={self.split}; say split=all")
        return chosen

    def _read(self, files: Storage, names: list[str], told: Told) -> Iterator[tuple[str, Wave]]:
        """Every file that can be used, in 16 bits and with the wanted channels; the others are counted."""
        held = 0
        for name in names:
            try:
                with telling(f"cannot read the sound {shown(name)} in {self.path}", "" if self.skip_broken else _SKIP):
                    wave = read_wave(files.read(name))
            except DataError as error:
                if not self.skip_broken:
                    raise
                told.broken, told.reason = told.broken + 1, told.reason or str(error)
                continue
            peak = float(numpy.abs(wave.samples).max())
            if peak < SILENT:
                told.silent += 1
                continue
            told.over += wave.over
            told.mixed += wave.samples.shape[1] != self.channels
            samples = _with_channels(wave.samples, self.channels)
            kept = _in_16_bits(samples / numpy.abs(samples).max() if self.level == "peak" else samples)
            if (held := held + kept.nbytes) > MOST:
                raise DataError(
                    f"{self.path} holds more than {MOST >> 30} GiB of sound at 16 bits; name a folder in it"
                )
            yield name, Wave(wave.rate_hz, kept)

    def _fitted(self, wave: Wave, rate: int) -> Array:
        if wave.rate_hz == rate:
            return wave.samples
        return _in_16_bits(resampled(wave.samples.astype(numpy.float32) / FULL, wave.rate_hz, rate))

    def _labelled(self, names: list[str]) -> tuple[list[int] | None, tuple[str, ...]]:
        if self.labels == "none":
            return None, ()
        words = _folders(names) if self.labels in ("auto", "folders") else [_prefix(name) for name in names]
        classes = tuple(sorted(set(words)))
        if "" in classes or len(classes) < 2:
            if self.labels == "auto":
                return None, ()
            what = "folders" if self.labels == "folders" else "beginnings of names up to a `_`"
            raise DataError(f"the sounds in {self.path} have no two {what} to be classes; say labels=none")
        return [classes.index(word) for word in words], tuple(map(shown, classes))


class Slices(Collection):
    """Stretches of one length of clips that are held in memory, [length, channels] in 16 bits each."""

    def __init__(self, spec: Spec, clips: list[Array], labels: list[int] | None, views: int, notes: tuple[str, ...]):
        self.spec, self.clips, self.views, self.notes = spec, clips, views, notes
        self.labels = None if labels is None else torch.tensor(labels)
        length = spec.shape[1]
        self.ends = numpy.cumsum([max(1, -(-len(clip) // length)) if views else 1 for clip in clips])

    def __len__(self) -> int:
        return int(self.ends[-1]) * max(1, self.views)

    def fetch(self, indices: list[int]) -> Batch:
        chosen = numpy.searchsorted(self.ends, [index % int(self.ends[-1]) for index in indices], side="right")
        slices = numpy.stack([self._cut(int(clip), index) for clip, index in zip(chosen, indices, strict=True)])
        samples = torch.from_numpy(slices.astype(numpy.float32) / FULL).transpose(1, 2).contiguous()
        return Batch(samples, None if self.labels is None else self.labels[chosen], index=torch.as_tensor(indices))

    def _cut(self, number: int, index: int) -> Array:
        clip, length = self.clips[number], self.spec.shape[1]
        if len(clip) < length:
            return numpy.pad(clip, ((0, length - len(clip)), (0, 0)))
        begin = derive(index, "slice", number) % (len(clip) - length + 1) if self.views else 0
        return clip[begin : begin + length]

    def fingerprint(self) -> str:
        labels = None if self.labels is None else self.labels.tolist()
        digest = hashlib.sha256(repr((self.spec, self.views, labels, [len(clip) for clip in self.clips])).encode())
        for clip in self.clips:
            digest.update(numpy.ascontiguousarray(clip).data)
        return digest.hexdigest()[:16]


@dataclass
class Told:
    """How many clips were changed or left out, and how."""

    broken: int = 0
    reason: str = ""
    silent: int = 0
    over: int = 0
    mixed: int = 0
    resampled: int = 0
    short: int = 0
    rates: list[int] | None = None

    def left_out(self) -> str:
        found = [f"{self.silent} are silent"] if self.silent else []
        return ", ".join(
            [*found, *([f"{self.broken} cannot be read, the first because: {self.reason}"] * bool(self.broken))]
        )

    def notes(self, total: int, spec: Spec) -> tuple[str, ...]:
        channels, length = spec.shape
        rates = " and ".join(f"{rate:,}" for rate in (self.rates or [])[:4])
        how = "mixed to one channel" if channels == 1 else f"brought to {channels} channels"
        told = [
            (self.silent + self.broken, f"left out: {self.left_out()}"),
            (self.resampled, f"resampled to {spec.encoding['rate_hz']:,} Hz from {rates}"),
            (self.mixed, how),
            (self.over, "cut where they go beyond full scale"),
            (self.short, f"shorter than {length:,} samples, and silence follows them"),
        ]
        return tuple(f"audio: {count:,} of {total:,} clips are {what}" for count, what in told if count)


def _with_channels(samples: Array, channels: int) -> Array:
    if samples.shape[1] == channels:
        return samples
    mixed: Array = samples.mean(1, keepdims=True).repeat(channels, 1)
    return mixed


def _in_16_bits(samples: Array) -> Array:
    return (samples.clip(-1, 1) * FULL).round().astype(numpy.int16)


def _split(name: str) -> str:
    return "test" if derive(0, "split", name) % 10 == 0 else "train"


def _folders(names: list[str]) -> list[str]:
    root = common_folder(names)
    return [name[len(root) :].rpartition("/")[0].partition("/")[0] for name in names]


def _prefix(name: str) -> str:
    word, mark, _ = name.rpartition("/")[2].partition("_")
    return word if mark else ""


@hookimpl
def register_datasets(register: Any) -> None:
    register(Audio)
