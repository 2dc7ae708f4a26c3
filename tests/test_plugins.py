"""Strangers' plugins: a whole package from `ganzoo plugin new` to training,
and packages that are broken in every way."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT
from environments import STRICT, Environment, fake_distribution, fresh

import ganzoo.registry
from ganzoo import UsageError
from ganzoo.registry import Registry
from ganzoo.scaffold import write_plugin
from ganzoo.testing import CheckError, check_installed, check_plugin

KEYS = {"kind", "name", "summary", "package", "version", "needs", "offers", "broken"}

# A package that `ganzoo plugin new` wrote, as a real wheel beside ganzoo's own


def build_wheel(source: Path, out: Path) -> Path:
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def crystal(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """An environment of ganzoo's wheel and of ganzoo-crystal's, and the folder of the latter's source."""
    home = tmp_path_factory.mktemp("crystal")
    source = home / "source"
    shutil.copytree(ROOT, source, ignore=lambda folder, names: [name for name in names if _unbuilt(Path(folder), name)])
    plugin = write_plugin("crystal", home / "ganzoo-crystal")
    wheels = [build_wheel(source, home / "wheel"), build_wheel(plugin, home / "plugin-wheel")]
    environment = fresh(home / "venv", with_ganzoo=False)
    environment.run(["pip", "install", *wheels], cwd=home)
    return environment, plugin


def _unbuilt(folder: Path, name: str) -> bool:
    """What a wheel is not built from: anything beside the packages at the top, and caches."""
    top = {"ganzoo", "plugins", "csrc", "pyproject.toml", "setup.py", "LICENSE", "README.md"}
    return name == "__pycache__" or (folder == ROOT and name not in top)


def test_ganzoo_comes_from_its_wheel(crystal: tuple[Environment, Path]) -> None:
    environment, plugin = crystal
    where = environment.run(
        [environment.python, "-c", "import ganzoo; print(ganzoo.__file__)"], cwd=plugin.parent
    ).stdout
    assert Path(where.strip()).is_relative_to(environment.folder)


def test_the_new_parts_are_listed_with_their_package(crystal: tuple[Environment, Path]) -> None:
    environment, plugin = crystal
    rows = json.loads(environment.run(["ganzoo", "list", "--json"], cwd=plugin.parent).stdout)
    assert all(set(row) == KEYS for row in rows)
    found = {row["name"]: row for row in rows if row["package"] == "ganzoo-crystal"}
    assert {name: row["kind"] for name, row in found.items()} == {"crystal-net": "architecture", "crystal-loss": "loss"}
    assert {row["version"] for row in found.values()} == {"0.1.0"}
    assert all(row["broken"] is None for row in rows)


