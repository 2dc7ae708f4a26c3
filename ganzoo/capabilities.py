"""The words in which parts say what they need and what they offer, and the check that a run's parts fit.

A need is a word, or words joined by `|` of which one is enough. A mismatch is a need that no other part of the run
offers. A part may withdraw words: with it in the run they are not true, whoever offers them. A plugin may add words of
its own, written `package.word`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .errors import Mismatch

if TYPE_CHECKING:
    from .parts import Parts
    from .registry import Entry, Registry

WORDS = {
    # data
    "image": "samples are pictures",
    "points": "samples are points of a space of few dimensions",
    "tokens": "samples are sequences of words from a vocabulary",
    "audio": "samples are waveforms",
    "video": "samples are sequences of pictures",
    "table": "samples are rows of a table",
    "labels": "every sample carries a class",
    "pairs": "every sample comes with the input that it belongs to",
    "two_domains": "samples come from two domains that are not paired",
    "conditions": "the data can be asked for samples that meet a condition",
    "columns": "the data say which numbers of a row belong to which column, and what that column is",
    # architecture
    "latent_generator": "a generator turns a random latent into a sample",
    "mapped_latents": "the generator maps latents to styles first",
    "conditional_generator": "the generator makes a row of a table that meets the condition that it is told",
    "class_generator": "the generator makes a sample of the class that it is told",
    "translator": "a generator turns a source sample into a sample",
    "reencoder": "a generator encodes a sample, makes a sample of the code, and encodes that again",
    "two_way": "there is a generator and a discriminator for each direction",
    "token_generator": "a generator writes sequences word by word and tells how likely each word was",
    "rollouts": "the token generator can be told how a sequence begins, and writes the rest",
    "discriminator": "a discriminator scores samples",
    "image_and_clip_discriminators": "one discriminator scores single pictures of a sequence, another sequences",
    "output_layer": "the discriminator's score comes out of a linear layer `output`",
    "smooth_samples": "gradients flow from a score to the sample that was scored",
    "per_sample_scores": "the score of a sample does not depend on the rest of its batch",
    "features": "the discriminator shows the features that its score is made of",
    "unconditional_features": "the discriminator finds those features without being told the class, or can",
    "unconditional_score": "the discriminator scores without being told the class, or can",
    "class_discriminator": "the discriminator judges whether a sample is of its class",
    "batch_norm_generator": "the generator normalises over the batch",
    "grows": "the networks can be used at smaller sizes first",
    # loss
    "adversarial_loss": "the loss says what a discriminator's scores are worth",
    "logistic_loss": "the loss reads scores as log odds",
    "reconstruction_loss": "the loss compares a sample with a sample",
    # procedure
    "adversarial_turns": "the procedure asks an adversarial loss what scores are worth",
    "reconstruction_turns": "the procedure asks a reconstruction loss how far two samples are apart",
    "discriminator_turn": "a discriminator moves, and penalties, augmentation and projection are called when it does",
    "generator_turn": "a generator moves, and its penalties are called when it does",
}

HINTS = {  # how data come to offer a word, where an option or another file is all that is missing
    "labels": "Pictures get classes from a folder for each class or from a `dataset.json`, unless labels=none was "
    "asked for; arrays from labels beside the samples",
}


def check(parts: Parts, data_offers: Sequence[str] | None = None) -> list[str]:
    """One sentence per need that nothing in the run offers; empty when the parts fit.

    data_offers: what the data turned out to be once opened, in place of what the data set's part promised.
    """
    return [sentence for _, sentence in _misfits(parts, data_offers)]


def fits(parts: Parts, data_offers: Sequence[str] | None = None) -> bool:
    """Whether `check` finds nothing. Asked by the million, so no sentence is made."""
    offered = _offered(parts, data_offers)
    return all(not offered.isdisjoint(_words(need)) for _, part in parts.each() for need in part.needs)


@functools.cache
def _words(need: str) -> frozenset[str]:
    """The words of which one is enough."""
    return frozenset(need.split("|"))


def _misfits(parts: Parts, data_offers: Sequence[str] | None) -> list[tuple[str, str]]:
    """Needs that nothing offers, each with its sentence."""
    offered = _offered(parts, data_offers)
    return [
        (need, sentence)
        for kind, part in parts.each()
        for need in part.needs
        if (sentence := _missing(kind, part, need, offered, parts))
    ]


def require(parts: Parts, registry: Registry, data_offers: Sequence[str] | None = None) -> None:
    """Raise Mismatch with one sentence per problem, and with what would fit instead."""
    found = _misfits(parts, data_offers)
    if found:
        need, sentence = found[0]
        hint = f"{HINTS[need]}. " if need in HINTS else ""
        raise Mismatch(f"{sentence}. {hint}{_advice(parts, registry, data_offers)}")


def fitting(kind: str, parts: Parts, registry: Registry, data_offers: Sequence[str] | None = None) -> list[str]:
    """Names of the parts of one kind that fit in place of the one in the run."""
    return [name for name in registry.names(kind) if fits(parts.with_part(kind, registry.get(kind, name)), data_offers)]


def fitting_groups(registry: Registry, entry: Entry, helped: bool = False) -> Iterator[dict[str, list[Any]]]:
    """Groups of parts, by kind: any choice of one of each is a run that contains the entry and fits.

    Parts are asked as classes, and nothing is opened. Parts with the same words stand in one group, so that a zoo of
    hundreds is asked a few thousand questions, not millions. A recipe stands in no run but its own. helped: also where
    it fits with one more regularizer, which is not in the group.
    """
    regularizers = [registry.get("regularizer", name) for name in registry.names("regularizer")] if helped else []
    helpers = [part for part in regularizers if part.offers and part is not entry.part]
    for groups in _possible_groups(registry, entry):
        parts = _first_of(registry, groups)
        if fits(parts) or any(fits(parts.with_regularizer(helper)) for helper in helpers):
            yield groups


def nearest_misfit(registry: Registry, entry: Entry) -> list[str]:
    """One sentence per need that nothing offers, in the run with this entry where there are fewest."""
    return min(
        (check(_first_of(registry, groups)) for groups in _possible_groups(registry, entry)), key=len, default=[]
    )


def _possible_groups(registry: Registry, entry: Entry) -> Iterator[dict[str, list[Any]]]:
    kinds = ["dataset", "architecture", "procedure", "loss", *(["regularizer"] if entry.kind == "regularizer" else [])]
    if entry.kind in kinds:
        groups = [[[entry.part]] if kind == entry.kind else _alike(registry, kind) for kind in kinds]
        yield from (dict(zip(kinds, chosen, strict=True)) for chosen in itertools.product(*groups))


def _alike(registry: Registry, kind: str) -> list[list[Any]]:
    """The parts of a kind; those with the same words, and bringing the same along, together."""
    groups: dict[Any, list[Any]] = {}
    for part in (registry.get(kind, name) for name in registry.names(kind)):
        groups.setdefault((part.needs, part.offers, part.withdraws, getattr(part, "brings", ())), []).append(part)
    return list(groups.values())


def _first_of(registry: Registry, groups: dict[str, list[Any]]) -> Parts:
    """The run of each group's first part, and of the regularizers that its loss brings."""
    from .parts import Parts

    chosen = {kind: group[0] for kind, group in groups.items()}
    own = [chosen.pop("regularizer")] if "regularizer" in chosen else []
    brought = {text.partition(":")[0] for text in chosen["loss"].brings}
    brought &= set(registry.names("regularizer")) if brought else set()
    return Parts(**chosen, regularizers=(*own, *(registry.get("regularizer", name) for name in sorted(brought))))


