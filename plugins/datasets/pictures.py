"""What the picture data sets share: reading a picture's header, decoding it, and bringing pictures to one size."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator
from typing import IO, Any, Literal, NamedTuple

import numpy
import torch
from PIL import Image
from torch import Tensor

from ganzoo import Arrays, Size, Spec

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".webp")
# Named, because Pillow would otherwise try readers that run other programs (EPS) or that nobody expects.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
MOST_PIXELS = 64_000_000
BITS16 = {"bits": 16}

Form = Literal["grey", "rgb", "rgba", "deep"]  # deep: grey of 16 bits
Fit = Literal["crop", "stretch", "pad"]
CHANNELS: dict[Form, int] = {"grey": 1, "rgb": 3, "rgba": 4, "deep": 1}
_MODES: dict[Form, str] = {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def from_pictures(pixels: numpy.ndarray, labels: Any, classes: tuple[str, ...], size: Size) -> Arrays:
    """Pictures [N, H, W, C] of bytes as a collection of [C, height, width], resized with Pillow's bilinear filter."""
    samples = torch.from_numpy(numpy.ascontiguousarray(resized(pixels, size).transpose(0, 3, 1, 2)))
    spec = Spec("image", tuple(samples.shape[1:]), classes)
    return Arrays(spec, samples, None if labels is None else torch.as_tensor(numpy.asarray(labels)).long())


def resized(pixels: numpy.ndarray, size: Size) -> numpy.ndarray:
    """Pictures [N, H, W, C] of bytes or float32, stretched to a size with Pillow's bilinear filter, which averages
    where it reduces. Pillow reckons bytes in whole numbers, so that every machine gets the same data."""
    if pixels.shape[1:3] == size:
        return pixels
    made = numpy.empty((len(pixels), *size, pixels.shape[3]), pixels.dtype)
    for channel in range(pixels.shape[3]):
        for index, picture in enumerate(numpy.ascontiguousarray(pixels[..., channel])):
            made[index, ..., channel] = Image.fromarray(picture).resize(
                (size.width, size.height), Image.Resampling.BILINEAR
            )
    return made


class Header(NamedTuple):
    """What a picture is, as it will stand upright."""

    height: int
    width: int
    form: Form


def read_header(file: IO[bytes]) -> Header:
    """What a picture is, without decoding it. Raises many types for a damaged file."""
    with _opened(file) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return Header(height, width, _form(image))


def decode(data: bytes, form: Form) -> Image.Image:
    """A picture, upright, in Pillow's mode for this form (`deep` as F, 0 to 65535).
    Raises many types for a damaged file."""
    with _opened(io.BytesIO(data)) as image:
        image.load()
        turn = _TURNS.get(_orientation(image))
        return _converted(image if turn is None else image.transpose(turn), form)


def count_frames(file: IO[bytes]) -> int:
    """How many pictures an animation holds; 1 for any other picture. Raises many types for a damaged file."""
    with _opened(file) as image:
        return int(getattr(image, "n_frames", 1))


def decode_frames(data: bytes, form: Form, chosen: Iterable[int]) -> list[Image.Image]:
    """These pictures of an animation, counted from 0, as `decode` gives one. Raises many types for a damaged file."""
    found = []
    with _opened(io.BytesIO(data)) as image:
        for number in chosen:
            image.seek(number)
            found.append(_converted(image.copy(), form))  # a copy, as the next one is drawn over it
    return found


def decode_labels(data: bytes, count: int) -> Image.Image:
    """A label map, upright, in Pillow's mode L: a grey picture's levels or a palette's numbers, below `count`.
    Raises many types for a damaged file, and ValueError for a file that is no such map."""
    with _opened(io.BytesIO(data)) as image:
        if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
            raise ValueError("it has colours, and a label map is grey or has a palette")
        turn = _TURNS.get(_orientation(image))
        values = numpy.asarray(image if turn is None else image.transpose(turn)).astype(numpy.int64)
    wrong = values[(values < 0) | (values >= count)]
    if wrong.size:
        raise ValueError(f"it holds the label {wrong.max()}, and labels={count} means labels from 0 to {count - 1}")
    return Image.fromarray(values.astype(numpy.uint8))


def to_labels(images: list[Image.Image]) -> Tensor:
    """Label maps of one size as whole numbers [N, H, W]."""
    return torch.from_numpy(numpy.stack([numpy.asarray(image) for image in images])).long()


