"""GON. Bond-Taylor and Willcocks 2021, Gradient Origin Networks, arXiv:2007.02798."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import (
    Draws,
    Game,
    Move,
    Optimizer,
    Procedure,
    Request,
    UsageError,
    derive,
    hookimpl,
    mean_over_processes,
    sample_latent_generator,
    without_a_trace,
)
from ganzoo_plugins.procedures.codes import Heads, Kept, divergence, drawn_as, note_error

_REMEMBERED = 100  # steps over which the mean and the spread of codes are averaged
_OPENED = 0.1  # deviation of the shifts that a network begins with which would otherwise be closed, or too steep
_STEEPEST = 1e9  # slope at the origin beyond which the gradient through it may overflow


class Moments(nn.Module):
    """The mean [D] and the second moment [D, D] of codes: those of all steps at first, then of about the last 100."""

    mean: Tensor
    second: Tensor

    def __init__(self, size: int, device: torch.device):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float64, device=device))
        self.register_buffer("second", torch.zeros(size, size, dtype=torch.float64, device=device))

    @torch.no_grad()
    def update(self, codes: Tensor, step: int) -> None:
        flat = codes.detach().double()
        share = max(1 / step, 1 / _REMEMBERED)
        self.mean.lerp_(mean_over_processes(flat.mean(0)), share)
        self.second.lerp_(mean_over_processes(flat.T @ flat / len(flat)), share)

    def covariance(self) -> Tensor:
        return self.second - self.mean.outer(self.mean)


class GradientOrigin(Procedure):
    """A sample's latent is minus the gradient, at the origin, of how far the generator is from it (GON).

    Bond-Taylor and Willcocks 2021, arXiv:2007.02798, equations 5 and 6, and 8 to 10 for the variational form: no
    encoder and no discriminator; the generator moves along the gradient through that gradient. New samples are made of
    latents drawn from the Gaussian that fits the codes of about the last 100 steps; in the variational form, of normal
    ones. A run's picture shows real samples, their reconstructions and new samples side by side.

    Differs from the paper: the inner loss is a sum over a sample's values, so that a code does not depend on the rest
    of the batch, nor on its size. In the authors' code it is a mean over values and batch, which is `inner=batch`.
    A network that normalises over its batch makes codes depend on it either way; reconstructions are then made with
    the statistics of the batch that is reconstructed, as in training. Steps at the origin do not count in the
    statistics that such a network keeps. Where a network lets no gradient through at the origin (its shifts are 0 in
    front of ReLUs), or a boundless one (it normalises zeros), those shifts begin at N(0, 0.1).

    Args:
        inner: sample adds the losses of samples up inside; batch takes their mean over the batch.
        variational: two linear layers make a mean and a variance of the code, and a divergence is added to the loss.
        weight: of the divergence (variational form).
        rate: learning rate, of Adam.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
    """

    name = "gradient-origin"
    paper = "arXiv:2007.02798"
    needs = ("latent_generator", "reconstruction_loss")
    offers = ("reconstruction_turns",)
    loss = "l2"

    def __init__(
        self,
        inner: Literal["sample", "batch"] = "sample",
        variational: bool = False,
        weight: float = 1.0,
        rate: float = 1e-4,
        beta1: float = 0.9,
        beta2: float = 0.999,
    ):
        if weight < 0:
            raise ValueError("weight must not be negative")
        self.inner, self.variational, self.weight = inner, variational, weight
        self.optimizer = Optimizer("adam", rate, beta1, beta2)

    def start(self, game: Game) -> None:
        self.shape = game.parts.architecture.latent(Draws(0, device=game.device), 1).shape[1:]
        size = self.shape.numel()
        _open(game, self.shape)
        modules = {"generator": game.networks.generator}
        self.heads = Heads(size, size).to(game.device, game.dtype) if self.variational else None
        if self.heads is not None:
            modules["heads"] = self.heads
        self.player = game.add_player("generator", modules, self.optimizer)
        self.moments, self.kept = Moments(size, game.device), Kept(game)
        self.fitted: Callable[[Draws, int], Tensor] | None = None

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch = game.take(game.batch)
        network = game.networks.generator
        with still_statistics(network):
            code = self._code(game, network, batch.sample, batch.label, game.draws)
        made, apart = self._made(game, network, code, batch.label, game.draws)
        note_error(game, made, batch.sample)
        game.note("code/length", code.norm(dim=1).mean())
        if apart is None:
            terms = {"loss/generator": game.loss.mean(made, batch.sample).mean()}
        else:
            total = game.loss.total(made, batch.sample).mean()
            terms = {"loss/generator": total, "loss/divergence": self.weight * apart.mean()}
        yield Move(self.player, [terms])
        self.moments.update(code, step)
        self.fitted = None

    def _code(
        self, game: Game, network: nn.Module, wanted: Tensor, label: Tensor | None, draws: Draws | None
    ) -> Tensor:
        """The codes [N, D] of samples; gradients flow through them. draws: None for no noise."""

        def inner(at: Tensor) -> Tensor:
            made, apart = self._made(game, network, at, label, draws)
            per_value = self.inner == "batch" and apart is None
            values = game.loss.mean(made, wanted) if per_value else game.loss.total(made, wanted)
            values = values if apart is None else values + self.weight * apart
            return values.sum() / (game.batch if self.inner == "batch" else 1)

        return code_at(wanted.new_zeros(len(wanted), self.shape.numel()), inner)

    def _made(
        self, game: Game, network: nn.Module, code: Tensor, label: Tensor | None, draws: Draws | None
    ) -> tuple[Tensor, Tensor | None]:
        """What is made of codes [N, D], and in the variational form their divergence [N]."""
        latent, apart = code, None
        if self.heads is not None:
            latent, log_variance = self.heads(code)
            apart = divergence(latent, log_variance)
            if draws is not None:
                noise = draws.normal("posterior", *code.shape).to(code)
                latent = latent + noise * (log_variance / 2).exp()
        with game.arithmetic():
            made = network(latent.reshape(-1, *self.shape), label)
        return made.to(game.dtype), apart

    def latent(self, game: Game, draws: Draws, count: int) -> Tensor:
        """Latents like the codes of late; in the variational form, normal ones."""
        if self.variational:
            return draws.normal("latent", count, *self.shape)
        if self.fitted is None:
            self.fitted = drawn_as(self.moments.mean, self.moments.covariance())
        return self.fitted(draws, count).reshape(count, *self.shape)

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, game.networks.generator, asked)

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        def reconstruct(sample: Tensor, label: Tensor | None) -> Tensor:
            # A copy: a network in training mode may remember what it has seen.
            network = copy.deepcopy(game.networks.generator).train()
            # The origin is as noisy as in training: without noise all rows there are equal, which a batch normalisation
            # that has never seen it makes another network of. What is shown is made of the mean.
            draws = Draws(derive(asked.seed, "origin"), device=game.device)
            with torch.enable_grad(), without_a_trace(game.device, asked.seed):
                code = self._code(game, network, sample, label, draws).detach()
                return self._made(game, network, code, label, None)[0]

        return self.kept.beside(reconstruct, asked, partial(self.sample, game))

    def state(self) -> dict[str, Any]:
        heads = {} if self.heads is None else {"heads": self.heads.state_dict()}
        return {"moments": self.moments.state_dict(), "kept": self.kept.state(), **heads}

    def load(self, state: dict[str, Any]) -> None:
        self.moments.load_state_dict(state["moments"])
        self.fitted = None
        self.kept.load(state["kept"])
        if self.heads is not None:
            self.heads.load_state_dict(state["heads"])


def code_at(origin: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Minus the gradient of a loss at the origin, through which gradients flow (equation 5)."""
    at = origin.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(at), at, create_graph=True)
    return -gradient


