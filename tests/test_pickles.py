"""Pickled checkpoints: NVIDIA's form is read, and nothing that a pickle could do is done."""

from __future__ import annotations

import collections
import itertools
import pickle
import random
import struct
import sys

import pytest
import torch
from nvidia_pickles import Persistent, named_modules

from ganzoo.errors import DataError
from ganzoo.pickles import read_networks

FORMS = ("global", "stacked", "instance", "object", "reduced", "built")
WRAPPINGS = ("bare", "in a dictionary", "as a network", "as a state", "as a tensor", "as a storage", "as an option")
CALLS = [
    ("os", "system", "touch {mark}"),
    ("posix", "system", "touch {mark}"),
    ("subprocess", "check_output", "touch {mark}"),
    ("builtins", "eval", "open({mark!r}, 'w').close()"),
    ("builtins", "exec", "open({mark!r}, 'w').close()"),
    ("__builtin__", "eval", "open({mark!r}, 'w').close()"),
    ("builtins", "getattr", "open"),
    ("builtins", "__import__", "this"),
    ("importlib", "import_module", "this"),
    ("pickle", "loads", "cos\nsystem\n(S'touch {mark}'\ntR."),
    ("_pickle", "loads", "cos\nsystem\n(S'touch {mark}'\ntR."),
    ("torch", "load", "{mark}"),
    ("torch.hub", "load", "{mark}"),
    ("numpy", "load", "{mark}"),
    ("shutil", "rmtree", "{mark}"),
    ("runpy", "run_path", "{mark}"),
    ("operator", "attrgetter", "__class__"),
    ("functools", "partial", "print"),
    ("dnnlib.util", "call_func_by_name", "os.system"),
    ("torch_utils.persistence", "import_hook", "print"),
    ("ganzoo.pickles", "_storage", "a"),
    ("torch.storage", "_load_from_bytes.__globals__", "a"),
]


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def called(form: str, module: str, name: str, word: str) -> bytes:
    """The opcodes that leave the result of `module.name(word)` on the stack."""
    asked = f"c{module}\n{name}\n".encode()
    return {
        "global": asked + b"(" + text(word) + b"tR",
        "stacked": text(module) + text(name) + b"\x93(" + text(word) + b"tR",
        "instance": b"(" + text(word) + f"i{module}\n{name}\n".encode(),
        "object": b"(" + asked + text(word) + b"o",
        "reduced": asked + text(word) + b"\x85\x81",
        "built": b"}" + asked + b"(" + text(word) + b"tRb",
    }[form]


def wrapped(wrapping: str, payload: bytes) -> bytes:
    reconstruct = b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n"

    def network(state: bytes) -> bytes:
        return b"}" + text("G") + reconstruct + b"(}" + text("state") + state + b"s" + b"tRs"

    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n"
    return {
        "bare": payload,
        "in a dictionary": b"}" + text("G") + payload + b"s",
        "as a network": b"}" + text("G") + reconstruct + b"(" + payload + b"tRs",
        "as a state": network(payload),
        "as a tensor": network(b"}" + text("_parameters") + b"}" + text("w") + payload + b"ss"),
        "as a storage": network(
            b"}" + text("_parameters") + b"}" + text("w") + tensor + b"(" + payload + b"K\x00)))tRss"
        ),
        "as an option": network(b"}" + text("_init_kwargs") + payload + b"s"),
    }[wrapping] + b"."


def hostile(mark: str):
    """Every call, in a form and a place of the file that change from one to the next."""
    words = [(module, name, word.format(mark=mark)) for module, name, word in CALLS]
    for (index, call), wrapping in itertools.product(enumerate(words), WRAPPINGS):
        for form in (FORMS[(index + shift) % len(FORMS)] for shift in range(2)):
            yield f"{call[0]}.{call[1]} {form} {wrapping}", wrapped(wrapping, called(form, *call))


@pytest.fixture
def watched(monkeypatch, tmp_path):
    """Whatever a pickle could run, recorded."""
    ran: list[object] = []

    def recording(event, args):
        if event.split(".")[0] in ("os", "subprocess", "import", "exec", "shutil", "socket") and watching:
            ran.append((event, args))

    watching = [True]
    sys.addaudithook(recording)
    yield ran
    watching.clear()


def test_a_corpus_of_hostile_files_is_refused_whole(tmp_path, watched):
    mark, path = tmp_path / "ran", tmp_path / "network.pkl"
    corpus = list(hostile(str(mark)))
    assert len(corpus) >= 300
    for name, data in corpus:
        path.write_bytes(data)
        watched.clear()
        with pytest.raises(DataError, match="Nothing in it was run"):
            read_networks(path)
        harmless = [args for event, args in watched if event not in ("os.listdir", "os.scandir")]
        assert not [args for args in harmless if str(mark) in str(args) or args[:1] == "this"], name
    assert not mark.exists() and "this" not in sys.modules


