"""GON's network. Bond-Taylor and Willcocks 2021, Gradient Origin Networks, arXiv:2007.02798, with the layers of the
authors' code, cwkx/GON GON.py."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Official, Plan, Spec, hookimpl
from ganzoo_plugins.architectures.stages import stages
from ganzoo_plugins.procedures.gradient_origin import code_at

_MAKES = "gon makes pictures of 16 to 128 px"


class Generator(nn.Module):
    """A latent [N, latent] becomes a small map, which strided transposed convolutions double to a picture.

    main: the published layers, whose pictures lie in [0, 1]; what is called moves them to [-1, 1].
    """

    def __init__(self, latent: int, width: int, channels: int, base: tuple[int, int], doublings: int, norm: bool):
        super().__init__()
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent, wide, base), *_between(wide, norm)]
        for _ in range(doublings - 1):
            layers += [nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1), *_between(wide // 2, norm)]
            wide //= 2
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(wide, channels, 4, 2, 1), nn.Sigmoid())

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        images: Tensor = self.main(latent.reshape(len(latent), -1, 1, 1))
        return images * 2 - 1


def _between(width: int, norm: bool) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(width)] if norm else []), nn.ELU()]


class GON(Architecture):
    """A small generator with smooth units, which a gradient at the origin of its latents inverts; no discriminator.

    Bond-Taylor and Willcocks 2021, arXiv:2007.02798, as in the authors' GON.py: transposed convolutions, ELU, sigmoid;
    74,321 parameters for grey pictures of 32 px. Pictures of 16 to 128 pixels a side, square or not, any channels.

    Differs from the paper: pictures lie in [-1, 1]; the paper's lie in [0, 1]. With batch normalisation, as published,
    a sample's code depends on the rest of its batch, whatever the procedure; with `norm=none` it does not.

    Args:
        latent: size of the latent.
        width: channels of the layer next to the picture; each halving of the picture doubles it.
        norm: batch normalises over the batch, between layers.
    """

    name = "gon"
    paper = "arXiv:2007.02798"
    needs = ("image",)
    offers: tuple[str, ...] = ("latent_generator",)
    procedure = "gradient-origin"
    tiny = {"latent": 4, "width": 4}

    def __init__(self, latent: int = 32, width: int = 16, norm: Literal["batch", "none"] = "batch"):
        if min(latent, width) < 1:
            raise ValueError("latent and width must be at least 1")
        self.latent_size, self.width, self.norm = latent, width, norm

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES)
        return Networks(
            {"generator": Generator(self.latent_size, self.width, channels, base, doublings, self.norm == "batch")}
        )

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (Official("cwkx/GON GON.py", _official_networks, _official_outputs),)


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    base, doublings = stages(config["image"], config["image"], _MAKES)
    return {"F": Generator(config["nz"], config["ngf"], config["nc"], base, doublings, norm=True)}


def _official_outputs(networks: dict[str, nn.Module], recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    """One step in training mode, on pictures in [0, 1]; the loss is the mean over pixels and batch, inside and out."""
    network: Any = networks["F"].train()
    wanted = recorded["x"]

    def squared(latent: Tensor) -> Tensor:
        value: Tensor = (network.main(latent) - wanted).square().sum(1).mean()
        return value

    origin = wanted.new_zeros(len(wanted), network.main[0].in_channels, 1, 1)
    latent = code_at(origin, squared)
    made, outer = network.main(latent), squared(latent)
    found = dict(zip(dict(network.named_parameters()), torch.autograd.grad(outer, network.parameters()), strict=True))
    gradients = {f"grad.F.{name}": value for name, value in found.items() if f"grad.F.{name}" in recorded}
    inner = squared(origin)
    return {"latent": latent, "reconstruction": made, "inner_loss": inner, "outer_loss": outer, **gradients}


@hookimpl
def register_architectures(register: Any) -> None:
    register(GON)
