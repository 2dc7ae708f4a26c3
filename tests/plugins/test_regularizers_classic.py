"""R2, DRAGAN, the largest gradient, drift, label smoothing, orthogonal weights, LeCam, consistency and top-k against
closed forms."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganzoo import Draws, Mismatch, Networks, Scores, UsageError, capabilities
from ganzoo.config import resolve
from ganzoo.game import Game, Turn
from ganzoo.registry import installed
from ganzoo.training import build

DOUBLE = torch.float64


def make(name, **options):
    return installed().make("regularizer", name, options)


def loss_of(name):
    return installed().make("loss", name)


def turn(critic, real, fake, side="discriminator", name="discriminator", seed=0, **more):
    """A turn with this function as the discriminator. more: what else the game has."""
    game = SimpleNamespace(step=1, draws=Draws(seed, 1), score=lambda x, label, name: Scores(critic(x)), **more)
    real, fake = real.clone().requires_grad_(), fake.clone().requires_grad_()
    return Turn(game, None, name, side, fake, Scores(critic(fake)), real, Scores(critic(real)))


def played(**asked):
    """A small game of real parts."""
    asked = {"arch": "mlp:latent=4,width=8,layers=1", "data": "digits:size=16", "batch": 4, "steps": 4, **asked}
    config = resolve(installed(), asked)
    parts = config.make(installed())
    capabilities.require(parts, installed())
    with torch.random.fork_rng(devices=[]):
        return build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("r2", {"gamma": -1}),
        ("r2", {"every": 0}),
        ("dragan", {"weight": -1}),
        ("dragan", {"spread": 0}),
        ("dragan", {"every": 0}),
        ("max-gradient-penalty", {"weight": -1}),
        ("max-gradient-penalty", {"every": 0}),
        ("drift", {"weight": -1}),
        ("label-smoothing", {"amount": 1}),
        ("label-smoothing", {"amount": -0.1}),
        ("orthogonal", {"weight": -1}),
        ("lecam", {"weight": -1}),
        ("lecam", {"decay": 1}),
        ("consistency", {"weight": -1}),
        ("consistency", {"shift": -1}),
        ("consistency", {"deviation": 0}),
        ("consistency", {"mirror": "false", "shift": 0}),
        ("top-k", {"decay": 0}),
        ("top-k", {"share": 1.1}),
        ("top-k", {"epoch": -1}),
    ],
)
def test_options_out_of_range_are_refused(name, options):
    with pytest.raises(UsageError, match=name):
        make(name, **options)


# R2


def test_r2_of_a_quadratic_critic():
    """D = x'Ax / 2 with A symmetric: gamma / 2 * mean |Ax|^2 of fakes; in expectation with tr(A^2 S) + |Am|^2."""
    torch.manual_seed(0)
    a = torch.randn(3, 3, dtype=DOUBLE)
    a = a + a.T
    mean = torch.tensor([1.0, -2.0, 0.5], dtype=DOUBLE)
    x = torch.randn(200_000, 3, dtype=DOUBLE) + mean
    value = make("r2", gamma=3.0).penalty(turn(lambda x: ((x @ a) * x).sum(1) / 2, 100 * x, x))
    assert value.item() == pytest.approx(1.5 * (x @ a).square().sum(1).mean().item(), rel=1e-12)
    assert value.item() == pytest.approx(1.5 * ((a @ a).trace() + (a @ mean).square().sum()).item(), rel=0.01)


def test_r1_and_r2_are_twins():
    torch.manual_seed(0)
    critic, x, y = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)), torch.randn(5, 3), torch.randn(5, 3)
    one, other = (turn(lambda x: critic(x).flatten(), *pair) for pair in ((x, y), (y, x)))
    assert make("r1").penalty(one).item() == make("r2").penalty(other).item() > 0


# DRAGAN


