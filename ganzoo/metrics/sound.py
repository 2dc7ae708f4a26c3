"""A small classifier of sounds, whose last features measures can compare (see classifier.py)."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW, HOP = 256, 128  # samples
FLOOR = 1e-6


class SpectralNet(nn.Module):
    """Convolutions over the logarithm of the power spectrogram: [N, channels, T] in [-1, 1], of at least 256 samples,
    -> 128 features, 10 classes. Channels are mixed. It knows no rate: frequencies are shares of it."""

    kind, head = "audio", "linear.weight"

    def __init__(self, classes: int = 10):
        super().__init__()
        widths = (1, 16, 32, 64, 128)
        self.scale = nn.BatchNorm2d(1)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(first, second, 3, padding=1, bias=False) for first, second in pairwise(widths)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])
        self.linear = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = F.avg_pool2d(self.scale(log_spectrogram(x)), (2, 1))
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            h = F.max_pool2d(F.relu(norm(convolution(h))), 2, ceil_mode=True)
        features = h.mean((2, 3))
        return features, self.linear(features)


def log_spectrogram(waves: Tensor) -> Tensor:
    """[N, channels, T] -> [N, 1, 128, times], the logarithm to the base of 10 of the power under Hann windows of 256
    samples; the frequency 0 is left out."""
    window = torch.hann_window(WINDOW, device=waves.device)
    found = torch.stft(waves.mean(1), WINDOW, HOP, window=window, center=True, return_complex=True)
    return (found.abs().square() / WINDOW + FLOOR).log10()[:, None, 1:]
