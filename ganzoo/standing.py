"""Standing statistics: what batch normalisation of a sampled generator goes by, over many batches of one generator."""

from __future__ import annotations

import copy

from torch import nn

from . import processes
from .draws import Draws, derive, seed_networks, without_a_trace
from .game import Game, evaluating

_Norm = nn.modules.batchnorm._BatchNorm


def standing_statistics(game: Game, network: nn.Module, batches: int, size: int, truncation: float = 1.0) -> nn.Module:
    """A copy of a latent generator whose batch normalisation has means and variances over so many batches.

    Brock, Donahue and Simonyan 2018, arXiv:1809.11096, appendix C. While a generator trains, its running statistics are
    of many past generators and of whole latents. These are of this one, as it is sampled: the mean over `batches`
    batches of `size` samples of a batch's mean and of its (unbiased) variance, of latents at this truncation and of
    classes that are drawn. They are a function of the weights and the truncation; nothing in the game changes. A
    network without such normalisation is returned itself.
    """
    if not _norms(network):
        return network
    made = copy.deepcopy(network)
    norms = _norms(made)
    # One process samples by itself, so its normalisation must not wait for others.
    with evaluating(made), processes.alone(), without_a_trace(game.device):
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the plain mean over all batches
            norm.train()
        for batch in range(batches):
            _pass(game, made, batch, size, truncation)
    return made.eval()


def _norms(network: nn.Module) -> list[_Norm]:
    """Its batch normalisations that keep statistics."""
    return [module for module in network.modules() if isinstance(module, _Norm) and module.running_mean is not None]


def _pass(game: Game, network: nn.Module, batch: int, size: int, truncation: float) -> None:
    """Make samples of the same latents and classes, whoever asks."""
    draws = Draws(derive(0, "standing", batch), device=game.device)
    seed_networks(derive(0, "standing", batch, "networks"), game.device)
    classes = len(game.spec.classes)
    label = draws.integers("label", size, high=classes) if classes else None
    with game.arithmetic():
        game.parts.architecture.sample(network, game.latent(size, draws), label, truncation)
