"""Data of translators: `paired`, `unpaired` and `mnist-inverted`, from real files in folders and a .zip."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy
import pytest
import scipy.ndimage
import torch
from PIL import Image

from ganzoo import DataError, Stream, UsageError
from ganzoo.config import Choice
from ganzoo.registry import installed
from ganzoo_plugins.datasets.pictures import painted


def part_of(name, path, **options):
    return installed().make("dataset", name, {"path": str(path), **options})


def open_data(name, path, **options):
    return part_of(name, path, **options).open()


def bytes_of(samples):
    """Pictures in [-1, 1] as whole numbers from 0 to 255."""
    return ((samples + 1) * 127.5).round().int()


def encoded(pixels, palette=False, form="PNG"):
    image = Image.fromarray(numpy.asarray(pixels, numpy.uint8))
    if palette:
        image.putpalette([255 - value // 3 for value in range(768)])
    file = io.BytesIO()
    image.save(file, form)
    return file.getvalue()


def noise(height=20, width=24, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return numpy.random.default_rng(seed).integers(0, 256, shape, numpy.uint8)


def rulers(height=40, width=48, blue=0):
    """A picture that says of each pixel where it stands: red is its column, green its row."""
    pixels = numpy.full((height, width, 3), blue, numpy.uint8)
    pixels[..., 0], pixels[..., 1] = numpy.arange(width)[None], numpy.arange(height)[:, None]
    return pixels


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else encoded(content))
    return root


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else encoded(content))
    return path


PAIRS = {f"{side}/{index}.png": noise(seed=10 * place + index) for place, side in enumerate("ab") for index in range(5)}
APART = {"source": "a", "sample": "b"}


# Pairs


def test_a_folder_and_a_zip_of_the_same_pairs_are_the_same_data(tmp_path):
    folder = open_data("paired", write(tmp_path / "f", PAIRS), **APART, size="20x24")
    archive = open_data("paired", write_zip(tmp_path / "f.zip", {f"set/{n}": p for n, p in PAIRS.items()}) / "set",
                        **APART, size="20x24")  # fmt: skip
    assert folder.spec == archive.spec and folder.fingerprint() == archive.fingerprint()
    assert folder.spec.shape == folder.spec.source == (3, 20, 24) and folder.spec.offers == ("image", "pairs")
    assert len(folder) == len(archive) == 5
    for opened in (folder, archive):
        batch = opened.fetch([3, 0])
        for rows, side in ((batch.source, "a"), (batch.sample, "b")):
            wanted = [torch.from_numpy(PAIRS[f"{side}/{index}.png"]).permute(2, 0, 1) for index in (3, 0)]
            assert torch.equal(bytes_of(rows), torch.stack(wanted).int())


def test_pairs_side_by_side(tmp_path):
    wide = {f"{index}.png": noise(20, 40, seed=index) for index in range(3)}
    forwards = open_data("paired", write(tmp_path, wide), size=20).fetch([2])
    backwards = open_data("paired", tmp_path, size=20, backwards="true").fetch([2])
    left, right = (torch.from_numpy(wide["2.png"][:, side]).permute(2, 0, 1) for side in (slice(20), slice(20, 40)))
    assert torch.equal(bytes_of(forwards.source[0]), left.int())
    assert torch.equal(bytes_of(forwards.sample[0]), right.int())
    assert torch.equal(backwards.source, forwards.sample) and torch.equal(backwards.sample, forwards.source)
    # Nothing of one half shows in the other, also where they are reduced.
    halves = numpy.concatenate([numpy.zeros((40, 40), numpy.uint8), numpy.full((40, 40), 255, numpy.uint8)], 1)
    batch = open_data("paired", write(tmp_path / "grey", {"x.png": halves}), size=16).fetch([0])
    assert (batch.source == -1).all() and (batch.sample == 1).all() and batch.sample.shape == (1, 1, 16, 16)


def test_sides_may_differ_in_channels_and_suffix(tmp_path):
    root = write(tmp_path, {"edge/deep/x.pgm": encoded(noise(channels=1), form="PPM"), "photo/deep/x.png": noise()})
    opened = open_data("paired", root, source="edge", sample="photo")
    assert opened.spec.source == (1, 16, 16) and opened.spec.shape == (3, 16, 16)
    assert "centre-cropped and resized to 16x16" in opened.notes[0]
    assert open_data("paired", root, source="edge", sample="photo", channels="grey").spec.shape[0] == 1


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_both_of_a_pair_are_seen_alike(tmp_path, fit):
    """Source and sample are the same picture here, so that every view of them must be."""
    files = {f"{side}/{index}.png": noise(seed=index) for side in "ab" for index in range(3)}
    options = {**APART, "size": "16x12", "jitter": "20x15", "mirror": "true", "fit": fit}
    opened = open_data("paired", write(tmp_path, files), **options)
    assert len(opened) == 3 * 64
    batch = opened.fetch(list(range(len(opened))))
    assert torch.equal(batch.source, batch.sample)
    views = batch.sample[torch.arange(len(opened)) % 3 == 1]
    assert len(views.flatten(1).unique(dim=0)) > 25  # of 40 there are: 5 x 4 places, mirrored or not


def test_views_are_parts_of_the_picture_and_some_are_mirrored(tmp_path):
    root = write(tmp_path, {f"{side}/{index}.png": rulers(blue=index) for side in "ab" for index in range(4)})
    opened = open_data("paired", root, **APART, size="36x40", jitter="40x48", mirror="true")
    seen = bytes_of(opened.fetch(list(range(len(opened)))).sample)
    red, green = seen[:, 0, 0], seen[:, 1, :, 0]
    mirrored = red[:, 0] > red[:, -1]
    left, top = torch.minimum(red[:, 0], red[:, -1]), green[:, 0]
    wanted = left[:, None] + torch.arange(40)
    assert torch.equal(torch.where(mirrored[:, None], red.flip(1), red), wanted.int())
    assert torch.equal(green, (top[:, None] + torch.arange(36)).int())
    assert set(left.tolist()) == set(range(9)) and set(top.tolist()) == set(range(5))
    assert 0.35 < mirrored.float().mean() < 0.65
    # The first view of each is the plain middle: what is shown beside samples.
    assert (left[:4] == 4).all() and (top[:4] == 2).all() and not mirrored[:4].any()
    # Views of different pictures are not cropped alike.
    assert (left[4::4] != left[5::4]).any() and (mirrored[4::4] != mirrored[5::4]).any()


def test_without_jitter_or_mirroring_there_is_one_view(tmp_path):
    root = write(tmp_path, {f"{side}/{index}.png": rulers(32, 32, index) for side in "ab" for index in range(2)})
    assert len(open_data("paired", root, **APART)) == 2
    mirrored = open_data("paired", root, **APART, mirror="true", views=10)
    assert len(mirrored) == 20
    plain = mirrored.fetch([1]).sample
    kinds = [torch.equal(mirrored.fetch([1 + 2 * view]).sample, plain.flip(-1)) for view in range(10)]
    assert any(kinds) and not kinds[0]
    for view, turned in enumerate(kinds):
        assert turned or torch.equal(mirrored.fetch([1 + 2 * view]).sample, plain)


@pytest.mark.parametrize("name", ["paired", "unpaired"])
def test_batches_are_the_same_with_workers_and_after_continuing(tmp_path, name):
    root = write_zip(tmp_path / "d.zip", PAIRS)
    options = {**APART, "size": 16, "jitter": 20, "mirror": "true", "views": 3}
    streams = [Stream(open_data(name, root, **options), seed=5, chunk=4, workers=workers) for workers in (0, 2)]
    taken = [[stream.take(6) for _ in range(4)] for stream in streams]
    for here, there in zip(*taken, strict=True):
        for key in ("sample", "source", "index"):
            assert torch.equal(getattr(here, key), getattr(there, key))
    late = Stream(open_data(name, root, **options), seed=5)
    late.load({"position": 18})
    assert torch.equal(late.take(6).source, taken[0][3].source)
    streams[1].close()


def test_held_out_pairs_are_the_last_and_plain(tmp_path):
    root = write(tmp_path, PAIRS)
    options = {**APART, "size": "10x12", "jitter": "20x24", "mirror": "true", "held_out": 2}
    training, measured = (open_data("paired", root, **options, part=part) for part in ("train", "held-out"))
    assert len(training) == 3 * 64 and len(measured) == 2
    assert training.names == [(f"a/{n}.png", f"b/{n}.png") for n in (0, 1, 2)]
    assert measured.names == [(f"a/{n}.png", f"b/{n}.png") for n in (3, 4)]
    assert torch.equal(measured.fetch([0]).sample, open_data("paired", root, **APART, size="10x12").fetch([3]).sample)
    assert training.fingerprint() != measured.fingerprint()


def test_the_fingerprint_follows_what_changes_samples(tmp_path):
    root = write(tmp_path, PAIRS)
    changes = [{}, {"backwards": "true"}, {"fit": "pad"}, {"jitter": 18}, {"jitter": 19}, {"jitter": 19, "views": 3},
               {"mirror": "true"}, {"held_out": 1}, {"channels": "grey"}]  # fmt: skip
    found = [open_data("paired", root, **APART, size=16, **change).fingerprint() for change in changes]
    assert len(set(found)) == len(found)
    domains = [{}, {"fit": "pad"}, {"jitter": 18}, {"mirror": "true"}, {"views": 3}, {"channels": "grey"}]
    found = [open_data("unpaired", root, **APART, size=16, **change).fingerprint() for change in domains]
    assert len(set(found)) == len(found)
    (root / "a" / "0.png").write_bytes(encoded(noise(20, 24, seed=99)) + b"longer")
    assert open_data("unpaired", root, **APART, size=16).fingerprint() != found[0]


# Label maps


@pytest.mark.parametrize("palette", [False, True])
def test_label_maps_are_one_channel_a_label(tmp_path, palette):
    labels = numpy.random.default_rng(0).integers(0, 5, (16, 16), numpy.uint8)
    root = write(tmp_path, {"a/x.png": encoded(labels, palette), "b/x.png": noise(16, 16)})
    part = part_of("paired", root, **APART, labels=5)
    opened = part.open()
    assert opened.spec.source == (5, 16, 16) and opened.spec.shape == (3, 16, 16)
    source = opened.fetch([0]).source
    assert set(source.unique().tolist()) == {0, 1} and (source.sum(1) == 1).all()
    assert torch.equal(source.argmax(1)[0], torch.from_numpy(labels).long())
    # `ganzoo translate` reads them alike, and beside samples they are shown in colours.
    assert torch.equal(part.read_source((root / "a" / "x.png").read_bytes(), opened.spec), source[0])
    shown = part.show_source(source, opened.spec)
    assert shown.shape == (1, 3, 16, 16) and len(shown[0].flatten(1).unique(dim=1).T) == len(numpy.unique(labels))


@pytest.mark.parametrize("fit", ["crop", "stretch", "pad"])
def test_label_maps_are_never_mixed(tmp_path, fit):
    """Labels 0 and 4 only: a filter that weighs neighbours would make others."""
    labels = 4 * (numpy.indices((30, 40)).sum(0) // 3 % 2)
    root = write(tmp_path, {"a/x.png": labels, "b/x.png": noise(30, 40)})
    options = {**APART, "labels": 5, "fit": fit, "size": 20, "jitter": 26, "mirror": "true"}
    source = open_data("paired", root, **options).fetch(list(range(64))).source
    assert (source.sum(1) == 1).all() and source.amax((0, 2, 3)).tolist() == [1, 0, 0, 0, 1]


def test_label_maps_and_pictures_are_cropped_alike(tmp_path):
    """The sample shows the labels as levels, in blocks that no cut of whole pixels makes ambiguous."""
    labels = numpy.random.default_rng(1).integers(0, 9, (24, 28), numpy.uint8)
    root = write(tmp_path, {"a/x.png": labels, "b/x.png": labels * 20})
    batch = open_data("paired", root, **APART, labels=9, size="16x20", jitter="24x28", mirror="true").fetch(
        [*range(64)]
    )
    assert torch.equal(batch.source.argmax(1) * 20, bytes_of(batch.sample)[:, 0].long())


def test_backwards_label_maps_are_painted(tmp_path):
    labels = numpy.random.default_rng(0).integers(0, 12, (16, 16), numpy.uint8)
    root = write(tmp_path, {"a/x.png": labels, "b/x.png": noise(16, 16)})
    part = part_of("paired", root, **APART, labels=12, backwards="true")
    batch = part.open().fetch([0])
    assert part.open().spec.source == part.open().spec.shape == (3, 16, 16)
    assert torch.equal(batch.sample, painted(torch.from_numpy(labels)[None].long()))
    assert torch.equal(part.show_source(batch.source, part.open().spec), batch.source)


def test_every_label_has_a_colour_of_its_own():
    colours = bytes_of(painted(torch.arange(256).view(1, 16, 16)))[0].flatten(1).T
    assert len(colours.unique(dim=0)) == 256
    # Those of the first labels, as the PASCAL VOC development kit has them.
    assert colours[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    few = colours[:20].float()
    assert torch.cdist(few, few).add(1e3 * torch.eye(20)).min() >= 64


# What is refused


def refused(name, path, **options):
    with pytest.raises((DataError, UsageError)) as caught:
        open_data(name, path, **options)
    told = str(caught.value)
    assert "\n" not in told
    return told


@pytest.mark.parametrize(
    ("name", "files", "options", "said"),
    [
        ("paired", {"a/1.png": 0, "a/2.png": 0, "b/2.png": 0, "b/3.png": 0}, APART, "2, the first is a/1.png"),
        ("paired", {"a/1.png": 0, "a/1.bmp": 0, "b/1.png": 0}, APART, "a/1.bmp and a/1.png"),
        ("paired", {"a/1.png": 0}, APART, "pictures in its folders a;"),
        ("paired", {"1.png": 0}, APART, "it has no folders with pictures"),
        ("paired", {"notes.txt": b"-"}, {}, "there are no pictures"),
        ("paired", {"a/1.png": b"-", "b/1.png": 0}, APART, "cannot read the picture a/1.png"),
        ("paired", {"a/1.png": noise(20, 21), "b/1.png": noise(20, 22)}, APART, "20x21 and 20x22 pixels"),
        ("paired", {"a/1.png": noise(20, 21)}, {}, "21 pixels wide"),
        ("paired", {"a/1.png": noise(20, 22)}, {}, "20x11 pixels"),  # of which the half is too small without a size
        ("paired", {"a/1.png": 0, "b/1.png": 0}, {**APART, "held_out": 1}, "leaves nothing of the 1 pairs"),
        ("paired", {"1.png": 0}, {"size": 16, "jitter": "20x15"}, "jitter=20x15 is smaller than size=16"),
        ("paired", {"1.png": 0}, {"jitter": 20}, "jitter goes with a size"),
        ("paired", {"1.png": 0}, {"source": "a"}, "name both"),
        ("paired", {"1.png": 0}, {"labels": 3}, "source=FOLDER"),
        ("paired", {"1.png": 0}, {**APART, "labels": 300}, "from 2 to 256"),
        ("paired", {"1.png": 0}, {"part": "held-out"}, "held_out=COUNT"),
        ("unpaired", {"trainA/1.png": 0, "b/1.png": 0}, {}, "pictures in its folders b, trainA;"),
        ("unpaired", {"trainA/1.png": 0, "trainB/1.png": b"-"}, {}, "cannot read the picture trainB/1.png"),
        ("unpaired", {"trainA/1.png": 0}, {"size": 16, "jitter": 15}, "smaller than size=16"),
        ("unpaired", {"trainA/1.png": 0}, {"views": 0}, "at least 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, name, files, options, said):
    root = write(tmp_path, {file: noise() if isinstance(content, int) else content for file, content in files.items()})
    assert said in refused(name, root, **options)


def test_what_is_wrong_with_a_file_is_said_when_it_is_read(tmp_path):
    labels = numpy.zeros((16, 16), numpy.uint8)
    labels[3, 4] = 7
    root = write(tmp_path, {"a/x.png": labels, "b/x.png": noise(16, 16)})
    for count, map_file, said in (
        (7, encoded(labels), "a/x.png in .*it holds the label 7, and labels=7 means labels from 0 to 6"),
        (7, encoded(noise(16, 16)), "a/x.png in .*it has colours"),
        (8, encoded(labels)[:50], "cannot read the picture a/x.png"),
    ):
        (root / "a" / "x.png").write_bytes(map_file)
        opened = open_data("paired", root, **APART, labels=count)
        with pytest.raises(DataError, match=said):
            opened.fetch([0])


# Domains


def test_domains_may_differ_in_number_size_and_channels(tmp_path):
    files = {f"trainA/{index}.png": noise(30, 40, 1, index) for index in range(7)}
    files |= {f"trainB/{index}.png": noise(18, 17, 3, index) for index in range(3)}
    opened = open_data("unpaired", write(tmp_path, files))
    assert opened.spec.source == (1, 16, 16) and opened.spec.shape == (3, 16, 16)
    assert opened.spec.offers == ("image", "two_domains") and len(opened) == 3 * 64
    batch = opened.fetch([5, 100])
    assert batch.source.shape == (2, 1, 16, 16) and batch.sample.shape == (2, 3, 16, 16) and batch.label is None


@pytest.mark.parametrize(("sources", "wanted"), [(7, 3), (3, 7), (5, 5)])
def test_sources_are_used_equally_and_never_paired_for_good(tmp_path, sources, wanted):
    files = {f"trainA/{index}.png": rulers(16, 16, index) for index in range(sources)}
    files |= {f"trainB/{index}.png": rulers(16, 16, index) for index in range(wanted)}
    opened = open_data("unpaired", write(tmp_path, files))
    batch = opened.fetch(list(range(len(opened))))
    source, sample = (bytes_of(rows)[:, 2, 0, 0] for rows in (batch.source, batch.sample))
    uses = source.bincount(minlength=sources)
    assert uses.max() - uses.min() <= 1
    assert (sample.bincount() == 64).all()
    for picture in range(wanted):
        partners = source[sample == picture]
        assert len(partners.unique()) == sources
        assert (partners.bincount() < 64 * 0.6).all()


def test_both_domains_are_cropped_and_mirrored_each_for_itself(tmp_path):
    files = {f"{side}/{index}.png": rulers(24, 24, index) for side in ("trainA", "trainB") for index in range(4)}
    opened = open_data("unpaired", write(tmp_path, files), size=16, jitter=24, mirror="true")
    batch = opened.fetch(list(range(len(opened))))
    red = [bytes_of(rows)[:, 0, 0] for rows in (batch.source, batch.sample)]
    mirrored = [rows[:, 0] > rows[:, -1] for rows in red]
    for domain in mirrored:
        assert 0.35 < domain.float().mean() < 0.65
    assert 0.35 < (mirrored[0] == mirrored[1]).float().mean() < 0.65
    left = torch.stack([torch.minimum(rows[:, 0], rows[:, -1]) for rows in red]).float()
    assert abs(torch.corrcoef(left)[0, 1]) < 0.25


def test_a_path_still_means_folder(tmp_path):
    root = write(tmp_path / "maps", {"trainA/1.png": noise(), "trainB/1.png": noise()})
    assert Choice.parse_path(str(root), installed()).name == "folder"


def test_the_usual_parts_for_testing(tmp_path):
    root = write(tmp_path, {f"{side}/{n}.png": noise(seed=n) for side in ("trainA", "trainB", "testA", "testB")
                            for n in range(2)})  # fmt: skip
    assert open_data("unpaired", root, source="testA", sample="testB").names[0] == ["testA/0.png", "testA/1.png"]


# Digits


def test_inverted_digits_are_the_second_half_thickened(tmp_path):
    pixels = numpy.random.default_rng(0).integers(0, 256, (9, 28, 28), numpy.uint8)
    images = struct.pack(">4i", 2051, 9, 28, 28) + pixels.tobytes()
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, 9) + bytes(range(9)))
    opened = open_data("mnist-inverted", tmp_path, split="test", size=28)
    assert len(opened) == 5 * 64 and opened.spec.source == opened.spec.shape == (1, 28, 28)
    assert opened.spec.offers == ("image", "two_domains")
    batch = opened.fetch(list(range(len(opened))))
    thick = numpy.stack([255 - scipy.ndimage.grey_dilation(picture, (3, 3), mode="nearest") for picture in pixels[4:]])
    assert torch.equal(bytes_of(batch.sample[:5])[:, 0], torch.from_numpy(thick).int())
    seen = bytes_of(batch.source)[:, 0]
    rows = [next(row for row in range(4) if (pixels[row] == picture.numpy()).all()) for picture in seen]
    assert numpy.ptp(numpy.bincount(rows)) <= 1
    again = open_data("mnist-inverted", tmp_path, split="test", size=28)
    assert torch.equal(again.fetch([17]).source, batch.source[17:18]) and again.fingerprint() == opened.fingerprint()


# Real data


def test_street_scenes_with_label_maps(real_data):
    options = {
        "source": "valannot",
        "sample": "val",
        "labels": 12,
        "size": "48x64",
        "jitter": "54x72",
        "mirror": "true",
    }
    opened = open_data("paired", real_data / "camvid_val" / "camvid_val.zip", **options, held_out=11)
    assert len(opened) == 90 * 64 and opened.spec.source == (12, 48, 64) and opened.spec.shape == (3, 48, 64)
    batch = opened.fetch([0, 90, 5000])
    assert (batch.source.sum(1) == 1).all()
    # Label 0 is the sky, label 3 the road: the one is brighter than the other, if maps and photographs are cut alike.
    sky, road = (
        (batch.sample.mean(1) * batch.source[:, label]).sum() / batch.source[:, label].sum() for label in (0, 3)
    )
    assert sky > road + 0.5
    with pytest.raises(DataError, match="holds the label 11, and labels=11"):
        open_data("paired", real_data / "camvid_val" / "camvid_val.zip", **{**options, "labels": 11}).fetch([*range(8)])
