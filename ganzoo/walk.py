"""`ganzoo interpolate` and `ganzoo sample --mix`: closed walks through a generator's space, and mixed styles."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from . import samples
from .errors import RunError, UsageError
from .latents import Space, space_of_pictures
from .parts import truncated_normal
from .run import Run

TOGETHER = 16  # places whose samples are made at once


def interpolate(
    run: Run,
    out: Path,
    keys: int = 6,
    frames: int = 24,
    count: int = 1,
    seed: int = 0,
    label: int | str | None = None,
    truncation: float = 1.0,
    rate_hz: float = 24.0,
    step: int | None = None,
    device: str = "auto",
) -> Path:
    """A walk from place to place that ends where it began, as an animated .gif.

    keys: places that are visited. frames: from one to the next. count: walks side by side. In a mapped space the walk
    is a periodic cubic spline, else it goes on great circles. Raises UsageError and RunError.
    """
    if out.suffix.lower() != ".gif":
        raise UsageError(f"--out {out}: a walk is written as .gif; give the file that suffix")
    if keys < 2 or frames < 1 or count < 1:
        raise UsageError("a walk has at least 2 keys, and 1 frame between them")
    space = space_of_pictures(run, step, device)
    index = run.label_index(label)
    with space.still():
        labels = space.labels(seed, keys * count, index)
        # One walk has one class: a class cannot be between two.
        labels = None if labels is None else labels[:count].repeat(keys)
        places = _towards_middle(space, space.enter(space.latents(seed, keys * count), labels), truncation)
        path = _closed(space, places.unflatten(0, (keys, count)), frames)
        shown = [_decoded(run, space, step_places, None if labels is None else labels[:count]) for step_places in path]
    # An animation has 8 bits.
    pictures = [samples.grid((made >> 8).astype(numpy.uint8) if made.itemsize > 1 else made) for made in shown]
    return _write(out, pictures, rate_hz)


def mix(
    run: Run,
    out: Path,
    layers: str,
    count: int = 5,
    seed: int = 0,
    label: int | str | None = None,
    truncation: float = 1.0,
    step: int | None = None,
    device: str = "auto",
) -> Path:
    """A sheet of style mixing (Karras et al. 2018, arXiv:1812.04948, section 3.1, figure 3): rows and columns are
    samples of their own (the first row and column), and each cell is its row's with these layers' styles of its
    column's. layers: such as `0-3`. Raises UsageError and RunError."""
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: a sheet of mixed styles is written as .png; give the file that suffix")
    space = space_of_pictures(run, step, device)
    with space.still():
        labels = space.labels(seed, 2 * count, run.label_index(label))
        places = _towards_middle(space, space.enter(space.latents(seed, 2 * count), labels), truncation)
        if not space.mapped or places.ndim != 3:
            raise RunError("the generator has no styles, layer by layer, that could be mixed")
        chosen = _layers(layers, places.shape[1])
        rows, columns = places[:count], places[count:]
        cells = [rows.mean(0, keepdim=True), columns]
        for row in rows:
            mixed = row.repeat(count, 1, 1)
            mixed[:, chosen] = columns[:, chosen]
            cells += [row[None], mixed]
        # Noise belongs to a place on the sheet's rows: made sample by sample, all with the same noise.
        made = [_decoded(run, space, place[None], None) for place in torch.cat(cells)]
    sheet = numpy.concatenate(made)
    sheet[0] = numpy.iinfo(sheet.dtype).max  # nothing stands in the corner
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        samples.grid(sheet, columns=count + 1).save(out)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    return out


def _towards_middle(space: Space, places: Tensor, truncation: float) -> Tensor:
    """Mapped places with this share of their way from the middle, latents cut as `ganzoo sample` cuts them."""
    if truncation == 1:
        return places
    return space.middle().lerp(places, truncation) if space.mapped else truncated_normal(places, 2 * truncation)


def _closed(space: Space, keys: Tensor, frames: int) -> Iterator[Tensor]:
    """Places [count, ...], frame by frame, through all keys [K, count, ...] and back to the first."""
    closed = torch.cat([keys, keys[:1]])
    if space.mapped:
        from scipy.interpolate import CubicSpline

        spline = CubicSpline(numpy.arange(len(closed)), closed.double().cpu().numpy(), bc_type="periodic")
        for frame in range(len(keys) * frames):
            yield torch.as_tensor(spline(frame / frames)).to(keys)
        return
    for start, end in pairwise(closed):
        for frame in range(frames):
            yield space.between(start, end, frame / frames)


def _decoded(run: Run, space: Space, places: Tensor, labels: Tensor | None) -> Any:
    made = [
        space.make(part, None if labels is None else labels[at * TOGETHER :][:TOGETHER]).cpu()
        for at, part in enumerate(places.split(TOGETHER))
    ]
    return space.game.parts.dataset.decode(torch.cat(made), run.spec)


def _layers(text: str, known: int) -> list[int]:
    """The numbers in `0-3,6`. Raises UsageError."""
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if found is None:
            raise UsageError(
                f"--mix {text}: write layers such as 0-3 or 4,5; the generator has the layers 0 to {known - 1}"
            )
        chosen |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    if not chosen or max(chosen) >= known:
        raise UsageError(f"--mix {text}: the generator has the layers 0 to {known - 1}")
    return sorted(chosen)


def _write(out: Path, pictures: Sequence[Image.Image], rate_hz: float) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        first, *others = pictures
        # disposal and loop: every frame replaces the one before, without end.
        first.save(out, save_all=True, append_images=others, duration=1000 / rate_hz, loop=0, disposal=2)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    return out
