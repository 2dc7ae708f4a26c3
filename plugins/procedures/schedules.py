"""How a learning rate changes while a run goes on: what procedures share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ganzoo import OptionError

Form = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class Schedule:
    """The rate stays until the step `start`, then goes to the share `end` of itself, which it has at the step `steps`
    (None: the run's last). Raises OptionError."""

    form: Form = "constant"
    start: int = 0
    end: float = 0.0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise OptionError("schedule_start must not be negative")
        if not 0 <= self.end <= 1:
            raise OptionError("schedule_end is a share of the rate, from 0 to 1")
        if self.steps is not None and self.steps <= self.start:
            raise OptionError("schedule_steps must be larger than schedule_start")

    def factor(self, run_steps: int) -> Callable[[int], float] | None:
        """What the rate is multiplied with at a step (from 1), in a run of so many steps; None where it stays."""
        if self.form == "constant":
            return None
        last = self.steps or run_steps

        def at(step: int) -> float:
            done = min(1.0, max(0.0, (step - 1 - self.start) / max(1, last - self.start)))
            left = 1 - done if self.form == "linear" else (1 + math.cos(math.pi * done)) / 2
            return self.end + (1 - self.end) * left

        return at

    @property
    def tied_to_steps(self) -> bool:
        """Whether it depends on the run's number of steps, which then cannot change."""
        return self.form != "constant" and self.steps is None
