"""Cures for mode collapse: packing, unrolling, VEEGAN and the improved techniques against what the papers say of them;
exact continuing; what does not fit is refused in a sentence."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from conftest import invoke
from torch import nn
from torch.func import functional_call

import ganzoo as library
from ganzoo import Draws, Mismatch, Networks, Plan, Scores, Spec, UsageError, capabilities
from ganzoo.config import resolve
from ganzoo.game import Turn
from ganzoo.registry import installed
from ganzoo.training import build, checked
from ganzoo_plugins.procedures.unrolled import Copy
from ganzoo_plugins.procedures.veegan import Reconstructor, joined
from ganzoo_plugins.regularizers.feature_matching import matched
from ganzoo_plugins.regularizers.minibatch_discrimination import Closeness

DOUBLE = torch.float64
TINY = {"arch": "mlp:latent=3,width=8,layers=2", "data": "grid:count=64", "batch": 4, "steps": 6}
IMAGES = {"arch": "dcgan:latent=4,width=4", "data": "digits:size=16", "batch": 4, "steps": 6}


def make(name, kind="regularizer", **options):
    return installed().make(kind, name, options)


def played(played_steps=0, **asked):
    """A small game of real parts after so many steps."""
    config = resolve(installed(), {**TINY, **asked})
    parts = checked(config, installed())
    with torch.random.fork_rng(devices=[]):
        game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
        for step in range(1, played_steps + 1):
            game.play(step)
    game.look()
    return game


def different(one, other, path=""):
    """Where two nested states differ, to the bit."""
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [f"{path}: {sorted(set(one) ^ set(other))}"]
        return [found for key in one for found in different(one[key], other[key], f"{path}/{key}")]
    same = torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other
    return [] if same else [path]


def bare_turn(side="generator", name="discriminator", **more):
    game = SimpleNamespace(step=1, draws=Draws(0, 1), note=lambda name, value: None, **more.pop("game", {}))
    return Turn(game, more.pop("player", None), name, side, more.pop("fake", torch.zeros(2, 2)), **more)


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("regularizer", "packing", {"count": 0}),
        ("regularizer", "minibatch-discrimination", {"kernels": 0}),
        ("regularizer", "minibatch-discrimination", {"dimensions": 0}),
        ("regularizer", "feature-matching", {"weight": -1}),
        ("regularizer", "historical-average", {"weight": -1}),
        ("regularizer", "mode-seeking", {"weight": -1}),
        ("procedure", "unrolled", {"unroll": -1}),
        ("procedure", "unrolled", {"ahead_rate": -1}),
        ("procedure", "veegan", {"weight": -1}),
        ("procedure", "veegan", {"width": 0}),
        ("architecture", "mlp", {"deviation": -1}),
        ("architecture", "mlp", {"generator_layers": 0}),
    ],
)
def test_options_out_of_range_are_refused(kind, name, options):
    with pytest.raises(UsageError, match=name):
        make(name, kind, **options)


# Packing


@pytest.mark.parametrize("home", [TINY, IMAGES])
def test_a_pack_of_one_is_the_plain_game_to_the_bit(home):
    plain, packed = (played(3, **home, reg=reg).state() for reg in ((), ("packing:count=1",)))
    packed["regularizers"].pop("packing")
    assert different(plain, packed) == []
    two = played(3, **home, reg=("packing:count=2",)).state()
    assert different(plain["networks"]["generator"], two["networks"]["generator"])


@pytest.mark.parametrize("shape", [(2,), (3, 4, 4)])
def test_a_pack_joins_neighbours_along_the_channels(shape):
    x = torch.arange(6.0)[:, None].expand(6, torch.Size(shape).numel()).reshape(6, *shape)
    packs = make("packing", count=3).augment(x, Draws(0))
    assert packs.shape == (2, 3 * shape[0], *shape[1:])
    assert torch.equal(packs, torch.stack([torch.cat(list(x[:3])), torch.cat(list(x[3:]))]))


def test_the_discriminator_is_built_for_packs_and_the_generator_is_not():
    game = played(**IMAGES, reg=("packing:count=2",))
    assert game.networks.discriminator.main[0].in_channels == 2
    assert game.networks.generator(game.latent(4)).shape == (4, 1, 16, 16)
    assert game.score(torch.zeros(4, 1, 16, 16)).value.shape == (2,)


def test_a_batch_that_cannot_be_packed_is_refused(tmp_path):
    words = ("train", "--arch", "mlp:width=4", "--data", "grid:count=64", "--steps", 1, "--out", tmp_path / "run")
    refused = invoke(*words, "--batch", 5, "--reg", "packing:count=2", code=2)
    assert "5 samples cannot be cut into packs of 2" in refused.stderr


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"reg": ("packing", "r1")}, "per_sample_scores"),
        ({"reg": ("packing",), "loss": "wgan-gp"}, "per_sample_scores"),
        ({"reg": ("packing",), "arch": "cgan"}, "labels"),
        ({"reg": ("minibatch-discrimination", "gradient-penalty")}, "per_sample_scores"),
        ({"procedure": "veegan", "reg": ("mode-seeking",)}, "generator_turn"),
        ({"arch": "dcgan", "data": "digits", "reg": ("virtual-batch-norm", "class-norm", "ac")}, "labels"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(asked, word):
    parts = resolve(installed(), {**TINY, **asked}).make(installed())
    with pytest.raises(Mismatch, match=rf"needs `{word}` .* together with '[a-z-]+' offers\..* fit"):
        capabilities.require(parts, installed())
    without = parts.without(parts.regularizers[0]) if asked["reg"][0] != "mode-seeking" else None
    assert without is None or not [said for said in capabilities.check(without) if f"`{word}`" in said]


def test_packs_of_one_have_scores_of_one_sample():
    parts = resolve(installed(), {**TINY, "reg": ("packing:count=1", "r1")}).make(installed())
    assert capabilities.check(parts) == []


# Unrolled


@pytest.mark.parametrize("home", [TINY, IMAGES])
def test_no_steps_ahead_is_the_plain_game_to_the_bit(home):
    plain = played(3, **home, procedure="adversarial:rate=1e-3").state()
    unrolled = played(3, **home, procedure="unrolled:unroll=0,rate=1e-3").state()
    assert different(plain, unrolled) == []
    assert different(plain, played(3, **home, procedure="unrolled:unroll=1,rate=1e-3").state())


@pytest.mark.parametrize("home", [TINY, {**IMAGES, "reg": ("spectral-norm",)}])
def test_the_discriminator_is_restored_to_the_bit(home):
    """Its parameters, batch statistics, power iterations and moments are as before the generator's terms."""
    game = played(2, **home, procedure="unrolled:unroll=3,rate=1e-2")
    network, player = game.networks.discriminator, game.players["discriminator"]
    before, moments = copy.deepcopy(network.state_dict()), copy.deepcopy(player.state())
    game.begin(3)
    *_, move = game.procedure.moves(game, 3)  # both moves are made up, and neither is made
    (terms,) = move.minimises
    move.player.accumulate(terms)
    assert game.networks.discriminator is network
    assert different(before, dict(network.state_dict())) == []
    assert different(moments, player.state()) == []
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("ahead", ["adam", "sgd"])
def test_gradient_through_the_steps_ahead(ahead):
    """The generator's gradient is the central difference of its loss, with the discriminator led ahead anew each time;
    and it is not what the generator would see if it stood beside."""
    options = f"unroll=3,ahead={ahead},ahead_rate=0.05,rate=1e-3"
    game = played(
        2, arch="mlp:latent=3,width=8,layers=2,activation=tanh", precision="fp64", procedure=f"unrolled:{options}"
    )

    def loss():
        game.begin(3)
        game.stream.load(state)
        (terms,) = game.procedure._generator_terms(game)
        return sum(terms.values())

    state = copy.deepcopy(game.stream.state())
    weight = next(game.networks.generator.parameters())
    (gradient,) = torch.autograd.grad(loss(), weight)
    way = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    sides = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight += step * way
        sides.append(loss().item())
        with torch.no_grad():
            weight -= step * way
    assert (gradient * way).sum().item() == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-5)
    game.procedure.unroll = 0
    assert not torch.allclose(torch.autograd.grad(loss(), weight)[0], gradient, rtol=1e-3)


