"""Film: the paper's settings, and a small form for minutes on a CPU."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="mocogan",
        summary="MoCoGAN with the paper's codes, networks, loss, Adam and batches, on films of your own or on shapes.",
        paper="arXiv:1707.04993, section 4; sergeytulyakov/mocogan",
        arch="mocogan:content=50,motion=10,width=64",
        loss="nonsaturating",
        data="moving-shapes:size=64,frames=16",
        regularizers=("ac:fake=false",),
        procedure="image-and-clip:clips=3,rate=2e-4,beta1=0.5,beta2=0.999,weight_decay=1e-5",
        batch=10,
        steps=100_000,
    ),
    Recipe(
        name="mocogan-shapes",
        summary="MoCoGAN with a quarter of the width, spectral normalisation and hinge for 32 px and minutes on a CPU.",
        paper="settings of our own",
        arch="mocogan:content=16,motion=10,width=16,clip_width=12,norm=none",
        loss="hinge",
        data="moving-shapes:size=32,frames=16",
        regularizers=("spectral-norm",),
        procedure="image-and-clip:rate=4e-4,beta1=0,beta2=0.999",
        batch=8,
        steps=8_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
