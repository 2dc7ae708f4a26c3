"""A checkpoint is whole or not there: killed at any system call, on a full disk, with a changed byte."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch

from ganzoo import checkpoint
from ganzoo.errors import CheckpointError, RunError

PTRACE_TRACEME, PTRACE_SYSCALL, PTRACE_KILL = 0, 24, 8
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def state(step: int) -> dict:
    generator = torch.Generator().manual_seed(step)
    tensors = {"weight": torch.randn(20, 10, generator=generator), "count": torch.tensor(step)}
    return {"networks": {"generator": tensors}, "step": step, "rate": 0.1 + step, "empty": {}}


def equal(found: dict, wanted: dict) -> bool:
    tensors, others = found["networks"]["generator"], wanted["networks"]["generator"]
    return (
        all(torch.equal(tensors[key], others[key]) for key in others)
        and found["rate"] == wanted["rate"]
        and found["empty"] == {}
    )


def test_what_is_saved_comes_back(tmp_path):
    for step in (2, 10, 7):
        checkpoint.save(tmp_path, step, state(step), keep=0)
    assert checkpoint.steps(tmp_path) == [2, 7, 10]
    assert equal(checkpoint.load(tmp_path), state(10))
    assert equal(checkpoint.load(tmp_path, 2), state(2))
    with pytest.raises(CheckpointError, match="there are 2, 7, 10"):
        checkpoint.load(tmp_path, 3)


def test_the_bytes_depend_on_the_state_alone(tmp_path):
    for name in ("a", "b"):
        checkpoint.save(tmp_path / name, 5, state(5), keep=0)
    first, second = ((tmp_path / name / "step-00000005" / "state.safetensors").read_bytes() for name in "ab")
    assert first == second


def test_only_the_last_few_stay(tmp_path):
    for step in range(1, 8):
        checkpoint.save(tmp_path, step, state(step), keep=3)
    assert checkpoint.steps(tmp_path) == [5, 6, 7]
    assert {entry.name for entry in tmp_path.iterdir()} == {f"step-{step:08d}" for step in (5, 6, 7)}


def test_tensors_that_share_memory_or_are_not_contiguous(tmp_path):
    whole = torch.arange(24.0).reshape(4, 6)
    shared = {
        "a": whole,
        "b": whole,
        "c": whole[:, 2:4],
        "d": whole.T,
        "e": torch.randn(1, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    checkpoint.save(tmp_path, 1, dict(shared), keep=0)
    found = checkpoint.load(tmp_path)
    assert all(torch.equal(found[key], value) for key, value in shared.items())


@pytest.mark.parametrize("name", ["state.safetensors", "state.json"])
def test_one_changed_byte_is_refused_everywhere_in_the_file(tmp_path, name):
    """Every byte of the file, changed one at a time; the message names the newest whole checkpoint."""
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, state(step), keep=0)
    path = tmp_path / "step-00000003" / name
    content = path.read_bytes()
    for position in range(0, len(content), max(1, len(content) // 150)):
        changed = bytearray(content)
        changed[position] ^= 0x21
        path.write_bytes(changed)
        try:
            found = checkpoint.load(tmp_path)
        except CheckpointError as error:
            assert "--checkpoint 2" in str(error) and "step-00000003" in str(error)
        else:  # white space between JSON tokens carries no state
            assert name == "state.json" and equal(found, state(3))
    path.write_bytes(content)
    assert equal(checkpoint.load(tmp_path), state(3))


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, cut):
    checkpoint.save(tmp_path, 1, state(1), keep=0)
    path = tmp_path / "step-00000001" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="no other one is whole"):
        checkpoint.load(tmp_path)


def test_a_damaged_checkpoint_is_set_aside_when_the_run_goes_on_from_an_earlier_one(tmp_path):
    for step in (1, 2):
        checkpoint.save(tmp_path, step, state(step), keep=0)
    (tmp_path / "step-00000002" / "state.json").write_text("{")
    checkpoint.set_aside_damaged(tmp_path, 1)
    assert checkpoint.steps(tmp_path) == [1]
    checkpoint.save(tmp_path, 2, state(2), keep=0)
    assert equal(checkpoint.load(tmp_path), state(2))


def traced_save(folder: Path, kill_at: int) -> bool:
    """Save step 3 in a child that is killed before its `kill_at`-th stop at a system call;
    True when it ended by itself."""
    child = os.fork()
    if child == 0:
        LIBC.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        checkpoint.save(folder, 3, state(3), keep=2)
        os._exit(0)
    os.waitpid(child, 0)
    for _ in range(kill_at):
        if LIBC.ptrace(PTRACE_SYSCALL, child, None, None) < 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.skip("this machine does not let a process trace its child")
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return True
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="tracing system calls needs Linux")
def test_killed_between_any_two_system_calls(tmp_path):
    """At every stop (each call's entry and exit) what is there is whole, holds step 2 or 3,
    and the next save repairs the rest."""
    before = tmp_path / "before"
    for step in (1, 2):
        checkpoint.save(before, step, state(step), keep=2)
    ended, stops, newest = False, 0, set()
    while not ended:
        folder = tmp_path / "run"
        shutil.copytree(before, folder)
        stops += 1
        ended = traced_save(folder, stops)
        found = checkpoint.steps(folder)
        assert len(found) >= 2
        for step in found:
            assert equal(checkpoint.load(folder, step), state(step)), f"stop {stops}, step {step}"
        assert found[-1] in (2, 3)
        newest.add(found[-1])
        checkpoint.save(folder, 3, state(3), keep=2)
        assert {entry.name for entry in folder.iterdir()} == {"step-00000002", "step-00000003"}
        shutil.rmtree(folder)
    assert newest == {2, 3}
    assert stops > 40


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path):
    """A real write that fails in the middle: the process may not write files larger than 2 kB."""
    checkpoint.save(tmp_path, 1, state(1), keep=1)
    old_limit, old_handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, old_limit[1]))
        with pytest.raises(RunError, match="the checkpoint of step 1 is whole"):
            checkpoint.save(tmp_path, 2, state(2), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert {entry.name for entry in tmp_path.iterdir()} == {"step-00000001"}
    assert equal(checkpoint.load(tmp_path), state(1))


def test_a_real_full_disk(ganzoo, tmp_path):
    """A file system of one megabyte: training stops with one sentence, and what was saved can be sampled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, check=False
    ).returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        words = (
            "train",
            "--arch",
            "mlp:width=64",
            "--data",
            "ring:count=512",
            "--batch",
            8,
            "--steps",
            40,
            "--save-every",
            1,
            "--keep",
            0,
        )
        finished = ganzoo(*words, "--out", disk / "run", code=1)
        assert "No space left" in finished.stderr and "is whole" in finished.stderr
        assert len(finished.stderr.strip().splitlines()) == 1
        ganzoo("sample", disk / "run", "--out", tmp_path / "x.npz")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_that_cannot_be_written(tmp_path):
    """A file stands where the folder should be: the error is one sentence (permissions do not stop a superuser)."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="could not save step 1"):
        checkpoint.save(tmp_path / "file" / "checkpoints", 1, state(1), keep=1)


def test_the_checksum_is_the_files_own(tmp_path):
    checkpoint.save(tmp_path, 1, state(1), keep=0)
    folder = tmp_path / "step-00000001"
    recorded = json.loads((folder / "state.json").read_text())["sha256"]["state.safetensors"]
    assert recorded == hashlib.sha256((folder / "state.safetensors").read_bytes()).hexdigest()
