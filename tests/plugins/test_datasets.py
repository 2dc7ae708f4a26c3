"""The data sets that come with ganzoo, but for `folder`:
real files, damaged files, and what every data set promises."""

from __future__ import annotations

import gzip
import random
import re
import shutil
import struct
import warnings
import zipfile
from pathlib import Path

import numpy
import pytest
import torch

from ganzoo import DataError, GanzooError, Size, Spec, Stream, UsageError, samples
from ganzoo.config import Choice
from ganzoo.registry import installed
from ganzoo.samples import decode


def opened(name, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return installed().make("dataset", name, options).open()


def refused(told, name, **options):
    """Opening fails with one sentence."""
    with pytest.raises(DataError, match=told) as caught:
        opened(name, **options)
    assert "\n" not in str(caught.value)


# What every data set promises


@pytest.mark.parametrize("name", ["digits", "grid", "ring", "shapes"])
def test_embedded_data_sets(name):
    part = installed().get("dataset", name)
    collection = opened(name, **part.tiny)
    batch = collection.fetch([3, 0])
    assert batch.sample.shape == (2, *collection.spec.shape) and batch.sample.dtype == torch.float32
    assert (
        batch.index.tolist() == [3, 0]
        and batch.label.dtype == torch.int64
        and int(batch.label.max()) < len(collection.spec.classes)
    )
    assert set(collection.spec.offers) <= set(part.offers)
    again = opened(name, **part.tiny)
    assert again.fingerprint() == collection.fingerprint() and torch.equal(again.fetch([3, 0]).sample, batch.sample)


@pytest.mark.parametrize("name", ["digits", "shapes"])
def test_workers_change_nothing_and_each_epoch_sees_all(name):
    collection = opened(name, **installed().get("dataset", name).tiny)
    alone, helped = Stream(collection, 7), Stream(collection, 7, workers=2, chunk=6)
    batches = [alone.take(24) for _ in range(4)]
    for batch in batches:
        other = helped.take(24)
        assert torch.equal(batch.sample, other.sample) and torch.equal(batch.label, other.label)
    resumed = Stream(collection, 7, workers=2)
    resumed.load({"position": 48})
    assert torch.equal(resumed.take(24).sample, batches[2].sample)
    size = len(collection)
    assert sorted(alone.indices(0, size)) == list(range(size)) == sorted(alone.indices(size, size))
    assert alone.indices(0, size) != alone.indices(size, size)


# shapes


def test_shapes_show_their_factors():
    collection = opened("shapes", count=200, size="48x96", seed=3)
    assert collection.spec == Spec("image", (3, 48, 96), ("circle", "square", "triangle"))
    batch = collection.fetch(list(range(200)))
    assert set(batch.label.tolist()) == {0, 1, 2}
    pictures = decode(batch.sample, collection.spec)
    for index in range(200):
        factors = collection.factors(index)
        front = factors["shapes"][-1]
        assert collection.spec.classes[batch.label[index]] == front["shape"]
        assert tuple(pictures[index, int(front["y"] * 48), int(front["x"] * 96)]) == front["colour"]
        assert (pictures[index] == factors["background"]).all(-1).mean() > 0.3
    assert {len(collection.factors(index)["shapes"]) for index in range(20)} == {1, 2}
    assert len(numpy.unique(pictures[0].reshape(-1, 3), axis=0)) > 4  # smooth edges


def test_shapes_depend_on_seed_and_index_alone():
    few, many, other = opened("shapes", count=8), opened("shapes", count=80), opened("shapes", count=8, seed=1)
    assert torch.equal(few.fetch([5]).sample, many.fetch([1, 5]).sample[1:])
    assert not torch.equal(few.fetch([5]).sample, other.fetch([5]).sample)
    assert len({few.fingerprint(), many.fingerprint(), other.fingerprint()}) == 3
    assert opened("shapes", size="1", count=3).fetch([0, 1, 2]).sample.shape == (3, 3, 1, 1)
    with pytest.raises(UsageError, match="count must be at least 1"):
        opened("shapes", count=0)


# mnist and fashion-mnist


def idx(*shape, values=None, magic=None, seed=0):
    values = (
        numpy.random.default_rng(seed).integers(0, 256 if len(shape) == 3 else 10, shape) if values is None else values
    )
    head = bytes((0, 0, 8, len(shape))) if magic is None else magic
    return head + struct.pack(f">{len(shape)}I", *shape) + numpy.asarray(values, numpy.uint8).tobytes()


IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


@pytest.fixture
def idx_folder(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx(30, 28, 28))
    (tmp_path / LABELS).write_bytes(idx(30, values=[index % 10 for index in range(30)]))
    return tmp_path


@pytest.mark.parametrize("change", [lambda name: name, lambda name: name.replace("-idx", ".idx")])
@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_under_their_usual_names(idx_folder, change, packed):
    raw = numpy.frombuffer((idx_folder / IMAGES).read_bytes()[16:], numpy.uint8).reshape(30, 28, 28)
    for name in (IMAGES, LABELS):
        data = (idx_folder / name).read_bytes()
        (idx_folder / name).unlink()
        (idx_folder / (change(name) + (".gz" if packed else ""))).write_bytes(gzip.compress(data) if packed else data)
    found = opened("mnist", path=str(idx_folder), split="test", size="28")
    assert len(found) == 30 and found.labels.tolist() == [index % 10 for index in range(30)]
    assert (decode(found.fetch(list(range(30))).sample, found.spec)[..., 0] == raw).all()
    assert opened("fashion-mnist", path=str(idx_folder), split="test", size="20x40").spec.shape == (1, 20, 40)


def test_idx_unpacked_under_a_packed_name(idx_folder):
    (idx_folder / IMAGES).rename(idx_folder / f"{IMAGES}.gz")
    assert len(opened("mnist", path=str(idx_folder), split="test")) == 30


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (IMAGES, b"", r"begins with the bytes \(none\)"),
        (IMAGES, b"<html>", "begins with the bytes 3c 68 74 6d"),
        (IMAGES, idx(30), "an IDX file of 3 dimensions with 00 00 08 03"),
        (LABELS, idx(30, 28, 28), "an IDX file of 1 dimensions with 00 00 08 01"),
        (IMAGES, idx(30, 28, 28)[:9], "ends within its header"),
        (IMAGES, idx(30, 28, 28)[:-1], "should hold 30x28x28 = 23520 bytes after its header and holds only 23519"),
        (IMAGES, idx(30, 28, 28) + b"x", "holds more; get the file again"),
        (IMAGES, idx(0, 28, 28), "0x28x28 bytes, which is not possible"),
        (IMAGES, bytes((0, 0, 8, 3)) + b"\xff" * 12, "not possible"),
        (IMAGES, idx(29, 28, 28), "29 pictures and .* 30 labels"),
        (LABELS, idx(30, values=[10] * 30), "the label 10, and mnist has labels from 0 to 9"),
        (IMAGES, gzip.compress(idx(30, 28, 28))[:-9], "cannot read"),
        (IMAGES, gzip.compress(idx(30, 28, 28))[:1000] + b"\0" * 50, "cannot read"),
        (IMAGES, b"\x1f\x8b junk", "cannot read"),
        (IMAGES, gzip.compress(idx(30, 28, 28) + bytes(10 << 20)), "holds more"),
    ],
    ids=range(15),
)
def test_damaged_idx_files(idx_folder, name, data, told):
    (idx_folder / name).write_bytes(data)
    with pytest.raises(DataError, match=told) as caught:
        opened("mnist", path=str(idx_folder), split="test")
    assert name in str(caught.value)


