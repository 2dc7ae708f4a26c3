"""CGAN. Mirza and Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, Spec, hookimpl
from ganzoo_plugins.architectures import dcgan
from ganzoo_plugins.architectures.mlp import Maxout
from ganzoo_plugins.architectures.stages import stages

_MAKES = "cgan:form=convolutional makes pictures of 16 to 128 px"


class Generator(nn.Module):
    """Any generator that is given the latent [N, latent] and beside it the class, as one number for each of them."""

    def __init__(self, network: nn.Module, classes: int):
        super().__init__()
        self.network, self.classes = network, classes

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        made: Tensor = self.network(torch.cat([latent, one_hot(label, self.classes, latent)], 1))
        return made


class Discriminator(nn.Module):
    """Any discriminator of pictures that is given, beside the colours, a map for each class: one where it is the
    class told, else zero."""

    def __init__(self, network: Any, classes: int):
        super().__init__()
        self.network, self.classes, self.feature_size = network, classes, network.feature_size

    def forward(self, images: Tensor, label: Tensor | None = None) -> Scores:
        assert label is not None
        maps = one_hot(label, self.classes, images)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        scores: Scores = self.network(torch.cat([images, maps], 1))
        return scores


class JoiningGenerator(nn.Module):
    """The latent [N, latent] and the class each through a layer of its own, both through one, to a sample [N, *shape];
    pictures end in tanh. Widths are those of the paper where `width` is 1200."""

    def __init__(self, latent: int, classes: int, width: int, shape: tuple[int, ...], bounded: bool, dropout: float):
        super().__init__()
        of_latent, of_class = _share(width, 200), _share(width, 1000)
        self.latent, self.label = nn.Linear(latent, of_latent), nn.Linear(classes, of_class)
        self.joined, self.ending = nn.Linear(of_latent + of_class, width), nn.Linear(width, math.prod(shape))
        self.drop = nn.Dropout(dropout)
        self.classes, self.shape, self.bounded = classes, shape, bounded

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        assert label is not None
        both = torch.cat([self.latent(latent), self.label(one_hot(label, self.classes, latent))], 1)
        samples = self.ending(self.drop(F.relu(self.joined(self.drop(F.relu(both))))))
        samples = samples.tanh() if self.bounded else samples
        made: Tensor = samples.reshape(len(latent), *self.shape)
        return made


class JoiningDiscriminator(nn.Module):
    """The sample, flattened, and the class each through maxout units of its own, both through others, to a score [N].

    classes: 0: it is not told the class. Widths are those of the paper where `width` is 1200.
    """

    def __init__(self, size: int, classes: int, width: int, dropout: float):
        super().__init__()
        of_sample, of_class = _share(width, 240), _share(width, 50) if classes else 0
        self.sample = Maxout(size, of_sample, 5)
        self.label = Maxout(classes, of_class, 5) if classes else None
        self.joined = Maxout(of_sample + of_class, of_sample, 4)
        self.score, self.drop = nn.Linear(of_sample, 1), nn.Dropout(dropout)
        self.classes, self.feature_size = classes, of_sample

    def forward(self, samples: Tensor, label: Tensor | None = None) -> Scores:
        h = self.sample(samples.flatten(1))
        if self.label is not None:
            assert label is not None
            h = torch.cat([h, self.label(one_hot(label, self.classes, h))], 1)
        h = self.drop(self.joined(self.drop(h)))
        return Scores(self.score(h).flatten(), features=h)


class CGAN(Architecture):
    """Networks that are given the class beside their input.

    Mirza and Osindero 2014, arXiv:1411.1784, section 4.1. `form=mlp` has the paper's layers, for samples of any shape;
    `form=convolutional` those of `dcgan`, for pictures of 16 to 128 pixels a side, with the class as numbers beside the
    latent and as constant maps beside the picture. The generator alone is told the class where another part asks the
    discriminator for it (`ac`) or tells it (`projection`).

    Differs from the paper: pictures lie in [-1, 1], so that the generator ends in tanh, not in a sigmoid; latents are
    normal unless `noise=uniform`; layers begin as torch's and `dcgan`'s do. The convolutional form is later than the
    paper.

    Args:
        form: of the layers; auto: convolutional for pictures, mlp for points.
        latent: size of the latent.
        width: mlp: units of the generator's joined layer, with the others in the paper's proportion; convolutional: as
            `dcgan` has it; none: 1200 (as published) and 64.
        dropout: mlp: share of the hidden units of both networks that is dropped.
        noise: what the latent is drawn from; uniform is from 0 to 1, as published.
        norm: convolutional: the discriminator's normalisation, as `dcgan` has it.
        told: whether the discriminator is told the class; auto: unless a part of the run asks it or tells it.
    """

    name = "cgan"
    paper = "arXiv:1411.1784"
    needs: tuple[str, ...] = ("image|points", "labels")
    offers: tuple[str, ...] = (
        "latent_generator",
        "discriminator",
        "smooth_samples",
        "per_sample_scores",
        "features",
        "unconditional_features",
        "unconditional_score",
        "class_generator",
        "class_discriminator",
        "batch_norm_generator",
    )
    suggests = {"rate": 2e-4, "beta1": 0.5, "beta2": 0.999}
    tiny = {"latent": 4, "width": 12, "dropout": 0.0}

    def __init__(
        self,
        form: Literal["auto", "mlp", "convolutional"] = "auto",
        latent: int = 100,
        width: int | None = None,
        dropout: float = 0.5,
        noise: Literal["normal", "uniform"] = "normal",
        norm: Literal["auto", "batch", "none"] = "auto",
        told: Literal["auto", "yes", "no"] = "auto",
    ):
        if latent < 1 or (width is not None and width < 1):
            raise ValueError("latent and width must be at least 1")
        if not 0 <= dropout < 1:
            raise ValueError("dropout lies in [0, 1)")
        self.form, self.latent_size, self.width, self.dropout = form, latent, width, dropout
        self.noise, self.norm, self.told = noise, norm, told
        if form == "convolutional":
            self.needs = ("image", "labels")
        if told == "no":
            self.needs = (*self.needs, "class_discriminator")
        self.offers = tuple(word for word in self.offers if word not in self._lost())

    def _lost(self) -> set[str]:
        """What the options take away of what it offers."""
        lost = {
            "yes": {"unconditional_features", "unconditional_score"},
            "no": {"class_discriminator"},
        }.get(self.told, set())
        if self.form == "mlp":
            return lost | {"batch_norm_generator"}
        return lost | ({"per_sample_scores"} if self.norm == "batch" else set())

    def build(self, spec: Spec, plan: Plan) -> Networks:
        convolutional = self.form == "convolutional" or (self.form == "auto" and spec.kind == "image")
        asked = not {"unconditional_features", "unconditional_score"}.isdisjoint(plan.needs)
        told = self.told == "yes" or (self.told == "auto" and not asked)
        if self.told == "auto" and asked:
            plan.notes.append(
                "cgan: the discriminator is not told the class, because another part asks it for the class or tells it"
            )
        return self._convolutional(spec, plan, told) if convolutional else self._joining(spec, told)

    def _convolutional(self, spec: Spec, plan: Plan, told: bool) -> Networks:
        (channels, height, width), classes, narrow = spec.shape, len(spec.classes), self.width or 64
        base, doublings = stages(height, width, _MAKES)
        generator = dcgan.Generator(self.latent_size + classes, narrow, channels, base, doublings)
        norm = dcgan.normalises(self.name, self.norm, plan)
        discriminator = dcgan.Discriminator(narrow, channels + classes * told, base, doublings, norm)
        for network in (generator, discriminator):
            network.apply(dcgan.initialise)
        return Networks.pair(
            Generator(generator, classes), Discriminator(discriminator, classes) if told else discriminator
        )

    def _joining(self, spec: Spec, told: bool) -> Networks:
        classes, width, bounded = len(spec.classes), self.width or 1200, spec.kind == "image"
        return Networks.pair(
            JoiningGenerator(self.latent_size, classes, width, spec.shape, bounded, self.dropout),
            JoiningDiscriminator(math.prod(spec.shape), classes * told, width, self.dropout),
        )

    def latent(self, draws: Draws, count: int) -> Tensor:
        if self.noise == "uniform":
            return draws.uniform("latent", count, self.latent_size)
        return draws.normal("latent", count, self.latent_size)


def one_hot(label: Tensor, classes: int, like: Tensor) -> Tensor:
    """Classes [N] as numbers [N, classes]: one for the class, zero for the others."""
    return F.one_hot(label, classes).to(like.dtype)


def _share(width: int, published: int) -> int:
    """How many units a layer has beside a joined one of this width."""
    return max(1, round(width * published / 1200))


@hookimpl
def register_architectures(register: Any) -> None:
    register(CGAN)
