"""Translators: published networks, what the discriminators see, what the generators minimise, pools, and whole runs."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from conftest import environment, invoke
from torch import nn

import ganzoo as library
from ganzoo import Arrays, Collection, Dataset, Draws, Mismatch, Plan, Request, SizeError, Spec, UsageError
from ganzoo import checkpoint as checkpoints
from ganzoo.config import resolve
from ganzoo.given import Given
from ganzoo.registry import installed
from ganzoo.training import build, checked
from ganzoo_plugins.architectures.translation_layers import HALVINGS, InstanceNorm, Patches
from ganzoo_plugins.procedures.schedules import Schedule
from ganzoo_plugins.procedures.translation import Pool

NAMES = ("pix2pix", "cyclegan")
SMALL = {"generator_width": 2, "discriminator_width": 2, "patch": 16}


def spec_of(shape=(3, 32, 32), source=None, word="pairs"):
    return Spec("image", shape, source=source or shape, words=(word,))


def networks_of(name, spec, needs=(), **options):
    architecture = installed().make("architecture", name, {**SMALL, **options})
    torch.manual_seed(0)
    return architecture.build(spec, Plan(frozenset(needs), spec))


def pictures_of(spec, count=8):
    """Smooth noise, sources and samples apart."""
    generator = torch.Generator().manual_seed(1)
    made = [torch.rand(count, *shape, generator=generator) * 2 - 1 for shape in (spec.source, spec.shape)]
    return Arrays(spec, made[1], sources=made[0])


def game_of(procedure, arch="cyclegan", spec=None, collection=None, steps=0, **words):
    """A game of small networks, after a few steps."""
    spec = spec or spec_of((3, 16, 16), word="pairs" if procedure.startswith("paired") else "two_domains")
    collection = collection or pictures_of(spec)
    options = "generator_width=2,discriminator_width=2,patch=16" + (",blocks=1" if arch == "cyclegan" else "")
    asked = {
        "arch": arch if ":" in arch else f"{arch}:{options}",
        "loss": "lsgan",
        "batch": 2,
        "steps": 8,
        "procedure": procedure,
        **words,
    }
    config = resolve(installed(), asked, Given(collection))
    parts = checked(config, installed(), Given(collection))
    with torch.random.fork_rng(devices=[]):
        game = build(config, parts, collection, torch.device("cpu"), workers=0)
        for step in range(1, steps + 1):
            game.play(step)
    game.look()
    return game


# Networks


@pytest.mark.parametrize("patch", HALVINGS)
def test_a_score_looks_at_a_patch_of_that_size(patch):
    discriminator = Patches(1, 1, patch, "none").double()
    side = patch + 2 * 2 ** HALVINGS[patch] + 8
    picture = torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    scores = discriminator(picture).value
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = picture.grad[0, 0] != 0
    assert (int(seen.any(1).sum()), int(seen.any(0).sum())) == (patch, patch)


def test_the_published_discriminator_gives_30_by_30_scores():
    assert Patches(6, 1, 70, "batch")(torch.zeros(1, 6, 256, 256)).value.shape == (1, 1, 30, 30)


@pytest.mark.parametrize(
    ("name", "two_way", "millions"), [("pix2pix", False, (54.414, 2.769)), ("cyclegan", True, (11.378, 2.765))]
)
def test_published_numbers_of_parameters(name, two_way, millions):
    """As the authors' code prints them."""
    architecture, spec = installed().make("architecture", name, {}), spec_of((3, 256, 256))
    networks = architecture.build(spec, Plan(frozenset(["two_way"] if two_way else []), spec)).all()
    assert len(networks) == (4 if two_way else 2)
    counted = {sum(map(torch.Tensor.numel, network.parameters())) / 1e6 for network in networks.values()}
    assert sorted(round(count, 3) for count in counted) == sorted(millions)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("height", "width"), [(16, 16), (28, 28), (24, 32), (64, 48)])
