"""`ganzoo features train`: a small classifier of labelled pictures or sounds, whose last features measures can
compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ..config import Choice
from ..data import Batch, Collection, Stream
from ..draws import without_a_trace
from ..errors import DataError, UsageError
from ..registry import installed
from . import sources
from .features import NETWORKS, taken

BATCH = 128


def train(data: str, out: Path, network: str | None = None, epochs: int = 3, seed: int = 0) -> dict[str, Any]:
    """Train on a labelled data set and write the weights. Returns the accuracy, on the test part where there is one.

    network: `lenet`, `resnet20` or `spectral`; without it lenet for grey pictures, resnet20 for coloured ones and
    spectral for sounds. Adam, rate 1e-3 falling to 0 along a half cosine, batches of 128.
    """
    import safetensors.torch

    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: weights are written as .safetensors; give the file that suffix")
    choice = Choice.parse_data(data, installed())
    collection = sources.opened(choice, installed())
    kind = collection.spec.kind
    if kind not in ("image", "audio") or not collection.spec.classes:
        raise DataError(f"{data} has no labelled pictures or sounds, from which features could be learnt")
    word = network or ("spectral" if kind == "audio" else "lenet" if collection.spec.shape[0] == 1 else "resnet20")
    fitting = [name for name, known in NETWORKS.items() if known.kind == kind]
    if word not in fitting:
        raise UsageError(f"--network for samples of kind {kind} is one of {', '.join(fitting)}, got {word}")
    with without_a_trace(torch.device("cpu"), seed):
        module = NETWORKS[word](len(collection.spec.classes))
    _fit(module, collection, epochs, seed)
    unseen = sources.held_out(choice, installed())
    safetensors.torch.save_file({name: value.contiguous() for name, value in module.state_dict().items()}, out)
    return {
        "network": word,
        "accuracy": _accuracy(module, collection if unseen is None else unseen),
        "of": "train" if unseen is None else "test",
        "file": str(out),
    }


def _fit(module: Any, collection: Collection, epochs: int, seed: int) -> None:
    optimizer = torch.optim.Adam(module.parameters(), 1e-3)
    steps = max(1, epochs * len(collection) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    stream = Stream(collection, seed, chunk=BATCH)
    module.train()
    for _ in range(steps):
        batch = stream.take(BATCH)
        loss = F.cross_entropy(_logits(module, batch), _labels(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    stream.close()


def _accuracy(module: Any, collection: Collection) -> float:
    module.eval()
    right = 0
    with torch.no_grad():
        for start in range(0, len(collection), BATCH):
            batch = collection.fetch(list(range(start, min(start + BATCH, len(collection)))))
            right += int((_logits(module, batch).argmax(1) == _labels(batch)).sum())
    return right / len(collection)


def _logits(module: Any, batch: Batch) -> torch.Tensor:
    logits: torch.Tensor = module(taken(module, batch.sample))[1]
    return logits


def _labels(batch: Batch) -> torch.Tensor:
    assert batch.label is not None
    return batch.label
