"""A run as one page of HTML that needs nothing but itself: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..errors import RunError
from ..run import Run
from .contents import contents

HOME = Path(__file__).parent


def write(run: Run, path: str | Path) -> Path:
    """Write a run's page; returns its path. Raises RunError."""
    return put(Path(path), page(run))


def put(path: Path, text: str) -> Path:
    """Write a page, or another text, whole or not at all. Raises RunError."""
    aside = path.with_name(f".{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(text.encode("utf-8", "replace"))  # names of files may hold what is no character
        os.replace(aside, path)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise RunError(f"cannot write {path}: {error.strerror or error}") from None
    return path


def page(run: Run) -> str:
    """A run's page."""
    return filled("page.html.j2", contents(run))


def filled(template: str, values: dict[str, Any], *styles: str) -> str:
    """A page of a template of this folder. Only its own style and script may act in it, which the policy names by their
    hashes. styles: files of this folder that are added to the page's own."""
    style, script = map(_read, (("page.css", *styles), ("page.js",)))
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "media-src": "data:",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return (
        environment()
        .get_template(template)
        .render(
            values,
            policy="; ".join(f"{name} {value}" for name, value in policy.items()),
            style=Markup(style),  # ours, and checked to hold no end tag
            script=Markup(script),
        )
    )


def _read(names: tuple[str, ...]) -> str:
    return "".join((HOME / name).read_text(encoding="utf-8") for name in names)


def environment(*folders: Path) -> Environment:
    """The page's templates and filters, and with them those of other folders, which go first."""
    made = Environment(
        loader=FileSystemLoader([*folders, HOME]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"block": block, "short": short, "whole": whole}
    return made


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def block(value: Any) -> Markup:
    """A value as JSON that may stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def short(value: Any) -> str:
    """A value for a table: numbers that are not whole with five digits."""
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def whole(value: Any) -> str:
    """A step: a whole number with commas."""
    if isinstance(value, (int, float)) and math.isfinite(value):
        return f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"
    return "–" if value is None else str(value)