def test_steps_ahead_are_the_steps_that_adam_would_make():
    """Led ahead, the discriminator is where torch's Adam would bring it on the same samples."""
    game = played(3, precision="fp64", procedure="unrolled:unroll=3,rate=1e-2")
    real, fake = game.take(4).sample, game.generate(game.latent(4)).detach()
    network, ahead = game.networks.discriminator, Copy(game.networks.discriminator)
    game.networks.discriminators["discriminator"] = ahead
    game.procedure._step_ahead(game, ahead, real, fake, None)
    game.networks.discriminators["discriminator"] = network
    player = game.players["discriminator"]
    for step in range(3):
        player.accumulate({"loss": game.loss.discriminator(game.score(real), game.score(fake)).mean()})
        player.step(4 + step)
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(ahead.parameters_ahead[name], parameter.detach(), rtol=1e-6, atol=1e-9)


# VEEGAN


@pytest.mark.parametrize("home", [TINY, IMAGES])
def test_the_discriminator_is_shown_samples_beside_latents(home):
    game = played(**home, procedure="veegan:width=4")
    seen = []
    network = game.networks.discriminator
    network.register_forward_pre_hook(lambda network, given: seen.append(given[0].detach()))
    game.play(1)
    latents = game.procedure.size
    real, fake, generated = seen
    assert real.shape == fake.shape == (4, game.spec.shape[0] + latents, *game.spec.shape[1:])
    batch = game.stream.collection
    samples, found = real[:, :-latents], real[:, -latents:].reshape(4, latents, -1)
    assert all(any(torch.equal(one, batch.fetch([i]).sample[0]) for i in range(len(batch))) for one in samples)
    assert not torch.equal(fake[:, -latents:], generated[:, -latents:])  # the generator draws its own
    assert (found == found[:, :, :1]).all()  # one number everywhere


