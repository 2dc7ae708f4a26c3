"""SAGAN. Zhang, Goodfellow, Metaxas and Odena 2018, Self-Attention Generative Adversarial Networks,
arXiv:1805.08318."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Spec, hookimpl
from ganzoo_plugins.architectures.biggan import Discriminator, Generator, maps_of_both
from ganzoo_plugins.architectures.biggan_forms import layers
from ganzoo_plugins.architectures.class_layers import ClassNorm
from ganzoo_plugins.architectures.stages import stages

_MAKES = "sagan makes pictures of 16 to 256 px (published: 128)"


class SAGAN(Architecture):
    """Residual networks told the class, with self-attention and spectral normalisation in both.

    Zhang, Goodfellow, Metaxas and Odena 2018, arXiv:1805.08318, sections 3 to 5, to be trained with the hinge loss;
    Miyato and Koyama 2018, arXiv:1802.05637 (projection). Pictures of 16 to 256 pixels a side, square or not, any
    channels, with classes; published for 128 px. At the other sizes it has the layers of `biggan`, which began as this
    network. Every layer but the generator's gains and biases by class is spectrally normalised, as published, so
    `spectral-norm` changes nothing but rounding.

    Differs from the paper: layers begin orthogonal, not with Xavier's numbers, whose scale the normalisation takes
    out again.

    Args:
        latent: size of the latent.
        width: channels next to the picture (a quarter of all layers' below 64 px).
        attention: shorter sides, in px, of the maps after which there is self-attention, 0 for none; none: half the
            picture's, as published (the paper tries 8 to 64).
    """

    name = "sagan"
    paper = "arXiv:1805.08318"
    needs = ("image", "labels")
    offers = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "class_generator",
        "class_discriminator",
    )
    suggests = {"generator_rate": 1e-4, "discriminator_rate": 4e-4, "beta1": 0.0, "beta2": 0.9}
    tiny = {"latent": 4, "width": 1}

    def __init__(self, latent: int = 128, width: int = 64, attention: tuple[int, ...] | None = None):
        if min(latent, width) < 1:
            raise ValueError("latent and width must be at least 1")
        self.latent_size, self.width, self.attention = latent, width, attention

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES, largest=256)
        wide, narrow, halvings = layers(doublings, self.width, self.width)
        side, classes = min(height, width), len(spec.classes)
        asked = (side // 2,) if self.attention is None else self.attention
        attention = maps_of_both(self.name, asked, side, doublings, halvings)
        form: dict[str, Any] = {"embedding": 0, "hierarchical": False, "attention": attention}
        generator = Generator(self.latent_size, wide, channels, base, classes, **form)
        for module in generator.modules():
            if isinstance(module, ClassNorm):  # here classes begin alike
                nn.init.zeros_(module.gain.weight)
                nn.init.zeros_(module.bias.weight)
        discriminator = Discriminator(narrow, channels, classes, halvings=halvings, side=side, attention=attention)
        return Networks.pair(generator, discriminator)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)


@hookimpl
def register_architectures(register: Any) -> None:
    register(SAGAN)
