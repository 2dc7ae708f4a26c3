"""Words are written by policy gradient. Yu, Zhang, Wang and Yu 2017, SeqGAN, arXiv:1609.05473, algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from ganzoo import (
    Average,
    Game,
    Move,
    Optimizer,
    Procedure,
    Request,
    Scores,
    UsageError,
    evaluating,
    hookimpl,
    sample_latent_generator,
)

PIECE = 1024  # sentences that the discriminator scores at once, which bounds the memory


class PolicyGradient(Procedure):
    """A generator of words learns from text, then from what a discriminator thinks of the ends of its sentences.

    Yu, Zhang, Wang and Yu 2017, SeqGAN, arXiv:1609.05473, algorithm 1. The step's number tells the phase: first
    `mle_steps` of maximum likelihood, one batch each; then `discriminator_steps` in which only the discriminator
    learns, one round each; then adversarial steps, each one batch of the generator and `rounds` of the discriminator.
    In a round a pool of sentences is written and read `passes` times, in moves of `discriminator_batch` real and as
    many written ones. A signal that ends the run waits for the step.

    The generator's loss is -sum_t log p(word t | words before) Q(t) (equations 6 to 8), with Q(t) the mean reward of
    `rollouts` sentences that share the first t words, written on by a delayed copy of the generator (equation 4), all
    in one batch; Q of the last word is the sentence's own reward. There is no baseline.

    The reward of a sentence is made from the generator's adversarial loss of it, so any such loss gives one: exp(-loss)
    where the loss is at least 0, and 1 - loss below, which goes on at the same height and slope and cannot overflow.
    For `nonsaturating`, whose loss is -log D, this is D, the paper's reward, exactly. The discriminator scores without
    dropout. Weight average of the delayed copy: `rollout_keep` old and the rest new after each move of the generator.

    Differs from the paper: real sentences and written ones stand in equal numbers in each move (the code shuffles them
    together). The code delays all of the copy but its embedding; here that is delayed too. (As we read the code, its
    graph is built before the first delay, so that there the copy is always the generator itself: rollout_keep=0.)

    Args:
        mle_steps: steps of maximum likelihood.
        discriminator_steps: rounds of the discriminator alone.
        rounds: of the discriminator in an adversarial step.
        pool: sentences that are written for a round.
        passes: how often a round reads its pool.
        discriminator_batch: real sentences in a move of the discriminator, and as many written ones.
        rollouts: sentences that stand for each beginning.
        rollout_keep: share of its old weights that the delayed copy keeps, in [0, 1); 0: the generator itself.
        reduction: whether the generator's loss is the sum over all words of the batch, as published, or their mean.
        rate: learning rate of the generator's Adam.
        discriminator_rate: learning rate of the discriminator's Adam.
        clip_norm: largest norm of the generator's gradient; 0: no limit.
    """

    name = "policy-gradient"
    paper = "arXiv:1609.05473"
    needs = ("tokens", "token_generator", "rollouts", "discriminator", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn")
    tiny = {"mle_steps": 1, "discriminator_steps": 1, "pool": 4, "discriminator_batch": 4, "rollouts": 2, "rate": 0.01}

    def __init__(
        self,
        mle_steps: int = 2000,
        discriminator_steps: int = 10,
        rounds: int = 1,
        pool: int = 1024,
        passes: int = 1,
        discriminator_batch: int = 32,
        rollouts: int = 16,
        rollout_keep: float = 0.8,
        reduction: Literal["sum", "mean"] = "sum",
        rate: float = 1e-2,
        discriminator_rate: float = 1e-4,
        clip_norm: float = 5.0,
    ):
        if min(rounds, passes, discriminator_batch, rollouts) < 1:
            raise ValueError("rounds, passes, discriminator_batch and rollouts must be at least 1")
        if min(mle_steps, discriminator_steps, clip_norm) < 0:
            raise ValueError("steps and norms must not be negative")
        if pool < discriminator_batch:
            raise ValueError("pool must hold at least one discriminator_batch")
        if not 0 <= rollout_keep < 1:
            raise ValueError("rollout_keep lies in [0, 1)")
        self.mle_steps, self.discriminator_steps = mle_steps, discriminator_steps
        self.rounds, self.pool, self.passes, self.discriminator_batch = rounds, pool, passes, discriminator_batch
        self.rollouts, self.rollout_keep, self.reduction = rollouts, rollout_keep, reduction
        self.optimizers = [Optimizer(rate=one, beta1=0.9) for one in (rate, discriminator_rate)]
        self.clip_norm = clip_norm

    def start(self, game: Game) -> None:
        world = game.draws.world
        if self.pool % world or self.discriminator_batch % world:
            raise UsageError(f"pool and discriminator_batch cannot be shared among {world} processes")
        networks, clip = game.networks, self.clip_norm or None
        writing, reading = self.optimizers
        # Two players with one network: each phase has moments of its own, as in the authors' code.
        self.likelihood = game.add_player("likelihood", networks.generators, writing, clip_norm=clip)
        self.generator = game.add_player("generator", networks.generators, writing, clip_norm=clip)
        self.discriminator = game.add_player("discriminator", networks.discriminators, reading)
        half_life = math.log(0.5) / math.log(self.rollout_keep) if self.rollout_keep else 0.0
        self.delayed = Average(networks.generator, half_life)

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        begin = self.mle_steps + self.discriminator_steps + 1
        if step <= self.mle_steps:
            yield Move(self.likelihood, [self._likelihood_terms(game)])
        elif step < begin:
            yield from self._rounds(game, 1)
        else:
            if step == begin:
                self.delayed.network.load_state_dict(game.networks.generator.state_dict())
            yield Move(self.generator, [self._generator_terms(game)])
            self.delayed.update(game.networks.generator, 1, step)
            yield from self._rounds(game, self.rounds)

    def _likelihood_terms(self, game: Game) -> dict[str, Tensor]:
        sentences = game.take(game.batch).sample
        return {"loss/likelihood": -self._log_likelihood(game, sentences).mean()}

    def _generator_terms(self, game: Game) -> dict[str, Tensor]:
        sentences = self._written(game, game.batch)
        rewards = self.rewards(game, sentences)
        game.note("reward/mean", rewards.mean())
        game.note("reward/sentence", rewards[:, -1].mean())
        values = -rewards * self._log_likelihood(game, sentences)
        # Gradients are averaged over processes, and the sum over all of them is what is published.
        loss = values.mean() if self.reduction == "mean" else values.sum() * game.draws.world
        return {"loss/generator": loss}

    def _rounds(self, game: Game, count: int) -> Iterator[Move]:
        share = self.discriminator_batch // game.draws.world
        for _ in range(count):
            pool = self._written(game, self.pool)
            for _ in range(self.passes):
                shuffle = game.draws.generator("pool", "cpu")
                order = torch.randperm(len(pool), generator=shuffle).to(pool.device)
                for rows in order[: len(order) // share * share].split(share):
                    real = game.take(self.discriminator_batch).sample
                    yield Move(self.discriminator, [game.discriminator_terms(self.discriminator, real, pool[rows])])

    def _log_likelihood(self, game: Game, sentences: Tensor) -> Tensor:
        with game.arithmetic():
            found: Tensor = game.networks.generator.log_likelihood(sentences)  # type: ignore[operator]
        return found

    def _written(self, game: Game, count: int) -> Tensor:
        """This process's share of `count` new sentences."""
        with evaluating(game.networks.generator):
            return game.generate(game.latent(count // game.draws.world))

    def rewards(self, game: Game, sentences: Tensor) -> Tensor:
        """What each word of sentences [N, T] is paid, [N, T]: the mean reward of what begins so far (equation 4)."""
        count, length = sentences.shape
        uniforms = game.draws.uniform("rollouts", count, self.rollouts, length - 1, length - 1)
        with evaluating(self.delayed.network), game.arithmetic():
            ends = self.delayed.network.rollouts(sentences, uniforms)  # type: ignore[operator]
        paid = self._paid(game, torch.cat([ends.flatten(0, 2), sentences]), count)
        begun = paid[:-count].view(length - 1, self.rollouts, count).mean(1)
        return torch.cat([begun, paid[-count:][None]]).T

    def _paid(self, game: Game, sentences: Tensor, count: int) -> Tensor:
        """The reward [M] of each sentence [M, T]. M is a multiple of `count`, the batch."""
        with evaluating(game.networks.discriminator):
            scores = Scores(torch.cat([game.score(piece).value for piece in sentences.split(PIECE)]))
            real = None
            if game.loss.relativistic:
                value = game.score(game.take(game.batch).sample).value
                real = Scores(value.repeat(len(sentences) // count, *[1] * (value.ndim - 1)))
            cost = game.loss.generator(real, scores).reshape(len(sentences), -1).mean(1)
        return torch.where(cost >= 0, (-cost).exp(), 1 - cost)

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, game.networks.generator, asked)

    def state(self) -> dict[str, Any]:
        return {"delayed": self.delayed.network.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        self.delayed.network.load_state_dict(state["delayed"])


@hookimpl
def register_procedures(register: Any) -> None:
    register(PolicyGradient)
