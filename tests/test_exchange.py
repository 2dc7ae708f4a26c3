"""Official checkpoints become runs: those of NVIDIA's pickles, of plain files of parameters, and of others' code."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy
import nvidia_pickles
import pytest
import safetensors
import safetensors.torch
import torch
from conftest import ROOT, invoke

from ganzoo import Plan, Run, Spec
from ganzoo.game import Game
from ganzoo.registry import installed
from ganzoo.training import initialise
from ganzoo_plugins.architectures.stylegan2_forms import nvidia_name, official_name, to_nvidia

PARITY = ROOT / "tests" / "parity"
ROSINALITY = ROOT / "tests" / "exchange" / "rosinality_stylegan2.safetensors"


def recorded(path):
    """What was recorded, by network (`G`, `D`) and under `outputs`, and its configuration."""
    with safetensors.safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config = json.loads((file.metadata() or {}).get("config", "{}"))
    parts = {prefix: {} for prefix in ("G", "D", "g", "d")}
    outputs = {}
    for name, value in tensors.items():
        prefix, _, rest = name.partition(".")
        if prefix in parts:
            parts[prefix][rest] = value
        else:
            outputs[name] = value
    return parts, outputs, config


@pytest.fixture(scope="module", params=["stylegan2_uncond", "stylegan2_cond"])
def official(request):
    return recorded(PARITY / f"{request.param}.safetensors")


@pytest.fixture(scope="module")
def unconditional():
    return recorded(PARITY / "stylegan2_uncond.safetensors")


def sampled(run_path):
    """The run's networks in the mode in which they are sampled."""
    game = Run.open(run_path).game()
    return game.procedure.sampling_network(game).eval(), game.networks.discriminator.eval()


@torch.no_grad()
def assert_same(networks, outputs, scores="logits"):
    """The recorded pictures and scores come out of a run's networks."""
    generator, discriminator = networks
    label = outputs.get("label")
    styles = generator.mapping(outputs["z"], label)
    made = {
        "image": generator.synthesis(styles, "const"),
        "image_psi07": generator.synthesis(generator.mean_style.lerp(styles, 0.7), "const"),
    }
    if scores:
        made[scores] = discriminator(outputs["image"], label).value.reshape(outputs[scores].shape)
    for name, value in made.items():
        torch.testing.assert_close(value, outputs[name], rtol=0, atol=1e-4 * float(outputs[name].abs().max()))


# NVIDIA's form


def write_pickle(path, parts, config):
    with nvidia_pickles.named_modules() as names:
        synthesis = names.easy(channel_base=config["channel_base"], conv_clamp=config["conv_clamp"])
        options = {
            "G": names.easy(z_dim=config["z_dim"], synthesis_kwargs=synthesis),
            "D": names.easy(epilogue_kwargs=names.easy(mbstd_group_size=config["mbstd_group_size"])),
        }
        held = {name: nvidia_pickles.network(names, "Network", parts[name], options[name]) for name in ("G", "D")}
        held["G_ema"] = nvidia_pickles.network(names, "Network", parts["G"], options["G"])
        path.write_bytes(pickle.dumps({**held, "training_set_kwargs": names.easy(resolution=32), "augment_pipe": None}))


def test_nvidias_pickle_makes_the_recorded_pictures(tmp_path, ganzoo, official):
    parts, outputs, config = official
    write_pickle(tmp_path / "network.pkl", parts, config)
    told = ganzoo("import", "network.pkl", "--arch", "stylegan2", "--out", "run").stdout
    assert told == "run\n"  # nothing is missing
    assert_same(sampled(tmp_path / "run"), outputs)
    run = Run.open(tmp_path / "run")
    assert run.steps == [0] and run.spec.shape == (3, 32, 32) and len(run.spec.classes) == config["c_dim"]
    options = run.config.architecture.options
    wanted = {name: config[name] for name in ("channel_base", "channel_max", "mapping_layers")}
    wanted |= {"latent": config["z_dim"], "style": config["w_dim"], "clamp": config["conv_clamp"]}
    assert options == {**options, **wanted, "conditional": config["c_dim"] > 0}


# Files of parameters


def nested(parts):
    return {name: parts[name] for name in ("G", "D")} | {"G_ema": parts["G"]}


def prefixed(parts, **networks):
    return {f"{prefix}.{name}": value for prefix, of in networks.items() for name, value in parts[of].items()}


