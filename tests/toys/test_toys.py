"""What the toy plugins are for: games unlike the usual one are played by the same core,
and what cannot fit is refused."""

from __future__ import annotations

import pytest
import torch

from ganzoo import Draws, Request, UsageError, capabilities, derive
from ganzoo.config import resolve
from ganzoo.game import Game
from ganzoo.registry import installed
from ganzoo.training import build


def play(steps: int = 3, batch: int = 4, **words: object) -> Game:
    """A game after a few steps."""
    config = resolve(installed(), {**words, "batch": batch, "steps": steps})
    parts = config.make(installed())
    capabilities.require(parts, installed())
    with torch.random.fork_rng(devices=[]):
        game = build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)
        for step in range(1, steps + 1):
            game.play(step)
    game.look()
    return game


@pytest.mark.parametrize(
    ("words", "need"),
    [
        ({"arch": "toy-tokens", "reg": ("r1",)}, "smooth_samples"),
        ({"arch": "toy-tokens", "reg": ("gradient-penalty",)}, "smooth_samples"),
        ({"arch": "toy-tokens", "reg": ("diffaugment",)}, "image"),
        ({"arch": "toy-tokens", "procedure": "adversarial"}, "latent_generator"),
        ({"arch": "toy-tokens", "data": "digits"}, "tokens"),
        ({"arch": "mlp", "procedure": "toy-latents", "loss": "hinge"}, "reconstruction_loss"),
        ({"arch": "mlp", "procedure": "toy-latents", "loss": "toy-l2", "reg": ("r1",)}, "discriminator_turn"),
        ({"arch": "mlp", "loss": "toy-l2"}, "adversarial_loss"),
        ({"arch": "mlp", "procedure": "toy-growing"}, "grows"),
        ({"arch": "toy-cycle", "data": "digits"}, "two_domains"),
        ({"arch": "toy-cycle", "procedure": "adversarial"}, "latent_generator"),
        ({"arch": "toy-table", "procedure": "adversarial"}, "latent_generator"),
        ({"arch": "dcgan", "data": "toy-table"}, "image"),
        ({"arch": "mlp", "data": "toy-table"}, "image|points"),
    ],
)
def test_what_cannot_fit_is_refused(words, need):
    with pytest.raises(UsageError, match=rf"needs `{need.replace('|', '[|]')}`") as caught:
        play(**words)
    assert "\n" not in str(caught.value)


def test_cycle_keeps_a_pool_for_each_domain():
    game = play(steps=4, arch="toy-cycle:width=4", procedure="toy-cycle:pool=6")
    pools = {name: pool.pictures for name, pool in game.procedure.pools.items()}
    assert {name: len(pictures) for name, pictures in pools.items()} == {"a": 6, "b": 6}
    made = torch.zeros(4, 1, 16, 16)
    mixed = game.procedure.pools["a"].exchange(made, Draws(1))
    assert 0 < sum(bool(picture.any()) for picture in mixed) < 4
    assert sum(not picture.any() for picture in game.procedure.pools["a"].pictures) == sum(
        bool(picture.any()) for picture in mixed
    )


def test_cycle_logs_every_term_of_both_domains():
    numbers = play(arch="toy-cycle:width=4", reg=("r1",)).numbers()
    terms = (
        "loss/generator",
        "loss/cycle",
        "loss/identity",
        "loss/discriminator",
        "penalty/r1",
        "score/real",
        "score/fake",
    )
    gradients = {f"gradient/{name}" for name in ("generators", "discriminators")}
    assert set(numbers) - gradients == {f"{term}_{domain}" for term in terms for domain in "ab"}
    assert gradients <= set(numbers)


def test_words_are_written_as_often_as_they_are_likely():
    game = play(arch="toy-tokens:width=4")
    writer = game.networks.generator
    with torch.no_grad():
        written = writer(Draws(0).uniform("words", 4000, 6))
        likely = writer.log_likelihood(torch.arange(7)[:, None].expand(7, 6))[:, 0].exp()
    assert likely.sum().item() == pytest.approx(1, abs=1e-5)
    assert torch.bincount(written[:, 0], minlength=7) / 4000 == pytest.approx(likely, abs=0.03)


