"""What procedures with several generators or several discriminators share: a player of each side, and averages."""

from __future__ import annotations

from typing import Any

from torch import nn

from ganzoo import Average, Game, Optimizer, OptionError
from ganzoo_plugins.procedures.schedules import Schedule


class Sides:
    """A player of all generators and one of all discriminators, with the same settings, and the generators' averages.

    half_life: of the averages, in samples; 0: none. ramp: see `Average`; 0: no ramp.
    """

    def __init__(self, optimizer: Optimizer, half_life: float, ramp: float = 0.0, schedule: Schedule | None = None):
        if min(half_life, ramp) < 0:
            raise OptionError("half-lives and ramps must not be negative")
        self.optimizer, self.schedule, self.half_life, self.ramp = optimizer, schedule or Schedule(), half_life, ramp

    def start(self, game: Game, generator: str, discriminator: str) -> None:
        """Make the players, of these names."""
        networks, schedule = game.networks, self.schedule.factor(game.steps)
        self.generator = game.add_player(generator, networks.generators, self.optimizer, schedule=schedule)
        self.discriminator = game.add_player(discriminator, networks.discriminators, self.optimizer, schedule=schedule)
        self.averages = {
            name: Average(network, self.half_life, self.ramp or None)
            for name, network in (networks.generators.items() if self.half_life else ())
        }

    def finish(self, game: Game, step: int) -> None:
        """After the moves of a step."""
        for name, average in self.averages.items():
            average.update(game.networks.generators[name], game.batch, step * game.batch)

    def network(self, game: Game, name: str) -> nn.Module:
        """The generator of this name that is used outside of training."""
        return self.averages[name].network if self.averages else game.networks.generators[name]

    def state(self) -> dict[str, Any]:
        return {"averages": {name: average.network.state_dict() for name, average in self.averages.items()}}

    def load(self, state: dict[str, Any]) -> None:
        for name, average in self.averages.items():
            average.network.load_state_dict(state["averages"][name])
