"""Every part that is installed, where it came from, and what is broken.

Plugins are loaded one by one from the entry points of group `ganzoo`, so that a broken one fails alone.
Built-in plugins come the same way as a stranger's.
"""

from __future__ import annotations

import functools
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pluggy

from . import hookspecs
from .errors import UsageError
from .options import bind, close
from .parts import KINDS

GROUP = "ganzoo"
HOOKS = {kind: "register_losses" if kind == "loss" else f"register_{kind}s" for kind in KINDS}


@dataclass(frozen=True)
class Entry:
    """A registered part and the package that it came with."""

    kind: str
    part: Any
    package: str
    version: str


@dataclass(frozen=True)
class Broken:
    """A plugin that could not be loaded, and why."""

    name: str
    package: str
    version: str
    reason: str


class Registry:
    def __init__(self) -> None:
        self.broken: list[Broken] = []
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)

    def load_installed(self) -> Registry:
        """Load every entry point of group `ganzoo`; a plugin that fails is kept in `broken`."""
        found = {(_package(point), point.name): point for point in metadata.entry_points(group=GROUP)}
        with _noticing_interrupts() as interrupts:
            for (package, name), point in sorted(found.items()):
                version = (point.dist.version if point.dist else "") or ""
                try:
                    self.add(point.load(), package, version)
                # A stranger's module may raise anything while it is imported,
                # and must not take the others down with it.
                except BaseException as error:
                    if interrupts:
                        raise KeyboardInterrupt from None
                    self.broken.append(Broken(name, package, version, f"{type(error).__name__}: {_one_line(error)}"))
        return self

    def add(self, plugin: Any, package: str = "", version: str = "") -> None:
        """Register a plugin module. Raises when a hook is misspelt or registers what is not a part."""
        if self.holds(plugin):
            raise ValueError("this module is registered already, by another entry point")
        try:
            self._manager.register(plugin, name=f"{package}:{getattr(plugin, '__name__', id(plugin))}")
            self._manager.check_pending()
            found = list(_collect(self._manager, plugin))
        except BaseException:
            # What is left half registered would make the check above fail for every later plugin.
            if self.holds(plugin):
                self._manager.unregister(plugin)
            raise
        for kind, part in found:
            self._entries.setdefault((kind, part.name), []).append(Entry(kind, part, package, version))

    def holds(self, plugin: Any) -> bool:
        """Whether this plugin module has been added."""
        return self._manager.is_registered(plugin)

    def names(self, kind: str) -> list[str]:
        return sorted(name for (other, name), found in self._entries.items() if other == kind and len(found) == 1)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every part, by kind and name; a name that two packages claim stands there twice."""
        order = list(KINDS)
        found = [entry for entries in self._entries.values() for entry in entries if kind in (None, entry.kind)]
        return sorted(found, key=lambda entry: (order.index(entry.kind), entry.part.name, entry.package))

    def clash(self, entry: Entry) -> str | None:
        """Why a name cannot be used: two packages claim it. None where there is no clash."""
        found = self._entries[(entry.kind, entry.part.name)]
        if len(found) == 1:
            return None
        packages = " and ".join(sorted({f"{other.package} {other.version}".strip() for other in found}))
        if len({other.package for other in found}) == 1:
            return (
                f"{entry.kind} '{entry.part.name}' is registered {len(found)} times by {packages}; "
                "a name stands for one part"
            )
        return f"{entry.kind} '{entry.part.name}' is registered by {packages}; uninstall one of them"

    def find(self, kind: str, name: str) -> Entry:
        """The part of this kind and name. Raises UsageError with close matches, and with what is broken."""
        found = self._entries.get((kind, name))
        if found is None:
            raise UsageError(self._unknown(kind, name))
        if reason := self.clash(found[0]):
            raise UsageError(reason)
        return found[0]

    def get(self, kind: str, name: str) -> Any:
        return self.find(kind, name).part

    def make(self, kind: str, name: str, options: dict[str, Any] | None = None) -> Any:
        """A part with these options, checked against its constructor's signature."""
        part_class = self.get(kind, name)
        values = bind(kind, part_class, options or {})
        try:
            part = part_class(**values)
        except ValueError as error:
            raise UsageError(f"{kind} '{name}': {error}. See: ganzoo show {name}") from None
        part.options = values
        return part

    def _unknown(self, kind: str, name: str) -> str:
        names = self.names(kind)
        plural = HOOKS[kind].removeprefix("register_")
        message = f"there is no {kind} '{name}'{close(name, names)}. Known {plural}: {', '.join(names) or 'none'}"
        elsewhere = [other for (other, known) in self._entries if known == name]
        if elsewhere:
            message += f". Of another kind: {', '.join(f'{other} {name}' for other in elsewhere)}"
        if self.broken:
            why = "; ".join(f"{plugin.package} ({plugin.name}): {plugin.reason}" for plugin in self.broken)
            message += f". These plugins could not be loaded and may hold it: {why}"
        return message


def _collect(manager: pluggy.PluginManager, plugin: Any) -> Iterator[tuple[str, Any]]:
    """What one plugin registers, checked to be parts of the right kind."""
    for kind, hook in HOOKS.items():
        for implementation in getattr(manager.hook, hook).get_hookimpls():
            if implementation.plugin is plugin:
                if not implementation.argnames:
                    raise TypeError(f"{hook} takes `register`, the function to call with each part")
                found: list[Any] = []
                implementation.function(found.append)
                for part in found:
                    yield kind, _checked(kind, hook, part)


def _checked(kind: str, hook: str, part: Any) -> Any:
    base = KINDS[kind]
    right = isinstance(part, base) if kind == "recipe" else isinstance(part, type) and issubclass(part, base)
    if not right:
        raise TypeError(
            f"{hook} takes {'values' if kind == 'recipe' else 'subclasses'} of ganzoo.{base.__name__}, got {part!r}"
        )
    if not isinstance(part.name, str) or not part.name:
        raise TypeError(f"{part!r} has no name")
    return part


def _package(point: metadata.EntryPoint) -> str:
    """The distribution that an entry point came with; damaged metadata may name none."""
    return (point.dist.name if point.dist else "") or ""


@contextmanager
def _noticing_interrupts() -> Iterator[list[int]]:
    """The signals of Ctrl-C that come meanwhile: they end the command,
    while a plugin's own KeyboardInterrupt does not."""
    noticed: list[int] = []

    def notice(number: int, _frame: Any) -> None:
        noticed.append(number)
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGINT, notice)
    except ValueError:  # not in the main thread: no signal arrives here
        yield noticed
        return
    try:
        yield noticed
    finally:
        signal.signal(signal.SIGINT, before)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no reason given"


@functools.cache
def installed() -> Registry:
    """The registry of everything that is installed, loaded once."""
    return Registry().load_installed()
