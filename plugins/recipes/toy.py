"""Runs that end in a minute or two on a laptop, with settings of our own."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="gan-ring",
        summary="A plain GAN that finds all eight modes of the ring.",
        paper="settings of our own",
        arch="mlp:latent=2,width=128,layers=3",
        loss="nonsaturating",
        data="ring",
        # Noise hides the gaps between the modes at first, so that none is missed; the average and the falling rate then
        # make the modes sharp.
        regularizers=("instance-noise:deviation=0.5,steps=5000",),
        procedure="adversarial:rate=1e-3,schedule=linear,average=20000",
        batch=256,
        steps=12_000,
    ),
    Recipe(
        name="digits",
        summary="A small DCGAN on the embedded digits, in a minute on two cores.",
        paper="settings of our own",
        arch="dcgan:width=24",
        loss="nonsaturating",
        data="digits",
        regularizers=("diffaugment:color=false,cutout=false",),
        procedure="adversarial:average=3000,average_ramp=0.1",
        batch=64,
        steps=1_200,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
