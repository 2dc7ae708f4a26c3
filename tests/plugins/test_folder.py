"""The data set `folder`: real files in a folder or a .zip, whole and damaged."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import signal
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib

import numpy
import pytest
import torch
from PIL import Image

from ganzoo import DataError, GanzooError, Stream, UsageError
from ganzoo.config import Choice
from ganzoo.registry import installed
from ganzoo.samples import decode
from ganzoo_plugins.datasets import storage


def open_folder(path, **options):
    return installed().make("dataset", "folder", {"path": str(path), **options}).open()


def pixels(collection, index=0):
    """A sample as people see it."""
    return decode(collection.fetch([index]).sample, collection.spec)[0]


def picture(height=32, width=32, mode="RGB", seed=0):
    generator = numpy.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    values = generator.integers(0, 256, (height, width, channels), dtype=numpy.uint8)
    return Image.fromarray(values[..., 0] if channels == 1 else values, mode=None if mode != "CMYK" else "CMYK")


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def make_folder(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(
            content
            if isinstance(content, bytes)
            else encoded(content, {"pgm": "PPM", "jpg": "JPEG"}.get(name[-3:], "PNG"))
        )
    return root


def make_zip(path, files, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else encoded(content))
    return path


def header_of(width, height):
    """The beginning of a PNG that claims this size."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\0\0IDAT"


# What is read


def test_folder_and_zip_of_the_same_files_are_the_same_data(tmp_path):
    files = {f"{name}/{index}.png": picture(seed=index) for index, name in enumerate(["cat", "ant", "bee"])}
    files["notes.txt"] = b"not a picture"
    folder, archive = open_folder(make_folder(tmp_path / "f", files)), open_folder(make_zip(tmp_path / "f.zip", files))
    assert (
        folder.spec == archive.spec
        and folder.spec.shape == (3, 32, 32)
        and folder.spec.classes == ("ant", "bee", "cat")
    )
    assert folder.notes == () and folder.fingerprint() == archive.fingerprint()
    ours, theirs = folder.fetch([0, 1, 2]), archive.fetch([0, 1, 2])
    assert torch.equal(ours.sample, theirs.sample) and ours.label.tolist() == theirs.label.tolist() == [0, 1, 2]
    assert (pixels(folder, 0) == numpy.asarray(files["ant/1.png"])).all()


def test_labels_need_every_picture_in_a_class_folder(tmp_path):
    assert (
        open_folder(
            make_folder(tmp_path / "loose", {"a/1.png": picture(), "b/1.png": picture(), "1.png": picture()})
        ).spec.classes
        == ()
    )
    one = make_zip(tmp_path / "one.zip", {"top/a/1.png": picture(), "top/a/2.png": picture()})
    assert open_folder(one).spec.classes == () and len(open_folder(one)) == 2
    two = make_zip(
        tmp_path / "two.zip", {"top/a/1.png": picture(), "top/b/x/2.png": picture(), "__MACOSX/top/a/._1.png": b"junk"}
    )
    assert open_folder(two).spec.classes == ("a", "b") and open_folder(two, labels="none").spec.classes == ()
    split = make_zip(
        tmp_path / "split.zip", {f"{part}/{name}/1.png": picture() for part in ("train", "test") for name in "abc"}
    )
    assert "add it to the path" in open_folder(split).notes[0]
    assert open_folder(split / "train").spec.classes == ("a", "b", "c")