@pytest.mark.parametrize("shape", [(6, 3), (6, 2, 4, 4)])
@pytest.mark.parametrize(("weight", "center"), [(10.0, 1.0), (0.1, 0.0)])
def test_dragan_of_a_linear_critic(shape, weight, center):
    """weight * (|w| - center)^2, gradient 2 weight (|w| - center) w / |w|, whatever the samples."""
    torch.manual_seed(1)
    w = torch.randn(shape[1:], dtype=DOUBLE, requires_grad=True)
    now = turn(lambda x: (x * w).flatten(1).sum(1), torch.randn(shape, dtype=DOUBLE), torch.randn(shape, dtype=DOUBLE))
    value = make("dragan", weight=weight, center=center).penalty(now)
    norm = w.detach().norm()
    assert value.item() == pytest.approx(weight * (norm.item() - center) ** 2, rel=1e-12)
    torch.testing.assert_close(torch.autograd.grad(value, w)[0], 2 * weight * (norm - center) * w.detach() / norm)


def test_dragan_looks_near_real_samples():
    """At x + spread * the batch's deviation * numbers from 0 to 1; fakes play no part."""
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.sum(1)

    torch.manual_seed(0)
    real = 3 * torch.randn(2000, 2)
    make("dragan", spread=0.25).penalty(turn(critic, real, torch.full((2000, 2), 1e6)))
    share = (seen[-1] - real) / (0.25 * real.std(correction=0))
    assert -1e-4 <= share.min() < 0.01 and 0.99 < share.max() <= 1 + 1e-4
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)


# The largest gradient


def test_max_gradient_penalty_of_a_linear_critic():
    w = torch.tensor([3.0, -4.0], dtype=DOUBLE, requires_grad=True)
    value = make("max-gradient-penalty", weight=0.5).penalty(
        turn(lambda x: x @ w, torch.randn(5, 2, dtype=DOUBLE), torch.randn(5, 2, dtype=DOUBLE))
    )
    assert value.item() == pytest.approx(12.5)
    assert torch.autograd.grad(value, w)[0].tolist() == pytest.approx([3.0, -4.0])


def test_max_gradient_penalty_is_the_largest_of_the_batch():
    """D = |x|^2 / 2 has the gradient x: the penalty is the largest |x|^2 between real and fake."""
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().sum(1) / 2

    torch.manual_seed(0)
    real, fake = torch.zeros(50, 2, dtype=DOUBLE), torch.randn(50, 2, dtype=DOUBLE)
    value = make("max-gradient-penalty").penalty(turn(critic, real, fake))
    assert value.item() == pytest.approx(seen[-1].square().sum(1).max().item())
    share = seen[-1] / fake
    torch.testing.assert_close(share[:, 0], share[:, 1])  # on the lines between pairs
    assert 0 <= share.min() < 0.1 and 0.9 < share.max() <= 1


# What the penalties on gradients have in common


@pytest.mark.parametrize("name", ["r1", "r2", "gradient-penalty", "dragan", "max-gradient-penalty"])
def test_lazy_penalties_keep_their_weight(name):
    """Over 16 steps, what a lazy penalty adds equals what the eager one adds."""
    w = torch.tensor([2.0, 1.0], requires_grad=True)
    now = turn(lambda x: x @ w, torch.randn(4, 2), torch.randn(4, 2))
    totals = []
    for every in (1, 16):
        game = SimpleNamespace(regularizers=[make(name, every=every)])
        game._due = lambda side, game=game: Game._due(game, side)
        total = 0.0
        for game.step in range(1, 17):
            total += sum(value.item() for value in Game.penalties(game, now).values())
        totals.append(total)
    assert totals[0] == pytest.approx(totals[1])


@pytest.mark.parametrize(("name", "wanted"), [("r2", 0.0), ("dragan", 10.0), ("max-gradient-penalty", 0.0)])
@pytest.mark.parametrize("batch", [1, 4])
def test_a_constant_critic_has_a_finite_gradient(name, wanted, batch):
    w = torch.zeros(3, requires_grad=True)
    value = make(name).penalty(turn(lambda x: x @ w + 7, torch.randn(batch, 3), torch.randn(batch, 3)))
    assert value.item() == pytest.approx(wanted)
    assert torch.isfinite(torch.autograd.grad(value, w)[0]).all()


