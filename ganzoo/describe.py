"""Parts in words: what `ganzoo list` and `ganzoo show` print."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from .capabilities import WORDS, fitting_groups
from .errors import UsageError
from .options import close, schema, to_json
from .parts import Part
from .registry import Entry, Registry


def summary(part: Any) -> str:
    return part.summary() if inspect.isclass(part) and issubclass(part, Part) else part.summary


def listing(registry: Registry, kind: str | None = None) -> list[dict[str, Any]]:
    """One flat list: every part, and every plugin that could not be loaded (of kind `plugin`)."""
    rows = [_row(registry, entry) for entry in registry.entries(kind)]
    broken = [
        {"kind": "plugin", "name": plugin.name, "summary": "", "package": plugin.package, "version": plugin.version}
        | {"needs": [], "offers": [], "broken": plugin.reason}
        for plugin in registry.broken
    ]
    return rows + broken


def _row(registry: Registry, entry: Entry) -> dict[str, Any]:
    part = entry.part
    return {
        "kind": entry.kind,
        "name": part.name,
        "summary": summary(part),
        "package": entry.package,
        "version": entry.version,
        "needs": list(part.needs),
        "offers": list(part.offers),
        "broken": registry.clash(entry),
    }


def table(rows: list[dict[str, Any]]) -> None:
    """Print the listing, as wide as the terminal."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(soft_wrap=False)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        shown = Table(box=None, pad_edge=False, title=kind, title_justify="left", show_header=False, title_style="bold")
        for column in ({"no_wrap": True, "style": "cyan"}, {"ratio": 1}, {"no_wrap": True, "style": "dim"}):
            shown.add_column(**column)
        for row in rows:
            if row["kind"] == kind:
                text = f"[red]broken: {escape(row['broken'])}[/red]" if row["broken"] else escape(row["summary"])
                shown.add_row(row["name"], text, f"{row['package']} {row['version']}")
        console.print(shown, "")


def describe(registry: Registry, name: str) -> list[dict[str, Any]]:
    """Everything about the parts of this name (a name may stand for parts of several kinds)."""
    name = name.partition(":")[0]
    found = [entry for entry in registry.entries() if entry.part.name == name]
    if not found:
        names = {entry.part.name for entry in registry.entries()}
        raise UsageError(f"there is no part '{name}'{close(name, names)}; see: ganzoo list")
    return [
        _describe_recipe(registry, entry) if entry.kind == "recipe" else _describe_part(registry, entry)
        for entry in found
    ]


def _describe_part(registry: Registry, entry: Entry) -> dict[str, Any]:
    part = entry.part
    options = [
        {
            "name": option.name,
            "type": option.type_name,
            "default": None if option.required else to_json(option.default),
            "required": option.required,
        }
        for option in schema(part).values()
    ]
    text = inspect.getdoc(part) or ""
    return {
        **_row(registry, entry),
        "paper": part.paper,
        "text": text,
        "options": options,
        "fits": _fits(registry, entry),
    }


def _describe_recipe(registry: Registry, entry: Entry) -> dict[str, Any]:
    recipe = entry.part
    parts = {key: value for key, value in vars(recipe).items() if key not in ("name", "summary", "paper")}
    return {**_row(registry, entry), "paper": recipe.paper, "recipe": parts}


def _fits(registry: Registry, entry: Entry) -> dict[str, list[str]]:
    """The parts of other kinds with which some run of this part fits: what it can stand beside."""
    if entry.kind == "metric":  # it stands in no run: it measures what came of one
        return {}
    found: dict[str, set[str]] = {}
    for groups in fitting_groups(registry, entry):
        for kind, parts in groups.items():
            if kind != entry.kind:
                found.setdefault(kind, set()).update(part.name for part in parts)
    if entry.kind != "regularizer":  # a regularizer fits what it fits with
        others = registry.entries("regularizer")
        found["regularizer"] = {other.part.name for other in others if _stands_beside(registry, other, entry)}
    return {kind: sorted(names) for kind, names in found.items()}


def _stands_beside(registry: Registry, regularizer: Entry, entry: Entry) -> bool:
    return entry.part in _beside(registry, len(registry.entries()), regularizer)


@functools.lru_cache(maxsize=1024)
def _beside(registry: Registry, _entries: int, regularizer: Entry) -> set[Any]:
    """The parts beside which a regularizer can stand; asked for every part of a registry, of this many entries."""
    found = fitting_groups(registry, regularizer, helped=True)
    return {part for groups in found for parts in groups.values() for part in parts}


def page(found: dict[str, Any]) -> str:
    """A part's description as text."""
    lines = [
        f"{found['kind']} {found['name']}  ({found['package']} {found['version']})",
        "",
        found.get("text") or found["summary"],
    ]
    if found["paper"]:
        lines += ["", f"Paper: {found['paper']}"]
    if "recipe" in found:
        return "\n".join([*lines, "", *(f"  {key}: {value}" for key, value in found["recipe"].items() if value)])
    for title, words in (("Needs", found["needs"]), ("Offers", found["offers"])):
        if words:
            lines += ["", f"{title}:", *(f"  {word}: {_meaning(word)}" for word in words)]
    if found["options"]:
        defaults = {
            option["name"]: "required" if option["required"] else f"default {option['default']}"
            for option in found["options"]
        }
        lines += [
            "",
            "Options:",
            *(f"  {option['name']} ({option['type']}; {defaults[option['name']]})" for option in found["options"]),
        ]
    if found["fits"]:
        lines += ["", "Fits:", *(f"  {kind}: {', '.join(names)}" for kind, names in found["fits"].items())]
    return "\n".join(lines)


def _meaning(word: str) -> str:
    return " or ".join(WORDS.get(one, one) for one in word.split("|"))
