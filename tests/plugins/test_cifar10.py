"""CIFAR-10 in its published forms, in damaged files, and in pickles that would run something."""

from __future__ import annotations

import io
import os
import pickle
import random
import tarfile
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from ganzoo import DataError, GanzooError, Spec, Stream
from ganzoo.config import Choice
from ganzoo.registry import installed
from ganzoo.samples import decode
from ganzoo_plugins.datasets.cifar10 import CLASSES
from ganzoo_plugins.datasets.pickles import read_pickle

COUNT = 12  # pictures in each file
TRAIN = [f"data_batch_{number}" for number in range(1, 6)]
PIXELS = numpy.random.default_rng(0).integers(0, 256, (6, COUNT, 3072), numpy.uint8)  # the last are for testing
LABELS = numpy.arange(6 * COUNT).reshape(6, COUNT) % 10


def opened(path, split="train", **options):
    return installed().make("dataset", "cifar10", {"path": str(path), "split": split, **options}).open()


def refused(told, path, split="train"):
    """Opening fails with one sentence."""
    with pytest.raises(DataError, match=told) as caught:
        opened(path, split)
    assert "\n" not in str(caught.value)


def python2(pixels: numpy.ndarray, labels: list[int]) -> bytes:
    """A batch to the byte as Python 2 and numpy of 2009 pickled it: all texts are byte strings of protocol 2."""

    def text(value: bytes) -> bytes:
        return (
            b"U" + bytes([len(value)]) + value if len(value) < 256 else b"T" + len(value).to_bytes(4, "little") + value
        )

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n" + b"K\x00\x85" + text(b"b") + b"\x87R"
        b"(K\x01" + number(len(pixels)) + number(pixels.shape[1]) + b"\x86"
        b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R" + b"(K\x03" + text(b"|") + b"NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb" + b"\x89" + text(pixels.tobytes()) + b"tb"
    )
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"labels") + listed + text(b"data") + array + b"u."


def write_python(folder: Path) -> None:
    for name, pixels, labels in zip([*TRAIN, "test_batch"], PIXELS, LABELS, strict=True):
        (folder / name).write_bytes(python2(pixels, labels.tolist()))
    (folder / "batches.meta").write_bytes(b"not read")


def write_binary(folder: Path) -> None:
    for name, pixels, labels in zip([*TRAIN, "test_batch"], PIXELS, LABELS, strict=True):
        (folder / f"{name}.bin").write_bytes(records(pixels, labels))


def records(pixels: numpy.ndarray, labels: numpy.ndarray) -> bytes:
    return numpy.concatenate([labels[:, None].astype(numpy.uint8), pixels], axis=1).tobytes()


def write_pictures(folder: Path) -> None:
    for index, (pixels, label) in enumerate(zip(PIXELS.reshape(-1, 3, 32, 32), LABELS.reshape(-1), strict=True)):
        place = folder / ("train" if index < 5 * COUNT else "test") / CLASSES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.transpose(1, 2, 0)).save(place / f"{index:04}.png")


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix != ".tar" else "w") as archive:
        for file in sorted(folder.iterdir(), reverse=True):  # the published archive is in no order either
            archive.add(file, f"cifar-10-batches-py/{file.name}")
    return path


