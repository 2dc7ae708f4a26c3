"""Metz, Poole, Pfau and Sohl-Dickstein 2017, Unrolled Generative Adversarial Networks, arXiv:1611.02163."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ganzoo import Game, OptimizerName, Scores, hookimpl, mean_over_processes
from ganzoo_plugins.procedures.adversarial import Adversarial
from ganzoo_plugins.procedures.schedules import Form

_EPSILON = 1e-8  # of Adam
_LEAST = 1e-30  # under a root, because a root has no slope at 0, and a unit that is off has that gradient


class Unrolled(Adversarial):
    """The generator moves against the discriminator as it will be some steps later, and sees how it brings that about.

    Metz, Poole, Pfau and Sohl-Dickstein 2017, arXiv:1611.02163, equations 7 to 9: the discriminator's next `unroll`
    steps are computed, and the generator's gradient flows through all of them as well; then the discriminator is what
    it was, to the bit, and only its own move counts. As in the authors' code the steps ahead are Adam's, from the
    discriminator's own moments, and see one batch of real samples and one of fakes, the generator's own. `unroll=0` is
    `adversarial`. A generator's move costs about `unroll` times as much more.

    Differs from the paper: the steps ahead minimise the adversarial loss of samples as they are augmented, and no
    penalties; the paper has none.

    Args:
        unroll: the paper's k, steps that the discriminator is ahead, at least 0.
        ahead: how it steps there: sgd follows the gradient by the learning rate.
        ahead_rate: learning rate of these steps; none: the discriminator's at this step.
        n_critic: discriminator moves in a step.
        optimizer: of both sides.
        rate: learning rate.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        generator_rate: learning rate of the generator; none: rate.
        discriminator_rate: learning rate of the discriminator; none: rate.
        schedule: the rates' way to their end; constant stays.
        schedule_start: step after which the rates begin to fall.
        schedule_end: share of the rates that is left at the end.
        schedule_steps: step at which they have; none: the run's number of steps, which then cannot change.
        average: half-life of the generator's weight average in samples; 0: no average.
        average_ramp: early on the half-life is at most this share of the samples seen; 0: no ramp.
        clip_norm: largest norm of a side's gradient; 0: no limit.
    """

    name = "unrolled"
    paper = "arXiv:1611.02163"
    tiny = {"unroll": 2}

    def __init__(
        self,
        unroll: int = 5,
        ahead: Literal["adam", "sgd"] = "adam",
        ahead_rate: float | None = None,
        n_critic: int = 1,
        optimizer: OptimizerName = "adam",
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        generator_rate: float | None = None,
        discriminator_rate: float | None = None,
        schedule: Form = "constant",
        schedule_start: int = 0,
        schedule_end: float = 0.0,
        schedule_steps: int | None = None,
        average: float = 0.0,
        average_ramp: float = 0.0,
        clip_norm: float = 0.0,
    ):
        super().__init__(
            n_critic=n_critic,
            optimizer=optimizer,
            rate=rate,
            beta1=beta1,
            beta2=beta2,
            generator_rate=generator_rate,
            discriminator_rate=discriminator_rate,
            schedule=schedule,
            schedule_start=schedule_start,
            schedule_end=schedule_end,
            schedule_steps=schedule_steps,
            average=average,
            average_ramp=average_ramp,
            clip_norm=clip_norm,
        )
        if unroll < 0 or (ahead_rate is not None and ahead_rate < 0):
            raise ValueError("unroll and ahead_rate must not be negative")
        self.unroll, self.ahead, self.ahead_rate = unroll, ahead, ahead_rate
        self.betas = beta1, beta2

    def _generator_terms(self, game: Game) -> Iterator[dict[str, Tensor]]:
        if not self.unroll:
            yield from super()._generator_terms(game)
            return
        batch = game.take(game.batch)
        latent = game.latent(len(batch))
        label = batch.label if "labels" in game.plan.needs else None
        fake = game.generate(latent, label)
        copy = Copy(game.networks.discriminator)
        with standing_in(game, copy):
            self._step_ahead(game, copy, batch.sample, fake, label)
            real = batch.sample if game.loss.relativistic else None
            terms = game.generator_terms(self.generator, fake, real=real, latent=latent, label=label, fake_label=label)
        yield terms

    def _step_ahead(self, game: Game, copy: Copy, real: Tensor, fake: Tensor, label: Tensor | None) -> None:
        """Move the copy's parameters, with the graph of how they moved."""
        names = list(copy.parameters_ahead)
        moments = Moments(self.discriminator.optimizer, self.discriminator.parameters, names, self.betas)
        rate = self._rate_ahead()
        for _ in range(self.unroll):
            loss = game.loss.discriminator(game.score(real, label), game.score(fake, label)).mean()
            now = list(copy.parameters_ahead.values())
            found = torch.autograd.grad(loss, now, create_graph=True, allow_unused=True, materialize_grads=True)
            gradients = [mean_over_processes(gradient) for gradient in found]
            ways = moments.ways(gradients) if self.ahead == "adam" else gradients
            moved = (parameter - rate * way for parameter, way in zip(now, ways, strict=True))
            copy.parameters_ahead = dict(zip(names, moved, strict=True))

    def _rate_ahead(self) -> float:
        rate: float = self.discriminator.optimizer.param_groups[0]["lr"]
        return rate if self.ahead_rate is None else self.ahead_rate