FORMS = {
    "two.safetensors": (lambda parts: prefixed(parts, G="G", D="D"), []),
    "average.safetensors": (
        lambda parts: prefixed(parts, G_ema="G"),
        ["average only; the generator starts from it", "holds no discriminator; it starts anew"],
    ),
    "generator.safetensors": (lambda parts: parts["G"], ["holds no discriminator; it starts anew"]),
    "nested.pt": (nested, []),
    "state.pth": (
        lambda parts: {"state_dict": {f"module.{name}": value for name, value in parts["G"].items()}, "epoch": 3},
        ["holds no discriminator; it starts anew"],
    ),
    "names.pt": (lambda parts: {"generator": parts["G"], "discriminator": {"state_dict": parts["D"]}}, []),
}


@pytest.mark.parametrize("name", FORMS)
def test_files_of_parameters(tmp_path, unconditional, name):
    parts, outputs, _ = unconditional
    make, told = FORMS[name]
    save = safetensors.torch.save_file if name.endswith("safetensors") else torch.save
    save(make(parts), tmp_path / name)
    lines = invoke("import", tmp_path / name, "--out", tmp_path / "run").output.splitlines()
    assert len(lines) == len(told) + 1
    assert all(wanted in line for wanted, line in zip(told, lines, strict=False))
    assert_same(
        sampled(tmp_path / "run"), outputs, scores=None if any("discriminator" in line for line in told) else "logits"
    )


def test_the_average_makes_samples_and_the_generator_trains(tmp_path, unconditional):
    parts, outputs, _ = unconditional
    trained = {name: value * 1.5 for name, value in parts["G"].items()}
    torch.save({"G": trained, "D": parts["D"], "G_ema": parts["G"]}, tmp_path / "net.pt")
    invoke("import", tmp_path / "net.pt", "--out", tmp_path / "run")
    assert_same(sampled(tmp_path / "run"), outputs)
    kept = Run.open(tmp_path / "run").game().networks.generator.synthesis.blocks[0].const
    assert torch.equal(kept, trained["synthesis.b4.const"])


def test_an_imported_run_is_sampled_measured_and_trained_from(tmp_path, ganzoo, unconditional):
    safetensors.torch.save_file(prefixed(unconditional[0], G="G", D="D"), tmp_path / "net.safetensors")
    options = "stylegan2:latent=32,style=48,mapping_layers=3,channel_base=512,channel_max=32,mixing=0"
    invoke("import", tmp_path / "net.safetensors", "--arch", "stylegan2:mixing=0", "--out", tmp_path / "run")
    assert Run.open(tmp_path / "run").config.architecture.options["mixing"] == 0
    invoke("sample", tmp_path / "run", "--count", 4, "--truncation", 0.7, "--out", tmp_path / "made.png")
    numpy.savez(
        tmp_path / "real.npz", samples=numpy.random.default_rng(0).integers(0, 255, (20, 32, 32, 3), numpy.uint8)
    )
    words = ["--reference", tmp_path / "real.npz", "--count", 20, "--metric", "kernel", "--json"]
    assert json.loads(invoke("evaluate", tmp_path / "run", *words).stdout)[0]["value"] > 0
    words = ["--arch", options, "--data", "shapes", "--init", tmp_path / "run", "--steps", 1, "--batch", 4]
    told = ganzoo("train", *words, "--out", "fine").stdout
    assert "took 89 of 89 tensors" in told
    # The folder itself is not one to train in: its data are others.
    told = invoke("train", *words[:4], "--steps", 1, "--batch", 16, "--out", tmp_path / "run", code=1).stderr
    assert "holds another run" in told


def test_fine_tuning_at_twice_the_size_takes_what_both_sizes_have(tmp_path, unconditional):
    safetensors.torch.save_file(prefixed(unconditional[0], G="G", D="D"), tmp_path / "net.safetensors")
    invoke("import", tmp_path / "net.safetensors", "--out", tmp_path / "run")
    run = Run.open(tmp_path / "run")
    larger = type(run.spec)("image", (3, 64, 64))
    game = Game(run.config.make(installed()), larger, None, batch=4, seed=9, steps=1, data_size=1)
    before = {name: network.state_dict() for name, network in run.game().networks.all().items()}
    initialise(game, str(tmp_path / "run"))
    for name, network in game.networks.all().items():
        own = network.state_dict()
        taken = {key for key, value in before[name].items() if key in own and torch.equal(own[key], value)}
        new = {".".join(key.split(".")[: 3 if name == "generator" else 2]) for key in set(own) - taken}
        if name == "generator":
            assert new == {"synthesis.blocks.4"}
        else:
            assert new == {"blocks.3", "frompicture.weight", "frompicture.bias"}


