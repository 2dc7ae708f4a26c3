"""De Vries et al. 2017, Modulating early visual processing by language, arXiv:1707.00683, section 3; Dumoulin, Shlens
and Kudlur 2017, A Learned Representation For Artistic Style, arXiv:1610.07629, section 2.2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo import Networks, Plan, Regularizer, UsageError, hookimpl
from ganzoo_plugins.architectures.class_layers import ClassNorm, plain_vectors


class ToldNorm(ClassNorm):
    """A batch normalisation by class in place of a plain one. The generator sets `condition` while it runs."""

    def __init__(self, norm: Any, conditions: int, *, classes: bool):
        super().__init__(norm.num_features, conditions, classes=classes)
        self.norm = type(norm)(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.condition: Tensor | None = None
        if classes and norm.affine:  # every class begins where the plain one would
            with torch.no_grad():
                self.gain.weight.copy_((norm.weight - 1).expand_as(self.gain.weight))
                self.bias.weight.copy_(norm.bias.expand_as(self.bias.weight))

    def forward(self, x: Tensor) -> Tensor:
        assert self.condition is not None
        return super().forward(x, self.condition)


class ClassNormalisation(Regularizer):
    """Tells the generator the class, by a gain and a bias of every batch normalisation that depend on it.

    De Vries et al. 2017, arXiv:1707.00683, section 3; Dumoulin, Shlens and Kudlur 2017, arXiv:1610.07629, section 2.2,
    for styles. The gain is 1 plus a number for each class and channel. At first all classes have the gains and biases
    that the network began with. With `shared` they are linear in a vector for each class, which all layers share
    (Brock et al. 2018, arXiv:1809.11096, appendix B), and these linear maps are orthogonal at first and spectrally
    normalised as there. So `dcgan` and `resnet` make samples of classes; whether a sample is of its class is for
    another part to judge, `projection` or `ac`.

    Differs from the paper: gains and biases are learnt for each class, where de Vries et al. compute them from a
    sentence.

    Args:
        shared: size of the vector that all layers share; 0: every layer has a gain and a bias for each class.
    """

    name = "class-norm"
    paper = "arXiv:1707.00683"
    needs = ("image", "labels", "batch_norm_generator", "class_discriminator")
    offers = ("class_generator",)

    def __init__(self, shared: int = 0):
        if shared < 0:
            raise ValueError("shared must not be negative")
        self.shared = shared

    def plan(self, plan: Plan) -> None:
        assert plan.spec is not None
        self.classes = len(plan.spec.classes)

    def prepare(self, networks: Networks) -> None:
        for network in networks.generators.values():
            self._exchange(network)
            # None where each layer knows the classes by itself.
            network.add_module("norm_vectors", plain_vectors(self.classes, self.shared) if self.shared else None)
            network.register_forward_pre_hook(_tell)
            network.register_forward_hook(_forget, always_call=True)

    def _exchange(self, network: nn.Module) -> None:
        plain = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
        if not plain:
            raise UsageError(
                "regularizer 'class-norm': this generator has no batch normalisation that could be told the class; "
                "leave out --reg class-norm, or choose another --arch"
            )
        for name, norm in plain.items():
            network.set_submodule(name, ToldNorm(norm, self.shared or self.classes, classes=not self.shared))


def _tell(network: Any, given: tuple[Any, ...]) -> None:
    """Before a generator's forward. It finds the layers by the network, so that copies of a network tell their own."""
    label = given[1]
    condition = label if network.norm_vectors is None else network.norm_vectors(label)
    for norm in _told(network):
        norm.condition = condition


def _forget(network: Any, given: tuple[Any, ...], made: Any) -> None:
    """After it, also when it failed: a network that holds what was computed cannot be copied."""
    for norm in _told(network):
        norm.condition = None


def _told(network: nn.Module) -> list[ToldNorm]:
    return [module for module in network.modules() if isinstance(module, ToldNorm)]


@hookimpl
def register_regularizers(register: Any) -> None:
    register(ClassNormalisation)
