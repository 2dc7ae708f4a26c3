"""Measures that are taken while a run trains. The checkpoint of the best step stays, whatever else is removed."""

from __future__ import annotations

import json
from typing import Any

from .. import processes
from ..data import Collection
from ..game import Game
from ..registry import installed
from ..run import Run, write_whole
from . import sources
from .evaluate import GENERATED, Asked, Judge, keep, report


class During:
    """asked: what to measure. The first number of the first metric decides which step is best."""

    def __init__(self, run: Run, collection: Collection, asked: Asked):
        self.run, self.asked, choice = run, asked, run.config.dataset
        # Data that were handed over in Python have no name under which a part that nobody trains on could be found.
        named = choice.name in installed().names("dataset")
        unseen = sources.held_out(choice, installed()) if named else None
        self.judge = Judge(
            asked,
            collection.spec,
            sources.of_collection(str(choice), collection),
            None if unseen is None else sources.of_collection("test", unseen),
            run.path / "pictures",
        )

    def measure(self, game: Game) -> tuple[str, bool]:
        """The numbers of this step as text, and whether it is the best so far."""
        made = sources.of_game(self.run.path.name, game, self.asked.count or GENERATED, self.asked.seed)
        results = self.judge.judge(made)
        if processes.rank():
            return "", False
        keep(self.run, game.step, results)
        better = self._better(game.step, results[0])
        return report(results), better

    def _better(self, step: int, result: dict[str, Any]) -> bool:
        """Whether a number is better than the best, which it then becomes. Some have no better and worse."""
        name, value, best = result["name"], result["value"], self.run.best()
        sign = {"larger": 1, "smaller": -1}.get(result["protocol"].get("better"), 0)
        known = best is not None and best["name"] == name and best["step"] != step
        if not sign or (best is not None and known and sign * value <= sign * best["value"]):
            return False
        write_whole(self.run.path / "best.json", json.dumps({"step": step, "name": name, "value": value}) + "\n")
        return True
