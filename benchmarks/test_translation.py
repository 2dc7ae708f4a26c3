"""What the frame costs translators: a step of pix2pix and of CycleGAN against a bare loop with the same networks.

    python -m pytest benchmarks/test_translation.py --benchmark-enable -s

Both sides run in one process, in turn, pair by pair; the figure is the median ratio. The bare loop is what a person
would write: it has no pool's law on the device, no guard against what is not finite, no log.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import measuring
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganzoo.allocator import keep_memory
from ganzoo.config import resolve
from ganzoo.registry import installed
from ganzoo.training import build, checked

PAIRS, BATCH, POOL = 20, 1, 50
WIDTHS = "generator_width=32,discriminator_width=32"
CASES = {
    "pix2pix-64": {"arch": f"pix2pix:{WIDTHS},dropout=0", "data": "paired-shapes:size=64", "loss": "nonsaturating"},
    "cyclegan-64": {"arch": f"cyclegan:{WIDTHS}", "data": "unpaired-shapes:size=64", "loss": "lsgan"},
}


def game_of(name: str) -> Any:
    config = resolve(installed(), {**CASES[name], "batch": BATCH})
    parts = checked(config, installed())
    return build(config, parts, parts.dataset.open(), torch.device("cpu"), workers=0)


def frozen(networks: list[nn.Module], still: bool) -> None:
    for network in networks:
        network.requires_grad_(not still)


def samples(game: Any) -> Callable[[], tuple[Tensor, Tensor]]:
    held = game.stream.collection
    pictures = [values.float() / 127.5 - 1 for values in (held.sources, held.samples)]

    def take() -> tuple[Tensor, Tensor]:
        rows = torch.randint(len(held), (BATCH,))
        return pictures[0][rows], pictures[1][rows]

    return take


def bare_pairs(game: Any) -> Callable[[], None]:
    """Isola et al.'s step as a script has it."""
    generator, discriminator = game.networks.generator, game.networks.discriminator
    of_generator, of_discriminator = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
        for network in (generator, discriminator)
    )
    take = samples(game)

    def step() -> None:
        source, wanted = take()
        made = generator(source)
        frozen([discriminator], False)
        on_fake = discriminator(torch.cat([source, made.detach()], 1)).value
        on_real = discriminator(torch.cat([source, wanted], 1)).value
        of_discriminator.zero_grad()
        (0.5 * (F.softplus(-on_real) + F.softplus(on_fake)).mean()).backward()
        of_discriminator.step()
        frozen([discriminator], True)
        score = discriminator(torch.cat([source, made], 1)).value
        of_generator.zero_grad()
        (F.softplus(-score).mean() + 100 * F.l1_loss(made, wanted)).backward()
        of_generator.step()

    return step


def bare_cycle(game: Any) -> Callable[[], None]:
    """Zhu et al.'s step as a script has it."""
    nets = game.networks.all()
    to_a, to_b, d_a, d_b = (nets[f"{side}_{domain}"] for side in ("generator", "discriminator") for domain in "ab")
    of_generators, of_discriminators = (
        torch.optim.Adam([*one.parameters(), *other.parameters()], lr=2e-4, betas=(0.5, 0.999), fused=True)
        for one, other in ((to_a, to_b), (d_a, d_b))
    )
    take, pools = samples(game), ([], [])

    def earlier(pool: list[Tensor], made: Tensor) -> Tensor:
        if len(pool) < POOL:
            pool.append(made)
            return made
        if random.random() < 0.5:
            return made
        place = random.randrange(POOL)
        made, pool[place] = pool[place], made
        return made

    def step() -> None:
        a, b = take()
        frozen([d_a, d_b], True)
        fake_b, fake_a = to_b(a), to_a(b)
        judged = ((d_b(fake_b).value - 1).square().mean() + (d_a(fake_a).value - 1).square().mean()) / 2
        cycle = F.l1_loss(to_a(fake_b), a) + F.l1_loss(to_b(fake_a), b)
        identity = F.l1_loss(to_a(a), a) + F.l1_loss(to_b(b), b)
        of_generators.zero_grad()
        (judged + 10 * cycle + 5 * identity).backward()
        of_generators.step()
        frozen([d_a, d_b], False)
        of_discriminators.zero_grad()
        for network, real, fake, pool in ((d_a, a, fake_a, pools[0]), (d_b, b, fake_b, pools[1])):
            seen = earlier(pool, fake.detach())
            (((network(real).value - 1).square().mean() + network(seen).value.square().mean()) / 2).backward()
        of_discriminators.step()

    return step


@pytest.mark.parametrize("name", CASES)
def test_step_against_a_bare_loop(name: str, request: pytest.FixtureRequest) -> None:
    if not measuring.enabled(request.config):
        pytest.skip("a timing; add --benchmark-enable")
    keep_memory()
    game = game_of(name)
    bare = (bare_pairs if name.startswith("pix2pix") else bare_cycle)(game_of(name))

    def ours() -> None:
        game.play(game.step + 1)

    def seconds(run: Callable[[], None]) -> float:
        began = time.perf_counter()
        run()
        return time.perf_counter() - began

    for run in (ours, bare, ours, bare):
        run()
    times = [
        [seconds(ours), seconds(bare)] if pair % 2 else [seconds(bare), seconds(ours)][::-1] for pair in range(PAIRS)
    ]
    ratios = sorted(mine / theirs for mine, theirs in times)
    found = {
        "case": name,
        "batch": BATCH,
        "pairs": PAIRS,
        "median_ratio": round(statistics.median(ratios), 4),
        "quartiles": [round(ratios[PAIRS // 4], 4), round(ratios[3 * PAIRS // 4], 4)],
        "ganzoo_ms": round(1e3 * statistics.median(mine for mine, _ in times), 2),
        "bare_ms": round(1e3 * statistics.median(theirs for _, theirs in times), 2),
        "words": CASES[name],
    }
    command = "python -m pytest benchmarks/test_translation.py --benchmark-enable -s"
    print(f"\n{found}\n{measuring.write(f'translation-{name}', {**measuring.machine(), 'command': command, **found})}")
