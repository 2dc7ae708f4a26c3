"""Miyato and Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ganzoo import Networks, Plan, Regularizer, Scores, UsageError, hookimpl
from ganzoo_plugins.regularizers.spectral_norm import normalised_alike


class Projection(Regularizer):
    """Tells the discriminator the class by a vector for each, whose product with the features is added to the score.

    Miyato and Koyama 2018, arXiv:1802.05637, equation 4: score + <v(y), features>, the features being those that the
    score is made of. Two classes' scores of one sample so differ by <v(y1) - v(y2), features>. The vectors begin as
    Xavier's uniform numbers, as in the authors' code, and are normalised with `spectral-norm` in the run, named before
    or after, as published. `biggan` and `sagan` have this form by themselves.

    Differs from the paper: none known.
    """

    name = "projection"
    paper = "arXiv:1802.05637"
    needs = ("labels", "class_generator", "features", "unconditional_score", "discriminator_turn")
    offers = ("class_discriminator",)

    def plan(self, plan: Plan) -> None:
        assert plan.spec is not None
        self.classes = len(plan.spec.classes)

    def prepare(self, networks: Networks) -> None:
        for network in networks.discriminators.values():
            size: Any = network.feature_size
            vectors = nn.Embedding(self.classes, size)
            nn.init.xavier_uniform_(vectors.weight)
            network.add_module("projected_classes", normalised_alike(vectors, network))
            network.register_forward_hook(_project)


def _project(network: Any, given: tuple[Any, ...], scores: Scores) -> None:
    """After a discriminator's forward. It finds the vectors by the network, so that copies of a network use theirs."""
    if scores.value.ndim != 1:
        raise UsageError(
            f"regularizer 'projection' adds to one score for each sample, and this discriminator gives "
            f"{list(scores.value.shape[1:])} of them; leave out --reg projection, or choose another --arch"
        )
    product: Tensor = network.projected_classes(given[1]) * scores.features
    scores.value = scores.value + product.sum(1)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(Projection)