def test_the_new_parts_train(crystal: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, _ = crystal
    words = "train --arch crystal-net --loss crystal-loss --steps 4 --batch 8 --data ring --out run"
    environment.run(["ganzoo", *words.split()], cwd=tmp_path)
    packages = json.loads((tmp_path / "run" / "config.json").read_text())["packages"]
    assert packages["architecture crystal-net"] == packages["loss crystal-loss"] == "ganzoo-crystal 0.1.0"


def test_the_written_test_passes(crystal: tuple[Environment, Path]) -> None:
    environment, plugin = crystal
    done = environment.run([environment.python, "-m", "pytest", "-q", "-p", "no:cacheprovider"], cwd=plugin)
    assert "2 passed" in done.stdout


def test_plugin_check_of_one_package(crystal: tuple[Environment, Path]) -> None:
    environment, plugin = crystal
    done = environment.run(["ganzoo", "plugin", "check", "ganzoo_crystal"], cwd=plugin.parent)
    assert done.stdout.splitlines() == ["ok  architecture crystal-net  (3 runs)", "ok  loss crystal-loss  (3 runs)"]


# What `ganzoo plugin new` writes and refuses


def test_plugin_new_writes_a_package(ganzoo: Any, tmp_path: Path) -> None:
    assert "ganzoo-crystal" in ganzoo("plugin", "new", "crystal").stdout
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    names = [
        "pyproject.toml",
        "README.md",
        "ganzoo_crystal/__init__.py",
        "ganzoo_crystal/parts.py",
        "tests/test_plugin.py",
    ]
    assert files == {f"ganzoo-crystal/{name}" for name in names}


@pytest.mark.parametrize("name", ["crystal", "a-name-with-very-many-words-2"])
@pytest.mark.parametrize("settings", [[], STRICT], ids=["ruff as it comes", "the zoo's rules"])
def test_what_is_written_is_clean(tmp_path: Path, name: str, settings: list[str]) -> None:
    folder = write_plugin(name, tmp_path / "written")
    for command in (["check", *settings], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout
    assert not any("$" in path.read_text() for path in folder.rglob("*.*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Crystal", "such as: crystal"),
        ("two words", "such as: two-words"),
        ("3d-nets", "such as: d-nets"),
        ("-", "such as: crystal"),
        ("../crystal", "such as: crystal"),
        ("ganzoo-crystal", "write: ganzoo plugin new crystal"),
        ("plugins", "there is a Python package ganzoo_plugins"),
    ],
)
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        write_plugin(name, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_plugin("crystal", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


# Broken packages: listed with their reason, and nobody else's trouble

LOSS = '''
from ganzoo import AdversarialLoss, hookimpl


class Loss(AdversarialLoss):
    """A difference of scores."""

    name = "{name}"

    def discriminator(self, real, fake):
        return fake.value - real.value

    def generator(self, real, fake):
        return -fake.value


@hookimpl
def {hook}({arguments}):
    {body}
'''


def loss(name: str, hook: str = "register_losses", arguments: str = "register", body: str = "register(Loss)") -> str:
    return LOSS.format(name=name, hook=hook, arguments=arguments, body=body)


BROKEN = {
    "breaks_on_import": ("raise RuntimeError('no such\\nlibrary')", "RuntimeError: no such library"),
    "breaks_silently": ("raise ValueError", "ValueError: no reason given"),
    "leaves": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt: no reason given"),
    "lacks_a_module": (
        "import no_such_module_anywhere",
        "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
    ),
    "cannot_be_read": ("def (", "SyntaxError: "),
    "misspells_a_hook": (loss("misspelt", hook="register_losess"), "unknown hook 'register_losess'"),
    "misspells_an_argument": (loss("misnamed", arguments="registrar", body="registrar(Loss)"), "registrar"),
    "breaks_both_ways": (
        loss("twice") + "@hookimpl\ndef register_losess(register): ...\n@hookimpl\ndef register_recipes(a): ...",
        "register_",
    ),
    "raises_in_its_hook": (loss("raising", body="raise OSError('disk')"), "OSError: disk"),
    "registers_an_instance": (
        loss("instance", body="register(Loss())"),
        "register_losses takes subclasses of ganzoo.Loss, got <",
    ),
    "registers_the_wrong_kind": (
        loss("kind", hook="register_datasets"),
        "register_datasets takes subclasses of ganzoo.Dataset",
    ),
    "has_no_name": (loss(""), "has no name"),
    "has_a_number_for_a_name": (loss("x").replace('"x"', "7"), "has no name"),
    "registers_half": (loss("half", body="register(Loss); register(None)"), "got None"),
}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH: one distribution per way to be broken, two that share a name, and a good one."""
    folder = tmp_path_factory.mktemp("broken")
    for module, (text, _) in BROKEN.items():
        fake_distribution(folder, f"ganzoo-{module.replace('_', '-')}", "1.5", {module: text})
    fake_distribution(folder, "ganzoo-left", "1.0", {"left": loss("shared")})
    fake_distribution(folder, "ganzoo-right", "2.0", {"right": loss("shared")})
    fake_distribution(
        folder, "ganzoo-zz-good", "3.0", {"zz_good": loss("good"), "zz_bad": "raise RuntimeError('half of it')"}
    )
    (folder / "nameless-1.0.dist-info").mkdir()
    (folder / "nameless-1.0.dist-info" / "entry_points.txt").write_text("[ganzoo]\nnameless = no_such_module\n")
    return folder


@pytest.fixture(scope="module")
def rows(broken: Path) -> list[dict[str, Any]]:
    """The listing of a real process that sees them all."""
    from conftest import command, environment

    done = subprocess.run(
        command("list", "--json"),
        env=environment(toys=False, extra={"PYTHONPATH": str(broken)}),
        cwd=broken,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return list(json.loads(done.stdout))


def test_the_listing_is_one_flat_list(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert set(row) == KEYS
        assert all(isinstance(row[key], str) for key in ("kind", "name", "summary", "package", "version"))
        assert all(isinstance(word, str) for key in ("needs", "offers") for word in row[key])
        assert row["broken"] is None or isinstance(row["broken"], str)
    assert {row["kind"] for row in rows} <= {*ganzoo.registry.KINDS, "plugin"}


@pytest.mark.parametrize("module", BROKEN)
def test_a_broken_plugin_is_listed_with_its_reason(rows: list[dict[str, Any]], module: str) -> None:
    (row,) = [row for row in rows if row["package"] == f"ganzoo-{module.replace('_', '-')}"]
    assert (row["kind"], row["name"], row["version"]) == ("plugin", module, "1.5")
    assert BROKEN[module][1] in row["broken"]
    assert "\n" not in row["broken"]


def test_the_others_are_whole(rows: list[dict[str, Any]]) -> None:
    good = [row for row in rows if row["package"] == "ganzoo-zz-good"]
    assert [(row["kind"], row["name"], bool(row["broken"])) for row in good] == [
        ("loss", "good", False),
        ("plugin", "zz_bad", True),
    ]
    assert all(row["broken"] is None for row in rows if row["package"] == "ganzoo")


def test_two_packages_with_one_name_are_both_named(rows: list[dict[str, Any]]) -> None:
    shared = [row for row in rows if row["name"] == "shared"]
    assert [row["package"] for row in shared] == ["ganzoo-left", "ganzoo-right"]
    assert all("ganzoo-left 1.0 and ganzoo-right 2.0" in row["broken"] for row in shared)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ("--loss shared", 2, ["ganzoo-left 1.0 and ganzoo-right 2.0", "uninstall one"]),
        ("--loss misspelt", 2, ["there is no loss 'misspelt'", "ganzoo-misspells-a-hook", "register_losess"]),
        ("--loss good", 0, []),
    ],
)
def test_only_the_run_that_names_it_fails(ganzoo: Any, broken: Path, words: str, code: int, told: list[str]) -> None:
    settings = f"train --arch mlp:width=8,layers=1 --data ring:count=64 --steps 1 --batch 4 {words}".split()
    done = ganzoo(*settings, code=code, toys=False, env={"PYTHONPATH": str(broken)})
    assert all(words in done.stderr for words in told)
    assert code == 0 or done.stderr.count("\n") == 1


def test_plugin_check_counts_broken_plugins_and_clashes(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(broken))
    registry = Registry().load_installed()
    monkeypatch.setattr("ganzoo.testing.installed", lambda: registry)
    lines: list[str] = []
    assert check_installed("ganzoo-zz-good", lines.append) == 1
    assert lines == ["FAILED  plugin ganzoo-zz-good (zz_bad): RuntimeError: half of it", "ok  loss good  (3 runs)"]
    assert check_installed("ganzoo_left", lines.append) == 1
    assert lines[-1].startswith("FAILED  loss 'shared' is registered by ganzoo-left 1.0 and ganzoo-right 2.0")
    with pytest.raises(UsageError, match=r"no installed package 'ganzoo-lefd'.*did you mean ganzoo-left"):
        check_installed("ganzoo-lefd", lines.append)


# Parts that are registered and wrong: check_plugin finds each, in one sentence that names the part

NET = '''
import torch
from torch import nn
import ganzoo
from ganzoo import *
from ganzoo import hookimpl


class Generator(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.main = nn.Linear(3, torch.Size(shape).numel())

    def forward(self, latent, label=None):
        return self.main(latent).tanh().reshape(-1, *self.shape)


class Discriminator(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.main = nn.Linear(torch.Size(shape).numel(), 1)

    def forward(self, samples, label=None):
        return Scores(self.main(samples.flatten(1)).flatten())


class Net(Architecture):
    """A line.

    Args:
        width: not used.
    """

    name = "net"
    needs = ("image|points",)
    offers = ("latent_generator", "discriminator", "smooth_samples", "per_sample_scores")
    tiny = {"width": 2}

    def __init__(self, width: int = 4):
        self.width = width

    def build(self, spec, plan):
        return Networks.pair(Generator(spec.shape), Discriminator(spec.shape))

    def latent(self, draws, count):
        return draws.normal("latent", count, 3)


class Measure(AdversarialLoss):
    """A difference."""

    name = "measure"

    def discriminator(self, real, fake):
        return fake.value - real.value

    def generator(self, real, fake):
        return -fake.value


@hookimpl
def register_architectures(register):
    register(Net)


@hookimpl
def register_losses(register):
    register(Measure)
'''


def module_of(text: str, name: str = "written_here") -> ModuleType:
    module = ModuleType(name)
    exec(compile(text, f"{name}.py", "exec"), vars(module))
    return module


def test_a_good_module_that_is_not_installed_passes() -> None:
    before = [entry.part.name for entry in ganzoo.registry.installed().entries()]
    check_plugin(module_of(NET))
    assert [entry.part.name for entry in ganzoo.registry.installed().entries()] == before


WRONG = {
    "no docstring": ('    """A difference."""\n', "", "loss 'measure': it has no docstring"),
    "no sentence": ('"""A difference."""', '"""A difference"""', "loss 'measure': the first paragraph .* full stop"),
    "an option that is not described": ("width: not used", "with: not used", "says nothing about the option 'width'"),
    "an option without a type": ("width: int = 4", "width=4", "its option 'width' has no type"),
    "an option of a type nobody can type": (
        "width: int = 4",
        "width: dict = {}",
        "'width' has the type dict, which no command line can give",
    ),
    "a default of another type": ("width: int = 4", "width: int = 4.5", "architecture net|architecture 'net'"),
    "tiny options that do not exist": ('{"width": 2}', '{"wide": 2}', "no option 'wide'"),
    "a name with a space": ('"net"', '"my net"', "a name is a word"),
    "an unknown word": (
        '"smooth_samples"',
        '"smooth_sample"',
        r"offers the unknown word 'smooth_sample' \(did you mean smooth_samples",
    ),
    "a need that nobody offers": (
        '("image|points",)',
        '("mine.crystals",)',
        "fits no run of installed parts: .*`mine.crystals`",
    ),
    "samples of another shape": ("reshape(-1, *self.shape)", "reshape(-1, 1, *self.shape)", "makes samples of shape"),
    "a network that raises": (
        "self.main(latent).tanh()",
        "self.main(latent[0, :2]).tanh()",
        r"RuntimeError: .*raised at .*\(in the run of",
    ),
    "values that are not finite": (
        "return -fake.value",
        "return -fake.value * float('inf')",
        "loss/generator and the gradient of .* became infinite",
    ),
    "a reduced loss": ("fake.value - real.value", "(fake.value - real.value).mean()", "values are unreduced"),
    "a loss without a gradient": ("-fake.value", "-fake.value.detach()", "does not require grad"),
    "latents that come from elsewhere": (
        'draws.normal("latent", count, 3)',
        "torch.rand(count, 3).normal_() + next(COUNTER)",
        "different",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_check_plugin_finds_what_is_wrong(case: str) -> None:
    before, after, told = WRONG[case]
    assert before in NET
    with pytest.raises(CheckError, match=told) as caught:
        check_plugin(module_of("import itertools\nCOUNTER = itertools.count()\n" + NET.replace(before, after)))
    assert "\n" not in str(caught.value)


def test_a_word_that_is_text_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Net\.needs is text; write a tuple of words"):
        module_of(NET.replace('needs = ("image|points",)', 'needs = "image"'))


REGULARIZER = '''
import torch
from ganzoo import *
from ganzoo import hookimpl


class Extra(Regularizer):
    """Something more."""

    name = "extra"

    {body}


@hookimpl
def register_regularizers(register):
    register(Extra)
'''

WRONG_REGULARIZERS = {
    "nothing": ("pass", "it does nothing"),
    "another's parameters": (
        "def penalty(self, turn):\n"
        "        with torch.no_grad():\n"
        "            next(turn.game.networks.generator.parameters()).add_(1)\n"
        "        return turn.fake_scores.value.mean()",
        "the move of player 'discriminator' changed generator",
    ),
    "a state that is not kept": (
        "seen = 0\n    def penalty(self, turn):\n        self.seen += 1\n"
        "        return turn.fake_scores.value.mean() * self.seen",
        "are not four steps: .* differs",
    ),
    "a state that does not load": (
        "def prepare(self, networks):\n        self.seen = 0\n"
        "    def penalty(self, turn):\n        self.seen += 1\n        return turn.fake_scores.value.mean()\n"
        "    def state(self):\n        return {'seen': self.seen}",
        "saving and loading changed regularizers/extra/seen",
    ),
}


@pytest.mark.parametrize("case", WRONG_REGULARIZERS)
def test_check_plugin_finds_wrong_regularizers(case: str) -> None:
    body, told = WRONG_REGULARIZERS[case]
    with pytest.raises(CheckError, match=told):
        check_plugin(module_of(REGULARIZER.format(body=body)))


DATA = '''
import torch
from ganzoo import *
from ganzoo import hookimpl


class Data(Dataset):
    """Some numbers."""

    name = "data"
    offers = ("points",)

    def open(self):
        return {collection}


@hookimpl
def register_datasets(register):
    register(Data)
'''

WRONG_DATA = {
    "Arrays(Spec('image', (1, 16, 16)), torch.zeros(8, 1, 16, 16))": (
        "it offers 'image', which its `offers` do not promise"
    ),
    "Arrays(Spec('points', (3,)), torch.zeros(8, 2))": r"shape \[2, 2\] instead of \[2, 3\]",
    "Arrays(Spec('points', (2,)), torch.full((8, 2), torch.nan))": "not finite",
    "Arrays(Spec('points', (2,)), torch.zeros(0, 2))": "the data set is empty",
}


@pytest.mark.parametrize("collection", WRONG_DATA)
def test_check_plugin_finds_wrong_data(collection: str) -> None:
    with pytest.raises(CheckError, match=WRONG_DATA[collection]):
        check_plugin(module_of(DATA.format(collection=collection)))


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ("name='r', summary='A run.', arch='mlp', loss='no-such-loss', data='ring'", "no loss 'no-such-loss'"),
        ("name='r', summary='A run.', arch='mlp:deep=1', loss='hinge', data='ring'", "no option 'deep'"),
        ("name='r', summary='A run.', arch='dcgan', loss='hinge', data='ring'", "needs `image`"),
        ("name='r', summary='A run', arch='mlp', loss='hinge', data='ring'", "full stop"),
        (
            "name='r', summary='A run.', arch='mlp', loss='hinge', data='ring', variants={'x': {'data': 'nowhere'}}",
            "no dataset 'nowhere'",
        ),
    ],
)
def test_check_plugin_finds_wrong_recipes(recipe: str, told: str) -> None:
    text = (
        "from ganzoo import Recipe, hookimpl\n@hookimpl\n"
        f"def register_recipes(register):\n    register(Recipe({recipe}))\n"
    )
    with pytest.raises(CheckError, match=told):
        check_plugin(module_of(text))


def test_a_module_that_registers_nothing_is_refused() -> None:
    with pytest.raises(CheckError, match="registers no part"):
        check_plugin(module_of("x = 1"))
    with pytest.raises(CheckError, match=r"cannot be registered: .*register_losess"):
        check_plugin(module_of(loss("x", hook="register_losess")))
