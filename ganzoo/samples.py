"""Samples as files: a grid, a scatter picture or spectrograms, sound, film, an .npz, a table, lines of text."""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from . import sounds
from .data import Spec
from .errors import RunError, UsageError

# Of pictures that are read. Named, because Pillow would also try readers that run other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")


def preview(spec: Spec) -> str:
    """The suffix of the form in which people look at samples of this kind."""
    return (*_FORMS.get(spec.kind, ()), ".npz")[0]


def beside(spec: Spec) -> tuple[str, ...]:
    """The suffixes of further forms that a step's samples are kept in: sound is looked at and listened to."""
    return _BESIDE.get(spec.kind, ())


def previewed(spec: Spec) -> int:
    """How many samples of this kind people look at together."""
    return 16 if spec.kind in ("audio", "video") else 64


def decode(samples: Tensor, spec: Spec) -> Any:
    """Pictures in [-1, 1] [N, C, H, W] become uint8 (or uint16) [N, H, W, C]; films in [-1, 1] [N, C, T, H, W] become
    uint8 [N, T, H, W, C]; tokens become lines of text where the spec has a vocabulary; anything else stays an array
    of numbers."""
    if spec.kind == "image":
        levels = 2 ** spec.encoding.get("bits", 8) - 1
        scaled = ((samples.float() + 1) * (levels / 2)).round().clamp(0, levels)
        return scaled.permute(0, 2, 3, 1).numpy().astype(numpy.uint8 if levels == 255 else numpy.uint16)
    if spec.kind == "video":
        scaled = ((samples.float() + 1) * 127.5).round().clamp(0, 255)
        return scaled.permute(0, 2, 3, 4, 1).numpy().astype(numpy.uint8)
    if spec.kind == "tokens" and "vocabulary" in spec.encoding:
        words = spec.encoding["vocabulary"]
        return [" ".join(words[index] for index in row) for row in samples.tolist()]
    return samples.numpy()


_FORMS = {
    "image": (".png",),
    "points": (".png", ".csv", ".txt"),
    "tokens": (".txt", ".csv"),
    "table": (".csv",),
    "audio": (".png", ".wav"),
    "video": (".gif",),
}
_BESIDE = {"audio": (".wav",)}


def check_suffix(path: Path, spec: Spec) -> None:
    """Raise UsageError unless samples of this kind can be written in the form that the path's suffix names."""
    fits = (*_FORMS.get(spec.kind, ()), ".npz")
    if path.suffix.lower() not in fits:
        raise UsageError(
            f"cannot write {spec.kind} samples as '{path.name}'; use a name that ends in {', '.join(fits)}"
        )


