"""One side of a game: its parameters, its optimizer, and the only place where gradients reach parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .errors import NonFiniteError

OptimizerName = Literal["adam", "rmsprop", "sgd"]


@dataclass(frozen=True)
class Optimizer:
    """How a player moves. beta1 and beta2 belong to adam; momentum to sgd and rmsprop."""

    name: OptimizerName = "adam"
    rate: float = 2e-4
    beta1: float = 0.9
    beta2: float = 0.999
    momentum: float = 0.0

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        if self.name == "adam":
            # Fused: one pass over memory, and on a GPU it can skip a non-finite update without a host sync.
            return torch.optim.Adam(groups, lr=self.rate, betas=(self.beta1, self.beta2), fused=True)
        if self.name == "rmsprop":
            return torch.optim.RMSprop(groups, lr=self.rate, momentum=self.momentum)
        return torch.optim.SGD(groups, lr=self.rate, momentum=self.momentum, fused=True)


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
        self.name, self.modules, self.schedule, self.clip_norm, self.after = name, dict(modules), schedule, clip_norm, after
        self.parameters = {
            f"{module}.{key}": parameter for module, found in modules.items() for key, parameter in found.named_parameters()
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
        self._moved = True
        self._watched: list[str] = []
        self._failed: Tensor | None = None  # which of the watched values were not finite, the first time one was not
        self._failed_step: Tensor | None = None

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
            self.logged[name] = self.logged[name] + value if name in self.logged else value

    def step(self, step: int) -> None:
        """Move: guard, clip, update, project. A move with a non-finite term or gradient changes nothing."""
        found = {name: parameter for name, parameter in self.parameters.items() if parameter.grad is not None}
        gradients = [parameter.grad for parameter in found.values()]
        self._moved = True
        if not gradients:
            return
        if self.schedule is not None:
            factor = self.schedule(step)
            for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
                group["lr"] = rate * factor
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        norms = torch.stack(torch._foreach_norm(gradients))
        if self.clip_norm is not None:
            factor = (self.clip_norm / (norms.norm() + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(gradients, factor)
        self._move(step, list(found), norms)
        self.optimizer.zero_grad(set_to_none=True)
        if self.after is not None:
            self.after()

    def _move(self, step: int, layers: list[str], norms: Tensor) -> None:
        if self.scaler is not None:  # an overflowing gradient is part of loss scaling; a vanished scale is not
            scale = torch.tensor([self.scaler.get_scale()])
            watched = {"loss scale": torch.where(scale >= 1, scale, torch.nan)}
        else:
            watched = {"gradients": norms}
        terms = torch.stack(list(self.logged.values())).to(norms)
        finite = torch.isfinite(torch.cat([terms, *(value.to(norms) for value in watched.values())]))
        self._watched = [*self.logged, *(f"the gradient of {layer}" for layer in layers if self.scaler is None)]
        if self.scaler is not None:
            self._watched.append("the loss scale")
        healthy = finite.all()
        if self.device.type == "cpu":
            if not healthy:
                self._remember(finite, torch.tensor(step))
                return
            self._update()
            return
        self._update_on_device(healthy)
        if self._failed is None:
            self._remember(torch.ones_like(finite), torch.zeros((), dtype=torch.int64, device=self.device))
        assert self._failed is not None and self._failed_step is not None
        first = ~healthy & (self._failed_step == 0)
        self._failed = torch.where(first, finite, self._failed)
        self._failed_step = torch.where(first, step, self._failed_step)

    def _update(self) -> None:
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def _update_on_device(self, healthy: Tensor) -> None:
        """Skip a bad update without asking the device: fused optimizers look at `found_inf` themselves."""
        if self.scaler is not None:
            self._update()
        elif self.optimizer.param_groups[0].get("fused"):
            self.optimizer.grad_scale, self.optimizer.found_inf = None, (~healthy).float()  # type: ignore[attr-defined]
            self.optimizer.step()
        elif healthy:  # rmsprop has no fused form: this waits for the device
            self.optimizer.step()

    def _remember(self, finite: Tensor, step: Tensor) -> None:
        if self._failed_step is None or (self.device.type == "cpu" and not self._failed_step):
            self._failed, self._failed_step = finite, step

    def look(self) -> None:
        """Raise NonFiniteError, naming loss, penalty or layer, if a move was refused since the start."""
        if self._failed_step is None or not self._failed_step:
            return
        assert self._failed is not None
        bad = [name for name, finite in zip(self._watched, self._failed.tolist(), strict=False) if not finite]
        terms = [name for name in bad if not name.startswith("the ")]
        culprits = [*terms[:3], *[name for name in bad if name not in terms][:1]]
        raise NonFiniteError(
            f"step {int(self._failed_step)}: {' and '.join(culprits)} became infinite or not a number. "
            "The update was not applied and nothing was saved after it"
        )

    def state(self) -> dict[str, Any]:
        names = dict(zip(self.parameters.values(), self.parameters, strict=True))
        moments = {
            names[parameter]: {key: value for key, value in values.items() if isinstance(value, Tensor)}
            for parameter, values in self.optimizer.state.items()
        }
        return {"optimizer": moments, "scaler": None if self.scaler is None else self.scaler.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        for name, values in state.get("optimizer", {}).items():
            parameter = self.parameters[name]
            # `step` stays where the optimizer wants it: on the parameter's device only when it is fused on a GPU.
            self.optimizer.state[parameter] = {key: value.to(self.device).clone() for key, value in values.items()}
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])


class Average:
    """An exponential moving average of a network's parameters, with a half-life counted in samples.

    After `half_life` samples an old weight counts half. ramp: early on, the half-life is at most this share of the
    samples seen so far (StyleGAN2-ADA's ramp-up: 0.05). Buffers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, half_life: float, ramp: float | None = None):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp

    @torch.no_grad()
    def update(self, network: nn.Module, count: int, seen: int) -> None:
        """Move towards `network` after `count` more samples, `seen` in all."""
        half_life = self.half_life if self.ramp is None else min(self.half_life, self.ramp * seen)
        keep = 0.5 ** (count / max(half_life, 1e-8))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - keep)
        for average, current in zip(self.network.buffers(), network.buffers(), strict=True):
            average.copy_(current)