@contextmanager
def still_statistics(network: nn.Module) -> Iterator[None]:
    """Within: batch normalisation in training mode leaves the statistics that it keeps as they are.

    All rows are equal at the origin, and nothing has that spread when the network is used.
    """
    norms = [
        module
        for module in network.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    ]
    before = [(norm, norm.running_mean, norm.running_var, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, mean, variance, count in before:
            norm.running_mean, norm.running_var, norm.num_batches_tracked = mean, variance, count


def _open(game: Game, shape: torch.Size) -> None:
    """See that a gradient reaches a latent at the origin; where none does, begin with shifts that are not 0."""
    network, name = game.networks.generator, game.parts.architecture.name
    if 0 < _steepness(game, network, shape) < _STEEPEST:
        return
    shut = [parameter for parameter in network.parameters() if parameter.ndim == 1 and not parameter.any()]
    draws = Draws(derive(game.seed, "open"), device=game.device)
    with torch.no_grad():
        for parameter in shut:
            parameter.copy_(_OPENED * draws.normal("shift", len(parameter)))
    if not 0 < _steepness(game, network, shape) < math.inf:
        raise UsageError(
            f"architecture '{name}' lets no gradient through to a latent of zeros, where gradient-origin begins; "
            "try --procedure latent-optimization, or another architecture"
        )
    game.plan.notes.append(
        f"{name}: {len(shut)} of its layers begin with shifts from N(0, {_OPENED}) in place of 0, "
        "or no gradient, or a boundless one, would reach a latent at the origin"
    )


def _steepness(game: Game, network: nn.Module, shape: torch.Size) -> float:
    """How much what is made of a latent of zeros depends on it: the largest number of a gradient."""
    network = copy.deepcopy(network)
    label = torch.zeros(2, dtype=torch.int64, device=game.device) if game.spec.classes else None
    with without_a_trace(game.device, 0):
        latent = torch.zeros(2, *shape, device=game.device, dtype=game.dtype, requires_grad=True)
        made = network(latent, label)
        (gradient,) = torch.autograd.grad((made * torch.randn_like(made)).sum(), latent)
    return float(gradient.abs().max().nan_to_num(math.inf))


@hookimpl
def register_procedures(register: Any) -> None:
    register(GradientOrigin)
