"""Film: reading it, MoCoGAN, what its clips are written as, and what is measured of them."""

from __future__ import annotations

import re
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image

import ganzoo
from ganzoo import Batch, DataError, Evidence, Game, OptionError, Sample, Size, SizeError, Spec, UsageError
from ganzoo.data import Stream
from ganzoo.draws import Draws
from ganzoo.parts import Parts, Plan
from ganzoo_plugins.architectures.mocogan import MoCoGAN
from ganzoo_plugins.datasets.moving_shapes import MOTIONS, MovingShapes
from ganzoo_plugins.datasets.video import Video
from ganzoo_plugins.losses.nonsaturating import NonSaturating
from ganzoo_plugins.metrics.motion import STATISTICS, Motion
from ganzoo_plugins.procedures.image_and_clip import ImageAndClip

SIDE = 16


def film(count: int, first: int = 0, side: int = SIDE) -> numpy.ndarray:
    """Frames [count, side, side, 3] whose red is ten times their number, from `first` on."""
    frames = numpy.zeros((count, side, side, 3), numpy.uint8)
    frames[..., 0] = 10 * (first + numpy.arange(count))[:, None, None]
    return frames


def put_strip(path: Path, frames: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numpy.concatenate(list(frames), axis=1)).save(path)


def put_folder(path: Path, frames: numpy.ndarray) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(path / f"frame{number}.png")