def write(path: Path, decoded: Any, spec: Spec, labels: Any = None, columns: int | None = None) -> None:
    """Write decoded samples in the form that the file's suffix names. columns: of a sheet of pictures."""
    check_suffix(path, spec)
    writers: dict[str, Callable[..., None]] = {
        ".npz": _write_npz,
        ".csv": _write_csv,
        ".txt": _write_txt,
        ".png": partial(_write_png, columns),
        ".gif": partial(_write_gif, columns),
        ".wav": _write_wav,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writers[path.suffix.lower()](path, decoded, spec, labels)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from None


def _write_npz(path: Path, decoded: Any, _spec: Spec, labels: Any) -> None:
    arrays: dict[str, Any] = {"samples": numpy.asarray(decoded)}
    if labels is not None:
        arrays["labels"] = numpy.asarray(labels)
    numpy.savez_compressed(path, **arrays)


def _write_csv(path: Path, decoded: Any, spec: Spec, _labels: Any) -> None:
    rows = [[row] if isinstance(row, str) else list(row) for row in decoded]
    header = spec.encoding.get("columns") or [f"x{index}" for index in range(len(rows[0]))]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def _write_txt(path: Path, decoded: Any, _spec: Spec, _labels: Any) -> None:
    lines = [row if isinstance(row, str) else " ".join(map(str, row)) for row in decoded]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_png(columns: int | None, path: Path, decoded: Any, spec: Spec, _labels: Any) -> None:
    if spec.kind == "audio":
        picture = grid(sounds.spectrograms(decoded, sounds.rate(spec)), columns)
    else:
        picture = grid(decoded, columns) if spec.kind == "image" else scatter(decoded)
    picture.save(path)


def _write_gif(columns: int | None, path: Path, decoded: Any, spec: Spec, _labels: Any) -> None:
    frames = [grid(decoded[:, time], columns) for time in range(decoded.shape[1])]
    animate(path, frames, spec.encoding.get("frames_per_second", 10))


def animate(path: Path, frames: list[Image.Image], rate_hz: float) -> None:
    """Pictures as a .gif that plays again and again, each in place of the one before."""
    first, *others = frames
    first.save(path, save_all=True, append_images=others, duration=1000 / rate_hz, loop=0, disposal=2)


def _write_wav(path: Path, decoded: Any, spec: Spec, _labels: Any) -> None:
    sounds.write_wav(path, decoded, sounds.rate(spec))


def read_picture(data: bytes, channels: int) -> Tensor:
    """A picture file's contents as [channels, H, W] in [-1, 1], of 1, 3 or 4 channels. Raises many types for a damaged
    file."""
    with warnings.catch_warnings():  # Pillow's are not for our user
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            shown = upright(picture, {1: "L", 3: "RGB", 4: "RGBA"}[channels])
    pixels = numpy.asarray(shown, dtype=numpy.float32).reshape(shown.height, shown.width, channels)
    return torch.from_numpy(pixels.transpose(2, 0, 1) / 127.5 - 1)


def upright(picture: Image.Image, mode: str) -> Image.Image:
    """A picture in Pillow's mode L, RGB or RGBA, as data sets read it: upright, 16 bits as 8, on white where it is
    transparent and alpha is not kept."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # Pillow itself would cut at 255
        picture = Image.fromarray((numpy.asarray(picture).clip(0, 65535) / 257).round().astype(numpy.uint8))
    if mode != "RGBA" and ("A" in picture.getbands() or "transparency" in picture.info):
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    return picture.convert(mode)


def grid(pictures: numpy.ndarray, columns: int | None = None) -> Image.Image:
    """Pictures [N, H, W, C] side by side, two pixels apart, in as square a sheet as the number allows."""
    count, height, width, channels = pictures.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    shown = pictures[..., : channels if channels in (1, 3, 4) else 1]
    top = numpy.iinfo(pictures.dtype).max
    sheet = numpy.full((rows * (height + 2) - 2, columns * (width + 2) - 2, shown.shape[-1]), top, pictures.dtype)
    for index, picture in enumerate(shown):
        row, column = divmod(index, columns)
        sheet[row * (height + 2) :, column * (width + 2) :][:height, :width] = picture
    sheet = sheet[..., 0] if shown.shape[-1] == 1 else sheet
    if sheet.dtype == numpy.uint16 and sheet.ndim == 3:
        sheet = (sheet >> 8).astype(numpy.uint8)
    return Image.fromarray(sheet)


def scatter(points: numpy.ndarray, size: int = 512) -> Image.Image:
    """The first two coordinates of points [N, D] as dots, the longer axis filling the picture."""
    picture = Image.new("L", (size, size), 255)
    pen = ImageDraw.Draw(picture)
    flat = points.reshape(len(points), -1)
    flat = flat[:, :2] if flat.shape[1] > 1 else numpy.concatenate([flat, numpy.zeros_like(flat)], axis=1)
    reach = 1.1 * max(float(numpy.abs(flat).max()), 1e-6)
    for x, y in (flat / reach + 1) * size / 2:
        pen.ellipse((x - 2, size - y - 2, x + 2, size - y + 2), fill=40)
    return picture
