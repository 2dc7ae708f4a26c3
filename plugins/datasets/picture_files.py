"""What data sets of picture files share: finding the pictures, one form and one size for all, and views of a picture.

A collection has no random numbers of its own. Where pictures are cropped or mirrored by chance, each has a fixed number
of views, an index is a picture and a view of it, and a view is the same in every process and after continuing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ganzoo import DataError, OptionError, Size, derive
from ganzoo_plugins.datasets.pictures import SUFFIXES, Fit, Form, Header, fit, read_header
from ganzoo_plugins.datasets.storage import Storage, shown, telling

MEND = "mend or remove it"
VIEWS = 64  # of each picture, unless asked otherwise: few pictures come twice alike, and an epoch keeps a length
SOME = 6  # names that an error lists


def pictures_in(files: Storage, path: Path) -> list[str]:
    """The names of the pictures there. Raises DataError where there are none."""
    names = [name for name in files.sizes if name.lower().endswith(SUFFIXES)]
    if not names:
        there = f"none of its {len(files.sizes)} files ends in {', '.join(SUFFIXES)}" if files.sizes else "it is empty"
        raise DataError(
            f"there are no pictures in {path}: {there}; name another place with path=FOLDER or path=FILE.zip"
        )
    return names


def pictures_below(files: Storage, path: Path, folder: str) -> list[str]:
    """The names of the pictures in one of the folders there. Raises DataError, naming the folders that have some."""
    names = pictures_in(files, path)
    found = [name for name in names if name.startswith(f"{folder}/")]
    if not found:
        folders = sorted({name.rpartition("/")[0] for name in names} - {""})
        some = ", ".join(map(shown, folders[:SOME])) + (", ..." if len(folders) > SOME else "")
        there = f"there are pictures in its folders {some}" if folders else "it has no folders with pictures"
        raise DataError(
            f"there are no pictures in {path}/{folder}: {there}; write path=ROOT,source=FOLDER,sample=FOLDER"
        )
    return found


def header_of(files: Storage, name: str, path: Path, then: str = MEND) -> Header:
    """What a picture is. Raises DataError for a file that is none."""
    with telling(f"cannot read the picture {shown(name)} in {path}", then), files.open(name) as file:
        return read_header(file)


def common_form(headers: Iterable[Header], channels: str, deep: bool = False) -> Form:
    """What all pictures become. deep: grey of 16 bits stays so where all have them."""
    forms = {header.form for header in headers}
    if deep and forms == {"deep"} and channels in ("auto", "grey"):
        return "deep"
    if channels in ("grey", "rgb", "rgba"):
        return channels
    if forms == {"rgba"}:
        return "rgba"
    return "grey" if forms <= {"grey", "deep"} else "rgb"


def chosen_size(headers: Mapping[str, Header], path: Path, how: Fit, part: str, notes: list[str]) -> Size:
    """The largest usual square that the smallest picture fills; the user is told when pictures change."""
    shorter, name = min((min(header.height, header.width), name) for name, header in headers.items())
    sides = [side for side in (256, 128, 64, 32, 16) if side <= shorter]
    if not sides:
        height, width, _ = headers[name]
        raise DataError(
            f"the smallest picture in {path}, {shown(name)}, has {height}x{width} pixels (height x width) "
            "and 16 are the least without a size; say size=HEIGHTxWIDTH to enlarge it"
        )
    size = Size(sides[0], sides[0])
    if any(header[:2] != size for header in headers.values()):
        changed = {"crop": "centre-cropped and resized", "stretch": "stretched", "pad": "resized and padded"}[how]
        notes.append(
            f"{part}: {_span(headers)} are {changed} to {size.height}x{size.width}; "
            "say size=HEIGHTxWIDTH for another size"
        )
    return size


def _span(headers: Mapping[str, Header]) -> str:
    """`pictures of 112x92 to 640x480 (height x width)`, smallest and largest."""
    sizes = sorted({header[:2] for header in headers.values()}, key=lambda size: (size[0] * size[1], size))
    ends = dict.fromkeys((sizes[0], sizes[-1]))
    return f"pictures of {' to '.join(f'{height}x{width}' for height, width in ends)} (height x width)"


def check_jitter(size: Size | None, jitter: Size | None) -> None:
    """Raise OptionError unless a part of `size` can be cut out of pictures of `jitter`."""
    if jitter is None:
        return
    if size is None:
        raise OptionError("jitter goes with a size, such as size=256,jitter=286")
    if jitter.height < size.height or jitter.width < size.width:
        raise OptionError(
            f"jitter={jitter} is smaller than size={size}, which is cut out of it; write a larger jitter, such as "
            f"jitter={Size(size.height * 9 // 8, size.width * 9 // 8)}"
        )


@dataclass(frozen=True)
class Views:
    """How a picture is seen: brought to `jitter` pixels where that is given, of which a part of `size` is cut, and
    perhaps mirrored. View 0 is the plain one: the middle, not mirrored."""

    size: Size
    jitter: Size | None
    mirror: bool
    fit: Fit

    @property
    def several(self) -> bool:
        return self.jitter is not None or self.mirror

    def seen(
        self, image: Image.Image, view: int, key: str, resampling: Image.Resampling = Image.Resampling.LANCZOS
    ) -> Image.Image:
        """A view of a picture. What is cropped and mirrored is a function of view and key: pictures that belong
        together share a key."""
        enlarged = self.jitter or self.size
        image = fit(image, enlarged, self.fit, resampling)
        down, across = enlarged.height - self.size.height, enlarged.width - self.size.width
        top, left, mirrored = down // 2, across // 2, 0
        if view:
            drawn, mirrored = divmod(derive(view, "view", key), 2)
            drawn, top = divmod(drawn, down + 1)
            left = drawn % (across + 1)
        if down or across:
            image = image.crop((left, top, left + self.size.width, top + self.size.height))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored and self.mirror else image


def pairing(sources: int, count: int) -> Tensor:
    """Which of so many sources stands beside each of `count` indices: all of them once, then all of them in another
    order, and so on, so that none is used more than once more than any other."""
    chance = torch.Generator().manual_seed(derive(0, "pairing"))
    passes = math.ceil(count / sources)
    return torch.cat([torch.randperm(sources, generator=chance, dtype=torch.int32) for _ in range(passes)])[:count]