def test_a_pickle_in_a_storage_is_read_as_strictly(tmp_path):
    """A storage is pickles in a pickle: they may name storages and nothing else."""
    mark, path = tmp_path / "ran", tmp_path / "network.pkl"
    for index in range(5):
        parts = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {}, ("a",), ["0"])]
        parts[index] = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
        data = b"".join(parts)
        inner = b"ctorch.storage\n_load_from_bytes\n(B" + struct.pack("<I", len(data)) + data + b"tR"
        path.write_bytes(wrapped("as a storage", inner))
        with pytest.raises(DataError, match=r"os.*system"):
            read_networks(path)
    assert not mark.exists()


# NVIDIA's form, written here with classes of the same names


@pytest.fixture
def official():
    with named_modules() as names:
        yield names


def envelope(official, parameters, inner=()):
    inside = {
        name: Persistent(official.reconstruct, "Layer", {"_parameters": held, "_buffers": {}, "_modules": {}})
        for name, held in inner
    }
    state = {"training": False, "_parameters": parameters, "_buffers": {}, "_modules": collections.OrderedDict(inside)}
    state["_init_kwargs"] = official.easy(z_dim=4, synthesis_kwargs=official.easy(channel_base=512))
    return Persistent(official.reconstruct, "Generator", state)


def test_a_network_in_nvidias_form(tmp_path, official):
    weight = torch.nn.Parameter(torch.arange(12.0).reshape(3, 4).t())  # not contiguous: strides count
    half, whole = torch.randn(5).half(), torch.tensor([[1, 2], [3, 4]])
    shared = torch.arange(10.0)
    inner = [("conv", {"weight": shared[2:6], "bias": shared[6:], "empty": torch.zeros(0, 3), "none": None})]
    net = envelope(official, {"weight": weight, "half": half, "whole": whole}, inner)
    path = tmp_path / "network.pkl"
    path.write_bytes(pickle.dumps({"G": net, "training_set_kwargs": official.easy(a=1), "augment_pipe": None}))
    found = read_networks(path)["G"]
    assert found.name == "Generator" and found.options == {"z_dim": 4, "synthesis_kwargs": {"channel_base": 512}}
    wanted = {"weight": weight, "half": half, "whole": whole, "conv.weight": shared[2:6], "conv.bias": shared[6:]}
    for name, value in wanted.items():
        assert torch.equal(found.state[name], value.detach()) and found.state[name].dtype == value.dtype
    assert found.state["conv.empty"].shape == (0, 3) and set(found.state) == {*wanted, "conv.empty"}


def test_damaged_files_are_refused_in_a_sentence(tmp_path, official):
    """Cut anywhere, or with bytes changed, a file is read as what it is or refused; nothing else happens."""
    path = tmp_path / "network.pkl"
    whole = pickle.dumps({"G": envelope(official, {"weight": torch.arange(64.0)})})
    chance, refused = random.Random(0), 0
    cuts = [whole[:length] for length in range(0, len(whole), max(1, len(whole) // 60))]
    changed = []
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        changed.append(bytes(data))
    for data in [*cuts, *changed]:
        path.write_bytes(data)
        try:
            read_networks(path)
        except DataError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused >= len(cuts)


def test_shapes_that_reach_beyond_their_numbers_are_refused(tmp_path, official):
    path, tensor = tmp_path / "network.pkl", torch.arange(6.0)
    data = pickle.dumps({"G": envelope(official, {"weight": tensor})})
    (at,) = [index for index in range(len(data)) if data.startswith(b"K\x06\x85", index)]
    for size in (b"\x07", b"\xff"):
        path.write_bytes(data[: at + 1] + size + data[at + 2 :])
        with pytest.raises(DataError, match="larger than its numbers"):
            read_networks(path)


def test_what_is_no_pickle_of_networks(tmp_path):
    path = tmp_path / "network.pkl"
    for data, told in ((b"", "refused"), (b"hello", "refused"), (pickle.dumps([1]), "does not hold networks by name")):
        path.write_bytes(data)
        with pytest.raises(DataError, match=told):
            read_networks(path)
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(DataError, match="holds no networks"):
        read_networks(path)
    with pytest.raises(DataError, match="cannot read"):
        read_networks(tmp_path / "absent.pkl")
