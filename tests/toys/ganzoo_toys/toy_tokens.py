"""Policy gradient: a generator writes words, and is paid by what a discriminator thinks of its sentences."""

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

WORDS = ("one", "two", "three", "four", "five", "six", "seven")


class ToyTokens(Dataset):
    """Sentences of six words in which each word follows one or two places after the last.

    Args:
        count: how many sentences.
    """

    name = "toy-tokens"
    offers = ("tokens",)
    tiny = {"count": 32}

    def __init__(self, count: int = 256):
        self.count = count

    def open(self) -> Collection:
        generator = torch.Generator().manual_seed(0)
        first = torch.randint(len(WORDS), (self.count, 1), generator=generator)
        steps = torch.randint(1, 3, (self.count, 5), generator=generator)
        sentences = torch.cat([first, first + steps.cumsum(1)], dim=1) % len(WORDS)
        return Arrays(Spec("tokens", (6,), encoding={"vocabulary": list(WORDS)}), sentences)


class Writer(nn.Module):
    """Writes sentences [N, T] word by word. What it draws comes from uniform numbers [N, T] that it is given."""

    def __init__(self, words: int, width: int):
        super().__init__()
        self.words = words
        self.embedding = nn.Embedding(words + 1, width)  # the last row stands before the first word
        self.cell, self.out = nn.GRUCell(width, width), nn.Linear(width, words)

    def forward(self, uniforms: Tensor, label: Tensor | None = None) -> Tensor:
        last = torch.full((len(uniforms),), self.words, device=uniforms.device)
        memory, written = None, []
        for drawn in uniforms.unbind(1):
            memory = self.cell(self.embedding(last), memory)
            shares = self.out(memory).float().softmax(1).cumsum(1)
            last = (shares < drawn[:, None]).sum(1).clamp(max=self.words - 1)
            written.append(last)
        return torch.stack(written, dim=1)

    def log_likelihood(self, sentences: Tensor) -> Tensor:
        """Log-probability [N, T] of each word given the words before it."""
        before = torch.cat([torch.full_like(sentences[:, :1], self.words), sentences[:, :-1]], dim=1)
        memory, found = None, []
        for last, word in zip(before.unbind(1), sentences.unbind(1), strict=True):
            memory = self.cell(self.embedding(last), memory)
            found.append(self.out(memory).log_softmax(1).gather(1, word[:, None]))
        return torch.cat(found, dim=1)


class Reader(nn.Module):
    """A score [N] for sentences [N, T]."""

    def __init__(self, words: int, width: int, length: int):
        super().__init__()
        self.embedding, self.out = nn.Embedding(words, width), nn.Linear(width * length, 1)

    def forward(self, sentences: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.out(self.embedding(sentences).flatten(1).tanh()).flatten())


class ToyTokenNetworks(Architecture):
    """A recurrent generator of words and a small discriminator of sentences.

    Args:
        width: of embeddings and memory.
    """

    name = "toy-tokens"
    needs = ("tokens",)
    offers = ("token_generator", "discriminator", "per_sample_scores")
    dataset = "toy-tokens"
    procedure = "toy-policy-gradient"
    tiny = {"width": 4}

    def __init__(self, width: int = 16):
        self.width = width

    def build(self, spec: Spec, plan: Plan) -> Networks:
        words, (self.length,) = len(spec.encoding["vocabulary"]), spec.shape
        return Networks.pair(Writer(words, self.width), Reader(words, self.width, self.length))

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.uniform("words", count, self.length)


class PolicyGradient(Procedure):
    """Pays a generator of words, for each sentence, minus the adversarial loss that the sentence costs it.

    No gradient flows through words, so any adversarial loss fits and no penalty on gradients does.

    Args:
        rate: learning rate.
    """

    name = "toy-policy-gradient"
    needs = ("tokens", "token_generator", "discriminator", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn")

    def __init__(self, rate: float = 1e-3):
        self.rate = rate

    def start(self, game: Game) -> None:
        self.discriminator = game.add_player("discriminator", game.networks.discriminators, Optimizer(rate=self.rate))
        self.generator = game.add_player("generator", game.networks.generators, Optimizer(rate=self.rate))

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        real = game.take(game.batch).sample
        written = self._write(game, len(real))
        yield Move(self.discriminator, [game.discriminator_terms(self.discriminator, real, written)])
        written = self._write(game, len(real))
        advantage = self._reward(game, real, written)
        with game.arithmetic():
            likelihood = game.networks.generator.log_likelihood(written).sum(1)  # type: ignore[operator]
        yield Move(self.generator, [{"loss/generator": -(advantage * likelihood).mean()}])

    @torch.no_grad()
    def _write(self, game: Game, count: int) -> Tensor:
        return game.generate(game.latent(count))

    @torch.no_grad()
    def _reward(self, game: Game, real: Tensor, written: Tensor) -> Tensor:
        """How much better than the batch's mean each sentence did, [N]."""
        real_scores = game.score(real) if game.loss.relativistic else None
        cost = game.loss.generator(real_scores, game.score(written)).reshape(len(written), -1).mean(1)
        game.note("reward", -cost.mean())
        return cost.mean() - cost

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, game.networks.generator, asked)


@hookimpl
def register_datasets(register: Any) -> None:
    register(ToyTokens)


@hookimpl
def register_architectures(register: Any) -> None:
    register(ToyTokenNetworks)


@hookimpl
def register_procedures(register: Any) -> None:
    register(PolicyGradient)
