"""`ganzoo export --onnx`: a generator as an ONNX file, for runtimes without torch."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import kernels
from .draws import Draws, derive
from .errors import RunError, UsageError
from .game import Game
from .run import Run


class _Sampled(nn.Module):
    """A generator without random numbers of its own: its noise is that which is kept with it, where it has some."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network
        self.still = all(hasattr(network, name) for name in ("mapping", "synthesis"))
        self.still = self.still and "noise" in inspect.signature(network.synthesis.forward).parameters

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        if self.still:
            made: Tensor = self.network.synthesis(self.network.mapping(latent, label), "const")
            return made
        made = self.network(latent, label)
        return made


def write_onnx(run: Run, file: Path, step: int | None = None) -> Path:
    """The generator as ONNX in float32: `latent` [count, ...], and `label` [count] where classes make a difference,
    to `sample` [count, ...], numbers as the networks make them (pictures in about [-1, 1]).

    Networks with noise of their own use the noise that is kept with them. Raises UsageError where the packages are
    missing, RunError where the network has no form in ONNX.
    """
    if file.suffix != ".onnx":
        raise UsageError(f"--onnx {file}: give the file the suffix .onnx")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise UsageError(
            "--onnx needs the packages onnx and onnxscript; install them with: pip install 'ganzoo[onnx]'"
        ) from None
    game = run.game(step)
    if "latent_generator" not in game.parts.architecture.offers:
        raise RunError(f"architecture '{game.parts.architecture.name}' makes no samples from a latent")
    # A copy in the usual layout and precision.
    network = copy.deepcopy(game.procedure.sampling_network(game)).eval()
    sampled = _Sampled(network.to("cpu", torch.float32, memory_format=torch.contiguous_format))
    with kernels.only_reference():
        given = _examples(game, sampled)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(sampled, given, file)
        except OSError as error:
            raise RunError(f"cannot write {file}: {error.strerror or error}") from None
        except Exception as error:  # the exporter has no type of error of its own for what it cannot say
            told = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
            raise RunError(f"the generator of {run.path} cannot be written as ONNX: {told}") from error
    return file


def _examples(game: Game, sampled: nn.Module) -> dict[str, Tensor]:
    """Inputs by name, with labels only where they change what is made."""
    latent = game.latent(2, Draws(derive(0, "onnx"))).float()
    if not game.spec.classes:
        return {"latent": latent}
    labels = torch.tensor([0, len(game.spec.classes) - 1])
    with torch.no_grad():
        same = torch.equal(sampled(latent, labels), sampled(latent, labels.flip(0)))
    return {"latent": latent} if same else {"latent": latent, "label": labels}


def _write(sampled: nn.Module, given: dict[str, Tensor], file: Path) -> None:
    count = torch.export.Dim("count")
    with torch.no_grad(), _quiet():
        # Traced by the reader of bytecode (strict), to which len(x) does not fix the number of samples.
        program = torch.export.export(
            sampled, tuple(given.values()), dynamic_shapes={name: {0: count} for name in given}, strict=True
        )
        torch.onnx.export(
            program,
            (),
            file,
            input_names=list(given),
            output_names=["sample"],
            external_data=False,
            dynamo=True,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its authors."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
