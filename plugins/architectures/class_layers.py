"""Layers of networks that are told a class: spectrally normalised layers (Miyato et al. 2018, arXiv:1802.05957,
algorithm 1), batch normalisation by class (de Vries et al. 2017, arXiv:1707.00683) and self-attention (Zhang et al.
2018, Self-Attention Generative Adversarial Networks, arXiv:1805.08318)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def normalised(layer: Any) -> Tensor:
    """A layer's weight over its largest singular value, as a matrix (outputs, all the rest).

    The value is that after one power iteration from the layer's row `u` [1, outputs], which in training mode goes on
    from where that came to. In evaluation mode the same iteration is made and forgotten.
    """
    matrix = layer.weight.flatten(1)
    with torch.no_grad():
        right = F.normalize(layer.u @ matrix)
        left = F.normalize(right @ matrix.T)
        if layer.training:
            layer.u.copy_(left)
    weight: Tensor = layer.weight / (left @ matrix @ right.T).squeeze()
    return weight


def _begin(layer: Any) -> None:
    nn.init.orthogonal_(layer.weight)
    layer.register_buffer("u", torch.randn(1, len(layer.weight)))


class Convolution(nn.Conv2d):
    """A spectrally normalised convolution that keeps the map's size."""

    def __init__(self, inputs: int, outputs: int, size: int = 3, bias: bool = True):
        super().__init__(inputs, outputs, size, padding=size // 2, bias=bias)
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, normalised(self), self.bias)


class Dense(nn.Linear):
    """A spectrally normalised dense layer."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, bias)
        _begin(self)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, normalised(self), self.bias)


class ClassVectors(nn.Embedding):
    """A vector for each class, spectrally normalised as the matrix (classes, size): [N] whole numbers to [N, size]."""

    def __init__(self, classes: int, size: int):
        super().__init__(classes, size)
        _begin(self)

    def forward(self, label: Tensor) -> Tensor:
        return F.embedding(label, normalised(self))


def plain_vectors(classes: int, size: int) -> nn.Embedding:
    """A vector for each class, not normalised, at first orthogonal."""
    vectors = nn.Embedding(classes, size)
    nn.init.orthogonal_(vectors.weight)
    return vectors


class ClassNorm(nn.Module):
    """Batch normalisation whose gain, 1 + gain(condition), and bias depend on a condition.

    conditions: size of the conditions [N, conditions], and gain and bias are linear in them; with `classes` the number
    of classes, and each has a gain and a bias of its own.
    """

    def __init__(self, width: int, conditions: int, *, classes: bool = False):
        super().__init__()
        self.norm = nn.BatchNorm2d(width, affine=False)
        self.gain, self.bias = (
            plain_vectors(conditions, width) if classes else Dense(conditions, width, bias=False) for _ in range(2)
        )

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shape = (-1, x.shape[1], *[1] * (x.ndim - 2))
        gain, bias = (vector.view(shape) for vector in (1 + self.gain(condition), self.bias(condition)))
        normed: Tensor = self.norm(x)
        return normed * gain + bias


class SelfAttention(nn.Module):
    """Adds to every place of a map what it attends to elsewhere, times `gamma`, which begins at zero.

    Zhang et al. 2018, arXiv:1805.08318, section 3. As in the authors' code, what is attended to is a quarter of the
    places (2x2 maxima), and queries and keys have an eighth of the channels, values half.
    """

    def __init__(self, width: int):
        super().__init__()
        small, half = max(1, width // 8), max(1, width // 2)
        self.query, self.key = (Convolution(width, small, 1, bias=False) for _ in range(2))
        self.value, self.output = Convolution(width, half, 1, bias=False), Convolution(half, width, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        # Written out, because the fused operator has no second derivatives, which gradient penalties take.
        keys, values = (F.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        weights = (self.query(x).flatten(2).transpose(1, 2) @ keys).softmax(-1)
        seen = (values @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        added: Tensor = x + self.gamma * self.output(seen)
        return added
