"""Pictures of two domains that are not paired.

Zhu et al. 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, arXiv:1703.10593.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Batch, Collection, Dataset, OptionError, Size, Spec, hookimpl
from ganzoo_plugins.datasets.picture_files import (
    MEND,
    VIEWS,
    Views,
    check_jitter,
    chosen_size,
    common_form,
    header_of,
    pairing,
    pictures_below,
)
from ganzoo_plugins.datasets.pictures import CHANNELS, Fit, Form, decode, to_samples
from ganzoo_plugins.datasets.storage import Storage, shown, storage, telling


class Unpaired(Dataset):
    """Pictures of two domains that are not paired: a folder of each, which need not hold equally many.

    Zhu et al. 2017, arXiv:1703.10593, section 4 and appendix: pictures are enlarged to `jitter`, cropped to `size` at
    random and mirrored by chance (their code: size=256,jitter=286,mirror=true), each for itself. Each picture of the
    second domain has `views` such views, chosen once and for all, and another picture of the first beside it in each;
    an epoch shows every one, and the pictures of the first domain equally often.

    Args:
        path: a folder, a .zip, or a folder inside a .zip (FILE.zip/FOLDER).
        source: the folder in it with the first domain, whose pictures are given. Pictures for testing are usually in
            source=testA,sample=testB.
        sample: the folder with the second domain, of which pictures are to be made.
        size: height and width in pixels; without it the largest square of 256, 128, 64, 32 or 16 that no picture must
            be enlarged for.
        fit: crop keeps the centre, stretch changes the proportions, pad adds black margins.
        channels: auto is rgba where all pictures of a domain have alpha, grey where all are grey, else rgb; 8 bits
            each.
        jitter: height and width that pictures are brought to before a part of `size`, which is then to be given, is cut
            out of them.
        mirror: mirrors views by chance.
        views: how many views each picture has.
    """

    name = "unpaired"
    paper = "arXiv:1703.10593"
    offers = ("image", "two_domains")

    def __init__(
        self,
        path: str,
        source: str = "trainA",
        sample: str = "trainB",
        size: Size | None = None,
        *,
        fit: Fit = "crop",
        channels: Literal["auto", "grey", "rgb", "rgba"] = "auto",
        jitter: Size | None = None,
        mirror: bool = False,
        views: int = VIEWS,
    ):
        if not path:
            raise OptionError("path is empty; write path=FOLDER or path=FILE.zip")
        if views < 1:
            raise ValueError("views must be at least 1")
        check_jitter(size, jitter)
        self.path, self.folders, self.size = Path(path).expanduser(), (source.strip("/"), sample.strip("/")), size
        self.fit, self.channels, self.jitter, self.mirror, self.views = fit, channels, jitter, mirror, views

    def open(self) -> Collection:
        files, notes = storage(self.path), list[str]()
        headers = [
            {name: header_of(files, name, self.path) for name in pictures_below(files, self.path, folder)}
            for folder in self.folders
        ]
        size = self.size or chosen_size(headers[0] | headers[1], self.path, self.fit, self.name, notes)
        views = Views(size, self.jitter, self.mirror, self.fit)
        forms = [common_form(domain.values(), self.channels) for domain in headers]
        opened = Domains(self, files, [list(domain) for domain in headers], forms, views)
        opened.notes = tuple(notes)
        return opened


class Domains(Collection):
    """Pictures that are decoded when they are fetched. names, forms: of the sources and of the samples.

    Index i is sample i % samples, in its view i // samples, and the source that is then due.
    """

    decodes = True

    def __init__(self, asked: Unpaired, files: Storage, names: list[list[str]], forms: list[Form], views: Views):
        self.path, self.files, self.names, self.forms, self.views = asked.path, files, names, forms, views
        self.sources: Tensor = pairing(len(names[0]), asked.views * len(names[1]))
        shapes = [(CHANNELS[form], *views.size) for form in forms]
        self.spec = Spec("image", shapes[1], source=shapes[0], words=("two_domains",))

    def __len__(self) -> int:
        return len(self.sources)

    def fetch(self, indices: list[int]) -> Batch:
        views = [divmod(index, len(self.names[1])) for index in indices]
        # A source is in its next view each time that all of them have been used.
        given = [(index // len(self.names[0]), int(self.sources[index])) for index in indices]
        return Batch(self._seen(1, views), source=self._seen(0, given), index=torch.as_tensor(indices))

    def _seen(self, domain: int, wanted: list[tuple[int, int]]) -> Tensor:
        """Pictures of a domain by view and row."""
        names, form = self.names[domain], self.forms[domain]
        return to_samples([self._view(names[row], form, view) for view, row in wanted], form)

    def _view(self, name: str, form: Form, view: int) -> Any:
        with telling(f"cannot read the picture {shown(name)} in {self.path}", MEND):
            return self.views.seen(decode(self.files.read(name), form), view, name)

    def fingerprint(self) -> str:
        """Names, sizes in bytes and the options that change samples; not the pixels, nor where the files lie."""
        files = [[(name, self.files.sizes[name]) for name in names] for names in self.names]
        content = (self.spec, self.forms, self.views, len(self), files)
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]


@hookimpl
def register_datasets(register: Any) -> None:
    register(Unpaired)
