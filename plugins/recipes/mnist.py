"""Published settings on MNIST, for which no paper prints a number of its own: the authors' networks and optimizers."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="dcgan-mnist",
        summary="DCGAN with the paper's Adam, batch and loss.",
        paper="arXiv:1511.06434, section 4",
        arch="dcgan:latent=100,width=64",
        loss="nonsaturating",
        data="mnist",
        procedure="adversarial:optimizer=adam,rate=2e-4,beta1=0.5,beta2=0.999",
        batch=128,
        steps=12_000,
    ),
    Recipe(
        name="wgan-mnist",
        summary="Wasserstein GAN with clipped weights, RMSprop and five discriminator moves.",
        paper="arXiv:1701.07875, algorithm 1",
        arch="dcgan:latent=100,width=64",
        loss="wgan",
        data="mnist",
        procedure="adversarial:n_critic=5,optimizer=rmsprop,rate=5e-5",
        regularizers=("weight-clip:limit=0.01",),
        batch=64,
        steps=40_000,
    ),
    Recipe(
        name="wgan-gp-mnist",
        summary="Wasserstein GAN with gradient penalty, as in the authors' MNIST script.",
        paper="arXiv:1704.00028, algorithm 1; igul222/improved_wgan_training gan_mnist.py",
        arch="dcgan:latent=128,width=64",
        loss="wgan-gp",
        data="mnist",
        procedure="adversarial:n_critic=5,optimizer=adam,rate=1e-4,beta1=0.5,beta2=0.9",
        regularizers=("gradient-penalty:weight=10",),
        batch=50,
        steps=200_000,
    ),
    Recipe(
        name="lsgan-mnist",
        summary="Least squares GAN with the authors' Adam.",
        paper="arXiv:1611.04076, section 4; xudonmao/LSGAN",
        arch="dcgan:latent=100,width=64",
        loss="lsgan",
        data="mnist",
        procedure="adversarial:optimizer=adam,rate=1e-3,beta1=0.5,beta2=0.999",
        batch=64,
        steps=25_000,
    ),
    Recipe(
        name="relativistic-mnist",
        # The authors' networks are those of Miyato et al. for 32 px; here the zoo's DCGAN takes their place.
        summary="Relativistic GAN with the authors' Adam, batch and spectral normalisation.",
        paper="arXiv:1807.00734, section 5; AlexiaJM/RelativisticGAN code/stable.sh (RGAN on CIFAR-10)",
        arch="dcgan:latent=128,width=64,norm=none",
        loss="relativistic",
        data="mnist",
        procedure="adversarial:optimizer=adam,rate=2e-4,beta1=0.5,beta2=0.999",
        regularizers=("spectral-norm",),
        batch=32,
        steps=100_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