# What is refused


def test_weights_that_do_not_fit_are_refused_in_one_sentence(tmp_path, unconditional):
    whole = prefixed(unconditional[0], G="G", D="D")
    changes = {
        r"1 missing \(blocks.0.conv0.bias\)": lambda held: held.pop("D.b8.conv0.bias"),
        r"1 unknown \(extra\)": lambda held: held.update({"D.extra": torch.zeros(3)}),
        r"1 of another shape \(mapping.layers.1.bias\)": lambda held: held.update(
            {"G.mapping.fc1.bias": torch.zeros(3)}
        ),
        "its tensors do not make networks of 'stylegan2'": lambda held: held.update(
            {"G.mapping.fc0.weight": torch.ones(1)}
        ),
    }
    for told, change in changes.items():
        held = dict(whole)
        change(held)
        safetensors.torch.save_file(held, tmp_path / "net.safetensors")
        error = invoke("import", tmp_path / "net.safetensors", "--out", tmp_path / "run", code=1).stderr
        assert told.replace("\\", "") in error
        assert not (tmp_path / "run").exists()


class Touching:
    """An object whose pickle touches a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.mark.parametrize("name", ["network.pkl", "network.pt"])
def test_a_hostile_file_is_refused_and_nothing_in_it_runs(tmp_path, ganzoo, name):
    held = {"G": Touching(tmp_path / "ran")}
    if name.endswith("pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(held))
    else:
        torch.save(held, tmp_path / name)
    done = ganzoo("import", name, "--arch", "stylegan2", "--out", "run", code=1)
    assert "is refused: it asks for" in done.stderr and "Nothing in it was run" in done.stderr
    assert done.stderr.count("\n") == 1 and not (tmp_path / "ran").exists() and not (tmp_path / "run").exists()


def test_damaged_and_strange_files_are_refused_in_one_sentence(tmp_path, unconditional):
    torch.save(nested(unconditional[0]), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:5000])
    for name in ("noise.safetensors", "noise.pt", "noise.pkl", "noise"):
        (tmp_path / name).write_bytes(b"no network at all")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    safetensors.torch.save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "folder").mkdir()
    refused = {"cut.pt": 1, "noise.safetensors": 1, "noise.pt": 1, "noise.pkl": 1, "noise": 1, "tensor.pt": 1}
    refused |= {"other.safetensors": 2, "folder": 2, "absent.pkl": 2}
    for name, code in refused.items():
        told = invoke("import", tmp_path / name, "--out", tmp_path / "run", code=code).stderr
        assert name in told
    told = invoke("import", tmp_path / "other.safetensors", "--arch", "mlp", "--out", tmp_path / "run", code=2).stderr
    assert "official form of architecture 'mlp'; architectures that take checkpoints: " in told and "stylegan2" in told
    assert not (tmp_path / "run").exists()


def test_a_folder_in_use_is_refused(tmp_path, unconditional):
    safetensors.torch.save_file(unconditional[0]["G"], tmp_path / "net.safetensors")
    (tmp_path / "run").mkdir()
    invoke("import", tmp_path / "net.safetensors", "--out", tmp_path / "run")  # an empty one is not
    told = invoke("import", tmp_path / "net.safetensors", "--out", tmp_path / "run", code=1).stderr
    assert "is not empty; name another folder with --out" in told


# Names


def test_official_names_are_the_inverse_of_ours(official):
    for network, state in ((name, official[0][name]) for name in ("G", "D")):
        named = {ours: value for name, value in state.items() if (ours := nvidia_name(name)) is not None}
        levels = len({name.split(".")[1] for name in named if name.startswith("blocks.")})
        assert {name: nvidia_name(official_name(name, levels)) for name in named} == {name: name for name in named}
        again = to_nvidia(network, named)
        assert set(again) == set(state)  # with the filters: NVIDIA's code loads it strictly
        assert all(torch.equal(again[name], value) for name, value in state.items())


# rosinality's form


@pytest.mark.parametrize("form", ["trained", "converted"])
def test_rosinalitys_checkpoint_makes_the_recorded_pictures(tmp_path, form):
    """Recorded with that code's own networks. Trained ones keep the command line beside the tensors, and no mean."""
    from argparse import Namespace

    parts, outputs, _ = recorded(ROSINALITY)
    outputs["image_psi07"] = outputs["psi"]
    held = {"g_ema": parts["g"], "latent_avg": outputs["mean"]}
    if form == "trained":
        held = {"g": parts["g"], "d": parts["d"], "g_ema": parts["g"], "g_optim": {"state": {0: {"step": 1}}}}
        held |= {"args": Namespace(size=16, path="photos"), "ada_aug_p": 0.1}
    torch.save(held, tmp_path / "net.pt")
    told = invoke("import", tmp_path / "net.pt", "--out", tmp_path / "run").output
    if form == "converted":
        assert_same(sampled(tmp_path / "run"), outputs, scores=None)
        return
    assert "no mean style; it was taken over 4,096 latents" in told
    generator, discriminator = sampled(tmp_path / "run")
    mean = outputs["mean"].flatten()
    torch.testing.assert_close(generator.mean_style, mean, atol=0.1 * float(mean.abs().max()), rtol=0)
    generator.mean_style.copy_(mean)
    assert_same((generator, discriminator), outputs)


