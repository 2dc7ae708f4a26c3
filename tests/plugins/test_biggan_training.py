"""BigGAN's training and sampling: the average's start, standing statistics, singular values, orthogonal weights, sheets
of classes and walks between them."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image
from torch import nn

import ganzoo as library
from ganzoo import Average, Draws, Networks, Request, UsageError, derive, walk
from ganzoo.config import resolve
from ganzoo.game import Game, Turn
from ganzoo.parts import truncated_normal
from ganzoo.registry import installed
from ganzoo.training import build

BIGGAN = "biggan:latent=8,generator_width=2,discriminator_width=2,embedding=3,attention=0"


def played(arch=BIGGAN, steps=2, **more) -> Game:
    config = resolve(installed(), {"arch": arch, "loss": "hinge", "data": "digits:size=16", "batch": 8, **more})
    parts = config.make(installed())
    game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
    for step in range(1, steps + 1):
        game.play(step)
    return game


def parameters(network):
    return [parameter.detach().clone() for parameter in network.parameters()]


def same(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


# The scheme of moves, and the average


def test_several_moves_of_accumulated_micro_batches():
    """n_critic moves, each of a batch of its own in micro-batches that go through the networks alone; then the
    generator's. Each player moves once, after all its pieces."""
    game = played(steps=0, procedure="adversarial:n_critic=3,micro_batches=4")
    made, scored, taken, moves = [], [], [], []
    generate, score, take = game.generate, game.score, game.take
    game.generate = lambda given, label=None: made.append(len(given)) or generate(given, label)
    game.score = lambda x, *rest: scored.append(len(x)) or score(x, *rest)
    game.take = lambda count: taken.append(count) or take(count)
    game.begin(1)
    for move in game.procedure.moves(game, 1):
        before, pieces = [parameter.clone() for parameter in move.player.parameters.values()], 0
        for terms in move.minimises:
            move.player.accumulate(terms)
            pieces += 1
        assert same(before, move.player.parameters.values())
        move.player.step(1)
        assert not same(before, move.player.parameters.values())
        moves.append((move.player.name, pieces))
    assert moves == [("discriminator", 4)] * 3 + [("generator", 4)]
    assert taken == [8] * 4  # real samples of each of three moves, and classes for the generator's
    assert made == [2] * 16 and scored == [2] * (3 * 4 * 2 + 4)


@pytest.mark.parametrize("start", [0, 3])
def test_the_average_is_the_generator_until_its_start(start):
    """Up to the step before it; from that step on each one halves what is old."""
    game = played(steps=0, procedure=f"adversarial:average=8,average_start={start}")
    old = parameters(game.networks.generator)
    for step in range(1, 5):
        game.play(step)
        now, average = parameters(game.networks.generator), parameters(game.procedure.average.network)
        wanted = now if step < start else [one.lerp(other, 0.5) for one, other in zip(old, now, strict=True)]
        for one, other in zip(average, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0 if step < start else 1e-6)
        old = average


def test_an_average_without_a_start_begins_at_once():
    network = nn.Linear(2, 1, bias=False)
    average = Average(network, 4, start=8)
    before = network.weight.detach().clone()
    with torch.no_grad():
        network.weight.add_(1)
    average.update(network, 4, 4)
    torch.testing.assert_close(average.network.weight, before + 1)
    with torch.no_grad():
        network.weight.add_(1)
    average.update(network, 4, 8)
    torch.testing.assert_close(average.network.weight, before + 1.5)


# Standing statistics


class Small(nn.Module):
    """One dense layer, batch normalisation, and the class as a shift."""

    def __init__(self):
        super().__init__()
        self.dense, self.norm, self.last = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)

    def forward(self, latent, label):
        return self.last(self.norm(self.dense(latent) + (0 if label is None else label[:, None])))


def small_game(network):
    class Architecture(library.Architecture):
        def latent(self, draws, count):
            return draws.normal("latent", count, 3)

    game = played(arch="mlp:latent=3,width=4,layers=1", steps=0)
    game.parts.architecture = Architecture()
    game.networks.generators["generator"] = network
    return game


