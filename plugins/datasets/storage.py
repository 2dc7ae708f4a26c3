"""Files in a folder, a .zip or a .tar, read alike, and where they are looked for: what data sets of files share."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import posixpath
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from ganzoo import DataError

LARGEST = 256 << 20  # bytes of one file, unpacked


class Storage:
    """Files under one root. sizes: bytes (unpacked) by name, sorted; the parts of a name stand between slashes."""

    sizes: dict[str, int]

    def open(self, name: str) -> IO[bytes]:
        """A file, to be closed by the caller. Raises whatever a damaged file makes its reader raise: see `telling`."""
        if self.sizes[name] > LARGEST:
            raise ValueError(
                f"it has {self.sizes[name] >> 20} MiB unpacked, "
                f"and {LARGEST >> 20} MiB are the most that one file may have"
            )
        return self._open(name)

    def _open(self, name: str) -> IO[bytes]:
        raise NotImplementedError

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise ValueError(f"it has more than {LARGEST >> 20} MiB")
        return data


class Folder(Storage):
    """The files below a folder. Links are followed; each real folder is visited once, so a circle of links ends."""

    def __init__(self, path: Path):
        self.path = path
        self.sizes = dict(sorted(_walk(path)))

    def _open(self, name: str) -> IO[bytes]:
        return (self.path / name).open("rb")


class Zip(Storage):
    """The files in a .zip, or below a folder inside it. Nothing is unpacked to disk."""

    def __init__(self, path: Path, inside: str = ""):
        self.path, self.prefix = path, f"{inside}/" if inside else ""
        self._opened: tuple[int, zipfile.ZipFile] | None = None
        with telling(f"{path} is not a .zip file that can be read"):
            entries = [entry for entry in self._zip().infolist() if not entry.is_dir()]
        for entry in entries:
            _check_entry(path, entry)
        found = {entry.filename: entry.file_size for entry in entries if entry.filename.startswith(self.prefix)}
        self.sizes = {name[len(self.prefix) :]: size for name, size in sorted(found.items()) if not _hidden(name)}

    def _open(self, name: str) -> IO[bytes]:
        return self._zip().open(self.prefix + name)

    def _zip(self) -> zipfile.ZipFile:
        # A file position shared with the process that this one was forked from would give each the other's bytes.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}


class Tar(Storage):
    """The wanted files in a .tar, held in memory, because a packed one can only be read from its beginning on."""

    def __init__(self, path: Path, wanted: Callable[[str], bool]):
        self.files: dict[str, bytes] = {}
        with telling(f"{path} is not a .tar file that can be read", "get the file again"), unpacked(path) as file:
            with tarfile.open(fileobj=file, mode="r|") as archive:
                for entry in archive:
                    if entry.isfile() and wanted(entry.name) and not _hidden(entry.name.removeprefix("./")):
                        self.files[entry.name] = self._contents(archive, entry)
            while file.read(1 << 20):  # to its end, where a packed file's checksum stands
                pass
        self.sizes = {name: len(data) for name, data in sorted(self.files.items())}

    def _contents(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
        if entry.size + sum(map(len, self.files.values())) > 4 * LARGEST:
            raise ValueError(f"with {shown(entry.name)} it has more than {4 * LARGEST >> 20} MiB unpacked")
        file = archive.extractfile(entry)
        return b"" if file is None else file.read()

    def _open(self, name: str) -> IO[bytes]:
        return io.BytesIO(self.files[name])


def unpacked(path: Path) -> Any:
    """A file, unpacked if it is a .gz, whatever its name is: browsers unpack a .gz and keep its name."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def looked_for(names: Iterable[str], wanted: str) -> Path:
    """The first of these names that is there, in $GANZOO_DATA, then in ./data. Raises DataError: ...; WANTED."""
    roots = [Path(os.environ["GANZOO_DATA"]).expanduser()] if os.environ.get("GANZOO_DATA") else []
    places = [root / name for root in (*roots, Path("data")) for name in names]
    for place in places:
        if place.exists():
            return place
    raise DataError(f"there is no {' and no '.join(map(str, places))}; {wanted}")


def storage(path: Path) -> Storage:
    """The files of a folder, of a .zip, or of a folder inside a .zip (`FILE.zip/FOLDER`). Raises DataError."""
    archive, inside = _split(path)
    if archive is not None:
        return Zip(archive, inside)
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise DataError(f"there is no file or folder {path}; write path=FOLDER or path=FILE.zip")
    raise DataError(f"{path} is neither a folder nor a .zip file; write path=FOLDER or path=FILE.zip")


def holds(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether there is a file with such a suffix in a folder or a .zip. True for a .zip that is empty or damaged: the
    data set that opens it says what is wrong."""
    archive, inside = _split(path)
    try:
        if archive is None:
            return path.is_dir() and any(name.lower().endswith(suffixes) for name, _ in _walk(path))
        names = Zip(archive, inside).sizes
    except DataError:
        return archive is not None
    return not names or any(name.lower().endswith(suffixes) for name in names)


@contextlib.contextmanager
def telling(what: str, then: str = "") -> Iterator[None]:
    """Whatever is raised inside becomes a DataError `WHAT: REASON; THEN`."""
    try:
        yield
    except DataError:
        raise
    # zipfile, Pillow, numpy and json raise nearly any type for a damaged file:
    # struct.error, zlib.error, IndexError, ...
    except Exception as error:
        raise DataError(f"{what}: {reason(error)}" + (f"; {then}" if then else "")) from None


def reason(error: BaseException) -> str:
    """An error's text in one short line."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    return text[:160] if text else type(error).__name__


def shown(name: str) -> str:
    """A file's name as it can be printed: names may hold line ends or bytes that are not text."""
    return name if name.isprintable() else ascii(name)


def common_folder(names: list[str]) -> str:
    """The folders that all names have in common, with a slash behind each; empty where there are none."""
    folder = posixpath.commonpath([name.rpartition("/")[0] for name in names])
    return f"{folder}/" if folder else ""


def _split(path: Path) -> tuple[Path | None, str]:
    """The .zip file that a path leads to or into, and the folder inside it."""
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file():
            inside = path.relative_to(archive).as_posix()
            return archive, "" if inside == "." else inside
    return None, ""


def _walk(root: Path) -> Iterator[tuple[str, int]]:
    """Name and size of every file below a folder. Names that begin with a dot are left out."""
    seen, waiting = set(), [""]
    while waiting:
        prefix = waiting.pop()
        folder = root / prefix
        if (real := os.path.realpath(folder)) in seen:
            continue
        seen.add(real)
        with telling(f"cannot read the folder {shown(str(folder))}"):
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            if not _hidden(entry.name):
                size = _size(entry)
                if size is None:
                    waiting.append(f"{prefix}{entry.name}/")
                elif size >= 0:
                    yield prefix + entry.name, size


def _size(entry: os.DirEntry[str]) -> int | None:
    """A file's size in bytes; None for a folder; -1 for what is neither (a pipe, a link that leads nowhere)."""
    try:
        if entry.is_dir():
            return None
        return entry.stat().st_size if entry.is_file() else -1
    except OSError:
        return -1


def _hidden(name: str) -> bool:
    """What file managers leave behind: .DS_Store, __MACOSX/._picture.jpg."""
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))


def _check_entry(path: Path, entry: zipfile.ZipInfo) -> None:
    name = entry.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        raise DataError(
            f"{path} holds an entry that leads out of it, {entry.filename!a}; make a .zip without such entries"
        )
    if entry.flag_bits & 0x1:
        raise DataError(f"{path} is encrypted ({shown(name)}); unpack it with its password and write path=FOLDER")
