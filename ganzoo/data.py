"""What one sample is (Spec), what a step gets (Batch), and the endless seeded stream of them."""

from __future__ import annotations

import atexit
import dataclasses
import hashlib
import signal
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .draws import derive
from .errors import DataError, GanzooError


@dataclass(frozen=True)
class Spec:
    """What one sample is. Saved with the run, so that sampling needs no data set.

    kind: `image` ([C, H, W] in [-1, 1]), `points` ([D]), `tokens` ([T], whole numbers), `audio` ([channels, T] in
    [-1, 1], with `rate_hz` in the encoding), `video` ([C, T, H, W] in [-1, 1], with `frames_per_second`) or `table`.
    shape: of one sample. classes: the names of the labels, empty without labels.
    source: shape of the input that comes with each sample (translation), or None.
    words: further capability words that the data offer, such as `pairs` or `two_domains`.
    encoding: what turns numbers back into samples (vocabulary, columns, value range): plain JSON values.
    """

    kind: str
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    source: tuple[int, ...] | None = None
    words: tuple[str, ...] = ()
    encoding: dict[str, Any] = field(default_factory=dict)

    @property
    def offers(self) -> tuple[str, ...]:
        return (self.kind, *(("labels",) if self.classes else ()), *self.words)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Spec:
        lists = {key: tuple(values[key]) for key in ("shape", "classes", "words")}
        source = values["source"]
        return cls(**{**values, **lists, "source": None if source is None else tuple(source)})


@dataclass
class Batch:
    """Samples [N, ...] and what comes with them: labels [N] (int64), sources [N, ...], indices [N] into the data."""

    sample: Tensor
    label: Tensor | None = None
    source: Tensor | None = None
    index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sample)

    def map(self, change: Any) -> Batch:
        changed: dict[str, Any] = {name: None if value is None else change(value) for name, value in vars(self).items()}
        return Batch(**changed)

    def __getitem__(self, rows: slice) -> Batch:
        return self.map(lambda value: value[rows])

    def to(self, device: torch.device) -> Batch:
        return self.map(lambda value: value.to(device, non_blocking=True))

    @staticmethod
    def join(batches: Sequence[Batch]) -> Batch:
        if len(batches) == 1:
            return batches[0]
        columns = {name: [getattr(batch, name) for batch in batches] for name in vars(batches[0])}
        joined: dict[str, Any] = {
            name: None if values[0] is None else torch.cat(values) for name, values in columns.items()
        }
        return Batch(**joined)


class Collection:
    """An opened data set: `spec`, a length, and `fetch(indices)`. What `Dataset.open` returns.

    notes: sentences to tell the user (how pictures were cropped, what was skipped). decodes: True when fetching is slow
    enough to be worth worker processes. names: of the files that the samples come from, in their order, where each is
    one.
    """

    spec: Spec
    names: Sequence[Any] = ()
    notes: tuple[str, ...] = ()
    decodes = False

    def __len__(self) -> int:
        raise NotImplementedError

    def fetch(self, indices: list[int]) -> Batch:
        """The samples at these positions, ready for the networks (images: float32 in [-1, 1]), with their `index`."""
        raise NotImplementedError

    def matching(self, condition: Tensor, generator: torch.Generator) -> list[int]:
        """One index per row of `condition` of a sample that meets it (only for data that offer `conditions`)."""
        raise DataError(f"this data set ({self.spec.kind}) cannot be asked for samples that meet a condition")

    def fingerprint(self) -> str:
        """A short text that changes when the data change; part of a run's identity."""
        return hashlib.sha256(repr((self.spec, len(self))).encode()).hexdigest()[:16]


class Arrays(Collection):
    """A data set held in memory. Bytes (uint8) are pictures and become float32 in [-1, 1] when they are fetched."""

    def __init__(
        self,
        spec: Spec,
        samples: Tensor,
        labels: Tensor | None = None,
        sources: Tensor | None = None,
        notes: tuple[str, ...] = (),
    ):
        if len(samples) == 0:
            raise DataError("the data set is empty")
        self.spec, self.notes = spec, notes
        self.samples, self.labels, self.sources = samples, labels, sources

    def __len__(self) -> int:
        return len(self.samples)

    def fetch(self, indices: list[int]) -> Batch:
        rows = torch.as_tensor(indices)
        label = None if self.labels is None else self.labels[rows]
        source = None if self.sources is None else _to_range(self.sources[rows])
        return Batch(_to_range(self.samples[rows]), label, source, rows)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(super().fingerprint().encode())
        for array in (self.samples, self.labels, self.sources):
            if array is not None:
                digest.update(array.contiguous().numpy().data)
        return digest.hexdigest()[:16]


def _to_range(values: Tensor) -> Tensor:
    return values.float().div_(127.5).sub_(1) if values.dtype == torch.uint8 else values


