"""Published settings of BigGAN, as the authors' PyTorch code has them."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

# The authors' average keeps 0.9999 of itself in each step, which is a half-life of 6931 steps: in samples, that times
# the batch.
_CIFAR10 = Recipe(
    name="biggan-cifar10",
    # Weights there begin as N(0, 0.02), here orthogonal, as on ImageNet; under spectral normalisation only Adam's
    # first steps tell.
    summary="BigGAN on CIFAR-10 with the authors' networks, Adam, batch and average; weights begin orthogonal.",
    paper="arXiv:1809.11096, appendix C; ajbrock/BigGAN-PyTorch scripts/launch_cifar_ema.sh",
    arch="biggan:latent=128,generator_width=64,discriminator_width=64,embedding=0,hierarchical=false,attention=0",
    loss="hinge",
    data="cifar10",
    procedure="adversarial:n_critic=4,optimizer=adam,rate=2e-4,beta1=0,beta2=0.999,average=346556,average_start=1000",
    batch=50,
    steps=125_000,
    variants={
        # Settings of our own, with a class's vector and a latent in parts as on ImageNet.
        "small": {
            "summary": "A narrow BigGAN with a class's vector and a latent in parts, for minutes on two cores.",
            "arch": "biggan:latent=64,generator_width=8,discriminator_width=8,embedding=32,hierarchical=true,"
            "attention=0",
            "procedure": "adversarial:n_critic=1,optimizer=adam,generator_rate=2e-4,discriminator_rate=4e-4,beta1=0,"
            "beta2=0.999,average=5000,average_start=200,standing_batches=16",
            "batch": 32,
            "steps": 2_000,
        },
    },
)

_IMAGENET128 = Recipe(
    name="biggan-imagenet128",
    # Adam adds 1e-6 there, here 1e-8. Standing statistics are the paper's; the authors' code goes by running means.
    summary="BigGAN on ImageNet of 128 px: batches of 2048 in 8 parts, the authors' networks, rates and average.",
    paper="arXiv:1809.11096, section 3 and appendix C; ajbrock/BigGAN-PyTorch scripts/launch_BigGAN_bs256x8.sh",
    arch="biggan:latent=120,generator_width=96,discriminator_width=96,embedding=128,hierarchical=true,attention=64",
    loss="hinge",
    data="folder:size=128",
    procedure="adversarial:n_critic=1,micro_batches=8,optimizer=adam,generator_rate=1e-4,discriminator_rate=4e-4,"
    "beta1=0,beta2=0.999,average=14194944,average_start=20000,standing_batches=16",
    batch=2_048,
    steps=150_000,
)

RECIPES = (_CIFAR10, _IMAGENET128)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
