"""Fully connected networks. Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, Spec, hookimpl

Unit = Callable[[int, int], list[nn.Module]]  # inputs and outputs of a hidden layer


class Generator(nn.Module):
    """A latent [N, latent] becomes a sample [N, *shape]; pictures end in tanh."""

    def __init__(self, layers: list[nn.Module], shape: tuple[int, ...], bounded: bool):
        super().__init__()
        self.main, self.shape = nn.Sequential(*layers, *([nn.Tanh()] if bounded else [])), shape

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        samples: Tensor = self.main(latent)
        return samples.reshape(len(latent), *self.shape)


class Discriminator(nn.Module):
    """A sample, flattened, becomes a score [N] by hidden layers and a linear one of `width` inputs."""

    def __init__(self, hidden: list[nn.Module], width: int):
        super().__init__()
        self.main = nn.Sequential(*hidden, nn.Linear(width, 1))
        self.feature_size = width

    def forward(self, samples: Tensor, label: Tensor | None = None) -> Scores:
        *hidden, score = self.main
        h = samples.flatten(1)
        for layer in hidden:
            h = layer(h)
        return Scores(score(h).flatten(), features=h)


class Maxout(nn.Module):
    """Of several linear units, the largest. Goodfellow et al. 2013, Maxout Networks, arXiv:1302.4389."""

    def __init__(self, inputs: int, outputs: int, pieces: int):
        super().__init__()
        self.linear, self.pieces = nn.Linear(inputs, outputs * pieces), pieces

    def forward(self, x: Tensor) -> Tensor:
        largest: Tensor = self.linear(x).unflatten(1, (-1, self.pieces)).amax(2)
        return largest


class MLP(Architecture):
    """Fully connected layers, for points of the plane and for small pictures.

    Goodfellow et al. 2014, arXiv:1406.2661, section 5, with the settings of the authors' code (goodfeli/adversarial):
    for MNIST `latent=100,width=1200,layers=2,noise=uniform,discriminator=maxout,discriminator_width=240,
    dropout_input=0.2,dropout=0.5`. The default is the plain form that later papers use for toy data; the networks of
    PacGAN for points (Lin et al. 2018, arXiv:1712.04086) are `latent=2,width=400,generator_layers=4,norm=batch,
    discriminator=maxout,discriminator_width=200,deviation=0.02`.

    Differs from the paper: pictures lie in [-1, 1], so that the generator ends in tanh where the authors' ends in a
    sigmoid; weights begin as torch's do.

    Args:
        latent: size of the latent.
        width: units in each hidden layer.
        layers: hidden layers of each network.
        activation: of the hidden layers, but for maxout.
        noise: what the latent is drawn from; uniform is from -1 to 1.
        discriminator: maxout takes the largest of several linear units for each hidden unit.
        discriminator_width: units in each of the discriminator's hidden layers; none: as width.
        pieces: linear units for each maxout unit.
        dropout_input: share of the discriminator's inputs that is dropped.
        dropout: share of the discriminator's hidden units that is dropped.
        generator_layers: hidden layers of the generator; none: as layers.
        norm: batch: the generator's hidden layers are normalised over the batch, and have no shifts of their own.
        deviation: weights begin at N(0, deviation) and shifts at 0; 0: as torch's do.
    """

    name = "mlp"
    paper = "arXiv:1406.2661"
    needs = ("image|points",)
    offers: tuple[str, ...] = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "unconditional_score",
    )
    tiny = {"latent": 4, "width": 8, "layers": 1, "activation": "leaky-relu"}  # units that cannot die

    def __init__(
        self,
        latent: int = 64,
        width: int = 128,
        layers: int = 3,
        activation: Literal["relu", "leaky-relu", "tanh"] = "relu",
        noise: Literal["normal", "uniform"] = "normal",
        discriminator: Literal["plain", "maxout"] = "plain",
        discriminator_width: int | None = None,
        pieces: int = 5,
        dropout_input: float = 0.0,
        dropout: float = 0.0,
        generator_layers: int | None = None,
        norm: Literal["none", "batch"] = "none",
        deviation: float = 0.0,
    ):
        narrow = width if discriminator_width is None else discriminator_width
        deep = layers if generator_layers is None else generator_layers
        if min(latent, width, layers, deep, narrow, pieces) < 1:
            raise ValueError("latent, widths, layers and pieces must be at least 1")
        if not (0 <= dropout_input < 1 and 0 <= dropout < 1):
            raise ValueError("dropout and dropout_input lie in [0, 1)")
        if deviation < 0:
            raise ValueError("deviation must not be negative")
        self.latent_size, self.layers, self.noise = latent, layers, noise
        self.width, self.discriminator_width = width, narrow
        self.activation, self.discriminator, self.pieces = activation, discriminator, pieces
        self.dropout_input, self.dropout = dropout_input, dropout
        self.generator_layers, self.norm, self.deviation = deep, norm, deviation
        if norm == "batch":
            self.offers = (*self.offers, "batch_norm_generator")

    def build(self, spec: Spec, plan: Plan) -> Networks:
        size = math.prod(spec.shape)
        unit = self._plain if self.norm == "none" else self._normalised
        hidden = self._hidden(self.latent_size, self.width, self.generator_layers, unit)
        generator = Generator([*hidden, nn.Linear(self.width, size)], spec.shape, bounded=spec.kind == "image")
        unit = self._plain if self.discriminator == "plain" else self._maxout
        wide = self.discriminator_width
        hidden = self._hidden(size, wide, self.layers, unit, self.dropout_input, self.dropout)
        networks = Networks.pair(generator, Discriminator(hidden, wide))
        for network in networks.all().values() if self.deviation else ():
            network.apply(self._initialise)
        return networks

    def latent(self, draws: Draws, count: int) -> Tensor:
        if self.noise == "uniform":
            return draws.uniform("latent", count, self.latent_size, low=-1.0, high=1.0)
        return draws.normal("latent", count, self.latent_size)

    def _hidden(
        self, inputs: int, width: int, layers: int, unit: Unit, first: float = 0.0, then: float = 0.0
    ) -> list[nn.Module]:
        """The layers in front of the last, with these shares of what goes into the first and out of each dropped."""
        stack: list[nn.Module] = [nn.Dropout(first)] if first else []
        for before, after in pairwise([inputs, *[width] * layers]):
            stack += [*unit(before, after), *([nn.Dropout(then)] if then else [])]
        return stack

    def _plain(self, inputs: int, outputs: int) -> list[nn.Module]:
        activations: dict[str, Callable[[], nn.Module]] = {
            "relu": nn.ReLU,
            "leaky-relu": lambda: nn.LeakyReLU(0.2),
            "tanh": nn.Tanh,
        }
        return [nn.Linear(inputs, outputs), activations[self.activation]()]

    def _normalised(self, inputs: int, outputs: int) -> list[nn.Module]:
        _, activation = self._plain(inputs, outputs)
        return [nn.Linear(inputs, outputs, bias=False), nn.BatchNorm1d(outputs), activation]

    def _initialise(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, self.deviation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def _maxout(self, inputs: int, outputs: int) -> list[nn.Module]:
        return [Maxout(inputs, outputs, self.pieces)]


@hookimpl
def register_architectures(register: Any) -> None:
    register(MLP)
