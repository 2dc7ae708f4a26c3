"""Yu, Zhang, Wang and Yu 2017, SeqGAN: Sequence Generative Adversarial Nets with Policy Gradient, arXiv:1609.05473."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo import Architecture, Draws, Networks, Plan, Scores, SizeError, Spec, UsageError, hookimpl

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
FILTERS = (100, 200, 200, 200, 200, 100, 100, 100, 100, 100, 160, 160)
PIECE = 64  # rows of shares that are held at once on a CPU: as many as stay in its cache

State = tuple[Tensor, Tensor]


class Writer(nn.Module):
    """An LSTM that writes sentences [N, T] word by word, with the uniform numbers [N, T] that it is given.

    No gradient flows through words: it learns from `log_likelihood` alone.
    """

    def __init__(self, words: int, embedding: int, hidden: int):
        super().__init__()
        self.words = words
        self.embedding = nn.Embedding(words + 1, embedding)  # the last row stands before the first word
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.out = nn.Linear(hidden, words)
        for name, parameter in self.named_parameters():  # torch adds two biases where the paper has one
            nn.init.normal_(parameter, std=0.0 if name == "lstm.bias_hh_l0" else 0.1)

    @torch.no_grad()
    def forward(self, uniforms: Tensor, label: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        last = torch.full((len(uniforms), 1), self.words, device=uniforms.device)
        state, written = None, []
        for drawn in uniforms.unbind(1):
            state = self._read(last, state)
            last = self._draw(state[0][0], drawn, temperature)[:, None]
            written.append(last)
        return torch.cat(written, dim=1)

    def log_likelihood(self, sentences: Tensor) -> Tensor:
        """Log-probability [N, T] of each word given the words before it."""
        before = torch.cat([torch.full_like(sentences[:, :1], self.words), sentences[:, :-1]], dim=1)
        logits = _precise(self.out(self.lstm(self.embedding(before))[0]))
        return -F.cross_entropy(logits.flatten(0, 1), sentences.flatten(), reduction="none").view_as(sentences)

    @torch.no_grad()
    def rollouts(self, sentences: Tensor, uniforms: Tensor) -> Tensor:
        """Every beginning of sentences [N, T], of 1 to T - 1 words, written on to the end K times: [T - 1, K, N, T].

        uniforms: [N, K, T - 1, T - 1], by the number of known words less one, and by the place of the word less one.
        """
        (count, length), copies = sentences.shape, uniforms.shape[1]
        drawn = uniforms.permute(2, 3, 1, 0)
        written = sentences.repeat((length - 1) * copies, 1)
        known = self._read(torch.full((count, 1), self.words, device=sentences.device), None)
        state: State | None = None
        for place in range(1, length):
            # Sentences that have parted from the given ones stand first; at each place one more beginning joins them,
            # whose words until then are read once for all its copies.
            if state is not None:
                state = self._read(written[: state[0].shape[1], place - 1 : place], state)
            known = self._read(sentences[:, place - 1 : place], known)
            begun = tuple(part.repeat(1, copies, 1) for part in known)
            joined = begun if state is None else tuple(map(torch.cat, zip(state, begun, strict=True), (1, 1)))
            state = joined[0], joined[1]
            hidden = state[0][0]
            written[: len(hidden), place] = self._draw(hidden, drawn[:place, place - 1].flatten())
        return written.view(length - 1, copies, count, length)

    def _read(self, words: Tensor, state: State | None) -> State:
        """The memory after one more word [N, 1]."""
        found: State = self.lstm(self.embedding(words), state)[1]
        return found

    def _draw(self, hidden: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """A word [N] for each memory [N, H]."""
        weight, bias = self.out.weight, self.out.bias
        size = PIECE if hidden.device.type == "cpu" else len(hidden)
        pieces = zip(hidden.split(size), uniforms.split(size), strict=True)
        return torch.cat([drawn(_precise(F.linear(h, weight, bias)), u, temperature) for h, u in pieces])


def drawn(logits: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
    """The choice [N] that uniform numbers [N] make among logits [N, V].

    By cumulative sums: torch.multinomial takes about ten times as long where V is thousands.
    """
    if temperature != 1:
        logits = logits / max(temperature, 1e-6)
    shares = (logits - logits.amax(1, keepdim=True)).exp_().cumsum(1)
    found = torch.searchsorted(shares, (uniforms.to(shares) * shares[:, -1])[:, None], right=True)
    return found.squeeze(1).clamp_(max=logits.shape[1] - 1)


def _precise(logits: Tensor) -> Tensor:
    return logits.float() if logits.dtype.itemsize < 4 else logits


class Reader(nn.Module):
    """Convolutions of several widths over words, their largest values, a highway layer and two outputs, whose
    difference is the score [N] of sentences [N, T]: log D - log(1 - D)."""

    def __init__(self, words: int, embedding: int, widths: tuple[int, ...], filters: tuple[int, ...], dropout: float):
        super().__init__()
        size = sum(filters)
        self.embedding = nn.Embedding(words, embedding)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(embedding, count, width) for width, count in zip(widths, filters, strict=True)
        )
        self.highway, self.gate = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout, self.output = nn.Dropout(dropout), nn.Linear(size, 2)
        nn.init.uniform_(self.embedding.weight, -1, 1)
        for layer in (*self.convolutions, self.output):
            nn.init.trunc_normal_(layer.weight, std=0.1, a=-0.2, b=0.2)
            nn.init.constant_(layer.bias, 0.1)
        for layer in (self.highway, self.gate):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, sentences: Tensor, label: Tensor | None = None) -> Scores:
        x = self.embedding(sentences).transpose(1, 2).contiguous()
        # The largest value first, which is the same and spares ReLU most of its work.
        h = F.relu(torch.cat([convolution(x).amax(2) for convolution in self.convolutions], dim=1))
        gate = self.gate(h).sigmoid()
        h = gate * F.relu(self.highway(h)) + (1 - gate) * h
        written, real = self.output(self.dropout(h)).unbind(1)
        return Scores(real - written)


class SeqGAN(Architecture):
    """An LSTM that writes words, and convolutions with a highway layer that read sentences.

    Yu, Zhang, Wang and Yu 2017, arXiv:1609.05473, section 3 (both models), with the numbers of LantaoYu/SeqGAN.
    The generator begins at N(0, 0.1). Where samples are made, `truncation` is the temperature: logits are divided by
    it, and 0 writes the likeliest word each time.

    Differs from the paper: a word of its own stands before the first (the code takes word 0); the LSTM has a second
    bias, which begins at 0 and moves as the first does; the highway layer's biases begin at 0. Filters that are wider
    than the sentences are left out, and that is told.

    Args:
        embedding: numbers that stand for a word in the generator.
        hidden: of the LSTM's memory.
        discriminator_embedding: numbers that stand for a word in the discriminator.
        widths: words that the filters of each group span.
        filters: how many filters each group has, one number for each width.
        dropout: share of the features before the output that are dropped in training, in [0, 1).
    """

    name = "seqgan"
    paper = "arXiv:1609.05473"
    needs = ("tokens",)
    offers = ("token_generator", "rollouts", "discriminator", "per_sample_scores", "output_layer")
    dataset = "sentences"
    procedure = "policy-gradient"
    tiny = {"embedding": 4, "hidden": 4, "discriminator_embedding": 4, "widths": (1, 2), "filters": (3, 4)}

    def __init__(
        self,
        embedding: int = 32,
        hidden: int = 32,
        discriminator_embedding: int = 64,
        widths: tuple[int, ...] = WIDTHS,
        filters: tuple[int, ...] = FILTERS,
        dropout: float = 0.25,
    ):
        if min(embedding, hidden, discriminator_embedding, *widths, *filters) < 1:
            raise ValueError("sizes must be at least 1")
        if not widths or len(widths) != len(filters):
            raise ValueError(f"there are {len(widths)} widths and {len(filters)} filters; give one number of each")
        if not 0 <= dropout < 1:
            raise ValueError("dropout is a share, from 0 to less than 1")
        self.embedding, self.hidden, self.discriminator_embedding = embedding, hidden, discriminator_embedding
        self.widths, self.filters, self.dropout = widths, filters, dropout

    def build(self, spec: Spec, plan: Plan) -> Networks:
        if "vocabulary" not in spec.encoding:
            raise UsageError("architecture 'seqgan' needs data that name their vocabulary; use --data tokens:path=FILE")
        words, (self.length,) = len(spec.encoding["vocabulary"]), spec.shape
        fitting = [
            (width, count) for width, count in zip(self.widths, self.filters, strict=True) if width <= self.length
        ]
        if not fitting:
            raise SizeError(
                f"sentences of {self.length} words are shorter than every filter of architecture 'seqgan'; "
                f"write seqgan:widths=1,filters=100 or give longer sentences"
            )
        if len(fitting) < len(self.widths):
            plan.notes.append(
                f"seqgan: filters of more than {self.length} words are left out, because sentences have no more"
            )
        widths, filters = zip(*fitting, strict=True)
        reader = Reader(words, self.discriminator_embedding, widths, filters, self.dropout)
        return Networks.pair(Writer(words, self.embedding, self.hidden), reader)

    def latent(self, draws: Draws, count: int) -> Tensor:
        return draws.uniform("words", count, self.length)

    def sample(self, network: nn.Module, latent: Tensor, label: Tensor | None, truncation: float = 1.0) -> Tensor:
        made: Tensor = network(latent, label, truncation)
        return made


@hookimpl
def register_architectures(register: Any) -> None:
    register(SeqGAN)
