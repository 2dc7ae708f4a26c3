"""`ganzoo translate`: pictures through a trained translator, each at its own size."""

from __future__ import annotations

import dataclasses
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from . import samples
from .data import Spec
from .draws import derive, without_a_trace
from .errors import DataError, RunError, UsageError
from .game import Game, evaluating
from .progress import tracked
from .run import Run


@dataclass(frozen=True)
class Picture:
    """A file of a folder or a .zip. name: in it."""

    name: str
    given: Path
    read: Callable[[], bytes]

    def __str__(self) -> str:
        text = str(self.given / self.name)
        return text if text.isprintable() else ascii(text)


def translate(
    run: Run, given: Path, out: Path, backwards: bool = False, step: int | None = None, device: str = "auto"
) -> Path:
    """Translate every picture below a folder, in a .zip (or a folder in it) or of one file, and write each under its
    name as a .png into `out`. What lies there under other names stays. Raises DataError, RunError and UsageError."""
    game = run.game(step, device)
    network = _translator(game, backwards)
    for target, picture in tracked(list(_targets(given, out).items()), "translate"):
        source = _read(game, picture, backwards)
        try:
            made = _through(game, network, source[None])
        except RunError as error:
            raise RunError(f"{picture}: {error}") from None
        _write(target, game, made, backwards)
    return out


def translated(game: Game, pictures: Tensor, backwards: bool = False) -> Tensor:
    """What a game's translator makes of pictures [N, C, H, W] of any height and width: as many of the same size, on the
    CPU. Raises UsageError where there is no translator or the channels are others, and RunError where its network
    cannot take the size."""
    network = _translator(game, backwards)
    channels = _shapes(game.spec, backwards)[0][0]
    if pictures.ndim != 4 or pictures.shape[1] != channels:
        raise UsageError(
            f"the run translates pictures [N, {channels}, height, width], and these are {list(pictures.shape)}"
        )
    return _through(game, network, pictures)


def _translator(game: Game, backwards: bool) -> nn.Module:
    """The network. Raises UsageError where there is none, or what it translates are no pictures."""
    network = game.procedure.translator(game, backwards)
    if game.spec.kind != "image" or any(len(shape) != 3 for shape in _shapes(game.spec)):
        raise UsageError(f"the run's data are {game.spec.kind}, and pictures are what can be translated")
    return network


def _shapes(spec: Spec, backwards: bool = False) -> list[tuple[int, ...]]:
    """Of what is given and of what is made."""
    shapes = [spec.source or (), spec.shape]
    return shapes[::-1] if backwards else shapes


def _through(game: Game, network: nn.Module, pictures: Tensor) -> Tensor:
    """Pictures reflected at their edges until the network can halve them as often as it does, and cut back."""
    height, width = pictures.shape[2:]
    multiple = int(getattr(network, "multiple", 1))
    rows, columns = (_reflected(length, -length % multiple) for length in (height, width))
    placed = pictures.to(game.device, game.dtype)[:, :, rows][:, :, :, columns]
    seed = derive(game.seed, "translate")  # a picture's noise is that of no other picture
    with evaluating(network), without_a_trace(game.device, seed):
        try:
            made: Tensor = network(placed, None)
        except (RuntimeError, ValueError) as error:  # torch's words for too few pixels, or for too little memory
            why = str(error).strip().partition("\n")[0]
            raise RunError(f"the network cannot translate {height}x{width} pixels (height x width): {why}") from None
    top, left = (placed.shape[2] - height) // 2, (placed.shape[3] - width) // 2
    return made[:, :, top : top + height, left : left + width].cpu()


def _reflected(length: int, more: int) -> Tensor:
    """Which row stands where, when `more` rows are added at both ends as mirrors would show them, as often as needed
    (torch's own padding takes no more rows than there are)."""
    places = torch.arange(length + more) - more // 2
    places = places.remainder(max(1, 2 * length - 2))
    return torch.minimum(places, (2 * length - 2 - places).abs())


def _read(game: Game, picture: Picture, backwards: bool) -> Tensor:
    """A picture as the data set reads its sources, or its samples. Raises DataError."""
    spec = game.spec
    try:
        data = picture.read()
        if backwards:
            return samples.read_picture(data, spec.shape[0])
        source: Tensor = game.parts.dataset.read_source(data, spec)
        return source
    except Exception as error:  # Pillow, zipfile and data sets raise nearly any type for a damaged file
        why = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(f"cannot read the picture {picture}: {why}; mend or remove it") from None


def _write(target: Path, game: Game, made: Tensor, backwards: bool) -> None:
    spec, dataset = game.spec, game.parts.dataset
    if backwards:  # the encoding is that of the samples, and sources may be something else than pictures
        channels = made.shape[1] if made.shape[1] in (1, 3, 4) else 3
        spec = dataclasses.replace(spec, shape=(channels, *made.shape[2:]), encoding={})
        made = dataset.show_source(made, spec)
    samples.write(target, dataset.decode(made, spec), spec)


# Files


def _targets(given: Path, out: Path) -> dict[Path, Picture]:
    """Which picture is written where, by name. Raises DataError and UsageError."""
    if given.is_dir() and (out.resolve() == given.resolve() or given.resolve() in out.resolve().parents):
        raise UsageError(f"--out {out} lies in {given}, whose pictures are translated; name a folder outside of it")
    found: dict[Path, Picture] = {}
    for picture in _pictures(given):
        target = (out / picture.name).with_suffix(".png")
        if target in found:
            raise UsageError(f"{found[target]} and {picture} would both be written as {target}; rename one of them")
        if target.resolve() == given.resolve():
            raise UsageError(f"{given} would be written over; name another folder with --out")
        found[target] = picture
    if not found:
        raise DataError(f"there are no pictures in {given}; their names end in {', '.join(_suffixes())}")
    return found


def _pictures(given: Path) -> list[Picture]:
    """The pictures of a file, below a folder, or in a .zip or a folder in it, by name. Raises DataError."""
    found: dict[str, Callable[[], bytes]]
    archive = next((path for path in (given, *given.parents) if path.suffix.lower() == ".zip" and path.is_file()), None)
    if archive is None and given.is_file():
        return [Picture(given.name, given.parent, given.read_bytes)]
    if archive is not None:
        inside = given.relative_to(archive).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        try:
            opened = zipfile.ZipFile(archive)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DataError(f"{archive} is not a .zip file that can be read: {error}") from None
        found = {
            name[len(prefix) :]: partial(opened.read, name) for name in opened.namelist() if name.startswith(prefix)
        }
    elif given.is_dir():
        # Links to folders are not followed: they may lead in a circle.
        paths = [Path(folder, name) for folder, _, names in os.walk(given, onerror=_unread) for name in names]
        found = {path.relative_to(given).as_posix(): path.read_bytes for path in paths}
    else:
        raise DataError(f"there is no file or folder {given}; name a picture, a folder or a .zip of pictures")
    return [Picture(name, given, found[name]) for name in sorted(found) if _is_picture(name)]


def _unread(error: OSError) -> None:
    raise DataError(f"cannot read the folder {error.filename}: {error.strerror}")


def _is_picture(name: str) -> bool:
    """By its suffix; not what is hidden or left behind by file managers, nor a name that leads out of its folder."""
    parts = name.split("/")
    plain = all(part and not part.startswith((".", "__MACOSX")) for part in parts)
    return plain and name.lower().endswith(_suffixes())


def _suffixes() -> tuple[str, ...]:
    known = Image.registered_extensions().items()
    return tuple(sorted(suffix for suffix, form in known if form in samples.FORMATS))