@pytest.mark.parametrize("truncation", [1.0, 0.5])
def test_standing_statistics_by_hand(truncation):
    """The mean over batches of a batch's mean and unbiased variance, at the truncation that is sampled."""
    network = Small()
    game = small_game(network)
    made = library.standing_statistics(game, network, 5, 6, truncation)
    means, variances = [], []
    for batch in range(5):
        draws = Draws(derive(0, "standing", batch))
        label = draws.integers("label", 6, high=len(game.spec.classes))
        latent = draws.normal("latent", 6, 3)
        latent = latent if truncation == 1 else truncated_normal(latent, 2 * truncation)
        h = network.dense(latent) + label[:, None]
        means.append(h.mean(0))
        variances.append(h.var(0))
    torch.testing.assert_close(made.norm.running_mean, torch.stack(means).mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(made.norm.running_var, torch.stack(variances).mean(0), rtol=1e-5, atol=1e-5)
    assert not any(module.training for module in made.modules())
    assert torch.equal(network.norm.running_mean, torch.zeros(4)) and network.norm.num_batches_tracked == 0
    assert network.training and network.norm.momentum == 0.1


def test_networks_without_batch_statistics_stay_as_they_are():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2, track_running_stats=False))
    assert library.standing_statistics(small_game(network), network, 2, 4) is network


@pytest.mark.parametrize("average", [0, 16])
def test_standing_statistics_change_samples_and_nothing_else(average):
    """Two games that differ in this option alone train alike, bit for bit, however often one is sampled."""
    plain = played(steps=0, procedure=f"adversarial:average={average}")
    standing = played(steps=0, procedure=f"adversarial:average={average},standing_batches=3,micro_batches=1")
    for step in (1, 2, 3):
        for game in (plain, standing):
            game.play(step)
            chance = torch.get_rng_state()
            game.procedure.sample(game, Request(4, truncation=0.5 if step == 2 else 1.0))
            assert torch.equal(torch.get_rng_state(), chance)
    assert plain.state()["networks"].keys() == standing.state()["networks"].keys()
    for kind in ("networks", "procedure"):
        first, second = (flat(game.state()[kind]) for game in (plain, standing))
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert plain.numbers() == standing.numbers()


def flat(state, prefix=""):
    if isinstance(state, torch.Tensor):
        return {prefix: state}
    return {name: value for key, inner in state.items() for name, value in flat(inner, f"{prefix}.{key}").items()}


def test_standing_statistics_are_those_of_the_step_and_the_truncation(monkeypatch):
    """Made once for each; a game that goes on from a state makes the same pictures; the next step has its own."""
    computed = []
    make = library.standing_statistics
    monkeypatch.setattr(
        "ganzoo_plugins.procedures.adversarial.standing_statistics",
        lambda game, network, batches, size, truncation: (
            computed.append((game.step, size, truncation)) or make(game, network, batches, size, truncation)
        ),
    )
    options = {"procedure": "adversarial:average=16,standing_batches=3,micro_batches=2"}
    game = played(**options)
    whole, cut = (game.procedure.sample(game, Request(4, truncation=value)) for value in (1.0, 0.5))
    again = game.procedure.sample(game, Request(4))
    computed = [found for found in computed if found[0]]  # at step 0 the form of the samples is looked at
    assert torch.equal(whole, again) and not torch.equal(whole, cut)
    assert computed == [(2, 4, 1.0), (2, 4, 0.5)]
    network = game.procedure.sampling_network(game)
    assert network is not game.procedure.average.network and network is game.procedure._standing[2, 1.0]
    seen = [dict(net.named_buffers())["blocks.0.norm1.norm.running_var"] for net in game.procedure._standing.values()]
    assert not torch.allclose(seen[0], seen[1])  # cut latents vary less
    other = played(steps=0, **options)
    other.procedure.sample(other, Request(1))
    other.load(copy.deepcopy(game.state()))
    assert torch.equal(other.procedure.sample(other, Request(4)), whole)
    game.play(3)
    assert not torch.equal(game.procedure.sample(game, Request(4)), whole)
    assert set(game.procedure._standing) == {(3, 1.0)}


@pytest.mark.parametrize("arch", ["mlp:latent=4,width=8,layers=1", "dcgan:latent=4,width=4"])
def test_standing_statistics_of_other_generators(arch):
    """Without batch normalisation nothing changes; with it samples do."""
    made = [
        game.procedure.sample(game, Request(4))
        for game in (played(arch, procedure=f"adversarial:standing_batches={count}") for count in (0, 4))
    ]
    assert torch.equal(*made) == arch.startswith("mlp")


@pytest.mark.parametrize("option", ["average_start", "standing_batches"])
def test_negative_steps_and_batches_are_refused(option):
    with pytest.raises(UsageError, match="must not be negative"):
        installed().make("procedure", "adversarial", {option: -1})


# Singular values


def looked_at(part, step, network, side="generator", noted=None):
    game = SimpleNamespace(networks=Networks({"generator": network}, {"discriminator": network}), step=step)
    game.noted = {} if noted is None else noted
    game.note = lambda name, value: game.noted.__setitem__(name, value.clone())
    assert part.penalty(Turn(game, None, "discriminator", side, torch.zeros(1))) is None
    return {name: value.item() for name, value in game.noted.items()}


