"""Recorded numbers of official networks come out again, also from files with other names and other seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from ganzoo.errors import GanzooError, UsageError
from ganzoo.parity import compare

FOLDER = Path(__file__).parent / "parity"
RECORDINGS = sorted(FOLDER.glob("*.safetensors"))
DCGAN = FOLDER / "dcgan.safetensors"


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: path.stem)
def test_recorded_numbers_come_out_again(path):
    result = compare(path)
    assert result["passed"], result
    assert result["outputs"]


def altered(path: Path, target: Path, change=None, **metadata: str) -> Path:
    with safetensors.safe_open(path, "pt") as file:
        described, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if change:
        change(tensors)
    safetensors.torch.save_file(tensors, target, {**described, **metadata})
    return target


def test_a_changed_weight_is_noticed(tmp_path):
    """The comparison can fail: one weight in a thousand is enough."""

    def change(tensors):
        tensors["G.main.0.weight"].view(-1)[0] += 0.5

    result = compare(altered(DCGAN, tmp_path / "any-name.safetensors", change))
    assert not result["passed"]


def test_a_missing_weight_is_named(tmp_path):
    path = altered(DCGAN, tmp_path / "x.safetensors", lambda tensors: tensors.pop("D.main.0.weight"))
    with pytest.raises(GanzooError, match=r"main\.0\.weight"):
        compare(path)


def test_an_unknown_source_is_named(tmp_path):
    path = altered(DCGAN, tmp_path / "x.safetensors", source="somebody/else", config=json.dumps({}))
    with pytest.raises(UsageError, match="somebody/else"):
        compare(path)


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\x10" + bytes(40))
    with pytest.raises(GanzooError, match="not a recording"):
        compare(path)


def test_command(ganzoo):
    finished = ganzoo("parity", *RECORDINGS, "--json")
    assert all(result["passed"] for result in json.loads(finished.stdout))


def test_tolerance_is_of_the_largest_magnitude(tmp_path):
    def change(tensors):
        tensors["logits_eval"] += 2e-4 * tensors["logits_eval"].abs().max()

    outputs = compare(altered(DCGAN, tmp_path / "x.safetensors", change))["outputs"]
    assert {output["name"]: output["passed"] for output in outputs} == {
        "image_eval": True,
        "logits_eval": False,
        "image_train": True,
    }
    assert torch.finfo(torch.float32).eps < next(output["error"] for output in outputs if not output["passed"]) < 3e-4
