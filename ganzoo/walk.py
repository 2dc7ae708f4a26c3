"""`ganzoo interpolate` and `ganzoo sample --mix`: closed walks through a generator's space, and mixed styles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
    keys: int | None = None,
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

    keys: places that are visited, 6 unless given. frames: from one to the next. count: walks side by side. label: of
    several classes (`3,7` or `all`) each is visited, with one latent. In a mapped space the walk is a periodic cubic
    spline, else it goes on great circles, and straight from class to class. Raises UsageError and RunError.
    """
    if out.suffix.lower() != ".gif":
        raise UsageError(f"--out {out}: a walk is written as .gif; give the file that suffix")
    if (keys is not None and keys < 2) or frames < 1 or count < 1:
        raise UsageError("a walk has at least 2 keys, and 1 frame between them")
    classes = run.label_indices(label)
    if classes is not None and len(classes) > 1 and keys is not None:
        raise UsageError("a walk through several classes visits each of them once; leave out --keys")
    space = space_of_pictures(run, step, device)
    with space.still():
        if classes is None or len(classes) == 1:
            path = _in_one_class(
                space, keys or 6, frames, count, seed, None if classes is None else classes[0], truncation
            )
        else:
            path = _through_classes(space, classes, frames, count, seed, truncation)
        shown = [_decoded(run, space, places, conditions) for places, conditions in path]
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


_Frame = tuple[Tensor, Tensor | None]  # places [count, ...], and the classes or their vectors


def _in_one_class(
    space: Space, keys: int, frames: int, count: int, seed: int, label: int | None, truncation: float
) -> Iterator[_Frame]:
    """From latent to latent; each of the walks has one class."""
    labels = space.labels(seed, count, label)
    latents = space.latents(seed, keys * count)
    places = space.enter(latents, None if labels is None else labels.repeat(keys))
    places = _towards_middle(space, places, truncation).unflatten(0, (keys, count))
    return ((here, labels) for here in _closed(space, places, frames))


def _through_classes(
    space: Space, classes: list[int], frames: int, count: int, seed: int, truncation: float
) -> Iterator[_Frame]:
    """From class to class, each of the walks with one latent. Raises RunError where a class is a number alone."""
    game, shape = space.game, (len(classes), count)
    labels = torch.tensor(classes, device=game.device).repeat_interleave(count)
    vectors = getattr(space.network, "class_vectors", lambda label: None)(labels)
    if "labels" not in game.plan.needs or (vectors is None and not space.mapped):
        raise RunError(
            f"a walk goes from class to class only where the generator makes a vector of the class, and "
            f"'{game.parts.architecture.name}' as it was built makes none; name one class with --label"
        )
    latents = space.latents(seed, count)
    places = space.enter(latents.repeat(len(classes), *[1] * (latents.ndim - 1)), labels)
    path = _closed(space, _towards_middle(space, places, truncation).unflatten(0, shape), frames)
    if vectors is None:
        return ((here, None) for here in path)
    return zip(path, _round(vectors.unflatten(0, shape), frames, torch.lerp), strict=True)


def _closed(space: Space, keys: Tensor, frames: int) -> Iterator[Tensor]:
    """Places [count, ...], frame by frame, through all keys [K, count, ...] and back to the first."""
    if space.mapped:
        from scipy.interpolate import CubicSpline

        closed = torch.cat([keys, keys[:1]])
        spline = CubicSpline(numpy.arange(len(closed)), closed.double().cpu().numpy(), bc_type="periodic")
        for frame in range(len(keys) * frames):
            yield torch.as_tensor(spline(frame / frames)).to(keys)
        return
    yield from _round(keys, frames, space.between)


def _round(keys: Tensor, frames: int, between: Callable[[Tensor, Tensor, float], Tensor]) -> Iterator[Tensor]:
    """From each key to the next, and from the last to the first."""
    for start, end in pairwise(torch.cat([keys, keys[:1]])):
        for frame in range(frames):
            yield between(start, end, frame / frames)


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


def _write(out: Path, pictures: list[Image.Image], rate_hz: float) -> Path:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        samples.animate(out, pictures, rate_hz)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    return out
