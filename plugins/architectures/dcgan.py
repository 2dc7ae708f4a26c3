"""DCGAN. Radford, Metz and Chintala 2016, Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks, arXiv:1511.06434, section 3 and figure 1."""

from __future__ import annotations

import re
from typing import Any, Literal

from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Recovered, Scores, Spec, Weights, hookimpl
from ganzoo_plugins.architectures.stages import stages

_MAKES = "dcgan makes pictures of 16 to 128 px"


class Generator(nn.Module):
    """A latent [N, latent] becomes a small map,
    which strided transposed convolutions double to a picture in [-1, 1]."""

    def __init__(self, latent: int, width: int, channels: int, base: tuple[int, int], doublings: int):
        super().__init__()
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(latent, wide, base, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(True),
        ]
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(wide // 2),
                nn.ReLU(True),
            ]
            wide //= 2
        layers += [nn.ConvTranspose2d(wide, channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        images: Tensor = self.main(latent.reshape(len(latent), -1, 1, 1))
        return images


class Discriminator(nn.Module):
    """Strided convolutions halve the picture to the small map, from which one convolution makes a score [N].

    No normalisation in the first and the last layer (section 3); with `norm` off, in none."""

    def __init__(self, width: int, channels: int, base: tuple[int, int], doublings: int, norm: bool):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for _ in range(doublings - 1):
            layers.append(nn.Conv2d(width, width * 2, 4, 2, 1, bias=not norm))
            layers += [nn.BatchNorm2d(width * 2)] if norm else []
            layers.append(nn.LeakyReLU(0.2, True))
            width *= 2
        self.main = nn.Sequential(*layers, nn.Conv2d(width, 1, base, bias=False))
        self.feature_size = width * base[0] * base[1]

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        *layers, score = self.main
        h = images
        for layer in layers:
            h = layer(h)
        return Scores(score(h).flatten(), features=h.flatten(1))


class DCGAN(Architecture):
    """Convolutions all the way, with batch normalisation.

    Radford, Metz and Chintala 2016, arXiv:1511.06434. Pictures of 16 to 128 pixels a side, square or not, any channels.

    Differs from the paper: the latent is normal, not uniform, as in the authors' later code. With `norm=auto` the
    discriminator has batch normalisation unless a part of the run needs `per_sample_scores` (gradient penalties do).

    Args:
        latent: size of the latent.
        width: channels of the layer next to the picture; each halving of the picture doubles it.
        norm: the discriminator's normalisation.
    """

    name = "dcgan"
    paper = "arXiv:1511.06434"
    needs = ("image",)
    offers: tuple[str, ...] = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "unconditional_score",
        "batch_norm_generator",
    )
    suggests = {"rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
    tiny = {"latent": 4, "width": 4}

    def __init__(self, latent: int = 100, width: int = 64, norm: Literal["auto", "batch", "none"] = "auto"):
        if min(latent, width) < 1:
            raise ValueError("latent and width must be at least 1")
        self.latent_size, self.width, self.norm = latent, width, norm
        if norm == "batch":
            self.offers = tuple(word for word in self.offers if word != "per_sample_scores")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES)
        generator = Generator(self.latent_size, self.width, channels, base, doublings)
        norm = normalises(self.name, self.norm, plan)
        discriminator = Discriminator(self.width, channels, base, doublings, norm)
        for network in (generator, discriminator):
            network.apply(initialise)
        return Networks.pair(generator, discriminator)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (Official("pytorch/examples dcgan", _official_networks, _official_outputs, recover=recovered),)


def normalises(architecture: str, norm: str, plan: Plan) -> bool:
    """Whether the discriminator has batch normalisation; without it for another part's sake, a note says so."""
    if norm != "auto" or "per_sample_scores" not in plan.needs:
        return norm != "none"
    plan.notes.append(
        f"{architecture}: the discriminator goes without batch normalisation, because a part needs per_sample_scores"
    )
    return False


def initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02), gains of normalisation from N(1, 0.02) (section 4)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    base, doublings = stages(config["image"], config["image"], _MAKES)
    generator = Generator(config["nz"], config["ngf"], config["nc"], base, doublings)
    return {"G": generator, "D": Discriminator(config["ndf"], config["nc"], base, doublings, norm=True)}


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    generator, discriminator = networks["G"].eval(), networks["D"].eval()
    image = generator(recorded["z"])
    scores = discriminator(image).value
    return {"image_eval": image, "logits_eval": scores, "image_train": generator.train()(recorded["z"])}


def recovered(weights: Weights) -> Recovered | None:
    """Networks of pytorch/examples, whose discriminator has batch normalisation; the names are ours."""
    state = weights.states.get("G_ema") or weights.states.get("G") or {}
    numbers = sorted(int(name.split(".")[1]) for name in state if re.fullmatch(r"main\.\d+\.weight", name))
    layers = [state[f"main.{number}.weight"] for number in numbers]
    maps = [layer for layer in layers if layer.ndim == 4]
    if len(maps) < 3 or "main.1.running_mean" not in state:
        return None
    height, width = (side << (len(maps) - 1) for side in maps[0].shape[2:])
    options = {"latent": len(maps[0]), "width": len(maps[-1]), "norm": "batch"}
    return Recovered(options, Spec("image", (maps[-1].shape[1], height, width)), weights.states)


@hookimpl
def register_architectures(register: Any) -> None:
    register(DCGAN)
