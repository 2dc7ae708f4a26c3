"""The same promises on a GPU. Skipped where there is none;
the guard's path without waiting is tested on the CPU too."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

import ganzoo as library
from ganzoo import Optimizer, Player
from ganzoo.errors import NonFiniteError

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is visible to torch")


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
def test_a_bad_update_is_refused_without_waiting_for_the_device(device, optimizer):
    network = nn.Linear(2, 1).to(device)
    player = Player("p", {"net": network}, Optimizer(optimizer, rate=0.1))
    player.may_wait = False
    values = [network.weight.detach().clone()]
    for step, factor in ((1, 1.0), (2, float("nan")), (3, 1.0), (4, float("inf"))):
        lazy = {"penalty/y": network.weight.square().sum()} if step == 3 else {}  # a term in some steps only
        player.accumulate({"loss/x": (network(torch.ones(3, 2, device=device)) * factor).sum(), **lazy})
        player.step(step)
        values.append(network.weight.detach().clone())
    moved = [not torch.equal(before, after) for before, after in pairwise(values)]
    assert moved == [True, False, True, False]
    with pytest.raises(NonFiniteError, match=r"step 2: loss/x and the gradient of net\.weight"):
        player.look()


@needs_cuda
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("loss", ["nonsaturating", "wgan-gp"])
def test_training_sampling_and_continuing(tmp_path, precision, loss):
    def train(steps, out):
        words = {"arch": "dcgan:width=8", "loss": loss, "reg": ("diffaugment", "spectral-norm"), "data": "digits"}
        return library.train(**words, steps=steps, batch=16, device="cuda", precision=precision, quiet=True, out=out)

    train(3, tmp_path / "a")
    run = train(6, tmp_path / "a")
    assert run.steps[-1] == 6
    assert torch.isfinite(run.sample(5, device="cuda")).all()
    torch.testing.assert_close(run.sample(5, device="cuda"), library.load(run.path).sample(5), rtol=0.1, atol=0.1)
