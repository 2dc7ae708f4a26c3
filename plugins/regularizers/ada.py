"""Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Draws, Regularizer, Turn, hookimpl, mean_over_processes
from ganzoo_plugins.regularizers.ada_transforms import COLUMNS, Chances, add_noise, cut, move, recolor, refilter

Transforms = Literal["blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc"]
_GROUPS = ("blit", "geom", "color", "filter", "noise", "cutout")


class ADA(Regularizer):
    """Augments what the discriminator sees, the more the better it knows the real samples.

    Karras et al. 2020, arXiv:2006.06676, sections 2 and 3 and appendix B (adaptive discriminator augmentation): real
    and fake pictures go through up to 18 transformations in a fixed order, each with the probability p. p begins at 0
    and moves so that r_t = mean(sign(D(real))) stays at the target: after every four batches it grows, or falls, by
    what would bring it from 0 to 1 in 500 thousand real samples. p is logged as `ada/p`, and part of the state.

    Differs from the paper: pictures go on beyond their edges as in endless mirrors, where the authors' code pads by
    as much as the batch needs and ends there; on any number of channels (hue turns for three only). p stays at most
    0.8, from where the paper warns of augmentations in the samples; the authors' code has no bound.

    Args:
        transforms: blit (flips, quarter turns, whole pixels), geom, color, filter, noise, cutout, or several of them
            by their first letters, as published.
        target: of r_t, from -1 to 1.
        speed: thousands of real samples in which p goes from 0 to 1, above 0.
        batches: discriminator batches between two changes of p.
        largest: bound of p, in [0, 1].
        probability: a p that stays, in [0, 1]; none: it adapts.
    """

    name = "ada"
    paper = "arXiv:2006.06676"
    needs = ("image", "smooth_samples")
    tiny = {"transforms": "bgcfnc", "probability": 0.5}

    def __init__(
        self,
        transforms: Transforms = "bgc",
        target: float = 0.6,
        speed: float = 500.0,
        batches: int = 4,
        largest: float = 0.8,
        probability: float | None = None,
    ):
        if not (-1 <= target <= 1 and speed > 0 and batches >= 1):
            raise ValueError("target lies in [-1, 1], speed is above 0, and batches are at least 1")
        if not (0 <= largest <= 1 and (probability is None or 0 <= probability <= 1)):
            raise ValueError("largest and probability lie in [0, 1]")
        self.target, self.speed, self.batches, self.largest = target, speed, batches, largest
        self.fixed = probability
        self.groups = (transforms,) if transforms in _GROUPS else _GROUPS[: len(transforms)]
        self.p = torch.tensor(probability or 0.0)
        self.signs, self.seen = torch.zeros(()), 0  # of real scores since p was last changed

    def augment(self, x: Tensor, draws: Draws) -> Tensor:
        if self.fixed == 0:
            return x
        self.p = self.p.to(x.device)
        chances = Chances(draws.uniform("ada", len(x), COLUMNS).to(x.dtype), self.p)
        blit, general, color, filters, noise, cutout = (group in self.groups for group in _GROUPS)
        x = move(x, chances, blit, general) if blit or general else x
        x = recolor(x, chances) if color else x
        x = refilter(x, chances) if filters else x
        x = add_noise(x, chances, draws.normal("ada noise", *x.shape).to(x.dtype)) if noise else x
        return cut(x, chances) if cutout else x

    def penalty(self, turn: Turn) -> None:
        """No penalty: here p follows the real scores of the discriminator's turn."""
        assert turn.real_scores is not None
        scores = turn.real_scores.value
        if self.fixed is None:
            self._follow(scores.detach(), turn.game.draws.world, turn.game.batch)
            turn.game.note("ada/p", self.p)

    def sign(self, record: Mapping[str, float]) -> str | None:
        at_bound = record.get("ada/p", 0.0) > self.largest - 1e-6  # p is rounded to 32 bit
        if self.fixed is not None or not at_bound:
            return None
        return (
            f"p sits at its largest value, {self.largest}: the discriminator still knows the training samples by "
            "heart, and more augmentation would show in the pictures; more data or a narrower discriminator help"
        )

    def _follow(self, scores: Tensor, processes: int, batch: int) -> None:
        count = len(scores) * processes
        self.signs = self.signs.to(scores.device) + mean_over_processes(scores.sign().mean()) * count
        self.seen += count
        if self.seen >= self.batches * batch:
            way = (self.signs / self.seen - self.target).sign() * (self.seen / (self.speed * 1000))
            self.p = (self.p.to(scores.device) + way).clamp(0, self.largest)
            self.signs, self.seen = torch.zeros_like(self.signs), 0

    def state(self) -> dict[str, Any]:
        return {"p": self.p, "signs": self.signs, "seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        self.p, self.signs, self.seen = state["p"], state["signs"], state["seen"]


@hookimpl
def register_regularizers(register: Any) -> None:
    register(ADA)
