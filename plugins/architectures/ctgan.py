"""Xu, Skoularidou, Cuesta-Infante and Veeramachaneni 2019, Modeling Tabular Data using Conditional GAN,
arXiv:1907.00503."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, Spec, hookimpl, truncated_normal
from ganzoo_plugins.datasets.table_columns import Block, blocks


class Residual(nn.Module):
    """What comes in [N, inputs], beside what a layer makes of it [N, width]."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.linear, self.norm = nn.Linear(inputs, width), nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.norm(self.linear(x)).relu()], dim=1)


class Generator(nn.Module):
    """A latent beside a condition [N, latent + conditions] becomes rows [N, D] (section 4.4).

    `raw` gives what each number and category is made of, `rows` turns that into a row, and `condition_cost` says how
    far it is from its condition.
    """

    def __init__(self, inputs: int, width: int, layers: int, columns: tuple[Block, ...], temperature: float):
        super().__init__()
        grown = [inputs + width * layer for layer in range(layers + 1)]
        self.main = nn.Sequential(*(Residual(size, width) for size in grown[:-1]))
        self.last = nn.Linear(grown[-1], columns[-1].stop)
        self.columns, self.temperature = columns, temperature

    def forward(self, given: Tensor, label: Tensor | None = None) -> Tensor:
        return self.rows(self.raw(given))

    def raw(self, given: Tensor) -> Tensor:
        """[N, D]: numbers before tanh, log odds of modes and categories."""
        made: Tensor = self.last(self.main(given))
        return made

    def rows(self, raw: Tensor) -> Tensor:
        """Numbers in [-1, 1], and modes and categories as shares that are nearly 0 or 1: Gumbel-softmax (Jang et al.
        2017, arXiv:1611.01144), which draws one of them."""
        gumbel = -torch.empty_like(raw).exponential_().log()
        drawn, pieces = (raw + gumbel) / self.temperature, []
        for column in self.columns:
            if column.number is not None:
                pieces.append(raw[:, column.number : column.number + 1].tanh())
            pieces.append(drawn[:, column.start : column.stop].softmax(1))
        return torch.cat(pieces, dim=1)

    def condition_cost(self, raw: Tensor, condition: Tensor) -> Tensor:
        """The cross-entropy [N] between the category that was wanted [N, C] and the ones that were made."""
        found = [raw[:, column.start : column.stop].log_softmax(1) for column in self.columns if column.is_category]
        return -(torch.cat(found, dim=1) * condition).sum(1)


class Discriminator(nn.Module):
    """Packs of rows [N, pack * D] and their conditions [N, pack * C], which stand in the label's place, become a score
    [N] (Lin et al. 2018, PacGAN, arXiv:1712.04086)."""

    def __init__(self, row: int, condition: int, pack: int, width: int, layers: int, dropout: float):
        super().__init__()
        self.pack, sizes = pack, [pack * (row + condition), *[width] * layers]
        stack: list[nn.Module] = []
        for before, after in pairwise(sizes):
            stack += [nn.Linear(before, after), nn.LeakyReLU(0.2), nn.Dropout(dropout)]
        self.main = nn.Sequential(*stack, nn.Linear(sizes[-1], 1))

    def forward(self, packs: Tensor, label: Tensor | None = None) -> Scores:
        shown = packs if label is None else torch.cat([packs, label], dim=1)
        return Scores(self.main(shown).flatten())


class CTGAN(Architecture):
    """Networks for tables: a residual generator that draws modes and categories, and a discriminator of packs of rows.

    Xu et al. 2019, arXiv:1907.00503, section 4.4. The generator is told a category of one column, and draws modes and
    categories by Gumbel-softmax with a temperature of 0.2. The discriminator sees 10 rows at a time, with what was
    asked of each, so that it sees when they are too much alike. What it scores is a pack, and penalties are of packs.

    Differs from the paper: real and made packs are judged with the same conditions, and the gradient that a penalty
    looks at is that of the rows alone, where the paper joins rows and conditions.

    Args:
        latent: size of the latent.
        width: units in each of the generator's hidden layers.
        layers: hidden layers of the generator.
        discriminator_width: units in each of the discriminator's hidden layers.
        discriminator_layers: hidden layers of the discriminator.
        pack: rows that are judged together.
        temperature: of the Gumbel-softmax; near 0 rows are drawn, far from it they are mixed.
        dropout: share of the discriminator's hidden units that is dropped.
    """

    name = "ctgan"
    paper = "arXiv:1907.00503"
    needs = ("table", "columns")
    offers = ("conditional_generator", "discriminator", "smooth_samples", "per_sample_scores")
    procedure = "training-by-sampling"
    dataset = "households"
    tiny = {"latent": 4, "width": 8, "layers": 1, "discriminator_width": 8, "discriminator_layers": 1, "pack": 2}

    def __init__(
        self,
        latent: int = 128,
        width: int = 256,
        layers: int = 2,
        discriminator_width: int = 256,
        discriminator_layers: int = 2,
        pack: int = 10,
        temperature: float = 0.2,
        dropout: float = 0.5,
    ):
        if min(latent, width, layers, discriminator_width, discriminator_layers, pack) < 1:
            raise ValueError("latent, widths, layers and pack must be at least 1")
        if temperature <= 0 or not 0 <= dropout < 1:
            raise ValueError("temperature must be more than 0, and dropout lies in [0, 1)")
        self.latent_size, self.width, self.layers, self.pack = latent, width, layers, pack
        self.discriminator_width, self.discriminator_layers = discriminator_width, discriminator_layers
        self.temperature, self.dropout = temperature, dropout

    def build(self, spec: Spec, plan: Plan) -> Networks:
        columns = blocks(spec.encoding)
        condition = sum(column.size for column in columns if column.is_category)
        generator = Generator(self.latent_size + condition, self.width, self.layers, columns, self.temperature)
        discriminator = Discriminator(
            spec.shape[0], condition, self.pack, self.discriminator_width, self.discriminator_layers, self.dropout
        )
        return Networks.pair(generator, discriminator)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        """The numbers of the latent are truncated; the condition beside them stays."""
        normal, condition = latent[:, : self.latent_size], latent[:, self.latent_size :]
        truncated = normal if truncation == 1 else truncated_normal(normal, 2 * truncation)
        made: Tensor = network(torch.cat([truncated, condition], dim=1), label)
        return made


@hookimpl
def register_architectures(register: Any) -> None:
    register(CTGAN)