class Copy(nn.Module):
    """A network that computes with parameters of its own, which may be results of a graph, and with copies of the
    network's buffers."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self._network = (network,)  # no submodule: nobody shall move it by this name
        self.parameters_ahead: dict[str, Tensor] = dict(network.named_parameters())
        self.copied = {name: buffer.clone() for name, buffer in network.named_buffers()}

    def forward(self, x: Tensor, label: Tensor | None = None) -> Scores:
        scores: Scores = functional_call(self._network[0], (self.parameters_ahead, self.copied), (x, label))
        return scores


@contextmanager
def standing_in(game: Game, copy: Copy) -> Iterator[None]:
    """Within: the copy is the discriminator."""
    network = game.networks.discriminator
    game.networks.discriminators["discriminator"] = copy
    try:
        yield
    finally:
        game.networks.discriminators["discriminator"] = network


class Moments:
    """Adam's moments of these parameters, from those of an optimizer on; it is not changed."""

    def __init__(self, optimizer: Any, parameters: dict[str, Any], names: list[str], betas: tuple[float, float]):
        found = [parameters[f"discriminator.{name}"] for name in names]
        states = [optimizer.state.get(parameter, {}) for parameter in found]
        zeros = [torch.zeros_like(parameter) for parameter in found]
        # Kept as they are: what is computed from them is new each time.
        self.first = [state.get("exp_avg", zero).detach() for state, zero in zip(states, zeros, strict=True)]
        self.second = [state.get("exp_avg_sq", zero).detach() for state, zero in zip(states, zeros, strict=True)]
        counted = next((state["step"] for state in states if "exp_avg" in state), torch.zeros(()))
        # In 64 bit, because 1 - beta2^count would keep few digits of 32.
        self.count, self.betas = counted.double().to(zeros[0].device), betas

    def ways(self, gradients: list[Tensor]) -> list[Tensor]:
        """What a rate of 1 would move the parameters by, by these gradients, after the steps before."""
        (beta1, beta2), self.count = self.betas, self.count + 1
        self.first = [torch.lerp(gradient, m, beta1) for gradient, m in zip(gradients, self.first, strict=True)]
        self.second = [torch.lerp(gradient**2, v, beta2) for gradient, v in zip(gradients, self.second, strict=True)]
        by_first, by_second = 1 - beta1**self.count, 1 - beta2**self.count
        return [
            m / by_first.to(m) / ((v / by_second.to(v) + _LEAST).sqrt() + _EPSILON)
            for m, v in zip(self.first, self.second, strict=True)
        ]


@hookimpl
def register_procedures(register: Any) -> None:
    register(Unrolled)
