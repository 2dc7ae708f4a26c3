"""CycleGAN. Zhu, Park, Isola and Efros 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial
Networks, arXiv:1703.10593, section 4 and appendix 7.2."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor, nn

from ganzoo import Architecture, Networks, Official, OptionError, Plan, Recovered, Spec, Weights, hookimpl
from ganzoo_plugins.architectures.translation_layers import (
    SOURCE,
    Norm,
    Patch,
    Patches,
    build_networks,
    check_widths,
    checked_size,
    normalisation,
    official_generator,
    patches_name,
    recorded_norm,
    recorded_outputs,
    recorded_patches,
    recovered_patches,
    translated,
    without_statistics,
)


class Residual(nn.Module):
    """Two convolutions of 3x3 whose result is added."""

    def __init__(self, width: int, norm: Norm):
        super().__init__()

        def convolution() -> list[nn.Module]:
            plain = nn.Conv2d(width, width, 3, bias=norm != "batch")
            return [nn.ReflectionPad2d(1), plain, normalisation(norm, width)]

        self.main = nn.Sequential(*convolution(), nn.ReLU(True), *convolution())

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.main(x)
        return x + changed


class ResidualTranslator(nn.Module):
    """Pictures [N, C, H, W] are halved twice, go through residual blocks, and are doubled twice. The sides are
    multiples of `multiple`."""

    multiple = 4

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, norm: Norm):
        super().__init__()
        bias = norm != "batch"

        def layer(convolution: nn.Module, channels: int) -> list[nn.Module]:
            return [convolution, normalisation(norm, channels), nn.ReLU(True)]

        main = [nn.ReflectionPad2d(3), *layer(nn.Conv2d(inputs, width, 7, bias=bias), width)]
        for wide in (2 * width, 4 * width):
            main += layer(nn.Conv2d(wide // 2, wide, 3, 2, 1, bias=bias), wide)
        main += [Residual(4 * width, norm) for _ in range(blocks)]
        for wide in (2 * width, width):
            main += layer(nn.ConvTranspose2d(2 * wide, wide, 3, 2, 1, output_padding=1, bias=bias), wide)
        self.main = nn.Sequential(*main, nn.ReflectionPad2d(3), nn.Conv2d(width, outputs, 7), nn.Tanh())

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Tensor:
        made: Tensor = self.main(pictures)
        return made


class CycleGAN(Architecture):
    """Residual networks that translate pictures, judged patch by patch.

    Zhu, Park, Isola and Efros 2017, arXiv:1703.10593, section 4 and appendix 7.2: generators of 6 or 9 residual blocks
    after Johnson et al. 2016 (arXiv:1603.08155), with instance normalisation and reflected edges, and discriminators of
    patches of 70 px. Played by `paired` there is one of each, and the discriminator sees the source beside the picture.
    Pictures of at least 16 px whose sides are multiples of 4, square or not, any channels; a trained generator also
    takes other sizes.

    Differs from the paper: none known.

    Args:
        generator_width: channels next to the generator's pictures; a quarter of the residual blocks'.
        discriminator_width: channels after the discriminator's first convolution; each halving doubles them, up to
            eight times.
        blocks: residual blocks; none: 6 for pictures of up to 128 px, else 9, as published.
        patch: side in px of the patches that are judged; 1 is each pixel.
        norm: normalisation of both networks.
    """

    name = "cyclegan"
    paper = "arXiv:1703.10593"
    needs = ("image", "pairs|two_domains")
    offers: tuple[str, ...] = ("translator", "two_way", "discriminator", "smooth_samples", "per_sample_scores")
    procedure = "cycle"
    dataset = "unpaired-shapes"
    tiny = {"generator_width": 2, "discriminator_width": 2, "blocks": 1, "patch": 16}

    def __init__(
        self,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int | None = None,
        patch: Patch = 70,
        norm: Norm = "instance",
    ):
        check_widths(generator_width, discriminator_width)
        if blocks is not None and blocks < 0:
            raise OptionError("blocks are at least 0")
        self.generator_width, self.discriminator_width = generator_width, discriminator_width
        self.blocks, self.patch, self.norm = blocks, patch, norm
        if norm == "batch":
            self.offers = tuple(word for word in self.offers if word != "per_sample_scores")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        size = checked_size(self.name, spec, ResidualTranslator.multiple, self.patch)
        blocks = (6 if max(size) <= 128 else 9) if self.blocks is None else self.blocks
        return build_networks(
            spec,
            plan,
            lambda inputs, outputs: ResidualTranslator(inputs, outputs, self.generator_width, blocks, self.norm),
            lambda channels: Patches(channels, self.discriminator_width, self.patch, self.norm),
        )

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """Translations of sources, which take the latents' place; there is nothing to truncate (UsageError)."""
        return translated(network, latent, truncation)

    @classmethod
    def official(cls) -> tuple[Official, ...]:
        return (
            Official(
                SOURCE,
                _official_networks,
                recorded_outputs,
                rename=translator_name,
                recover=recovered,
                takes=lambda config: str(config.get("generator")).startswith("resnet"),
            ),
        )


def translator_name(name: str) -> str:
    """A parameter's official name as our networks have it."""
    return patches_name(name).replace(".conv_block.", ".main.")


def _official_networks(config: dict[str, Any]) -> dict[str, nn.Module]:
    (blocks,) = re.findall(r"resnet_(\d+)blocks", str(config["generator"]))
    inputs, outputs = int(config.get("input_nc", 3)), int(config.get("output_nc", 3))
    generator = ResidualTranslator(inputs, outputs, int(config["ngf"]), int(blocks), recorded_norm(config))
    return {"G": generator, "D": recorded_patches(config)}


def recovered(weights: Weights) -> Recovered | None:
    """A generator of the authors' PyTorch code: one direction, which `paired` plays."""
    state = {translator_name(name): value for name, value in official_generator(weights).items()}
    first = state.get("main.1.weight")
    found = {int(match[1]) for name in state if (match := re.match(r"main\.(\d+)\.main\.", name))}
    if first is None or first.shape[2:] != (7, 7) or not found:
        return None
    norm: Norm = "batch" if "main.2.weight" in state else "instance"
    last = max(int(name.split(".")[1]) for name in state)
    width, inputs = first.shape[:2]
    outputs = len(state[f"main.{last}.weight"])
    options, judge, notes = recovered_patches(weights, inputs + outputs)
    options = {"generator_width": width, "discriminator_width": width, "blocks": len(found), "norm": norm, **options}
    side = 256 if len(found) > 6 else 128
    spec = Spec("image", (outputs, side, side), source=(inputs, side, side), words=("pairs",))
    return Recovered(options, spec, {"G": without_statistics(state, norm), **judge}, notes, procedure="paired")


@hookimpl
def register_architectures(register: Any) -> None:
    register(CycleGAN)
