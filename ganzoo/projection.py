"""`ganzoo project`: the place in a generator's space whose sample is nearest to a picture.

Karras et al. 2019, arXiv:1912.04958, section 5 and appendix D: from the middle of the mapped space, Adam with a rate
that ramps up over the first twentieth and falls along a half cosine over the last quarter, and noise on the place that
has faded after three quarters. In place of LPIPS, whose weights are not ours to ship, pictures are compared at every
size from their own down to 4 pixels a side.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from . import samples
from .data import Spec
from .errors import DataError, RunError, UsageError
from .latents import MEAN_OF, Space, space_of_pictures
from .progress import tracked
from .run import Run

RATE = 0.1
NOISE = 0.05  # of the place, as a share of the space's own spread


def project(
    run: Run,
    image: Path,
    out: Path,
    steps: int = 500,
    seed: int = 0,
    label: int | str | None = None,
    step: int | None = None,
    device: str = "auto",
) -> Path:
    """Write `target.png`, `projected.png`, `side-by-side.png`, `distance.csv`, `distance.png` and the place itself,
    `latent.safetensors`, into a folder. Raises DataError, RunError and UsageError."""
    if steps < 1:
        raise UsageError("--steps is at least 1")
    index = run.label_index(label) or 0
    space = space_of_pictures(run, step, device)
    target = read(image, run.spec).to(space.game.device, space.game.dtype)
    place, distances = nearest(space, target, steps, seed, index)
    with space.still():
        made = space.make(place, space.labels(seed, 1, index), seed).cpu()
    decode = space.game.parts.dataset.decode
    pair = numpy.concatenate([decode(target.cpu(), run.spec), decode(made, run.spec)])
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, shown in (("target", pair[:1]), ("projected", pair[1:]), ("side-by-side", pair)):
            samples.grid(shown, columns=len(shown)).save(out / f"{name}.png")
        with (out / "distance.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("step", "distance"), *enumerate(distances, 1)])
        curve(distances).save(out / "distance.png")
        safetensors.torch.save_file({"place": place.contiguous().cpu()}, out / "latent.safetensors")
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror or error}") from None
    return out


def read(path: Path, spec: Spec) -> Tensor:
    """A picture file as a sample [1, C, H, W] in [-1, 1] of a run's shape: its middle, as wide as it can be."""
    channels, height, width = spec.shape
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise UsageError(f"pictures of {channels} channels cannot be read from a file")
    try:
        with Image.open(path) as picture:
            shown = samples.upright(picture, modes[channels])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    scale = min(shown.width / width, shown.height / height)
    left, top = (shown.width - width * scale) / 2, (shown.height - height * scale) / 2
    box = (left, top, left + width * scale, top + height * scale)
    pixels = numpy.asarray(shown.resize((width, height), Image.Resampling.LANCZOS, box), dtype=numpy.float32)
    values = torch.from_numpy(pixels.reshape(height, width, channels).transpose(2, 0, 1).copy())
    return values[None] / 127.5 - 1


def nearest(space: Space, target: Tensor, steps: int, seed: int = 0, label: int = 0) -> tuple[Tensor, list[float]]:
    """The place [1, ...] that was nearest, of a class where there are any, and the distance at every step."""
    with space.still():
        places = space.survey(space.labels(seed, MEAN_OF, label))[1]
        middle, spread = places.mean(0, keepdim=True), float(places.std(0).mean())
        place = (middle if space.mapped else torch.zeros_like(middle)).clone().requires_grad_()
        random = torch.Generator(target.device).manual_seed(seed)
        optimizer = torch.optim.Adam([place], betas=(0.9, 0.999))
        best, distances = (math.inf, place.detach().clone()), []
        for now in tracked(range(steps), "project"):
            done = now / steps
            for group in optimizer.param_groups:
                group["lr"] = RATE * _ramp(done)
            faded = NOISE * spread * max(0.0, 1 - done / 0.75) ** 2
            noise = faded * torch.randn(place.shape, generator=random, device=place.device, dtype=place.dtype)
            with torch.enable_grad():
                found = distance(space.make(place + noise, space.labels(seed, 1, label), seed), target)
                (place.grad,) = torch.autograd.grad(found, [place])
            distances.append(float(found))
            if distances[-1] < best[0]:
                best = (distances[-1], (place + noise).detach().clone())
            optimizer.step()
    return best[1], distances


def distance(made: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of pictures [N, C, H, W], at their own size and at every half of it: a mean."""
    levels = [F.mse_loss(made, target)]
    while min(made.shape[2:]) > 4:
        made, target = F.avg_pool2d(made, 2), F.avg_pool2d(target, 2)
        levels.append(F.mse_loss(made, target))
    return torch.stack(levels).mean()


def _ramp(done: float) -> float:
    return min(1.0, done / 0.05 + 0.02) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / 0.25)))


def curve(values: list[float], width: int = 640, height: int = 320) -> Image.Image:
    """A falling number as a line; the axis is logarithmic."""
    picture = Image.new("RGB", (width, height), "white")
    pen, margin = ImageDraw.Draw(picture), 48
    logs = [math.log10(max(value, 1e-12)) for value in values]
    low, high = min(logs), max(*logs, min(logs) + 1e-6)
    inner_width, inner_height = width - 2 * margin, height - 2 * margin
    points = [
        (margin + inner_width * index / max(1, len(logs) - 1), margin + inner_height * (high - value) / (high - low))
        for index, value in enumerate(logs)
    ]
    pen.rectangle((margin, margin, width - margin, height - margin), outline=(200, 200, 200))
    pen.line(points, fill=(20, 90, 170), width=2)
    pen.text((margin, margin - 16), f"distance {values[0]:.4g} at first, {min(values):.4g} at best", fill="black")
    pen.text((margin, height - margin + 8), "step 1", fill="black")
    pen.text((width - margin - 56, height - margin + 8), f"step {len(values)}", fill="black")
    return picture
