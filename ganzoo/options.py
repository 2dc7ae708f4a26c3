"""A part's constructor signature is its option schema: read it, and turn words from the command line into values."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from dataclasses import dataclass
from typing import Any, NamedTuple

from .errors import UsageError


class Size(NamedTuple):
    """Height and width in pixels. Written `64` or `112x96`."""

    height: int
    width: int

    def __str__(self) -> str:
        return str(self.height) if self.height == self.width else f"{self.height}x{self.width}"

    @classmethod
    def of(cls, value: Any) -> Size:
        if isinstance(value, (tuple, list)):
            height, width = value
        else:
            words = str(value).lower().split("x")
            height, width = words if len(words) == 2 else (words * 2)
        size = cls(int(height), int(width))
        if min(size) < 1:
            raise ValueError("a size is at least 1")
        return size


@dataclass(frozen=True)
class Option:
    name: str
    annotation: Any
    default: Any  # inspect.Parameter.empty when it must be given

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def type_name(self) -> str:
        return _type_name(self.annotation)

    def coerce(self, value: Any) -> Any:
        """The value in the option's type. Text is read as on the command line. Raises ValueError."""
        return _coerce(self.annotation, value)


def schema(part_class: Any) -> dict[str, Option]:
    """The options of a part, by name, from its constructor."""
    if part_class.__init__ is object.__init__:
        return {}
    hints = typing.get_type_hints(part_class.__init__)
    parameters = list(inspect.signature(part_class.__init__).parameters.values())[1:]
    return {p.name: Option(p.name, hints.get(p.name, str), p.default) for p in parameters}


def bind(kind: str, part_class: Any, given: dict[str, Any]) -> dict[str, Any]:
    """All options of a part: those given, checked and in their types, and the defaults of the others."""
    options, name = schema(part_class), part_class.name
    for word in given:
        if word not in options:
            hint = close(word, options)
            exists = ", ".join(options) or "it has none"
            raise UsageError(
                f"{kind} '{name}' has no option '{word}'{hint}. Options: {exists}. See: ganzoo show {name}"
            )
    values = {}
    for option in options.values():
        if option.name not in given:
            if option.required:
                example = f"{name}:{option.name}={option.type_name.upper()}"
                raise UsageError(f"{kind} '{name}' needs the option '{option.name}'; write {example}")
            values[option.name] = option.default
            continue
        try:
            values[option.name] = option.coerce(given[option.name])
        except (ValueError, TypeError) as error:
            asked = f"{name}:{option.name}={given[option.name]}"
            why = f" ({error})" if isinstance(error, OptionError) else ""
            raise UsageError(f"{kind} option {asked}: expected {option.type_name}{why}") from None
    return values


class OptionError(ValueError):
    """A value of the right type but out of range; its text is shown to the user."""


def close(word: str, names: Any) -> str:
    """' (did you mean x?)', or nothing where no name is close."""
    found = difflib.get_close_matches(word, list(names), n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def to_json(value: Any) -> Any:
    """An option's value as JSON, such that `coerce` gives it back."""
    if isinstance(value, Size):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _coerce(annotation: Any, value: Any) -> Any:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return _coerce_union(typing.get_args(annotation), value)
    if origin is typing.Literal:
        return _coerce_choice(typing.get_args(annotation), value)
    if origin is tuple:
        inner = typing.get_args(annotation)[0]
        items = value.split(",") if isinstance(value, str) else value
        return tuple(_coerce(inner, item) for item in items if item != "")
    readers: dict[Any, Any] = {bool: _coerce_bool, int: _coerce_int, float: _coerce_float, Size: Size.of}
    return readers.get(annotation, annotation)(value)


def _coerce_choice(choices: tuple[Any, ...], value: Any) -> Any:
    found = [choice for choice in choices if str(choice) == str(value)]
    if not found:
        raise ValueError(value)
    return found[0]


def _coerce_union(members: tuple[Any, ...], value: Any) -> Any:
    if type(None) in members and (value is None or str(value).lower() == "none"):
        return None
    for member in members:
        if member is not type(None):
            try:
                return _coerce(member, value)
            except (ValueError, TypeError):
                continue
    raise ValueError(value)


def _coerce_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
    if str(value).lower() not in words:
        raise ValueError(value)
    return words[str(value).lower()]


def _coerce_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lstrip("+-").isdigit():
        return int(value)  # not by way of a float, which holds 53 bits
    number = _number(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _coerce_float(value: Any) -> float:
    number = _number(value)
    if not math.isfinite(number):
        raise OptionError("it must be finite")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(value)
    return float(value)


def _type_name(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(member) for member in typing.get_args(annotation))
    if origin is typing.Literal:
        return "|".join(str(choice) for choice in typing.get_args(annotation))
    if origin is tuple:
        return f'"{_type_name(typing.get_args(annotation)[0])},..."'
    names = {int: "whole number", float: "number", bool: "true|false", str: "text", type(None): "none"}
    names[Size] = "size (64 or HEIGHTxWIDTH)"
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))
