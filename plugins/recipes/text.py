"""Words by policy gradient: SeqGAN's settings on its oracle, and Texygen's on captions."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

_QUARTER = '"25,50,50,50,50,25,25,25,25,25,40,40"'
_PUBLISHED = "pool=9984,discriminator_batch=32,rollouts=16,rollout_keep=0.8,reduction=sum,rate=0.01,clip_norm=5"

RECIPES = (
    Recipe(
        name="seqgan-oracle",
        # 120 epochs of 156 batches, 50 rounds of the discriminator, 200 batches.
        summary="SeqGAN on its synthetic oracle with the authors' networks, phases and rates.",
        paper="arXiv:1609.05473, section 4; LantaoYu/SeqGAN sequence_gan.py",
        arch="seqgan",
        loss="nonsaturating",
        data="seqgan-oracle",
        regularizers=("output-penalty:weight=0.4",),
        procedure=f"policy-gradient:mle_steps=18720,discriminator_steps=50,rounds=5,passes=3,{_PUBLISHED}",
        batch=64,
        steps=18_970,
        variants={
            # Settings of our own for an hour on one core: a quarter of the filters, one pass of one pool a step.
            "small": {
                "arch": f"seqgan:filters={_QUARTER}",
                "procedure": f"policy-gradient:mle_steps=18720,discriminator_steps=10,rounds=1,passes=1,{_PUBLISHED}",
                "steps": 18_880,
            },
        },
    ),
    Recipe(
        name="seqgan-text",
        # 80 epochs of 156 batches of 10,000 captions, 80 rounds of the discriminator, 100 batches. Texygen writes 128
        # sentences for the three moves of a round, which read 64 of both sides; here it writes those that are read.
        summary="SeqGAN on sentences of a text file with Texygen's networks and phases, for captions of MS COCO.",
        paper="arXiv:1802.01886; geek-ai/Texygen models/seqgan",
        arch='seqgan:widths="2,3",filters="100,200",dropout=0',
        loss="nonsaturating",
        data="tokens",
        regularizers=("output-penalty:weight=0.4",),
        procedure="policy-gradient:mle_steps=12480,discriminator_steps=80,rounds=15,passes=1,pool=96,"
        "discriminator_batch=32,rollouts=16,rollout_keep=0.8,reduction=sum,rate=0.01,clip_norm=5",
        batch=64,
        steps=12_660,
        variants={
            # Settings of our own for a quarter of an hour on one core, with --data tokens:path=FILE,length=20.
            "small": {
                "arch": 'seqgan:widths="2,3",filters="50,100"',
                "procedure": "policy-gradient:mle_steps=1560,discriminator_steps=5,rounds=1,passes=1,pool=2048,"
                "discriminator_batch=32,rollouts=8",
                "steps": 1_625,
            },
        },
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
