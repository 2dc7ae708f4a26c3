"""Published settings on CIFAR-10: the authors' optimizers and batches, on the networks that the zoo has for 32 px."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="sngan-cifar10",
        # The authors give the generator 128 latents in its move; here both sides get the batch.
        summary="Residual nets with a spectrally normalised discriminator, as published but for the generator's batch.",
        paper="arXiv:1802.05957, appendix B.4; pfnet-research/sngan_projection configs/sn_cifar10_unconditional.yml",
        arch="resnet:latent=128,generator_width=256,discriminator_width=128",
        loss="hinge",
        data="cifar10",
        regularizers=("spectral-norm",),
        procedure="adversarial:n_critic=5,optimizer=adam,rate=2e-4,beta1=0,beta2=0.9,schedule=linear,schedule_steps=50000",
        batch=64,
        steps=50_000,
        variants={
            # Settings of our own for twenty minutes on two cores that compute in bf16.
            "small": {
                "arch": "resnet:latent=128,generator_width=64,discriminator_width=64",
                "procedure": "adversarial:n_critic=2,optimizer=adam,rate=4e-4,beta1=0,beta2=0.9,"
                "schedule=linear,schedule_start=1800,schedule_steps=3600,average=5000",
                "batch": 32,
                "steps": 3_600,
            },
        },
    ),
    Recipe(
        name="wgan-gp-cifar10",
        # The authors' script is of the conditional form by default; this is its unconditional one. It also adds noise
        # of one grey level to the data, and its generator's batch is 128.
        summary="Wasserstein GAN with gradient penalty on residual nets, as published but for the generator's batch.",
        paper="arXiv:1704.00028, algorithm 1 and appendix; igul222/improved_wgan_training gan_cifar_resnet.py",
        arch="resnet:latent=128,generator_width=128,discriminator_width=128,pooling=mean",
        loss="wgan-gp",
        data="cifar10",
        regularizers=("gradient-penalty:weight=10",),
        procedure="adversarial:n_critic=5,optimizer=adam,rate=2e-4,beta1=0,beta2=0.9,schedule=linear,schedule_steps=100000",
        batch=64,
        steps=100_000,
    ),
    Recipe(
        name="dcgan-cifar10",
        summary="DCGAN with the paper's Adam, batch and loss; the number of steps is ours.",
        paper="arXiv:1511.06434, section 4",
        arch="dcgan:latent=100,width=64",
        loss="nonsaturating",
        data="cifar10",
        procedure="adversarial:optimizer=adam,rate=2e-4,beta1=0.5,beta2=0.999",
        batch=128,
        steps=40_000,
    ),
    Recipe(
        name="lsgan-cifar10",
        summary="Least squares GAN with the authors' Adam and batch; the number of steps is ours.",
        paper="arXiv:1611.04076, section 4; xudonmao/LSGAN",
        arch="dcgan:latent=100,width=64",
        loss="lsgan",
        data="cifar10",
        procedure="adversarial:optimizer=adam,rate=1e-3,beta1=0.5,beta2=0.999",
        batch=64,
        steps=80_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