def put_animation(path: Path, frames: numpy.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = map(Image.fromarray, frames)
    first.save(path, save_all=True, append_images=others, duration=100)


PUT = {"strips": (put_strip, ".png"), "folders": (put_folder, ""), "animations": (put_animation, ".gif")}


def times(batch: Batch) -> list[list[int]]:
    """Which frames of `film` the clips hold."""
    return ((batch.sample[:, 0, :, 0, 0] + 1) * 12.75).round().int().tolist()


# Reading


@pytest.mark.parametrize("kept", list(PUT))
def test_each_way_of_keeping_films_gives_the_same_clips(tmp_path, kept):
    put, suffix = PUT[kept]
    put(tmp_path / f"a{suffix}", film(12))
    put(tmp_path / f"b{suffix}", film(12, first=12))
    data = Video(str(tmp_path), frames=5, every=2, views=3, frames_per_second=4).open()
    assert data.spec == Spec("video", (3, 5, SIDE, SIDE), encoding={"frames_per_second": 4})
    assert len(data) == 6 and not data.notes
    batch = data.fetch(list(range(6)))
    found = times(batch)
    assert found[:2] == [[1, 3, 5, 7, 9], [13, 15, 17, 19, 21]]  # the middles of both
    assert all(12 * (index % 2) <= clip[0] <= 3 + 12 * (index % 2) for index, clip in enumerate(found))
    assert all(numpy.diff(clip).tolist() == [2] * 4 for clip in found)
    assert (batch.sample[:, 1:] == -1).all() and (batch.sample == batch.sample[..., :1, :1]).all()
    assert torch.equal(data.fetch([4, 1]).sample, batch.sample[[4, 1]])
    again = Video(str(tmp_path), frames=5, every=2, views=3, frames_per_second=4).open()
    assert torch.equal(again.fetch([5]).sample, batch.sample[5:]) and again.fingerprint() == data.fingerprint()
    assert Video(str(tmp_path), frames=5, every=1).open().fingerprint() != data.fingerprint()


def test_views_begin_in_many_places_and_a_film_without_room_has_one(tmp_path):
    put_strip(tmp_path / "a.png", film(24))
    begins = [clip[0] for clip in times(Video(str(tmp_path), frames=4, every=1, views=30).open().fetch([*range(30)]))]
    assert len(set(begins)) > 8 and min(begins) >= 0 and max(begins) <= 20
    assert len(Video(str(tmp_path), frames=24, every=1, views=30).open()) == 1


def test_a_zip_reads_as_a_folder_and_names_with_numbers_stand_in_order(tmp_path):
    put_folder(tmp_path / "in" / "one", film(12))  # frame10 comes behind frame9
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        for path in sorted((tmp_path / "in" / "one").iterdir()):
            packed.write(path, f"one/{path.name}")
    folder, archive = (Video(str(tmp_path / name), frames=12, every=1).open() for name in ("in", "packed.zip"))
    assert times(folder.fetch([0])) == times(archive.fetch([0])) == [list(range(12))]
    assert folder.fingerprint() == archive.fingerprint()


@pytest.mark.parametrize("kept", list(PUT))
def test_short_films_are_left_out_and_counted_and_what_would_fit_is_said(tmp_path, kept):
    put, suffix = PUT[kept]
    put(tmp_path / f"long{suffix}", film(9))
    put(tmp_path / f"short{suffix}", film(4))
    data = Video(str(tmp_path), frames=5, every=2).open()
    assert data.notes == (
        "video: 1 of 2 films are left out: they have fewer than the 9 frames that frames=5,every=2 asks for",
    )
    assert len(data) == 1
    with pytest.raises(DataError, match=rf"none of the 2 films \({kept}\) .* longest, long.*, has 9; say") as told:
        Video(str(tmp_path), frames=5, every=3).open()
    said = re.search(r"say frames=(\d+),every=(\d+)", str(told.value))
    assert said and len(Video(str(tmp_path), frames=int(said[1]), every=int(said[2])).open())
    with pytest.raises(DataError, match="say frames=9,every=1"):
        Video(str(tmp_path), frames=10, every=1).open()


def test_films_of_several_kinds_are_asked_about(tmp_path):
    put_strip(tmp_path / "a.png", film(6))
    put_animation(tmp_path / "b.gif", film(6, first=6))
    put_folder(tmp_path / "c", film(6, first=12))
    with pytest.raises(DataError, match="6 single pictures and 1 strips of frames and 1 animations; say which"):
        Video(str(tmp_path), frames=6, every=1).open()
    for kept, first, out in (("strips", 0, 7), ("animations", 6, 7), ("folders", 12, None)):
        data = Video(str(tmp_path), frames=6, every=1, films=kept).open()
        assert times(data.fetch([0])) == [list(range(first, first + 6))]
        assert out is None or f"video: {out} of 8 files are left out" in data.notes[0]
    with pytest.raises(DataError, match=r"none of the 6 pictures .* say films=auto"):
        Video(str(tmp_path / "c"), films="strips").open()


def test_other_sizes_are_fitted_and_told(tmp_path):
    put_strip(tmp_path / "a.png", film(6, side=40))
    put_strip(tmp_path / "b.png", film(6, side=64))
    data = Video(str(tmp_path), frames=6, every=1).open()
    assert data.spec.shape == (3, 6, 32, 32)
    assert "pictures of 40x40 to 64x64 (height x width) are centre-cropped and resized to 32x32" in data.notes[0]
    assert times(data.fetch([0, 1])) == [list(range(6))] * 2
    put_folder(tmp_path / "uneven", film(6, side=32))
    Image.new("RGB", (32, 48)).save(tmp_path / "uneven" / "frame6.png")
    found = Video(str(tmp_path / "uneven"), frames=7, every=1).open()
    assert "video: 1 of 1 films have frames of several sizes" in found.notes[0]
    assert found.fetch([0]).sample.shape == (1, 3, 7, 32, 32)
    assert Video(str(tmp_path / "uneven"), frames=7, every=1, channels="grey").open().fetch([0]).sample.shape[1] == 1


@pytest.mark.parametrize("kept", list(PUT))
def test_a_broken_file_is_told_or_its_film_left_out(tmp_path, kept):
    put, suffix = PUT[kept]
    for name in "ab":
        put(tmp_path / f"{name}{suffix}", numpy.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), "u1"))
    odd = tmp_path / "a" / "frame3.png" if kept == "folders" else tmp_path / f"a{suffix}"
    whole = odd.read_bytes()
    odd.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cannot read the picture a.* skip_broken=true"):
        Video(str(tmp_path), frames=3, every=1).open()
    odd.write_bytes(whole[: len(whole) // 2])  # its header is whole
    if kept == "animations":  # which end where they end
        told = Video(str(tmp_path), frames=6, every=1).open().notes
        assert told[0].startswith("video: 1 of 2 films are left out: they have fewer than the 6 frames")
    else:
        data = Video(str(tmp_path), frames=6, every=1).open()
        with pytest.raises(DataError, match=r"cannot read the picture a.* skip_broken=true"):
            data.fetch([0])
    left = Video(str(tmp_path), frames=6, every=1, skip_broken=True).open()
    assert len(left) == 1 and "video: 1 of 2" in left.notes[0]
    assert kept == "animations" or "the first because: cannot read" in left.notes[0]
    for path in [*tmp_path.glob("*/*"), *tmp_path.glob("b.*")]:
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"none of the \d+ files .* can be read, the first is the reason: cannot read"):
        Video(str(tmp_path), frames=6, every=1, skip_broken=True).open()


def test_places_without_films_and_odd_numbers_are_told(tmp_path):
    with pytest.raises(DataError, match=r"there are no pictures .* it is empty"):
        Video(str(tmp_path)).open()
    with pytest.raises(DataError, match="there is no file or folder"):
        Video(str(tmp_path / "nowhere")).open()
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="the folder itself, has 1; a film is a folder of frames, a strip"):
        Video(str(tmp_path)).open()
    for wrong in ({"frames": 1}, {"every": 0}, {"views": 0}, {"frames_per_second": 0.0}):
        with pytest.raises(OptionError):
            Video(str(tmp_path), **wrong)


