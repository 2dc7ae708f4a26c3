"""The doors of ganzoo. A plugin is a module that implements any of these and has an entry point of group `ganzoo`.

Each hook is called once, when the plugin is loaded, with a function `register`. Call it with each class (recipes:
each value) that the plugin brings. docs/plugins.md grows a plugin from nothing.
"""

from collections.abc import Callable
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("ganzoo")


@hookspec
def register_architectures(register: Callable[[Any], None]) -> None:
    """Networks: `register(MyArchitecture)`, a subclass of `ganzoo.Architecture`."""


@hookspec
def register_losses(register: Callable[[Any], None]) -> None:
    """What scores or samples are worth: `register(MyLoss)`,
    a `ganzoo.AdversarialLoss` or `ganzoo.ReconstructionLoss`."""


@hookspec
def register_regularizers(register: Callable[[Any], None]) -> None:
    """Penalties, augmentations, constraints: `register(MyRegularizer)`, a subclass of `ganzoo.Regularizer`."""


@hookspec
def register_procedures(register: Callable[[Any], None]) -> None:
    """Who moves when: `register(MyProcedure)`, a subclass of `ganzoo.Procedure`."""


@hookspec
def register_datasets(register: Callable[[Any], None]) -> None:
    """Where samples come from: `register(MyDataset)`, a subclass of `ganzoo.Dataset`."""


@hookspec
def register_metrics(register: Callable[[Any], None]) -> None:
    """What samples are worth: `register(MyMetric)`, a subclass of `ganzoo.Metric`."""


@hookspec
def register_recipes(register: Callable[[Any], None]) -> None:
    """Named combinations of parts: `register(ganzoo.Recipe(name="my-recipe", ...))`."""