@pytest.mark.parametrize("name", ["drift", "label-smoothing", "lecam", "top-k", "consistency"])
@pytest.mark.parametrize("scale", [0.0, 1e4])
def test_penalties_on_scores_are_finite_at_large_scores(name, scale):
    w = torch.tensor(scale, requires_grad=True)
    pictures = torch.rand(2, 4, 1, 6, 6)
    options = {"form": "bcr"} if name == "consistency" else {}
    more = {"loss": loss_of("nonsaturating"), "data_size": 8, "batch": 4}
    value = make(name, **options).penalty(turn(lambda x: w * x.flatten(1).sum(1), *pictures, **more))
    assert torch.isfinite(value)
    assert torch.isfinite(torch.autograd.grad(value, w)[0])


# Drift and label smoothing


def test_drift():
    now = turn(lambda x: x.sum(1), torch.tensor([[1.0], [-2.0]]), torch.tensor([[50.0], [70.0]]))
    assert make("drift").penalty(now).item() == pytest.approx(0.0025)
    assert make("drift", weight=2).penalty(now).item() == pytest.approx(5.0)


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_label_smoothing_is_the_cross_entropy_with_a_target_of_nine_tenths(loss):
    real, fake = torch.tensor([1.0, -2.0], dtype=DOUBLE), torch.tensor([0.5, 3.0], dtype=DOUBLE)
    now = turn(lambda x: x, real, fake)
    value = loss_of(loss).discriminator(now.real_scores, now.fake_scores).mean() + make("label-smoothing").penalty(now)
    by_real, by_fake = torch.autograd.grad(value, (now.real, now.fake))
    assert value.item() == pytest.approx(3.181427, abs=1e-6)
    assert by_real.tolist() == pytest.approx((-0.084471, -0.390399), abs=1e-6)
    assert by_fake.tolist() == pytest.approx((0.311230, 0.476287), abs=1e-6)
    one, nought = torch.full_like(real, 0.9), torch.zeros_like(fake)
    wanted = F.binary_cross_entropy_with_logits(real, one) + F.binary_cross_entropy_with_logits(fake, nought)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-12)


@pytest.mark.parametrize("loss", ["hinge", "lsgan", "wgan", "wgan-gp", "relativistic", "relativistic-average", "f-gan"])
def test_label_smoothing_is_refused_where_scores_are_not_log_odds(loss):
    with pytest.raises(Mismatch, match=r"needs `logistic_loss` .*What would fit: losses minimax, nonsaturating"):
        played(loss=loss, reg=("label-smoothing",))


# Orthogonal weights


def orthogonal(network, side="generator", **options):
    networks = Networks({"generator": network}, {"discriminator": network})
    game = SimpleNamespace(networks=networks)
    return make("orthogonal", side=side, **options).penalty(Turn(game, None, "discriminator", side, torch.zeros(1)))


def as_matrix(layer, value):
    """(outputs, all the rest)."""
    return (value.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else value).flatten(1)


LAYERS = [nn.Linear(7, 5), nn.Conv2d(4, 8, 3), nn.ConvTranspose2d(4, 8, 3), nn.ConvTranspose2d(8, 4, 3)]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("side", ["generator", "discriminator"])
def test_gradient_of_the_orthogonal_penalty(layer, side):
    layer = layer.double()
    value = orthogonal(nn.Sequential(layer, nn.ReLU()), side=side, weight=0.5)
    (gradient,) = torch.autograd.grad(value, layer.weight)
    w = as_matrix(layer, layer.weight.detach())
    off = (w @ w.T) * (1 - torch.eye(len(w), dtype=DOUBLE))
    assert value.item() == pytest.approx(0.5 * off.square().sum().item())
    torch.testing.assert_close(as_matrix(layer, gradient), 0.5 * 4 * off @ w)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_rows_at_right_angles_cost_nothing_whatever_their_lengths(layer):
    layer = layer.double()
    shape = as_matrix(layer, layer.weight).shape
    rows = torch.linalg.qr(torch.randn(shape[::-1], dtype=DOUBLE))[0].T * torch.arange(1, shape[0] + 1)[:, None]
    with torch.no_grad():
        as_rows = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
        as_rows.copy_(rows.reshape(as_rows.shape))
    value = orthogonal(nn.Sequential(layer), weight=1)
    assert value.item() == pytest.approx(0, abs=1e-20)
    assert torch.autograd.grad(value, layer.weight)[0].abs().max() < 1e-10


