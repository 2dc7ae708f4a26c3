"""Players move their own parameters only; averages have their half-life; random numbers are a function of their key."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo import Average, Draws, Optimizer, Player
from ganzoo.player import OptimizerName


def linear(seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def test_gradients_reach_the_players_own_parameters_only():
    mine, other = linear(0), linear(1)
    player = Player("mine", {"net": mine}, Optimizer())
    player.accumulate({"loss": other(mine(torch.ones(4, 3)) @ torch.ones(2, 3)).sum()})
    assert all(parameter.grad is None for parameter in other.parameters())
    assert all(parameter.grad is not None for parameter in mine.parameters())
    player.step(1)
    assert all(parameter.grad is None for parameter in mine.parameters())


def test_micro_batches_sum_to_the_batch():
    x = torch.randn(8, 3)
    networks = []
    for pieces in (1, 4):
        network = linear()
        player = Player("p", {"net": network}, Optimizer("sgd", rate=0.1))
        for piece in x.chunk(pieces):
            player.accumulate({"loss": network(piece).square().mean() / pieces})
        player.step(1)
        networks.append(network)
        assert player.logged["loss"].item() == pytest.approx(linear()(x).square().mean().item(), rel=1e-5)
    torch.testing.assert_close(*[network.weight for network in networks])


@pytest.mark.parametrize("name", OptimizerName.__args__)
def test_optimizers_are_torchs(name):
    """The same updates as torch's own optimizer in its plainest form."""
    plain = {
        "adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01, betas=(0.3, 0.9)),
        "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=0.01, momentum=0.2),
        "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=0.2),
    }[name]
    ours, theirs = linear(), linear()
    player = Player("p", {"net": ours}, Optimizer(name, rate=0.01, beta1=0.3, beta2=0.9, momentum=0.2))
    optimizer = plain(theirs.parameters())
    for step in range(1, 6):
        x = torch.full((2, 3), float(step))
        player.accumulate({"loss": ours(x).square().sum()})
        player.step(step)
        optimizer.zero_grad()
        theirs(x).square().sum().backward()
        optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-7)


def test_schedule_and_rates_by_module():
    fast, slow = linear(), linear()
    player = Player(
        "p",
        {"fast": fast, "slow": slow},
        Optimizer("sgd", rate=1.0),
        rates={"fast": 3.0},
        schedule=lambda step: 0.5**step,
    )
    player.accumulate({"loss": fast.bias.sum() + slow.bias.sum()})
    player.step(2)
    assert (linear().bias - fast.bias).tolist() == pytest.approx([0.75, 0.75])
    assert (linear().bias - slow.bias).tolist() == pytest.approx([0.25, 0.25])


def test_clipping_by_the_norm_of_the_whole_gradient():
    network = linear()
    player = Player("p", {"net": network}, Optimizer("sgd", rate=1.0), clip_norm=0.5)
    player.accumulate({"loss": 100 * network(torch.ones(1, 3)).sum()})
    player.step(1)
    moved = torch.cat([(a - b).flatten() for a, b in zip(linear().parameters(), network.parameters(), strict=True)])
    assert moved.norm().item() == pytest.approx(0.5, rel=1e-4)


def test_half_life_of_the_average():
    """After `half_life` samples the first weight counts exactly half, in whatever steps they came;
    buffers are copied."""
    for count in (1, 50, 100):
        network = nn.BatchNorm1d(2)
        average = Average(network, half_life=100)
        with torch.no_grad():
            network.weight.zero_()
            network.running_mean.fill_(7)
        for seen in range(count, 101, count):
            average.update(network, count, seen)
        assert average.network.weight.tolist() == pytest.approx([0.5, 0.5], rel=1e-5)
        assert average.network.running_mean.tolist() == [7, 7]
        assert not average.network.training


def test_ramp_of_the_average():
    """Early on the half-life is a share of the samples seen: 0.05 * 40 = 2 samples, so one step of 2 halves."""
    network = linear()
    average = Average(network, half_life=1000, ramp=0.05)
    before = network.weight.clone()
    with torch.no_grad():
        network.weight.zero_()
    average.update(network, 2, 40)
    torch.testing.assert_close(average.network.weight, before / 2)


def test_draws_are_a_function_of_seed_purpose_step_and_turn():
    def draw(seed=0, step=1, purpose="a"):
        return Draws(seed, step).normal(purpose, 4, 2)

    assert torch.equal(draw(), draw())
    others = [draw(seed=1), draw(step=2), draw(purpose="b")]
    draws = Draws(0, 1)
    first, second = draws.normal("a", 4, 2), draws.normal("a", 4, 2)
    assert torch.equal(first, draw())
    assert all(not torch.equal(first, other) for other in [*others, second])


def test_draws_are_made_for_the_whole_batch_and_sliced_by_rank():
    whole = Draws(0, 1)
    parts = [Draws(0, 1, rank=rank, world=3) for rank in range(3)]
    for name, arguments in (
        ("normal", {}),
        ("uniform", {"low": -2.0, "high": 5.0}),
        ("integers", {"low": -3, "high": 9}),
    ):
        together = torch.cat([getattr(part, name)("x", 2, 5, **arguments) for part in parts])
        assert torch.equal(together, getattr(whole, name)("x", 6, 5, **arguments))
