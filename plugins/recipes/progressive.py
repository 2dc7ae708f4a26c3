"""Published settings of the progressive GAN, of StyleGAN and of R3GAN. Pictures are the user's: `--data FOLDER`."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl


def _growing(start: int, batches: str, rates: str) -> str:
    return (
        f"progressive:start_size={start},batches='{batches}',rates='{rates}',beta1=0,beta2=0.99,n_critic=1,"
        "average=10000,average_ramp=0"
    )


# Steps: of the published thousands of pictures (12,000 and 25,000), 600 at the first size and 600 + 600 at each after
# it, at the batches given; the rest at the full size.
_PROGRESSIVE = Recipe(
    name="progressive-celeba",
    # The authors train on one GPU (preset v2-1gpu of their code) with a weight average of 0.999 a batch; here it has
    # the half-life that StyleGAN has.
    summary="Progressive GAN on faces of 128 px, grown from 4 px, with the authors' batches, Adam and penalties.",
    paper="arXiv:1710.10196, appendix A; tkarras/progressive_growing_of_gans config.py",
    arch="progressive:latent=512,channel_base=16384,channel_max=512,group=4",
    loss="wgan-gp",
    data="folder:size=128,mirror=true",
    regularizers=("gradient-penalty:weight=10", "drift:weight=0.001"),
    procedure=_growing(4, "128,128,128,64,32,16", "0.001,0.001,0.001,0.001,0.001,0.001"),
    batch=16,
    steps=492_170,
    variants={
        "hq": {
            "summary": "The same for 1024 px, published for CelebA-HQ on one GPU.",
            "data": "folder:size=1024,mirror=true",
            "procedure": _growing(
                4, "128,128,128,64,32,16,8,4,4", "0.001,0.001,0.001,0.001,0.001,0.001,0.001,0.001,0.0015"
            ),
            "batch": 4,
            "steps": 1_354_610,
        },
    },
)

_STYLEGAN_RATES = "0.001,0.001,0.001,0.001,0.0015,0.002,0.003,0.003"
_STYLEGAN = Recipe(
    name="stylegan-ffhq",
    summary="StyleGAN on faces of 1024 px, grown from 8 px, with the published batches for 8 GPUs, rates and R1.",
    paper="arXiv:1812.04948, appendix C; NVlabs/stylegan train.py",
    arch="stylegan:latent=512,style=512,mapping_layers=8,channel_base=16384,channel_max=512,mixing=0.9,group=4",
    loss="nonsaturating",
    data="folder:size=1024,mirror=true",
    regularizers=("r1:gamma=10",),
    procedure=_growing(8, "256,128,64,32,32,32,32,32", _STYLEGAN_RATES),
    batch=32,
    steps=717_964,
    variants={
        "1gpu": {"procedure": _growing(8, "128,128,64,32,16,8,4,4", _STYLEGAN_RATES), "batch": 4, "steps": 4_895_266},
    },
)

# Over 20 million pictures the rate falls to 5e-5 and gamma to a tenth along a cosine. Published besides, and not here:
# beta2 rises to 0.99 with it; and an augmentation whose strength rises to 0.55 (CIFAR-10) or 0.3 (FFHQ). The half-life
# of the average rises to 5 (0.5) million pictures in that time; here it does so along a line.
_R3GAN = (
    Recipe(
        name="r3gan-cifar10",
        summary="R3GAN on CIFAR-10 with the authors' networks, batch, losses, rate and gamma, not augmented.",
        paper="arXiv:2501.05441, section 4 and appendix; brownvc/R3GAN train.py",
        arch="r3gan:latent=64,widths=768,blocks=2,expansion=2",
        loss="relativistic",
        data="cifar10",
        regularizers=(
            "r1:gamma=0.05,gamma_end=0.005,gamma_steps=39063",
            "r2:gamma=0.05,gamma_end=0.005,gamma_steps=39063",
        ),
        procedure="adversarial:rate=2e-4,schedule=cosine,schedule_end=0.25,schedule_steps=39063,beta1=0,beta2=0.9,average=5000000,average_ramp=0.25",
        batch=512,
        steps=39_063,
        variants={"conditional": {"arch": "r3gan:latent=64,widths=768,blocks=2,expansion=2,conditional=true"}},
    ),
    Recipe(
        name="r3gan-ffhq64",
        summary="R3GAN on faces of 64 px with the authors' networks, batch, losses, rate and gamma, not augmented.",
        paper="arXiv:2501.05441, section 4 and appendix; brownvc/R3GAN train.py",
        arch="r3gan:latent=64,widths=768,blocks=2,expansion=2",
        loss="relativistic",
        data="folder:size=64,mirror=true",
        regularizers=("r1:gamma=2,gamma_end=0.2,gamma_steps=78125", "r2:gamma=2,gamma_end=0.2,gamma_steps=78125"),
        procedure="adversarial:rate=2e-4,schedule=cosine,schedule_end=0.25,schedule_steps=78125,beta1=0,beta2=0.9,average=500000,average_ramp=0.025",
        batch=256,
        steps=78_125,
    ),
)


RECIPES = (_PROGRESSIVE, _STYLEGAN, *_R3GAN)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
