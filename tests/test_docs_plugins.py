"""docs/plugins.md: its files are written, its commands run in order, and what it says they print is what they print."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT
from environments import STRICT, fresh

from ganzoo import hookspecs
from ganzoo.capabilities import WORDS

PAGE = (ROOT / "docs" / "plugins.md").read_text()
_FENCE = re.compile(r"^```(\w+)(?: (title|append)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Block:
    """A fenced block of the page: a file (title), lines for the end of one (append), or commands."""

    language: str
    action: str
    path: str
    text: str


def blocks() -> list[Block]:
    return [Block(*(match.group(index) or "" for index in (1, 2, 3, 4))) for match in _FENCE.finditer(PAGE)]


def commands(text: str) -> list[tuple[str, list[str]]]:
    """Each `$ command` with the lines that are said to come out."""
    found: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip():
            found[-1][1].append(line)
    return found


def stands_in(stated: str, printed: list[str]) -> bool:
    """Whether a stated line was printed; one that ends in `...` is a beginning."""
    if stated.endswith("..."):
        return any(line.strip().startswith(stated[:-3].strip()) for line in printed)
    return stated.strip() in printed


def table(heading: str) -> dict[str, str]:
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", section, re.MULTILINE))


def test_the_page_has_ten_steps() -> None:
    assert re.findall(r"^## (\d+)\. ", PAGE, re.MULTILINE) == [str(number) for number in range(1, 11)]


@pytest.mark.slow
def test_the_page_works_from_an_empty_folder(tmp_path: Path) -> None:
    environment, here = fresh(tmp_path / "venv", with_ganzoo=True), tmp_path / "empty"
    here.mkdir()
    for block in blocks():
        if block.action == "title":
            (here / block.path).write_text(block.text)
        elif block.action == "append":
            with (here / block.path).open("a") as file:
                file.write(block.text)
        for command, stated in commands(block.text) if block.language == "console" else ():
            if command.startswith("cd "):
                here = here / command[3:]
                continue
            refused = bool(stated) and stated[0].startswith("ganzoo: ")
            done = environment.run(command, cwd=here, code=2 if refused else 0)
            printed = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines()]
            missing = [line for line in stated if not stands_in(line, printed)]
            assert not missing, f"{command} did not print {missing[0]!r} but:\n" + "\n".join(printed)


@pytest.mark.parametrize("settings", [[], STRICT], ids=["ruff as it comes", "the zoo's rules"])
def test_the_code_of_the_page_is_clean(tmp_path: Path, settings: list[str]) -> None:
    for block in blocks():
        if block.language == "python":
            (tmp_path / block.path).parent.mkdir(exist_ok=True)
            (tmp_path / block.path).write_text(block.text)
    for command in (["check", *settings], ["format", "--check", "--line-length", "120"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


def hooks() -> dict[str, str]:
    found = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("register_")}
    return {
        f"{name}({', '.join(inspect.signature(hook).parameters)})": " ".join((inspect.getdoc(hook) or "").split())
        for name, hook in found.items()
    }


@pytest.mark.parametrize(("heading", "rows"), [("The hooks", hooks()), ("The words", WORDS)])
def test_the_tables_are_complete(heading: str, rows: dict[str, str]) -> None:
    assert table(heading) == rows, "to bring the page up to date: python tests/test_docs_plugins.py"


def write_tables() -> None:
    """Bring the page's two tables up to date: `python tests/test_docs_plugins.py`."""
    page = PAGE
    for heading, found in (("The hooks", hooks()), ("The words", WORDS)):
        before, section = page.split(f"\n## {heading}\n")
        lines = "".join(f"| `{name}` | {text} |\n" for name, text in found.items())
        section = re.sub(r"(?<=\| --- \| --- \|\n)(\| .*\n)*", lambda _match, lines=lines: lines, section, count=1)
        page = f"{before}\n## {heading}\n{section}"
    (ROOT / "docs" / "plugins.md").write_text(page)


if __name__ == "__main__":
    write_tables()
