"""WaveGAN. Donahue, McAuley and Puckette 2018, Adversarial Audio Synthesis, arXiv:1802.04208."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, SizeError, Spec, hookimpl

BASE = 16  # samples of the smallest map
KERNEL, STRIDE = (1, 25), (1, 4)


class Generator(nn.Module):
    """A latent [N, latent] becomes a waveform [N, channels, 16 * 4^stages] in [-1, 1] (appendix D)."""

    def __init__(self, latent: int, width: int, channels: int, stages: int):
        super().__init__()
        self.wide = width * 2 ** (stages - 1)
        self.begin = nn.Linear(latent, BASE * self.wide)
        widths = [self.wide >> stage for stage in range(stages)]
        # Two axes with one row: the channels can then stand last in memory, which halves the time on a CPU.
        self.layers = nn.ModuleList(
            nn.ConvTranspose2d(wide, narrow, KERNEL, STRIDE, (0, 11), (0, 1))
            for wide, narrow in zip(widths, [*widths[1:], channels], strict=True)
        )

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        x = self.begin(latent).reshape(len(latent), self.wide, 1, BASE)
        *layers, last = self.layers
        for layer in layers:
            x = layer(F.relu(x))
        # A sample's own rounding is heard as noise, so that the last layer never computes in 16 bits.
        dtype = last.get_parameter("weight").dtype
        with nullcontext() if x.dtype == dtype else torch.autocast(x.device.type, enabled=False):
            waves: Tensor = last(F.relu(x).to(dtype))
        return waves.squeeze(2).tanh()


class Discriminator(nn.Module):
    """A waveform [N, channels, 16 * 4^stages] becomes a score [N] (appendix D)."""

    def __init__(self, width: int, channels: int, stages: int, shuffle: int):
        super().__init__()
        widths = [channels, *(width << stage for stage in range(stages))]
        self.layers = nn.ModuleList(
            nn.Conv2d(narrow, wide, KERNEL, STRIDE, (0, 11)) for narrow, wide in pairwise(widths)
        )
        self.end = nn.Linear(BASE * widths[-1], 1)
        self.shuffle = shuffle

    def forward(self, waves: Tensor, label: Tensor | None = None) -> Scores:
        x = waves.unsqueeze(2)
        for number, layer in enumerate(self.layers, start=1):
            x = F.leaky_relu(layer(x), 0.2)
            if self.training and self.shuffle and number < len(self.layers):
                x = shifted(x, torch.randint(-self.shuffle, self.shuffle + 1, (len(x),), device=x.device))
        return Scores(self.end(x.flatten(1)).flatten())


def shifted(x: Tensor, shifts: Tensor) -> Tensor:
    """Maps [N, C, 1, T], each moved later by its own number of samples [N] (earlier where that is negative). The length
    stays: what is missing at an end is filled with the reflection of what stands there (section 3.3). Moves must be
    shorter than T."""
    count, channels, _, length = x.shape
    place = (torch.arange(length, device=x.device) - shifts[:, None]).abs()
    place = length - 1 - (length - 1 - place).abs()
    rows = (place + length * torch.arange(count, device=x.device)[:, None]).flatten()
    # With the channels last a sample in time is one row, and rows are copied whole.
    moved = x.permute(0, 2, 3, 1).reshape(count * length, channels).index_select(0, rows)
    return moved.reshape(count, 1, length, channels).permute(0, 3, 1, 2)


class WaveGAN(Architecture):
    """Convolutions over raw sound, long and with large strides, whose discriminator cannot rely on phase.

    Donahue, McAuley and Puckette 2018, arXiv:1802.04208, section 3 and appendix D. Waveforms of 64, 256, 1,024, 4,096,
    16,384 or 65,536 samples, of any number of channels; each stage has four times as many samples and half the
    channels. Phase shuffle (section 3.3) moves the discriminator's maps by a random number of samples, drawn for each
    example by itself and anew behind every layer but the last; it rests in evaluation mode.

    Differs from the paper: all maps of an example move together (its figure 3 can be read so that each moves by
    itself; the authors' code, chrisdonahue/wavegan, draws one move for the whole batch). Convolutions are padded with
    11 and 10 samples where that code has 10 and 11; its learnt filter behind the generator is left out. Weights begin
    as there, uniform after Glorot and Bengio 2010.

    Args:
        latent: size of the latent, whose numbers are uniform in [-1, 1].
        width: channels of the layer next to the waveform; the paper's d.
        shuffle: the most samples that phase shuffle moves a map by; the paper's n; 0: none.
    """

    name = "wavegan"
    paper = "arXiv:1802.04208"
    needs = ("audio",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores")
    suggests = {"optimizer": "adam", "rate": 1e-4, "beta1": 0.5, "beta2": 0.9}
    dataset = "tones"
    tiny = {"latent": 4, "width": 2}

    def __init__(self, latent: int = 100, width: int = 64, shuffle: int = 2):
        if min(latent, width) < 1 or not 0 <= shuffle < BASE:
            raise ValueError(f"latent and width must be at least 1 and shuffle from 0 to {BASE - 1}")
        self.latent_size, self.width, self.shuffle = latent, width, shuffle

    def build(self, spec: Spec, plan: Plan) -> Networks:
        channels, length = spec.shape
        stages = _stages(length)
        generator = Generator(self.latent_size, self.width, channels, stages)
        discriminator = Discriminator(self.width, channels, stages, self.shuffle)
        for network in (generator, discriminator):
            network.apply(initialise)
        return Networks.pair(generator, discriminator)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.uniform("latent", count, self.latent_size, low=-1.0, high=1.0)

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """truncation: the latent's numbers are uniform in [-truncation, truncation]."""
        made: Tensor = network(latent * truncation, label)
        return made


def _stages(length: int) -> int:
    """How often 16 samples become four times as many. Raises SizeError."""
    known = [BASE * 4**stages for stages in range(1, 7)]
    if length not in known:
        near = min(known, key=lambda some: abs(some - length))
        raise SizeError(
            f"wavegan makes waveforms of {', '.join(map(str, known))} samples, not {length}; try length={near}"
        )
    return known.index(length) + 1


def initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None
        nn.init.zeros_(module.bias)


@hookimpl
def register_architectures(register: Any) -> None:
    register(WaveGAN)
