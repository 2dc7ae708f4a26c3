"""Odena, Olah and Shlens 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Networks, Plan, Regularizer, Scores, Turn, hookimpl
from ganzoo_plugins.regularizers.spectral_norm import normalised_alike


class AuxiliaryClassifier(Regularizer):
    """Asks the discriminator for the class of what it sees, and the generator for samples whose class it finds.

    Odena, Olah and Shlens 2017, arXiv:1610.09585, equations 2 and 3: a dense layer `class_head` on the features that
    the score is made of gives the log odds of the classes. Both players minimise their cross-entropy with the classes,
    beside their adversarial losses: the discriminator for real and for fake samples (-L_C), the generator for fake
    ones. `cgan` told nothing in its discriminator is the paper's network; `dcgan` and `resnet` get a generator of
    classes by `class-norm`. The log has the share of classes that were found, `accuracy/real` and `accuracy/fake`.

    Differs from the paper: none known.

    Args:
        weight: of the discriminator's cross-entropy, at least 0.
        generator_weight: of the generator's, at least 0.
        fake: whether the discriminator looks for classes of fake samples too, as published.
    """

    name = "ac"
    paper = "arXiv:1610.09585"
    needs = ("labels", "class_generator", "unconditional_features")
    offers = ("class_discriminator",)
    sides: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def __init__(self, weight: float = 1.0, generator_weight: float = 1.0, fake: bool = True):
        if min(weight, generator_weight) < 0:
            raise ValueError("weights must not be negative")
        self.weight, self.generator_weight, self.fake = weight, generator_weight, fake

    def plan(self, plan: Plan) -> None:
        assert plan.spec is not None
        self.classes = len(plan.spec.classes)

    def prepare(self, networks: Networks) -> None:
        for network in networks.discriminators.values():
            size: Any = network.feature_size
            head = nn.Linear(size, self.classes)
            network.add_module("class_head", normalised_alike(head, network))
            network.register_forward_hook(_classify)

    def penalty(self, turn: Turn) -> Tensor:
        fake = _cross_entropy(turn, turn.fake_scores, turn.fake_label, "fake")
        if turn.side == "generator":
            return self.generator_weight * fake
        real = _cross_entropy(turn, turn.real_scores, turn.label, "real")
        return self.weight * (real + fake if self.fake else real)


def _classify(network: Any, given: tuple[Any, ...], scores: Scores) -> None:
    """After a discriminator's forward. It finds the head by the network, so that copies of a network use their own."""
    scores.classes = network.class_head(scores.features)


def _cross_entropy(turn: Turn, scores: Scores | None, label: Tensor | None, kind: str) -> Tensor:
    assert scores is not None and scores.classes is not None and label is not None
    found = (scores.classes.argmax(1) == label).to(scores.value.dtype).mean()
    turn.game.note(f"accuracy/{kind}{turn.name.removeprefix('discriminator')}", found)
    return F.cross_entropy(scores.classes.to(scores.value.dtype), label)


@hookimpl
def register_regularizers(register: Any) -> None:
    register(AuxiliaryClassifier)
