"""Rows of a table, made for a condition that is drawn first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Architecture,
    Arrays,
    Collection,
    Dataset,
    Draws,
    Game,
    Move,
    Networks,
    Optimizer,
    Plan,
    Procedure,
    Request,
    Scores,
    Spec,
    hookimpl,
    sample_latent_generator,
)

COLOURS = ("red", "green", "blue")
CENTER, SPREAD = torch.tensor([40.0, 3.0]), torch.tensor([10.0, 1.0])


class Rows(Arrays):
    """A table in memory. A condition is the wanted category as one of the columns, `[N, categories]`."""

    def matching(self, condition: Tensor, generator: torch.Generator) -> list[int]:
        holders = [column.nonzero().flatten() for column in self.samples[:, 2:].unbind(1)]
        wanted = [holders[category] for category in condition.argmax(1).tolist()]
        return [int(rows[torch.randint(len(rows), (1,), generator=generator)]) for rows in wanted]


class ToyTable(Dataset):
    """Rows with two numbers and a category of which one value is rare.

    Args:
        count: how many rows.
    """

    name = "toy-table"
    offers = ("table", "conditions", "ganzoo_toys.categories")
    tiny = {"count": 48}

    def __init__(self, count: int = 512):
        if count < 16:
            raise ValueError("count must be at least 16")
        self.count = count

    def open(self) -> Collection:
        generator = torch.Generator().manual_seed(0)
        category = torch.tensor([index % 16 // 10 + (index % 16 == 15) for index in range(self.count)])
        numbers = torch.randn(self.count, 2, generator=generator) + category[:, None]
        found = torch.bincount(category, minlength=len(COLOURS)).tolist()
        encoding = {"columns": ["age", "rooms", "colour"], "categories": list(COLOURS), "counts": found}
        encoded = torch.cat([numbers, torch.eye(len(COLOURS))[category]], dim=1)
        return Rows(Spec("table", (5,), words=("conditions", "ganzoo_toys.categories"), encoding=encoding), encoded)

    def decode(self, samples: Tensor, spec: Spec) -> Any:
        numbers = (samples[:, :2] * SPREAD + CENTER).tolist()
        names = [spec.encoding["categories"][index] for index in samples[:, 2:].argmax(1).tolist()]
        return [[round(age, 1), round(rooms), name] for (age, rooms), name in zip(numbers, names, strict=True)]


class Generator(nn.Module):
    """A latent beside its condition becomes rows [N, D]: numbers, then the shares of the categories."""

    def __init__(self, inputs: int, width: int, outputs: int):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))

    def forward(self, given: Tensor, label: Tensor | None = None) -> Tensor:
        made = self.main(given)
        return torch.cat([made[:, :2], made[:, 2:].softmax(1)], dim=1)


class Discriminator(nn.Module):
    """A score [N] of rows beside their condition, which stands in the label's place."""

    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.main = nn.Sequential(nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(self, rows: Tensor, label: Tensor | None = None) -> Scores:
        assert label is not None
        return Scores(self.main(torch.cat([rows, label], dim=1)).flatten())


class ToyTableNetworks(Architecture):
    """Fully connected networks that are given a condition.

    Args:
        latent: size of the latent.
        width: of the hidden layers.
    """

    name = "toy-table"
    needs = ("table", "conditions", "ganzoo_toys.categories")
    offers = ("ganzoo_toys.conditional_generator", "discriminator", "smooth_samples", "per_sample_scores")
    dataset = "toy-table"
    procedure = "toy-table"
    tiny = {"latent": 4, "width": 4}

    def __init__(self, latent: int = 16, width: int = 32):
        self.latent_size, self.width = latent, width

    def build(self, spec: Spec, plan: Plan) -> Networks:
        (size,), categories = spec.shape, len(spec.encoding["categories"])
        return Networks.pair(
            Generator(self.latent_size + categories, self.width, size), Discriminator(size + categories, self.width)
        )

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.normal("latent", count, self.latent_size)


class ToyConditional(Procedure):
    """A condition is drawn before each move; the rows that are shown meet it, and the generator is told to.

    Conditions come with the logarithm of the data's frequencies, so that rare categories are seen; samples with the
    frequencies themselves.

    Args:
        rate: learning rate.
        condition: weight of the cross-entropy between the wanted and the made category.
    """

    name = "toy-table"
    needs = ("conditions", "ganzoo_toys.conditional_generator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")

    def __init__(self, rate: float = 1e-3, condition: float = 1.0):
        self.rate, self.condition_weight = rate, condition

    def start(self, game: Game) -> None:
        optimizer = Optimizer(rate=self.rate, beta1=0.5)
        self.discriminator = game.add_player("discriminator", game.networks.discriminators, optimizer)
        self.generator = game.add_player("generator", game.networks.generators, optimizer)
        counts = torch.tensor(game.spec.encoding["counts"], dtype=game.dtype, device=game.device)
        self.shares = {"drawn": counts.log1p(), "true": counts}

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        given, condition = self._given(game, game.draws, game.batch, "drawn")
        real = game.take(game.batch, condition).sample
        with torch.no_grad():
            fake = game.generate(given)
        yield Move(
            self.discriminator,
            [game.discriminator_terms(self.discriminator, real, fake, label=condition, fake_label=condition)],
        )
        given, condition = self._given(game, game.draws, game.batch, "drawn")
        real, fake = game.take(game.batch, condition).sample, game.generate(given)
        terms = game.generator_terms(
            self.generator, fake, real=real, latent=given, label=condition, fake_label=condition
        )
        made = fake[:, -condition.shape[1] :].clamp(min=1e-6)
        terms["loss/condition"] = -self.condition_weight * (made.log() * condition).sum(1).mean()
        yield Move(self.generator, [terms])

    def _given(self, game: Game, draws: Draws, count: int, which: str) -> tuple[Tensor, Tensor]:
        """What the generator is given, and the condition [N, categories] in it."""
        shares = self.shares[which].cumsum(0)
        drawn = draws.uniform("condition", count, 1).to(shares) * shares[-1]
        category = (shares[None] <= drawn).sum(1).clamp(max=len(shares) - 1)
        condition = torch.eye(len(shares), dtype=game.dtype, device=game.device)[category]
        return torch.cat([game.latent(count, draws), condition], dim=1), condition

    def sample(self, game: Game, asked: Request) -> Tensor:
        def given(draws: Draws, count: int) -> Tensor:
            return self._given(game, draws, count, "true")[0]

        return sample_latent_generator(game, game.networks.generator, asked, given=given)


@hookimpl
def register_datasets(register: Any) -> None:
    register(ToyTable)


@hookimpl
def register_architectures(register: Any) -> None:
    register(ToyTableNetworks)


@hookimpl
def register_procedures(register: Any) -> None:
    register(ToyConditional)