def test_labels_are_the_folders_in_which_films_lie(tmp_path):
    for index, name in enumerate(("jump/a", "walk/b", "walk/c")):
        put_folder(tmp_path / name, film(3, first=index))
    data = Video(str(tmp_path), frames=3, every=1).open()
    assert data.spec.classes == ("jump", "walk")
    label = data.fetch([0, 1, 2]).label
    assert label is not None and label.tolist() == [0, 1, 1]
    assert Video(str(tmp_path / "walk"), frames=3, every=1).open().spec.classes == ()
    assert Video(str(tmp_path), frames=3, every=1, labels="none").open().fetch([0]).label is None
    with pytest.raises(DataError, match="no two folders to be classes; say labels=none"):
        Video(str(tmp_path / "walk"), frames=3, every=1, labels="folders").open()


def test_the_shapes_of_mocogan(real_data):
    path = real_data / "mocogan_shapes" / "mocogan_shapes.zip"
    if not path.is_file():
        pytest.skip("no mocogan_shapes/mocogan_shapes.zip among the real data")
    data = Video(str(path)).open()
    assert data.spec == Spec("video", (3, 16, 64, 64), ("0", "1"), encoding={"frames_per_second": 10.0})
    assert len(data) == 4 * 2_000 and not data.notes
    clip = data.fetch([0]).sample[0]
    lit = (clip > -0.5).any(0)
    assert ((lit.flatten(1).sum(1) > 8) & (lit.flatten(1).sum(1) < 400)).all()  # one small shape in each frame
    places = torch.stack([row.nonzero().float().mean(0) for row in lit])
    assert (places.diff(dim=0).norm(dim=1) < 12).all() and (places[-1] - places[0]).norm() > 4