def test_real_samples_carry_the_latents_that_the_reconstructor_finds():
    game = played(1, **TINY, procedure="veegan")
    samples = game.take(4).sample
    shown = game.procedure._real(game, samples)
    assert torch.equal(shown, torch.cat([samples, game.procedure.reconstructor(samples)], 1))
    assert not shown.requires_grad


def test_joined_pictures_have_a_map_for_each_number():
    pictures, latents = torch.rand(2, 1, 3, 5), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    shown = joined(pictures, latents)
    assert torch.equal(shown[:, :1], pictures)
    assert torch.equal(shown[:, 1:], latents[:, :, None, None].expand(2, 2, 3, 5))


def test_generator_minimises_the_log_odds_and_the_latents_distance():
    """Algorithm 1, with the discriminator's score the other way round: real is what scores high here."""
    game = played(1, **TINY, procedure="veegan:weight=3,generator_loss=score")
    latent = game.latent(4)
    fake = game.generate(latent)
    terms = game.procedure._generator_joint_terms(game, latent, fake, None, None)
    score = game.networks.discriminator(torch.cat([fake, latent], 1)).value
    distance = (latent - game.procedure.reconstructor(fake)).norm(dim=1).square().mean()
    assert terms["loss/generator"].item() == pytest.approx(-score.mean().item())
    assert terms["loss/latent"].item() == pytest.approx(3 * distance.item(), rel=1e-5)


