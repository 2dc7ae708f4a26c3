"""Fully connected networks. Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, Spec, hookimpl


class Generator(nn.Module):
    """A latent [N, latent] becomes a sample [N, *shape]; pictures end in tanh."""

    def __init__(self, layers: list[nn.Module], shape: tuple[int, ...], bounded: bool):
        super().__init__()
        self.main, self.shape = nn.Sequential(*layers, *([nn.Tanh()] if bounded else [])), shape

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        samples: Tensor = self.main(latent)
        return samples.reshape(len(latent), *self.shape)


class Discriminator(nn.Module):
    """A sample, flattened, becomes a score [N]."""

    def __init__(self, layers: list[nn.Module]):
        super().__init__()
        self.main = nn.Sequential(*layers)

    def forward(self, samples: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.main(samples.flatten(1)).flatten())


class MLP(Architecture):
    """Fully connected layers, for points of the plane and for small pictures.

    Goodfellow et al. 2014, arXiv:1406.2661, has such networks;
    this is the plain form that later papers use for toy data.

    Differs from the paper: ReLU or leaky ReLU in place of maxout, no dropout.

    Args:
        latent: size of the latent.
        width: units in each hidden layer.
        layers: hidden layers of each network.
        activation: of both networks' hidden layers.
        noise: what the latent is drawn from.
    """

    name = "mlp"
    paper = "arXiv:1406.2661"
    needs = ("image|points",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores")
    tiny = {"latent": 4, "width": 8, "layers": 1}

    def __init__(
        self,
        latent: int = 64,
        width: int = 128,
        layers: int = 3,
        activation: Literal["relu", "leaky-relu", "tanh"] = "relu",
        noise: Literal["normal", "uniform"] = "normal",
    ):
        if min(latent, width, layers) < 1:
            raise ValueError("latent, width and layers must be at least 1")
        self.latent_size, self.width, self.layers, self.activation, self.noise = (
            latent,
            width,
            layers,
            activation,
            noise,
        )

    def build(self, spec: Spec, plan: Plan) -> Networks:
        size = math.prod(spec.shape)
        generator = Generator(self._stack(self.latent_size, size), spec.shape, bounded=spec.kind == "image")
        return Networks.pair(generator, Discriminator(self._stack(size, 1)))

    def latent(self, draws: Draws, count: int) -> Tensor:
        if self.noise == "uniform":
            return draws.uniform("latent", count, self.latent_size, low=-1.0, high=1.0)
        return draws.normal("latent", count, self.latent_size)

    def _stack(self, inputs: int, outputs: int) -> list[nn.Module]:
        activations: dict[str, Callable[[], nn.Module]] = {
            "relu": nn.ReLU,
            "leaky-relu": lambda: nn.LeakyReLU(0.2),
            "tanh": nn.Tanh,
        }
        sizes = [inputs, *[self.width] * self.layers]
        stack: list[nn.Module] = []
        for before, after in pairwise(sizes):
            stack += [nn.Linear(before, after), activations[self.activation]()]
        return [*stack, nn.Linear(self.width, outputs)]


@hookimpl
def register_architectures(register: Any) -> None:
    register(MLP)
