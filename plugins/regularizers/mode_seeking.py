"""Mao, Lee, Tseng, Ma and Yang 2019, Mode Seeking Generative Adversarial Networks for Diverse Image Synthesis,
arXiv:1903.05628."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ganzoo import Regularizer, Turn, hookimpl


class ModeSeeking(Regularizer):
    """Pays the generator for samples that lie as far apart as their latents do.

    Mao, Lee, Tseng, Ma and Yang 2019, arXiv:1903.05628, equations 3 and 4: each sample is compared with one of another
    latent and the same class; the ratio mean|G(z1) - G(z2)| / mean|z1 - z2| shall be large. What is minimised is
    weight / (ratio + 1e-5), as in the authors' code, so that samples that are all alike cost the most.

    Differs from the paper: the other sample is made for this penalty alone, and is not judged by the discriminator.

    Args:
        weight: the paper's lambda, at least 0.
    """

    name = "mode-seeking"
    paper = "arXiv:1903.05628"
    needs = ("latent_generator", "smooth_samples")
    sides = ("generator",)

    def __init__(self, weight: float = 1.0):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.weight = weight

    def penalty(self, turn: Turn) -> Tensor:
        game = turn.game
        latent, fake = turn.latent, turn.fake
        if latent is None:  # the procedure did not tell them
            latent = game.latent(len(fake))
            fake = game.generate(latent, turn.fake_label)
        other = game.latent(len(fake))
        apart = ratio(fake, game.generate(other, turn.fake_label), latent, other)
        game.note(f"modes/ratio{turn.name.removeprefix('discriminator')}", apart)
        return self.weight / (apart + 1e-5)


def ratio(sample: Tensor, other_sample: Tensor, latent: Tensor, other_latent: Tensor) -> Tensor:
    """How far samples are apart for how far their latents are: mean absolute differences of a value."""
    return (sample - other_sample).abs().mean() / (latent - other_latent).abs().mean()


@hookimpl
def register_regularizers(register: Any) -> None:
    register(ModeSeeking)
