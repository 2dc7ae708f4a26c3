"""The table of entry points, names that do not exist, and options from words."""

from __future__ import annotations

import tomllib
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from conftest import ROOT

from ganzoo import Size, UsageError
from ganzoo.cli import main
from ganzoo.options import Option, OptionError, bind, close, schema, to_json
from ganzoo.registry import HOOKS, Registry, installed

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Every plugin file has a line, and every line a file


def hooked_modules() -> set[str]:
    """The import names of plugin files that implement a hook; what they share (no hook) needs no line."""
    files = [path for path in (ROOT / "plugins").rglob("*.py") if "@hookimpl" in path.read_text()]
    return {".".join(("ganzoo_plugins", *path.relative_to(ROOT / "plugins").with_suffix("").parts)) for path in files}


def test_a_plugin_file_has_an_entry_point_if_and_only_if_it_has_a_hook() -> None:
    lines = PROJECT["project"]["entry-points"]["ganzoo"]
    assert set(lines.values()) == hooked_modules()
    assert len(set(lines.values())) == len(lines)


def test_entry_points_are_sorted_and_named_after_their_files() -> None:
    lines = PROJECT["project"]["entry-points"]["ganzoo"]
    assert list(lines) == sorted(lines)
    assert {name: module.removeprefix("ganzoo_plugins.").replace("_", "-") for name, module in lines.items()} == {
        name: name for name in lines
    }


def test_every_plugin_folder_goes_into_the_wheel() -> None:
    folders = {path.parent.relative_to(ROOT / "plugins") for path in (ROOT / "plugins").rglob("*.py")}
    packages = {".".join(("ganzoo_plugins", *folder.parts)) for folder in folders if folder.parts} | {"ganzoo_plugins"}
    assert packages <= set(PROJECT["tool"]["setuptools"]["packages"])


def test_a_part_stands_in_the_folder_of_its_kind() -> None:
    for entry in installed().entries():
        module = getattr(entry.part, "__module__", "")
        if module.startswith("ganzoo_plugins.") and entry.kind != "recipe":
            folder = HOOKS[entry.kind].removeprefix("register_")
            # A paper may bring its own loss, procedure or data along in the file of its architecture.
            assert module.split(".")[1] in (folder, "architectures", "procedures"), entry


# Names and options that do not exist: exit code 2 and one line on stderr


WRONG = [
    ("train --arch dcgann", ["there is no architecture 'dcgann' (did you mean dcgan", "Known architectures: "]),
    (
        "train --arch mlp:widht=8",
        ["architecture 'mlp' has no option 'widht' (did you mean width", "Options: latent, ", "ganzoo show mlp"],
    ),
    ("train --arch mlp:width=wide", ["architecture option mlp:width=wide: expected whole number"]),
    ("train --arch mlp:width=inf", ["architecture option mlp:width=inf: expected whole number"]),
    ("train --arch mlp --reg lecan", ["there is no regularizer 'lecan' (did you mean lecam"]),
    ("train dcgan-mnistt", ["there is no recipe 'dcgan-mnistt' (did you mean dcgan-mnist"]),
    ("show hinges", ["there is no part 'hinges' (did you mean hinge", "ganzoo list"]),
]