def test_reconstructor_learns_the_latents_of_samples():
    """Of samples that are turned and stretched latents, F finds the latents: the distance falls to a small part."""
    game = played(**{**TINY, "arch": "mlp:latent=2,width=8,layers=1"}, procedure="veegan:rate=1e-2")
    finder, turned = game.players["reconstructor"], torch.tensor([[1.0, 2.0], [-2.0, 1.0]])

    def distance():
        latent = game.latent(64)
        return game.procedure._distance(game, latent, latent @ turned)

    first = distance().item()
    for step in range(1, 151):
        finder.accumulate({"loss": distance()})
        finder.step(step)
    assert distance().item() < 0.1 * first


@pytest.mark.parametrize("spec", [Spec("points", (2,)), Spec("image", (3, 28, 20)), Spec("image", (1, 4, 4))])
def test_reconstructors_of_any_size(spec):
    assert Reconstructor(spec, 7, 4)(torch.zeros(5, *spec.shape)).shape == (5, 7)


def test_packs_of_samples_beside_their_latents():
    game = played(2, **TINY, procedure="veegan", reg=("packing:count=2",))
    assert game.networks.discriminator.main[0].in_features == 2 * (2 + 3)


# Minibatch discrimination


def test_closeness_follows_the_rows_and_leaves_out_oneself():
    torch.manual_seed(0)
    closeness = Closeness(nn.Linear(6, 4 * 3, bias=False).double(), 4)
    features = torch.randn(5, 6, dtype=DOUBLE)
    order = torch.tensor([3, 0, 4, 1, 2])
    found = closeness(features)
    torch.testing.assert_close(closeness(features[order]), found[order])
    made = closeness.projection(features).detach().reshape(5, 4, 3)
    wanted = [
        [sum(torch.exp(-(made[i, b] - made[j, b]).abs().sum()) for j in range(5) if j != i) for b in range(4)]
        for i in range(5)
    ]
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=DOUBLE))
    assert closeness(features[:1]).abs().max() == 0  # alone, it is close to nobody
    torch.testing.assert_close(closeness(features[:1].expand(5, 6)), torch.full((5, 4), 4.0, dtype=DOUBLE))


def test_closeness_is_added_to_the_score_by_a_linear_layer():
    game = played(**TINY, reg=("minibatch-discrimination:kernels=4,dimensions=2",))
    plain, network = played(**TINY).networks.discriminator, game.networks.discriminator
    x = torch.randn(4, 2)
    wanted = plain(x).value + network.closeness(plain(x).features) @ network.closeness_score.weight[0]
    torch.testing.assert_close(network(x).value, wanted)
    torch.testing.assert_close(copy.deepcopy(network)(x).value, wanted)


def test_minibatch_discrimination_refuses_a_map_of_scores():
    class Patches(nn.Module):
        feature_size = 3

        def forward(self, x, label=None):
            return Scores(torch.zeros(len(x), 1, 2, 2), features=torch.zeros(len(x), 3))

    networks = Networks({}, {"discriminator": Patches()})
    make("minibatch-discrimination").prepare(networks)
    with pytest.raises(UsageError, match=r"\[1, 2, 2\] of them"):
        networks.discriminator(torch.zeros(2, 1, 4, 4))


# Feature matching


def test_feature_matching_is_zero_at_equal_means():
    torch.manual_seed(0)
    real = torch.randn(6, 3, dtype=DOUBLE)
    turned = 2 * real.mean(0) - real
    assert matched(real, turned).item() == pytest.approx(0, abs=1e-25)
    assert matched(real, real + torch.tensor([1.0, -2.0, 0.5])).item() == pytest.approx(5.25)


def test_feature_matching_takes_the_place_of_the_adversarial_loss():
    alone, beside = (played(reg=(f"feature-matching:weight=2,alone={word}",)) for word in ("true", "false"))
    for game, whole in ((alone, False), (beside, True)):
        game.begin(1)
        fake = game.generate(game.latent(4))
        before = copy.deepcopy(game.stream.state())
        terms = game.generator_terms(game.players["generator"], fake)
        game.stream.load(before)
        network = game.networks.discriminator
        apart = network(game.take(4).sample).features.mean(0) - network(fake).features.mean(0)
        adversarial = game.loss.generator(None, network(fake)).mean()
        wanted = 2 * apart.square().sum() + (adversarial if whole else 0)
        torch.testing.assert_close(sum(terms.values()), wanted)


