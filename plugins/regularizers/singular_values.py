"""Brock, Donahue and Simonyan 2018, Large Scale GAN Training for High Fidelity Natural Image Synthesis,
arXiv:1809.11096."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganzoo import Regularizer, Turn, hookimpl
from ganzoo_plugins.regularizers.orthogonal import named_matrices

_RATIO = ""


class SingularValues(Regularizer):
    """Reports the largest singular values of the weights, and penalises nothing.

    Brock, Donahue and Simonyan 2018, arXiv:1809.11096, section 4.1: before a BigGAN collapses, the largest singular
    values of some of the generator's weights explode. For each network the largest over all its layers is logged as
    `singular/generator`, how many times its first value that is as `singular-growth/generator`, and the largest ratio
    of a layer's two largest values as `singular-ratio/generator`. A weight is read as a matrix (outputs, all the rest);
    under spectral normalisation it is the one that is learnt, as in the paper. Embeddings and parameters of one
    dimension are left out. Between two looks the last numbers are logged again; they are part of the state.

    Differs from the paper: the values are exact, where the authors follow three of them by power iteration.

    Args:
        look_every: steps between two looks, at least 1.
        layers: log the largest value of each layer too, as `singular/generator/LAYER`.
        explosion: a generator whose largest value is so many times the first is told about; above 1. The paper gives
            no number; this one is ours.
    """

    name = "singular-values"
    paper = "arXiv:1809.11096"
    reports: ClassVar[bool] = True
    sides: ClassVar[tuple[str, ...]] = ("discriminator", "generator")
    tiny: ClassVar[dict[str, Any]] = {"look_every": 2, "layers": True}

    def __init__(self, look_every: int = 100, layers: bool = False, explosion: float = 100.0):
        if look_every < 1 or explosion <= 1:
            raise ValueError("look_every must be at least 1, and explosion above 1")
        self.look_every, self.layers, self.explosion = look_every, layers, explosion
        # By network: the largest values by layer, and under no layer's name the largest ratio.
        self.last: dict[str, dict[str, Tensor]] = {}
        self.first: dict[str, Tensor] = {}  # by network: the largest value at first

    def penalty(self, turn: Turn) -> None:
        """No penalty: the networks that move are looked at, once in a step however many moves it has."""
        game, networks = turn.game, turn.game.networks
        moving = networks.generators if turn.side == "generator" else {turn.name: networks.discriminators[turn.name]}
        for name, network in moving.items():
            if f"singular/{name}" in game.noted:
                continue
            if (turn.step - 1) % self.look_every == 0 or name not in self.last:
                self.last[name] = look(network)
            for key, value in self._told(name).items():
                game.note(key, value)

    def _told(self, name: str) -> dict[str, Tensor]:
        """What is logged of a network."""
        values = {layer: value for layer, value in self.last[name].items() if layer != _RATIO}
        if not values:
            return {}
        top = torch.stack(list(values.values())).max()
        first = self.first.setdefault(name, top.clone())
        told = {f"singular/{name}": top, f"singular-growth/{name}": top / first.clamp_min(1e-12)}
        told |= {f"singular-ratio/{name}": self.last[name][_RATIO]} if _RATIO in self.last[name] else {}
        return told | ({f"singular/{name}/{layer}": value for layer, value in values.items()} if self.layers else {})

    def sign(self, record: Mapping[str, float]) -> str | None:
        for key, grown in record.items():
            if key.startswith("singular-growth/generator") and grown > self.explosion:
                name = key.partition("/")[2]
                return (
                    f"the largest singular value of the {name}'s weights has grown to {grown:.0f} times what it was: "
                    "this comes before a collapse; an earlier checkpoint is the better one, and a lower rate of the "
                    "generator or --reg orthogonal helps"
                )
        return None

    def state(self) -> dict[str, Any]:
        return {"last": self.last, "first": self.first}

    def load(self, state: dict[str, Any]) -> None:
        self.last, self.first = state["last"], state["first"]


@torch.no_grad()
def look(network: nn.Module) -> dict[str, Tensor]:
    """The largest singular value of each layer, by its name, and the largest ratio of a layer's two largest."""
    values = {layer: torch.linalg.svdvals(weight.float())[:2] for layer, weight in named_matrices(network)}
    # A matrix of one row or column, or of rank one, has no second value.
    ratios = [found[0] / found[1] for found in values.values() if len(found) > 1 and found[1] > 0]
    largest = {layer: found[0] for layer, found in values.items()}
    return largest | ({_RATIO: torch.stack(ratios).max()} if ratios else {})


@hookimpl
def register_regularizers(register: Any) -> None:
    register(SingularValues)
