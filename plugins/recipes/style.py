"""StyleGAN2 as published, on the user's own pictures: `ganzoo train stylegan2-256 --data FOLDER`."""

from __future__ import annotations

from typing import Any

from ganzoo import Recipe, hookimpl

_CODE = "NVlabs/stylegan2-ada-pytorch train.py"
_ADAM = "optimizer=adam,beta1=0,beta2=0.99"
_SMALL = "stylegan2:latent=64,style=64,mapping_layers=2,channel_base=1024,channel_max=64"


def _automatic(side: int, batch: int, base: int, rate: float) -> dict[str, Any]:
    """The authors' rule of thumb for one GPU: R1 grows with the number of pixels, and falls with the batch."""
    return {
        "arch": f"stylegan2:mapping_layers=2,channel_base={base},clamp=256",
        "data": f"folder:size={side},labels=none",
        "regularizers": (f"r1:gamma={0.0002 * side**2 / batch:g},every=16", "path-length", "ada"),
        "procedure": f"adversarial:{_ADAM},rate={rate:g},average={batch * 10_000 // 32},average_ramp=0.05",
        "batch": batch,
        "steps": 25_000_000 // batch,
    }


RECIPES = (
    Recipe(
        name="stylegan2-256",
        summary="StyleGAN2 for pictures of 256 px, as published for FFHQ.",
        paper=f"arXiv:2006.06676; {_CODE} paper256",
        arch="stylegan2:channel_base=16384,group=8,clamp=256",
        loss="nonsaturating",
        data="folder:size=256,labels=none,mirror=true",
        regularizers=("r1:gamma=1,every=16", "path-length"),
        procedure=f"adversarial:{_ADAM},rate=0.0025,average=20000,average_ramp=0",
        batch=64,
        steps=390_625,
        variants={"ada": {"regularizers": ("r1:gamma=1,every=16", "path-length", "ada")}},
    ),
    Recipe(
        name="stylegan2-512",
        summary="StyleGAN2 for pictures of 512 px with adaptive augmentation, as published for AFHQ.",
        paper=f"arXiv:2006.06676; {_CODE} paper512",
        arch="stylegan2:group=8,clamp=256",
        loss="nonsaturating",
        data="folder:size=512,labels=none,mirror=true",
        regularizers=("r1:gamma=0.5,every=16", "path-length", "ada"),
        procedure=f"adversarial:{_ADAM},rate=0.0025,average=20000,average_ramp=0",
        batch=64,
        steps=390_625,
    ),
    Recipe(
        name="stylegan2-1024",
        summary="StyleGAN2 for pictures of 1024 px with adaptive augmentation, as published for MetFaces.",
        paper=f"arXiv:2006.06676; {_CODE} paper1024",
        arch="stylegan2:clamp=256",
        loss="nonsaturating",
        data="folder:size=1024,labels=none,mirror=true",
        regularizers=("r1:gamma=2,every=16", "path-length", "ada"),
        procedure=f"adversarial:{_ADAM},rate=0.002,average=10000,average_ramp=0",
        batch=32,
        steps=781_250,
        variants={
            # The first paper's config F, for FFHQ.
            "config-f": {"arch": "stylegan2", "regularizers": ("r1:gamma=10,every=16", "path-length")},
        },
    ),
    Recipe(
        name="stylegan2-ada-auto",
        summary="StyleGAN2 with adaptive augmentation, by the authors' rule of thumb for one GPU.",
        paper=f"arXiv:2006.06676; {_CODE} auto",
        loss="nonsaturating",
        **_automatic(256, 16, 16384, 0.0025),
        variants={
            "64": _automatic(64, 32, 16384, 0.0025),
            "128": _automatic(128, 32, 16384, 0.0025),
            "512": _automatic(512, 8, 32768, 0.0025),
            "1024": _automatic(1024, 4, 32768, 0.002),
        },
    ),
    Recipe(
        name="stylegan2-ada-cifar",
        summary="StyleGAN2 with adaptive augmentation on CIFAR-10, as published.",
        paper=f"arXiv:2006.06676; {_CODE} cifar",
        arch="stylegan2:mapping_layers=2,discriminator=orig,group=32,mixing=0,clamp=256",
        loss="nonsaturating",
        data="cifar10",
        regularizers=("r1:gamma=0.01,every=16", "ada"),
        procedure=f"adversarial:{_ADAM},rate=0.0025,average=500000,average_ramp=0.05",
        batch=64,
        steps=1_562_500,
        variants={
            "conditional": {
                "arch": "stylegan2:mapping_layers=2,discriminator=orig,group=32,mixing=0,clamp=256,conditional=true"
            },
        },
    ),
    Recipe(
        name="stylegan2-faces64",
        summary="A narrow StyleGAN2 for a few hundred grey portraits at 64 px, in ten minutes on two cores in bf16.",
        paper="settings of our own",
        arch=_SMALL,
        loss="nonsaturating",
        data="folder:size=64,labels=none,mirror=true,channels=grey",
        regularizers=("r1:gamma=0.1,every=16", "path-length", "ada:speed=20"),
        procedure=f"adversarial:{_ADAM},rate=0.0025,average=2000,average_ramp=0.05",
        batch=16,
        steps=3_000,
    ),
    Recipe(
        name="stylegan2-flowers64",
        summary="A narrow StyleGAN2 for a few thousand colour pictures at 64 px, in ten minutes on two cores in bf16.",
        paper="settings of our own",
        arch=_SMALL,
        loss="nonsaturating",
        data="folder:size=64,labels=none,mirror=true",
        regularizers=("r1:gamma=0.1,every=16", "path-length", "ada:speed=50"),
        procedure=f"adversarial:{_ADAM},rate=0.0025,average=2000,average_ramp=0.05",
        batch=16,
        steps=3_000,
    ),
)


@hookimpl
def register_recipes(register: Any) -> None:
    for recipe in RECIPES:
        register(recipe)
