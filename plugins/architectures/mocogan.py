"""MoCoGAN. Tulyakov, Liu, Yang and Kautz 2018, MoCoGAN: Decomposing Motion and Content for Video Generation,
arXiv:1707.04993."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, SizeError, Spec, hookimpl
from ganzoo_plugins.architectures import dcgan
from ganzoo_plugins.architectures.stages import stages

_MAKES = "mocogan makes clips of 16 to 128 px"
_SPAN = 4  # frames that a convolution of the clip discriminator sees at once


class Generator(nn.Module):
    """A latent [N, content + motion * (1 + frames)] becomes a clip [N, C, frames, H, W] in [-1, 1].

    The content stays for all frames. The rest is a recurrent network's first state and its input at each frame; its
    states are the motion codes. Both, and the class as a category code, make a frame (section 3.1). latent_size: how
    long the latent is.
    """

    def __init__(self, content: int, motion: int, frames: int, classes: int, picture: dcgan.Generator):
        super().__init__()
        self.content, self.motion, self.frames, self.classes = content, motion, frames, classes
        self.latent_size = content + motion * (1 + frames)
        self.recurrent = nn.GRUCell(motion, motion)
        self.picture = picture

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        content, moving = latent[:, : self.content], latent[:, self.content :]
        codes = [content]
        if self.classes:
            assert label is not None
            codes.append(F.one_hot(label, self.classes).to(latent.dtype))
        staying = torch.cat(codes, 1)[:, None].expand(-1, self.frames, -1)
        made = self.picture(torch.cat([staying, self.motions(moving)], 2).flatten(0, 1))
        clips: Tensor = made.unflatten(0, (len(latent), self.frames)).transpose(1, 2)
        return clips.contiguous()

    def motions(self, moving: Tensor) -> Tensor:
        """The motion codes [N, frames, motion] of a first state and the inputs [N, motion * (1 + frames)]."""
        state, *given = moving.split(self.motion, 1)
        found = []
        for noise in given:
            state = self.recurrent(noise, state)
            found.append(state.to(moving.dtype))
        return torch.stack(found, 1)


class ClipDiscriminator(nn.Module):
    """Convolutions over time and space halve the clip [N, C, T, H, W] in space and shorten it by three frames each;
    one more, as large as what is left, makes a score [N]. feature_size: numbers that the score is made of.

    No normalisation in the first and the last layer; with `norm` off, in none."""

    def __init__(self, width: int, channels: int, frames: int, base: tuple[int, int], doublings: int, norm: bool):
        super().__init__()
        layers: list[nn.Module] = []
        wide = channels
        for number in range(doublings):
            normed = norm and number > 0
            narrow, wide = wide, width << number
            layers.append(nn.Conv3d(narrow, wide, _SPAN, (1, 2, 2), (0, 1, 1), bias=not norm))
            layers += [nn.BatchNorm3d(wide)] if normed else []
            layers.append(nn.LeakyReLU(0.2, True))
        self.features = nn.Sequential(*layers)
        left = (frames - (_SPAN - 1) * doublings, *base)
        self.score = nn.Conv3d(wide, 1, left, bias=False)
        self.feature_size = wide * left[0] * left[1] * left[2]

    def forward(self, clips: Tensor, label: Tensor | None = None) -> Scores:
        found = self.features(clips)
        return Scores(self.score(found).flatten(), features=found.flatten(1))


class MoCoGAN(Architecture):
    """A code for what is seen and a recurrent one for how it moves, judged frame by frame and as a clip.

    Tulyakov, Liu, Yang and Kautz 2018, arXiv:1707.04993, section 3 and the appendix's networks. Clips of 16 to 128
    pixels a side, square or not, of any channels. The generator of a frame and the image discriminator are those of
    `dcgan`; the motion codes are the states of a GRU. Where a part of the run asks for labels (`ac` does), the
    generator is told the class as a category code.

    Differs from the paper: no noise inside the discriminators (`instance-noise` adds it to what they see), and the
    image discriminator judges whole frames, where the authors' scripts judge patches. With `ac`, which stands for the
    paper's classification loss, both discriminators are asked for the class. With `norm=auto` the discriminators have
    batch normalisation unless a part of the run needs `per_sample_scores` (gradient penalties do). The clip
    discriminator's last layer is as long as the frames that are left (4 at 64 px and 16 frames, as published).
    `features` are not offered: what asks for them compares clips, which the image discriminator does not take.

    Args:
        content: size of the content code; the paper's d_C.
        motion: size of the motion code of a frame; the paper's d_M.
        width: channels of the generator's and the image discriminator's layer next to the picture; each halving of the
            picture doubles it.
        clip_width: the same of the clip discriminator; without it as `width`.
        norm: the discriminators' normalisation.
    """

    name = "mocogan"
    paper = "arXiv:1707.04993"
    procedure = "image-and-clip"
    dataset = "moving-shapes"
    needs = ("video",)
    offers: tuple[str, ...] = (
        "latent_generator",
        "class_generator",
        "image_and_clip_discriminators",
        "smooth_samples",
        "per_sample_scores",
        "unconditional_features",
        "unconditional_score",
    )
    suggests = {"rate": 2e-4, "beta1": 0.5, "beta2": 0.999, "weight_decay": 1e-5}
    tiny = {"content": 4, "motion": 2, "width": 2}

    def __init__(
        self,
        content: int = 50,
        motion: int = 10,
        width: int = 64,
        clip_width: int | None = None,
        norm: Literal["auto", "batch", "none"] = "auto",
    ):
        if min(content, motion, width, clip_width or width) < 1:
            raise ValueError("content, motion, width and clip_width must be at least 1")
        self.content, self.motion, self.width, self.clip_width = content, motion, width, clip_width or width
        self.norm = norm
        if norm == "batch":
            self.offers = tuple(word for word in self.offers if word != "per_sample_scores")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, frames, height, width = spec.shape
        base, doublings = stages(height, width, _MAKES)
        fewest = (_SPAN - 1) * doublings + 1
        if frames < fewest:
            raise SizeError(
                f"mocogan makes clips of at least {fewest} frames at {height}x{width}, not {frames}; "
                f"try frames={fewest}"
            )
        classes = len(spec.classes) if "labels" in plan.needs else 0
        picture = dcgan.Generator(self.content + classes + self.motion, self.width, channels, base, doublings)
        generator = Generator(self.content, self.motion, frames, classes, picture)
        self.latent_size = generator.latent_size
        norm = dcgan.normalises(self.name, self.norm, plan)
        image = dcgan.Discriminator(self.width, channels, base, doublings, norm)
        clip = ClipDiscriminator(self.clip_width, channels, frames, base, doublings, norm)
        for network in (picture, image, clip):
            network.apply(initialise)
        return Networks({"generator": generator}, {"discriminator_image": image, "discriminator_clip": clip})

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)


def initialise(module: nn.Module) -> None:
    """As dcgan's, over time too."""
    dcgan.initialise(module)
    if isinstance(module, nn.Conv3d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm3d):
        nn.init.normal_(module.weight, 1.0, 0.02)


@hookimpl
def register_architectures(register: Any) -> None:
    register(MoCoGAN)
