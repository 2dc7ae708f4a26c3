"""Translation of pictures: published settings, and runs that fit a CPU with settings of our own."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

RECIPES = (
    Recipe(
        name="pix2pix-facades",
        summary="Label maps of facades become photographs of 256 px, as published.",
        # 400 pictures, the photograph left and its label map right, 200 times.
        paper="arXiv:1611.07004, section 3.3 and appendix 6.2",
        arch="pix2pix",
        loss="nonsaturating",
        data="paired:size=256,jitter=286,mirror=true,backwards=true",
        procedure="paired:reconstruction=100,discriminator=0.5,rate=2e-4,beta1=0.5",
        batch=1,
        steps=80_000,
    ),
    Recipe(
        name="pix2pix-camvid",
        summary="Label maps of streets become photographs of 96x128, in half an hour on two cores.",
        # Instance normalisation computes the same in training and after it; the average is of the last epochs.
        paper="settings of our own",
        arch="pix2pix:generator_width=32,discriminator_width=32,norm=instance",
        loss="nonsaturating",
        data="paired:source=valannot,sample=val,labels=12,size=96x128,jitter=108x144,mirror=true,held_out=21",
        procedure="paired:reconstruction=100,rate=2e-4,beta1=0.5,schedule=linear,schedule_start=2000,"
        "schedule_steps=4000,average=2000,average_ramp=0.1",
        batch=4,
        steps=4_000,
    ),
    Recipe(
        name="cyclegan-horse2zebra",
        summary="Horses become zebras and zebras horses at 256 px, as published.",
        # 1,334 zebras, 200 times; the rate falls in the second half.
        paper="arXiv:1703.10593, section 4 and appendix 7.1",
        arch="cyclegan:blocks=9",
        loss="lsgan",
        data="unpaired:size=256,jitter=286,mirror=true",
        procedure="cycle:cycle=10,identity=0.5,adversarial=2,pool=50,rate=2e-4,beta1=0.5,schedule=linear,"
        "schedule_start=133400,schedule_steps=266800",
        batch=1,
        steps=266_800,
    ),
    Recipe(
        name="cyclegan-mnist-inverted",
        summary="White digits become thick black ones and the other way round, in about ten minutes on one core.",
        # A small patch sees strokes and no digits, so nothing is gained by turning one digit into another. Nothing is
        # asked of identity: what belongs to the other domain is to be inverted, and not kept.
        paper="settings of our own",
        arch="cyclegan:generator_width=16,discriminator_width=16,blocks=2,patch=16",
        loss="lsgan",
        data="mnist-inverted",
        procedure="cycle:cycle=10,identity=0.1,adversarial=2,pool=50,rate=2e-4,beta1=0.5,schedule=linear,"
        "schedule_start=1500,schedule_steps=3000",
        batch=8,
        steps=3_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
