"""Pictures that belong together, two and two: in two folders, or side by side in one file.

Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004, section 6.2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

from ganzoo import Batch, Collection, DataError, Dataset, OptionError, Size, Spec, hookimpl
from ganzoo_plugins.datasets.picture_files import (
    MEND,
    VIEWS,
    Views,
    check_jitter,
    chosen_size,
    common_form,
    header_of,
    pictures_below,
    pictures_in,
)
from ganzoo_plugins.datasets.pictures import (
    CHANNELS,
    Fit,
    Form,
    Header,
    decode,
    decode_labels,
    painted,
    to_labels,
    to_samples,
)
from ganzoo_plugins.datasets.storage import Storage, shown, storage, telling

Channels = Literal["auto", "grey", "rgb", "rgba"]
Names = tuple[str, str]  # of a pair's files
Found = tuple[list[Names], tuple[dict[str, Header], dict[str, Header]]]  # pairs, and what the pictures of a side are


class Paired(Dataset):
    """Pictures that belong together, two and two: in two folders, or side by side in one file.

    Isola et al. 2017, arXiv:1611.07004, section 6.2 and appendix: pictures are enlarged to `jitter`, cropped to `size`
    at random and mirrored by chance, both of a pair alike (the paper: size=256,jitter=286,mirror=true). Each pair has
    `views` such views, chosen once and for all; an epoch shows every one, the first of them the plain middle.

    Args:
        path: a folder, a .zip, or a folder inside a .zip (FILE.zip/FOLDER).
        source: the folder in it with what is given. Pairs have the same name there and in `sample`, but for the suffix.
        sample: the folder with what is to be made of it. Without both, each picture is a pair: its left half is the
            source, its right half the sample.
        size: height and width in pixels; without it the largest square of 256, 128, 64, 32 or 16 that no picture must
            be enlarged for.
        backwards: exchanges the two, so that the source is made of the sample.
        fit: crop keeps the centre, stretch changes the proportions, pad adds black margins.
        channels: auto is rgba where all pictures of a side have alpha, grey where all are grey, else rgb; 8 bits each.
        labels: the folder `source` holds label maps, grey or with a palette, of this many labels from 0 (2 to 256).
            They are given as one channel for each label, 1 where it is and 0 elsewhere; backwards they are pictures,
            painted in fixed colours. Margins of `pad` have the label 0.
        jitter: height and width that pictures are brought to before a part of `size`, which is then to be given, is cut
            out of them.
        mirror: mirrors views by chance.
        views: how many views each pair has, where there is jitter or mirroring.
        held_out: how many pairs, the last by their names, are held out for measuring.
        part: train leaves out the pairs that are held out; held-out is those, without jitter and mirroring.
    """

    name = "paired"
    paper = "arXiv:1611.07004"
    offers = ("image", "pairs")

    def __init__(
        self,
        path: str,
        source: str | None = None,
        sample: str | None = None,
        size: Size | None = None,
        *,
        backwards: bool = False,
        fit: Fit = "crop",
        channels: Channels = "auto",
        labels: int | None = None,
        jitter: Size | None = None,
        mirror: bool = False,
        views: int = VIEWS,
        held_out: int = 0,
        part: Literal["train", "held-out"] = "train",
    ):
        if not path:
            raise OptionError("path is empty; write path=FOLDER or path=FILE.zip")
        if (source is None) != (sample is None):
            raise OptionError("source and sample are two folders: name both, or none for pictures side by side")
        if labels is not None and source is None:
            raise OptionError("labels is for label maps in a folder of their own: name it with source=FOLDER")
        if labels is not None and not 2 <= labels <= 256:
            raise ValueError("labels must be from 2 to 256")
        if views < 1 or held_out < 0:
            raise ValueError("views must be at least 1, and held_out at least 0")
        if part == "held-out" and not held_out:
            raise OptionError("part=held-out needs held_out=COUNT, the number of pairs that training leaves out")
        check_jitter(size, jitter)
        self.path, self.size, self.backwards, self.fit = Path(path).expanduser(), size, backwards, fit
        self.folders = None if source is None or sample is None else (source.strip("/"), sample.strip("/"))
        self.channels, self.labels, self.jitter, self.mirror = channels, labels, jitter, mirror
        self.views, self.held_out, self.part = views, held_out, part

    def open(self) -> Collection:
        files, notes = storage(self.path), list[str]()
        names, headers = self._beside(files) if self.folders is None else self._apart(files, self.folders)
        flat = {name: header for side in headers for name, header in side.items()}
        size = self.size or chosen_size(flat, self.path, self.fit, self.name, notes)
        held_out = self.part == "held-out"
        views = Views(size, None, False, self.fit) if held_out else Views(size, self.jitter, self.mirror, self.fit)
        sides = [self._side(place, headers[place]) for place in (0, 1)]
        if self.held_out >= len(names):
            raise DataError(
                f"held_out={self.held_out} leaves nothing of the {len(names)} pairs in {self.path}; say less"
            )
        first = len(names) - self.held_out
        chosen = names[first:] if held_out else names[:first]
        opened = Pairs(self, files, chosen, sides[::-1] if self.backwards else sides, views)
        opened.notes = tuple(notes)
        return opened

    def _beside(self, files: Storage) -> Found:
        """The files that hold a pair side by side, and what their halves are."""
        headers = {name: header_of(files, name, self.path) for name in pictures_in(files, self.path)}
        for name, header in headers.items():
            if header.width % 2:
                raise DataError(
                    f"{shown(name)} in {self.path} is {header.width} pixels wide, and a pair side by side has an even "
                    "width; for pairs in two folders write source=FOLDER,sample=FOLDER"
                )
        halves = {name: header._replace(width=header.width // 2) for name, header in headers.items()}
        return [(name, name) for name in halves], (halves, halves)

    def _apart(self, files: Storage, folders: tuple[str, str]) -> Found:
        """The names of pairs in two folders, in their order, and what each picture is."""
        found = [_stems(files, self.path, folder) for folder in folders]
        alone = sorted(found[0].keys() ^ found[1].keys())
        if alone:
            first = found[0].get(alone[0]) or found[1][alone[0]]
            raise DataError(
                f"pictures of {folders[0]} and {folders[1]} in {self.path} that have no partner of their name: "
                f"{len(alone)}, the first is {shown(first)}; add the partners or remove them"
            )
        names = [(found[0][stem], found[1][stem]) for stem in sorted(found[0])]
        headers = [{pair[place]: header_of(files, pair[place], self.path) for pair in names} for place in (0, 1)]
        for one, other in names:
            if headers[0][one][:2] != headers[1][other][:2]:
                sizes = [f"{header.height}x{header.width}" for header in (headers[0][one], headers[1][other])]
                raise DataError(
                    f"{shown(one)} and {shown(other)} in {self.path} belong together and have {sizes[0]} and "
                    f"{sizes[1]} pixels (height x width); bring both to one size"
                )
        return names, (headers[0], headers[1])

    def _side(self, place: int, headers: dict[str, Header]) -> Side:
        form = None if self.labels and place == 0 else common_form(headers.values(), self.channels)
        return Side(place, form, halved=self.folders is None)

    def read_source(self, data: bytes, spec: Spec) -> Tensor:
        """A picture file as a source [C, H, W]; label maps as they are read for training."""
        if self.labels and not self.backwards:
            return one_hot(to_labels([decode_labels(data, self.labels)]), self.labels)[0]
        return super().read_source(data, spec)

    def show_source(self, source: Tensor, spec: Spec) -> Tensor:
        """Label maps painted in fixed colours; other sources as they are."""
        if self.labels and not self.backwards:
            source = painted(source.argmax(1)).to(source.dtype)
        return super().show_source(source, spec)


@dataclass(frozen=True)
class Side:
    """What one of two pictures is. place: 0 for what was named source, 1 for what was named sample. form: what its
    pictures become; None for label maps. halved: it is a half of the file's picture."""

    place: int
    form: Form | None
    halved: bool

    def tensor(self, images: list[Image.Image], labels: int | None, source: bool) -> Tensor:
        """Its pictures of one size as the networks get them."""
        if self.form is not None:
            return to_samples(images, self.form)
        assert labels is not None
        return one_hot(to_labels(images), labels) if source else painted(to_labels(images))

    @property
    def resampling(self) -> Image.Resampling:
        return Image.Resampling.NEAREST if self.form is None else Image.Resampling.LANCZOS


