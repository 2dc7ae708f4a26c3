"""Writes docs/zoo.md, the page of every part that comes with ganzoo: python docs/generate.py"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from ganzoo.config import Choice, resolve
from ganzoo.describe import describe, listing
from ganzoo.registry import GROUP, HOOKS, Registry
from ganzoo.trial import needs_path

PAGE = Path(__file__).parent / "zoo.md"
HEAD = """# The zoo

Every part that comes with ganzoo, as the registry has it. This page is written by `python docs/generate.py`.
*Fits* names the parts beside which a part can stand in some run; of a kind that is not named, all. Options and the
words in full: `ganzoo show NAME`."""
TITLES = {kind: hook.removeprefix("register_").capitalize() for kind, hook in HOOKS.items()} | {"dataset": "Data sets"}


def built_in() -> Registry:
    """The parts that come with ganzoo, without those of other packages."""
    registry = Registry()
    for point in metadata.entry_points(group=GROUP):
        if point.dist is not None and point.dist.name == "ganzoo":
            registry.add(point.load(), "ganzoo", point.dist.version)
    return registry


def page(registry: Registry) -> str:
    blocks, uses = [HEAD], _uses(registry)
    for kind in (kind for kind in HOOKS if kind != "recipe"):
        rows = [_row(registry, kind, name, uses) for name in registry.names(kind)]
        blocks.append(_table(TITLES[kind], ("name", "what it is", "paper", "needs", "fits", "recipes"), rows))
    recipes = [_recipe(row, registry) for row in listing(registry, "recipe")]
    blocks.append(_table("Recipes", ("name", "what it is", "paper", "steps x batch", "parts"), recipes))
    return "\n\n".join(blocks) + "\n"


def _uses(registry: Registry) -> dict[tuple[str, str], list[str]]:
    """Which recipes use a part, also those that get it from their loss or architecture."""
    found: dict[tuple[str, str], list[str]] = {}
    for recipe in registry.names("recipe"):
        for part in _parts(registry, recipe):
            found.setdefault(part, []).append(recipe)
    return found


def _parts(registry: Registry, recipe: str) -> list[tuple[str, str]]:
    """Kind and name of every part of a recipe."""
    data = Choice.parse(registry.get("recipe", recipe).data)
    # The user's own files are not here; nothing is opened.
    missing = "path" not in data.options and needs_path(registry.get("dataset", data.name))
    config = resolve(registry, {"recipe": recipe, "data": f"{data.name}:path=." if missing else None})
    kinds = ("dataset", "architecture", "procedure", "loss")
    alone = [(kind, getattr(config, kind).name) for kind in kinds]
    return alone + [("regularizer", choice.name) for choice in config.regularizers]


def _row(registry: Registry, kind: str, name: str, uses: dict[tuple[str, str], list[str]]) -> tuple[str, ...]:
    (found,) = (one for one in describe(registry, name) if one["kind"] == kind)
    chosen = {other: _chosen(registry, other, names) for other, names in found["fits"].items()}
    fits = "; ".join(f"{TITLES[other].lower()}: {names}" for other, names in chosen.items() if names) or "all"
    needs = ", ".join(f"`{word}`" for word in found["needs"])
    return f"`{name}`", found["summary"], found["paper"], needs, fits, ", ".join(uses.get((kind, name), []))


def _chosen(registry: Registry, kind: str, names: list[str]) -> str:
    """Which parts of a kind, in few words; empty for all of them."""
    others = [name for name in registry.names(kind) if name not in names]
    return ", ".join(names) if len(names) <= len(others) else f"all but {', '.join(others)}" if others else ""


def _recipe(row: dict[str, Any], registry: Registry) -> tuple[str, ...]:
    recipe = registry.get("recipe", row["name"])
    names = ", ".join([f"`{recipe.name}`", *(f"`{recipe.name}:{variant}`" for variant in recipe.variants)])
    parts = ", ".join(name for _, name in _parts(registry, recipe.name))
    return names, row["summary"], recipe.paper, f"{recipe.steps} x {recipe.batch}", parts


def _table(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    text = "\n".join(f"| {' | '.join(cell.replace('|', ' or ') for cell in cells)} |" for cells in lines)
    return f"## {title}\n\n{text}"


if __name__ == "__main__":
    PAGE.write_text(page(built_in()))
