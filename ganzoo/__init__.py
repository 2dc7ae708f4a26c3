"""ganzoo: any registered GAN architecture, loss, regularizer, procedure and data set, combined into one run.

Importing this package is cheap: names are looked up, and torch is imported, when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pluggy import HookimplMarker

    from .data import Arrays, Batch, Collection, Spec, Stream
    from .draws import Draws, derive, without_a_trace
    from .errors import DataError, GanzooError, Mismatch, SizeError, UsageError
    from .game import Game, Move, Turn, evaluating, sample_latent_generator
    from .given import from_arrays
    from .metrics.evidence import Evidence, Measure, Sample
    from .options import OptionError, Size
    from .parts import (
        AdversarialLoss,
        Architecture,
        Dataset,
        Loss,
        Metric,
        Networks,
        Official,
        Part,
        Plan,
        Procedure,
        Recipe,
        ReconstructionLoss,
        Recovered,
        Regularizer,
        Request,
        Scores,
        Weights,
        truncated_normal,
    )
    from .player import Average, Optimizer, OptimizerName, Player
    from .processes import mean_over_processes, rows_of_all_processes
    from .run import Run
    from .standing import standing_statistics
    from .training import train

    hookimpl: HookimplMarker

_HOMES = {
    "data": "Arrays Batch Collection Spec Stream",
    "draws": "Draws derive without_a_trace",
    "errors": "DataError GanzooError Mismatch SizeError UsageError",
    "game": "Game Move Turn evaluating sample_latent_generator",
    "given": "from_arrays",
    "metrics.evidence": "Evidence Measure Sample",
    "options": "OptionError Size",
    "parts": (
        "AdversarialLoss Architecture Dataset Loss Metric Networks Official Part Plan Procedure Recipe "
        "ReconstructionLoss Recovered Regularizer Request Scores Weights truncated_normal"
    ),
    "player": "Average Optimizer OptimizerName Player",
    "processes": "mean_over_processes rows_of_all_processes",
    "run": "Run",
    "standing": "standing_statistics",
    "training": "train",
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names.split()}
__all__ = [*_HOME_OF, "hookimpl", "load"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    if name == "hookimpl":
        import pluggy

        return pluggy.HookimplMarker("ganzoo")
    if name == "__version__":
        from importlib import metadata

        return metadata.version("ganzoo")
    raise AttributeError(f"module 'ganzoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__


def load(path: Any) -> Run:
    """A run's folder as a `Run`: `ganzoo.load("runs/mnist").sample(16, seed=0)`."""
    from .run import Run

    return Run.open(path)