@pytest.mark.parametrize("prefix", ["", "top/"])
def test_labels_of_nvidias_dataset_json(tmp_path, prefix):
    def opened(labels):
        listed = labels if isinstance(labels, bytes) else json.dumps({"labels": labels}).encode()
        files = {f"{prefix}00000/a.png": picture(), f"{prefix}00001/b.png": picture(), f"{prefix}dataset.json": listed}
        return open_folder(make_zip(tmp_path / "d.zip", files))

    found = opened([["00001/b.png", 0], ["00000/a.png", 2]])
    assert found.spec.classes == ("0", "1", "2") and found.fetch([0, 1]).label.tolist() == [2, 0]
    assert opened(None).spec.classes == ()
    for labels, told in [
        ([["00000/a.png", [0.0, 1.0]], ["00001/b.png", [1.0, 0.0]]], "a vector as its label"),
        ([["00000/a.png", 1]], "no label for 1 of 2 pictures, such as"),
        ([["00000/a.png", 1], ["00001/b.png", -1]], "the label -1, which is not a class number"),
        ([["00000/a.png", 1], ["00001/b.png", 10**12]], "not a class number"),
        ([["00000/a.png", 1], ["00001/b.png", True]], "not a class number"),
        ([1, 2], "not pairs"),
        (b"{", "cannot read the labels"),
        (b"[" * 100_000, "cannot read the labels"),
    ]:
        with pytest.raises(DataError, match=told) as caught:
            opened(labels)
        assert "labels=none" in str(caught.value)


@pytest.mark.parametrize(
    ("modes", "channels", "expected"),
    [
        (["L", "L"], "auto", 1),
        (["L", "RGB"], "auto", 3),
        (["RGBA", "LA"], "auto", 4),
        (["RGBA", "RGB"], "auto", 3),
        (["P", "CMYK"], "auto", 3),
        (["1", "L"], "auto", 1),
        (["RGB", "RGBA", "L", "P", "LA"], "grey", 1),
        (["RGB", "L", "1", "CMYK"], "rgba", 4),
    ],
)
def test_channels(tmp_path, modes, channels, expected):
    files = {f"{index}.tif": encoded(picture().convert(mode), "TIFF") for index, mode in enumerate(modes)}
    found = open_folder(make_folder(tmp_path, files), channels=channels)
    assert found.spec.shape == (expected, 32, 32)
    sample = found.fetch(list(range(len(modes)))).sample
    assert sample.dtype == torch.float32 and sample.min() >= -1 and sample.max() <= 1


def test_transparent_pixels_become_white(tmp_path):
    hidden = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    found = open_folder(make_folder(tmp_path, {"a.png": hidden, "b.png": Image.new("RGB", (32, 32))}))
    assert (pixels(found, 0) == 255).all() and (pixels(found, 1) == 0).all()


def test_sixteen_bits_are_kept_when_all_have_them(tmp_path):
    levels = (numpy.arange(32 * 32).reshape(32, 32) * 64).astype(numpy.uint16)
    deep = Image.fromarray(levels)
    pgm = b"P5 32 32 65535\n" + levels.astype(">u2").tobytes()
    both = open_folder(make_folder(tmp_path / "deep", {"a.png": deep, "b.pgm": pgm}))
    assert both.spec.encoding == {"bits": 16} and both.spec.shape == (1, 32, 32)
    assert (pixels(both, 0)[..., 0] == levels).all() and (pixels(both, 1)[..., 0] == levels).all()
    mixed = open_folder(make_folder(tmp_path / "mixed", {"a.png": deep, "b.png": picture(mode="L")}))
    assert mixed.spec.encoding == {} and (pixels(mixed, 0)[..., 0] == (levels / 257).round()).all()
    assert open_folder(tmp_path / "deep", channels="rgb").spec.encoding == {}
    assert open_folder(tmp_path / "deep", size="16x24").fetch([0]).sample.shape == (1, 1, 16, 24)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (64, 32))
    image.paste("white", (0, 0, 32, 32))  # white on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera stood on its side: turn clockwise, so white comes to the top
    found = open_folder(make_folder(tmp_path, {"a.jpg": encoded(image, "JPEG", exif=exif)}), size="64x32")
    shown = pixels(found)[..., 0]
    assert shown[:30].min() > 250 and shown[34:].max() < 5
    assert open_folder(tmp_path).notes[0].startswith("folder: pictures of 64x32 (height x width)")