def zipped(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return path


@pytest.fixture
def files(tmp_path):
    """An empty folder beside which packed files can be written."""
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


# What is read


@pytest.mark.parametrize("packed", ["", ".tar.gz", ".tgz", ".tar", ".zip"])
@pytest.mark.parametrize("write", [write_python, write_binary, write_pictures])
def test_forms_hold_the_same_pictures(files, tmp_path, write, packed):
    write(files)
    path = files
    if packed:
        if write is write_pictures and packed != ".zip":
            pytest.skip("pictures come in a folder or a .zip")
        path = (zipped if packed == ".zip" else tarred)(files, tmp_path / f"cifar{packed}")
    for split, batches in (("train", slice(0, 5)), ("test", slice(5, 6))):
        found = opened(path, split)
        assert found.spec == Spec("image", (3, 32, 32), CLASSES)
        pictures = decode(found.fetch(list(range(len(found)))).sample, found.spec)
        wanted = PIXELS[batches].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        order = numpy.arange(len(wanted))
        if write is write_pictures:  # they stand in the order of their classes
            order = numpy.argsort([CLASSES[label] for label in LABELS[batches].reshape(-1)], kind="stable")
        assert (pictures == wanted[order]).all()
        assert found.labels.tolist() == LABELS[batches].reshape(-1)[order].tolist()
        assert (
            f"{len(wanted)} pictures, and the published {split} split has {'5' if split == 'train' else '1'}0000"
            in (found.notes[0])
        )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", [str, str.encode])
def test_batches_pickled_again(files, protocol, text):
    """By Python 3 and today's numpy, with any protocol, labels as a list or as an array."""
    for held in (LABELS[5].tolist(), LABELS[5]):
        batch = {text("labels"): held, text("data"): PIXELS[5], text("batch_label"): text("testing batch 1 of 1")}
        (files / "test_batch").write_bytes(pickle.dumps(batch, protocol))
        assert opened(files, "test").labels.tolist() == LABELS[5].tolist()


def test_size_and_repeated_reading(files):
    write_binary(files)
    found = opened(files, size="16x24")
    assert found.spec.shape == (3, 16, 24)
    assert found.fingerprint() == opened(files, size="16x24").fingerprint() != opened(files).fingerprint()
    batch = Stream(found, 0).take(7)
    assert batch.sample.shape == (7, 3, 16, 24) and batch.sample.abs().max() <= 1 and not found.decodes


def test_published_archive_inside_a_folder(files, tmp_path, monkeypatch):
    write_python(files)
    root = tmp_path / "data"
    (root / "cifar10").mkdir(parents=True)
    tarred(files, root / "cifar10" / "cifar-10-python.tar.gz")
    assert len(opened(root / "cifar10")) == 5 * COUNT
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    make = installed().make
    assert len(make("dataset", "cifar10", {}).open()) == 5 * COUNT
    other = tmp_path / "other"
    other.mkdir()
    (root / "cifar10" / "cifar-10-python.tar.gz").rename(other / "cifar-10-python.tar.gz")
    monkeypatch.setenv("GANZOO_DATA", str(other))
    assert len(make("dataset", "cifar10", {"split": "test"}).open()) == COUNT
    (other / "cifar-10-python.tar.gz").unlink()
    (root / "cifar10").rmdir()
    with pytest.raises(DataError, match=r"there is no .*other/cifar10 and no .*--data cifar10:path=PATH"):
        make("dataset", "cifar10", {}).open()


def test_files_are_recognised(files, tmp_path):
    write_python(files)
    packed = tarred(files, tmp_path / "cifar-10-python.tar.gz")
    for path in (files, packed):
        assert Choice.parse_path(f"{path}:split=test", installed()) == Choice(
            "cifar10", {"path": str(path), "split": "test"}
        )
    assert not installed().get("dataset", "cifar10").recognises(tmp_path)


def test_real_pictures(real_data):
    path = real_data / "cifar10_jpg" / "cifar10_jpg.zip"
    for split, each in (("train", 2000), ("test", 1000)):
        found = opened(path, split)
        assert found.spec == Spec("image", (3, 32, 32), CLASSES)
        assert torch.bincount(found.labels).tolist() == [each] * 10
        assert bool(found.notes) == (split == "train")
    means = found.samples.float().mean((0, 2, 3)) / 255
    assert means.tolist() == pytest.approx([0.494, 0.485, 0.450], abs=2e-3)  # of the published test pictures


# What is refused


class Hostile:
    """Would make a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_executed(files, tmp_path, protocol):
    for batch in (Hostile(tmp_path / "made"), {"data": Hostile(tmp_path / "made"), "labels": [1]}):
        (files / "test_batch").write_bytes(pickle.dumps(batch, protocol))
        refused(r"cannot read test_batch in .*: it asks for (posix|os|nt)\.mkdir, and only lists", files, "test")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("builtins", "eval"),
        ("__builtin__", "eval"),
        ("os", "system"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("numpy.core.multiarray", "fromfile"),
        ("numpy.core.multiarray", "scalar"),
        ("_codecs", "decode"),
        ("functools", "partial"),
        ("copyreg", "_reconstructor"),
        ("ganzoo_plugins.datasets.pickles", "_Array"),
        ("numpy", "dtype.__class__"),
    ],
)
def test_names_that_are_not_those_of_arrays(module, name):
    with pytest.raises(ValueError, match=f"it asks for {module}.{name}, and only"):
        read_pickle(b"c" + f"{module}\n{name}\n".encode() + b"(tR.")


@pytest.mark.parametrize(
    "data",
    [
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x05\x00\x00\x00rot13tR.",
        b"cnumpy\nndarray\n((K\x05tK\x00tR.",
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR0cnumpy.core.multiarray\n_reconstruct\n(NK\x00tR"
        b"(K\x01(K\x01tcnumpy\ndtype\n(X\x01\x00\x00\x00OtR\x89C\x08aaaaaaaatb.",
        b"cnumpy.core.multiarray\n_reconstruct\n(NK\x00tR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(NK\x00tR}X\x04\x00\x00\x00dataNsb.",
        b"Pidentity\n.",
        b"\x82\x01.",
        b"]r\xff\xff\xff\xff.",
    ],
    ids=range(8),
)
def test_forms_that_nobody_writes_do_no_harm(data):
    try:
        read_pickle(data)
    except Exception as error:
        assert not isinstance(error, MemoryError)


def test_numbers_of_every_kind_are_read():
    for kind in ("?", "u1", "<i2", ">i4", "<i8", ">f8", "f4"):
        array = numpy.arange(6).reshape(2, 3).astype(kind)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for order in (array, numpy.asfortranarray(array)):
                if kind != "?":
                    (back,) = read_pickle(pickle.dumps([order], protocol))
                    assert back.dtype == array.dtype and (back == array).all()


@pytest.mark.parametrize(
    ("batch", "told"),
    [
        ([1, 2], "does not hold a dictionary"),
        ({"labels": [1]}, "has no data; it has: labels"),
        ({b"data": PIXELS[5], b"fine_labels": [1]}, "has no labels; it has: data, fine_labels"),
        ({"data": PIXELS[5].astype(numpy.int32), "labels": LABELS[5].tolist()}, r"not bytes \[N, 3072\]"),
        ({"data": PIXELS[5][:, :784], "labels": LABELS[5].tolist()}, r"not bytes \[N, 3072\]"),
        ({"data": "text", "labels": [1]}, r"not bytes \[N, 3072\]"),
        ({"data": PIXELS[5], "labels": [1]}, "labels are not 12 whole numbers"),
        ({"data": PIXELS[5], "labels": ["cat"] * COUNT}, "labels are not 12 whole numbers"),
        ({"data": PIXELS[5], "labels": [10] * COUNT}, "labels from 10 to 10, and CIFAR-10 has 0 to 9"),
        ({"data": PIXELS[5], "labels": [-1] * COUNT}, "labels from -1 to -1"),
        ({"data": PIXELS[5][:0], "labels": []}, "is empty|not 0 whole numbers"),
    ],
    ids=range(11),
)
def test_batches_that_are_not_cifar10(files, batch, told):
    (files / "test_batch").write_bytes(pickle.dumps(batch))
    refused(rf"cannot read test_batch in .*{told}", files, "test")


def test_binary_files_that_are_not_whole(files):
    whole = records(PIXELS[5], LABELS[5])
    for data, told in (
        (whole[:-1], "36875 bytes, which is not a multiple of 3073; get the file again"),
        (b"", "is empty"),
        (bytes([11]) + whole[1:], "labels from 1 to 11|labels from 0 to 11"),
    ):
        (files / "test_batch.bin").write_bytes(data)
        refused(told, files, "test")


def test_missing_files_say_what_is_wanted(files, tmp_path):
    refused("holds no CIFAR-10 for split=train; get cifar-10-python.tar.gz", files)
    refused("there is no file or folder", tmp_path / "none")
    write_python(files)
    (files / "data_batch_3").unlink()
    refused("has data_batch_1, data_batch_2, data_batch_4, data_batch_5 and no data_batch_3; get", files)
    refused("no data_batch_3", tarred(files, tmp_path / "cifar-10-python.tar.gz"))
    assert len(opened(files, "test")) == COUNT


def test_pictures_that_are_not_cifar10(files):
    write_pictures(files)
    place = files / "train" / "cat" / "big.png"
    Image.new("RGB", (64, 48)).save(place)
    refused(r"train/cat/big.png in .*48x64 pixels and not 32x32; mend or remove it", files)
    place.write_bytes(b"text")
    refused("cannot read the picture train/cat/big.png", files)
    place.unlink()
    (files / "train" / "zebra").mkdir()
    Image.new("RGB", (32, 32)).save(files / "train" / "zebra" / "a.png")
    refused("has a folder zebra in train, and the classes of CIFAR-10 are airplane, .*--data folder:path=PATH", files)
    assert len(opened(files, "test")) == COUNT


def test_damaged_archives(files, tmp_path):
    write_python(files)
    path = tarred(files, tmp_path / "cifar-10-python.tar.gz")
    whole = path.read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2], whole[:-8], whole[:2000] + bytes(3000) + whole[5000:]):
        path.write_bytes(data)
        refused(r"is not a .tar file that can be read", path)


def test_mutated_files_never_give_another_error(files, tmp_path):
    generator = random.Random(0)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("test_batch")
        member.size = len(batch := python2(PIXELS[5], LABELS[5].tolist()))
        archive.addfile(member, io.BytesIO(batch))
    for name, whole in (
        ("test_batch", batch),
        ("test_batch", pickle.dumps({"data": PIXELS[5], "labels": LABELS[5].tolist()})),
        ("test_batch.bin", records(PIXELS[5], LABELS[5])),
        ("cifar.tar", packed.getvalue()),
    ):
        path = files / name
        for _ in range(150):
            data = bytearray(whole)
            for _ in range(generator.randint(1, 5)):
                data[generator.randrange(min(len(data), generator.choice([300, 1 << 30])))] = generator.randrange(256)
            path.write_bytes(data[: generator.choice([len(data)] * 3 + [generator.randrange(len(data))])])
            try:
                opened(path if name == "cifar.tar" else files, "test").fetch([0])
            except GanzooError as error:
                assert "\n" not in str(error)
        path.unlink()