class Stream:
    """An endless stream of a data set's samples. Its position counts samples; each epoch has an order of its own,
    a function of seed and epoch. So a stream continues from its position alone, with any number of workers.

    rank, world: this process takes its share of every `take`. chunk: how many samples a worker decodes at a time.
    """

    def __init__(
        self,
        collection: Collection,
        seed: int,
        *,
        chunk: int = 64,
        workers: int = 0,
        device: torch.device | str = "cpu",
        rank: int = 0,
        world: int = 1,
    ):
        self.collection, self.seed, self.chunk, self.workers = collection, seed, chunk, workers
        self.device, self.rank, self.world = torch.device(device), rank, world
        self.position = 0
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)
        self._ahead: Iterator[Any] | None = None  # what the workers have decoded
        self._left: Batch | None = None  # decoded and not yet taken
        self._expected = (-1, 0)  # where the workers go on, and in chunks of which size

    def take(self, count: int, condition: Tensor | None = None) -> Batch:
        """The next `count` samples (over all processes; each gets its share),
        or `count` samples meeting `condition`."""
        if count % self.world:
            raise GanzooError(f"a batch of {count} cannot be shared among {self.world} processes")
        share = count // self.world
        start = self.position + self.rank * share
        if condition is not None:
            generator = torch.Generator().manual_seed(derive(self.seed, "condition", start))
            batch = self.collection.fetch(self.collection.matching(condition.cpu(), generator))
        elif self.workers:
            batch = self._take_decoded(start, share)
        else:
            batch = self.collection.fetch(self.indices(start, share))
        self.position += count
        return batch.to(self.device) if self.device.type != "cpu" else batch

    def indices(self, start: int, count: int) -> list[int]:
        """Which samples stand at these positions of the stream."""
        size, found = len(self.collection), []
        while count:
            epoch, offset = divmod(start, size)
            if epoch != self._epoch:
                generator = torch.Generator().manual_seed(derive(self.seed, "order", epoch))
                self._epoch, self._order = epoch, torch.randperm(size, generator=generator)
            part = self._order[offset : offset + count].tolist()
            found += part
            start, count = start + len(part), count - len(part)
        return found

    def state(self) -> dict[str, Any]:
        return {"position": self.position}

    def load(self, state: dict[str, Any]) -> None:
        self.close()
        self.position = state["position"]

    def close(self) -> None:
        """End the workers; the next `take` starts new ones."""
        self._ahead = self._left = None

    def _take_decoded(self, start: int, count: int) -> Batch:
        # Alone, a process reads on and on; among others it reads its share of each batch,
        # so batches must stay one size.
        chunk = self.chunk if self.world == 1 else count
        if self._ahead is None or self._expected != (start, chunk):
            self._begin(start, chunk)
        assert self._ahead is not None
        pieces, wanted = [], count
        while wanted:
            if self._left is None or not len(self._left):
                self._left = next(self._ahead)
                if isinstance(self._left, GanzooError):
                    error, self._left = self._left, None
                    raise error
            piece, self._left = self._left[:wanted], self._left[wanted:]
            pieces.append(piece)
            wanted -= len(piece)
        self._expected = (start + count * self.world, chunk)
        return Batch.join(pieces)

    def _begin(self, start: int, chunk: int) -> None:
        """Start worker processes that decode ahead from this position."""
        loader = torch.utils.data.DataLoader(
            _Fetcher(self.collection),
            batch_size=None,
            sampler=_Chunks(self, start, chunk),
            num_workers=self.workers,
            worker_init_fn=_leave_signals_to_the_parent,
        )
        self._ahead, self._left = iter(loader), None
        _OPEN.add(self)


class _Chunks(torch.utils.data.Sampler[list[int]]):
    """Index lists from a position on, without end."""

    def __init__(self, stream: Stream, start: int, chunk: int):
        # A stream of its own, so that looking ahead does not disturb the order kept in the first.
        self.stream = Stream(stream.collection, stream.seed)
        self.start, self.chunk, self.stride = start, chunk, chunk * stream.world

    def __iter__(self) -> Iterator[list[int]]:
        position = self.start
        while True:
            yield self.stream.indices(position, self.chunk)
            position += self.stride


class _Fetcher(torch.utils.data.Dataset[Any]):
    """What a worker runs. An error travels as a value, so that its sentence arrives without a worker's traceback."""

    def __init__(self, collection: Collection):
        self.collection = collection

    def __getitem__(self, indices: Any) -> Any:
        try:
            return self.collection.fetch(indices)
        except GanzooError as error:
            return error


def _leave_signals_to_the_parent(_worker: int) -> None:
    # Ctrl-C and a service manager's signal reach every process of a run. The parent finishes its step and still needs
    # its workers; they end when it closes the stream, or with it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


_OPEN: weakref.WeakSet[Stream] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    # Before multiprocessing's own end, which would terminate workers that ignore it and wait for them for ever.
    for stream in list(_OPEN):
        stream.close()