@pytest.mark.parametrize(("smallest", "side"), [(16, 16), (31, 16), (33, 32), (100, 64), (255, 128), (300, 256)])
def test_size_is_chosen_by_the_smallest_picture(tmp_path, smallest, side):
    found = open_folder(make_folder(tmp_path, {"a.png": picture(smallest, 400), "b.png": picture(320, 310)}))
    assert found.spec.shape == (3, side, side)
    assert (
        f"to {side}x{side}; say size=HEIGHTxWIDTH for another size" in found.notes[0]
        and f"{smallest}x400" in found.notes[0]
    )


def test_fit(tmp_path):
    wide = Image.new("L", (96, 32))
    wide.paste(255, (32, 0, 64, 32))  # the middle third is white
    make_folder(tmp_path, {"a.png": wide})
    crop, stretch, pad = (
        pixels(open_folder(tmp_path, size="32", fit=fit))[..., 0] for fit in ("crop", "stretch", "pad")
    )
    assert (crop == 255).all()
    assert (stretch[:, :8] < 5).all() and (stretch[:, 14:18] > 250).all()
    assert (pad[:8] == 0).all() and (pad[-8:] == 0).all() and pad[16, 16] > 250 and pad[16, 2] < 5
    for fit in ("crop", "stretch", "pad"):
        assert open_folder(tmp_path, size="112x96", fit=fit).fetch([0]).sample.shape == (1, 1, 112, 96)


def test_extreme_proportions(tmp_path):
    make_folder(tmp_path, {"a.png": picture(1, 3000, "L"), "b.png": picture(3000, 1, "L"), "c.png": picture(1, 1, "L")})
    for fit in ("crop", "stretch", "pad"):
        assert open_folder(tmp_path, size="17x31", fit=fit).fetch([0, 1, 2]).sample.shape == (3, 1, 17, 31)


def test_mirror_doubles(tmp_path):
    make_folder(tmp_path, {"a/1.png": picture(), "b/2.png": picture(seed=1)})
    plain, doubled = open_folder(tmp_path), open_folder(tmp_path, mirror="true")
    assert len(doubled) == 4 and plain.fingerprint() != doubled.fingerprint()
    batch = doubled.fetch([1, 3])
    assert torch.equal(batch.sample[0].flip(-1), batch.sample[1]) and batch.label.tolist() == [1, 1]


def test_fingerprint_sees_files_and_options(tmp_path):
    make_folder(tmp_path, {"a.png": picture(), "b.png": picture(seed=1)})
    before = open_folder(tmp_path).fingerprint()
    assert before == open_folder(tmp_path).fingerprint()
    assert (
        before
        != open_folder(tmp_path, size="16").fingerprint()
        != open_folder(tmp_path, size="16", fit="pad").fingerprint()
    )
    make_folder(tmp_path, {"b.png": picture(seed=1, mode="L")})
    assert before != open_folder(tmp_path).fingerprint()


@pytest.mark.parametrize("zipped", [False, True])
def test_workers_give_what_one_process_gives_and_a_stream_goes_on(tmp_path, zipped):
    files = {f"{'ab'[index % 2]}/{index:02}.png": picture(seed=index) for index in range(23)}
    path = make_zip(tmp_path / "d.zip", files) if zipped else make_folder(tmp_path / "d", files)
    collection = open_folder(path)
    collection.fetch([0])  # a handle is open before workers are forked
    alone, helped = Stream(collection, 3), Stream(collection, 3, workers=2, chunk=5)
    batches = [alone.take(8) for _ in range(6)]
    for batch in batches:
        other = helped.take(8)
        assert (
            torch.equal(batch.sample, other.sample)
            and torch.equal(batch.label, other.label)
            and torch.equal(batch.index, other.index)
        )
    resumed = Stream(collection, 3, workers=2)
    resumed.load({"position": 32})
    assert torch.equal(resumed.take(8).sample, batches[4].sample)
    seen = torch.cat([batch.index for batch in batches])
    assert sorted(seen[:23].tolist()) == list(range(23)) == sorted(seen[23:46].tolist())


