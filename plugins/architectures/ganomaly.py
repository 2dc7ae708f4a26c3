"""GANomaly's networks. Akcay, Atapour-Abarghouei and Breckon 2018, GANomaly: Semi-Supervised Anomaly Detection via
Adversarial Training, arXiv:1805.06725, section 3.2."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ganzoo import Architecture, Networks, Plan, Scores, Spec, hookimpl
from ganzoo_plugins.architectures import dcgan
from ganzoo_plugins.architectures.stages import stages

_MAKES = "ganomaly reads pictures of 16 to 128 px"


class Encoder(nn.Module):
    """Strided convolutions halve a picture to a small map, from which one convolution makes numbers [N, size]."""

    def __init__(self, size: int, width: int, channels: int, base: tuple[int, int], doublings: int):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, True)]
        for _ in range(doublings - 1):
            layers += [
                nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(width * 2),
                nn.LeakyReLU(0.2, True),
            ]
            width *= 2
        self.maps, self.out = nn.Sequential(*layers), nn.Conv2d(width, size, base, bias=False)
        self.map_size = width * base[0] * base[1]

    def forward(self, pictures: Tensor) -> Tensor:
        code: Tensor = self.out(self.maps(pictures)).flatten(1)
        return code


class Generator(nn.Module):
    """A picture becomes a code [N, latent], the code a picture; `encode_again` makes a code of that, to be compared."""

    def __init__(self, latent: int, width: int, channels: int, base: tuple[int, int], doublings: int):
        super().__init__()
        self.encode = Encoder(latent, width, channels, base, doublings)
        self.decode = dcgan.Generator(latent, width, channels, base, doublings)
        self.encode_again = Encoder(latent, width, channels, base, doublings)

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Tensor:
        made: Tensor = self.decode(self.encode(pictures))
        return made


class Discriminator(nn.Module):
    """The encoder's layers with one number at the end, the score [N]; its last map is the features."""

    def __init__(self, width: int, channels: int, base: tuple[int, int], doublings: int):
        super().__init__()
        self.encoder = Encoder(1, width, channels, base, doublings)
        self.feature_size = self.encoder.map_size

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Scores:
        maps = self.encoder.maps(pictures)
        return Scores(self.encoder.out(maps).flatten(), features=maps.flatten(1))


class GANomalyNetworks(Architecture):
    """A generator that encodes a picture, decodes it and encodes it again, and a discriminator (GANomaly).

    Akcay, Atapour-Abarghouei and Breckon 2018, arXiv:1805.06725, section 3.2, figure 2: DCGAN's layers. Pictures of 16
    to 128 pixels a side, square or not, any channels.

    Differs from the paper: none known.

    Args:
        latent: size of the code.
        width: channels of the layer next to the picture; each halving of the picture doubles it.
    """

    name = "ganomaly"
    paper = "arXiv:1805.06725"
    needs = ("image",)
    offers = ("reencoder", "discriminator", "smooth_samples", "features")
    procedure = "ganomaly"
    tiny = {"latent": 4, "width": 4}

    def __init__(self, latent: int = 100, width: int = 64):
        if min(latent, width) < 1:
            raise ValueError("latent and width must be at least 1")
        self.latent_size, self.width = latent, width

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES)
        sizes = (self.width, channels, base, doublings)
        networks = Networks.pair(Generator(self.latent_size, *sizes), Discriminator(*sizes))
        for network in networks.all().values():
            network.apply(dcgan.initialise)
        return networks

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """What becomes of pictures; a truncation means nothing here."""
        made: Tensor = network(latent, label)
        return made


@hookimpl
def register_architectures(register: Any) -> None:
    register(GANomalyNetworks)
