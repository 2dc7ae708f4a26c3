"""Sound: reading it, WaveGAN, what its samples are written as, and what is measured of it."""

from __future__ import annotations

import json
import struct
import wave
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image
from scipy.io import wavfile

import ganzoo
from ganzoo import DataError, Evidence, OptionError, Sample, SizeError, Spec, UsageError, samples
from ganzoo.draws import Draws
from ganzoo.metrics import features
from ganzoo.parts import Plan
from ganzoo_plugins.architectures.wavegan import WaveGAN, shifted
from ganzoo_plugins.datasets.audio import Audio
from ganzoo_plugins.datasets.tones import Tones
from ganzoo_plugins.datasets.waves import read_wave
from ganzoo_plugins.metrics.inception_score import InceptionScore
from ganzoo_plugins.metrics.spectrum import Spectrum


def sine(count: int, rate: int = 8_000, pitch: float = 440.0, level: float = 0.5) -> numpy.ndarray:
    return level * numpy.sin(2 * numpy.pi * pitch * numpy.arange(count) / rate)


def put(path: Path, values: numpy.ndarray, rate: int = 8_000) -> Path:
    """A WAV file of 16 bits, of numbers in [-1, 1]; numbers of another type as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (values * 32767).round().astype(numpy.int16) if values.dtype == numpy.float64 else values
    wavfile.write(path, rate, values)
    return path


def loudest(wave_of: numpy.ndarray, rate: int) -> float:
    """The frequency at which there is most."""
    return float(numpy.fft.rfftfreq(len(wave_of), 1 / rate)[numpy.abs(numpy.fft.rfft(wave_of)).argmax()])


# Reading


@pytest.mark.parametrize(
    ("kind", "of_full"),
    [("u1", 127), ("i2", 32767), ("i4", 2**31 - 1), ("f4", 1), ("f8", 1)],
)
def test_every_width_reads_as_the_same_numbers(tmp_path, kind, of_full):
    wanted = sine(400)
    values = wanted * of_full + (128 if kind == "u1" else 0)
    path = put(tmp_path / "a.wav", (values if kind[0] == "f" else values.round()).astype(kind))
    found = read_wave(path.read_bytes())
    assert found.rate_hz == 8_000
    assert numpy.abs(found.samples[:, 0] - wanted).max() < (0.01 if kind == "u1" else 1e-4)


def test_24_bits_are_read(tmp_path):
    values = (sine(100) * (2**23 - 1)).astype(int)
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 3, 8_000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<i", value)[:3] for value in values))
    assert numpy.abs(read_wave((tmp_path / "a.wav").read_bytes()).samples[:, 0] - sine(100)).max() < 1e-5


def broken(folder: Path) -> dict[str, bytes]:
    whole = put(folder / "whole.wav", sine(400)).read_bytes()
    (folder / "whole.wav").unlink()
    not_finite = put(folder / "nan.wav", numpy.array([0.5, numpy.nan], "f4")).read_bytes()
    (folder / "nan.wav").unlink()
    empty = put(folder / "empty.wav", numpy.zeros(0, "i2")).read_bytes()
    (folder / "empty.wav").unlink()
    packed = whole[:20] + struct.pack("<H", 85) + whole[22:]  # says that it is MP3 inside
    return {
        "text": b"no sound",
        "cut": whole[:200],
        "head": whole[:30],
        "nan": not_finite,
        "none": empty,
        "mp3": packed,
    }


@pytest.mark.parametrize("how", ["text", "cut", "head", "nan", "none", "mp3"])
def test_a_broken_file_is_told_or_left_out(tmp_path, how):
    (tmp_path / "odd.wav").write_bytes(broken(tmp_path)[how])
    put(tmp_path / "whole.wav", sine(400))
    with pytest.raises(DataError, match=r"cannot read the sound odd\.wav .*skip_broken=true"):
        Audio(str(tmp_path), length=64).open()
    left = Audio(str(tmp_path), length=64, skip_broken=True).open()
    assert "1 of 2 clips are left out: 1 cannot be read, the first because: cannot read" in left.notes[0]
    (tmp_path / "whole.wav").unlink()
    with pytest.raises(DataError, match="none of the 1 sounds"):
        Audio(str(tmp_path), length=64, skip_broken=True).open()


def test_places_without_sound_are_told(tmp_path):
    with pytest.raises(DataError, match=r"there are no sounds .* it is empty"):
        Audio(str(tmp_path)).open()
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"none of its 1 files ends in \.wav"):
        Audio(str(tmp_path)).open()
    with pytest.raises(DataError, match="there is no file or folder"):
        Audio(str(tmp_path / "nowhere")).open()
    put(tmp_path / "silent.wav", numpy.zeros(400))
    with pytest.raises(DataError, match=r"none of the 1 sounds .* can be used: 1 are silent"):
        Audio(str(tmp_path)).open()
    for wrong in ({"length": 0}, {"views": -1}, {"rate_hz": 3}):
        with pytest.raises(OptionError):
            Audio(str(tmp_path), **wrong)


def test_repairs_are_made_and_counted(tmp_path):
    for index in range(3):
        put(tmp_path / f"plain{index}.wav", sine(4_000))
    put(tmp_path / "fast.wav", sine(11_025, 22_050), 22_050)
    put(tmp_path / "stereo.wav", numpy.stack([sine(4_000), 0 * sine(4_000)], 1))
    put(tmp_path / "short.wav", sine(500))
    put(tmp_path / "loud.wav", sine(4_000, level=1.5).astype("f4"))
    put(tmp_path / "silent.wav", 0 * sine(4_000))
    data = Audio(str(tmp_path), length=1_024).open()
    assert data.spec.encoding == {"rate_hz": 8_000}  # most have it
    told = "; ".join(data.notes)
    for sentence in (
        "1 of 8 clips are left out: 1 are silent",
        "1 of 8 clips are resampled to 8,000 Hz from 22,050",
        "1 of 8 clips are mixed to one channel",
        "1 of 8 clips are cut where they go beyond full scale",
        "1 of 8 clips are shorter than 1,024 samples, and silence follows them",
    ):
        assert sentence in told
    assert len(data.notes) == 5
    waves = data.fetch(list(range(len(data)))).sample
    assert waves.abs().max() == 1
    short = [row for row in waves[:, 0] if not row[500:].any()]
    assert len(short) == 4  # one for each view
    others = [row.numpy() for row in waves[:, 0] if row[500:].any()]
    assert all(abs(loudest(row, 8_000) - 440) < 10 for row in others)
    # Half as loud where one of two channels was silent.
    assert {round(20 * float(numpy.abs(row).max())) for row in others} == {5, 10, 20}


def test_another_rate_stereo_and_peaks_are_given_when_asked_for(tmp_path):
    put(tmp_path / "a.wav", sine(8_000, level=0.1))
    data = Audio(str(tmp_path), length=4_000, rate_hz=16_000, channels=2, level="peak").open()
    assert data.spec.shape == (2, 4_000) and data.spec.encoding == {"rate_hz": 16_000}
    wave_of = data.fetch([0]).sample[0]
    assert torch.equal(wave_of[0], wave_of[1])
    assert abs(loudest(wave_of[0].numpy(), 16_000) - 440) < 5
    assert 0.95 < wave_of.abs().max() <= 1


def test_slices_are_stretches_of_their_clip_and_stay_the_same(tmp_path):
    ramp = numpy.arange(-5_000, 5_000, dtype=numpy.int16)
    put(tmp_path / "a.wav", ramp)
    put(tmp_path / "b.wav", -ramp[:3_000])
    data = Audio(str(tmp_path), length=1_000, views=3).open()
    assert len(data) == 3 * (10 + 3)
    rows = data.fetch(list(range(len(data)))).sample[:, 0]
    steps = rows.diff(dim=1).mul(32_767).round()
    assert all((row == row[0]).all() and row[0].abs() == 1 for row in steps)
    assert len({float(row[0]) for row in rows}) > 30  # they begin in many places
    assert torch.equal(data.fetch([7, 3]).sample, data.fetch([3, 7]).sample.flip(0))
    again = Audio(str(tmp_path), length=1_000, views=3).open()
    assert torch.equal(again.fetch([20]).sample, rows[20][None, None])
    assert again.fingerprint() == data.fingerprint()
    first = Audio(str(tmp_path), length=1_000, views=0).open()
    assert len(first) == 2
    assert (first.fetch([0, 1]).sample[:, 0, 0] * 32_767).round().tolist() == [-5_000, 5_000]


def test_a_zip_reads_as_a_folder_and_content_is_told_apart(tmp_path):
    for index in range(4):
        put(tmp_path / "in" / f"{index}.wav", sine(400, pitch=300 + 100 * index))
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
        for path in sorted((tmp_path / "in").iterdir()):
            packed.write(path, path.name)
    folder, archive = (Audio(str(tmp_path / name), length=256).open() for name in ("in", "packed.zip"))
    assert torch.equal(folder.fetch([0, 3]).sample, archive.fetch([0, 3]).sample)
    assert folder.fingerprint() == archive.fingerprint()
    changed = sine(400, pitch=300)
    changed[7] = 0.4
    put(tmp_path / "in" / "0.wav", changed)
    assert Audio(str(tmp_path / "in"), length=256).open().fingerprint() != folder.fingerprint()
    assert Audio.recognises(tmp_path / "in") and Audio.recognises(tmp_path / "packed.zip")
    Image.new("L", (16, 16)).save(tmp_path / "in" / "cover.png")
    assert not Audio.recognises(tmp_path / "in")


def test_labels_are_folders_or_beginnings_of_names(tmp_path):
    for word, number in (("3", 0), ("3", 1), ("7", 0)):
        put(tmp_path / ("low" if number else "high") / f"{word}_anna_{number}.wav", sine(300))

    def labelled(how: str):
        data = Audio(str(tmp_path), length=256, views=0, labels=how).open()
        label = data.fetch([0, 1, 2]).label
        return data.spec.classes, None if label is None else label.tolist()

    assert labelled("auto") == labelled("folders") == (("high", "low"), [0, 0, 1])
    assert labelled("prefix") == (("3", "7"), [0, 1, 0])
    assert labelled("none") == ((), None)
    with pytest.raises(DataError, match="no two folders to be classes; say labels=none"):
        Audio(str(tmp_path / "low"), length=256, labels="folders").open()
    with pytest.raises(DataError, match="no two beginnings of names"):
        Audio(str(tmp_path / "low"), length=256, labels="prefix").open()


def test_the_parts_of_a_split_share_nothing(tmp_path):
    for index in range(60):
        put(tmp_path / f"{index}.wav", numpy.full(16, 1_000 + index, numpy.int16) * 10)
    parts = {split: Audio(str(tmp_path), length=16, views=0, split=split).open() for split in ("all", "train", "test")}
    found = {
        split: {float(row[0, 0]) for row in data.fetch(list(range(len(data)))).sample} for split, data in parts.items()
    }
    assert found["train"] | found["test"] == found["all"] and not found["train"] & found["test"]
    assert 2 <= len(found["test"]) <= 14


def test_spoken_digits(real_data):
    if not (real_data / "fsdd" / "fsdd.zip").is_file():
        pytest.skip("no fsdd/fsdd.zip among the real data")
    data = Audio(str(real_data / "fsdd" / "fsdd.zip"), length=4_096, views=0, labels="prefix").open()
    assert len(data) == 3_000
    assert data.spec == Spec("audio", (1, 4_096), tuple("0123456789"), encoding={"rate_hz": 8_000})
    assert data.notes == ("audio: 2,265 of 3,000 clips are shorter than 4,096 samples, and silence follows them",)
    label = data.fetch(list(range(3_000))).label
    assert label is not None and label.bincount().tolist() == [300] * 10


def test_tones_go_the_way_that_their_label_says():
    data = Tones(count=60, length=4_096).open()
    batch = data.fetch(list(range(60)))
    assert batch.sample.abs().max() <= 0.9
    assert torch.equal(batch.sample[7:9], data.fetch([7, 8]).sample)
    assert set(batch.label.tolist()) == {0, 1, 2}
    for wave_of, label in zip(batch.sample[:, 0].numpy(), batch.label.tolist(), strict=True):
        begin, end = (loudest(part, 8_000) for part in (wave_of[:1_024], wave_of[-1_024:]))
        assert (0 if abs(end / begin - 1) < 0.1 else 1 if end > begin else 2) == label


# WaveGAN


def shapes_through(network: torch.nn.Module, given: torch.Tensor) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _, __, made: found.append((made.shape[1], made.shape[3])))
    network(given)
    return found


def test_layers_are_the_paper_s():
    """Appendix D for d = 64 and one channel."""
    with torch.device("meta"):
        built = WaveGAN().build(Spec("audio", (1, 16_384)), Plan())
    with torch.device("meta"):
        given = torch.empty(2, 100), torch.empty(2, 1, 16_384)
    assert built.generator.begin.weight.shape == (256 * 64, 100)
    up = [(512, 64), (256, 256), (128, 1_024), (64, 4_096), (1, 16_384)]
    assert shapes_through(built.generator, given[0]) == up
    down = [(64, 4_096), (128, 1_024), (256, 256), (512, 64), (1_024, 16)]
    assert shapes_through(built.discriminator.eval(), given[1]) == down
    assert built.discriminator.end.weight.shape == (1, 256 * 64)
    assert {layer.weight.shape[2:] for layer in built.generator.layers} == {(1, 25)}


@pytest.mark.parametrize(("length", "channels"), [(64, 1), (1_024, 2), (4_096, 1)])
def test_other_powers_of_four_and_channels(length, channels):
    networks = WaveGAN(latent=4, width=2).build(Spec("audio", (channels, length)), Plan())
    made = networks.generator(torch.rand(3, 4))
    assert made.shape == (3, channels, length) and made.abs().max() <= 1
    assert networks.discriminator(made).value.shape == (3,)


def test_a_generator_in_16_bits_still_makes_samples_of_32():
    generator = WaveGAN(latent=4, width=2).build(Spec("audio", (1, 1_024)), Plan()).generator
    with torch.autocast("cpu", torch.bfloat16):
        made = generator(torch.rand(3, 4))
    assert made.dtype == torch.float32
    assert not torch.equal(made, made.bfloat16().float())


def test_other_lengths_are_refused_with_the_next_that_works(tmp_path):
    with pytest.raises(SizeError, match=r"64, 256, 1024, 4096, 16384, 65536 samples, not 16000; try length=16384"):
        WaveGAN().build(Spec("audio", (1, 16_000)), Plan())


def test_phase_shuffle_moves_each_example_by_its_own_and_reflects_at_the_ends():
    x = torch.randn(5, 3, 1, 8)
    moved = shifted(x, torch.tensor([-2, -1, 0, 1, 2]))
    for row, shift in enumerate(range(-2, 3)):
        wide = numpy.pad(x[row, :, 0].numpy(), ((0, 0), (2, 2)), mode="reflect")
        assert numpy.array_equal(moved[row, :, 0].numpy(), wide[:, 2 - shift : 10 - shift])


def test_phase_shuffle_rests_when_evaluated_and_when_it_is_zero():
    torch.manual_seed(0)
    waves = torch.rand(4, 1, 256)
    still, moving = (WaveGAN(width=2, shuffle=n).build(Spec("audio", (1, 256)), Plan()).discriminator for n in (0, 2))
    moving.load_state_dict(still.state_dict())
    wanted = still(waves).value
    assert torch.equal(still(waves).value, wanted)
    assert torch.equal(moving.eval()(waves).value, wanted)
    assert not torch.equal(moving.train()(waves).value, wanted)
    # An example's score does not depend on the others: in one draw, rows that are moved alike score alike.
    torch.manual_seed(1)
    together = moving(waves).value
    torch.manual_seed(1)
    assert torch.allclose(moving(torch.cat([waves[:2], waves[:2]])).value[:2], together[:2], atol=1e-5)


def test_gradients_of_gradients_pass_through_the_shuffle():
    x = torch.randn(2, 2, 1, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: shifted(x, torch.tensor([1, -2])).pow(3), x)


def test_latents_are_uniform_and_truncation_narrows_them():
    part = WaveGAN(latent=4)
    latent = part.latent(Draws(0), 1_000)
    assert -1 <= latent.min() < -0.95 and 0.95 < latent.max() < 1
    assert abs(float(latent.std()) - 3**-0.5) < 0.02
    assert torch.equal(part.sample(lambda x, _: x, latent, None, 0.5), latent / 2)


# Samples as files


def test_samples_are_heard_one_after_the_other(tmp_path):
    spec = Spec("audio", (1, 800), encoding={"rate_hz": 8_000})
    made = torch.from_numpy(numpy.stack([sine(800, pitch=400), sine(800, pitch=800, level=2)]))[:, None].float()
    samples.write(tmp_path / "a.wav", samples.decode(made, spec), spec)
    rate, values = wavfile.read(tmp_path / "a.wav")
    assert (rate, values.dtype, len(values)) == (8_000, numpy.int16, 800 + 800 + 800)
    assert numpy.abs(values[:800] / 32_767 - sine(800, pitch=400)).max() < 1e-3
    assert not values[800:1_600].any()
    assert values.max() == 32_767  # what is too loud is cut, not wrapped round


def test_a_spectrogram_is_dark_where_the_sound_is(tmp_path):
    spec = Spec("audio", (1, 4_096), encoding={"rate_hz": 8_000})
    made = numpy.stack([sine(4_096, pitch=1_000), sine(4_096, pitch=3_000), numpy.zeros(4_096)])[:, None]
    samples.write(tmp_path / "a.png", made, spec, columns=3)
    sheet = numpy.asarray(Image.open(tmp_path / "a.png"))
    width = (sheet.shape[1] + 2) // 3
    for number, pitch in ((0, 1_000), (1, 3_000)):
        column = sheet[:, number * width + width // 2]
        row = len(column) - 1 - int(column.argmin())  # from below
        assert column.min() < 10
        assert row / (len(column) - 1) * 4_000 == pytest.approx(pitch, abs=40)
    assert (sheet[:, 2 * width :] == 255).all()


def test_films_are_written_as_moving_pictures(tmp_path):
    spec = Spec("video", (1, 3, 8, 8), encoding={"frames_per_second": 5})
    made = torch.full((4, 1, 3, 8, 8), -1.0)
    made[:, :, 1] = 1
    decoded = samples.decode(made, spec)
    assert decoded.shape == (4, 3, 8, 8, 1)
    samples.write(tmp_path / "a.gif", decoded, spec)
    film = Image.open(tmp_path / "a.gif")
    seen = []
    for frame in range(film.n_frames):
        film.seek(frame)
        seen.append((film.info["duration"], film.convert("L").getpixel((3, 3))))
    assert seen == [(200, 0), (200, 255), (200, 0)]
    with pytest.raises(UsageError, match=r"ends in \.gif, \.npz"):
        samples.write(tmp_path / "a.wav", decoded, spec)


# Measures


def judged(made: numpy.ndarray, real: numpy.ndarray, rate: int = 8_000) -> dict[str, float]:
    spec = Spec("audio", (1, made.shape[1]), encoding={"rate_hz": rate})

    def side(name: str, waves: numpy.ndarray) -> Sample:
        return Sample(name, numpy.zeros((len(waves), 0)), torch.from_numpy(waves)[:, None])

    found = Spectrum().measure(Evidence(side("made", made), side("real", real), spec))
    return {measure.name: measure.value for measure in found} | {
        measure.name + "!": measure.protocol for measure in found
    }


def test_statistics_of_tones_are_their_closed_forms():
    """A sine of level a has the energy a^2 / 2 and all its power at its pitch; two sines have theirs between."""
    pitches, levels = numpy.array([500.0, 1_000, 2_000, 3_000]), numpy.array([0.1, 0.3, 0.5, 0.9])
    real = numpy.stack([sine(4_000, pitch=pitch, level=level) for pitch, level in zip(pitches, levels, strict=True)])
    real[3] = (sine(4_000, pitch=1_000, level=0.6) + sine(4_000, pitch=3_000, level=0.6)) / 2
    found = judged(real, real)
    assert [found[name] for name in Spectrum.smaller_is_better] == [0] * 5
    told = found["centroid_distance!"]["real_mean_and_deviation"]
    assert told == pytest.approx([numpy.mean([500, 1_000, 2_000, 2_000]), numpy.std([500, 1_000, 2_000, 2_000])])
    assert found["bandwidth_distance!"]["real_mean_and_deviation"][0] == pytest.approx(
        250, abs=0.1
    )  # 1,000 of one of 4
    energies = numpy.array([0.1, 0.3, 0.5, 0.3 * 2**0.5]) ** 2 / 2
    assert found["energy_distance!"]["real_mean_and_deviation"] == pytest.approx([energies.mean(), energies.std()])
    assert found["level_distance!"]["real_mean_and_deviation"][0] == pytest.approx(10 * numpy.log10(energies).mean())


def chords(levels: numpy.ndarray) -> numpy.ndarray:
    """Two tones each, the higher one ever higher: every statistic has a deviation."""
    pairs = [sine(4_000, pitch=500) + sine(4_000, pitch=1_000 + 500 * index) for index in range(len(levels))]
    return levels[:, None] * numpy.stack(pairs)


def test_a_shift_by_one_deviation_is_a_distance_of_one():
    levels = numpy.array([0.2, 0.3, 0.4, 0.6])
    real = chords(levels)
    spread = float((levels**2 / 4).std())
    moved = chords((levels**2 + 4 * spread) ** 0.5)
    assert judged(moved, real)["energy_distance"] == pytest.approx(1)
    twice = judged(2 * real, real)
    assert twice["level_distance"] == pytest.approx(20 * numpy.log10(2) / (20 * numpy.log10(levels)).std())
    assert twice["centroid_distance"] == pytest.approx(0, abs=1e-9)


def test_louder_in_every_band_is_told_in_decibels():
    noise = numpy.random.default_rng(0).normal(size=(50, 4_096)) / 10
    assert judged(2 * noise, noise)["spectrum"] == pytest.approx(20 * numpy.log10(2))


def test_silence_is_far_from_sound_and_what_cannot_be_measured_is_told():
    real = chords(numpy.array([0.2, 0.3, 0.4]))
    silent = judged(0 * real, real)
    centroids = [750, 1_000, 1_250]
    assert silent["centroid_distance"] == pytest.approx(1_000 / numpy.std(centroids), rel=1e-3)
    assert silent["level_distance"] > 5
    with pytest.raises(UsageError, match="the real samples all have the same energy"):
        judged(real, 0 * real)
    points = Sample("made", numpy.zeros((3, 2)), torch.zeros(3, 2))
    with pytest.raises(UsageError, match="measures sounds"):
        Spectrum().measure(Evidence(points, points, Spec("points", (2,))))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory) -> Path:
    """Weights of a classifier of tones."""
    path = tmp_path_factory.mktemp("classifier") / "tones.safetensors"
    words = ("--epochs", 15, "--out", path, "--json")
    told = json.loads(invoke("features", "train", "--data", "tones:count=512,length=1024", *words).stdout)
    assert (told["network"], told["of"]) == ("spectral", "train")
    return path


def test_a_classifier_of_the_data_tells_unseen_sounds_apart_and_scores_them(classifier):
    extractor = features.load(str(classifier))
    batch = Tones(count=200, length=1_024, seed=1).open().fetch(list(range(200)))
    rows, classes = extractor.extract(batch.sample)
    assert rows.shape == (200, 128)
    assert (classes.argmax(1) == batch.label.numpy()).mean() > 0.8
    noise = extractor.extract(torch.randn(200, 1, 1_024) / 10)
    scores = [
        InceptionScore(splits=2).measure(Evidence(Sample("made", found, None, sure)))[0].value
        for found, sure in ((rows, classes), noise)
    ]
    assert scores[0] > 1.9
    assert scores[1] < 1.2
    for wrong in (torch.zeros(2, 1, 32, 32), torch.zeros(2, 1, 100)):
        with pytest.raises(UsageError, match="these features are of sounds"):
            extractor.extract(wrong)


def test_networks_of_pictures_are_not_trained_on_sounds(tmp_path):
    words = ("--network", "lenet", "--out", tmp_path / "a.safetensors")
    told = invoke("features", "train", "--data", "tones:count=8,length=256", *words, code=2)
    assert "--network for samples of kind audio is one of spectral, got lenet" in told.stderr


def test_a_run_of_sounds_is_measured_and_heard(tmp_path, classifier):
    run = ganzoo.train(
        arch="wavegan:latent=4,width=2",
        loss="wgan-gp",
        data="tones:count=64,length=256",
        steps=2,
        batch=4,
        device="cpu",
        workers=0,
        quiet=True,
        out=tmp_path / "run",
    )
    assert sorted(path.suffix for path in (run.path / "samples").iterdir()) == [".png", ".wav"]
    found = json.loads(invoke("evaluate", run.path, "--metric", "spectrum", "--count", 32, "--json").stdout)
    assert [row["name"] for row in found] == [
        f"{name}_distance" for name in ("energy", "level", "centroid", "bandwidth")
    ] + ["spectrum"]
    assert all(row["protocol"]["halves"] < row["value"] and row["protocol"]["better"] == "smaller" for row in found)
    with_classes = ("--metric", "inception-score", "--features", classifier, "--count", 32, "--json")
    (score,) = json.loads(invoke("evaluate", run.path, *with_classes).stdout)
    assert score["name"].startswith("inception-score@spectral-") and 1 <= score["value"] <= 3
    invoke("sample", run.path, "--count", 1, "--out", tmp_path / "one.wav")
    assert len(wavfile.read(tmp_path / "one.wav")[1]) == 256
