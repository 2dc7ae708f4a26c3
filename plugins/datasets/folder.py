"""Pictures in a folder or a .zip, one file each, with labels from class folders or from a `dataset.json`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch

from ganzoo import Batch, Collection, DataError, Dataset, OptionError, Size, Spec, hookimpl
from ganzoo_plugins.datasets.picture_files import MEND, chosen_size, common_form, header_of, pictures_in
from ganzoo_plugins.datasets.pictures import (
    BITS16,
    CHANNELS,
    SUFFIXES,
    Fit,
    Header,
    decode,
    fit,
    form_of,
    to_samples,
)
from ganzoo_plugins.datasets.storage import Storage, common_folder, holds, shown, storage, telling

MOST_CLASSES = 100_000
_SKIP = f"{MEND}, or leave such files out with skip_broken=true"
_SPLITS = {"train", "test", "val", "valid", "validation", "dev"}

Labels = tuple[list[int], tuple[str, ...]]


class Folder(Dataset):
    """Pictures in a folder or a .zip, at any depth: PNG, JPEG, BMP, GIF, PGM/PPM, TIFF or WebP, decoded while training.

    Classes are the folders below the root, or what a `dataset.json` in the form of NVIDIA's StyleGAN tools says
    (https://github.com/NVlabs/stylegan3). Grey pictures of 16 bits keep them. Transparent pixels become white where
    alpha is not kept. EXIF orientation is applied.

    Args:
        path: a folder, a .zip, or a folder inside a .zip (FILE.zip/FOLDER).
        size: height and width in pixels; without it the largest square of 256, 128, 64, 32 or 16 that no picture must
            be enlarged for.
        fit: crop keeps the centre, stretch changes the proportions, pad adds black margins.
        channels: auto is rgba where all pictures have alpha, grey where all are grey, else rgb.
        labels: auto reads them as said above, none leaves them out.
        mirror: adds a mirrored copy of each picture, so that the length doubles.
        skip_broken: decodes every file when it is opened and leaves out those that cannot be decoded.
    """

    name = "folder"
    offers = ("image", "labels")

    def __init__(
        self,
        path: str,
        size: Size | None = None,
        *,
        fit: Fit = "crop",
        channels: Literal["auto", "grey", "rgb", "rgba"] = "auto",
        labels: Literal["auto", "none"] = "auto",
        mirror: bool = False,
        skip_broken: bool = False,
    ):
        if not path:
            raise OptionError("path is empty; write path=FOLDER or path=FILE.zip")
        self.path, self.size, self.fit, self.channels = Path(path).expanduser(), size, fit, channels
        self.labels, self.mirror, self.skip_broken = labels, mirror, skip_broken

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return holds(path, SUFFIXES)

    def open(self) -> Collection:
        files = storage(self.path)
        names = pictures_in(files, self.path)
        notes: list[str] = []
        headers = self._headers(files, names, notes)
        form = common_form(headers.values(), self.channels, deep=True)
        size = self.size or chosen_size(headers, self.path, self.fit, self.name, notes)
        found = _labels(files, list(headers), notes) if self.labels == "auto" else None
        labels, classes = found or (None, ())
        spec = Spec("image", (CHANNELS[form], *size), classes, encoding=BITS16 if form == "deep" else {})
        return Pictures(self, files, list(headers), labels, spec).noted(notes)

    def _headers(self, files: Storage, names: list[str], notes: list[str]) -> dict[str, Header]:
        """What every picture is. Raises DataError for a file that is none, or leaves it out when asked to."""
        found, first = {}, ""
        for name in names:
            try:
                found[name] = self._header(files, name)
            except DataError as error:
                if not self.skip_broken:
                    raise
                first = first or str(error)
        if not found:
            raise DataError(
                f"none of the {len(names)} files in {self.path} can be decoded, the first is the reason: {first}"
            )
        if len(found) < len(names):
            notes.append(
                f"folder: {len(names) - len(found)} of {len(names)} files are left out, the first because: {first}"
            )
        return found

    def _header(self, files: Storage, name: str) -> Header:
        then = "" if self.skip_broken else _SKIP
        header = header_of(files, name, self.path, then)
        if self.skip_broken:
            with telling(f"cannot read the picture {shown(name)} in {self.path}", then):
                decode(files.read(name), header.form)
        return header


class Pictures(Collection):
    """Files that are decoded when they are fetched. With mirroring, the second half are the mirrored copies."""

    decodes = True

    def __init__(self, asked: Folder, files: Storage, names: list[str], labels: list[int] | None, spec: Spec):
        self.files, self.names, self.spec = files, names, spec
        self.labels = None if labels is None else torch.tensor(labels)
        self.size, self.fit, self.mirror, self.path = Size(*spec.shape[1:]), asked.fit, asked.mirror, asked.path
        self.form = form_of(spec)

    def noted(self, notes: list[str]) -> Pictures:
        self.notes = tuple(notes)
        return self

    def __len__(self) -> int:
        return len(self.names) * (2 if self.mirror else 1)

    def fetch(self, indices: list[int]) -> Batch:
        files = [index % len(self.names) for index in indices]
        samples = to_samples([self._decoded(self.names[file]) for file in files], self.form)
        for row, index in enumerate(indices):
            if index >= len(self.names):
                samples[row] = samples[row].flip(-1)
        return Batch(samples, None if self.labels is None else self.labels[files], index=torch.as_tensor(indices))

    def _decoded(self, name: str) -> Any:
        with telling(f"cannot read the picture {shown(name)} in {self.path}", _SKIP):
            return fit(decode(self.files.read(name), self.form), self.size, self.fit)

    def fingerprint(self) -> str:
        """Names, sizes in bytes, labels and the options that change samples;
        not the pixels, nor where the files lie."""
        files = [(name, self.files.sizes[name]) for name in self.names]
        labels = None if self.labels is None else self.labels.tolist()
        return hashlib.sha256(repr((self.spec, self.form, self.fit, self.mirror, files, labels)).encode()).hexdigest()[
            :16
        ]


def _labels(files: Storage, names: list[str], notes: list[str]) -> Labels | None:
    """Labels from a dataset.json, else from the folders below the common one, or None."""
    root = common_folder(names)
    for folder in dict.fromkeys(("", root)):
        if f"{folder}dataset.json" in files.sizes:
            listed = _listed(files, f"{folder}dataset.json")
            if isinstance(listed, dict) and "labels" in listed:
                return None if listed["labels"] is None else _numbered(listed["labels"], folder, names)
    tops = [name[len(root) :].rpartition("/")[0].partition("/")[0] for name in names]
    classes = tuple(sorted(set(tops)))
    if "" in classes or len(classes) < 2:
        return None
    if {name.lower() for name in classes} <= _SPLITS:
        notes.append(
            f"folder: the classes are the folders {', '.join(classes)}; "
            "for the pictures of one of them add it to the path"
        )
    number = {name: index for index, name in enumerate(classes)}
    return [number[top] for top in tops], tuple(map(shown, classes))


def _listed(files: Storage, name: str) -> Any:
    with telling(f"cannot read the labels in {name}", "mend it, or say labels=none"):
        return json.loads(files.read(name))


def _numbered(pairs: Any, folder: str, names: list[str]) -> Labels:
    """Labels in NVIDIA's form: [["00000/img00000000.png", 6], ...], with names relative to the dataset.json."""
    where = f"{folder}dataset.json"
    with telling(
        f"the labels in {where} are not pairs of a file name and a class number", "mend it, or say labels=none"
    ):
        known = {f"{folder}{name}".replace("\\", "/"): label for name, label in pairs}
    if missing := [name for name in names if name not in known]:
        raise DataError(
            f"{where} gives no label for {len(missing)} of {len(names)} pictures, such as {shown(missing[0])}; "
            "add them, or say labels=none"
        )
    labels = [known[name] for name in names]
    for name, label in zip(names, labels, strict=True):
        if isinstance(label, list):
            raise DataError(
                f"{where} gives {shown(name)} a vector as its label, and only class numbers can be used; "
                "say labels=none"
            )
        if type(label) is not int or not 0 <= label < MOST_CLASSES:
            raise DataError(
                f"{where} gives {shown(name)} the label {ascii(label)[:40]}, "
                "which is not a class number from 0; say labels=none"
            )
    return labels, tuple(map(str, range(max(labels) + 1)))


@hookimpl
def register_datasets(register: Any) -> None:
    register(Folder)