# The other architectures' official names. Recordings whose channels no options give stand for their names only.


def test_the_dcgan_of_pytorchs_examples(tmp_path):
    parts, outputs, _ = recorded(PARITY / "dcgan.safetensors")
    torch.save({"netG": parts["G"], "netD": parts["D"]}, tmp_path / "net.pth")
    invoke("import", tmp_path / "net.pth", "--arch", "dcgan", "--out", tmp_path / "run")
    generator, discriminator = sampled(tmp_path / "run")
    with torch.no_grad():
        made = generator(outputs["z"].flatten(1))
        scores = discriminator(made).value
    torch.testing.assert_close(made, outputs["image_eval"], atol=1e-5, rtol=0)
    torch.testing.assert_close(scores, outputs["logits_eval"].flatten(), atol=1e-4, rtol=1e-4)
    torch.save(parts["D"], tmp_path / "net.pth")  # which alone makes no pictures
    invoke("import", tmp_path / "net.pth", "--arch", "dcgan", "--out", tmp_path / "other", code=2)


def renamed(network, official, recording):
    """Our parameters under the official names that a recording holds."""
    names = {ours: name for name in recording if (ours := official.rename(name)) is not None}
    return {names[ours]: value for ours, value in network.state_dict().items()}


@torch.no_grad()
def test_the_networks_of_r3gan(tmp_path):
    parts, _, _ = recorded(PARITY / "r3gan.safetensors")
    architecture = installed().make(
        "architecture", "r3gan", {"latent": 6, "widths": (24, 16, 12), "blocks": 1, "conditional": True}
    )
    (official,) = architecture.official()
    networks = architecture.build(Spec("image", (3, 16, 16), tuple("abcd")), Plan())
    for network in networks.all().values():  # the last of a block begins at zero
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    held = {"G_ema": renamed(networks.generator, official, parts["G"])}
    held["D"] = {
        f"Model.{name}": value for name, value in renamed(networks.discriminator, official, parts["D"]).items()
    }
    torch.save(held, tmp_path / "net.pt")
    invoke("import", tmp_path / "net.pt", "--out", tmp_path / "run")
    generator, discriminator = sampled(tmp_path / "run")
    latent, label = torch.randn(5, 6), torch.arange(5) % 4
    wanted = networks.generator(latent, label)
    torch.testing.assert_close(generator(latent, label), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        discriminator(wanted, label).value, networks.discriminator(wanted, label).value, atol=1e-5, rtol=1e-5
    )


