"""What the procedures of translation share: sampling from kept sources, and a pool of earlier pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo import (
    Draws,
    Game,
    Request,
    UsageError,
    evaluating,
    rows_of_all_processes,
    sample_latent_generator,
)


def weighted(terms: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    """The terms with the adversarial loss so many times as large; penalties have weights of their own."""
    return {name: value * weight if name.startswith("loss/") else value for name, value in terms.items()}


# Samples


def sampled(game: Game, network: nn.Module, asked: Request) -> Tensor:
    """Translations of the sources that are kept with the run: each of them once in every sixteen, in an order drawn
    from the seed. Raises UsageError where the run has none."""
    shown = kept(game)

    def given(draws: Draws, count: int) -> Tensor:
        order = torch.randperm(len(shown), generator=draws.generator("source", "cpu")).to(shown.device)
        return shown[order.repeat(-(-count // len(shown)))[:count]]

    return sample_latent_generator(game, network, asked, given=given)


def kept(game: Game) -> Tensor:
    """The sources of a run [16, ...], where and as its networks take them."""
    if game.shown is None:
        raise UsageError(
            "this run has no sources of its own, as it was made without data; give it some: ganzoo translate RUN FOLDER"
        )
    # One layout, whether they come from the data or from a checkpoint: rounding depends on it.
    shown = game.shown.to(game.device, game.dtype)
    return shown.contiguous(memory_format=game.layout) if shown.ndim == 4 else shown


def translations(game: Game, network: nn.Module, sources: Tensor) -> Tensor:
    """What a network makes of a few sources, where they are."""
    with evaluating(network), game.arithmetic():
        made: Tensor = network(sources, None)
    return made.to(game.dtype)


def beside(game: Game, *sets: Tensor) -> list[Tensor]:
    """Sets of samples, or of sources shown as samples, as they are written side by side."""
    shape = game.spec.shape
    show = game.parts.dataset.show_source
    on_cpu = [one.float().cpu() for one in sets]
    return [one if one.shape[1:] == shape else show(one, game.spec) for one in on_cpu]


# Pools


class Pool:
    """Earlier pictures of a generator, for its discriminator to see (Shrivastava et al. 2017, arXiv:1612.07828).

    The first `size` pictures are returned as they are given, and kept. After that each picture is returned with
    probability 1/2; else one of the pool is returned and the new one takes its place. Size 0 returns what is given.
    Several processes keep the same pool, of the whole batch.
    """

    def __init__(self, size: int):
        self.size, self.count = size, 0
        self.pictures: Tensor | None = None

    def exchange(self, made: Tensor, draws: Draws, purpose: str) -> Tensor:
        """As many pictures [N, ...] as were made, some of them earlier ones. Nothing waits for the device."""
        if not self.size:
            return made
        whole = rows_of_all_processes(made)
        if self.pictures is None:
            self.pictures = whole.new_zeros(self.size, *whole.shape[1:])
        draw = torch.rand(len(whole), generator=draws.generator(purpose), device=draws.device) < 0.5
        where = draws.generator(f"{purpose} place")
        places = torch.randint(self.size, (len(whole),), generator=where, device=draws.device)
        mixed = whole.clone()
        for row, picture in enumerate(whole):
            if self.count < self.size:
                self.pictures[self.count] = picture
                self.count += 1
                continue
            place = places[row : row + 1]  # a tensor, and not a number, which would have to be read
            old = self.pictures[place]
            mixed[row] = torch.where(draw[row], old[0], picture)
            self.pictures[place] = torch.where(draw[row], picture[None], old)
        share = len(made)
        return mixed[draws.rank * share : (draws.rank + 1) * share]

    def state(self) -> dict[str, Tensor]:
        return {} if self.pictures is None else {"pictures": self.pictures[: self.count]}

    def load(self, state: dict[str, Tensor]) -> None:
        self.pictures, self.count = None, 0
        if "pictures" in state:
            held = state["pictures"]
            self.count = len(held)
            self.pictures = held.new_zeros(self.size, *held.shape[1:])
            self.pictures[: self.count] = held