def test_singular_values_are_exact_and_of_the_learnt_weight():
    """Of a dense layer, a convolution, one under spectral normalisation (before it), and no embedding."""
    torch.manual_seed(0)
    network = nn.ModuleDict(
        {
            "dense": nn.Linear(5, 7),
            "conv": nn.Conv2d(3, 4, 3),
            "up": nn.ConvTranspose2d(6, 2, 3),
            "flat": nn.Linear(9, 1),
            "table": nn.Embedding(50, 60),
            "normed": nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)),
        }
    )
    with torch.no_grad():
        network["normed"].parametrizations.weight.original.mul_(30)
    matrices = {
        "dense": network["dense"].weight,
        "conv": network["conv"].weight.flatten(1),
        "up": network["up"].weight.transpose(0, 1).flatten(1),
        "flat": network["flat"].weight,
        "normed": network["normed"].parametrizations.weight.original,
    }
    exact = {name: torch.linalg.svdvals(value.detach().double()) for name, value in matrices.items()}
    for side in ("generator", "discriminator"):
        found = looked_at(library_part(layers=True), 1, network, side)
        assert found == pytest.approx(
            {
                f"singular/{side}": max(values[0].item() for values in exact.values()),
                f"singular-growth/{side}": 1,
                f"singular-ratio/{side}": max((v[0] / v[1]).item() for v in exact.values() if len(v) > 1),
                **{f"singular/{side}/{name}": values[0].item() for name, values in exact.items()},
            },
            rel=1e-5,
        )
        assert len(looked_at(library_part(), 1, network, side)) == 3
    assert found["singular/discriminator/normed"] == found["singular/discriminator"] > 10


def library_part(**options):
    return installed().make("regularizer", "singular-values", options)


def test_looks_are_kept_between_and_continued():
    """At steps 1, 4, 7 ... a new look; between them what was last seen, also by a part that goes on from a state."""
    network, part = nn.Linear(4, 4, bias=False), library_part(look_every=3)
    seen = []
    for step in range(1, 6):
        if step == 3:
            state, part = copy.deepcopy(part.state()), library_part(look_every=3)
            part.load(state)
        seen.append(looked_at(part, step, network)["singular-growth/generator"])
        with torch.no_grad():
            network.weight.mul_(2)
    assert seen == pytest.approx([1, 1, 1, 8, 8])
    noted = {"singular/generator": torch.tensor(5.0)}
    assert looked_at(part, 7, network, noted=noted) == {"singular/generator": 5}  # once in a step is enough


def test_an_explosion_is_told():
    part = library_part(explosion=10)
    assert part.sign({"step": 1, "singular-growth/generator": 9.9, "singular-growth/discriminator": 1e6}) is None
    assert "grown to 12 times" in part.sign({"step": 1, "singular-growth/generator_a": 12.2})
    assert part.sign({"step": 1}) is None


@pytest.mark.parametrize("options", [{"look_every": 0}, {"explosion": 1}])
def test_options_that_are_refused(options):
    with pytest.raises(UsageError, match="singular-values"):
        library_part(**options)


def test_singular_values_are_logged_and_change_nothing(tmp_path):
    """A run that is stopped and goes on logs what the run without a stop logs; without the part it trains alike."""
    asked = {"arch": BIGGAN, "loss": "hinge", "data": "digits:size=16", "batch": 8, "quiet": True, "log_every": 1}
    watched = {**asked, "reg": "singular-values:look_every=3,layers=true"}
    whole = library.train(**watched, steps=5, out=tmp_path / "whole")
    library.train(**watched, steps=2, out=tmp_path / "cut")
    cut = library.train(**watched, steps=5, out=tmp_path / "cut")
    plain = library.train(**asked, steps=5, out=tmp_path / "plain")
    logs = [
        [{name: value for name, value in record.items() if "second" not in name} for record in found.logged()]
        for found in (whole, cut, plain)
    ]
    assert logs[0] == logs[1]
    without = [{name: value for name, value in record.items() if not name.startswith("singular")} for record in logs[0]]
    assert without == logs[2]
    last = logs[0][-1]
    assert last["singular/generator"] > 1 and last["singular/discriminator/blocks.0.conv1"] > 0
    assert "singular/generator/shared" not in last and "singular/generator/blocks.0.norm1.gain" in last


# Orthogonal weights