def test_missing_idx_files_say_what_is_wanted(idx_folder, monkeypatch):
    wanted = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"
    monkeypatch.chdir(idx_folder)
    monkeypatch.setenv("GANZOO_DATA", str(idx_folder / "elsewhere"))
    refused(re.escape(wanted) + ".*--data mnist:path=FOLDER", "mnist")
    refused("elsewhere/fashion-mnist and no .*--data fashion-mnist:path=FOLDER", "fashion-mnist")
    refused("has no train-images-idx3-ubyte", "mnist", path=str(idx_folder))
    refused("is not a folder", "mnist", path=str(idx_folder / "none"))
    with pytest.raises(UsageError, match=r"expected train\|test"):
        opened("mnist", split="validation")


def test_idx_files_are_looked_for(idx_folder, tmp_path_factory, monkeypatch):
    root = tmp_path_factory.mktemp("root")
    for place in ("data/mnist", "other/fashion_mnist"):
        shutil.copytree(idx_folder, root / place)
    monkeypatch.chdir(root)
    monkeypatch.delenv("GANZOO_DATA", raising=False)
    assert len(opened("mnist", split="test")) == 30
    monkeypatch.setenv("GANZOO_DATA", str(root / "other"))
    assert len(opened("fashion-mnist", split="test")) == 30


