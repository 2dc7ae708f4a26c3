"""Xu et al. 2019, Modeling Tabular Data using Conditional GAN, arXiv:1907.00503, section 4.3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import Draws, Game, Move, Optimizer, Procedure, Request, UsageError, hookimpl, sample_latent_generator
from ganzoo_plugins.datasets.table_columns import blocks


class TrainingBySampling(Procedure):
    """Rows are drawn and made for a condition, one category of one column, drawn so that rare ones are seen too.

    Xu et al. 2019, arXiv:1907.00503, section 4.3: a column of categories is drawn, each as often; then one of its
    categories, by the logarithm of how often it is. Real rows that meet the condition are compared with rows made for
    it, and the generator pays for categories that it was asked for and did not make. Samples are asked for with the
    frequencies of the data. The discriminator judges packs of rows (its `pack`), each beside its conditions. A table
    without categories is played without conditions.

    It needs a generator with `raw`, `rows` and `condition_cost` (see `ctgan`).

    Differs from the paper: the logarithm is of the count and 1, so that a category that stands in one row is drawn.

    Args:
        n_critic: discriminator moves in a step.
        rate: learning rate of Adam.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        weight_decay: of the generator: this share of each weight is added to its gradient.
        condition: weight of the cross-entropy between the categories asked for and made.
        frequency: how often a category is asked for in training: log, by the logarithm of its count, or true, by it.
    """

    name = "training-by-sampling"
    paper = "arXiv:1907.00503"
    needs = ("table", "columns", "conditional_generator", "discriminator", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")

    def __init__(
        self,
        n_critic: int = 1,
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.9,
        weight_decay: float = 1e-6,
        condition: float = 1.0,
        frequency: Literal["log", "true"] = "log",
    ):
        if n_critic < 1 or condition < 0:
            raise ValueError("n_critic must be at least 1, and condition must not be negative")
        self.n_critic, self.condition_weight, self.frequency = n_critic, condition, frequency
        self.optimizer = Optimizer(rate=rate, beta1=beta1, beta2=beta2)
        self.decaying = Optimizer(rate=rate, beta1=beta1, beta2=beta2, weight_decay=weight_decay)

    def start(self, game: Game) -> None:
        self.pack: int = game.networks.discriminator.pack  # type: ignore[assignment]
        self.share = game.batch // game.draws.world
        if self.share % self.pack:
            raise UsageError(
                f"a batch of {self.share} cannot be cut into packs of {self.pack}; say --batch with a multiple of "
                f"{self.pack}, or --arch {game.parts.architecture.name}:pack=1"
            )
        self.discriminator = game.add_player("discriminator", game.networks.discriminators, self.optimizer)
        self.generator = game.add_player("generator", game.networks.generators, self.decaying)
        counts = [column.column["counts"] for column in blocks(game.spec.encoding) if column.is_category]
        self.shares = {"log": _Shares(counts, game, True), "true": _Shares(counts, game, False)} if counts else None

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        for _ in range(self.n_critic):
            condition = self._condition(game, game.draws, self.share, self.frequency)
            real = game.take(game.batch, condition).sample
            with torch.no_grad():
                fake = game.generate(self._given(game, game.draws, self.share, condition))
            asked = self._packed(condition)
            terms = game.discriminator_terms(
                self.discriminator, self._packs(real), self._packs(fake), label=asked, fake_label=asked
            )
            yield Move(self.discriminator, [terms])
        yield Move(self.generator, [self._generator_terms(game)])

    def _generator_terms(self, game: Game) -> dict[str, Tensor]:
        condition = self._condition(game, game.draws, self.share, self.frequency)
        real = game.take(game.batch, condition).sample if game.loss.relativistic else None
        generator: Any = game.networks.generator
        with game.arithmetic():
            raw = generator.raw(self._given(game, game.draws, self.share, condition))
            fake = generator.rows(raw).to(game.dtype)
        asked = self._packed(condition)
        terms = game.generator_terms(
            self.generator,
            self._packs(fake),
            real=None if real is None else self._packs(real),
            label=asked,
            fake_label=asked,
        )
        if condition is not None:
            cost = generator.condition_cost(raw.to(game.dtype), condition).mean()
            terms["loss/condition"] = self.condition_weight * cost
        return terms

    def _condition(self, game: Game, draws: Draws, count: int, frequency: str) -> Tensor | None:
        return None if self.shares is None else self.shares[frequency].drawn(draws, count)

    def _given(self, game: Game, draws: Draws, count: int, condition: Tensor | None) -> Tensor:
        latent = game.latent(count, draws)
        return latent if condition is None else torch.cat([latent, condition], dim=1)

    def _packs(self, rows: Tensor) -> Tensor:
        """[N, D] as [N / pack, pack * D]: what is scored and penalised as one sample."""
        return rows.reshape(len(rows) // self.pack, -1)

    def _packed(self, condition: Tensor | None) -> Tensor | None:
        return None if condition is None else self._packs(condition)

    def sample(self, game: Game, asked: Request) -> Tensor:
        def given(draws: Draws, count: int) -> Tensor:
            return self._given(game, draws, count, self._condition(game, draws, count, "true"))

        return sample_latent_generator(game, self.sampling_network(game), asked, given=given)


class _Shares:
    """How often each category of each column is asked for. counts: of the categories, by column."""

    def __init__(self, counts: list[list[int]], game: Game, logarithm: bool):
        self.dtype, self.sizes = game.dtype, torch.tensor([len(found) for found in counts], device=game.device)
        self.starts = self.sizes.cumsum(0) - self.sizes
        # Of each column, the shares up to and with each category; beyond the last one, nothing is drawn.
        self.cumulative = torch.full((len(counts), int(self.sizes.max())), 2.0, dtype=torch.float64)
        for column, found in enumerate(counts):
            shares = torch.tensor(found, dtype=torch.float64)
            shares = shares.log1p() if logarithm else shares
            self.cumulative[column, : len(found)] = shares.cumsum(0) / shares.sum()
        self.cumulative = self.cumulative.to(game.device)

    def drawn(self, draws: Draws, count: int) -> Tensor:
        """Conditions [N, C], each one category of one column."""
        column = draws.integers("column", count, high=len(self.sizes))
        share = draws.uniform("category", count).double()
        category = (self.cumulative[column] <= share[:, None]).sum(1).minimum(self.sizes[column] - 1)
        condition = torch.zeros(count, int(self.sizes.sum()), dtype=self.dtype, device=column.device)
        return condition.scatter_(1, (self.starts[column] + category)[:, None], 1.0)


@hookimpl
def register_procedures(register: Any) -> None:
    register(TrainingBySampling)