def test_every_size_that_its_strides_allow(name, height, width):
    spec = spec_of((3, height, width), (2, height, width))
    networks = networks_of(name, spec, blocks=1) if name == "cyclegan" else networks_of(name, spec)
    source = torch.randn(2, *spec.source)
    made = networks.generator(source)
    assert made.shape == (2, *spec.shape) and made.abs().max() <= 1
    assert networks.discriminator(torch.cat([source, made], 1)).value.shape[:2] == (2, 1)
    # A trained translator also takes other sizes.
    multiple = networks.generator.multiple
    assert networks.generator.eval()(torch.randn(1, 2, 3 * multiple + 16, 2 * multiple + 16 * multiple)).shape[1] == 3


@pytest.mark.parametrize("name", NAMES)
def test_both_directions_where_a_part_needs_them(name):
    spec = spec_of((3, 16, 16), (1, 16, 16), "two_domains")
    networks = networks_of(name, spec, ["two_way"])
    assert set(networks.generators) == {"generator_a", "generator_b"}
    there = networks.generators["generator_b"](torch.randn(2, 1, 16, 16))
    back = networks.generators["generator_a"](there)
    assert (there.shape[1], back.shape[1]) == (3, 1)
    for domain, pictures in (("a", back), ("b", there)):
        assert networks.discriminators[f"discriminator_{domain}"](pictures).value.ndim == 4


SIZES = {
    "pix2pix": [((3, 30, 32), {}, "multiples of 4, not 30x32; try size=32x32")],
    "cyclegan": [((3, 33, 47), {}, "multiples of 4, not 33x47; try size=32x48")],
    "pix2pix of a depth": [((3, 48, 48), {"depth": 5}, "multiples of 32, not 48x48; try size=64x64")],
    "pix2pix of large patches": [
        ((3, 64, 64), {"patch": 286}, "at least 96 px, not 64x64; say --arch pix2pix:patch=142")
    ],
}


@pytest.mark.parametrize("case", SIZES)
def test_other_sizes_are_refused_with_those_that_work(case):
    for shape, options, told in SIZES[case]:
        with pytest.raises(SizeError, match=told) as caught:
            networks_of(case.partition(" ")[0], spec_of(shape), **options)
        assert "\n" not in str(caught.value)
        near = str(caught.value).partition("try size=")[2]
        height, width = map(int, near.split("x")) if "x" in near else (int(near),) * 2
        networks_of(case.partition(" ")[0], spec_of((3, height, width)), **options)  # what it said to try


@pytest.mark.parametrize("name", NAMES)
def test_sources_of_another_size_are_refused(name):
    with pytest.raises(SizeError, match=r"sources of 32x16 and samples of 32x32; give both one size"):
        networks_of(name, spec_of((3, 32, 32), (3, 32, 16)))


def test_dropout_is_in_the_three_innermost_decoder_layers_and_of_training_alone():
    spec = spec_of((3, 64, 64))
    generator = networks_of("pix2pix", spec, depth=6, dropout=0.25).generator
    assert [layer.dropout for layer in generator.up] == [0, 0, 0, 0.25, 0.25, 0.25]
    assert all(not layer.dropout for layer in generator.down)
    source = torch.randn(2, *spec.source)
    assert not torch.equal(generator(source), generator(source))
    generator.eval()
    assert torch.equal(generator(source), generator(source))


def test_first_weights():
    networks = networks_of("pix2pix", spec_of((3, 64, 64)), generator_width=16, discriminator_width=16)
    for module in (module for network in networks.all().values() for module in network.modules()):
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)) and module.weight.numel() > 10_000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.bias is None or not module.bias.any()


