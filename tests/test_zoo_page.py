"""docs/zoo.md is what the registry says now."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "zoo.md"
_spec = importlib.util.spec_from_file_location("generate", PAGE.parent / "generate.py")
generate = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(generate)


def test_the_page_is_current():
    assert PAGE.read_text() == generate.page(generate.built_in()), "write it again: python docs/generate.py"


def test_the_page_has_every_part_that_comes_with_ganzoo_and_no_other():
    registry = generate.built_in()
    text = PAGE.read_text()
    for kind in generate.HOOKS:
        section = text.partition(f"## {generate.TITLES[kind]}\n")[2].partition("\n## ")[0]
        assert registry.names(kind) == sorted(re.findall(r"^\| `([^`:]+)`", section, re.M))
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")} == {6, 7}