@torch.no_grad()
def test_the_progressive_gan_of_pytorch_gan_zoo(tmp_path):
    """The recorded maps of 16, 12 and 8 channels follow from no options, and are refused. Random networks of 16, 16 and
    8, under the same names, make the picture that they make when they are rebuilt as the recorded ones are."""
    parts, outputs, _ = recorded(PARITY / "pgan.safetensors")
    torch.save({"netG": parts["G"], "netD": parts["D"], "avgG": parts["G"]}, tmp_path / "net.pt")
    told = invoke("import", tmp_path / "net.pt", "--out", tmp_path / "run", code=1).stderr
    assert "maps of 16, 12, 8 channels follow from no channel_base and channel_max" in told
    (official,) = installed().get("architecture", "progressive").official()
    config = {"latent": 20, "depths": [16, 16, 8]}
    networks = official.build(config)
    held = {"netG": renamed(networks["G"], official, parts["G"]), "netD": renamed(networks["D"], official, parts["D"])}
    torch.save({**held, "avgG": held["netG"]}, tmp_path / "net.pt")
    told = invoke("import", tmp_path / "net.pt", "--out", tmp_path / "run").output
    assert "compares other samples" in told
    wanted = official.outputs(networks, outputs)  # which puts the networks on our scale
    torch.testing.assert_close(sampled(tmp_path / "run")[0](outputs["z"]), wanted["image"], atol=1e-5, rtol=1e-5)


# Translators of junyanz/pytorch-CycleGAN-and-pix2pix, one network a file


def translated(run_path, source):
    with torch.no_grad():
        return Run.open(run_path).game().procedure.translator(Run.open(run_path).game()).eval()(source)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_an_official_translator_translates_as_recorded(tmp_path, name, ganzoo):
    parts, outputs, config = recorded(PARITY / f"{name}.safetensors")
    torch.save(parts["G"], tmp_path / "latest_net_G.pth")
    told = ganzoo("import", "latest_net_G.pth", "--arch", name, "--out", "run").stdout
    assert "holds no discriminator; it starts anew" in told
    torch.testing.assert_close(translated(tmp_path / "run", outputs["x"]), outputs["y"], atol=1e-5, rtol=0)
    run = Run.open(tmp_path / "run")
    assert run.config.procedure.name == "paired" and run.spec.source == run.spec.shape
    assert run.config.architecture.options["generator_width"] == config["ngf"]
    assert "no sources of its own" in invoke("sample", tmp_path / "run", "--out", tmp_path / "made.png", code=2).stderr
    # Also without being told the architecture, from a file of several, and as what DataParallel saves.
    held = {"state_dict": {f"module.{key}": value for key, value in parts["G"].items()}}
    torch.save(held, tmp_path / "parallel.pth")
    invoke("import", tmp_path / "parallel.pth", "--out", tmp_path / "other")
    assert Run.open(tmp_path / "other").config.architecture.name == name
    assert torch.equal(translated(tmp_path / "other", outputs["x"]), translated(tmp_path / "run", outputs["x"]))


def test_statistics_that_instance_normalisation_kept_are_dropped(tmp_path):
    """Older versions of PyTorch kept them, and the official code does not use them."""
    parts, outputs, _ = recorded(PARITY / "cyclegan.safetensors")
    state = dict(parts["G"])
    for number in (2, 5, 8, 17, 20):
        beside = {"running_mean": torch.randn(3), "running_var": torch.rand(3), "num_batches_tracked": torch.tensor(7)}
        state |= {f"model.{number}.{name}": value for name, value in beside.items()}
    state["model.10.conv_block.2.running_mean"] = torch.randn(3)
    torch.save(state, tmp_path / "latest_net_G_A.pth")
    invoke("import", tmp_path / "latest_net_G_A.pth", "--arch", "cyclegan", "--out", tmp_path / "run")
    torch.testing.assert_close(translated(tmp_path / "run", outputs["x"]), outputs["y"], atol=1e-5, rtol=0)


def test_a_discriminator_of_patches_comes_along_where_it_sees_pairs(tmp_path):
    for name, taken in (("pix2pix", True), ("cyclegan", False)):
        parts, outputs, _ = recorded(PARITY / f"{name}.safetensors")
        torch.save({"netG": parts["G"], "netD": parts["D"]}, tmp_path / f"{name}.pth")
        told = invoke("import", tmp_path / f"{name}.pth", "--out", tmp_path / name).output
        discriminator = Run.open(tmp_path / name).game().networks.discriminator
        seen = torch.cat([outputs["x"], outputs["y"]], 1)
        assert discriminator(seen).value.shape[1:] == outputs["scores"].shape[1:]
        same = torch.equal(discriminator.main[0].bias, parts["D"]["model.0.bias"])
        assert same == taken and ("sees 3 channels and not the source too" in told) != taken