class Pairs(Collection):
    """Pairs that are decoded when they are fetched. names: of each pair's files. sides: source and sample.

    Index i is pair i % pairs, in its view i // pairs.
    """

    decodes = True

    def __init__(self, asked: Paired, files: Storage, names: list[Names], sides: list[Side], views: Views):
        self.files, self.names, self.sides, self.views = files, names, sides, views
        self.path, self.labels, self.count = asked.path, asked.labels, asked.views if views.several else 1
        channels = [CHANNELS[side.form] if side.form else 3 for side in sides]
        if sides[0].form is None and self.labels:
            channels[0] = self.labels
        self.spec = Spec("image", (channels[1], *views.size), source=(channels[0], *views.size), words=("pairs",))

    def __len__(self) -> int:
        return len(self.names) * self.count

    def fetch(self, indices: list[int]) -> Batch:
        source, sample = zip(*(self._pair(index) for index in indices), strict=True)
        return Batch(
            self.sides[1].tensor(list(sample), self.labels, source=False),
            source=self.sides[0].tensor(list(source), self.labels, source=True),
            index=torch.as_tensor(indices),
        )

    def _pair(self, index: int) -> list[Image.Image]:
        """Source and sample in this view, cropped and mirrored alike."""
        view, row = divmod(index, len(self.names))
        names = self.names[row]
        whole: dict[tuple[str, Form | None], Image.Image] = {}
        seen = []
        for side in self.sides:
            read = (names[side.place], side.form)
            if read not in whole:  # halves of one file are decoded once
                whole[read] = self._decoded(*read)
            image = _half(whole[read], side.place) if side.halved else whole[read]
            seen.append(self.views.seen(image, view, names[0], side.resampling))
        return seen

    def _decoded(self, name: str, form: Form | None) -> Image.Image:
        with telling(f"cannot read the picture {shown(name)} in {self.path}", MEND):
            data = self.files.read(name)
            return decode(data, form) if form is not None else decode_labels(data, self.labels or 0)

    def fingerprint(self) -> str:
        """Names, sizes in bytes and the options that change samples; not the pixels, nor where the files lie."""
        files = [(name, self.files.sizes[name]) for pair in self.names for name in pair]
        content = (self.spec, self.sides, self.views, self.count, self.labels, files)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


def one_hot(labels: Tensor, count: int) -> Tensor:
    """Label maps [N, H, W] as float32 [N, count, H, W], 1 in the channel of the label and 0 in the others."""
    return torch.nn.functional.one_hot(labels, count).movedim(-1, 1).float()


def _half(image: Image.Image, place: int) -> Image.Image:
    width = image.width // 2
    return image.crop((place * width, 0, (place + 1) * width, image.height))


def _stems(files: Storage, path: Path, folder: str) -> dict[str, str]:
    """The pictures in a folder by their names in it, without the suffix. Raises DataError for two of one name."""
    found: dict[str, str] = {}
    for name in pictures_below(files, path, folder):
        stem = name.removeprefix(f"{folder}/").rpartition(".")[0]
        if stem in found:
            raise DataError(
                f"{shown(found[stem])} and {shown(name)} in {path} differ in nothing but the suffix, so their partner "
                "cannot be told; rename or remove one"
            )
        found[stem] = name
    return found


@hookimpl
def register_datasets(register: Any) -> None:
    register(Paired)