def test_words_that_are_paid_become_likelier():
    """The discriminator is kept still and likes sentences that begin with one word."""
    game = play(
        steps=1,
        arch="toy-tokens:width=8",
        procedure="toy-policy-gradient:rate=0.02",
        batch=64,
        loss="wgan",
        no_reg=("weight-clip",),
    )
    reader = game.networks.discriminator
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.zero_()
        reader.embedding.weight[3] = 5.0
        reader.out.weight[:, :8] = 1.0

    def begins_with_it() -> float:
        return (game.procedure.sample(game, Request(512))[:, 0] == 3).float().mean().item()

    before = begins_with_it()
    with torch.random.fork_rng(devices=[]):
        for step in range(2, 40):
            game.begin(step)
            for move in game.procedure.moves(game, step):
                if move.player.name == "generator":
                    for terms in move.minimises:
                        move.player.accumulate(terms)
                    move.player.step(step)
    assert begins_with_it() > before + 0.3


def test_latents_stay_in_the_unit_ball_and_move_at_a_rate_of_their_own():
    words = {"arch": "mlp:latent=4,width=8,layers=1", "data": "ring:count=32", "loss": "toy-l2"}
    moved = play(**words, procedure="toy-latents:latent_factor=1000").procedure.codes.values
    assert moved.norm(dim=1).max() <= 1 + 1e-6
    still = play(**words, procedure="toy-latents:latent_factor=0").procedure.codes.values
    start = Draws(0).normal("latent", 32, 4)
    start = start / start.norm(dim=1, keepdim=True).clamp(min=1)
    assert torch.allclose(still, start, atol=1e-6)
    assert not torch.allclose(moved, start, atol=1e-2)


def test_latents_learn_what_they_stand_for():
    game = play(
        steps=300,
        batch=32,
        arch="mlp:latent=2,width=32,layers=1",
        data="ring:count=32",
        loss="toy-l2",
        procedure="toy-latents:rate=0.01",
    )
    assert game.numbers()["loss/generator"] < 0.02


def test_growing_starts_small_with_larger_batches():
    words = {
        "arch": "toy-growing:latent=4,width=4",
        "data": "digits:size=16",
        "procedure": "toy-growing:grow_at=3,fade_steps=2,half_size_batches=3",
    }
    seen = [play(steps=steps, **words) for steps in (2, 3, 4)]
    assert [game.stream.position for game in seen] == [24, 28, 32]
    assert [game.networks.generator.progress for game in seen] == [0, 0.5, 1]
    shapes = [game.generate(game.latent(2)).shape[-1] for game in seen]
    assert shapes == [8, 16, 16]
    assert all(game.procedure.sample(game, Request(2)).shape == (2, 1, 16, 16) for game in seen)


def test_rows_meet_the_condition_that_was_drawn():
    game = play(arch="toy-table:width=4,latent=4", data="toy-table:count=64")
    game.begin(4)
    _, condition = game.procedure._given(game, game.draws, 256, "drawn")
    rows = game.take(256, condition).sample
    assert torch.equal(rows[:, 2:], condition)
    shares, true = condition.mean(0), torch.tensor(game.spec.encoding["counts"]) / 64
    assert shares == pytest.approx(torch.tensor([41, 21, 5]).log() / torch.tensor([41, 21, 5]).log().sum(), abs=0.08)
    assert shares[2] > 2 * true[2]


def test_rows_are_written_with_their_columns():
    game = play(arch="toy-table:width=4,latent=4", data="toy-table:count=64")
    rows = game.parts.dataset.decode(game.procedure.sample(game, Request(5, derive(0, "rows"))), game.spec)
    assert [len(row) for row in rows] == [len(game.spec.encoding["columns"])] * 5
    assert {row[2] for row in rows} <= {"red", "green", "blue"}
