"""Translation between two unpaired domains: two generators, two discriminators, and pools of earlier pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo import (
    Architecture,
    Batch,
    Collection,
    Dataset,
    Draws,
    Game,
    Move,
    Networks,
    Optimizer,
    Plan,
    Procedure,
    Request,
    Scores,
    Spec,
    hookimpl,
    sample_latent_generator,
)


class Domains(Collection):
    """Pictures of domain B are the samples, those of domain A their sources. The domains need not be of one size."""

    def __init__(self, first: Tensor, second: Tensor):
        self.first, self.second = first, second
        self.spec = Spec("image", tuple(second.shape[1:]), source=tuple(first.shape[1:]), words=("two_domains",))

    def __len__(self) -> int:
        return len(self.second)

    def fetch(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        return Batch(self.second[rows], source=self.first[rows % len(self.first)], index=rows)


class ToyDomains(Dataset):
    """Pictures of 16x16 pixels in two domains: rising to the right, and rising downwards.

    Args:
        count: how many pictures domain B has; domain A has three fewer.
    """

    name = "toy-domains"
    offers = ("image", "two_domains")
    tiny = {"count": 16}

    def __init__(self, count: int = 64):
        if count < 4:
            raise ValueError("count must be at least 4")
        self.count = count

    def open(self) -> Collection:
        generator = torch.Generator().manual_seed(0)
        ramp = torch.linspace(-0.8, 0.8, 16).expand(self.count, 1, 16, 16)
        noise = 0.2 * torch.rand(2, self.count, 1, 16, 16, generator=generator)
        return Domains((ramp + noise[0])[3:], ramp.transpose(2, 3) + noise[1])


class Translator(nn.Module):
    """A picture [N, C, H, W] becomes a picture of the other domain, of the same size."""

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, outputs, 3, padding=1), nn.Tanh()
        )

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Tensor:
        made: Tensor = self.main(pictures)
        return made


class Patches(nn.Module):
    """A map of scores [N, 1, H/2, W/2], one for each patch."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 1, 3, padding=1)
        )

    def forward(self, pictures: Tensor, label: Tensor | None = None) -> Scores:
        return Scores(self.main(pictures))


class ToyCycleNetworks(Architecture):
    """A translator and a discriminator of patches for each direction.

    Args:
        width: channels of the hidden layer.
    """

    name = "toy-cycle"
    needs = ("image", "two_domains")
    offers = ("translator", "two_way", "discriminator", "smooth_samples", "per_sample_scores")
    dataset = "toy-domains"
    procedure = "toy-cycle"
    tiny = {"width": 4}

    def __init__(self, width: int = 16):
        self.width = width

    def build(self, spec: Spec, plan: Plan) -> Networks:
        assert spec.source is not None
        first, second = spec.source[0], spec.shape[0]
        return Networks(
            {
                "generator_a": Translator(second, first, self.width),
                "generator_b": Translator(first, second, self.width),
            },
            {"discriminator_a": Patches(first, self.width), "discriminator_b": Patches(second, self.width)},
        )


class Pool:
    """Earlier pictures: half of what is asked for comes from it and is replaced."""

    def __init__(self, size: int):
        self.size = size
        self.pictures: Tensor | None = None

    def exchange(self, made: Tensor, draws: Draws) -> Tensor:
        """As many pictures as were made, some of them earlier ones."""
        if self.pictures is None or len(self.pictures) < self.size:
            kept = made if self.pictures is None else torch.cat([self.pictures, made])
            self.pictures = kept[: self.size].clone()
            return made
        count = min(len(made), self.size)
        old = draws.uniform("pool", count) < 0.5
        place = torch.randperm(self.size, generator=draws.generator("pool", "cpu"))[:count].to(made.device)
        mixed = made.clone()
        mixed[:count][old] = self.pictures[place[old]]
        self.pictures[place[old]] = made[:count][old]
        return mixed


class ToyCycle(Procedure):
    """Generators of both directions move together, then the discriminators of both domains.

    Each generator minimises its adversarial loss, the way there and back (cycle), and what it changes of its own domain
    (identity), where both have as many channels. Discriminators see pictures from a pool of earlier ones. Sources for
    samples are kept with the run.

    Args:
        rate: learning rate.
        cycle: weight of the cycle.
        identity: weight of the identity.
        pool: how many earlier pictures of each domain are kept.
    """

    name = "toy-cycle"
    needs = ("two_domains", "two_way", "smooth_samples", "adversarial_loss")
    offers = ("adversarial_turns", "discriminator_turn", "generator_turn")
    tiny = {"pool": 6}

    def __init__(self, rate: float = 2e-4, cycle: float = 10.0, identity: float = 5.0, pool: int = 50):
        self.rate, self.cycle, self.identity, self.pool_size = rate, cycle, identity, pool

    def start(self, game: Game) -> None:
        optimizer = Optimizer(rate=self.rate, beta1=0.5)
        self.generators = game.add_player("generators", game.networks.generators, optimizer)
        self.discriminators = game.add_player("discriminators", game.networks.discriminators, optimizer)
        self.pools = {"a": Pool(self.pool_size), "b": Pool(self.pool_size)}

    def moves(self, game: Game, step: int) -> Iterator[Move]:
        batch = game.take(game.batch)
        assert batch.source is not None
        real = {"a": batch.source, "b": batch.sample}
        fake = {"a": game.generate(real["b"], name="generator_a"), "b": game.generate(real["a"], name="generator_b")}
        yield Move(self.generators, [self._generator_terms(game, real, fake)])
        terms: dict[str, Tensor] = {}
        for domain, pool in self.pools.items():
            earlier = pool.exchange(fake[domain].detach(), game.draws)
            terms |= game.discriminator_terms(
                self.discriminators, real[domain], earlier, name=f"discriminator_{domain}"
            )
        yield Move(self.discriminators, [terms])

    def _generator_terms(self, game: Game, real: dict[str, Tensor], fake: dict[str, Tensor]) -> dict[str, Tensor]:
        terms: dict[str, Tensor] = {}
        for here, there in ("ab", "ba"):
            back = game.generate(fake[there], name=f"generator_{here}")
            name = f"discriminator_{here}"
            terms |= game.generator_terms(self.generators, fake[here], name=name, real=real[here], source=real[there])
            terms[f"loss/cycle_{here}"] = self.cycle * (back - real[here]).abs().mean()
            if real[here].shape[1] == real[there].shape[1]:
                same = game.generate(real[here], name=f"generator_{here}")
                terms[f"loss/identity_{here}"] = self.identity * (same - real[here]).abs().mean()
        return terms

    def sample(self, game: Game, asked: Request) -> Tensor:
        def given(draws: Draws, count: int) -> Tensor:
            return game.shown[draws.integers("source", count, high=len(game.shown)).cpu()].to(game.device, game.dtype)

        return sample_latent_generator(game, game.networks.generators["generator_b"], asked, given=given)

    def translator(self, game: Game, backwards: bool = False) -> nn.Module:
        return game.networks.generators["generator_a" if backwards else "generator_b"]

    def state(self) -> dict[str, Any]:
        pools = {name: pool.pictures for name, pool in self.pools.items() if pool.pictures is not None}
        return {"pools": pools}

    def load(self, state: dict[str, Any]) -> None:
        for name, pictures in state["pools"].items():
            self.pools[name].pictures = pictures


@hookimpl
def register_datasets(register: Any) -> None:
    register(ToyDomains)


@hookimpl
def register_architectures(register: Any) -> None:
    register(ToyCycleNetworks)


@hookimpl
def register_procedures(register: Any) -> None:
    register(ToyCycle)