def test_orthogonal_penalty_leaves_embeddings_and_vectors_out():
    linear = nn.Linear(3, 2)
    network = nn.Sequential(nn.Embedding(4, 3), linear, nn.BatchNorm1d(2))
    assert orthogonal(network).item() == orthogonal(nn.Sequential(linear)).item() > 0
    assert orthogonal(nn.Sequential(nn.Embedding(4, 3), nn.PReLU())).item() == 0


def test_orthogonal_penalty_under_spectral_norm_looks_at_the_learnt_weight():
    network = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3))
    with torch.no_grad():
        network[1].weight *= 5
    before, learnt = orthogonal(network).item(), network[1].weight
    make("spectral-norm").prepare(Networks({}, {"discriminator": network}))
    vectors = {name: value.clone() for name, value in network.named_buffers()}
    value = orthogonal(network)
    assert value.item() == pytest.approx(before)
    assert torch.autograd.grad(value, learnt)[0].abs().max() > 0
    assert all(torch.equal(vectors[name], now) for name, now in network.named_buffers())


@pytest.mark.parametrize("names", [("_a", "_b"), ("_0", "_1", "_2"), ("",)])
@pytest.mark.parametrize("paired", [True, False])
def test_orthogonal_penalty_counts_a_generator_once(names, paired):
    """Over the turns of a move, each network is counted once: a generator of its own or one for all discriminators."""
    generators = {f"generator{name}" if paired else "generator": nn.Linear(3, 2) for name in names}
    discriminators = {f"discriminator{name}": nn.Linear(2, 4) for name in names}
    part, game = make("orthogonal", side="both"), SimpleNamespace(networks=Networks(generators, discriminators))
    for side, networks in (("generator", generators), ("discriminator", discriminators)):
        total = sum(part.penalty(Turn(game, None, name, side, torch.zeros(1))).item() for name in discriminators)
        assert total == pytest.approx(sum(orthogonal(nn.Sequential(network)).item() for network in networks.values()))


def test_orthogonal_penalty_is_computed_on_the_side_that_was_asked():
    for side, wanted in (("generator", {"generator"}), ("discriminator", {"discriminator"})):
        part = make("orthogonal", side=side)
        assert (set(part.sides), part.needs) == (wanted, (f"{side}_turn",))
    assert set(make("orthogonal", side="both").needs) == {"generator_turn", "discriminator_turn"}
    for side in ("generator", "discriminator", "both"):
        game, seen = played(reg=(f"orthogonal:side={side}",)), set()
        game.begin(1)
        for move in game.procedure.moves(game, 1):
            seen |= {move.player.name for terms in move.minimises if "penalty/orthogonal" in terms}
        assert seen == ({"generator", "discriminator"} if side == "both" else {side})


# LeCam