def _offered(parts: Parts, data_offers: Sequence[str] | None) -> set[str]:
    offered: set[str] = set(data_offers or ())
    for kind, part in parts.each():
        if kind != "dataset" or data_offers is None:
            offered.update(part.offers)
    for _, part in parts.each():
        offered.difference_update(part.withdraws)
    return offered


def _missing(kind: str, part: Any, need: str, offered: set[str], parts: Parts) -> str | None:
    words = need.split("|")
    if not offered.isdisjoint(words):
        return None
    meaning = " or ".join(WORDS.get(word, word) for word in words)
    run = ", ".join(
        f"{kind} '{other.name}'" for kind, other in parts.each() if other is not part and kind != "regularizer"
    )
    without = [other.name for _, other in parts.each() if not set(words).isdisjoint(other.withdraws)]
    run += f" together with '{without[0]}'" if without else ""
    return f"{kind} '{part.name}' needs `{need}` ({meaning}), which none of {run} offers"


def _advice(parts: Parts, registry: Registry, data_offers: Sequence[str] | None) -> str:
    """What to type instead: the kinds in which a single exchange, or one more regularizer, mends the run."""
    added = [
        name
        for name in registry.names("regularizer")
        if fits(parts.with_regularizer(registry.get("regularizer", name)), data_offers)
    ]
    advice = [f"add --reg {' or '.join(added)}"] if added else []
    for kind, part in parts.each():
        if kind == "regularizer":
            remaining = parts.without(part)
            if fits(remaining, data_offers):
                advice.append(f"leave out --reg {part.name}")
                others = [
                    name
                    for name in registry.names(kind)
                    if fits(remaining.with_regularizer(registry.get(kind, name)), data_offers)
                ]
                advice += [_names("regularizers", others)]
        elif kind != "dataset" or data_offers is None:
            advice.append(
                _names(f"{kind}s" if kind != "loss" else "losses", fitting(kind, parts, registry, data_offers))
            )
    shown = [sentence for sentence in advice if sentence]
    return f"What would fit: {'; '.join(shown)}." if shown else "No single exchange of a part would make them fit."


def _names(kind: str, names: Iterable[str]) -> str:
    found = list(names)
    return f"{kind} {', '.join(found)}" if found else ""
