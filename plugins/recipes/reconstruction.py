"""Runs without a discriminator's judgement, or that learn what is normal."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

_GON = "gradient-origin:inner=batch,rate=1e-4,beta1=0.9,beta2=0.999"

RECIPES = (
    Recipe(
        name="gon-mnist",
        summary="Gradient origin network with the authors' network, Adam, batch and steps.",
        paper="arXiv:2007.02798; cwkx/GON GON.py",
        arch="gon:latent=32,width=16,norm=batch",
        loss="l2",
        data="mnist",
        procedure=_GON,
        batch=64,
        steps=1_000,
        variants={
            "variational": {
                "summary": "The variational form, with the authors' larger network, 300 epochs.",
                "arch": "gon:latent=48,width=32,norm=batch",
                "loss": "bernoulli",
                "procedure": f"{_GON},variational=true,weight=1",
                "steps": 281_100,
            },
            "per-sample": {
                "summary": "Codes that do not depend on the batch: no normalisation, ten times the rate.",
                "arch": "gon:latent=32,width=16,norm=none",
                "procedure": "gradient-origin:inner=sample,rate=1e-3,beta1=0.9,beta2=0.999",
            },
        },
    ),
    Recipe(
        name="glo-mnist",
        # Published for 64 px and 25 epochs of 100,000 pictures; here 25 epochs of MNIST.
        summary="Generative latent optimization with the rates, batch, levels and start of minimal_glo.",
        paper="arXiv:1707.05776; tneumann/minimal_glo glo.py",
        arch="dcgan:latent=128,width=64",
        loss="laplacian-pyramid:levels=3",
        data="mnist",
        procedure="latent-optimization:sgd_rate=1,latent_rate=10,start=pca",
        batch=128,
        steps=11_700,
    ),
    Recipe(
        name="vae-mnist",
        summary="A variational autoencoder whose generator is DCGAN's, to be gone on with adversarially.",
        paper="arXiv:1312.6114; settings of our own",
        arch="dcgan:latent=100,width=64",
        loss="bernoulli",
        data="mnist",
        procedure="vae:rate=1e-3,beta1=0.9",
        batch=128,
        steps=4_680,
    ),
    Recipe(
        name="ganomaly",
        # 15 epochs in the authors' code; of how many pictures depends on the folder, here 54,000.
        summary="GANomaly on a folder of normal pictures at 32 px, with the authors' weights, Adam and batch.",
        paper="arXiv:1805.06725; samet-akcay/ganomaly options.py",
        arch="ganomaly:latent=100,width=64",
        loss="l1",
        data="folder:size=32",
        procedure="ganomaly:adversarial=1,contextual=50,encoder=1,rate=2e-4,beta1=0.5,beta2=0.999",
        batch=64,
        steps=12_650,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
