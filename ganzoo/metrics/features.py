"""Feature extractors: what turns samples into the rows that measures compare.

An extractor is known by its weights. Its name, which stands in every result, holds the first digits of their sha256;
the bare words FID, IS, KID and LPIPS are for the standard weights alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DataError, UsageError

Array = numpy.ndarray[Any, Any]


@dataclass
class Extractor:
    """samples [N, ...] -> features [N, d] float64, and class probabilities [N, K] or None.

    protocol: everything about it that a number depends on.
    """

    name: str
    extract: Callable[[Tensor], tuple[Array, Array | None]]
    protocol: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()


def identity() -> Extractor:
    """Samples are their own features."""
    return Extractor("identity", lambda values: (values.flatten(1).double().numpy(), None), {"features": "identity"})


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) with ReLU and maxima: [N, 1, 32, 32] in [0, 1] -> 120 features, 10 classes."""

    size, channels, head = 32, 1, "fc.f7.weight"

    def __init__(self, classes: int = 10):
        super().__init__()
        self.convnet = nn.ModuleDict({"c1": nn.Conv2d(1, 6, 5), "c3": nn.Conv2d(6, 16, 5), "c5": nn.Conv2d(16, 120, 5)})
        self.fc = nn.ModuleDict({"f6": nn.Linear(120, 84), "f7": nn.Linear(84, classes)})

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.max_pool2d(F.relu(self.convnet["c1"](x)), 2)
        x = F.max_pool2d(F.relu(self.convnet["c3"](x)), 2)
        features = F.relu(self.convnet["c5"](x)).flatten(1)
        return features, self.fc["f7"](F.relu(self.fc["f6"](features)))


class Block(nn.Module):
    """Two convolutions beside an identity that, where the map halves, drops every second pixel and adds empty channels
    (He et al. 2015, arXiv:1512.03385, section 4.2, option A)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.added = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        h = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        beside = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.added, self.added))
        return F.relu(h + beside)


class ResNet20(nn.Module):
    """The residual net of 20 layers for CIFAR-10 (He et al. 2015, arXiv:1512.03385, section 4.2): [N, 3, 32, 32],
    standardised by ImageNet's means and deviations, -> 64 features, 10 classes."""

    size, channels, head = 32, 3, "linear.weight"
    means, deviations = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def __init__(self, classes: int = 10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(Block(16, 32, 2), Block(32, 32, 1), Block(32, 32, 1))
        self.layer3 = nn.Sequential(Block(32, 64, 2), Block(64, 64, 1), Block(64, 64, 1))
        self.linear = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        means, deviations = (x.new_tensor(each).reshape(1, 3, 1, 1) for each in (self.means, self.deviations))
        h = F.relu(self.bn1(self.conv1((x - means) / deviations)))
        features = self.layer3(self.layer2(self.layer1(h))).mean((2, 3))
        return features, self.linear(features)


_COUNT = "num_batches_tracked"  # of batch norm: what older files lack
NETWORKS: dict[str, type[Any]] = {"lenet": LeNet, "resnet20": ResNet20}


def load(asked: str) -> Extractor:
    """`identity`, or a file of weights of one of the networks above. Nothing in the file is executed."""
    if asked == "identity":
        return identity()
    path = Path(asked).expanduser()
    if not path.is_file():
        raise UsageError(f"--features {asked}: there is no such file; write identity, or the path of a file of weights")
    state = _weights(path)
    for word, network in NETWORKS.items():
        module = network(len(state[network.head]) if network.head in state else 10)
        if {name: value.shape for name, value in state.items()} == _shapes(module):
            module.load_state_dict(state, strict=False)
            return of_network(module.eval(), f"{word}-{_stem(path, word)}{_sha256(path)[:8]}", _sha256(path))
    raise UsageError(
        f"--features {asked}: its weights are of none of the networks that are known: {', '.join(NETWORKS)}"
    )


def of_network(module: Any, name: str, sha256: str) -> Extractor:
    """Pictures, resized and in [0, 1], through a network that returns features and logits."""

    def extract(values: Tensor) -> tuple[Array, Array]:
        with torch.no_grad():
            features, logits = module(prepared(values, module.size, module.channels))
        return features.double().numpy(), logits.double().softmax(1).numpy()

    resize = f"bilinear to {module.size}x{module.size}, no antialias, corners not aligned; none at that size"
    return Extractor(name, extract, {"features": name, "sha256": sha256, "resize": resize})


def prepared(values: Tensor, size: int, channels: int) -> Tensor:
    """Pictures [N, C, H, W] in [-1, 1] as a network takes them: of its size and channels, in [0, 1]."""
    if values.ndim != 4:
        raise UsageError(f"these features are of pictures [N, C, H, W], not of samples [N, {values.shape[1:]}]")
    x = (values.float() + 1) / 2
    if x.shape[2:] != (size, size):
        x = F.interpolate(x, (size, size), mode="bilinear", align_corners=False)
    if x.shape[1] != channels:
        x = x.mean(1, keepdim=True).expand(-1, channels, -1, -1)
    return x


def _weights(path: Path) -> dict[str, Tensor]:
    """A flat state, from a .safetensors file or from one of torch's that holds nothing but tensors."""
    state: Any
    try:
        if path.suffix == ".safetensors":
            import safetensors.torch

            state = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many things for a file that is not one of its own
        raise DataError(f"{path} is not a file of weights: {str(error).splitlines()[0]}") from None
    held = state.get("state_dict", state) if isinstance(state, dict) else {}
    found = {str(name).removeprefix("module."): value for name, value in held.items() if isinstance(value, Tensor)}
    return {name: value for name, value in found.items() if not name.endswith(_COUNT)}


def _shapes(module: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in module.state_dict().items() if not name.endswith(_COUNT)}


def _stem(path: Path, word: str) -> str:
    """What the file's name says of the data, if it says so."""
    known = ("fashion-mnist", "fashion_mnist", "mnist", "cifar10", "cifar100", "svhn", "digits")
    found = next((name for name in known if name in path.name.lower() and name not in word), None)
    return f"{found.replace('_', '-')}-" if found else ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