# Historical averaging


def test_historical_average_of_plain_descent():
    """Parameters that take known steps: the penalty is weight |theta_t - mean(theta_1..t)|^2, and its gradient twice
    weight times the difference."""
    theta = nn.Parameter(torch.tensor([1.0, -2.0], dtype=DOUBLE))
    player = SimpleNamespace(name="generator", parameters={"generator.theta": theta})
    part, seen = make("historical-average", weight=0.5), []
    for _ in range(5):
        seen.append(theta.detach().clone())
        value = part.penalty(bare_turn(player=player))
        apart = theta.detach() - torch.stack(seen).mean(0)
        assert value.item() == pytest.approx(0.5 * apart.square().sum().item(), abs=1e-15)
        (gradient,) = torch.autograd.grad(value, theta)
        torch.testing.assert_close(gradient, apart)
        with torch.no_grad():
            theta -= 0.1 * (gradient + theta**2)


def test_history_is_kept_for_each_player():
    state = played(3, reg=("historical-average",)).state()["regularizers"]["historical-average"]
    assert state["counts"] == {"discriminator of discriminator": 3, "generator of discriminator": 3}
    sizes = {name: len(mean) for name, mean in state["means"].items()}
    assert sizes["generator of discriminator"] != sizes["discriminator of discriminator"]


# Virtual batch normalisation