def test_mutated_idx_files_never_give_another_error(idx_folder):
    generator, whole = random.Random(0), {name: (idx_folder / name).read_bytes() for name in (IMAGES, LABELS)}
    for _ in range(60):
        for name, data in whole.items():
            data = bytearray(gzip.compress(data) if generator.random() < 0.5 else data)
            for _ in range(generator.randint(0, 4)):
                data[generator.randrange(min(len(data), generator.choice([16, 1 << 30])))] = generator.randrange(256)
            (idx_folder / name).write_bytes(
                data[: generator.choice([len(data)] * 3 + [generator.randrange(len(data))])]
            )
        try:
            opened("mnist", path=str(idx_folder), split="test", size="28").fetch([0])
        except GanzooError as error:
            assert "\n" not in str(error)


def test_real_mnist(real_data):
    found = opened("mnist", path=str(real_data / "mnist"))
    assert len(found) == 60_000 and found.spec == Spec("image", (1, 32, 32), tuple("0123456789"))
    assert found.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]  # as in every book
    exact = opened("mnist", path=str(real_data / "mnist"), split="test", size="28")
    assert len(exact) == 10_000 and exact.labels[:4].tolist() == [7, 2, 1, 0]
    assert (exact.samples.float() / 255).mean().item() == pytest.approx(0.1325, abs=1e-4)


def test_real_fashion_mnist(real_data):
    found = opened("fashion-mnist", path=str(real_data / "fashion_mnist"), split="test", size="28")
    assert len(found) == 10_000 and torch.bincount(found.labels).tolist() == [1000] * 10
    assert [found.spec.classes[label] for label in found.labels[:3]] == ["Ankle boot", "Pullover", "Trouser"]


# array


def save(path, *arrays, **named):
    numpy.savez(path, *arrays, **named) if path.suffix == ".npz" else numpy.save(path, arrays[0], allow_pickle=True)
    return str(path)


PICTURES = numpy.random.default_rng(0).integers(0, 256, (6, 8, 12, 3), dtype=numpy.uint8)
NUMBERS = numpy.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("array", "kind", "shape"),
    [
        (PICTURES, "image", (3, 8, 12)),
        (PICTURES[..., 0], "image", (1, 8, 12)),
        (numpy.asfortranarray(PICTURES.transpose(0, 3, 1, 2)), "image", (3, 8, 12)),
        ((PICTURES / 127.5 - 1).astype(">f8"), "image", (3, 8, 12)),
        (numpy.zeros((6, 2), numpy.float16), "points", (2,)),
        (numpy.ones((6, 5), ">i2"), "tokens", (5,)),
    ],
)
def test_single_arrays(tmp_path, array, kind, shape):
    found = opened("array", path=save(tmp_path / "a.npy", array))
    assert (found.spec.kind, found.spec.shape, found.spec.classes, len(found)) == (kind, shape, (), 6)
    if kind == "image" and shape[0] == 3:
        assert (decode(found.fetch(list(range(6))).sample, found.spec) == PICTURES).all()
    if kind == "image":
        assert opened("array", path=str(tmp_path / "a.npy"), size="16x20").fetch([0]).sample.shape == (
            1,
            shape[0],
            16,
            20,
        )
    else:
        refused("size=16 is for pictures", "array", path=str(tmp_path / "a.npy"), size="16")


@pytest.mark.parametrize(
    "names", [("samples", "labels"), ("images", "y"), ("x", "labels"), ("arr_0", "arr_1"), ("anything", "y")]
)
def test_named_arrays(tmp_path, names):
    found = opened("array", path=save(tmp_path / "a.npz", **{names[1]: NUMBERS, names[0]: PICTURES}))
    assert (
        found.spec.shape == (3, 8, 12)
        and found.labels.tolist() == NUMBERS.tolist()
        and found.spec.classes == ("0", "1", "2")
    )


def test_arrays_by_name(tmp_path):
    path = save(tmp_path / "a.npz", x_test=PICTURES[:2], x_train=PICTURES, y_train=NUMBERS, y=numpy.zeros((6, 3)))
    found = opened("array", path=path, samples="x_train", labels="y_train")
    assert len(found) == 6 and found.labels.tolist() == NUMBERS.tolist()
    unlabelled = opened("array", path=path, samples="x_train")
    assert unlabelled.labels is None and "there are no labels, because labels must be" in unlabelled.notes[0]
    refused("has no array 'z'; it has: x_test, x_train, y_train, y", "array", path=path, labels="z")
    refused("labels must be whole numbers", "array", path=path, labels="y")
    refused("one for each of the 2 samples", "array", path=path, samples="x_test", labels="y_train")