def test_a_zip_can_be_pickled_into_another_process(tmp_path):
    collection = open_folder(make_zip(tmp_path / "d.zip", {"a.png": picture(), "b.png": picture(seed=1)}))
    collection.fetch([0])
    assert torch.equal(pickle.loads(pickle.dumps(collection)).fetch([1]).sample, collection.fetch([1]).sample)


# What is recognised


def test_paths_are_recognised(tmp_path):
    registry = installed()
    make_folder(tmp_path / "deep", {"x/y/z.JPG": encoded(picture(), "JPEG")})
    archive = make_zip(tmp_path / "d.zip", {"train/a.png": picture()})
    for path in (tmp_path / "deep", archive, archive / "train"):
        assert Choice.parse_path(f"{path}:size=112x96", registry) == Choice(
            "folder", {"path": str(path), "size": "112x96"}
        )
    make_folder(tmp_path / "texts", {"a.txt": b"text"})
    sounds = make_zip(tmp_path / "sounds.zip", {"a.wav": b"RIFF"})
    folder = registry.get("dataset", "folder")
    assert not any(map(folder.recognises, (tmp_path / "texts", sounds, tmp_path / "none", tmp_path / "none.zip")))
    make_folder(tmp_path, {"broken.zip": b"PK\3\4 no"})
    assert folder.recognises(tmp_path / "broken.zip")  # so that opening it tells what is wrong


# What is refused