def test_lecam_by_hand():
    """Anchors begin at the first means, then keep 3/4 of what they were; each discriminator has its own."""
    part = make("lecam", weight=2, decay=0.75)

    def penalty(real, fake, name="discriminator"):
        now = turn(lambda x: x, torch.tensor(real), torch.tensor(fake), name=name)
        value = part.penalty(now)
        return value.item(), *(found.tolist() for found in torch.autograd.grad(value, (now.real, now.fake)))

    # anchors: real 2, fake -1
    value, by_real, by_fake = penalty([1.0, 3.0], [-1.0, -1.0])
    assert value == pytest.approx(2 * ((4 + 16) / 2 + 9))
    assert by_real == pytest.approx([4.0, 8.0])  # 2 weight (real - anchor of fake) / N
    assert by_fake == pytest.approx([-6.0, -6.0])
    # anchors: real 3/4 * 2 + 1/4 * 6 = 3, fake 3/4 * -1 + 1/4 * 3 = 0
    assert penalty([6.0, 6.0], [3.0, 3.0])[0] == pytest.approx(2 * 36)
    assert penalty([5.0], [4.0], "discriminator_b")[0] == pytest.approx(2 * (1 + 1))
    state = part.state()
    assert {name: {side: value.item() for side, value in found.items()} for name, found in state.items()} == {
        "discriminator": {"real": 3.0, "fake": 0.0},
        "discriminator_b": {"real": 5.0, "fake": 4.0},
    }
    other = make("lecam", weight=2, decay=0.75)
    other.load(state)
    part, first = other, penalty([1.0], [2.0])
    assert first[0] == pytest.approx(2 * ((1 - 0.5) ** 2 + (2 - 2.5) ** 2))
    assert state["discriminator"]["real"].item() == 3.0  # a state that was handed out does not move


def test_lecam_keeps_its_anchors_with_the_game():
    game = played(reg=("lecam",))
    assert game.state()["regularizers"]["lecam"] == {}
    game.play(1)
    first = game.state()["regularizers"]["lecam"]["discriminator"]
    game.play(2)
    second = game.state()["regularizers"]["lecam"]["discriminator"]
    assert set(first) == {"real", "fake"}
    for side in ("real", "fake"):
        scores = game.numbers()[f"score/{side}"]
        assert second[side].item() == pytest.approx(0.99 * first[side].item() + 0.01 * scores, rel=1e-4)


# Consistency


def test_consistency_augmentation_is_a_reflected_crop():
    """Each picture is one of the crops of its reflected border, half of them mirrored, and all 9 x 9 x 2 occur."""
    from ganzoo_plugins.regularizers.consistency import augmented

    torch.manual_seed(0)
    picture = torch.randn(1, 2, 12, 11)
    made = augmented(picture.expand(4000, -1, -1, -1), Draws(0, 1), mirror=True, shift=4)
    border = F.pad(picture[0], (4, 4, 4, 4), mode="reflect")
    counts = {}
    for down in range(9):
        for right in range(9):
            crop = border[:, down : down + 12, right : right + 11]
            for turned in (False, True):
                same = (made == (crop.flip(2) if turned else crop)).flatten(1).all(1)
                counts[down, right, turned] = int(same.sum())
    assert min(counts.values()) > 0
    assert sum(counts.values()) == 4000
    mirrored = sum(count for (_, _, turned), count in counts.items() if turned)
    assert mirrored / 4000 == pytest.approx(0.5, abs=0.03)


def test_consistency_augmentation_of_small_pictures_and_without_changes():
    from ganzoo_plugins.regularizers.consistency import augmented

    x = torch.rand(5, 3, 2, 1)
    assert augmented(x, Draws(0, 1), mirror=True, shift=4).shape == x.shape
    assert torch.equal(augmented(x, Draws(0, 1), mirror=False, shift=0), x)


def test_consistency_of_an_invariant_critic_is_zero():
    torch.manual_seed(0)
    pictures = torch.rand(2, 6, 1, 8, 8, dtype=DOUBLE)
    brightness = turn(lambda x: x.flatten(1).sum(1), *pictures)
    assert make("consistency", form="bcr", shift=0).penalty(brightness).item() == pytest.approx(0, abs=1e-20)
    assert make("consistency", form="bcr").penalty(brightness).item() > 0
    corner = turn(lambda x: x[:, 0, 0, 0], *pictures)
    assert make("consistency", form="bcr", shift=0).penalty(corner).item() > 0
    even = turn(lambda x: x[:, 0, 0, 0], *pictures[..., :1, :1].expand_as(pictures))
    assert make("consistency", form="bcr").penalty(even).item() == 0