def test_what_is_made_of_a_latent_depends_on_it_and_the_reference_alone():
    game = played(2, **IMAGES, reg=("virtual-batch-norm",))
    latent = game.latent(4)
    for network, x in (
        (game.networks.generator, latent),
        (game.networks.discriminator, game.generate(latent).detach()),
    ):

        def made(rows, network=network):
            given = network(rows)
            return given.value if isinstance(given, Scores) else given

        torch.testing.assert_close(made(x)[:1], made(x[:1]), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(made(torch.cat([x[:1], 9 * x]))[:1], made(x[:1]), rtol=1e-4, atol=1e-5)
        before = made(x)
        network.virtual_reference.batch = 3 * network.virtual_reference.batch.flip(0)
        assert (made(x) - before).abs().max() > 1e-3


def test_virtual_statistics_are_of_the_reference_and_the_sample():
    torch.manual_seed(0)
    game = played(**{**IMAGES, "arch": "mlp:latent=4,width=8,layers=1,norm=batch"}, reg=("virtual-batch-norm",))
    network = game.networks.generator.train()
    reference, x = torch.randn(6, 4), torch.randn(3, 4)
    network.virtual_reference.batch = reference
    first = network.main[0]
    seen = []
    network.main[1].register_forward_hook(lambda module, given, made: seen.append(made.detach()))
    network(x)
    for row, made in zip(first(x), seen[-1], strict=True):
        together = torch.cat([first(reference), row[None]]).detach()
        wanted = (row - together.mean(0)) / (together.var(0, correction=0) + 1e-5).sqrt()
        torch.testing.assert_close(made, wanted.detach(), rtol=1e-4, atol=1e-5)


def test_references_are_the_first_batches_and_stay():
    game = played(**IMAGES, reg=("virtual-batch-norm",))
    assert game.state()["regularizers"]["virtual-batch-norm"] == {}  # two samples were made to look at; no reference
    game.play(1)
    kept = {name: batch.clone() for name, batch in game.state()["regularizers"]["virtual-batch-norm"].items()}
    collection = game.stream.collection
    real = kept["discriminator"]
    assert all(any(torch.equal(one, collection.fetch([i]).sample[0]) for i in range(len(collection))) for one in real)
    game.play(2)
    assert different(kept, game.state()["regularizers"]["virtual-batch-norm"]) == []


def test_networks_without_batch_normalisation_are_refused():
    with pytest.raises(UsageError, match="no batch normalisation"):
        make("virtual-batch-norm").prepare(Networks.pair(nn.Linear(2, 2), nn.Linear(2, 1)))


# Mode seeking


def test_mode_seeking_of_a_linear_generator():
    """G(z) = 3 z has the ratio 3 whatever is drawn; one that makes always the same costs 1e5 times the weight."""
    drawn = {"latent": lambda count: torch.randn(count, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(5))}
    latent = torch.randn(6, 2, dtype=DOUBLE)

    def penalty(generate):
        game = {**drawn, "generate": lambda latent, label: generate(latent)}
        return make("mode-seeking", weight=2.0).penalty(bare_turn(game=game, latent=latent, fake=generate(latent)))

    assert penalty(lambda z: 3 * z).item() == pytest.approx(2 / (3 + 1e-5))
    assert penalty(lambda z: 0 * z + 1).item() == pytest.approx(2e5)


def test_mode_seeking_compares_samples_of_one_class():
    game = played(arch="cgan:form=mlp,latent=3,width=8", reg=("mode-seeking",), data="digits:size=16")
    labels = []
    game.networks.generator.register_forward_pre_hook(lambda network, given: labels.append(given[1]))
    game.play(1)
    *_, turned, other = labels
    assert torch.equal(turned, other)


# The networks of PacGAN, and recipes


def test_mlp_has_pacgans_layers():
    config = resolve(installed(), {"recipe": "pacgan-grid"})
    parts = config.make(installed())
    plan = Plan(spec=Spec("points", (2,)))
    networks = parts.architecture.build(Spec("points", (4,)), plan)
    generator = 2 * 400 + 3 * 400 * 400 + 4 * 2 * 400 + 400 * 4 + 4
    discriminator = (4 + 1) * 1000 + 2 * (200 + 1) * 1000 + 200 + 1
    found = [sum(parameter.numel() for parameter in network.parameters()) for network in networks.all().values()]
    assert found == [generator, discriminator]
    weight = networks.generator.main[3].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not networks.discriminator.main[0].linear.bias.any()


# Continuing


@pytest.mark.parametrize(
    "settings",
    [
        {**TINY, "reg": ("packing:count=2", "historical-average")},
        {**IMAGES, "reg": ("virtual-batch-norm", "historical-average"), "procedure": "adversarial:average=8"},
        {**IMAGES, "reg": ("minibatch-discrimination:kernels=3", "feature-matching", "mode-seeking")},
        {**IMAGES, "procedure": "unrolled:unroll=2,average=8"},
        {**IMAGES, "procedure": "veegan:width=4,average=8"},
    ],
    ids=lambda settings: "+".join([*settings.get("reg", ()), settings.get("procedure", "")]),
)
def test_continues_exactly(settings, tmp_path):
    """Steps 1 to 4 at once, and 1 and 2, then 3 and 4 by a run that was opened again, end in the same bytes."""
    told = {**settings, "quiet": True, "device": "cpu", "workers": 0}
    del told["steps"]
    library.train(**told, steps=4, out=tmp_path / "whole")
    library.train(**told, steps=2, out=tmp_path / "parted")
    library.train(**told, steps=4, out=tmp_path / "parted", sample_every=1, log_every=1)
    whole, parted = (
        (tmp_path / name / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes()
        for name in ("whole", "parted")
    )
    assert whole == parted
    samples = library.load(tmp_path / "whole").sample(5, seed=1)
    assert torch.equal(samples, library.load(tmp_path / "parted").sample(5, seed=1))


def test_virtual_reference_goes_with_the_average():
    """The average is sampled with the reference of the network that it is an average of."""
    game = played(2, **IMAGES, reg=("virtual-batch-norm",), procedure="adversarial:average=8")
    average = game.procedure.average.network
    assert average.virtual_reference is game.networks.generator.virtual_reference
    latent = game.latent(2)
    state = dict(average.named_parameters())
    torch.testing.assert_close(average(latent), functional_call(game.networks.generator.eval(), state, (latent,)))
