"""What a trained generator makes of a place in its latent space, and directions in which that space can be walked.

Directions: Härkönen et al. 2020, GANSpace: Discovering Interpretable GAN Controls, arXiv:2004.02546. Principal
components of the first layer's activations over many latents, carried back into the latent space by least squares
(section 2.2); where the generator maps its latent first (StyleGAN), those of the mapped space itself. A walk between
two latents is on the great circle: White 2016, Sampling Generative Networks, arXiv:1609.04468.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from .. import samples
from ..errors import RunError, UsageError
from ..latents import MEAN_OF, Space
from ..run import Run

KINDS = ("image", "points")
DIRECTIONS = 8  # at most, those of the largest variance
CLOUD = 1_000  # points in one picture
SIDE = 512  # pixels of a picture of points
REACH = 10.0  # standard deviations that a direction may be followed


@dataclass(frozen=True)
class Place:
    """Where in latent space, and what class.

    seed, to: of the two ends of a walk. at: how much of the way from one to the other, in [0, 1]. truncation: distance
    from the mean as a share of the latent's own, in [0, 2]. label: number of the class; None draws one from the seed.
    moves: along each direction, in standard deviations, in [-10, 10].
    """

    seed: int = 0
    to: int = 1
    at: float = 0.0
    truncation: float = 1.0
    label: int | None = None
    moves: tuple[float, ...] = ()

    @classmethod
    def read(cls, words: Mapping[str, str]) -> Place:
        """A place from the words of an address; those left out have their defaults. Raises UsageError."""
        known = ("seed", "to", "at", "truncation", "label", "moves")
        for word in words:
            if word not in known:
                raise UsageError(f"a place has no '{word}'; it has {', '.join(known)}")
        moves = [move for move in words.get("moves", "").split(",") if move]
        return cls(
            int(_number("seed", words.get("seed", "0"), whole=True)),
            int(_number("to", words.get("to", "1"), whole=True)),
            _number("at", words.get("at", "0"), 0, 1),
            _number("truncation", words.get("truncation", "1"), 0, 2),
            int(_number("label", words["label"], whole=True)) if words.get("label") else None,
            tuple(_number("moves", move, -REACH, REACH) for move in moves),
        )


def _number(name: str, text: str, low: float = -(2**63), high: float = 2**63, *, whole: bool = False) -> float | int:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "a whole number" if whole else f"a number from {low:g} to {high:g}"
        raise UsageError(f"{name} is {kind}, got '{text[:40]}'")
    return value


class Explorer:
    """The generator of one checkpoint. Raises RunError where there is nothing to explore, saying why.

    Places, truncation and directions are in the generator's Space.
    """

    def __init__(self, run: Run, step: int, device: str = "cpu"):
        self.step = step
        refuse(run)
        self.game = run.game(step, device)
        self.spec = self.game.spec
        self.space = Space(self.game)
        with self.space.still():
            self.mean, self.directions = self._survey()
            self.uses_labels = self._heeds_labels()
            self.reach = self._extent() if self.spec.kind == "points" else 0.0

    def picture(self, place: Place) -> bytes:
        """The sample at a place, as a PNG: a picture in its own size, or many points as a scatter picture."""
        if place.label is not None and not 0 <= place.label < len(self.spec.classes):
            raise UsageError(f"there is no class {place.label}; this run has {len(self.spec.classes)}")
        if len(place.moves) > len(self.directions):
            raise UsageError(f"{len(place.moves)} moves were asked for; there are {len(self.directions)} directions")
        with self.space.still():
            decoded = self._decoded(place)
        drawn = samples.grid(decoded) if self.spec.kind == "image" else scatter(decoded, self.reach)
        packed = io.BytesIO()
        drawn.save(packed, "PNG")
        return packed.getvalue()

    def _decoded(self, place: Place) -> Any:
        count = 1 if self.spec.kind == "image" else CLOUD
        labels = self.space.labels(place.seed, count, place.label)
        points = self.space.enter(self.space.latents(place.seed, count), labels)
        if place.at:
            there = self.space.enter(self.space.latents(place.to, count), labels)
            points = self.space.between(points, there, place.at)
        points = self.mean + place.truncation * (points - self.mean)
        for move, direction in zip(place.moves, self.directions, strict=False):
            points = points + move * direction
        return self.game.parts.dataset.decode(self.space.make(points, labels, place.seed).cpu(), self.spec)

    def _survey(self) -> tuple[Tensor, Tensor]:
        """The space's mean `[1, ...]` and directions `[K, ...]`, each as long as one standard deviation."""
        labels = torch.zeros(MEAN_OF, dtype=torch.int64, device=self.game.device) if self.spec.classes else None
        latents, points = self.space.survey(labels)
        flat = points.flatten(1).float()
        mean, spread = flat.mean(0), flat.std(0)
        # What cannot be told from zero is zero, so that a latent that is drawn round zero is scaled towards zero.
        mean = torch.where(mean.abs() < 5 * spread / math.sqrt(MEAN_OF), 0.0, mean)
        activations = flat if self.space.mapped else first_activations(self.space.network, latents, labels)
        found = principal(activations, flat - mean) if activations is not None else flat[:0]
        shape = points.shape[1:]
        return mean.reshape(1, *shape).to(points.dtype), found.unflatten(1, shape).to(points.dtype)

    def _heeds_labels(self) -> bool:
        """Whether another class makes another sample, or the generator never looks at it."""
        if len(self.spec.classes) < 2:
            return False
        first, second = (self._decoded(Place(label=label)) for label in (0, 1))
        return not numpy.array_equal(first, second)

    def _extent(self) -> float:
        """How far points lie from the middle, so that one frame holds all pictures."""
        points = numpy.abs(numpy.nan_to_num(self._decoded(Place())))
        return 1.5 * max(float(numpy.quantile(points, 0.99)), 1e-6)


