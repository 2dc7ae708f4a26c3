"""From words to a complete configuration: precedence, recipes, files, identity."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ganzoo.cli import main
from ganzoo.config import Choice, Config, resolve, short_hash
from ganzoo.errors import UsageError
from ganzoo.registry import installed
from ganzoo.trial import needs_path


def asked(**words) -> Config:
    return resolve(installed(), words)


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("dcgan", "dcgan", {}),
        ("dcgan:width=8", "dcgan", {"width": "8"}),
        ("a:b=1,c=x y,d=", "a", {"b": "1", "c": "x y", "d": ""}),
        ("a:b=\"1,2:3\",c='4,5'", "a", {"b": "1,2:3", "c": "4,5"}),
        ("folder:path=/some/where,size=112x96", "folder", {"path": "/some/where", "size": "112x96"}),
    ],
)
def test_parts_in_words(text, name, options):
    assert Choice.parse(text) == Choice(name, options)
    assert Choice.parse(str(Choice(name, options))) == Choice(name, options)


def test_precedence_of_settings():
    """Flag over recipe over loss over architecture over default."""
    assert asked(arch="mlp").procedure.options["rate"] == 2e-4
    assert asked(arch="dcgan").procedure.options["beta1"] == 0.5
    gp = asked(arch="dcgan", loss="wgan-gp").procedure.options
    assert (gp["n_critic"], gp["rate"], gp["beta1"], gp["beta2"]) == (5, 1e-4, 0.0, 0.9)
    recipe = asked(recipe="wgan-gp-mnist").procedure.options
    assert (recipe["beta1"], recipe["beta2"]) == (0.5, 0.9)
    flag = asked(recipe="wgan-gp-mnist", procedure="adversarial:beta1=0.2").procedure.options
    assert (flag["beta1"], flag["beta2"], flag["n_critic"]) == (0.2, 0.9, 5)


def test_a_flag_replaces_the_recipes_part_and_the_same_name_keeps_its_options():
    assert asked(recipe="dcgan-mnist").architecture.options["width"] == 64
    assert asked(recipe="wgan-gp-mnist", arch="dcgan").architecture.options["latent"] == 128
    assert asked(recipe="wgan-gp-mnist", arch="dcgan:width=8").architecture.options == {
        "latent": 128,
        "width": 8,
        "norm": "auto",
    }
    assert asked(recipe="wgan-gp-mnist", arch="mlp").architecture.options["latent"] == 64
    assert asked(recipe="dcgan-mnist", data="mnist:path=here").dataset.options["path"] == "here"
    assert (asked(recipe="dcgan-mnist").batch, asked(recipe="dcgan-mnist", batch=7).batch) == (128, 7)


def test_regularizers_add_replace_and_go():
    def names(**words):
        return {choice.name: choice.options for choice in asked(arch="dcgan", **words).regularizers}

    assert names(loss="wgan-gp")["gradient-penalty"]["weight"] == 10
    assert names(loss="wgan-gp", reg=("gradient-penalty:weight=1",))["gradient-penalty"]["weight"] == 1
    assert list(names(loss="wgan-gp", reg=("r1",), no_reg=("gradient-penalty",))) == ["r1"]
    assert list(names(loss="hinge", reg=("r1", "diffaugment"))) == ["r1", "diffaugment"]


def test_a_complete_configuration_comes_back_from_json_and_toml(tmp_path):
    words = {
        "arch": "dcgan:width=8",
        "loss": "wgan-gp",
        "reg": ("diffaugment:cutout=false",),
        "data": "digits:size=48x32",
        "steps": 7,
        "seed": 3,
    }
    config = asked(**words)
    assert Config.from_json(json.loads(json.dumps(config.to_json()))).to_json() == config.to_json()
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    assert asked(recipe=str(tmp_path / "config.json")).to_json() == config.to_json()
    (tmp_path / "run.toml").write_text(
        'arch = "dcgan:width=8"\nloss = "wgan-gp"\nreg = ["diffaugment:cutout=false"]\n'
        'data = "digits:size=48x32"\nsteps = 7\nseed = 3\n'
    )
    assert asked(recipe=str(tmp_path / "run.toml")).to_json() == config.to_json()
    (tmp_path / "over.toml").write_text('recipe = "wgan-gp-mnist"\nsteps = 9\n')
    over = asked(recipe=str(tmp_path / "over.toml"))
    assert (over.steps, over.batch, over.loss.name) == (9, 50, "wgan-gp")


def test_every_recipe_resolves_and_fits():
    for name in installed().names("recipe"):
        for variant in ("", *(f":{form}" for form in installed().get("recipe", name).variants)):
            data = Choice.parse(vars(installed().get("recipe", name))["data"]).name
            # Some have no samples of their own, and the user says where they are.
            path = ["--data", f"{data}:path=."] if needs_path(installed().get("dataset", data)) else []
            result = CliRunner().invoke(main, ["train", name + variant, *path, "--dry-run"])
            assert result.exit_code == 0, result.output
            assert json.loads(result.stdout)["recipe"] == name + variant


def test_identity():
    """What makes two runs the same run."""
    base = {"arch": "mlp", "data": "ring"}

    def of(fingerprint="f", tied=False, **words):
        return short_hash(asked(**{**base, **words}).identity(fingerprint, tied))

    assert of() == of() == of(steps=5)
    assert of(tied=True) != of(tied=True, steps=5)
    different = [
        of(seed=1),
        of(batch=3),
        of(loss="hinge"),
        of(reg=("r1",)),
        of(arch="mlp:width=9"),
        of(precision="bf16"),
        of(fingerprint="g"),
    ]
    assert len({of(), *different}) == len(different) + 1


def test_paths_are_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "points.npy").write_bytes(b"")
    for text in ("points.npy", "./points.npy", str(tmp_path / "points.npy")):
        assert asked(arch="mlp", data=text).dataset.name == "array"
    with pytest.raises(UsageError, match="no installed data set reads"):
        (tmp_path / "letter.doc").write_bytes(b"")
        asked(arch="mlp", data="./letter.doc")


def test_a_dry_run_reads_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", "--arch", "dcgan", "--data", "mnist:path=/does/not/exist", "--dry-run"])
    assert result.exit_code == 0 and json.loads(result.stdout)["dataset"]["options"]["path"] == "/does/not/exist"
    assert list(tmp_path.iterdir()) == []
