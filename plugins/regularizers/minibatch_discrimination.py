"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 3.2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import Networks, Regularizer, Scores, UsageError, hookimpl
from ganzoo_plugins.regularizers.spectral_norm import normalised_alike


class Closeness(nn.Module):
    """How close each sample's features [N, features] are to those of the others in its batch, [N, kernels].

    Section 3.2: o_b(x_i) = sum over the other j of exp(-|M_ib - M_jb|_1), where M_i = T f(x_i) has `dimensions` numbers
    for each of the kernels b.
    """

    def __init__(self, projection: nn.Module, kernels: int):
        super().__init__()
        self.projection, self.kernels = projection, kernels

    def forward(self, features: Tensor) -> Tensor:
        found: Tensor = self.projection(features).unflatten(1, (self.kernels, -1))
        distances = (found[:, None] - found[None]).abs().sum(3)
        others = 1 - torch.eye(len(found), dtype=distances.dtype, device=distances.device)
        return ((-distances).exp() * others[:, :, None]).sum(1)


class MinibatchDiscrimination(Regularizer):
    """Tells the discriminator how close a sample is to the others of its batch.

    Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen 2016, arXiv:1606.03498, section 3.2: a tensor T turns the
    features that the score is made of into `kernels` vectors; for each, exp(-L1 distance) to those of the other samples
    is summed. Beside the features, these sums go into the last layer, which is linear: so a linear map of them is added
    to the score. Real and fake samples are in batches of their own, and a sample is not close to itself (as in the
    authors' code).

    A score depends on the batch then: parts that need `per_sample_scores` (gradient penalties) do not fit.

    Differs from the paper: none known. Among several processes, each compares within its own share of the batch.

    Args:
        kernels: the paper's B, at least 1.
        dimensions: the paper's C, numbers for each kernel, at least 1.
    """

    name = "minibatch-discrimination"
    paper = "arXiv:1606.03498"
    needs = ("features", "discriminator_turn")
    withdraws = ("per_sample_scores",)
    tiny = {"kernels": 4, "dimensions": 2}

    def __init__(self, kernels: int = 100, dimensions: int = 5):
        if min(kernels, dimensions) < 1:
            raise ValueError("kernels and dimensions must be at least 1")
        self.kernels, self.dimensions = kernels, dimensions

    def prepare(self, networks: Networks) -> None:
        for network in networks.discriminators.values():
            size: Any = network.feature_size
            projection = nn.Linear(size, self.kernels * self.dimensions, bias=False)
            score = nn.Linear(self.kernels, 1, bias=False)
            closeness = Closeness(normalised_alike(projection, network), self.kernels)
            network.add_module("closeness_score", normalised_alike(score, network))
            network.add_module("closeness", closeness)
            network.register_forward_hook(_compare)


def _compare(network: Any, given: tuple[Any, ...], scores: Scores) -> None:
    """After a discriminator's forward. It finds its layers by the network, so that copies of a network use theirs."""
    if scores.value.ndim != 1:
        raise UsageError(
            f"regularizer 'minibatch-discrimination' adds to one score for each sample, and this discriminator gives "
            f"{list(scores.value.shape[1:])} of them; leave out --reg minibatch-discrimination, or choose another "
            "--arch"
        )
    scores.value = scores.value + network.closeness_score(network.closeness(scores.features)).flatten()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(MinibatchDiscrimination)