def painted(labels: Tensor) -> Tensor:
    """Label maps [N, H, W] as pictures [N, 3, H, W] in [-1, 1], in the colours of the PASCAL VOC challenge: the bits of
    a label are dealt out to red, green and blue, the lowest as their highest, so that 256 labels have a colour each."""
    bits = (labels[..., None] >> torch.arange(9, device=labels.device)) & 1
    worth = 2 ** torch.arange(7, 4, -1, device=labels.device)
    levels = (bits.unflatten(-1, (3, 3)) * worth[:, None]).sum(-2)
    return levels.movedim(-1, 1).float() / 127.5 - 1


def fit(
    image: Image.Image, size: Size, how: Fit, resampling: Image.Resampling = Image.Resampling.LANCZOS
) -> Image.Image:
    """A picture in this size. crop: it covers the size and its centre is kept; stretch: its proportions change;
    pad: all of it is kept, with black (transparent) margins. Pillow's Lanczos filter unless told."""
    width, height = image.size
    if (height, width) == size:
        return image
    if how == "pad":
        return _padded(image, size, resampling)
    box = None
    if how == "crop":
        scale = min(width / size.width, height / size.height)
        across, down = min(size.width * scale, width), min(size.height * scale, height)
        left, top = (width - across) / 2, (height - down) / 2
        box = (left, top, min(left + across, width), min(top + down, height))
    return image.resize((size.width, size.height), resampling, box)


def to_samples(images: list[Image.Image], form: Form) -> Tensor:
    """Pictures of one size as float32 [N, C, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(numpy.stack([numpy.asarray(image) for image in images]))
    pixels = pixels[:, None] if CHANNELS[form] == 1 else pixels.permute(0, 3, 1, 2)
    levels = pixels.float().contiguous()
    if form == "deep":
        return levels.round_().clamp_(0, 65535).div_(65535 / 2).sub_(1)
    return levels.div_(127.5).sub_(1)


def form_of(spec: Spec) -> Form:
    """The form that gave pictures of this spec."""
    if spec.encoding == BITS16:
        return "deep"
    return {1: "grey", 3: "rgb", 4: "rgba"}[spec.shape[0]]  # type: ignore[return-value]


@contextlib.contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """A picture whose header has been read and whose size is bearable. Pillow's warnings are not for our user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.UnidentifiedImageError:
            raise ValueError(f"it is not a picture ({', '.join(FORMATS)})") from None
        except Image.DecompressionBombError:
            raise ValueError("it has more than 64 megapixels") from None
        with image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(
                    f"it has {image.width * image.height / 1e6:.0f} megapixels, and 64 are the most that are read"
                )
            yield image


def _orientation(image: Image.Image) -> int:
    """How the camera was held (EXIF), 1 for upright. Damaged EXIF data count as none: the pixels may be whole."""
    if "exif" not in image.info and image.format != "TIFF":
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    # Pillow's EXIF reader raises nearly any type for damaged data.
    except Exception:
        return 1


def _form(image: Image.Image) -> Form:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no known range; save it as PNG")
    if image.mode.startswith("I"):
        return "deep"
    if image.has_transparency_data:
        return "rgba"
    return "grey" if image.mode in ("1", "L") else "rgb"


def _converted(image: Image.Image, form: Form) -> Image.Image:
    if image.mode.startswith("I"):
        levels = numpy.asarray(image).astype(numpy.float32).clip(0, 65535)
        if form == "deep":
            return Image.fromarray(levels)
        image = Image.fromarray((levels / 257).round().astype(numpy.uint8))
    elif form == "deep":
        image = image.convert("L")
        return Image.fromarray(numpy.asarray(image).astype(numpy.float32) * 257)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if form != "rgba":  # on white: the colours of transparent pixels were never meant to be seen
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image if image.mode == _MODES[form] else image.convert(_MODES[form])


def _padded(image: Image.Image, size: Size, resampling: Image.Resampling) -> Image.Image:
    scale = min(size.width / image.width, size.height / image.height)
    inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    sheet = Image.new(image.mode, (size.width, size.height))
    sheet.paste(image.resize(inner, resampling), ((size.width - inner[0]) // 2, (size.height - inner[1]) // 2))
    return sheet