@pytest.mark.parametrize(("words", "told"), WRONG)
def test_a_wrong_word_is_refused_in_one_line(words: str, told: list[str]) -> None:
    done = CliRunner().invoke(main, words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("ganzoo: ")
    assert done.stderr.count("\n") == 1
    assert all(words in done.stderr for words in told), done.stderr


@pytest.mark.parametrize(("words", "told"), WRONG[:2])
def test_a_process_refuses_in_one_line_with_code_2(ganzoo: Any, words: str, told: list[str]) -> None:
    done = ganzoo(*words.split(), code=2, toys=False)
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert all(words in done.stderr for words in told), done.stderr


@pytest.mark.parametrize("kind", HOOKS)
def test_every_kind_names_close_matches(kind: str) -> None:
    names = installed().names(kind)
    if not names:
        pytest.skip(f"there is no {kind}")
    wrong = names[0] + "x"
    with pytest.raises(UsageError, match=rf"there is no {kind} '{wrong}'.* {names[0]}"):
        installed().get(kind, wrong)


def test_a_name_of_another_kind_is_told() -> None:
    with pytest.raises(UsageError, match=r"there is no loss 'mlp'.*Of another kind: architecture mlp"):
        installed().get("loss", "mlp")


def test_a_refused_value_names_the_part_and_where_to_look() -> None:
    with pytest.raises(
        UsageError,
        match=r"architecture 'mlp': latent, widths, layers and pieces must be at least 1\. See: ganzoo show mlp",
    ):
        installed().make("architecture", "mlp", {"width": "0"})


def test_make_keeps_all_options() -> None:
    part = installed().make("architecture", "mlp", {"width": "8"})
    assert part.options["width"] == 8
    assert set(part.options) == set(schema(type(part)))


def test_adding_a_module_twice_is_refused_and_changes_nothing() -> None:
    from ganzoo_plugins.losses import hinge

    registry = Registry()
    registry.add(hinge, "one", "1")
    with pytest.raises(ValueError, match="registered already"):
        registry.add(hinge, "two", "2")
    assert [entry.package for entry in registry.entries()] == ["one"]
    assert registry.holds(hinge)


# Options


def coerced(annotation: Any, value: Any) -> Any:
    return Option("option", annotation, None).coerce(value)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "3", 3),
        (int, "-3", -3),
        (int, "1e3", 1000),
        (int, "9007199254740993", 9007199254740993),  # more digits than a float holds
        (int, 5, 5),
        (int, 5.0, 5),
        (float, "2e-4", 2e-4),
        (float, 1, 1.0),
        (bool, "true", True),
        (bool, "off", False),
        (bool, "No", False),
        (bool, True, True),
        (str, "a b", "a b"),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (int | None, "none", None),
        (int | None, None, None),
        (int | None, "4", 4),
        (float | None, "0.5", 0.5),
        (Literal["auto"] | int, "auto", "auto"),
        (Literal["auto"] | int, "7", 7),
        (tuple[int, ...], "1,2,3", (1, 2, 3)),
        (tuple[int, ...], "1", (1,)),
        (tuple[int, ...], "", ()),
        (tuple[float, ...], [1, 2], (1.0, 2.0)),
        (tuple[str, ...], "a,b", ("a", "b")),
        (Size, "64", Size(64, 64)),
        (Size, "112x96", Size(112, 96)),
        (Size, 64, Size(64, 64)),
        (Size, [8, 4], Size(8, 4)),
        (Size | None, "none", None),
        (Size | None, "16", Size(16, 16)),
    ],
)
def test_words_become_values(annotation: Any, text: Any, value: Any) -> None:
    found = coerced(annotation, text)
    assert found == value
    assert type(found) is type(value)
    assert coerced(annotation, to_json(found)) == value  # as it comes back from a run's config.json


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "x"),
        (int, "1.5"),
        (int, ""),
        (int, True),
        (int, "inf"),
        (int, "nan"),
        (float, "x"),
        (float, "nan"),
        (float, "inf"),
        (float, True),
        (bool, "maybe"),
        (bool, "2"),
        (bool, ""),
        (Literal["a", "b"], "c"),
        (Literal["a", "b"], "A"),
        (int | None, "x"),
        (tuple[int, ...], "1,x"),
        (Size, "x"),
        (Size, "0"),
        (Size, "-4"),
        (Size, "1x2x3"),
        (Size, "8.5"),
        (Size, [1, 2, 3]),
    ],
)
def test_bad_values_are_refused(annotation: Any, text: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        coerced(annotation, text)


class Toy:
    """Takes one option of each kind."""

    name = "toy"

    def __init__(
        self,
        path: str,
        size: Size = Size(32, 32),  # noqa: B008
        widths: tuple[int, ...] = (1, 2),
        rate: float | None = None,
    ):
        pass


def test_a_schema_is_the_signature() -> None:
    found = schema(Toy)
    assert {name: (option.type_name, option.required) for name, option in found.items()} == {
        "path": ("text", True),
        "size": ("size (64 or HEIGHTxWIDTH)", False),
        "widths": ('"whole number,..."', False),
        "rate": ("number or none", False),
    }


def test_bind_fills_in_defaults() -> None:
    found = bind("dataset", Toy, {"path": "here", "widths": "3,4"})
    assert found == {"path": "here", "size": Size(32, 32), "widths": (3, 4), "rate": None}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "dataset 'toy' needs the option 'path'; write toy:path=TEXT"),
        (
            {"path": "x", "sise": "3"},
            r"dataset 'toy' has no option 'sise' \(did you mean size\?\). "
            r"Options: path, size, widths, rate. See: ganzoo show toy",
        ),
        ({"path": "x", "size": "big"}, r"dataset option toy:size=big: expected size \(64 or HEIGHTxWIDTH\)"),
        ({"path": "x", "rate": "inf"}, r"dataset option toy:rate=inf: expected number or none"),
        ({"path": "x", "widths": "1,b"}, "dataset option toy:widths=1,b: expected"),
    ],
)
def test_bind_refuses_in_one_sentence(given: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        bind("dataset", Toy, given)
    assert "\n" not in str(caught.value)


def test_a_part_without_options() -> None:
    class Bare:
        name = "bare"

    assert schema(Bare) == {}
    with pytest.raises(UsageError, match="Options: it has none"):
        bind("loss", Bare, {"x": "1"})


def test_why_a_number_is_refused() -> None:
    with pytest.raises(OptionError, match="it must be finite"):
        coerced(float, "inf")


def test_close_matches() -> None:
    assert close("dcgann", ["dcgan", "mlp"]) == " (did you mean dcgan?)"
    assert close("zzz", ["dcgan", "mlp"]) == ""
