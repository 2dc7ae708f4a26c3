"""`ganzoo plugin new NAME`: a plugin package that works at once, to be changed into one's own.

Its text stands in templates/plugin/, one file for each that is written, with $name, $module, $package and $Title in it.
"""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path
from string import Template

from .errors import GanzooError, UsageError
from .registry import installed

TEMPLATES = Path(__file__).parent / "templates" / "plugin"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def write_plugin(name: str, out: Path | None = None) -> Path:
    """Write the package ganzoo-NAME into a new folder. Raises UsageError for a name that cannot be used."""
    _check_name(name)
    folder = Path(f"ganzoo-{name}") if out is None else out
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder; name another one with --out")
    module = name.replace("-", "_")
    words = {
        "name": name,
        "module": module,
        "package": f"ganzoo_{module}",
        "Title": "".join(word.title() for word in name.split("-")),
    }
    try:
        for template in sorted(TEMPLATES.rglob("*.txt")):
            path = folder / _place(template.relative_to(TEMPLATES), words["package"])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(Template(template.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
    except OSError as error:
        raise GanzooError(f"cannot write {folder}: {error.strerror or error}") from None
    return folder


def _place(template: Path, package: str) -> Path:
    """Where a template's file goes: `package/parts.py.txt` to `ganzoo_NAME/parts.py`."""
    return Path(*(package if part == "package" else part for part in template.parts)).with_suffix("")


def _check_name(name: str) -> None:
    if name.startswith("ganzoo-"):
        raise UsageError(
            "the package's name gets the prefix ganzoo- by itself; "
            f"write: ganzoo plugin new {name.removeprefix('ganzoo-')}"
        )
    if not _NAME.fullmatch(name):
        words = re.findall("[a-z0-9]+", name.lower())
        better = "-".join(words).lstrip("0123456789-") or "crystal"
        raise UsageError(
            f"'{name}' cannot name a package: use small letters, digits and single hyphens, "
            f"a letter first, such as: {better}"
        )
    if taken := _taken(name):
        raise UsageError(f"the name '{name}' is taken: {taken}; choose another one")


def _taken(name: str) -> str | None:
    """What has the name already, among installed packages and parts."""
    try:
        return f"the package ganzoo-{name} {metadata.version(f'ganzoo-{name}')} is installed"
    except metadata.PackageNotFoundError:
        pass
    module = f"ganzoo_{name.replace('-', '_')}"
    if importlib.util.find_spec(module):
        return f"there is a Python package {module}"
    for entry in installed().entries():
        if entry.part.name in (f"{name}-net", f"{name}-loss"):
            return f"{entry.package} has the {entry.kind} {entry.part.name}"
    return None
