"""Lin, Khetan, Fanti and Oh 2018, PacGAN: The power of two samples in generative adversarial networks,
arXiv:1712.04086."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import Tensor

from ganzoo import Draws, Plan, Regularizer, UsageError, hookimpl


class Packing(Regularizer):
    """Shows the discriminator packs of samples, so that it sees when they are too much alike.

    Lin, Khetan, Fanti and Oh 2018, arXiv:1712.04086, section 3: `count` samples, all real or all fake, become one input
    by joining their channels (pictures) or numbers (points), and get one score. Only the discriminator's first layer
    is wider; a batch makes so many fewer scores. The generator stays as it is. Augmentations that are named after it
    treat a pack as one sample, those before it each sample.

    A score is not of one sample any more, and has no class: parts that need `per_sample_scores` (gradient penalties)
    or `labels` do not fit.

    Differs from the paper: none known.

    Args:
        count: samples in a pack, the paper's m, at least 1; 1 changes nothing. The batch must be a multiple of it.
    """

    name = "packing"
    paper = "arXiv:1712.04086"
    needs = ("image|points|audio|video", "latent_generator")
    withdraws: tuple[str, ...] = ("per_sample_scores", "labels")

    def __init__(self, count: int = 2):
        if count < 1:
            raise ValueError("count must be at least 1")
        self.count = count
        if count == 1:
            self.withdraws = ()

    def plan(self, plan: Plan) -> None:
        judged = plan.spec if plan.judged is None else plan.judged
        assert judged is not None
        if self.count > 1:
            channels, *rest = judged.shape
            plan.judged = dataclasses.replace(judged, shape=(self.count * channels, *rest))

    def augment(self, x: Tensor, draws: Draws) -> Tensor:
        """Samples [N, C, ...] as packs [N / count, count * C, ...]. Raises UsageError where N is no multiple."""
        if self.count == 1:
            return x
        if len(x) % self.count:
            raise UsageError(
                f"regularizer 'packing': {len(x)} samples cannot be cut into packs of {self.count}; say --batch with "
                f"a multiple of {self.count}, for each micro-batch and each process too"
            )
        return x.reshape(len(x) // self.count, self.count * x.shape[1], *x.shape[2:])


@hookimpl
def register_regularizers(register: Any) -> None:
    register(Packing)
