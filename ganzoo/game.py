"""The assembled parts of a run, and what procedures share: scoring, turns, terms and sampling."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from . import processes
from .data import Batch, Spec, Stream
from .draws import Draws, derive, seed_networks, without_a_trace
from .errors import UsageError
from .parts import Networks, Parts, Plan, Request, Scores
from .player import Optimizer, Player

CHUNK = 16  # samples that are made at once
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


@dataclass
class Move:
    """One player's move: the terms it minimises, scalars by name.

    minimises: one mapping, or several whose gradients add up (micro-batches); a generator computes them one at a time.
    """

    player: Player
    minimises: Iterable[Mapping[str, Tensor]]


@dataclass
class Turn:
    """What a player sees when it moves.

    name: the discriminator's. side: `discriminator` or `generator`, whoever moves. real, fake: samples [N, ...]; in a
    generator's turn real may be None, and is scored only for a relativistic loss.
    label, fake_label: [N] or None. source: translation input.
    """

    game: Game
    player: Player
    name: str
    side: str
    fake: Tensor
    fake_scores: Scores | None = None
    real: Tensor | None = None
    real_scores: Scores | None = None
    latent: Tensor | None = None
    label: Tensor | None = None
    fake_label: Tensor | None = None
    source: Tensor | None = None

    @property
    def step(self) -> int:
        return self.game.step

    @property
    def draws(self) -> Draws:
        return self.game.draws

    def score(self, x: Tensor, label: Tensor | None = None) -> Scores:
        """What this turn's discriminator says of other samples (the label is the real samples' unless given)."""
        return self.game.score(x, self.label if label is None else label, self.name)


class Game:
    """Networks, loss, regularizers, data and players of one run.

    shown: some of the data's sources [16, ...], kept with the run so that a translator can be sampled without its data.
    wanted: the samples that came with them.
    """

    def __init__(
        self,
        parts: Parts,
        spec: Spec,
        stream: Stream | None,
        *,
        batch: int,
        seed: int,
        steps: int,
        data_size: int,
        device: torch.device | str = "cpu",
        precision: str = "fp32",
    ):
        self.parts, self.spec, self.stream = parts, spec, stream
        self.batch, self.seed, self.steps, self.data_size = batch, seed, steps, data_size
        self.device, self.precision = torch.device(device), precision
        self.dtype = torch.float64 if precision == "fp64" else torch.float32
        # Convolutions are quickest with the channels last: on a CPU always, on a GPU in 16 bit.
        last = self.device.type == "cpu" or precision in ("bf16", "fp16")
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.loss, self.regularizers, self.procedure = parts.loss, parts.regularizers, parts.procedure
        self.players: dict[str, Player] = {}
        self.noted: dict[str, Tensor] = {}
        self.shown: Tensor | None = None
        self.wanted: Tensor | None = None
        if stream is not None and spec.source is not None:
            self.shown, self.wanted = _first(stream)
        needs = frozenset(need for _, part in parts.each() for need in part.needs)
        self.plan = Plan(needs, spec, architecture=parts.architecture)
        self._augmenting = [part for part in self.regularizers if part.does("augment")]
        self.begin(0)
        self.networks = self._build()
        self.procedure.start(self)

    def _build(self) -> Networks:
        self.procedure.plan(self.plan)
        for regularizer in self.regularizers:
            regularizer.plan(self.plan)
        networks = self.parts.architecture.build(self.spec, self.plan)
        if self.plan.judged is not None:
            networks.discriminators = self.parts.architecture.build(self.plan.judged, self.plan).discriminators
        for regularizer in self.regularizers:
            regularizer.prepare(networks)
        for network in networks.all().values():
            _lay_out(network.to(self.device, self.dtype), self.layout)
            processes.share_batch_statistics(network)
        return networks

    def begin(self, step: int) -> None:
        """Make every random number of the step a function of (seed, step)."""
        rank = processes.rank()
        own = rank if step else 0  # every process builds the same networks; then each draws its own noise inside them
        self.step = step
        self.draws = Draws(self.seed, step, self.device, rank, processes.world())
        self.noted = {}
        for player in self.players.values():
            player.forget()
        seed_networks(derive(self.seed, "networks", step, own), self.device)

    def play(self, step: int) -> None:
        """Make the moves of one step."""
        self.begin(step)
        for move in self.procedure.moves(self, step):
            for terms in move.minimises:
                move.player.accumulate(terms)
            move.player.step(step)

    # What procedures call

    def add_player(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimizer: Optimizer,
        *,
        rates: Mapping[str, float] | None = None,
        schedule: Callable[[int], float] | None = None,
        clip_norm: float | None = None,
    ) -> Player:
        """A player for these modules. After a player that moves a discriminator, regularizers project."""
        projecting = [part for part in self.regularizers if part.does("project")]
        moves_discriminator = any(module in modules.values() for module in self.networks.discriminators.values())

        def project() -> None:
            with torch.no_grad():
                for regularizer in projecting:
                    regularizer.project(self.networks)

        player = Player(
            name,
            modules,
            optimizer,
            rates=rates,
            schedule=schedule,
            clip_norm=clip_norm,
            loss_scaling=self.precision == "fp16",
            after=project if projecting and moves_discriminator else None,
        )
        self.players[name] = player
        return player

    def take(self, count: int, condition: Tensor | None = None) -> Batch:
        """The next samples of the data, in the run's precision and memory layout."""
        if self.stream is None:
            raise UsageError("this run was opened without its data; it can sample, not train")
        return self.stream.take(count, condition).map(self._placed)

    def _placed(self, value: Tensor) -> Tensor:
        value = value.to(self.dtype) if value.is_floating_point() else value
        return value.contiguous(memory_format=self.layout) if value.ndim == 4 else value

    def latent(self, count: int, draws: Draws | None = None) -> Tensor:
        return self.procedure.latent(self, draws or self.draws, count).to(self.dtype)

    def note(self, name: str, value: Tensor) -> None:
        """Keep a number for the log; it is read only when the step is logged."""
        self.noted[name] = value.detach().clone()

    def generate(self, given: Tensor, label: Tensor | None = None, name: str = "generator") -> Tensor:
        with self.arithmetic():
            made: Tensor = self.networks.generators[name](given, label)
        return made.to(self.dtype) if made.is_floating_point() else made

    def score(self, x: Tensor, label: Tensor | None = None, name: str = "discriminator") -> Scores:
        """A discriminator's scores of x, real or fake, as it sees it: after the regularizers' augmentation."""
        for regularizer in self._augmenting:
            x = regularizer.augment(x, self.draws)
        with self.arithmetic():
            scores: Scores = self.networks.discriminators[name](x, label)
        if scores.value.dtype != self.dtype:
            scores.value = scores.value.to(self.dtype)
        return scores

    def arithmetic(self) -> AbstractContextManager[Any]:
        """The precision that networks compute in."""
        if self.precision in ("fp32", "fp64"):
            return nullcontext()
        return torch.autocast(self.device.type, dtype=PRECISIONS[self.precision])

    def discriminator_terms(
        self,
        player: Player,
        real: Tensor,
        fake: Tensor,
        *,
        name: str = "discriminator",
        latent: Tensor | None = None,
        label: Tensor | None = None,
        fake_label: Tensor | None = None,
        source: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """What a discriminator minimises: its adversarial loss and the penalties that are due."""
        marked = {word for regularizer in self._due("discriminator") for word in regularizer.differentiates}
        real = real.detach().requires_grad_() if "real" in marked else real
        fake = fake.detach().requires_grad_() if "fake" in marked else fake
        real_scores, fake_scores = self.score(real, label, name), self.score(fake, fake_label, name)
        turn = Turn(
            self, player, name, "discriminator", fake, fake_scores, real, real_scores, latent, label, fake_label, source
        )
        self.note("score/real" + _suffix(name), real_scores.value.mean())
        self.note("score/fake" + _suffix(name), fake_scores.value.mean())
        return {f"loss/{name}": self.loss.discriminator(real_scores, fake_scores).mean(), **self.penalties(turn)}

    def generator_terms(
        self,
        player: Player,
        fake: Tensor,
        *,
        name: str = "discriminator",
        real: Tensor | None = None,
        latent: Tensor | None = None,
        label: Tensor | None = None,
        fake_label: Tensor | None = None,
        source: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """What a generator minimises: its adversarial loss and the penalties that are due.

        real: what penalties may compare with; it is scored only for a relativistic loss.
        """
        fake_scores = self.score(fake, fake_label, name)
        real_scores = self.score(real, label, name) if real is not None and self.loss.relativistic else None
        turn = Turn(
            self, player, name, "generator", fake, fake_scores, real, real_scores, latent, label, fake_label, source
        )
        return {
            "loss/generator" + _suffix(name): self.loss.generator(real_scores, fake_scores).mean(),
            **self.penalties(turn),
        }

    def penalties(self, turn: Turn) -> dict[str, Tensor]:
        """The penalties that are due in a turn; a lazy one counts for all the steps that it skips."""
        suffix = _suffix(turn.name)
        found = ((part, part.penalty(turn)) for part in self._due(turn.side))
        return {f"penalty/{part.name}{suffix}": value * part.every for part, value in found if value is not None}

    def _due(self, side: str) -> list[Any]:
        return [
            part for part in self.regularizers if part.does("penalty") and side in part.sides and part.due(self.step)
        ]

    # What a run calls

    def look(self) -> None:
        """Raise NonFiniteError if a move was refused."""
        for player in self.players.values():
            player.look()

    def numbers(self) -> dict[str, float]:
        """Every number of the last step, read from the device; means over all processes."""
        processes.average_(list(self.noted.values()))
        terms = {name: value for player in self.players.values() for name, value in player.logged.items()}
        gradients = {
            f"gradient/{name}": float(player.gradient)
            for name, player in self.players.items()
            if player.gradient is not None
        }
        # Where a loss is scaled, a gradient may overflow now and then.
        finite = {name: value for name, value in gradients.items() if math.isfinite(value)}
        return {**{name: float(value) for name, value in {**terms, **self.noted}.items()}, **finite}

    def state(self) -> dict[str, Any]:
        """Everything that the next step depends on: tensors, and values that JSON can hold."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.all().items()},
            "players": {name: player.state() for name, player in self.players.items()},
            "regularizers": {part.name: part.state() for part in self.regularizers},
            "procedure": self.procedure.state(),
            "stream": {} if self.stream is None else self.stream.state(),
            "step": self.step,
            **({} if self.shown is None else {"shown": self.shown, "wanted": self.wanted}),
        }

    def load(self, state: dict[str, Any]) -> None:
        state = _placed(state, self.device)
        for name, network in self.networks.all().items():
            network.load_state_dict(state["networks"][name])
        for name, player in self.players.items():
            player.load(state["players"].get(name, {}))
        for part in self.regularizers:
            part.load(state["regularizers"].get(part.name, {}))
        self.procedure.load(state["procedure"])
        if self.stream is not None:
            self.stream.load(state["stream"])
        self.step, self.shown, self.wanted = state["step"], state.get("shown"), state.get("wanted")


def _first(stream: Stream) -> tuple[Tensor | None, Tensor]:
    """The first sources, and their samples."""
    batch = stream.collection.fetch(list(range(min(16, len(stream.collection)))))
    return batch.source, batch.sample


def _placed(state: Any, device: torch.device) -> Any:
    """A nested state with its tensors where the game plays."""
    if isinstance(state, dict):
        return {name: _placed(value, device) for name, value in state.items()}
    return state.to(device) if isinstance(state, Tensor) else state


def _lay_out(network: nn.Module, layout: torch.memory_format) -> None:
    """Weights over pictures in this memory layout, and those over sequences of pictures in the one that is like it."""
    last = layout == torch.channels_last
    layouts = {4: layout, 5: torch.channels_last_3d if last else torch.contiguous_format}
    for value in (*network.parameters(), *network.buffers()):
        if value.ndim in layouts:
            value.data = value.data.contiguous(memory_format=layouts[value.ndim])


def _suffix(name: str) -> str:
    """What tells the numbers of several discriminators apart: `discriminator_a` -> `_a`."""
    return name.removeprefix("discriminator")


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """Networks in evaluation mode, without gradients, and back."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training


def sample_latent_generator(
    game: Game,
    generator: nn.Module,
    asked: Request,
    *,
    given: Callable[[Draws, int], Tensor] | None = None,
) -> Tensor:
    """Samples of a generator, on the CPU. Sample i depends on the seed and i, not on how many are asked for.

    given: draws what the generator is given, where that is not a latent of the architecture.
    """
    pieces = []
    skipped = asked.first % CHUNK
    with evaluating(generator), without_a_trace(game.device):
        for start in range(asked.first - skipped, asked.first + asked.count, CHUNK):
            draws = Draws(derive(asked.seed, "sample", start), device=game.device)
            seed_networks(derive(asked.seed, "sample", start, "networks"), game.device)
            latent = game.latent(CHUNK, draws) if given is None else given(draws, CHUNK)
            classes = len(game.spec.classes)
            labels = _labels(draws, CHUNK, classes, asked.label) if classes else None
            with game.arithmetic():
                made = game.parts.architecture.sample(generator, latent, labels, asked.truncation)
            # A whole chunk is made and then cut: a network's own noise and rounding depend on how many there are.
            pieces.append((made.to(game.dtype) if made.is_floating_point() else made).cpu())
    return torch.cat(pieces)[skipped : skipped + asked.count]


def _labels(draws: Draws, count: int, classes: int, label: int | None) -> Tensor:
    drawn = draws.integers("label", count, high=classes)
    return drawn if label is None else torch.full_like(drawn, label)
