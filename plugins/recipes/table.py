"""CTGAN as published, on the user's own table: `ganzoo train ctgan --data FILE.csv`."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="ctgan",
        summary="CTGAN as published, for a table of one's own; 10,000 rows are held out to be judged with.",
        paper="arXiv:1907.00503, section 4.4",
        arch="ctgan",
        loss="wgan-gp",
        data="table:held_out=10000",
        # wgan-gp suggests five moves and other rates; the paper has one, and these.
        procedure="training-by-sampling:n_critic=1,rate=2e-4,beta1=0.5,beta2=0.9,weight_decay=1e-6",
        batch=500,
        steps=13_500,  # 300 epochs of the 22,561 rows of adult that are not held out
        variants={
            "small": {
                "arch": "ctgan:latent=32,width=64,discriminator_width=64",
                "data": "households",
                "batch": 200,
                "steps": 1_500,
            },
        },
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
