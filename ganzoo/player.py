"""One side of a game: its parameters, its optimizer, and the only place where gradients reach parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from . import processes
from .errors import NonFiniteError

OptimizerName = Literal["adam", "rmsprop", "sgd"]


@dataclass(frozen=True)
class Optimizer:
    """How a player moves. beta1 and beta2 belong to adam; momentum to sgd and rmsprop. weight_decay: this share of each
    weight is added to its gradient. Raises ValueError for numbers that an optimizer cannot take."""

    name: OptimizerName = "adam"
    rate: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if min(self.rate, self.momentum, self.weight_decay) < 0:
            raise ValueError("rates, momentum and weight_decay must not be negative")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError("betas lie in [0, 1)")

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        decay = self.weight_decay
        if self.name == "adam":
            # Fused: one pass over memory, and on a GPU it can skip a non-finite update without a host sync.
            return torch.optim.Adam(
                groups, lr=self.rate, betas=(self.beta1, self.beta2), weight_decay=decay, fused=True
            )
        if self.name == "rmsprop":
            return torch.optim.RMSprop(groups, lr=self.rate, momentum=self.momentum, weight_decay=decay)
        return torch.optim.SGD(groups, lr=self.rate, momentum=self.momentum, weight_decay=decay, fused=True)


class Player:
    """One side's modules and optimizer.

    `accumulate` adds the gradient of its terms to the player's own parameters only, so nothing needs freezing and
    micro-batches or separate penalties sum. `step` moves, unless a term or gradient is not finite.

    modules: what it moves, by name. rates: factors on the rate, by module's name. schedule: factor on the rate at a
    step. clip_norm: largest norm of the whole gradient. loss_scaling: for fp16.
    """

    def __init__(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimizer: Optimizer,
        *,
        rates: Mapping[str, float] | None = None,
        schedule: Callable[[int], float] | None = None,
        clip_norm: float | None = None,
        loss_scaling: bool = False,
        after: Callable[[], None] | None = None,
    ):
        self.name, self.modules, self.schedule, self.clip_norm, self.after = (
            name,
            dict(modules),
            schedule,
            clip_norm,
            after,
        )
        self.parameters = {
            f"{module}.{key}": parameter
            for module, found in modules.items()
            for key, parameter in found.named_parameters()
        }
        groups = [
            {"params": list(found.parameters()), "lr": optimizer.rate * (rates or {}).get(module, 1.0)}
            for module, found in modules.items()
        ]
        self.optimizer = optimizer.build(groups)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.device = next(iter(self.parameters.values())).device
        self.scaler = torch.amp.GradScaler(self.device.type) if loss_scaling else None
        self.logged: dict[str, Tensor] = {}  # the terms of its last move, detached
        self.gradient: Tensor | None = None  # the norm of its last move's gradient, before it was clipped
        self.may_wait = self.device.type == "cpu"  # reading a number from a GPU stops it; from a CPU it is free
        self._moved = True
        # By the names of what was watched: the step at which something was not finite (0: never), and what was finite.
        self._failures: dict[tuple[str, ...], tuple[Tensor, Tensor]] = {}

    def forget(self) -> None:
        """What was logged is no number of the step that begins."""
        self.logged, self.gradient = {}, None

    def accumulate(self, terms: Mapping[str, Tensor]) -> None:
        """Add the gradient of the sum of these scalars to the player's own parameters."""
        total = torch.stack([value.float() if value.dtype.itemsize < 4 else value for value in terms.values()]).sum()
        if self.scaler is not None:
            total = self.scaler.scale(total)
        total.backward(inputs=list(self.parameters.values()))
        if self._moved:
            self.logged, self._moved = {}, False
        for name, value in terms.items():
            value = value.detach()
            self.logged[name] = self.logged[name] + value if name in self.logged else value.clone()

    def step(self, step: int) -> None:
        """Move: guard, clip, update, project. A move with a non-finite term or gradient changes nothing."""
        found = {name: parameter for name, parameter in self.parameters.items() if parameter.grad is not None}
        gradients = [parameter.grad for parameter in found.values() if parameter.grad is not None]
        self._moved = True
        if not gradients:
            return
        if self.schedule is not None:
            factor = self.schedule(step)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        # Terms travel with the gradients: what is logged, and what is refused, is the same in every process.
        processes.average_([*gradients, *self.logged.values()])
        norms = torch.stack(torch._foreach_norm(gradients))
        self.gradient = norms.norm()
        if self.clip_norm is not None:
            torch._foreach_mul_(gradients, (self.clip_norm / (self.gradient + 1e-6)).clamp(max=1.0))
        self._move(step, list(found), norms)
        self.optimizer.zero_grad(set_to_none=True)
        if self.after is not None:
            self.after()

    def _move(self, step: int, layers: list[str], norms: Tensor) -> None:
        """Update, unless something watched is not finite; then remember what and when, the first time."""
        names, values = self._watch(layers, norms)
        finite = torch.isfinite(values)
        healthy = finite.all()
        # By what was watched: a lazy penalty is a term in some steps only.
        when, what = self._failures.get(names, (torch.zeros_like(healthy, dtype=torch.int64), torch.ones_like(finite)))
        first = ~healthy & (when == 0)
        self._failures[names] = torch.where(first, step, when), torch.where(first, finite, what)
        if self.scaler is not None:  # it looks for overflow by itself, and skips
            if not self.may_wait or healthy:
                self.scaler.step(self.optimizer)
                self.scaler.update()
        elif not self.may_wait and self.optimizer.param_groups[0].get("fused"):
            # Fused optimizers look at `found_inf` on the device, so nobody waits for it.
            self.optimizer.grad_scale, self.optimizer.found_inf = None, (~healthy).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif healthy:
            self.optimizer.step()

    def _watch(self, layers: list[str], norms: Tensor) -> tuple[tuple[str, ...], Tensor]:
        """What must be finite, by name: every term, and every layer's gradient or (in fp16) the loss scale."""
        terms = torch.stack(list(self.logged.values())).to(norms)
        if self.scaler is None:
            return (*self.logged, *(f"the gradient of {layer}" for layer in layers)), torch.cat([terms, norms])
        # A gradient that overflows is part of loss scaling; a scale that has fallen to nothing is not.
        scale = norms.new_tensor([self.scaler.get_scale()])
        return (*self.logged, "the loss scale"), torch.cat([terms, torch.where(scale >= 1, scale, torch.nan)])

    def look(self) -> None:
        """Raise NonFiniteError, naming loss, penalty or layer, if a move was refused since the start."""
        failed = [(int(when), names, what) for names, (when, what) in self._failures.items() if when]
        if not failed:
            return
        step, names, what = min(failed, key=lambda failure: failure[0])
        bad = [name for name, finite in zip(names, what.tolist(), strict=True) if not finite]
        terms = [name for name in bad if not name.startswith("the ")]
        culprits = [*terms[:3], *[name for name in bad if name not in terms][:1]]
        raise NonFiniteError(
            f"step {step}: {' and '.join(culprits)} became infinite or not a number. "
            "The update was not applied and nothing was saved after it; a lower rate, a limit on the gradient "
            "(--procedure adversarial:clip_norm=1) or --precision fp32 may help"
        )

    def _place(self, moment: str) -> torch.device:
        """Where the optimizer keeps a moment: a fused one counts its steps beside the parameters,
        the others on the CPU."""
        counts = moment == "step" and not self.optimizer.param_groups[0].get("fused")
        return torch.device("cpu") if counts else self.device

    def state(self) -> dict[str, Any]:
        moments = {
            name: {key: value for key, value in self.optimizer.state[parameter].items() if isinstance(value, Tensor)}
            for name, parameter in self.parameters.items()
            if parameter in self.optimizer.state
        }
        return {"optimizer": moments, "scaler": None if self.scaler is None else self.scaler.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        for name, values in state.get("optimizer", {}).items():
            parameter = self.parameters[name]
            self.optimizer.state[parameter] = {
                key: _laid_out(value.to(self._place(key)), parameter) for key, value in values.items()
            }
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """A copy of a moment that lies in memory as its parameter does; a count has no layout."""
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value) if value.ndim else value.clone()


class Average:
    """An exponential moving average of a network's parameters, with a half-life counted in samples.

    After `half_life` samples an old weight counts half. ramp: early on, the half-life is at most this share of the
    samples seen so far (StyleGAN2-ADA's ramp-up: 0.05). start: before so many samples are seen it is the network
    itself. Buffers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, half_life: float, ramp: float | None = None, start: int = 0):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life, self.ramp, self.start = half_life, ramp, start

    @torch.no_grad()
    def update(self, network: nn.Module, count: int, seen: int) -> None:
        """Move towards `network` after `count` more samples, `seen` in all."""
        half_life = self.half_life if self.ramp is None else min(self.half_life, self.ramp * seen)
        keep = 0.5 ** (count / max(half_life, 1e-8)) if seen >= self.start else 0.0
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - keep)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)