@pytest.mark.parametrize("count", [1, 2])
def test_instance_normalisation_of_any_number_of_pictures(count):
    pictures = torch.randn(count, 5, 6, 7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(InstanceNorm(5)(pictures), nn.InstanceNorm2d(5)(pictures))
    assert torch.autograd.gradgradcheck(InstanceNorm(5), pictures)


def test_the_discriminators_norm_follows_what_the_run_needs():
    def norms(game):
        return {
            type(module).__name__ for module in game.networks.discriminator.modules() if "Norm" in type(module).__name__
        }

    assert norms(game_of("paired", "pix2pix")) == {"BatchNorm2d"}
    game = game_of("paired", "pix2pix", reg=("r1",))
    assert norms(game) == {"InstanceNorm"}
    assert any("per_sample_scores" in note for note in game.plan.notes)
    with pytest.raises(Mismatch, match="per_sample_scores"):
        game_of("paired", arch="pix2pix:norm=batch", reg=("r1",), spec=spec_of((3, 16, 16)))


def test_growing_is_refused():
    with pytest.raises(Mismatch, match=r"procedure 'progressive' needs `grows`"):
        checked(resolve(installed(), {"arch": "pix2pix", "procedure": "progressive"}), installed())


# Losses by hand


def moves_of(game, step=1):
    """Player, terms and the batch of each move of a step, the players standing still."""
    game.begin(step)
    return [(move.player.name, list(move.minimises)) for move in game.procedure.moves(game, step)]


def batch_of(game):
    game.stream.load({"position": 0})
    return game.take(game.batch)


def numbers(terms):
    return {name: value.item() for part in terms for name, value in part.items()}


def test_a_pair_is_judged_together_and_the_objectives_are_the_papers():
    game = game_of("paired", "pix2pix", loss="nonsaturating")
    batch = batch_of(game)
    game.stream.load({"position": 0})
    seen, score = [], game.score

    def watched(x, label=None, name="discriminator"):
        seen.append(x)
        return score(x, label, name)

    game.score = watched
    (first, judged), (second, made) = moves_of(game)
    assert (first, second) == ("discriminator", "generator")
    real, fake, again = seen
    assert torch.equal(real, torch.cat([batch.source, batch.sample], 1))
    assert torch.equal(fake[:, :3], batch.source) and torch.equal(fake, again)
    assert not fake.requires_grad and again.requires_grad
    picture = again[:, 3:]
    with torch.no_grad():
        log_odds = [game.networks.discriminator(x).value for x in (real, fake)]
    likely = [(-x).sigmoid().log().neg() if index else x.sigmoid().log().neg() for index, x in enumerate(log_odds)]
    assert numbers(judged) == {"loss/discriminator": pytest.approx(0.5 * sum(map(torch.mean, likely)).item(), rel=1e-4)}
    assert numbers(made) == {
        "loss/generator": pytest.approx(log_odds[1].sigmoid().log().neg().mean().item(), rel=1e-4),
        "loss/reconstruction": pytest.approx(100 * (picture - batch.sample).abs().mean().item(), rel=1e-5),
    }


def test_r1_is_of_source_and_sample():
    game = game_of("paired", "pix2pix", reg=("r1:gamma=3",))
    batch = batch_of(game)
    game.stream.load({"position": 0})
    judged = numbers(moves_of(game)[0][1])
    real = torch.cat([batch.source, batch.sample], 1).requires_grad_()
    (gradient,) = torch.autograd.grad(game.networks.discriminator(real).value.sum(), real)
    assert gradient[:, :3].any() and gradient[:, 3:].any()
    # Not halved with the adversarial loss: a penalty has a weight of its own.
    assert judged["penalty/r1"] == pytest.approx(1.5 * gradient.square().sum((1, 2, 3)).mean().item(), rel=1e-4)


def test_what_the_cycle_minimises():
    game = game_of("cycle:adversarial=2,cycle=7,identity=0.25")
    batch = batch_of(game)
    game.stream.load({"position": 0})
    (first, made), (second, judged) = moves_of(game)
    assert (first, second) == ("generators", "discriminators")
    nets, (a, b) = game.networks.all(), (batch.source, batch.sample)
    to_a, to_b = nets["generator_a"], nets["generator_b"]
    d_a, d_b = nets["discriminator_a"], nets["discriminator_b"]
    with torch.no_grad():
        fake_a, fake_b = to_a(b), to_b(a)
        wanted = {
            "loss/generator_a": (d_a(fake_a).value - 1).square().mean(),  # lsgan's half, twice
            "loss/generator_b": (d_b(fake_b).value - 1).square().mean(),
            "loss/cycle_a": 7 * (to_a(fake_b) - a).abs().mean(),
            "loss/cycle_b": 7 * (to_b(fake_a) - b).abs().mean(),
            "loss/identity_a": 7 * 0.25 * (to_a(a) - a).abs().mean(),
            "loss/identity_b": 7 * 0.25 * (to_b(b) - b).abs().mean(),
        }
        halves = {
            f"loss/discriminator_{domain}": ((d(real).value - 1).square() + d(fake).value.square()).mean() / 2
            for domain, d, real, fake in (("a", d_a, a, fake_a), ("b", d_b, b, fake_b))
        }
    assert numbers(made) == pytest.approx({name: value.item() for name, value in wanted.items()}, rel=1e-4)
    assert numbers(judged) == pytest.approx({name: value.item() for name, value in halves.items()}, rel=1e-4)


def test_the_discriminators_see_the_pool():
    game = game_of("cycle:pool=3", steps=4)
    seen, score = {}, game.score

    def watched(x, label=None, name="discriminator"):
        seen.setdefault(name, []).append(x.detach())
        return score(x, label, name)

    game.score = watched
    before = {name: pool.pictures.clone() for name, pool in game.procedure.pools.items()}
    for step in range(5, 9):
        game.play(step)
    earlier = 0
    for domain in "ab":
        # The generator's move shows the new pictures; then the discriminator's, the real and the fake ones.
        for new, _, shown in zip(*[iter(seen[f"discriminator_{domain}"])] * 3, strict=True):
            earlier += sum(not torch.equal(*pair) for pair in zip(new, shown, strict=True))
        assert before[domain].shape == (3, 3, 16, 16)
    assert 0 < earlier < 16


def test_without_a_pool_the_newest_are_judged():
    assert all(pool.pictures is None for pool in game_of("cycle:pool=0", steps=2).procedure.pools.values())


def test_domains_of_different_channels_have_no_identity():
    game = game_of("cycle", spec=spec_of((3, 16, 16), (1, 16, 16), "two_domains"), steps=1)
    assert "nothing is asked of identity" in " ".join(game.plan.notes)
    assert not [name for name in game.numbers() if "identity" in name]
    assert [name for name in game.numbers() if "cycle" in name] == ["loss/cycle_a", "loss/cycle_b"]


# Pools


def numbered(start, count):
    return torch.arange(start, start + count, dtype=torch.float32).reshape(-1, 1, 1, 1)


def exchanged(pool, total, batch, seed=0):
    """What a pool returns for the pictures 0, 1, 2, ..., in batches."""
    steps = range(0, total, batch)
    given = [pool.exchange(numbered(start, batch), Draws(seed, start), "pool") for start in steps]
    return torch.cat(given).flatten().int().tolist()


@pytest.mark.parametrize("batch", [1, 4])
def test_the_law_of_the_pool(batch):
    total, size = 4000, 48
    pool = Pool(size)
    returned = exchanged(pool, total, batch)
    assert returned[:size] == list(range(size))
    later = list(enumerate(returned))[size:]
    given = [number for number, out in later if out == number]
    assert len(given) / len(later) == pytest.approx(0.5, abs=0.03)  # 4 standard deviations are 0.032
    held, places = list(range(size)), []
    for number, out in later:
        if out != number:
            places.append(held.index(out))  # an old picture is returned once: its place is taken
            held[places[-1]] = number
    assert held == pool.pictures.flatten().int().tolist()
    counts = torch.bincount(torch.tensor(places), minlength=size).double()
    expected = len(places) / size
    assert ((counts - expected).square() / expected).sum() < 95  # chi squared of 47 degrees of freedom: p < 1e-4


def test_the_pool_is_a_function_of_seed_and_step_and_continues():
    assert exchanged(Pool(5), 60, 2) == exchanged(Pool(5), 60, 2) != exchanged(Pool(5), 60, 2, seed=1)
    for stop in (2, 30):  # half full, and full
        whole, first, second = Pool(5), Pool(5), Pool(5)
        exchanged(whole, stop, 2)
        exchanged(first, stop, 2)
        second.load({name: value.clone() for name, value in first.state().items()})
        rest = range(stop, 60, 2)
        for start in rest:
            one, other = (pool.exchange(numbered(start, 2), Draws(0, start), "pool") for pool in (whole, second))
            assert torch.equal(one, other)
    made = numbered(0, 3)
    assert Pool(0).exchange(made, Draws(0), "pool") is made


def test_a_returned_picture_is_a_copy():
    pool = Pool(2)
    for start in (0, 2, 4):
        made = numbered(start, 2)
        shown = pool.exchange(made, Draws(0, start), "pool")
        made.fill_(-1)
        shown.fill_(-2)
    assert pool.pictures.min() >= 0


# Schedules


def test_the_rate_stays_and_falls():
    factor = Schedule("linear", start=4, steps=8).factor(100)
    assert [factor(step) for step in (1, 5, 6, 7, 9, 50)] == [1, 1, 0.75, 0.5, 0, 0]
    assert Schedule("cosine", end=0.5).factor(10)(6) == pytest.approx(0.75)
    assert Schedule().factor(10) is None
    for procedure in ("paired", "cycle"):
        made = installed().make("procedure", procedure, {"schedule": "linear"})
        assert made.tied_to_steps
        assert not installed().make("procedure", procedure, {"schedule": "linear", "schedule_steps": 9}).tied_to_steps
        with pytest.raises(UsageError, match="schedule_steps must be larger"):
            installed().make("procedure", procedure, {"schedule_start": 9, "schedule_steps": 9})


# Sampling


@pytest.mark.parametrize("procedure", ["paired", "cycle:average=10", "paired:average=10"])
def test_samples_are_translations_of_the_first_sources(procedure):
    game = game_of(procedure, "pix2pix", steps=3)
    network = game.procedure.translator(game)
    sources = game.stream.collection.fetch(list(range(8))).source
    assert torch.equal(game.shown, sources)
    with torch.no_grad():
        wanted = network.eval()(sources)
    made = game.procedure.sample(game, Request(8, seed=3))
    distance = torch.cdist(made.flatten(1), wanted.flatten(1))
    assert distance.min(1).values.max() < 1e-3
    assert sorted(distance.argmin(1).tolist()) == list(range(8))  # each of them once
    sets = game.procedure.side_by_side(game, Request(64, seed=0))
    assert [one.shape for one in sets] == [(8, 3, 16, 16)] * 3
    assert torch.equal(sets[0], sources)
    torch.testing.assert_close(sets[1], wanted, atol=1e-4, rtol=0)
    if procedure.startswith("paired"):
        assert torch.equal(sets[2], game.stream.collection.fetch(list(range(8))).sample)
    else:
        with torch.no_grad():
            back = game.procedure.translator(game, backwards=True).eval()(sets[1])
        torch.testing.assert_close(sets[2], back, atol=1e-4, rtol=0)


def test_the_average_translates():
    game = game_of("cycle:average=1000", steps=3)
    assert game.procedure.translator(game) is not game.networks.generators["generator_b"]
    plain = game_of("cycle", steps=3)
    assert plain.procedure.translator(plain) is plain.networks.generators["generator_b"]
    assert plain.procedure.translator(plain, backwards=True) is plain.networks.generators["generator_a"]


def test_what_cannot_be_asked_is_refused_in_a_sentence():
    game = game_of("paired")
    with pytest.raises(UsageError, match="learns one direction"):
        game.procedure.translator(game, backwards=True)
    with pytest.raises(UsageError, match="no latents to be truncated"):
        game.procedure.sample(game, Request(2, truncation=0.7))
    game.shown = None
    with pytest.raises(UsageError, match="no sources of its own"):
        game.procedure.sample(game, Request(2))


# Embedded data


@pytest.mark.parametrize("name", ["paired-shapes", "unpaired-shapes"])
def test_outlines_and_shapes(name):
    dataset: Dataset = installed().make("dataset", name, {"count": 20, "size": "24x32"})
    collection: Collection = dataset.open()
    batch = collection.fetch(list(range(20)))
    assert batch.sample.shape == batch.source.shape == (20, 3, 24, 32)
    ink = [(pictures < 0.9).any(1) for pictures in (batch.source, batch.sample)]
    inside = (ink[0] & ~ink[1]).flatten(1).any(1)  # an outline that leaves the shape beside it
    if name == "paired-shapes":
        assert not inside.any()
        filled = (ink[1].flatten(1).sum(1) > ink[0].flatten(1).sum(1)).float().mean()
        assert filled > 0.9
    else:
        assert inside.float().mean() > 0.5
    assert collection.fingerprint() == dataset.open().fingerprint()
    other = installed().make("dataset", name, {"count": 20, "size": "24x32", "seed": 1}).open()
    assert collection.fingerprint() != other.fingerprint()


# Whole runs

TINY = {
    "paired": "pix2pix:generator_width=4,discriminator_width=4,patch=16",
    "cycle": "cyclegan:generator_width=4,discriminator_width=4,blocks=1,patch=16",
}


@pytest.mark.parametrize("procedure", TINY)
def test_continues_exactly_with_pools_and_averages(procedure, tmp_path):
    options = "average=20,schedule=linear,schedule_start=2,schedule_steps=6" + (",pool=5" * (procedure == "cycle"))
    data = "paired-shapes" if procedure == "paired" else "unpaired-shapes"
    settings = {"arch": TINY[procedure], "procedure": f"{procedure}:{options}", "data": f"{data}:count=20,size=16"}
    settings |= {"loss": "lsgan", "batch": 3, "device": "cpu", "quiet": True}
    library.train(**settings, steps=6, out=tmp_path / "whole")
    library.train(**settings, steps=3, out=tmp_path / "parted")
    library.train(**settings, steps=6, out=tmp_path / "parted", sample_every=1, log_every=1)
    whole, parted = (
        tmp_path / name / "checkpoints" / "step-00000006" / "state.safetensors" for name in ("whole", "parted")
    )
    assert whole.read_bytes() == parted.read_bytes()
    assert len(list((tmp_path / "parted" / "samples").iterdir())) == 4


def test_pairs_are_learnt():
    """Colours become their opposites, also those that were not in the data."""
    colours = torch.rand(64, 3, 2, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    pictures = nn.functional.interpolate(colours, scale_factor=8)
    data = Arrays(spec_of((3, 16, 16)), -pictures[:48], sources=pictures[:48])
    arch = "pix2pix:generator_width=8,discriminator_width=2,patch=16,norm=none,dropout=0"
    game = game_of("paired:rate=3e-3", collection=data, spec=data.spec, arch=arch, batch=16, steps=100)
    new = pictures[48:]
    with torch.no_grad():
        made = game.procedure.translator(game).eval()(new)
    assert (made + new).abs().mean() < 0.4 * new.abs().mean()


@pytest.mark.slow
def test_two_processes_at_half_the_batch_are_one_at_the_whole(tmp_path):
    """Also their pools, which are of the whole batch."""
    words = ["--arch", TINY["cycle"], "--data", "unpaired-shapes:count=20,size=16", "--batch", "4", "--loss", "lsgan"]
    words += ["--procedure", "cycle:pool=6", "--precision", "fp64", "--steps", "6", "--sample-every", "0"]
    states = []
    for count in (1, 2):
        several = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"] if count > 1 else []
        out = tmp_path / str(count)
        command = [sys.executable, *several, "-m", "ganzoo", "train", *words, "--out", str(out)]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        states.append(checkpoints.load(out / "checkpoints"))
    one, two = states
    for name, network in one["networks"].items():
        for key, value in network.items():
            torch.testing.assert_close(value, two["networks"][name][key], rtol=1e-8, atol=1e-9)
    for domain in "ab":
        held, other = (state["procedure"]["pools"][domain]["pictures"] for state in states)
        assert held.shape == (6, 3, 16, 16)
        torch.testing.assert_close(held, other, rtol=1e-8, atol=1e-9)


def test_the_command_line_refuses_in_one_sentence(tmp_path):
    for words, told in (
        (["--arch", "pix2pix", "--data", "unpaired-shapes:size=16"], "needs `pairs`"),
        (["--arch", "pix2pix", "--data", "digits"], "needs `pairs|two_domains`"),
        (["--arch", "cyclegan", "--procedure", "adversarial"], "needs `latent_generator`"),
        (["--arch", "pix2pix:patch=70", "--data", "paired-shapes:size=16"], "pix2pix:patch=34"),
        (["--arch", "cyclegan:blocks=-1"], "blocks are at least 0"),
        (["--arch", "pix2pix", "--procedure", "cycle:pool=-1"], "the pool must not be negative"),
    ):
        error = invoke("train", *words, "--steps", 1, "--out", tmp_path / "run", code=2).stderr
        assert told in error
