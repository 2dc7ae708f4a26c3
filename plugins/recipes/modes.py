"""Runs that show which modes are found: points of known modes, and stacked digits."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

_PACGAN = (
    "mlp:latent=2,width=400,layers=3,generator_layers=4,norm=batch,discriminator=maxout,discriminator_width=200,"
    "pieces=5,deviation=0.02"
)

RECIPES = (
    Recipe(
        name="pacgan-grid",
        summary="PacGAN's networks and settings for the grid of 25 modes, in packs of two.",
        paper="arXiv:1712.04086, section 4.1",
        arch=_PACGAN,
        loss="nonsaturating",
        data="grid",
        regularizers=("packing:count=2",),
        procedure="adversarial:rate=1e-4,beta1=0.8",
        batch=100,
        steps=400_000,
        variants={
            "plain": {"regularizers": ()},
            "unrolled": {"regularizers": (), "procedure": "unrolled:unroll=5,rate=1e-4,beta1=0.8"},
            "veegan": {"regularizers": (), "procedure": "veegan:generator_loss=score,rate=1e-4,beta1=0.8"},
        },
    ),
    Recipe(
        name="pacgan-stacked",
        summary="A narrow DCGAN of stacked digits in packs, whose thousand modes a classifier counts.",
        paper="arXiv:1712.04086, section 4.2, with a narrower network",
        arch="dcgan:latent=100,width=32",
        loss="nonsaturating",
        data="stacked-mnist",
        regularizers=("packing:count=2",),
        procedure="adversarial:rate=2e-4,beta1=0.5",
        batch=64,
        steps=10_000,
        variants={"plain": {"regularizers": ()}},
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
