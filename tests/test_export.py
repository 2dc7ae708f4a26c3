"""`ganzoo export`: folders that come back bit for bit, official names, cards, and ONNX."""

from __future__ import annotations

import json
import sys

import numpy
import pytest
import torch
from conftest import invoke
from PIL import Image

import ganzoo as library
from ganzoo.exchange import import_run

STYLED = "stylegan2:latent=4,style=4,mapping_layers=2,channel_base=64,channel_max=8,group=2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a weight average, batch normalisation, spectral norm, and data from a file; its best step is its
    second."""
    folder = tmp_path_factory.mktemp("secret-place")
    numpy.save(folder / "pictures.npy", numpy.random.default_rng(0).integers(0, 255, (30, 16, 16), numpy.uint8))
    run = library.train(
        arch="dcgan:width=4,latent=4",
        loss="hinge",
        reg="spectral-norm",
        procedure="adversarial:average=20,rate=0.01",
        data=str(folder / "pictures.npy"),
        batch=8,
        steps=4,
        save_every=1,
        keep=0,
        out=folder / "digits-run",
        quiet=True,
    )
    (run.path / "best.json").write_text(json.dumps({"step": 2, "name": "frechet@x", "value": 3.5}))
    protocol = {"count": 20, "reference": f"array:path={folder}/pictures.npy"}
    record = {"step": 2, "name": "frechet@x", "value": 3.51234, "interval": [3.0, 4.0], "protocol": protocol}
    (run.path / "measures.jsonl").write_text("".join(json.dumps({**record, "step": step}) + "\n" for step in (2, 3)))
    return run


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    """A conditional StyleGAN2 whose noise and mean style count."""
    out = tmp_path_factory.mktemp("runs") / "styled"
    return noisy(out, f"{STYLED},conditional=true")


def noisy(out, arch):
    run = library.train(arch=arch, data="digits:size=16", batch=4, steps=1, out=out, quiet=True)
    game = run.game()
    with torch.no_grad():
        for network in (game.networks.generator, game.procedure.sampling_network(game)):
            for name, value in network.state_dict().items():
                if name.endswith(("strength", "mean")):
                    value.add_(0.3)
    run.save(game, 0.0, keep=0)
    return library.load(run.path)


def test_an_exported_folder_comes_back_bit_for_bit(trained, tmp_path, ganzoo):
    told = ganzoo("export", trained.path, "--out", "hub").stdout
    assert told == "hub\n"
    files = {path.name for path in (tmp_path / "hub").iterdir()}
    wanted = {"README.md", "config.json", "samples.png", "model.safetensors", "discriminator.safetensors"}
    assert files == wanted
    assert ganzoo("import", "hub", "--out", "back").stdout == "back\n"
    back = library.load(tmp_path / "back")
    assert back.steps == [4] and back.data_size == 30
    for how in ({"seed": 3}, {"seed": 0, "truncation": 0.5}):
        assert torch.equal(back.sample(70, **how), trained.sample(70, **how))
    ours, theirs = (run.game().networks.discriminator.state_dict() for run in (trained, back))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    with Image.open(tmp_path / "hub" / "samples.png") as picture, Image.open(_sampled(trained, tmp_path)) as same:
        assert picture.tobytes() == same.tobytes()


def _sampled(run, folder):
    run.write(folder / "same.png", count=16)
    return folder / "same.png"


def test_the_folder_tells_what_it_is_and_not_where_it_was_made(trained, tmp_path):
    invoke("export", trained.path, "--out", tmp_path / "hub", "--checkpoint", "best")
    told = (tmp_path / "hub" / "README.md").read_text()
    for words in (
        "# digits-run",
        "--arch dcgan:latent=4,width=4",
        "--data array:path=pictures.npy",
        "--reg spectral-norm",
        "from step 2",
        "| frechet@x | 3.512 | 3 to 4 | 20 | array |",
        "ganzoo import . --out runs/digits-run",
        "library_name: ganzoo",
        "# license:",
    ):
        assert words in told
    assert told.count("frechet@x") == 1  # of this step only
    written = b"".join(path.read_bytes() for path in (tmp_path / "hub").iterdir())
    assert b"secret-place" not in written
    run, _ = import_run(tmp_path / "hub", None, tmp_path / "back")
    assert torch.equal(run.sample(9, seed=1), trained.sample(9, seed=1, step=2))


def test_without_a_discriminator_it_starts_anew(trained, tmp_path):
    invoke("export", trained.path, "--out", tmp_path / "hub")
    (tmp_path / "hub" / "discriminator.safetensors").unlink()
    told = invoke("import", tmp_path / "hub", "--out", tmp_path / "back").output
    assert "hub holds no discriminator; it starts anew" in told
    assert torch.equal(library.load(tmp_path / "back").sample(5), trained.sample(5))


def test_official_names_come_back(styled, tmp_path):
    invoke("export", styled.path, "--out", tmp_path / "hub", "--names", "official")
    assert "names of NVlabs/stylegan2-ada-pytorch" in (tmp_path / "hub" / "README.md").read_text()
    invoke("import", tmp_path / "hub", "--out", tmp_path / "back")
    invoke("import", tmp_path / "hub" / "model.safetensors", "--arch", "stylegan2", "--out", tmp_path / "file")
    wanted = styled.sample(10, seed=2, truncation=0.8)
    for name in ("back", "file"):
        assert torch.equal(library.load(tmp_path / name).sample(10, seed=2, truncation=0.8), wanted)


def test_what_cannot_be_exported_is_told(trained, tmp_path):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    folder = tmp_path / "hub"
    refused = {
        "is not empty; name another folder": (("--out", tmp_path / "used"), 1),
        "'dcgan' knows no official names": (("--out", folder, "--names", "official"), 2),
        "--checkpoint last: write a step's number, or best": (("--out", folder, "--checkpoint", "last"), 2),
        "there is no checkpoint of step 9": (("--out", folder, "--checkpoint", 9), 1),
        "say where to: --out FOLDER": ((), 2),
        "give the file the suffix .onnx": (("--onnx", tmp_path / "x.bin"), 2),
    }
    for told, (words, code) in refused.items():
        assert told in invoke("export", trained.path, *words, code=code).stderr
    assert not folder.exists()
    odd = noisy(tmp_path / "odd", "stylegan2:latent=4,style=4,mapping_layers=2,channel_base=64,channel_max=8")
    odd.path.joinpath("best.json").unlink(missing_ok=True)
    told = invoke("export", odd.path, "--out", folder, "--checkpoint", "best", code=2).stderr
    assert "nothing was measured while" in told


def test_a_folder_that_was_not_exported_is_told(trained, tmp_path):
    assert (
        "was not written by ganzoo export" in invoke("import", trained.path, "--out", tmp_path / "back", code=2).stderr
    )
    invoke("export", trained.path, "--out", tmp_path / "hub")
    assert (
        "leave out --arch"
        in invoke("import", tmp_path / "hub", "--arch", "mlp", "--out", tmp_path / "back", code=2).stderr
    )
    (tmp_path / "hub" / "config.json").write_text("{}")
    assert (
        "is not one that ganzoo export wrote"
        in invoke("import", tmp_path / "hub", "--out", tmp_path / "back", code=1).stderr
    )


# ONNX


@pytest.mark.slow
def test_onnx_makes_the_same_pictures(trained, styled, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    for run in (trained, styled):
        file = tmp_path / f"{run.path.name}.onnx"
        invoke("export", run.path, "--onnx", file)
        game = run.game()
        network = game.procedure.sampling_network(game).eval()
        session = onnxruntime.InferenceSession(file)
        assert [given.name for given in session.get_inputs()] == ["latent", "label"][: 1 + (run is styled)]
        for count in (1, 5):
            latent, label = torch.randn(count, 4), torch.arange(count) % 10
            with torch.no_grad():
                wanted = (
                    network.synthesis(network.mapping(latent, label), "const") if run is styled else network(latent)
                )
            given = {"latent": latent.numpy(), "label": label.numpy()}
            (made,) = session.run(None, {one.name: given[one.name] for one in session.get_inputs()})
            torch.testing.assert_close(torch.from_numpy(made), wanted, atol=1e-4, rtol=1e-4)


def test_without_the_package_onnx_is_asked_for(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    told = invoke("export", trained.path, "--onnx", tmp_path / "x.onnx", code=2).stderr
    assert "pip install 'ganzoo[onnx]'" in told and not (tmp_path / "x.onnx").exists()
