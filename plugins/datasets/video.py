"""Films in a folder or a .zip: folders of frames, strips of frames side by side, or animations, cut into clips."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from PIL import Image

from ganzoo import Batch, Collection, DataError, Dataset, OptionError, Size, Spec, derive, hookimpl
from ganzoo_plugins.datasets.picture_files import MEND, chosen_size, common_form, header_of, pictures_in
from ganzoo_plugins.datasets.pictures import (
    CHANNELS,
    Fit,
    Form,
    Header,
    count_frames,
    decode,
    decode_frames,
    fit,
    to_samples,
)
from ganzoo_plugins.datasets.storage import Storage, common_folder, shown, storage, telling

Kept = Literal["folders", "strips", "animations"]  # how films are kept
_SKIP = f"{MEND}, or leave such films out with skip_broken=true"
_ARE: dict[str, str] = {"folders": "single pictures", "strips": "strips of frames", "animations": "animations"}


class Video(Dataset):
    """Films as folders of frames, strips of frames side by side, or GIFs, cut into clips [C, frames, H, W] in [-1, 1].

    A folder's pictures are its frames in the order of their names, numbers in them counted as numbers. A strip is one
    picture of square frames from left to right, as wide as a multiple of its height. Animations are GIF, WebP or PNG. A
    clip is `frames` frames, each the `every`th of the film; Tulyakov et al. 2018, arXiv:1707.04993, take 16, every
    second. Each film has `views` clips, whose beginnings are drawn once and for all, the first of them in its middle.
    Films that are too short are left out, which a note counts; frames are decoded while training.

    Args:
        path: a folder, a .zip, or a folder inside a .zip (FILE.zip/FOLDER).
        frames: of a clip, at least 2.
        every: frames from one frame of a clip to the next.
        size: height and width in pixels; without it the largest square of 256, 128, 64, 32 or 16 that no frame must be
            enlarged for.
        films: how films are kept; auto sees it where all files are of one kind. Files of another kind are left out.
        views: clips of each film, at least 1.
        fit: crop keeps the centre, stretch changes the proportions, pad adds black margins.
        channels: auto is rgba where all frames have alpha, grey where all are grey, else rgb.
        frames_per_second: at which clips are shown.
        labels: folders is the folders below the root in which films lie, none leaves labels out, auto is folders where
            there are at least two.
        skip_broken: decodes every file when it is opened and leaves out films that cannot be decoded.
    """

    name = "video"
    paper = "arXiv:1707.04993"
    offers = ("video", "labels")
    tiny = {"frames": 7, "every": 1}

    def __init__(
        self,
        path: str,
        frames: int = 16,
        every: int = 2,
        size: Size | None = None,
        *,
        films: Literal["auto", "folders", "strips", "animations"] = "auto",
        views: int = 4,
        fit: Fit = "crop",
        channels: Literal["auto", "grey", "rgb", "rgba"] = "rgb",
        frames_per_second: float = 10.0,
        labels: Literal["auto", "folders", "none"] = "auto",
        skip_broken: bool = False,
    ):
        if not path:
            raise OptionError("path is empty; write path=FOLDER or path=FILE.zip")
        if frames < 2 or min(every, views) < 1 or not 0.1 <= frames_per_second <= 1000:
            raise OptionError(
                "frames must be at least 2, every and views at least 1 and frames_per_second from 0.1 to 1000"
            )
        self.path, self.frames, self.every, self.size = Path(path).expanduser(), frames, every, size
        self.films, self.views, self.fit, self.channels = films, views, fit, channels
        self.frames_per_second, self.labels, self.skip_broken = frames_per_second, labels, skip_broken
        self.span = (frames - 1) * every + 1  # frames of a film that a clip stretches over

    def open(self) -> Collection:
        files, told = storage(self.path), Told()
        names = pictures_in(files, self.path)
        looks = self._looks(files, names, told)
        kept = self._kept(looks) if self.films == "auto" else self.films
        films = self._long_enough(self._films(looks, kept, told), kept, told)
        headers = {film.name: film.header for film in films}
        form = common_form(headers.values(), self.channels)
        size = self.size or chosen_size(headers, self.path, self.fit, self.name, told.notes)
        labels, classes = self._labelled([film.name for film in films])
        encoding = {"frames_per_second": self.frames_per_second}
        spec = Spec("video", (CHANNELS[form], self.frames, *size), classes, encoding=encoding)
        return Clips(self, files, films, kept, form, labels, spec, tuple(told.notes))

    def _looks(self, files: Storage, names: list[str], told: Told) -> dict[str, Look]:
        """What every file is. Raises DataError for one that is no picture, or remembers it as broken when asked to."""
        found = {}
        for name in names:
            try:
                found[name] = self._look(files, name)
            except DataError as error:
                if not self.skip_broken:
                    raise
                told.broken[name] = str(error)
        if not found:
            raise DataError(
                f"none of the {len(names)} files in {self.path} can be read, the first is the reason: "
                f"{next(iter(told.broken.values()))}"
            )
        return found

    def _look(self, files: Storage, name: str) -> Look:
        then = "" if self.skip_broken else _SKIP
        header = header_of(files, name, self.path, then)
        with telling(f"cannot read the picture {shown(name)} in {self.path}", then):
            with files.open(name) as file:
                count = count_frames(file)
            if self.skip_broken:
                decode_frames(files.read(name), "rgb", range(count))
        return Look(header, count)

    def _kept(self, looks: dict[str, Look]) -> Kept:
        """How films are kept, where all files say the same. Raises DataError."""
        found = {kept: sum(look.kept == kept for look in looks.values()) for kept in _ARE}
        there = [kept for kept, count in found.items() if count]
        if len(there) > 1:
            counts = " and ".join(f"{found[kept]} {_ARE[kept]}" for kept in there)
            choices = " or ".join(f"films={kept}" for kept in there)
            raise DataError(f"{self.path} holds {counts}; say which of them are films: {choices}")
        return there[0]  # type: ignore[return-value]

    def _films(self, looks: dict[str, Look], kept: Kept, told: Told) -> list[Film]:
        """Every film that can be read, by name."""
        if kept == "folders":
            return _folders_of_frames(looks, self.path, told)
        found = {name: look for name, look in looks.items() if look.kept == kept}
        if not found:
            raise DataError(
                f"none of the {len(looks)} pictures in {self.path} is one of the {_ARE[kept]} asked for by "
                f"films={kept}; say films=auto"
            )
        told.leave_out("files", len(looks) - len(found), len(looks), f"they are no {_ARE[kept]}")
        told.leave_out("files", len(told.broken), len(looks) + len(told.broken), told.why())
        return [Film(name, (name,), *(look.strip if kept == "strips" else look)) for name, look in found.items()]

    def _long_enough(self, films: list[Film], kept: Kept, told: Told) -> list[Film]:
        found = [film for film in films if film.count >= self.span]
        asked = f"{self.span} frames that frames={self.frames},every={self.every} asks for"
        if not found:
            longest = max(films, key=lambda film: film.count)
            frames = min(self.frames, longest.count)
            say = f"say frames={frames},every={max(1, (longest.count - 1) // max(1, frames - 1))}"
            if frames < 2:
                say = "a film is a folder of frames, a strip of frames or an animation"
            raise DataError(
                f"none of the {len(films)} films ({kept}) in {self.path} has the {asked}: the longest, "
                f"{shown(longest.name) or 'the folder itself'}, has {longest.count}; {say}"
            )
        told.leave_out("films", len(films) - len(found), len(films), f"they have fewer than the {asked}")
        return found

    def _labelled(self, names: list[str]) -> tuple[list[int] | None, tuple[str, ...]]:
        if self.labels == "none":
            return None, ()
        root = common_folder(names)
        folders = [name[len(root) :].rpartition("/")[0].partition("/")[0] for name in names]
        classes = tuple(sorted(set(folders)))
        if "" in classes or len(classes) < 2:
            if self.labels == "auto":
                return None, ()
            raise DataError(f"the films in {self.path} lie in no two folders to be classes; say labels=none")
        return [classes.index(folder) for folder in folders], tuple(map(shown, classes))


class Look(NamedTuple):
    """What a picture file is, and how many pictures or frames it holds."""

    header: Header
    pictures: int

    @property
    def kept(self) -> Kept:
        """How films would be kept, if this file is of one."""
        height, width, _ = self.header
        if self.pictures > 1:
            return "animations"
        return "strips" if width >= 2 * height and width % height == 0 else "folders"

    @property
    def strip(self) -> Look:
        """What one frame of a strip is, and how many there are."""
        height, width, form = self.header
        return Look(Header(height, height, form), width // height)


@dataclass(frozen=True)
class Film:
    """Frames of one film. files: of its frames, or the one that holds all. header: what a frame is, the smallest where
    they differ. count: of frames."""

    name: str
    files: tuple[str, ...]
    header: Header
    count: int


@dataclass
class Told:
    """What was left out or changed. broken: reasons by file."""

    broken: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, what: str, count: int, total: int, why: str) -> None:
        if count:
            self.notes.append(f"video: {count:,} of {total:,} {what} are left out: {why}")

    def why(self) -> str:
        return f"they cannot be read, the first because: {next(iter(self.broken.values()), '')}"


class Clips(Collection):
    """Clips that are decoded when they are fetched. Index i is film i % films, in its view i // films."""

    decodes = True

    def __init__(
        self,
        asked: Video,
        files: Storage,
        films: list[Film],
        kept: Kept,
        form: Form,
        labels: list[int] | None,
        spec: Spec,
        notes: tuple[str, ...],
    ):
        self.files, self.films, self.kept, self.form, self.spec, self.notes = files, films, kept, form, spec, notes
        self.labels = None if labels is None else torch.tensor(labels)
        self.path, self.fit, self.every, self.span = asked.path, asked.fit, asked.every, asked.span
        self.size = Size(*spec.shape[2:])
        longer = any(film.count > self.span for film in films)
        self.views = asked.views if longer else 1  # other views would be the same

    def __len__(self) -> int:
        return len(self.films) * self.views

    def fetch(self, indices: list[int]) -> Batch:
        pictures = [fit(frame, self.size, self.fit) for index in indices for frame in self._clip(index)]
        samples = to_samples(pictures, self.form).unflatten(0, (len(indices), self.spec.shape[1])).transpose(1, 2)
        chosen = [index % len(self.films) for index in indices]
        label = None if self.labels is None else self.labels[chosen]
        return Batch(samples.contiguous(), label, index=torch.as_tensor(indices))

    def times(self, index: int) -> range:
        """Which frames of its film a clip has, counted from 0."""
        view, row = divmod(index, len(self.films))
        film = self.films[row]
        spare = film.count - self.span
        begin = derive(view, "clip", film.name) % (spare + 1) if view else spare // 2
        return range(begin, begin + self.span, self.every)

    def _clip(self, index: int) -> list[Image.Image]:
        film = self.films[index % len(self.films)]
        times = self.times(index)
        if self.kept == "folders":
            return [self._decoded(film.files[time], range(1))[0] for time in times]
        if self.kept == "animations":
            return self._decoded(film.files[0], times)
        strip, side = self._decoded(film.files[0], range(1))[0], film.header.height
        return [strip.crop((time * side, 0, (time + 1) * side, side)) for time in times]

    def _decoded(self, name: str, times: range) -> list[Image.Image]:
        with telling(f"cannot read the picture {shown(name)} in {self.path}", _SKIP):
            data = self.files.read(name)
            return decode_frames(data, self.form, times) if len(times) > 1 else [decode(data, self.form)]

    def fingerprint(self) -> str:
        """Names, sizes in bytes, labels and the options that change samples; not the pixels, nor where the files
        lie."""
        files = [(name, self.files.sizes[name]) for film in self.films for name in film.files]
        labels = None if self.labels is None else self.labels.tolist()
        content = (self.spec, self.kept, self.form, self.fit, self.every, self.views, files, labels)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def _folders_of_frames(looks: dict[str, Look], path: Path, told: Told) -> list[Film]:
    """A film of each folder's pictures; folders with a broken one are left out."""
    folders: dict[str, list[str]] = defaultdict(list)
    for name in (*looks, *told.broken):
        folders[name.rpartition("/")[0]].append(name)
    whole = {folder: sorted(names, key=_in_order) for folder, names in folders.items() if looks.keys() >= set(names)}
    if not whole:
        raise DataError(f"each of the {len(folders)} folders of frames in {path} has a broken one: {told.why()}")
    told.leave_out("films", len(folders) - len(whole), len(folders), told.why())
    films = []
    for folder, names in sorted(whole.items()):
        smallest = min((looks[name].header for name in names), key=lambda header: min(header[:2]))
        films.append(Film(folder, tuple(names), smallest, len(names)))
    uneven = sum(len({looks[name].header[:2] for name in film.files}) > 1 for film in films)
    if uneven:
        told.notes.append(
            f"video: {uneven:,} of {len(films):,} films have frames of several sizes; each frame is fitted by itself"
        )
    return films


def _in_order(name: str) -> list[Any]:
    """A name's place among others: numbers in it count as numbers, so that frame10 comes behind frame9."""
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Video)