@pytest.mark.parametrize("bits", [8, 16])
def test_what_ganzoo_sample_writes_is_read(tmp_path, bits):
    spec = Spec("image", (1, 8, 8), ("a", "b"), encoding={"bits": bits} if bits == 16 else {})
    made = torch.rand(4, 1, 8, 8) * 2 - 1
    samples.write(tmp_path / "s.npz", decode(made, spec), spec, [1, 1, 0, 1])
    found = opened("array", path=str(tmp_path / "s.npz"))
    assert (
        found.labels.tolist() == [1, 1, 0, 1] and found.spec.shape == (1, 8, 8) and found.spec.encoding == spec.encoding
    )
    back = found.fetch(list(range(4))).sample
    assert (back - made).abs().max() < 2 / 2**bits and (decode(back, found.spec) == decode(made, spec)).all()


def test_arrays_are_recognised(tmp_path):
    path = save(tmp_path / "a.npz", PICTURES)
    assert Choice.parse_path(f"{path}:size=16", installed()) == Choice("array", {"path": path, "size": "16"})
    assert installed().make("dataset", "array", {"path": path, "size": "16"}).size == Size(16, 16)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (numpy.array([{"a": 1}], dtype=object), "Object arrays cannot be loaded.*without Python objects"),
        (numpy.array(["text"] * 3), "must be numbers, not <U4"),
        (numpy.zeros((4, 2), complex), "complex128"),
        (numpy.array(3.0), "one axis only"),
        (numpy.zeros((0, 8, 8), numpy.uint8), "empty"),
        (numpy.zeros((3, 0, 8, 1), numpy.float32), "empty"),
        (numpy.zeros((2, 2, 2, 2, 2)), "cannot tell what an array of shape"),
        (numpy.full((4, 8, 8), 200.0), "bytes .uint8., 16-bit"),
        (numpy.full((4, 2), numpy.nan), "not a number"),
    ],
    ids=range(9),
)
def test_arrays_that_cannot_be_used(tmp_path, array, told):
    refused(rf"a\.npy.*{told}", "array", path=save(tmp_path / "a.npy", array))


def test_array_files_that_cannot_be_used(tmp_path):
    refused("there is no file", "array", path=str(tmp_path / "none.npy"))
    path = tmp_path / "a.npz"
    refused("has no array of samples; it has: labels", "array", path=save(path, labels=NUMBERS))
    refused("from 0 to 1000000000000", "array", path=save(path, x=PICTURES, lots=NUMBERS * 5 * 10**11), labels="lots")
    refused("from -1 to", "array", path=save(path, x=PICTURES, less=NUMBERS - 1), labels="less")
    whole = path.read_bytes()
    for content in (b"", b"text", whole[:-30], whole[:200], b"\x93NUMPY\1\0"):
        path.write_bytes(content)
        refused("cannot read .*a.npz.*write it with numpy.save", "array", path=str(path))
    single = tmp_path / "a.npy"
    save(single, PICTURES)
    refused("a single array without a name", "array", path=str(single), labels="y")
    single.write_bytes(single.read_bytes().replace(b"(6, 8, 12, 3)", b"(6, 8, 12, 9)"))
    refused("cannot read", "array", path=str(single))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("samples.npy", b"not an array")
    refused("'samples' in .*a.npz is not an array", "array", path=str(path))


def test_mutated_array_files_never_give_another_error(tmp_path):
    generator = random.Random(0)
    for suffix in (".npy", ".npz"):
        path = tmp_path / f"a{suffix}"
        whole = bytearray(Path(save(path, PICTURES, NUMBERS)).read_bytes())
        for _ in range(40):
            data = whole.copy()
            for _ in range(generator.randint(1, 6)):
                data[generator.randrange(min(len(data), generator.choice([140, 1 << 30])))] = generator.randrange(256)
            path.write_bytes(data[: generator.choice([len(data), generator.randrange(len(data))])])
            try:
                installed().make("dataset", "array", {"path": str(path)}).open().fetch([0])
            except GanzooError as error:
                assert "\n" not in str(error)