def test_a_discriminator_alone_is_refused(tmp_path):
    for name in ("pix2pix", "cyclegan"):
        parts, _, _ = recorded(PARITY / f"{name}.safetensors")
        torch.save(parts["D"], tmp_path / "latest_net_D.pth")
        for words in ([], ["--arch", name]):
            told = invoke("import", tmp_path / "latest_net_D.pth", *words, "--out", tmp_path / "run", code=2).stderr
            assert "holds a discriminator alone" in told and not (tmp_path / "run").exists()


# BigGAN's, in files of single networks


def as_in_biggan_pytorch(network):
    """Our parameters under the authors' names, with what they keep beside."""
    rules = (
        (r"^blocks\.(\d+)\.attention\.", r"blocks.\1.1."),
        (r"^blocks\.(\d+)\.(?!1\.)", r"blocks.\1.0."),
        (r"\.norm(\d)\.norm\.running_", r".bn\1.stored_"),
        (r"\.norm(\d)\.", r".bn\1."),
        (r"\.shortcut\.", ".conv_sc."),
        *((rf"\.1\.{ours}\.", rf".1.{theirs}.") for ours, theirs in zip(SEEN, ("theta", "phi", "g", "o"), strict=True)),
        (r"^ending\.0\.running_", "output_layer.0.stored_"),
        (r"^ending\.0\.weight$", "output_layer.0.gain"),
        (r"^ending\.", "output_layer."),
        (r"^classes\.", "embed."),
        (r"\.u$", ".u0"),
    )
    held = {}
    for name, value in network.state_dict().items():
        for ours, theirs in rules:
            name = re.sub(ours, theirs, name)
        if not name.endswith("num_batches_tracked"):
            held[name] = value
        if name.endswith(".u0"):
            held[name.replace(".u0", ".sv0")] = torch.ones(1)
    return held


SEEN = ("query", "key", "value", "output")


@pytest.mark.parametrize("held", ["G", "D", "G D"])
@torch.no_grad()
def test_recorded_networks_of_biggan(tmp_path, held):
    """Each alone, as the authors save them, or both in a file; the other starts anew."""
    parts, outputs, config = recorded(PARITY / "biggan32.safetensors")
    torch.save({"G_ema": parts["G"], "D": parts["D"]} if held == "G D" else parts[held], tmp_path / "held.pth")
    told = invoke("import", tmp_path / "held.pth", "--arch", "biggan", "--out", tmp_path / "run").output
    assert ("no discriminator" in told, "no generator" in told) == (held == "G", held == "D")
    generator, discriminator = sampled(tmp_path / "run")
    if held != "D":
        made = generator(outputs["z"], outputs["y"])
        torch.testing.assert_close(made, outputs["image"], atol=1e-5, rtol=0)
    if held != "G":
        scores = discriminator(outputs["image"], outputs["y"]).value
        torch.testing.assert_close(scores, outputs["logits"].flatten(), atol=1e-4, rtol=1e-4)
    run = Run.open(tmp_path / "run")
    assert (run.spec.shape, len(run.spec.classes)) == ((3, 32, 32), config["n_classes"])
    wanted = {"generator_width": config["G_ch"], "discriminator_width": config["D_ch"], "attention": [0]}
    wanted |= {} if held == "D" else {"embedding": 0, "hierarchical": False, "latent": config["dim_z"]}
    assert run.config.architecture.options == {**run.config.architecture.options, **wanted}
    run.write(tmp_path / "classes.png", label="all", count=2)


BIGGAN_FORMS = {
    "parts": ({"latent": 10, "embedding": 6, "attention": (16, 32)}, 64),
    "shared": ({"latent": 7, "embedding": 6, "hierarchical": False, "attention": (0,)}, 64),
    "tables": ({"latent": 7, "embedding": 0, "hierarchical": False, "attention": (64,)}, 128),
}


def random_biggan(form):
    options, side = BIGGAN_FORMS[form]
    options = {"generator_width": 2, "discriminator_width": 3, **options}
    torch.manual_seed(0)
    architecture = installed().make("architecture", "biggan", options)
    networks = architecture.build(Spec("image", (3, side, side), tuple("abc")), Plan())
    with torch.no_grad():
        for network in networks.all().values():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        for _ in range(5):  # statistics, and the iterations of spectral normalisation
            label = torch.randint(3, (6,))
            networks.discriminator(networks.generator(torch.randn(6, options["latent"]), label), label)
    return networks.generator.eval(), networks.discriminator.eval(), options


