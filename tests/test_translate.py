"""`ganzoo translate` and `Run.translate`: pictures of any size through trained translators, from and to real files."""

from __future__ import annotations

import io
import zipfile

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image
from torch import nn

import ganzoo as library
from ganzoo import UsageError
from ganzoo.errors import RunError
from ganzoo.game import evaluating
from ganzoo.translation import _reflected


def noise(height=20, width=24, channels=3, seed=0):
    shape = (height, width, channels) if channels > 1 else (height, width)
    return numpy.random.default_rng(seed).integers(0, 256, shape, numpy.uint8)


def encoded(pixels, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content if isinstance(content, bytes) else encoded(content))
    return root


def trained(folder, name, **words):
    return library.train(**{"batch": 2, "steps": 1, "quiet": True, **words}, out=folder / name)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of grey pictures to coloured ones and back, one that halves its pictures twice, one of label maps to
    pictures, and one without sources."""
    folder, chance = tmp_path_factory.mktemp("runs"), numpy.random.default_rng(9)
    domains = write(folder / "domains", {f"trainA/{n}.png": noise(16, 16, 1, n) for n in range(3)}
                    | {f"trainB/{n}.png": noise(16, 16, 3, n) for n in range(4)})  # fmt: skip
    maps = write(folder / "maps", {f"map/{n}.png": chance.integers(0, 5, (16, 16), numpy.uint8) for n in range(3)}
                 | {f"photo/{n}.png": noise(16, 16, 3, n) for n in range(3)})  # fmt: skip
    labelled = {"data": f"paired:path={maps},source=map,sample=photo,labels=5", "loss": "lsgan"}
    small = "cyclegan:generator_width=2,discriminator_width=2,blocks=1,patch=16"
    return {
        "toy": trained(folder, "toy", arch="toy-cycle:width=4", data=f"unpaired:path={domains}", steps=3),
        "cycle": trained(folder, "cycle", arch=small, data=f"unpaired:path={domains}"),
        "labels": trained(folder, "labels", arch=small, procedure="paired", **labelled),
        "both": trained(folder, "both", arch=small, procedure="cycle", **labelled),
        "plain": trained(folder, "plain", arch="dcgan:width=4", data="digits:size=16"),
    }


def grey(pixels):
    """A grey picture as a source [1, 1, H, W]."""
    return torch.tensor(pixels)[None, None] / 127.5 - 1


def bytes_of(made):
    return ((made + 1) * 127.5).round().clamp(0, 255)[0].permute(1, 2, 0).numpy().astype(numpy.uint8)


def pixels_of(path):
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        return numpy.asarray(picture)


def told(run, *words, code):
    return invoke("translate", run.path, *words, code=code).stderr


# What is made


def test_what_is_made_is_what_the_network_makes(runs):
    run = runs["toy"]
    sources = torch.cat([grey(noise(12, 18, 1, seed)) for seed in range(3)])
    network = run.game().networks.generators["generator_b"]
    with evaluating(network):
        wanted = network(sources)
    made = run.translate(sources)
    assert made.shape == (3, 3, 12, 18) and torch.equal(made, wanted)
    back = run.translate(made, backwards=True)
    assert back.shape == sources.shape and not torch.equal(back, sources)
    assert not made.requires_grad and all(module.training for module in network.modules())


@pytest.mark.parametrize(("height", "width"), [(16, 20), (17, 18), (23, 31), (19, 16)])
def test_sizes_that_the_network_cannot_halve_are_reflected_at_the_edges(runs, height, width):
    """The same picture, reflected by hand to what the network can halve, gives the same where it was."""
    source = grey(noise(height, width, 1))
    down, across = (-length % 4 for length in (height, width))
    before = (down // 2, across // 2)
    placed = numpy.pad(source[0, 0].numpy(), [(b, more - b) for b, more in zip(before, (down, across), strict=True)],
                       mode="reflect")  # fmt: skip
    whole = runs["cycle"].translate(torch.from_numpy(placed)[None, None])
    wanted = whole[:, :, before[0] : before[0] + height, before[1] : before[1] + width]
    made = runs["cycle"].translate(source)
    assert made.shape == (1, 3, height, width)
    torch.testing.assert_close(made, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("length", "more"), [(5, 0), (5, 3), (5, 4), (2, 7), (3, 61), (1, 6)])
def test_rows_are_reflected_as_often_as_needed(length, more):
    rows = numpy.pad(numpy.arange(length), (more // 2, more - more // 2), mode="reflect")
    assert _reflected(length, more).tolist() == rows.tolist()


def test_every_picture_is_made_as_if_it_were_alone(runs, tmp_path):
    """Also where a network draws noise: dropout that is left on."""
    run = runs["cycle"]
    network = run.game().procedure.translator(run.game())
    handle = network.register_forward_hook(lambda _module, _given, made: nn.functional.dropout(made, 0.5, True))
    try:
        torch.manual_seed(1)
        first, state = run.translate(grey(noise(16, 16, 1))), torch.get_rng_state()
        torch.manual_seed(2)
        run.translate(grey(noise(20, 20, 1)))
        assert torch.equal(run.translate(grey(noise(16, 16, 1))), first)
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers changed
    finally:
        handle.remove()
    assert (first == 0).float().mean() > 0.3


# Files


def test_a_folder_in_a_process_of_its_own(runs, ganzoo, tmp_path):
    """Sizes differ, folders and names are kept; what else lies in the folder of results stays."""
    files = {"1.png": noise(20, 24, 1), "deep/er/2.png": noise(17, 31, 1), "3.JPG": encoded(noise(9, 40, 3), "JPEG")}
    given = write(tmp_path / "in", {**files, "notes.txt": b"-", ".hidden/4.png": noise(), "deep/.5.png": noise()})
    write(tmp_path / "out", {"mine.txt": b"mine", "1.png": noise(2, 2)})
    done = ganzoo("translate", runs["toy"].path, "in", "--out", "out")
    assert done.stdout == "out\n"
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    assert names == {"mine.txt", "1.png", "deep/er/2.png", "3.png"}
    assert (tmp_path / "out" / "mine.txt").read_bytes() == b"mine"
    for name in ("1.png", "deep/er/2.png"):
        assert (pixels_of(tmp_path / "out" / name) == bytes_of(runs["toy"].translate(grey(files[name])))).all()
    with Image.open(given / "3.JPG") as picture:
        assert (pixels_of(tmp_path / "out" / "3.png")
                == bytes_of(runs["toy"].translate(grey(numpy.asarray(picture.convert("L")))))).all()  # fmt: skip


def test_a_zip_a_folder_in_it_and_a_single_file(runs, tmp_path):
    files = {"set/1.png": noise(20, 24, 1), "set/b/2.png": noise(18, 18, 1), "3.png": noise(16, 16, 1)}
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for name, content in {
            **files,
            "__MACOSX/3.png": noise(),
            "../out.png": noise(),
            "/out.png": noise(),
            "//": noise(),
            "set/../out.png": noise(),
        }.items():
            archive.writestr(name, encoded(content))
    for given, prefix, count in (("in.zip", "", 3), ("in.zip/set", "set/", 2), ("one.png", "3.png", 1)):
        out = tmp_path / "out" / str(count)
        write(tmp_path, {"one.png": files["3.png"]})
        assert invoke("translate", runs["toy"].path, tmp_path / given, "--out", out).stdout == f"{out}\n"
        wanted = {name.removeprefix(prefix) or "one.png": pixels for name, pixels in files.items()
                  if name.startswith(prefix)}  # fmt: skip
        assert {path.relative_to(out).as_posix() for path in out.rglob("*.png")} == set(wanted)
        for name, pixels in wanted.items():
            assert (pixels_of(out / name) == bytes_of(runs["toy"].translate(grey(pixels)))).all()
    assert not list(tmp_path.glob("out*.png")) and not list((tmp_path / "out").glob("*.png"))


def test_backwards_coloured_pictures_become_grey(runs, tmp_path):
    given = write(tmp_path / "in", {"1.png": noise(21, 22)})
    invoke("translate", runs["cycle"].path, given, "--backwards", "--out", tmp_path / "out")
    source = torch.from_numpy(noise(21, 22)).permute(2, 0, 1)[None] / 127.5 - 1
    wanted = bytes_of(runs["cycle"].translate(source, backwards=True))[..., 0]
    assert wanted.shape == (21, 22) and (pixels_of(tmp_path / "out" / "1.png") == wanted).all()


def test_a_step_of_the_run_is_taken(runs, tmp_path):
    given = write(tmp_path / "in", {"1.png": noise(16, 16, 1)})
    run = trained(tmp_path, "run", arch="toy-cycle:width=4", data="toy-domains", steps=3, save_every=1)
    made = []
    for step in run.steps:
        invoke("translate", run.path, given, "--checkpoint", step, "--out", tmp_path / f"{step}")
        made.append(pixels_of(tmp_path / f"{step}" / "1.png"))
        assert (made[-1] == bytes_of(run.translate(grey(noise(16, 16, 1)), step=step))[..., 0]).all()
    assert len(made) == 3 and (made[0] != made[2]).any()
    assert "7" in told(run, given, "--checkpoint", 7, "--out", tmp_path / "7", code=1)


def test_label_maps_are_read_as_the_data_set_reads_them(runs, tmp_path):
    labels = numpy.random.default_rng(1).integers(0, 5, (18, 23), numpy.uint8)
    given = write(tmp_path / "in", {"1.png": labels})
    invoke("translate", runs["labels"].path, given, "--out", tmp_path / "out")
    source = nn.functional.one_hot(torch.from_numpy(labels).long(), 5).permute(2, 0, 1)[None].float()
    wanted = bytes_of(runs["labels"].translate(source))
    assert wanted.shape == (18, 23, 3) and (pixels_of(tmp_path / "out" / "1.png") == wanted).all()
    write(given, {"2.png": labels + 1})
    said = told(runs["labels"], given, "--out", tmp_path / "out", code=1)
    assert "2.png" in said and "the label 5, and labels=5" in said


def test_what_becomes_label_maps_is_painted(runs, tmp_path):
    given = write(tmp_path / "in", {"1.png": noise(16, 19)})
    invoke("translate", runs["both"].path, given, "--backwards", "--out", tmp_path / "out")
    colours = {(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)}
    made = pixels_of(tmp_path / "out" / "1.png")
    assert made.shape == (16, 19, 3) and set(map(tuple, made.reshape(-1, 3).tolist())) <= colours


# What is refused


def test_what_cannot_be_translated_is_said_in_a_sentence(runs, tmp_path):
    given, out = write(tmp_path / "in", {"1.png": noise(16, 16, 1)}), ("--out", tmp_path / "out")
    assert "use `ganzoo sample`" in told(runs["plain"], given, *out, code=2)
    assert "one direction" in told(runs["labels"], given, "--backwards", *out, code=2)
    assert "no file or folder" in told(runs["toy"], tmp_path / "absent", *out, code=1)
    assert "there are no pictures" in told(runs["toy"], write(tmp_path / "no", {"a.txt": b"-"}), *out, code=1)
    (tmp_path / "bad.zip").write_bytes(b"PK-")
    assert "not a .zip" in told(runs["toy"], tmp_path / "bad.zip", *out, code=1)
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(given / "1.png", "1.png")
    assert "there are no pictures" in told(runs["toy"], tmp_path / "in.zip" / "absent", *out, code=1)
    twins = write(tmp_path / "twins", {"a/1.png": noise(), "a/1.bmp": encoded(noise(), "BMP")})
    assert "1.bmp and" in told(runs["toy"], twins, *out, code=2)
    assert not (tmp_path / "out").exists()
    for inside in (given, given / "out", given / "." / "sub" / ".." / "out"):
        assert "folder outside" in told(runs["toy"], given, "--out", inside, code=2)
    assert "written over" in told(runs["toy"], given / "1.png", "--out", given, code=2)


def test_a_broken_picture_is_named_and_those_before_it_are_made(runs, tmp_path):
    given = write(tmp_path / "in", {"1.png": noise(), "2.png": encoded(noise())[:100], "3.png": b"", "4.png": noise()})
    said = told(runs["toy"], given, "--out", tmp_path / "out", code=1)
    assert "2.png" in said and "mend or remove it" in said
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["1.png"]


def test_a_picture_that_the_network_cannot_take_is_named(runs, tmp_path):
    """4 pixels a side are 1 after two halvings, and one pixel cannot be reflected any further."""
    given = write(tmp_path / "in", {"tiny.png": noise(3, 4, 1)})
    said = told(runs["cycle"], given, "--out", tmp_path / "out", code=1)
    assert "tiny.png" in said and "cannot translate 3x4 pixels" in said
    with pytest.raises(RunError, match="cannot translate 3x4 pixels"):
        runs["cycle"].translate(torch.zeros(1, 1, 3, 4))


def test_tensors_of_another_shape_are_refused(runs):
    for shape in ((1, 3, 16, 16), (1, 16, 16)):
        with pytest.raises(UsageError, match=r"pictures \[N, 1, height, width\]"):
            runs["toy"].translate(torch.zeros(shape))


def test_a_folder_that_cannot_be_written(runs, tmp_path):
    given = write(tmp_path / "in", {"deep/1.png": noise()})
    write(tmp_path / "out", {"deep": b"a file where a folder should be"})
    assert "cannot write" in told(runs["toy"], given, "--out", tmp_path / "out", code=1)


# Real data


def test_street_scenes(real_data, tmp_path):
    """Label maps of 360 x 480 pixels, read from inside the .zip, through networks trained at 48 x 64."""
    archive = real_data / "camvid_val" / "camvid_val.zip"
    data = f"paired:path={archive},source=valannot,sample=val,labels=12,size=48x64,jitter=54x72,mirror=true,held_out=99"
    arch = "cyclegan:generator_width=2,discriminator_width=2,blocks=1,patch=16"
    run = trained(tmp_path, "run", arch=arch, procedure="paired", loss="lsgan", data=data, steps=2)
    (sheet,) = (run.path / "samples").iterdir()
    # The picture of a step begins with a source: a label map, painted.
    assert len(numpy.unique(pixels_of(sheet)[:48, :64].reshape(-1, 3), axis=0)) <= 12
    with zipfile.ZipFile(archive) as whole:
        name = next(name for name in whole.namelist() if name.startswith("valannot/"))
        write(tmp_path, {"in.png": whole.read(name)})
    invoke("translate", run.path, tmp_path / "in.png", "--out", tmp_path / "out")
    assert pixels_of(tmp_path / "out" / "in.png").shape == (360, 480, 3)