def test_moving_shapes_move_as_their_label_says_and_stay_inside():
    data = MovingShapes(count=40, frames=16).open()
    batch = data.fetch(list(range(40)))
    assert batch.sample.shape == (40, 3, 16, 32, 32) and batch.sample.abs().max() <= 1
    assert torch.equal(batch.sample[7:9], data.fetch([7, 8]).sample)
    assert set(batch.label.tolist()) == {0, 1, 2}
    for clip, label in zip(batch.sample, batch.label.tolist(), strict=True):
        lit = (clip + 1).sum(0)
        assert lit.flatten(1).sum(1).std() < 0.02 * lit.sum() / 16  # nothing leaves the picture
        down = (lit.sum(2) * torch.arange(32)).sum(1) / lit.sum((1, 2))
        across = (lit.sum(1) * torch.arange(32)).sum(1) / lit.sum((1, 2))
        moves = {"down": (True, False), "across": (False, True), "around": (True, True)}[MOTIONS[label]]
        assert (bool(down.std() > 0.1), bool(across.std() > 0.1)) == moves
    with pytest.raises(OptionError):
        MovingShapes(frames=1)


# MoCoGAN

PAPER = Spec("video", (3, 16, 64, 64), tuple("abcdef"))


def test_layers_are_the_paper_s():
    """At 64 px, 16 frames and six categories: the authors' networks, but for their patches."""
    with torch.device("meta"):
        part = MoCoGAN()
        built = part.build(PAPER, Plan(frozenset({"labels"})))
    shape = {name: tuple(value.shape) for name, value in built.generator.named_parameters()}
    assert shape["recurrent.weight_ih"] == shape["recurrent.weight_hh"] == (30, 10)
    maps = [size for size in shape.values() if len(size) == 4]
    assert maps == [(66, 512, 4, 4), (512, 256, 4, 4), (256, 128, 4, 4), (128, 64, 4, 4), (64, 3, 4, 4)]
    volumes = [tuple(value.shape) for value in built.discriminators["discriminator_clip"].parameters()]
    volumes = [size for size in volumes if len(size) == 5]
    wide = [3, 64, 128, 256, 512]
    assert volumes == [(out, into, 4, 4, 4) for into, out in pairwise(wide)] + [(1, 512, 4, 4, 4)]
    assert built.generator.latent_size == 50 + 17 * 10
    assert part.suggests == {"rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 1e-5}


@pytest.mark.parametrize(("channels", "frames", "size"), [(1, 7, (16, 16)), (3, 9, (16, 24)), (2, 10, (32, 32))])
def test_other_sizes_frames_and_channels(channels, frames, size):
    part = MoCoGAN(content=4, motion=2, width=2)
    networks = part.build(Spec("video", (channels, frames, *size)), Plan())
    made = networks.generator(part.latent(Draws(0), 3))
    assert made.shape == (3, channels, frames, *size) and made.abs().max() <= 1
    for name, given in (("discriminator_image", made[:, :, 0]), ("discriminator_clip", made)):
        network = networks.discriminators[name]
        scores = network(given)
        assert scores.value.shape == (3,) and scores.features.shape == (3, network.feature_size)
    with pytest.raises(SizeError, match=r"at least \d+ frames .* try frames=\d+"):
        part.build(Spec("video", (channels, 6, *size)), Plan())


def test_frames_share_their_content_and_motion_is_the_gru_s():
    part = MoCoGAN(content=4, motion=3, width=2)
    network = part.build(Spec("video", (3, 8, 16, 16), ("a", "b")), Plan(frozenset({"labels"}))).generator.eval()
    latent = part.latent(Draws(1), 2)
    content, moving = latent[:, :4], latent[:, 4:].reshape(2, 9, 3)
    state, codes = moving[:, 0], []
    for time in range(8):
        state = network.recurrent(moving[:, time + 1], state)
        codes.append(state)
    assert torch.equal(network.motions(latent[:, 4:]), torch.stack(codes, 1))
    made = network(latent, torch.tensor([0, 1]))
    kind = torch.eye(2)
    for time, code in enumerate(codes):
        wanted = network.picture(torch.cat([content, kind, code], 1))
        assert torch.allclose(made[:, :, time], wanted, atol=1e-6)
    # A late input changes no earlier frame.
    latent[:, -3:] += 1
    again = network(latent, torch.tensor([0, 1]))
    assert torch.allclose(again[:, :, :7], made[:, :, :7], atol=1e-6)
    assert not torch.allclose(again[:, :, 7], made[:, :, 7], atol=1e-6)


def words(data: str = "moving-shapes:count=32,frames=7,size=16", **options: object) -> dict[str, object]:
    given = {"arch": "mocogan:content=4,motion=2,width=2", "loss": "nonsaturating", "data": data, "batch": 4}
    return {**given, "device": "cpu", **options}


def flags(**options: object) -> list[object]:
    return [word for name, value in words(**options).items() for word in (f"--{name}", value)]


def test_one_discriminator_sees_frames_and_one_sees_clips():
    dataset = MovingShapes(count=32, frames=7, size=Size(16, 16))
    data = dataset.open()
    procedure = ImageAndClip(clips=2, weight_decay=1e-3)
    parts = Parts(dataset, MoCoGAN(content=4, motion=2, width=2), NonSaturating(), (), procedure)
    game = Game(parts, data.spec, Stream(data, 0), batch=4, seed=0, steps=2, data_size=len(data))
    seen: dict[str, list[torch.Tensor]] = {"image": [], "clip": []}
    for name, kept in seen.items():
        network = game.networks.discriminators[f"discriminator_{name}"]
        network.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given[0].detach()))
    game.play(1)
    # Each sees real and made ones when it moves, and made ones when the generator does.
    assert [tuple(x.shape) for x in seen["image"]] == [(4, 3, 16, 16)] * 3
    assert [tuple(x.shape) for x in seen["clip"]] == [(2, 3, 7, 16, 16)] * 3
    frames = data.fetch(list(range(32))).sample.transpose(1, 2).flatten(0, 1)
    game.play(2)
    found = [
        (frames == frame).flatten(1).all(1).nonzero().flatten().tolist()
        for frame in (*seen["image"][0], *seen["image"][3])
    ]
    assert all(found), "the image discriminator's real frames are frames of the data"
    assert len({index % 7 for some in found for index in some}) > 1
    numbers = game.numbers()
    for name in ("loss/discriminator", "loss/generator", "score/real", "score/fake"):
        assert {f"{name}_image", f"{name}_clip"} <= numbers.keys()
    for player in game.players.values():
        assert player.optimizer.param_groups[0]["weight_decay"] == 1e-3