@pytest.mark.parametrize("form", BIGGAN_FORMS)
@torch.no_grad()
def test_forms_of_biggan(tmp_path, form):
    """What the tensors tell: size, classes, widths, a vector of the class, a latent in parts, attention."""
    generator, discriminator, options = random_biggan(form)
    held = {"G": as_in_biggan_pytorch(generator), "D": as_in_biggan_pytorch(discriminator)}
    torch.save(held, tmp_path / "held.pth")
    told = invoke("import", tmp_path / "held.pth", "--out", tmp_path / "run").output
    assert told == f"{tmp_path}/run\n"
    rebuilt = Run.open(tmp_path / "run").config.architecture.options
    assert {**rebuilt, "attention": tuple(rebuilt["attention"])} == {"hierarchical": True, **options}
    latent, label = torch.randn(3, options["latent"]), torch.arange(3)
    wanted = generator(latent, label)
    again, judging = sampled(tmp_path / "run")
    torch.testing.assert_close(again(latent, label), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(judging(wanted, label).value, discriminator(wanted, label).value, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_summed_statistics_of_biggan_become_means(tmp_path):
    """Their own batch normalisation keeps sums and a count once it has summed; one over several GPUs is told about."""
    generator, _, options = random_biggan("shared")
    latent, label = torch.randn(3, options["latent"]), torch.arange(3)
    state = as_in_biggan_pytorch(generator)
    for kind, factor, told in (("stored", 16, "no discriminator"), ("running", 1, "cross_replica")):
        held = {re.sub(r"\.stored_", f".bn.{kind}_", name): value for name, value in state.items()}
        for name in list(held):
            if ".bn." in name:
                held[name] = held[name] * factor
                held[re.sub(r"bn\.\w+$", "bn.accumulation_counter", name)] = torch.tensor([float(factor)])
        if kind == "running":
            held = {name: value for name, value in held.items() if "counter" not in name}
        torch.save(held, tmp_path / f"{kind}.pth")
        assert told in invoke("import", tmp_path / f"{kind}.pth", "--out", tmp_path / kind).output
        again = sampled(tmp_path / kind)[0]
        torch.testing.assert_close(again(latent, label), generator(latent, label), atol=1e-5, rtol=0)


def renumbered(state):
    """A generator with two blocks more."""
    more = {name.replace("blocks.3.", f"blocks.{at}."): value for name, value in state.items() for at in (4, 5, 6)}
    return {**state, **more}


BIGGANS_THAT_ARE_NOT_BUILT = {
    "without spectral normalisation": (lambda state: {n: v for n, v in state.items() if not n.endswith("0")}, "G"),
    "another normalisation": (lambda state: {n: v for n, v in state.items() if ".stored_" not in n}, "G"),
    "deep": (lambda state: {**state, "blocks.0.0.conv4.weight": torch.zeros(1)}, "G"),
    "too large": (renumbered, "G"),
    "other channels": (lambda state: {**state, "blocks.1.0.conv2.weight": torch.zeros(5, 5, 3, 3)}, "G"),
    "thin": (lambda state: {**state, "blocks.1.0.conv1.weight": torch.zeros(3, 3, 3, 3)}, "D"),
    "of another size": (lambda state: {n: v for n, v in state.items() if not n.startswith("blocks.4")}, "G D"),
}
TOLD = (
    "not spectrally normalised",
    "not that of batches",
    "BigGAN-deep",
    "channels, which no size",
    "channels, which no size",
    "D_thin",
    "",
)


@pytest.mark.parametrize(("name", "told"), list(zip(BIGGANS_THAT_ARE_NOT_BUILT, TOLD, strict=True)))
def test_biggans_that_are_not_built_are_refused(tmp_path, name, told):
    change, held = BIGGANS_THAT_ARE_NOT_BUILT[name]
    generator, discriminator, _ = random_biggan("shared")
    states = {"G": as_in_biggan_pytorch(generator), "D": as_in_biggan_pytorch(discriminator)}
    changed = {**states, "D": change(states["D"])} if held == "G D" else change(states[held])
    torch.save(changed, tmp_path / "held.pth")
    said = invoke("import", tmp_path / "held.pth", "--arch", "biggan", "--out", tmp_path / "run", code=1).stderr
    assert "its tensors do not make networks of 'biggan'" in said and told in said
    assert not (tmp_path / "run").exists()
