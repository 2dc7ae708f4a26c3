"""Feature extractors: what turns samples into the rows that measures compare.

An extractor is known by its weights. Its name, which stands in every result, holds the first digits of their sha256;
the bare words FID, IS, KID, LPIPS and PPL are for the standard weights alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Choice
from ..errors import UsageError
from . import inception, perceptual
from .extractor import Array, Extractor, Weights, accept, shapes, squared_distance
from .sound import HOP, WINDOW, SpectralNet


def identity() -> Extractor:
    """Samples are their own features."""

    def features(values: Tensor) -> Array:
        flat: Array = values.flatten(1).double().numpy()
        return flat

    return Extractor(
        "identity", lambda values: (features(values), None), squared_distance(features), {"features": "identity"}
    )


class LeNet(nn.Module):
    """LeNet-5 (LeCun et al. 1998) with ReLU and maxima: [N, 1, 32, 32] in [0, 1] -> 120 features, 10 classes."""

    kind, size, channels, head = "image", 32, 1, "fc.f7.weight"

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

    kind, size, channels, head = "image", 32, 3, "linear.weight"
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


NETWORKS: dict[str, type[Any]] = {"lenet": LeNet, "resnet20": ResNet20, "spectral": SpectralNet}
KNOWN = (*NETWORKS, "inception2015", *perceptual.LAYOUTS)


def load(asked: str) -> Extractor:
    """`identity`, or a file of weights of one of the known networks, with options after a colon. Nothing in the file is
    executed. Raises UsageError and DataError."""
    if asked == "identity":
        return identity()
    choice = Choice(asked) if Path(asked).expanduser().is_file() else Choice.parse(asked)
    path = Path(choice.name).expanduser()
    if not path.is_file():
        raise UsageError(
            f"--features {asked}: there is no file {path}; write identity, or the path of a file of weights"
        )
    weights = Weights.read(path)
    for layout in (inception.extractor, perceptual.extractor, classifier):
        if found := layout(weights, choice.options):
            return found
    raise UsageError(f"--features {asked}: its weights are of none of the networks that are known: {', '.join(KNOWN)}")


def classifier(weights: Weights, options: dict[str, str]) -> Extractor | None:
    """The extractor of a small classifier's weights, or None if they are of another network. It has no options."""
    for word, network in NETWORKS.items():
        module = network(len(weights.state[network.head]) if network.head in weights.state else 10)
        if weights.shapes() == shapes(module):
            accept(word, options, {})
            module.load_state_dict(weights.state, strict=False)
            name = f"{word}-{_stem(weights.path, word)}{weights.sha256[:8]}"
            return of_network(module.eval(), name, weights.sha256)
    return None


def of_network(module: Any, name: str, sha256: str) -> Extractor:
    """Samples, as the network takes them, through a network that returns features and logits."""

    def extract(values: Tensor) -> tuple[Array, Array]:
        with torch.no_grad():
            features, logits = module(taken(module, values))
        return features.double().numpy(), logits.double().softmax(1).numpy()

    if module.kind == "audio":
        seen = {"spectrogram": f"Hann windows of {WINDOW} samples, {HOP} apart"}
    else:
        size = f"{module.size}x{module.size}"
        seen = {"resize": f"bilinear to {size}, no antialias, corners not aligned; none at that size"}
    distance = squared_distance(lambda values: extract(values)[0])
    return Extractor(name, extract, distance, {"features": name, "sha256": sha256, **seen})


def taken(module: Any, values: Tensor) -> Tensor:
    """Samples as a network of `NETWORKS` takes them. Raises UsageError for samples of another kind."""
    if module.kind == "image":
        return prepared(values, module.size, module.channels)
    if values.ndim != 3 or values.shape[2] < WINDOW:
        raise UsageError(
            f"these features are of sounds [N, channels, at least {WINDOW}], not of samples {list(values.shape)}"
        )
    return values.float()


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


def _stem(path: Path, word: str) -> str:
    """What the file's name says of the data, if it says so."""
    known = ("fashion-mnist", "fashion_mnist", "mnist", "cifar10", "cifar100", "svhn", "digits")
    found = next((name for name in known if name in path.name.lower() and name not in word), None)
    return f"{found.replace('_', '-')}-" if found else ""
