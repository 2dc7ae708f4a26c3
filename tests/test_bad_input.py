"""What can go wrong, goes wrong in one sentence that says what to type next, and nothing is lost."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

import ganzoo as library
from ganzoo.cli import main
from ganzoo.data import Arrays, Spec
from ganzoo.errors import NonFiniteError

TINY = ("--arch", "mlp:width=4,layers=1", "--data", "ring:count=64", "--batch", "8", "--steps", "4")


def refused(*words: object, code: int = 2) -> str:
    """Run the command, expect this exit code and a single sentence, and return it."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output + repr(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--arch", "dcgna"), ("there is no architecture 'dcgna'", "did you mean dcgan")),
        (("--arch", "hinge"), ("there is no architecture 'hinge'", "Of another kind: loss hinge")),
        (("--arch", "dcgan", "--loss", "hing"), ("no loss 'hing'", "hinge")),
        (("--arch", "dcgan", "--reg", "r2d2"), ("no regularizer 'r2d2'", "Known regularizers")),
        (("--arch", "dcgan:wdth=4"), ("no option 'wdth'", "did you mean width", "ganzoo show dcgan")),
        (("--arch", "dcgan:width=many"), ("dcgan:width=many", "expected whole number")),
        (("--arch", "dcgan:width=-4"), ("width must be at least 1", "ganzoo show dcgan")),
        (("--arch", "dcgan:norm=layer"), ("norm=layer", "auto|batch|none")),
        (("--arch", "dcgan:width"), ("cannot read 'dcgan:width'", "key=value")),
        (("--arch", "dcgan:width=4,width=5"), ("gives the option 'width' twice",)),
        (("--arch", "dcgan", "--reg", "r1:gamma=nan"), ("r1:gamma=nan", "finite")),
        (("--arch", "dcgan", "--reg", "r1:every=0"), ("every must be at least 1",)),
        (("--arch", "dcgan", "--no-reg", "r1"), ("--no-reg r1", "has no regularizer 'r1'")),
        (
            ("--arch", "dcgan:norm=batch", "--reg", "r1"),
            ("regularizer 'r1' needs `per_sample_scores`", "leave out --reg r1"),
        ),
        (("--arch", "dcgan", "--data", "ring"), ("architecture 'dcgan' needs `image`", "architectures cgan, mlp")),
        (("--arch", "mlp", "--data", "ring", "--reg", "diffaugment"), ("regularizer 'diffaugment' needs `image`",)),
        (("--arch", "dcgan", "--data", "digits:size=30"), ("multiples of 4, not 30x30", "size=32x32")),
        (("--arch", "dcgan", "--data", "digits:size=8"), ("16 to 128 px", "size=16x16")),
        (("--arch", "dcgan", "--data", "./nowhere"), ("there is no file or folder nowhere", "ganzoo list dataset")),
        (("--arch", "dcgan", "--data", "nowhere"), ("there is no dataset 'nowhere'", "Known datasets")),
        (("nothing",), ("there is no recipe 'nothing'", "gan-ring")),
        (("gan-ring:huge",), ("has no variant 'huge'",)),
        ((), ("say what to train", "ganzoo list")),
        (("missing.toml",), ("cannot read missing.toml",)),
        (("--arch", "dcgan", "--device", "cuda"), ("no CUDA device",)),
        (("--arch", "dcgan", "--precision", "fp16", "--device", "cpu"), ("fp16 needs a GPU", "bf16")),
        (("--arch", "mlp", "--data", "ring:count=0"), ("count must be at least 1",)),
        (("--arch", "mlp", "--procedure", "adversarial:micro_batches=3"), ("cannot be cut into 3",)),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else str(value),
)
def test_refused_in_one_sentence(words, said, tmp_path, monkeypatch):
    if torch.cuda.is_available() and "cuda" in words:
        pytest.skip("there is a CUDA device")
    monkeypatch.chdir(tmp_path)
    sentence = refused("train", "--steps", 1, "--batch", 8, *words)
    assert all(part in sentence for part in said), sentence
    assert sentence.startswith("ganzoo: ") and len(sentence.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_toml_with_an_unknown_setting(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('arch = "dcgan"\nlose = "hinge"\n')
    assert "unknown setting lose" in refused("train", path)
    path.write_text('arch = "dcgan\n')
    assert "is not a configuration" in refused("train", path)


def test_debug_shows_the_traceback():
    result = CliRunner().invoke(main, ["--debug", "train", "--arch", "dcgna"])
    assert isinstance(result.exception, library.UsageError)


def test_another_runs_folder_is_refused(tmp_path):
    out = tmp_path / "run"
    assert CliRunner().invoke(main, ["train", *TINY, "--out", str(out)]).exit_code == 0
    before = (out / "config.json").read_bytes()
    sentence = refused("train", *TINY, "--loss", "hinge", "--out", out, code=1)
    assert "loss.name is nonsaturating there and hinge here" in sentence and "--out" in sentence
    sentence = refused("train", *TINY[:2], "--data", "ring:count=65", *TINY[4:], "--out", out, code=1)
    assert "dataset.options.count is 64 there and 65 here" in sentence
    assert (out / "config.json").read_bytes() == before


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "is not empty and not a run" in refused("train", *TINY, "--out", tmp_path, code=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    assert "is not a run" in refused("sample", tmp_path, "--out", tmp_path / "x.png", code=1)
    assert "is not a run" in refused("sample", tmp_path / "nowhere", "--out", tmp_path / "x.png", code=1)


def test_an_out_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    refused("train", *TINY, "--out", tmp_path / "file" / "run", code=1)


def test_sampling_what_cannot_be_sampled(tmp_path):
    out = tmp_path / "run"
    assert CliRunner().invoke(main, ["train", *TINY, "--out", str(out)]).exit_code == 0
    assert "'x.wav'" in refused("sample", out, "--out", tmp_path / "x.wav")
    assert "no class '9'" in refused("sample", out, "--label", "9", "--out", tmp_path / "x.npz")
    assert "there are 4" in refused("sample", out, "--checkpoint", "3", "--out", tmp_path / "x.npz", code=1)
    (out / "checkpoints" / "step-00000004" / "state.safetensors").write_bytes(b"")
    assert "is damaged" in refused("sample", out, "--out", tmp_path / "x.npz", code=1)
    (out / "config.json").write_text("{")
    assert "cannot read" in refused("sample", out, "--out", tmp_path / "x.npz", code=1)


def test_a_damaged_checkpoint_is_refused_by_training_too_and_checkpoint_goes_round_it(tmp_path):
    out, words = tmp_path / "run", ["train", *TINY, "--save-every", "2"]
    assert CliRunner().invoke(main, [*words, "--out", str(out)]).exit_code == 0
    whole = (out / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes()
    path = out / "checkpoints" / "step-00000004" / "state.json"
    path.write_text(path.read_text().replace("4", "5", 1))
    assert "--checkpoint 2" in refused(*words, "--out", out, code=1)
    assert CliRunner().invoke(main, [*words, "--out", str(out), "--checkpoint", "2"]).exit_code == 0
    assert (out / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes() == whole


# Numbers that are not finite


@pytest.mark.parametrize(("loss", "rate"), [("wgan", 1e30), ("lsgan", 1e25)])
def test_diverging_stops_at_the_next_look_and_saves_nothing_over_the_last_good_state(tmp_path, loss, rate):
    out = tmp_path / "run"
    words = [
        "train",
        "--arch",
        "mlp:width=8",
        "--data",
        "ring:count=64",
        "--batch",
        "8",
        "--loss",
        loss,
        "--no-reg",
        "weight-clip",
    ]
    words = words if loss == "wgan" else words[:-2]
    words += [
        "--procedure",
        f"adversarial:optimizer=sgd,rate={rate}",
        "--steps",
        "60",
        "--log-every",
        "7",
        "--save-every",
        "1",
    ]
    sentence = refused(*words, "--out", out, code=1)
    assert "became infinite or not a number" in sentence and "was not applied" in sentence
    assert "loss/" in sentence or "the gradient of " in sentence
    run = library.load(out)
    assert all(record["step"] < 60 for record in run.logged())
    if run.steps:
        assert torch.isfinite(run.sample(4)).all()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_bad_sample_is_named_by_step_and_layer_and_changes_nothing(tmp_path, precision):
    """The only non-finite sample of the data comes at some step:
    that update is refused, and the parameters stay as they were."""
    points = torch.randn(64, 2)
    points[17] = torch.nan

    class Poisoned(Arrays):
        pass

    def train(steps):
        library.train(
            arch="mlp:width=4,layers=1",
            data=Poisoned(Spec("points", (2,)), points),
            steps=steps,
            batch=8,
            log_every=100,
            save_every=1,
            keep=0,
            quiet=True,
            precision=precision,
            out=tmp_path / "run",
        )

    with pytest.raises(
        NonFiniteError, match=r"step \d+: loss/discriminator and the gradient of discriminator\.main\.0\.weight"
    ) as caught:
        train(100)
    step = int(str(caught.value).split(":")[0].removeprefix("step "))
    assert library.load(tmp_path / "run").steps == list(range(1, step))
    with pytest.raises(NonFiniteError, match=f"step {step}"):
        train(100)


def test_a_penalty_is_named(tmp_path):
    with pytest.raises(NonFiniteError, match="penalty/r1"):
        library.train(
            arch="mlp:width=4",
            data="ring:count=64",
            reg="r1:gamma=1e39",
            steps=5,
            batch=8,
            quiet=True,
            out=tmp_path / "run",
            log_every=1,
        )


def test_given_arrays(tmp_path):
    def refuse(data, said):
        with pytest.raises(library.GanzooError, match=said):
            library.train(arch="mlp:width=4", data=data, steps=1, quiet=True, out=tmp_path / "run")

    refuse(torch.zeros(0, 2), "empty")
    refuse(torch.full((4, 2), torch.nan), "not a number")
    refuse(torch.zeros(4, 3, 8, 8) + 7, r"\[-1, 1\]")
    refuse(torch.zeros(4), "cannot tell")
    refuse((torch.zeros(4, 2), torch.tensor([0, 1])), "labels")
    assert not (tmp_path / "run").exists()


def test_json_output_is_json_only():
    result = CliRunner().invoke(main, ["list", "--json"])
    rows = json.loads(result.stdout)
    assert {row["kind"] for row in rows} >= {"architecture", "loss", "regularizer", "procedure", "dataset", "recipe"}
    assert json.loads(CliRunner().invoke(main, ["show", "dcgan", "--json"]).stdout)[0]["name"] == "dcgan"
    assert "no part 'dcgam'" in refused("show", "dcgam")
