"""One discriminator for frames and one for clips. Tulyakov et al. 2018, arXiv:1707.04993, section 3.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Batch,
    Game,
    Move,
    Optimizer,
    OptionError,
    Procedure,
    Request,
    UsageError,
    hookimpl,
    sample_latent_generator,
)
from ganzoo_plugins.procedures.sides import Sides

IMAGE, CLIP = "discriminator_image", "discriminator_clip"


class ImageAndClip(Procedure):
    """A discriminator of single frames and one of clips move, then the generator, which is judged by both.

    Tulyakov et al. 2018, arXiv:1707.04993, equation 7 and section 3.2: the image discriminator sees one frame of each
    clip, drawn at random, the clip discriminator all of it; the generator minimises the sum of both losses.

    Differs from the paper: any adversarial loss (the paper's is `nonsaturating`). Both discriminators see the same
    real and made clips in a step; the authors' code takes others for each. Its batches of 10 frames and 3 clips are
    `--batch 10` with `clips=3`.

    Args:
        clips: how many clips of a batch the clip discriminator sees; without it all.
        rate: learning rate, of Adam, of all three networks.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
        weight_decay: this share of each weight is added to its gradient.
        average: half-life of the generator's weight average in samples; 0: no average.
    """

    name = "image-and-clip"
    paper = "arXiv:1707.04993"
    needs = ("video", "latent_generator", "image_and_clip_discriminators", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")

    def __init__(
        self,
        clips: int | None = None,
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        weight_decay: float = 0.0,
        average: float = 0.0,
    ):
        if clips is not None and clips < 1:
            raise OptionError("clips must be at least 1")
        self.clips = clips
        self.sides = Sides(Optimizer(rate=rate, beta1=beta1, beta2=beta2, weight_decay=weight_decay), average)

    def start(self, game: Game) -> None:
        world, clips = game.draws.world, self.clips or game.batch
        if clips > game.batch:
            raise UsageError(
                f"procedure 'image-and-clip' cannot take {clips} clips of a batch of {game.batch}; say --procedure "
                f"image-and-clip:clips={game.batch} or a larger --batch"
            )
        if clips % world:
            raise UsageError(
                f"procedure 'image-and-clip' cannot share {clips} clips among {world} processes; say --procedure "
                f"image-and-clip:clips=COUNT with a multiple of {world}"
            )
        self.seen = slice(clips // world)
        # One player of both discriminators, as regularizers that project do so with all of them.
        self.sides.start(game, "generator", "discriminators")

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch = game.take(game.batch)
        latent = game.latent(len(batch))
        with torch.no_grad():
            fake = game.generate(latent, batch.label)
        terms = (self._discriminator_terms(game, name, batch, fake, latent) for name in (IMAGE, CLIP))
        yield Move(self.sides.discriminator, terms)
        yield Move(self.sides.generator, [self._generator_terms(game, batch)])
        self.sides.finish(game, step)

    def _discriminator_terms(
        self, game: Game, name: str, batch: Batch, fake: Tensor, latent: Tensor
    ) -> dict[str, Tensor]:
        real, label = self._shown(game, name, batch.sample), self._rows(name, batch.label)
        return game.discriminator_terms(
            self.sides.discriminator,
            real,
            self._shown(game, name, fake),
            name=name,
            latent=self._latent(name, latent),
            label=label,
            fake_label=label,
        )

    def _generator_terms(self, game: Game, batch: Batch) -> dict[str, Tensor]:
        latent = game.latent(len(batch))
        fake = game.generate(latent, batch.label)
        terms: dict[str, Tensor] = {}
        for name in (IMAGE, CLIP):
            label = self._rows(name, batch.label)
            terms |= game.generator_terms(
                self.sides.generator,
                self._shown(game, name, fake),
                name=name,
                real=self._shown(game, name, batch.sample) if game.loss.relativistic else None,
                latent=self._latent(name, latent),
                label=label,
                fake_label=label,
            )
        return terms

    def _shown(self, game: Game, name: str, clips: Tensor) -> Tensor:
        """What a discriminator sees of clips [N, C, T, H, W]: one frame of each, or some of them whole."""
        if name == CLIP:
            return clips[self.seen]
        times = game.draws.integers("frame", len(clips), high=clips.shape[2])
        frames = clips[torch.arange(len(clips), device=clips.device), :, times]
        return frames.contiguous(memory_format=game.layout)

    def _rows(self, name: str, label: Tensor | None) -> Tensor | None:
        """The labels of what it sees."""
        return label if name == IMAGE or label is None else label[self.seen]

    def _latent(self, name: str, latent: Tensor) -> Tensor | None:
        """The latents of which what it sees was made: a frame alone is not what the generator makes of one."""
        return None if name == IMAGE else latent[self.seen]

    # Samples

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, self.sampling_network(game), asked)

    def sampling_network(self, game: Game) -> nn.Module:
        return self.sides.network(game, "generator")

    def state(self) -> dict[str, Any]:
        return self.sides.state()

    def load(self, state: dict[str, Any]) -> None:
        self.sides.load(state)


@hookimpl
def register_procedures(register: Any) -> None:
    register(ImageAndClip)
