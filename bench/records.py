"""The records of a benchmark: numbers become keys, values are cut out of a pool, both fresh objects each time.

Fresh, because a store that keeps references to the caller's objects must be charged for the memory they take.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator

from lsmproc.bench.settings import Settings
from lsmproc.bench.zipfian import Zipfian

_POOL_BYTES = 1 << 20
_PIECE_BYTES = 100  # compressible within one block of a table, and not beyond
Records = list[tuple[bytes, bytes]]


class RecordMaker:
    """Makes keys and values from a seed. Sequential keys sort as their numbers do."""

    def __init__(self, settings: Settings, seed: int) -> None:
        self._settings = settings
        self._rng = random.Random(seed)
        self._pool = _compressible(random.Random(seed), settings.compressibility, settings.value_size)
        self._format = b"%%0%dd" % settings.key_size
        self._cut = 0
        self._order: array[int] | None = None
        self._zipfian: Zipfian | None = None

    def keys(self, numbers: Iterable[int]) -> list[bytes]:
        """The key of each number."""
        return list(map(self._format.__mod__, numbers))

    def values(self, count: int) -> list[bytes]:
        """So many values; the next call goes on elsewhere in the pool."""
        size = self._settings.value_size
        span, stride = len(self._pool) - size, size + 1  # neighbours share nothing, and later rounds are shifted
        first, self._cut = self._cut, self._cut + count
        pool = self._pool
        return [pool[at : at + size] for at in (index * stride % span for index in range(first, first + count))]

    def records(self, numbers: Iterable[int]) -> Records:
        """A record for each number."""
        keys = self.keys(numbers)
        return list(zip(keys, self.values(len(keys)), strict=True))

    def shuffled(self) -> array[int]:
        """Every number below ``num`` once, in random order; the same for all systems."""
        if self._order is None:
            numbers = array("Q", range(self._settings.num))
            random.Random(self._settings.seed).shuffle(numbers)
            self._order = numbers
        return self._order

    def drawn(self, count: int, below: int | None = None) -> array[int]:
        """So many numbers with repetition, distributed as the settings say, or evenly ``below`` a bound.

        An array, as ``shuffled``: a full collection of garbage walks through a list, 50 ms for a million numbers, and
        what it interrupts is charged for it.
        """
        if below is None and self._settings.distribution == "zipfian":
            return self.zipfian(count)
        bound = self._settings.num if below is None else below
        draw = self._rng.random
        return array("Q", (int(draw() * bound) for _ in range(count)))

    def zipfian(self, count: int) -> array[int]:
        """So many numbers, few of them often: the popular ones are spread over the key space, as in YCSB."""
        if self._zipfian is None:
            self._zipfian = Zipfian(self._settings.num, self._rng)
        order = self.shuffled()
        return array("Q", (order[rank] for rank in self._zipfian.ranks(count)))

    def zipfian_ranks(self, count: int) -> list[int]:
        """So many ranks, 0 the most popular: for workloads where the latest records are read most."""
        if self._zipfian is None:
            self._zipfian = Zipfian(self._settings.num, self._rng)
        return self._zipfian.ranks(count)

    @property
    def rng(self) -> random.Random:
        """For choices between operations."""
        return self._rng


def batches(numbers: Iterable[int], size: int) -> Iterator[list[int]]:
    """Cut into lists of ``size`` numbers, the last one shorter."""
    batch: list[int] = []
    for number in numbers:
        batch.append(number)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _compressible(rng: random.Random, kept: float, value_size: int) -> bytes:
    """A pool in which each piece repeats its random head, so that compression leaves about ``kept`` of it."""
    head = max(1, int(_PIECE_BYTES * kept))
    size = max(_POOL_BYTES, 4 * value_size)
    pieces = [(rng.randbytes(head) * (_PIECE_BYTES // head + 1))[:_PIECE_BYTES] for _ in range(size // _PIECE_BYTES)]
    return b"".join(pieces)
