"""A comparison as one page of HTML that needs nothing but itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from . import filled, put
from .command import repeating
from .comparison import Column, Comparison, Group, Member
from .contents import clock, sample_files, warnings
from .curves import PER_CHART, Curve, gather, number

STRIP = 8  # samples of each run
SIDE = 128  # pixels: a sample that is higher is reduced
PLAIN = {"seconds", "samples_per_second"}  # what is logged and says nothing as a curve


def write(comparison: Comparison, path: Path) -> Path:
    """Write the page. Raises RunError."""
    return put(path, page(comparison))


def page(comparison: Comparison) -> str:
    charts = [*_logged(comparison), *_measured(comparison)]
    count = len(comparison.members)
    values = {
        "name": f"{count} run{'s' if count != 1 else ''} compared",
        "facts": {"rows": len(comparison.groups), "runs": count, "numbers": len(comparison.columns)},
        "warnings": _warnings(comparison),
        "comparison": comparison,
        "clock": clock,
        "charts": charts,
        "thinned": any("mx" in curve for chart in charts for curve in chart["curves"]),
        "strips": [
            {"label": group.label, "name": member.name, "seed": member.seed, **strip(member)}
            for group in comparison.groups
            for member in group.members
        ],
        "commands": {member.name: repeating(member.run.config)[0] for member in comparison.members},
        "data": {"charts": charts, "samples": [], "last": None},
    }
    return filled("comparison.html.j2", values, "comparison.css")


def _warnings(comparison: Comparison) -> list[dict[str, Any]]:
    """The notes, and the warnings of every run with its name."""
    told = [{"text": note, "times": 1, "first": None, "last": None} for note in comparison.notes]
    for member in comparison.members:
        found = warnings(member.run, member.records)
        told += [{**warning, "text": f"{member.name}: {warning['text']}"} for warning in found]
    return told


def _logged(comparison: Comparison) -> list[dict[str, Any]]:
    """Charts of every logged number."""
    found: dict[str, list[list[Curve]]] = {}
    for index, group in enumerate(comparison.groups):
        for curve in (curve for member in group.members for curve in gather(member.records)):
            found.setdefault(curve.name, [[] for _ in comparison.groups])[index].append(curve)
    names = sorted(found.keys() - PLAIN, key=lambda name: ("/" not in name, list(found).index(name)))
    return [chart for name in names for chart in _charts(name, comparison, found[name])]


def _measured(comparison: Comparison) -> list[dict[str, Any]]:
    """Charts of every measure that a run has of more than one step."""
    return [
        chart
        for column in comparison.columns
        if column.key is not None
        for chart in _charts(column.label, comparison, [_over_steps(column, group) for group in comparison.groups])
    ]


def _over_steps(column: Column, group: Group) -> list[Curve]:
    curves = []
    for member in group.members:
        curve = Curve(group.label, measured=True)
        for step, found in _taken(column, member):
            curve.add(step, float(found["value"]), found["interval"])
        if len(set(curve.steps)) > 1:
            curves.append(curve.ordered())
    return curves


def _taken(column: Column, member: Member) -> Iterable[tuple[float, dict[str, Any]]]:
    for key, found in member.measures:
        step = number(found["step"])
        if key == column.key and step is not None:
            yield step, found


def _charts(name: str, comparison: Comparison, rows: list[list[Curve]]) -> list[dict[str, Any]]:
    """The curves of a number, in charts of no more rows than there are colours; a row has one colour in all charts.

    rows: of each row of the table its curves, which may be none.
    """
    charts = []
    for first in range(0, len(rows), PER_CHART):
        title = name if len(rows) <= PER_CHART else f"{name} {first // PER_CHART + 1}"
        part = zip(comparison.groups[first:], rows[first : first + PER_CHART], strict=False)
        curves = [
            {**curve.to_json(), "name": group.label, "colour": colour}
            for colour, (group, row) in enumerate(part)
            for curve in row
        ]
        charts += [{"title": title, "curves": curves}] if curves else []
    return charts


def strip(member: Member) -> dict[str, Any]:
    """The first samples of a run's last file of them: a picture as a data URI, text as text, else nothing."""
    files = sample_files(member.run)
    if not files:
        return {"form": "none", "step": None}
    step, path = files[-1]
    if path.suffix == ".png":
        return {"step": step, **_cropped(path, member)}
    if path.suffix in (".txt", ".csv"):
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = [line[:200] for _, line in zip(range(STRIP), file, strict=False)]
        return {"form": "text", "step": step, "body": "".join(lines)}
    return {"form": "none", "step": step}


def _cropped(path: Path, member: Member) -> dict[str, Any]:
    """The first row of a sheet of pictures (see samples.grid: two pixels between them); a plot of points whole."""
    spec = member.run.spec
    try:
        with Image.open(path, formats=["PNG"]) as sheet:
            picture = sheet.copy()
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return {"form": "none"}
    limit = (2 * SIDE, 2 * SIDE)
    if spec.kind == "image":
        _, height, width = spec.shape
        picture = picture.crop((0, 0, min(picture.width, STRIP * (width + 2) - 2), height))
        limit = (STRIP * SIDE, SIDE)
    if picture.width > limit[0] or picture.height > limit[1]:
        picture = picture.convert("RGB") if picture.mode not in ("L", "RGB", "RGBA") else picture
        picture.thumbnail(limit)
    content = io.BytesIO()
    picture.save(content, "PNG")
    packed = base64.b64encode(content.getvalue()).decode()
    return {
        "form": "picture",
        "body": f"data:image/png;base64,{packed}",
        "width": picture.width,
        "height": picture.height,
    }