def test_consistency_of_a_corner():
    """The critic sees the pixel in the corner: of the mirrored half it sees the other corner."""
    pictures = torch.zeros(2, 4000, 1, 3, 3)
    pictures[0, :, :, 0, 0], pictures[1, :, :, 0, 0] = 2.0, 3.0
    now = turn(lambda x: x[:, 0, 0, 0], *pictures)
    assert make("consistency", form="cr", weight=1, shift=0).penalty(now).item() == pytest.approx(4 / 2, rel=0.05)
    assert make("consistency", form="bcr", weight=2, shift=0).penalty(now).item() == pytest.approx(4 + 9, rel=0.05)


def latent_turn(side, told=True):
    """G(z) = g z as pictures of one pixel, D(x) = d x."""
    torch.manual_seed(0)
    g, d = (torch.tensor(value, dtype=DOUBLE, requires_grad=True) for value in (3.0, 2.0))
    latent = torch.randn(500, 1, dtype=DOUBLE)

    def generate(latent, label=None, name="generator"):
        return (g * latent)[:, :, None, None]

    fake = generate(latent)
    now = turn(
        lambda x: d * x.flatten(1).sum(1),
        fake.detach(),
        fake.detach(),
        side,
        generate=generate,
        latent=lambda n: latent,
    )
    if side == "generator":
        now.fake = fake
    now.latent = latent if told else None
    return now, g, d


@pytest.mark.parametrize("told", [True, False], ids=["latent told", "latent drawn"])
def test_latent_consistency_reaches_the_side_that_moves(told):
    """d g noise is what the scores differ by, and g noise what the samples do."""
    noise = 0.25 * Draws(0, 1).normal("consistency latent", 500, 1).double()
    part = make("consistency", form="zcr", latent_weight=5, generator_weight=0.5, deviation=0.25)
    now, g, d = latent_turn("discriminator", told)
    value = part.penalty(now)
    assert value.item() == pytest.approx(5 * 36 * noise.square().mean().item())
    by_generator, by_discriminator = torch.autograd.grad(value, (g, d), allow_unused=True)
    assert by_generator is None
    assert by_discriminator.item() == pytest.approx(5 * 36 * noise.square().mean().item())  # 2 value / d
    now, g, d = latent_turn("generator", told)
    value = part.penalty(now)
    assert value.item() == pytest.approx(-0.5 * 9 * noise.square().mean().item())
    by_generator, by_discriminator = torch.autograd.grad(value, (g, d), allow_unused=True)
    assert by_discriminator is None
    assert by_generator.item() == pytest.approx(2 * value.item() / 3)


def test_icr_is_bcr_and_zcr():
    values = {}
    for form in ("bcr", "zcr", "icr"):
        now, _, _ = latent_turn("discriminator")
        now.fake = torch.arange(8.0, dtype=DOUBLE).reshape(1, 1, 2, 4).expand(500, -1, -1, -1)
        values[form] = make("consistency", form=form).penalty(now).item()
    assert values["icr"] == pytest.approx(values["bcr"] + values["zcr"])


def test_forms_of_consistency_ask_for_what_they_use():
    for form in ("cr", "bcr"):
        part = make("consistency", form=form)
        assert part.sides == ("discriminator",)
        assert set(part.needs) == {"image", "discriminator_turn"}
    for form in ("zcr", "icr"):
        part = make("consistency", form=form)
        assert set(part.sides) == {"discriminator", "generator"}
        assert set(part.needs) == {"image", "latent_generator", "discriminator_turn", "generator_turn"}
    with pytest.raises(Mismatch, match="needs `latent_generator`"):
        played(arch="toy-cycle", data="toy-domains", reg=("consistency:form=zcr",))
    played(arch="toy-cycle", data="toy-domains", reg=("consistency:form=bcr",)).play(1)


# Top-k


def top_k(scores, step=1, loss="wgan", real=None, **options):
    """The generator's loss, the penalty, and their sum's gradient, at these scores."""
    scores = torch.tensor(scores, dtype=DOUBLE, requires_grad=True)
    real = None if real is None else Scores(torch.tensor(real, dtype=DOUBLE))
    game = SimpleNamespace(step=step, loss=loss_of(loss), data_size=64, batch=8)
    now = Turn(game, None, "discriminator", "generator", scores, Scores(scores), None, real)
    plain = game.loss.generator(real, now.fake_scores).mean()
    penalty = make("top-k", **options).penalty(now)
    return plain.item(), penalty.item(), torch.autograd.grad(plain + penalty, scores)[0].tolist()