def test_a_run_with_ac_is_told_the_class(tmp_path):
    run = ganzoo.train(**words(reg=["ac:fake=false"], steps=2), out=tmp_path / "run")
    game = run.game()
    latent, network = game.latent(4), game.networks.generator.eval()
    made = [network(latent, torch.full((4,), label)) for label in (0, 2)]
    assert not torch.allclose(*made)
    assert {"penalty/ac_image", "penalty/ac_clip", "accuracy/fake_clip"} <= run.logged()[-1].keys()


def test_it_goes_on_exactly_and_is_sampled_without_its_data(tmp_path):
    for index in range(6):
        put_strip(tmp_path / "films" / f"{index}.png", film(10, first=index))
    data = f"video:path={tmp_path / 'films'},frames=7,every=1,frames_per_second=5"
    options = {"data": data, "procedure": "image-and-clip:average=10,weight_decay=1e-3"}
    for steps, out in ((4, "whole"), (2, "cut"), (4, "cut")):
        invoke("train", *flags(**options), "--steps", steps, "--out", tmp_path / out)
    states = [(tmp_path / out / "checkpoints/step-00000004/state.safetensors").read_bytes() for out in ("whole", "cut")]
    assert states[0] == states[1]
    (tmp_path / "films").rename(tmp_path / "elsewhere")
    invoke("sample", tmp_path / "cut", "--count", 3, "--out", tmp_path / "clips.gif")
    with Image.open(tmp_path / "clips.gif") as shown:
        assert shown.n_frames == 7 and shown.info["duration"] == 200
    invoke("sample", tmp_path / "cut", "--count", 3, "--out", tmp_path / "clips.npz")
    assert numpy.load(tmp_path / "clips.npz")["samples"].shape == (3, 7, 16, 16, 3)
    assert (
        "use a name that ends in .gif, .npz"
        in invoke("sample", tmp_path / "cut", "--out", tmp_path / "clips.wav", code=2).stderr
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"data": "digits"}, r"architecture 'mocogan' needs `video`"),
        ({"arch": "dcgan"}, r"needs `image`"),
        ({"procedure": "adversarial"}, r"procedure 'adversarial' needs `discriminator`"),
        ({"arch": "dcgan", "data": "digits", "procedure": "image-and-clip"}, r"'image-and-clip' needs `video`"),
        ({"reg": "diffaugment"}, r"regularizer 'diffaugment' needs `image`"),
        ({"procedure": "image-and-clip:clips=5"}, r"cannot take 5 clips of a batch of 4; say .*:clips=4"),
        ({"data": "moving-shapes:frames=9,size=32"}, r"at least 10 frames at 32x32, not 9; try frames=10"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(tmp_path, options, sentence):
    told = invoke("train", *flags(**options), "--steps", 1, "--out", tmp_path / "run", code=2).stderr
    assert re.search(sentence, " ".join(told.split())), told


def test_gradient_penalties_reach_both_discriminators(tmp_path):
    run = ganzoo.train(**words(reg=["r1:gamma=1,every=1"], steps=2), out=tmp_path / "run")
    assert {"penalty/r1_image", "penalty/r1_clip"} <= run.logged()[-1].keys()


# Motion


def ramp(count: int, slope: float, frames: int = 5) -> torch.Tensor:
    """Clips [count, 1, frames, 4, 4], all pixels of which rise by slopes about `slope` from frame to frame."""
    slopes = slope * (1 + 0.1 * torch.arange(count) / count)
    return (torch.arange(frames) * slopes[:, None] - 0.5)[:, None, :, None, None].expand(-1, 1, -1, 4, 4).clone()


def measured(made: torch.Tensor, real: torch.Tensor) -> dict[str, float]:
    spec = Spec("video", tuple(real.shape[1:]))
    sides = [Sample(name, values.flatten(1).numpy(), values) for name, values in (("made", made), ("real", real))]
    return {measure.name: measure.value for measure in Motion().measure(Evidence(*sides, spec=spec))}


def test_motion_counts_differences_of_frames():
    bent = ramp(8, 0.1) + 0.01 * torch.arange(8).reshape(-1, 1, 1, 1, 1) * (torch.arange(5) ** 2)[:, None, None]
    same = measured(bent, bent)
    assert {name for name in same if name.endswith("_distance")} == {f"{name}_distance" for name in STATISTICS}
    assert all(value == (0 if name.endswith("distance") else 1) for name, value in same.items())
    twice = measured(2 * bent, bent)
    for name in ("frame_difference", "frame_change", "drift"):
        assert twice[f"{name}_ratio"] == pytest.approx(2, rel=1e-5)
    still = measured(bent[:, :, :1].expand(-1, -1, 5, -1, -1), bent)
    assert still["frame_difference_ratio"] == still["drift_ratio"] == 0
    there_and_back = bent[:, :, [0, 1, 2, 1, 0]]
    back = measured(there_and_back, bent)
    assert back["drift_ratio"] == 0 and back["frame_difference_ratio"] > 0.3


def test_motion_refuses_what_it_cannot_measure():
    clips = ramp(4, 0.1)
    with pytest.raises(UsageError, match="measures clips"):
        Motion().measure(Evidence(Sample("made", numpy.zeros((4, 1))), spec=Spec("image", (1, 4, 4))))
    with pytest.raises(UsageError, match="name some with --data or --reference"):
        made = Sample("made", numpy.zeros((4, 1)), clips)
        Motion().measure(Evidence(made, spec=Spec("video", (1, 5, 4, 4))))
    with pytest.raises(UsageError, match="all have the same frame_difference"):
        measured(clips, clips[:1].expand(4, -1, -1, -1, -1))
    with pytest.raises(UsageError, match="at least three frames"):
        measured(clips[:, :, :2], clips)
