"""Salimans et al. 2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 3.1."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl, mean_over_processes


class FeatureMatching(Regularizer):
    """Asks the generator for samples whose features have the mean that those of real samples have.

    Salimans, Goodfellow, Zaremba, Cheung, Radford and Chen 2016, arXiv:1606.03498, section 3.1:
    weight * |mean f(real) - mean f(fake)|^2, where f are the features that the discriminator's score is made of. As
    published it takes the place of the generator's adversarial loss (`alone`): the penalty is then less by that loss,
    so that their sum is the objective. Each time, other real samples are read.

    Differs from the paper: a sum over the features as the equation has it, where the authors' code takes a mean.

    Args:
        weight: at least 0.
        alone: whether the generator minimises this in place of its adversarial loss.
    """

    name = "feature-matching"
    paper = "arXiv:1606.03498"
    needs = ("latent_generator", "features", "adversarial_loss")
    sides = ("generator",)

    def __init__(self, weight: float = 1.0, alone: bool = True):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight, self.alone = weight, alone

    def penalty(self, turn: Turn) -> Tensor:
        assert turn.fake_scores is not None
        batch = turn.game.take(len(turn.fake) * turn.draws.world)
        real = turn.game.score(batch.sample, batch.label, turn.name)
        value = self.weight * matched(real.features, turn.fake_scores.features)
        turn.game.note(f"features/apart{turn.name.removeprefix('discriminator')}", value)
        if not self.alone:
            return value
        return value - turn.game.loss.generator(turn.real_scores, turn.fake_scores).mean()


def matched(real: Tensor | None, fake: Tensor | None) -> Tensor:
    """The squared distance of the means of features [N, features], over all processes; 0 where the means are equal."""
    assert real is not None and fake is not None
    return (mean_over_processes(real.detach().mean(0)) - mean_over_processes(fake.mean(0))).square().sum()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(FeatureMatching)
