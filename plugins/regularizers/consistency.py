"""Zhang, Zhang, Odena and Lee 2019, Consistency Regularization for GANs, arXiv:1910.12027; Zhao et al. 2020, Improved
Consistency Regularization for GANs, arXiv:2002.04724."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from ganzoo import Draws, Regularizer, Scores, Turn, hookimpl


class Consistency(Regularizer):
    """Asks for equal scores of a picture and its augmentation, and of samples from latents that lie close.

    Zhang, Zhang, Odena and Lee 2019, arXiv:1910.12027, algorithm 1 (cr); Zhao, Singh, Lee, Zhang, Odena and Zhang 2020,
    arXiv:2002.04724, algorithms 1 (bcr) and 2 (zcr), and both of them (icr). The discriminator minimises:

    - cr: weight * mean((D(x) - D(T(x)))^2) of real pictures; T mirrors half of them and shifts each by a few pixels;
    - bcr: the same of real and of fake pictures;
    - zcr: latent_weight * mean((D(G(z)) - D(G(z + noise)))^2), and the generator minimises
      -generator_weight * mean((G(z) - G(z + noise))^2), so that it keeps apart what the discriminator sees alike.

    Only icr and zcr need a generator that is given a latent.

    Differs from the paper: means over all values of a picture or a map of scores where norms are written.

    Args:
        form: cr, bcr, zcr or icr (bcr and zcr).
        weight: the papers' lambda for pictures, at least 0.
        latent_weight: lambda of the discriminator for latents, at least 0.
        generator_weight: lambda of the generator for latents, at least 0.
        deviation: of the noise on latents, more than 0.
        mirror: whether T mirrors; not for digits and letters.
        shift: most pixels by which T shifts, at least 0; the picture's reflection comes in at the edge.
    """

    name = "consistency"
    paper = "arXiv:2002.04724"
    needs: tuple[str, ...] = ("image", "latent_generator")
    sides: ClassVar[tuple[str, ...]] = ("discriminator", "generator")

    def __init__(
        self,
        form: Literal["cr", "bcr", "zcr", "icr"] = "icr",
        weight: float = 10.0,
        latent_weight: float = 5.0,
        generator_weight: float = 0.5,
        deviation: float = 0.05,
        mirror: bool = True,
        shift: int = 4,
    ):
        if min(weight, latent_weight, generator_weight, shift) < 0 or deviation <= 0:
            raise ValueError("weights and shift must not be negative, and deviation must be positive")
        if form != "zcr" and not mirror and not shift:
            raise ValueError("with mirror=no and shift=0 a picture is its own augmentation")
        self.form, self.weight, self.latent_weight, self.generator_weight = (
            form,
            weight,
            latent_weight,
            generator_weight,
        )
        self.deviation, self.mirror, self.shift = deviation, mirror, shift
        if form in ("cr", "bcr"):
            self.sides = ("discriminator",)  # type: ignore[misc]
            self.needs = ("image", "discriminator_turn")

    def penalty(self, turn: Turn) -> Tensor:
        if turn.side == "generator":
            return self._apart(turn)
        assert turn.real is not None and turn.real_scores is not None and turn.fake_scores is not None
        costs = []
        if self.form != "zcr":
            costs.append(self.weight * self._of_pictures(turn, turn.real, turn.real_scores, turn.label))
        if self.form in ("bcr", "icr"):
            costs.append(self.weight * self._of_pictures(turn, turn.fake, turn.fake_scores, turn.fake_label))
        if self.form in ("zcr", "icr"):
            costs.append(self.latent_weight * self._of_latents(turn, turn.fake_scores))
        return torch.stack(costs).sum()

    def _of_pictures(self, turn: Turn, pictures: Tensor, scores: Scores, label: Tensor | None) -> Tensor:
        changed = augmented(pictures.detach(), turn.draws, self.mirror, self.shift)
        return distance(scores.value, turn.score(changed, label).value)

    def _of_latents(self, turn: Turn, scores: Scores) -> Tensor:
        """The discriminator's part of zcr."""
        with torch.no_grad():
            made, near = self._neighbours(turn)
        first = scores if made is turn.fake else turn.score(made, turn.fake_label)
        return distance(first.value, turn.score(near, turn.fake_label).value)

    def _apart(self, turn: Turn) -> Tensor:
        """The generator's part of zcr."""
        return -self.generator_weight * distance(*self._neighbours(turn))

    def _neighbours(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """The turn's fakes, and samples of latents close by; where the latents were not told, others are drawn."""
        latent, made = turn.latent, turn.fake
        if latent is None:
            latent = turn.game.latent(len(turn.fake))
            made = turn.game.generate(latent, turn.fake_label)
        return made, turn.game.generate(self._near(latent, turn.draws), turn.fake_label)

    def _near(self, latent: Tensor, draws: Draws) -> Tensor:
        noise = draws.normal("consistency latent", len(latent), *latent.shape[1:]).to(latent.dtype)
        return latent + self.deviation * noise


def distance(one: Tensor, other: Tensor) -> Tensor:
    """The mean of the squared difference."""
    return (one - other).square().mean()


def augmented(pictures: Tensor, draws: Draws, mirror: bool, shift: int) -> Tensor:
    """Half of the pictures mirrored, and each shifted down or up and sideways, by up to `shift` pixels and its side."""
    count, _, height, width = pictures.shape
    rows = _shifted(draws, "consistency down", count, height, shift, pictures.device)
    columns = _shifted(draws, "consistency right", count, width, shift, pictures.device)
    if mirror:
        turned = draws.uniform("consistency mirror", count, 1) < 0.5
        columns = torch.where(turned, width - 1 - columns, columns)
    which = torch.arange(count, device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[which, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _shifted(draws: Draws, purpose: str, count: int, side: int, shift: int, device: torch.device) -> Tensor:
    """From where each of `side` positions comes [count, side], reflected at the ends."""
    reach = min(shift, side - 1)
    places = torch.arange(side, device=device) - draws.integers(purpose, count, 1, low=-reach, high=reach + 1)
    return side - 1 - (side - 1 - places.abs()).abs()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(Consistency)