def refuse(run: Run) -> None:
    """Raise RunError, saying why, unless the run's samples are of a kind that can be explored."""
    if run.spec.kind not in KINDS or run.spec.source is not None:
        what = "translates" if run.spec.source is not None else f"makes {run.spec.kind}"
        raise RunError(f"this run {what}; only generators of pictures or points from a latent can be explored")
    if not run.steps:
        raise RunError("this run has no checkpoint yet; look again when it has saved one")


def explorable(run: Run) -> bool:
    """Whether the explorer would look at the run."""
    try:
        refuse(run)
    except RunError:
        return False
    return True


class _Reached(Exception):
    """The first layer has answered; the others need not run."""


def first_activations(network: nn.Module, latents: Tensor, labels: Tensor | None) -> Tensor | None:
    """What the first layer with weights makes of latents `[N, ...]`: `[N, M]`; None if the network has no such layer.
    Embeddings of labels are no layer in this sense."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _given: Any, made: Any) -> None:
        found.append(made.flatten(1).float())
        raise _Reached

    layers = [module for module in network.modules() if getattr(getattr(module, "weight", None), "ndim", 0) >= 2]
    hooks = [layer.register_forward_hook(keep) for layer in layers if not isinstance(layer, nn.Embedding)]
    try:
        for start in range(0, len(latents), 500):
            rows = slice(start, start + 500)
            try:
                network(latents[rows], None if labels is None else labels[rows])
            except _Reached:
                continue
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(found) if found else None


def principal(activations: Tensor, latents: Tensor, count: int = DIRECTIONS) -> Tensor:
    """The steps `[K, D]` in the space of latents `[N, D]` that move activations `[N, M]` by one standard deviation
    along each of their first principal components; K is less than `count` where they vary in fewer ways."""
    centred = activations - activations.mean(0)
    torch.default_generator.manual_seed(0)
    kept = min(count + 8, *centred.shape)
    _, sizes, components = torch.pca_lowrank(centred, q=kept, center=False, niter=4)
    ways = int((sizes > 1e-4 * sizes[0]).sum()) if sizes[0] > 0 else 0
    components = components[:, : min(count, ways, latents.shape[1])]
    coordinates = centred @ components
    back = torch.linalg.lstsq(coordinates, latents).solution  # from coordinates to latents: the least squared error
    steps = back * coordinates.std(0)[:, None]
    signs = steps.gather(1, steps.abs().argmax(1, keepdim=True)).sign()  # a component's sign means nothing: fix it
    return steps * signs


def scatter(points: Any, reach: float) -> Image.Image:
    """The first two coordinates of points `[N, D]` as dots in a frame that goes from -reach to reach."""
    flat = numpy.asarray(points).reshape(len(points), -1)
    flat = flat[:, :2] if flat.shape[1] > 1 else numpy.pad(flat, ((0, 0), (0, 1)))
    picture = Image.new("L", (SIDE, SIDE), 255)
    pen = ImageDraw.Draw(picture)
    for x, y in (numpy.clip(flat[numpy.isfinite(flat).all(1)] / reach, -2, 2) + 1) * SIDE / 2:
        pen.ellipse((x - 2, SIDE - y - 2, x + 2, SIDE - y + 2), fill=40)
    return picture
