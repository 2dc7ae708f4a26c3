"""GANomaly. Akcay, Atapour-Abarghouei and Breckon 2018, GANomaly: Semi-Supervised Anomaly Detection via Adversarial
Training, arXiv:1805.06725."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo import (
    Draws,
    Game,
    Move,
    Optimizer,
    Procedure,
    Request,
    evaluating,
    hookimpl,
    sample_latent_generator,
    without_a_trace,
)
from ganzoo_plugins.procedures.codes import Kept, note_error

_CHUNK = 256  # pictures that are scored at once


class GANomaly(Procedure):
    """An autoencoder learns normal pictures; one is strange whose code does not outlive being made and encoded again.

    Akcay, Atapour-Abarghouei and Breckon 2018, arXiv:1805.06725, section 3.2. The generator minimises how far the
    discriminator's features of a picture and of what it made are apart (equation 1), the run's loss between the two
    (equation 2, `l1`), and the squared difference of the two codes (equation 3). The discriminator tells them apart
    with the logistic loss. The score of a picture (equation 5) is the mean absolute difference of its two codes:
    `ganzoo score RUN FOLDER`. Train on normal pictures only. A run's picture shows real ones and their reconstructions.

    Differs from the paper: a mean over the codes' coordinates in place of sums, as in the authors' code
    (samet-akcay/ganomaly), whose rate (2e-4, the paper's is 2e-3) is taken too. A discriminator that has won is not
    begun anew.

    Args:
        adversarial: weight of the features' difference.
        contextual: weight of the run's loss.
        encoder: weight of the codes' difference.
        rate: learning rate, of Adam.
        beta1: decay of Adam's first moment.
        beta2: decay of Adam's second moment.
    """

    name = "ganomaly"
    paper = "arXiv:1805.06725"
    needs = ("image", "reencoder", "discriminator", "features", "smooth_samples", "reconstruction_loss")
    offers = ("reconstruction_turns",)
    loss = "l1"

    def __init__(
        self,
        adversarial: float = 1.0,
        contextual: float = 50.0,
        encoder: float = 1.0,
        rate: float = 2e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
    ):
        if min(adversarial, contextual, encoder) < 0:
            raise ValueError("weights must not be negative")
        self.adversarial, self.contextual, self.encoder = adversarial, contextual, encoder
        self.optimizer = Optimizer("adam", rate, beta1, beta2)

    def start(self, game: Game) -> None:
        networks = game.networks
        self.generator = game.add_player("generator", {"generator": networks.generator}, self.optimizer)
        self.discriminator = game.add_player("discriminator", {"discriminator": networks.discriminator}, self.optimizer)
        self.kept = Kept(game)

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        real = game.take(game.batch).sample
        code, fake, again = self._passed(game, real)
        note_error(game, fake, real)
        yield Move(self.generator, [self._generator_terms(game, real, fake, code, again)])
        real_score, fake_score = (game.score(pictures).value for pictures in (real, fake.detach()))
        game.note("score/real", real_score.mean())
        game.note("score/fake", fake_score.mean())
        terms = {"loss/discriminator": (F.softplus(-real_score).mean() + F.softplus(fake_score).mean()) / 2}
        yield Move(self.discriminator, [terms])

    def _generator_terms(
        self, game: Game, real: Tensor, fake: Tensor, code: Tensor, again: Tensor
    ) -> dict[str, Tensor]:
        wanted, found = (game.score(pictures).features for pictures in (real, fake))
        assert wanted is not None and found is not None
        return {
            "loss/generator": self.adversarial * F.mse_loss(found.to(game.dtype), wanted.detach().to(game.dtype)),
            "loss/contextual": self.contextual * game.loss.mean(fake, real).mean(),
            "loss/encoder": self.encoder * F.mse_loss(again, code),
        }

    def _passed(self, game: Game, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The code of pictures, what is made of it, and the code of that."""
        network: Any = game.networks.generator
        with game.arithmetic():
            code = network.encode(pictures)
            made = network.decode(code)
            again = network.encode_again(made)
        return code.to(game.dtype), made.to(game.dtype), again.to(game.dtype)

    def score(self, game: Game, samples: Tensor) -> Tensor:
        scores = []
        with evaluating(game.networks.generator):
            for chunk in samples.split(_CHUNK):
                code, _, again = self._passed(game, chunk.to(game.device, game.dtype))
                scores.append((code - again).abs().mean(1).cpu())
        return torch.cat(scores)

    def sample(self, game: Game, asked: Request) -> Tensor:
        """Reconstructions of the pictures that are kept with the run, drawn at random."""
        kept = self.kept.sample
        assert kept is not None

        def given(draws: Draws, count: int) -> Tensor:
            return kept[draws.integers("picture", count, high=len(kept))].to(game.device, game.dtype)

        return sample_latent_generator(game, game.networks.generator, asked, given=given)

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        def reconstruct(sample: Tensor, label: Tensor | None) -> Tensor:
            with evaluating(game.networks.generator), without_a_trace(game.device, asked.seed):
                return game.generate(sample)

        return self.kept.beside(reconstruct, asked)

    def state(self) -> dict[str, Any]:
        return {"kept": self.kept.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.kept.load(state["kept"])


@hookimpl
def register_procedures(register: Any) -> None:
    register(GANomaly)
