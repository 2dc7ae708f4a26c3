"""Sound: the paper's settings, and a small form for minutes on a CPU."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="wavegan",
        summary="WaveGAN with the paper's networks, loss, Adam and batch, on sounds of your own or on tones.",
        paper="arXiv:1802.04208, section 4 and appendix D; chrisdonahue/wavegan",
        arch="wavegan:latent=100,width=64,shuffle=2",
        loss="wgan-gp",
        data="tones:length=16384,rate_hz=16000",
        regularizers=("gradient-penalty:weight=10",),
        procedure="adversarial:n_critic=5,optimizer=adam,rate=1e-4,beta1=0.5,beta2=0.9",
        batch=64,
        steps=200_000,
    ),
    Recipe(
        name="wavegan-small",
        summary="WaveGAN with a quarter of the width, for half a second of sound at 8,000 Hz and minutes on a CPU.",
        paper="settings of our own",
        arch="wavegan:latent=100,width=16,shuffle=2",
        loss="wgan-gp",
        data="tones:length=4096,rate_hz=8000",
        regularizers=("gradient-penalty:weight=10",),
        procedure="adversarial:n_critic=1,optimizer=adam,rate=4e-4,beta1=0.5,beta2=0.9,"
        "schedule=linear,schedule_start=7000,schedule_steps=11000,average=4000",
        batch=32,
        steps=11_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