@pytest.mark.parametrize("form", ["embedding=3", "embedding=0,hierarchical=false"])
def test_orthogonal_weights_of_biggan(form):
    """The penalty's gradient is 4 weight (W W' * (1 - I)) W of the raw weight of every layer, and nothing of vectors
    and tables of classes, of biases or of gains."""
    game = played(f"biggan:latent=8,generator_width=2,discriminator_width=2,attention=8,{form}", reg=("orthogonal",))
    network = game.networks.generator
    part = installed().make("regularizer", "orthogonal", {"weight": 0.5})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    value = part.penalty(Turn(game, None, "discriminator", "generator", torch.zeros(1)))
    names, values = zip(*network.named_parameters(), strict=True)
    gradients = torch.autograd.grad(value, values, allow_unused=True)
    pushed = set()
    for name, weight, gradient in zip(names, values, gradients, strict=True):
        module = network.get_submodule(name.rpartition(".")[0])
        if weight.ndim < 2 or isinstance(module, nn.Embedding):
            assert gradient is None, name
            continue
        pushed.add(name)
        w = weight.detach().flatten(1)
        wanted = 0.5 * 4 * ((w @ w.T) * (1 - torch.eye(len(w)))) @ w
        torch.testing.assert_close(gradient.flatten(1), wanted, rtol=1e-4, atol=1e-4)
    assert {"linear.weight", "blocks.0.conv1.weight", "blocks.0.attention.query.weight", "ending.2.weight"} <= pushed
    assert ("blocks.0.norm1.gain.weight" in pushed) == ("=3" in form)


# Sheets of classes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("biggan") / "run"
    made = library.train(arch=BIGGAN, loss="hinge", data="digits:size=16", steps=2, batch=8, out=out, quiet=True)
    game, chance = made.game(), torch.Generator().manual_seed(0)
    with torch.no_grad():  # classes that differ more than after two steps
        shared = game.networks.generator.shared.weight
        shared.add_(torch.randn(shared.shape, generator=chance))
    made.save(game, 0.0, keep=0)
    return library.load(out)


def test_all_classes_have_a_row_each(run, tmp_path):
    """Eight of each in a row; in a column one latent; the same samples as of the class alone."""
    invoke("sample", run.path, "--label", "all", "--seed", 3, "--out", tmp_path / "all.png")
    sheet = numpy.asarray(Image.open(tmp_path / "all.png"))
    assert sheet.shape == (10 * 18 - 2, 8 * 18 - 2)
    invoke("sample", run.path, "--label", "all", "--seed", 3, "--out", tmp_path / "all.npz")
    with numpy.load(tmp_path / "all.npz") as arrays:
        assert arrays["labels"].tolist() == [label for label in range(10) for _ in range(8)]
        for label in (0, 6):
            run.write(tmp_path / "one.npz", count=8, seed=3, label=label)
            with numpy.load(tmp_path / "one.npz") as one:
                assert (arrays["samples"][8 * label :][:8] == one["samples"]).all()
                assert one["labels"].tolist() == [label] * 8
        for row, column in ((0, 0), (6, 2), (9, 7)):
            cell = sheet[18 * row : 18 * row + 16, 18 * column : 18 * column + 16]
            assert (cell == arrays["samples"][8 * row + column, ..., 0]).all()


def test_classes_are_chosen_by_number_or_name(run, tmp_path):
    invoke("sample", run.path, "--label", "3, 7", "--count", 3, "--out", tmp_path / "some.npz")
    with numpy.load(tmp_path / "some.npz") as arrays:
        assert arrays["labels"].tolist() == [3] * 3 + [7] * 3 and len(arrays["samples"]) == 6
    assert torch.equal(run.sample(2, label="3,7"), torch.cat([run.sample(2, label=3), run.sample(2, label=7)]))
    assert len(run.sample(label="all")) == 80 and len(run.sample(label=4)) == len(run.sample()) == 64
    told = invoke("sample", run.path, "--label", "3,12", "--out", tmp_path / "x.png", code=2).stderr
    assert "no class '12'" in told


def test_a_class_of_the_name_goes_before_the_word(run):
    """Classes called `all` or `a,b` are themselves."""
    named = copy.copy(run)
    named.spec = library.Spec("image", (1, 16, 16), ("all", "a,b", "c"))
    assert named.label_indices("all") == [0] and named.label_indices("a,b") == [1]
    assert named.label_indices("c,all") == [2, 0] and named.label_indices(None) is None


def test_too_many_classes_for_a_sheet_and_none_are_told(run):
    many = copy.copy(run)
    many.spec = library.Spec("image", (1, 16, 16), tuple(map(str, range(1000))))
    with pytest.raises(UsageError, match=r"all is 1000 classes.*--label 3,7,12"):
        many.label_indices("all")
    assert many.label_indices("3,7,999") == [3, 7, 999]
    many.spec = library.Spec("image", (1, 16, 16))
    with pytest.raises(UsageError, match="the data have no labels"):
        many.label_indices("all")


