"""The card of an exported generator: what it is, how it is used, how it was trained, and what was measured."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import jinja2

from .config import Config
from .game import Game
from .report.command import repeating
from .report.contents import measure
from .run import Run, json_lines

_CARD = """\
---
library_name: ganzoo
{% if run.spec.kind == "image" %}
pipeline_tag: unconditional-image-generation
{% endif %}
tags: [gan, ganzoo, {{ architecture.name }}, {{ config.loss.name }}]
# license: (yours to say, such as cc-by-4.0; the data may have terms of their own)
---

# {{ name }}

{{ architecture.summary() }} It is ganzoo's architecture `{{ architecture.name }}`
{%- if architecture.paper %} ({{ architecture.paper }}){% endif %}, and makes samples of kind {{ run.spec.kind }},
{{ run.spec.shape | join(" x ") }}{% if run.spec.classes %}, from data with {{ run.spec.classes | length }} classes
{%- endif %}. Exported by ganzoo {{ version }} from step {{ "{:,}".format(step) }}.

{% if picture.endswith(".png") %}
![Samples of seed 0, not chosen]({{ picture }})
{% else %}
Samples of seed 0, not chosen: [{{ picture }}]({{ picture }}).
{% endif %}

## Use

In this folder:

```sh
ganzoo import . --out runs/{{ name }}
ganzoo sample runs/{{ name }} --count 16 --seed 0 --out {{ picture }}
```

or in Python, after the import, `ganzoo.load("runs/{{ name }}").sample(16, seed=0)`. Nothing in this folder is executed
when it is read. The parameters ({% for file in files %}`{{ file }}.safetensors`{{ ", " if not loop.last }}{% endfor %})
have {{ "ganzoo's own names" if names == "ganzoo" else "the names of " ~ names }}.

## Training

{% if step %}
```sh
{{ command }}
```

The data were `{{ config.dataset.name }}`, {{ "{:,}".format(run.data_size) }} samples.
{% else %}
Not by ganzoo: the weights were imported from a checkpoint.
{% endif %}

## Measures

{% if measures %}
| name | value | interval | samples | compared with |
|---|---|---|---|---|
{% for one in measures %}
| {{ one.name }} | {{ one.value }} | {{ one.interval }} | {{ one.count }} | {{ one.reference }} |
{% endfor %}
{% else %}
None were taken at this step.
{% endif %}

## Licence

Not stated yet. Who publishes this folder says here, and in its first lines, how it may be used.
"""


def card(run: Run, config: Config, game: Game, files: list[str], picture: str, names: str) -> str:
    """The card as Markdown. config: the run's, as it may be told. files, picture: what lies beside it. names: of the
    parameters, `ganzoo` or their source."""
    page = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True).from_string(_CARD)
    return page.render(
        run=run,
        config=config,
        architecture=game.parts.architecture,
        step=game.step,
        name=run.path.resolve().name,
        version=metadata.version("ganzoo"),
        files=files,
        picture=picture,
        names=names,
        command=repeating(config)[0],
        measures=_measures(run, game.step),
    )


def _measures(run: Run, step: int) -> list[dict[str, Any]]:
    """What was measured at this step, each number once and the newest."""
    lines = [measure(record) for record in json_lines(run.path / "measures.jsonl") if isinstance(record, dict)]
    newest = {(line["name"], str(line["protocol"])): line for line in lines if line["step"] == step}
    return [
        {
            "name": line["name"],
            "value": f"{line['value']:.4g}" if isinstance(line["value"], float) else line["value"],
            "interval": "" if line["interval"] is None else "{:.4g} to {:.4g}".format(*line["interval"]),
            "count": line["protocol"].get("count", ""),
            "reference": str(line["protocol"].get("reference", "")).partition(":")[0],
        }
        for line in newest.values()
    ]
