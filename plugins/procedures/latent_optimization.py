"""GLO. Bojanowski, Joulin, Lopez-Paz and Szlam 2018, Optimizing the Latent Space of Generative Networks,
arXiv:1707.05776."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ganzoo import (
    Collection,
    Draws,
    Game,
    Move,
    Optimizer,
    Procedure,
    Request,
    derive,
    evaluating,
    hookimpl,
    rows_of_all_processes,
    sample_latent_generator,
    without_a_trace,
)
from ganzoo_plugins.procedures.codes import Kept, drawn_as, note_error

_CHUNK = 256  # samples that are read at once


class Codes(nn.Module):
    """One latent for each sample of the data [size, ...], kept in the unit ball."""

    def __init__(self, values: Tensor):
        super().__init__()
        self.values = nn.Parameter(values)
        self.project(torch.arange(len(values), device=values.device))

    @torch.no_grad()
    def project(self, rows: Tensor) -> None:
        """Put those of these rows back at the ball's border that have left it. (Not all rows: rounding would move those
        that lie there already.)"""
        values = self.values[rows]
        self.values[rows] = in_unit_ball(values.flatten(1)).reshape(values.shape)


class LatentOptimization(Procedure):
    """The generator and a latent for each training sample move together, until one becomes the other (GLO).

    Bojanowski et al. 2018, arXiv:1707.05776, section 2: no discriminator; latents stay in the unit ball; new samples
    are made of latents drawn from the Gaussian that fits those of the data, put into the ball. Plain gradient descent
    moves only the latents of the batch. Rates, and the start from principal components, as in tneumann/minimal_glo.
    A run's picture shows real samples, their reconstructions and new samples side by side.

    Differs from the paper: none known. Memory: a number for each coordinate of each sample's latent, and its gradient.

    Args:
        sgd_rate: the generator's learning rate, for gradient descent.
        latent_rate: the latents' learning rate, for gradient descent.
        start: where latents begin; pca is at the samples' principal components, random is Gaussian. Either is then put
            into the ball.
        pca_samples: of how many samples, drawn at random, principal components are found. All are read once.
    """

    name = "latent-optimization"
    paper = "arXiv:1707.05776"
    needs = ("latent_generator", "reconstruction_loss")
    offers = ("reconstruction_turns",)
    loss = "laplacian-pyramid"

    def __init__(
        self,
        sgd_rate: float = 1.0,
        latent_rate: float = 10.0,
        start: Literal["pca", "random"] = "pca",
        pca_samples: int = 10_000,
    ):
        if sgd_rate <= 0 or latent_rate < 0 or pca_samples < 1:
            raise ValueError("sgd_rate is above 0, latent_rate at least 0 and pca_samples at least 1")
        self.sgd_rate, self.latent_rate = sgd_rate, latent_rate
        self.begin_at, self.pca_samples = start, pca_samples

    def start(self, game: Game) -> None:
        # Draws of its own, so that every process begins with the same latents.
        draws = Draws(derive(game.seed, "codes"), device=game.device)
        self.codes = Codes(game.parts.architecture.latent(draws, game.data_size).to(game.dtype))
        self.fitted: Callable[[Draws, int], Tensor] | None = None
        self.kept = Kept(game)
        self.player = game.add_player(
            "generator",
            {"generator": game.networks.generator, "codes": self.codes},
            Optimizer("sgd", rate=self.sgd_rate),
            rates={"codes": self.latent_rate / self.sgd_rate},
        )

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        # Here, and not at the start, because a run that goes on, or is only sampled, has its latents already.
        if step == 1 and self.begin_at == "pca":
            self._begin_at_principal_components(game)
        self.fitted = None
        batch = game.take(game.batch)
        assert batch.index is not None
        made = game.generate(self.codes.values[batch.index], batch.label)
        note_error(game, made, batch.sample)
        yield Move(self.player, [{"loss/generator": game.loss.mean(made, batch.sample).mean()}])
        self.codes.project(rows_of_all_processes(batch.index))

    def _begin_at_principal_components(self, game: Game) -> None:
        assert game.stream is not None
        values = self.codes.values
        codes = principal_codes(game.stream.collection, values[0].numel(), game.seed, self.pca_samples)
        with torch.no_grad():
            values.copy_(in_unit_ball(codes.to(values)).reshape(values.shape))

    def latent(self, game: Game, draws: Draws, count: int) -> Tensor:
        """Latents like those of the data."""
        values = self.codes.values.detach()
        if self.fitted is None:
            flat = values.flatten(1).double()
            self.fitted = drawn_as(flat.mean(0), flat.T.cov(correction=0).reshape(flat.shape[1], -1))
        return in_unit_ball(self.fitted(draws, count)).reshape(count, *values.shape[1:])

    def sample(self, game: Game, asked: Request) -> Tensor:
        return sample_latent_generator(game, game.networks.generator, asked)

    def side_by_side(self, game: Game, asked: Request) -> list[Tensor]:
        def reconstruct(sample: Tensor, label: Tensor | None) -> Tensor:
            with evaluating(game.networks.generator), without_a_trace(game.device, asked.seed):
                return game.generate(self.codes.values[: len(sample)], label)  # the first samples were kept

        return self.kept.beside(reconstruct, asked, partial(self.sample, game))

    def state(self) -> dict[str, Any]:
        return {"codes": self.codes.state_dict(), "kept": self.kept.state()}

    def load(self, state: dict[str, Any]) -> None:
        self.codes.load_state_dict(state["codes"])
        self.fitted = None
        self.kept.load(state["kept"])


def in_unit_ball(codes: Tensor) -> Tensor:
    """Codes [N, D], those outside of the unit ball at its border."""
    return codes / codes.norm(dim=1, keepdim=True).clamp(min=1)


def principal_codes(collection: Collection, size: int, seed: int, most: int) -> Tensor:
    """The samples' coordinates [N, size] along their first principal components, found of at most so many of them.

    Where there are fewer components, the other coordinates are 0.
    """
    from sklearn.decomposition import PCA

    def flat(rows: list[int]) -> Tensor:
        chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
        return torch.cat([collection.fetch(chunk).sample.flatten(1).float() for chunk in chunks])

    count = len(collection)
    generator = torch.Generator().manual_seed(derive(seed, "principal components"))
    some = flat(sorted(torch.randperm(count, generator=generator)[:most].tolist())).numpy()
    found = PCA(min(size, *some.shape), random_state=0).fit(some)
    codes = torch.zeros(count, size)
    for start in range(0, count, _CHUNK):
        rows = list(range(start, min(start + _CHUNK, count)))
        codes[start : start + _CHUNK, : found.n_components_] = torch.from_numpy(found.transform(flat(rows).numpy()))
    return codes


@hookimpl
def register_procedures(register: Any) -> None:
    register(LatentOptimization)