# Walks between classes


def shown(path):
    with Image.open(path) as picture:
        found = []
        for index in range(picture.n_frames):
            picture.seek(index)
            found.append(numpy.asarray(picture.convert("L"), dtype=numpy.int64))
        return numpy.stack(found)


def test_a_walk_from_class_to_class(run, tmp_path):
    """One latent; at the keys the samples of the classes, in the middle that of the mean of two vectors."""
    out = tmp_path / "walk.gif"
    words = ("--label", "1,8,4", "--frames", 2, "--count", 2, "--seed", 5, "--truncation", 0.7)
    invoke("interpolate", run.path, *words, "--out", out)
    walked = shown(out)
    assert walked.shape == (6, 16, 34)
    game = run.game()
    network = game.procedure.sampling_network(game).eval()
    latents = truncated_normal(game.latent(16, Draws(derive(5, "sample", 0))), 1.4)[:2]
    vectors = network.class_vectors(torch.tensor([1, 8, 4]))
    for frame in range(6):
        vector = vectors[frame // 2].lerp(vectors[(frame // 2 + 1) % 3], frame % 2 / 2)
        with torch.no_grad():
            made = network(latents, vector.expand(2, -1))
        wanted = game.parts.dataset.decode(made, run.spec)[..., 0].astype(numpy.int64)
        assert abs(walked[frame, :, :16] - wanted[0]).max() <= 2
        assert abs(walked[frame, :, 18:] - wanted[1]).max() <= 2
    run.write(tmp_path / "class.npz", count=2, seed=5, label=8, truncation=0.7)
    with numpy.load(tmp_path / "class.npz") as arrays:
        assert abs(walked[2, :, :16] - arrays["samples"][0, ..., 0]).max() <= 2


def test_a_mapped_space_is_walked_from_class_to_class(tmp_path):
    """Styles of several classes and one latent; at the keys they are those of `sample`."""
    arch = "stylegan2:latent=4,style=4,mapping_layers=2,channel_base=64,channel_max=8,group=2,mixing=0,conditional=true"
    run = library.train(arch=arch, data="digits:size=16", batch=4, steps=1, out=tmp_path / "run", quiet=True)
    game = run.game()
    for network in (game.networks.generator, game.procedure.sampling_network(game)):
        for name, value in network.state_dict().items():
            if name.endswith("strength"):
                value.zero_()  # samples that were made together have noise of their own
    run.save(game, 0.0, keep=0)
    run = library.load(run.path)
    walk.interpolate(run, tmp_path / "walk.gif", frames=3, label="2,5", seed=1)
    walked = shown(tmp_path / "walk.gif")
    assert len(walked) == 6
    for key, label in ((0, 2), (3, 5)):
        run.write(tmp_path / "one.npz", count=1, seed=1, label=label)
        with numpy.load(tmp_path / "one.npz") as arrays:
            assert abs(walked[key] - arrays["samples"][0, ..., 0]).max() <= 2


TABLES = "biggan:latent=8,generator_width=1,discriminator_width=1,embedding=0,hierarchical=false,attention=0"


@pytest.mark.parametrize("arch", [TABLES, "dcgan:latent=4,width=4"])
def test_where_a_class_cannot_be_between_two(arch, tmp_path):
    run = library.train(arch=arch, data="digits:size=16", batch=4, steps=1, out=tmp_path / "run", quiet=True)
    out = ("--out", tmp_path / "walk.gif")
    told = invoke("interpolate", run.path, "--label", "1,2", *out, code=1).stderr
    assert "only where the generator makes a vector of the class" in told
    told = invoke("interpolate", run.path, "--label", "1,2", "--keys", 3, *out, code=2).stderr
    assert "leave out --keys" in told
    assert not (tmp_path / "walk.gif").exists()
    invoke("interpolate", run.path, "--label", "1", "--frames", 1, *out)


# Recipes


@pytest.mark.parametrize(("recipe", "batch"), [("biggan-cifar10", 50), ("biggan-imagenet128", 2048)])
def test_the_published_average_keeps_its_share_of_each_step(recipe, batch):
    config = resolve(installed(), {"recipe": recipe, **({"data": "folder:path=nowhere"} if "net" in recipe else {})})
    assert config.batch == batch
    assert 0.5 ** (batch / config.procedure.options["average"]) == pytest.approx(0.9999, abs=1e-9)
