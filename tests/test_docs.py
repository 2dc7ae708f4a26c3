"""What README and docs say is true: their commands run, and their output is the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from ganzoo import hookspecs
from ganzoo.cli import main
from ganzoo.registry import HOOKS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def run(command: str):
    return CliRunner().invoke(main, shlex.split(command, comments=True)[1:])


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.S)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("ganzoo ")]


@pytest.mark.parametrize(
    "command", [line for line in commands(README) if line.startswith(("ganzoo list", "ganzoo show"))]
)
def test_looking_commands_of_the_readme(command):
    assert run(command).exit_code == 0


@pytest.mark.parametrize("command", [line for line in commands(README) if line.startswith("ganzoo train")])
def test_training_commands_of_the_readme_are_understood(command, tmp_path, monkeypatch):
    """As far as --dry-run goes; a folder of photos is there as the page assumes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes((ROOT / "docs" / "images" / "mnist-dcgan-wgan-gp.png").read_bytes())
    result = run(command.partition("#")[0] + " --dry-run")
    assert result.exit_code == (2 if "norm=batch" in command else 0), result.output


def test_the_refusal_in_the_readme_is_what_is_printed(ganzoo):
    command, text = re.search(r"```console\n\$ (.*?)\n```\n.*?```text\n(.*?)\n```", README, re.S).groups()
    finished = ganzoo(*shlex.split(command)[1:], code=2, toys=False)
    assert finished.stderr.split() == text.split()


def test_python_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    names: dict = {}
    exec(code.replace("steps=200", "steps=2, batch=4").replace('"dcgan"', '"dcgan:width=4"'), names)
    assert names["images"].shape == (16, 1, 32, 32)
    assert names["same"].equal(names["images"])


def test_every_command_has_help_and_is_documented():
    for name, command in main.commands.items():
        assert command.help, name
        assert f"ganzoo {name}" in README or f"`{name}`" in ARCHITECTURE + README, name


def test_the_rooms_on_the_architecture_page_are_there():
    named = set(re.findall(r"`(\w+\.py)`", ARCHITECTURE))
    there = {path.name for path in (ROOT / "ganzoo").glob("*.py")} - {"__init__.py", "__main__.py", "errors.py"}
    assert named >= there, there - named
    assert named - there <= {"train.py"}, named - there
    assert len(ARCHITECTURE.splitlines()) < 110


def test_hookspecs_fit_one_screen_and_are_the_registrys():
    names = {name for name in vars(hookspecs) if name.startswith("register_")}
    assert names == set(HOOKS.values())
    assert len(Path(hookspecs.__file__).read_text().splitlines()) <= 50


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_nothing_names_a_machine():
    for path in [
        *ROOT.glob("*.*"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "ganzoo").rglob("*.py"),
        *(ROOT / "plugins").rglob("*.py"),
    ]:
        if path.is_file() and path.suffix in (".md", ".py", ".toml", ".txt"):
            assert not re.search(r"/(home|work|root)/", path.read_text()), path