def refused(path, *told, **options):
    """Opening and reading everything fails with one clear sentence."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError) as caught:
            collection = open_folder(path, **options)
            collection.fetch(list(range(len(collection))))
    for words in told:
        assert words in str(caught.value), caught.value
    assert "\n" not in str(caught.value)


def test_places_without_pictures(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "it is empty", "path=FOLDER")
    refused(make_folder(tmp_path / "texts", {"a.txt": b"", "b.txt": b""}), "none of its 2 files ends in .png")
    refused(make_zip(tmp_path / "empty.zip", {}), "it is empty")
    refused(make_zip(tmp_path / "d.zip", {"a.png": picture()}) / "train", "no pictures in", "it is empty")
    refused(tmp_path / "none", "there is no file or folder", "path=FOLDER")
    refused(make_folder(tmp_path / "one", {"a.png": picture()}) / "a.png", "neither a folder nor a .zip")
    with pytest.raises(UsageError, match="path is empty"):
        open_folder("")


def test_unreadable_folder(tmp_path):
    make_folder(tmp_path, {"a/1.png": picture(), "b/1.png": picture()})
    (tmp_path / "b").chmod(0)
    if os.access(tmp_path / "b", os.R_OK):
        pytest.skip("this user may read everything")
    try:
        refused(tmp_path, "cannot read the folder", "Permission denied")
    finally:
        (tmp_path / "b").chmod(0o700)


def test_too_small_without_a_size(tmp_path):
    make_folder(tmp_path, {"a.png": picture(), "small.png": picture(9, 40)})
    refused(tmp_path, "small.png, has 9x40 pixels", "say size=HEIGHTxWIDTH")
    assert open_folder(tmp_path, size="32").spec.shape == (3, 32, 32)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "it is not a picture"),
        (b"<html>404</html>", "it is not a picture"),
        (encoded(picture(200, 200))[:9000], "truncated"),
        (encoded(picture(), "JPEG")[:100], ""),
        (encoded(picture())[:20], ""),
        (header_of(10_000, 10_000), "100 megapixels, and 64 are the most"),
        (header_of(60_000, 60_000), "more than 64 megapixels"),
        (encoded(Image.new("F", (32, 32)), "TIFF"), "floating-point"),
    ],
    ids=["empty", "html", "short-png", "short-jpeg", "header-only", "100-megapixels", "3600-megapixels", "floats"],
)
def test_damaged_pictures(tmp_path, content, told, zipped):
    files = {"a/good.png": picture(), "b/bad.png": content, "b/good.png": picture(seed=1)}
    path = make_zip(tmp_path / "d.zip", files) if zipped else make_folder(tmp_path / "d", files)
    refused(path, "cannot read the picture b/bad.png", told, "skip_broken=true")
    left = open_folder(path, skip_broken="true")
    assert len(left) == 2 and left.fetch([0, 1]).label.tolist() == [0, 1]
    assert "1 of 3 files are left out" in left.notes[0] and "b/bad.png" in left.notes[0]


def test_nothing_is_left_over(tmp_path):
    refused(make_folder(tmp_path, {"a.png": b"", "b.png": b""}), "none of the 2 files", "a.png", skip_broken="true")


def test_an_error_in_a_worker_arrives_as_a_sentence(tmp_path):
    """In a process of its own, which has to end although the stream and its workers are still there."""
    make_folder(tmp_path, {"a.png": encoded(picture(64, 64))[:-3000], "b.png": picture(64, 64)})
    script = (
        "from ganzoo import DataError, Stream; from ganzoo.registry import installed\n"
        f"stream = Stream(installed().make('dataset', 'folder', {{'path': {str(tmp_path)!r}}}).open(), 0, workers=2)\n"
        "try: stream.take(2)\n"
        "except DataError as error: print(error)\n"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert "cannot read the picture a.png" in finished.stdout and finished.stderr == ""


def test_a_file_that_disappears(tmp_path):
    collection = open_folder(make_folder(tmp_path, {"a.png": picture()}))
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match="No such file"):
        collection.fetch([0])


@pytest.mark.parametrize("name", ["../a.png", "x/../../a.png", "/etc/a.png", "C:/a.png", "..\\a.png"])
def test_entries_that_lead_out_of_a_zip(tmp_path, name):
    refused(make_zip(tmp_path / "d.zip", {name: picture(), "b.png": picture()}), "leads out of it", "d.zip")


def patched(path, offset, values):
    """A .zip whose directory says something else about every file."""
    data = bytearray(path.read_bytes())
    place = data.find(b"PK\1\2")
    while place >= 0:
        data[place + offset : place + offset + len(values)] = values
        place = data.find(b"PK\1\2", place + 1)
    path.write_bytes(data)
    return path


def test_damaged_zips(tmp_path):
    def fresh():
        return make_zip(tmp_path / "d.zip", {"a.png": picture(), "b.png": picture(seed=1)})

    refused(patched(fresh(), 8, b"\1\0"), "is encrypted", "path=FOLDER")
    refused(patched(fresh(), 10, b"\x63\0"), "cannot read the picture a.png", "compression")
    refused(patched(fresh(), 16, b"\0\0\0\0"), "cannot read the picture a.png", "CRC")
    refused(patched(fresh(), 24, struct.pack("<I", 300 << 20)), "300 MiB unpacked", "256 MiB")
    refused(patched(fresh(), 24, struct.pack("<I", 200)), "cannot read the picture a.png")
    fresh().write_bytes(fresh().read_bytes()[:-40])
    refused(tmp_path / "d.zip", "is not a .zip file that can be read")
    (tmp_path / "d.zip").write_bytes(b"no zip")
    refused(tmp_path / "d.zip", "is not a .zip file that can be read")


def test_files_over_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST", 1 << 20)
    packed = make_zip(tmp_path / "bomb.zip", {"a.png": bytes(3 << 20)}, compression=zipfile.ZIP_DEFLATED)
    refused(packed, "3 MiB unpacked, and 1 MiB are the most")
    refused(make_folder(tmp_path / "f", {"a.png": bytes(3 << 20)}), "3 MiB unpacked")


def test_links(tmp_path):
    make_folder(tmp_path / "d", {"a/1.png": picture(), "b/1.png": picture()})
    (tmp_path / "d" / "b" / "round").symlink_to(tmp_path / "d")
    (tmp_path / "d" / "a" / "self.png").symlink_to(tmp_path / "d" / "a" / "self.png")
    (tmp_path / "d" / "a" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    os.mkfifo(tmp_path / "d" / "a" / "pipe.png")
    elsewhere = make_folder(tmp_path / "elsewhere", {"2.png": picture()})
    (tmp_path / "d" / "c").symlink_to(elsewhere)
    found = open_folder(tmp_path / "d")
    assert found.names == ["a/1.png", "b/1.png", "c/2.png"] and found.spec.classes == ("a", "b", "c")


def test_names_that_cannot_be_printed(tmp_path):
    make_folder(tmp_path, {"line\nend.png": b"", "good.png": picture()})
    refused(tmp_path, r"'line\nend.png'")


def test_mutated_files_never_give_another_error(tmp_path, capfd):
    """About 100 damaged pictures and 50 damaged .zip files, each opened and read in full."""
    generator = random.Random(0)
    deep = Image.fromarray(numpy.arange(1024, dtype=numpy.uint16).reshape(32, 32))
    forms = {form: encoded(picture(seed=1), form) for form in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}
    forms |= {
        "DEEP": encoded(deep),
        "LZW": encoded(picture(), "TIFF", compression="tiff_lzw"),
        "PALETTE": encoded(picture().convert("P"), "GIF"),
    }
    archive = make_zip(tmp_path / "whole.zip", {f"{name}/a.png": data for name, data in forms.items()}).read_bytes()
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("reading a damaged file took more than 10 seconds"))
    try:
        for index in range(100):
            path = make_folder(
                tmp_path / f"p{index}", {"a.png": mutated(generator, generator.choice(list(forms.values())))}
            )
            read_all(path, generator)
        for index in range(50):
            path = tmp_path / f"z{index}.zip"
            path.write_bytes(mutated(generator, archive))
            read_all(path, generator)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    told = capfd.readouterr().err  # libtiff itself writes to the terminal, and Pillow offers no way to stop it
    assert "Warning:" not in told and "Traceback" not in told


def mutated(generator, data):
    data = bytearray(data)
    for _ in range(generator.randint(1, 12)):
        place = generator.randrange(min(len(data), generator.choice([40, 400, 1 << 30])))
        data[place] = generator.choice([0, 255, generator.randrange(256)])
    return bytes(data[: generator.choice([len(data), len(data), generator.randrange(len(data))])])


def read_all(path, generator):
    signal.alarm(10)
    try:
        collection = open_folder(path, size="16", skip_broken=generator.choice(["true", "false"]))
        sample = collection.fetch(list(range(len(collection)))).sample
        assert sample.shape[2:] == (16, 16) and torch.isfinite(sample).all()
    except GanzooError as error:
        assert "\n" not in str(error)


# Real data


def test_flowers(real_data):
    found = open_folder(real_data / "flowers128" / "flowers128.zip")
    assert len(found) == 4317 and found.spec.shape == (3, 128, 128) and found.notes == ()
    assert found.spec.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert torch.bincount(found.labels).tolist() == [764, 1052, 784, 733, 984]
    sunflower = found.labels.tolist().index(3)
    red, _, blue = pixels(found, sunflower).reshape(-1, 3).mean(0)
    assert red > blue  # yellow


def test_faces(real_data):
    path = real_data / "orl_faces" / "orl_faces.zip"
    square, tall = open_folder(path), open_folder(path, size="112x92")
    assert len(square) == 400 and square.spec.shape == (1, 64, 64) and len(square.spec.classes) == 40
    assert "pictures of 112x92 (height x width) are centre-cropped and resized to 64x64" in square.notes[0]
    with zipfile.ZipFile(path) as archive:
        raw = archive.read(tall.names[0])[-112 * 92 :]
    assert pixels(tall)[..., 0].tobytes() == raw


def test_cifar(real_data):
    found = open_folder(real_data / "cifar10_jpg" / "cifar10_jpg.zip" / "test")
    assert len(found) == 10_000 and found.spec.shape == (3, 32, 32) and found.spec.classes[::9] == ("airplane", "truck")
    assert torch.bincount(found.labels).tolist() == [1000] * 10