def test_top_k_with_the_whole_batch_is_plain():
    _, penalty, gradient = top_k([0.1, 3.0, -2.0, 0.7], share=1.0, step=10_000)
    assert penalty == 0
    assert gradient == [-0.25] * 4
    assert top_k([0.1, 3.0, -2.0, 0.7], step=8)[1] == 0  # the first epoch: 64 samples, 8 a step


def test_top_k_of_one_takes_the_best():
    plain, penalty, gradient = top_k([0.1, 3.0, -2.0, 0.7], share=0.01, decay=0.1, epoch=1, step=9)
    assert plain + penalty == pytest.approx(-3.0)
    assert gradient == pytest.approx([0, -1, 0, 0])


@pytest.mark.parametrize("loss", ["nonsaturating", "lsgan", "relativistic"])
def test_top_k_is_the_mean_loss_of_the_best(loss):
    fake, real = [0.1, 3.0, -2.0, 0.7], [1.0, -1.0, 0.5, 2.0]
    plain, penalty, gradient = top_k(fake, loss=loss, real=real, decay=0.5, epoch=1, step=2)
    best = [1, 3]  # places of the two highest scores, whatever they cost
    scores = torch.tensor(fake, dtype=DOUBLE, requires_grad=True)
    wanted = loss_of(loss).generator(Scores(torch.tensor(real, dtype=DOUBLE)), Scores(scores))[best].mean()
    assert plain + penalty == pytest.approx(wanted.item())
    assert gradient == pytest.approx(torch.autograd.grad(wanted, scores)[0].tolist())


def test_top_k_of_maps_counts_a_sample_by_its_mean():
    maps = torch.tensor([0.0, 2.0, 1.0, -1.0]).reshape(4, 1, 1, 1) + torch.tensor([-3.0, 0.0, 3.0, 0.0]).reshape(
        1, 1, 2, 2
    )
    plain, penalty, gradient = top_k(maps.tolist(), decay=0.5, epoch=1, step=2)
    assert plain + penalty == pytest.approx(-1.5)
    assert torch.tensor(gradient).flatten(1).sum(1).tolist() == pytest.approx([0, -0.5, -0.5, 0])


@pytest.mark.parametrize(
    ("step", "options", "wanted"),
    [
        (1, {}, 64),
        (8, {}, 64),
        (9, {}, 64),  # 63.36
        (17, {}, 63),  # 62.73
        (8 * 69, {}, 33),  # 64 * 0.99^68 = 32.31
        (8 * 70 + 1, {}, 32),
        (10**6, {}, 32),
        (10**6, {"share": 0.1}, 7),
        (11, {"decay": 0.5, "epoch": 10}, 32),
        (10, {"decay": 0.5, "epoch": 10}, 64),
    ],
)
def test_annealing_of_top_k(step, options, wanted):
    game = SimpleNamespace(step=step, data_size=64, batch=8)
    assert make("top-k", **options).kept(SimpleNamespace(game=game, step=step), 64) == wanted


# Spectral normalisation: its vectors are part of a run's state


@pytest.mark.parametrize("side", ["discriminator", "generator", "both"])
def test_the_vectors_of_spectral_norm_are_in_the_state(side):
    game = played(reg=(f"spectral-norm:side={side},iterations=2",))
    networks = game.state()["networks"]
    found = {name for name, values in networks.items() if any(key.endswith("_u") for key in values)}
    assert found == ({"discriminator", "generator"} if side == "both" else {side})
    first = {key: value.clone() for key, value in networks[next(iter(found))].items() if key.endswith("_u")}
    game.play(1)
    networks = game.state()["networks"]
    assert any(not torch.equal(value, networks[next(iter(found))][key]) for key, value in first.items())
