"""Published settings of networks that make samples of a class."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

_CGAN = Recipe(
    name="cgan-mnist",
    # Settings of our own: with these, 98 % of the samples are of the class asked for.
    summary="CGAN on DCGAN's layers, narrow, with Adam, for minutes on two cores; the variant `paper` is as published.",
    paper="arXiv:1411.1784, section 4.1",
    arch="cgan:form=convolutional,latent=100,width=32",
    loss="nonsaturating",
    data="mnist:size=28",
    procedure="adversarial:optimizer=adam,rate=4e-4,beta1=0.5,beta2=0.999,average=10000",
    batch=64,
    steps=5_000,
    variants={
        # The paper's momentum rises to 0.7 and its rate is divided by 1.00004 in each step down to 1e-6, which is
        # after these steps; here both stay as they begin.
        "paper": {
            "summary": "The paper's fully connected networks, batch, rate and first momentum.",
            "arch": "cgan:form=mlp,latent=100,width=1200,dropout=0.5,noise=uniform",
            "procedure": "adversarial:optimizer=sgd,rate=0.1,momentum=0.5",
            "batch": 100,
            "steps": 288_000,
        },
    },
)

_ACGAN = Recipe(
    name="acgan-mnist",
    # The paper has no MNIST, and other layers, dropout in the discriminator and no weight average. Here the
    # discriminator looks for the classes of real digits only: as published it learns to find them in bad digits too,
    # and the generator leaves what people would read.
    summary="AC-GAN on DCGAN's layers, narrow, with the paper's Adam and batch; classes are learnt from real digits.",
    paper="arXiv:1610.09585, appendix A",
    arch="cgan:form=convolutional,latent=100,width=32",
    loss="nonsaturating",
    data="mnist:size=28",
    regularizers=("ac:weight=1,generator_weight=1,fake=false",),
    procedure="adversarial:optimizer=adam,rate=2e-4,beta1=0.5,beta2=0.999,average=10000",
    batch=100,
    steps=2_000,
    variants={
        "paper": {
            "summary": "With both players' published cross-entropies, and without a weight average.",
            "regularizers": ("ac:weight=1,generator_weight=1,fake=true",),
            "procedure": "adversarial:optimizer=adam,rate=2e-4,beta1=0.5,beta2=0.999",
            "steps": 50_000,
        },
    },
)

_SNGAN = Recipe(
    name="sngan-projection-cifar10",
    # The authors give the generator 128 latents in its move; here both sides get the batch.
    summary="SNGAN with projection and norms by class, as published but for the generator's batch.",
    paper="arXiv:1802.05637, section 5; arXiv:1802.05957, appendix B.4; pfnet-research/sngan_projection",
    arch="resnet:latent=128,generator_width=256,discriminator_width=128",
    loss="hinge",
    data="cifar10",
    regularizers=("class-norm:shared=0", "projection", "spectral-norm"),
    procedure="adversarial:n_critic=5,optimizer=adam,rate=2e-4,beta1=0,beta2=0.9,schedule=linear,schedule_steps=50000",
    batch=64,
    steps=50_000,
)

_SAGAN = Recipe(
    name="sagan-cifar10",
    # The paper has ImageNet at 128 px alone. Its attention is at half the picture's side.
    summary="SAGAN with the paper's loss and rates on CIFAR-10; the batch and the number of steps are ours.",
    paper="arXiv:1805.08318, section 5",
    arch="sagan:latent=128,width=64,attention=16",
    loss="hinge",
    data="cifar10",
    procedure="adversarial:n_critic=1,optimizer=adam,generator_rate=1e-4,discriminator_rate=4e-4,beta1=0,beta2=0.9",
    batch=64,
    steps=100_000,
)

RECIPES = (_CGAN, _ACGAN, _SNGAN, _SAGAN)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
