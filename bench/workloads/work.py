"""What a workload is: where it starts from, and a stream of operations to be timed.

A stream hands out chunks of prepared arguments. Whatever it does to make a chunk happens with the clock stopped;
background work of the system goes on meanwhile, for all systems alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice, repeat
from typing import Any, Literal, Protocol

from lsmproc.bench.records import RecordMaker, batches
from lsmproc.bench.settings import Settings
from lsmproc.bench.systems.system import OpenSystem, StoreOptions, System

_MAX_CHUNK = 1000
_CHUNKS = 200  # at least so many points in time for the plots, if there are so many operations

Call = Callable[[], Any]


class Loop(Protocol):
    """How a chunk is worked through."""

    def count(self, chunk: Any) -> int:
        """Operations of a chunk."""

    def run(self, chunk: Any) -> None:
        """All of them, as fast as a Python loop goes."""

    def calls(self, chunk: Any) -> Iterable[Call]:
        """Each of them as a call of its own, for a clock around each."""


@dataclass(frozen=True, slots=True)
class UnaryLoop:
    """One argument for each call: get, delete, a batch."""

    call: Callable[[Any], Any]

    def count(self, chunk: list[Any]) -> int:
        """See Loop."""
        return len(chunk)

    def run(self, chunk: list[Any]) -> None:
        """See Loop."""
        call = self.call
        for argument in chunk:
            call(argument)

    def calls(self, chunk: list[Any]) -> Iterable[Call]:
        """See Loop."""
        return [partial(self.call, argument) for argument in chunk]


@dataclass(frozen=True, slots=True)
class BatchLoop(UnaryLoop):
    """One list of records or keys for each call; each of them counts as an operation."""

    def count(self, chunk: list[Any]) -> int:
        """See Loop."""
        return sum(map(len, chunk))


@dataclass(frozen=True, slots=True)
class BinaryLoop:
    """Two arguments for each call: put."""

    call: Callable[[Any, Any], Any]

    def count(self, chunk: list[tuple[Any, Any]]) -> int:
        """See Loop."""
        return len(chunk)

    def run(self, chunk: list[tuple[Any, Any]]) -> None:
        """See Loop."""
        call = self.call
        for first, second in chunk:
            call(first, second)

    def calls(self, chunk: list[tuple[Any, Any]]) -> Iterable[Call]:
        """See Loop."""
        return [partial(self.call, first, second) for first, second in chunk]


@dataclass(frozen=True, slots=True)
class CallLoop:
    """Calls of several kinds, with their arguments bound."""

    def count(self, chunk: list[Call]) -> int:
        """See Loop."""
        return len(chunk)

    def run(self, chunk: list[Call]) -> None:
        """See Loop."""
        for call in chunk:
            call()

    def calls(self, chunk: list[Call]) -> Iterable[Call]:
        """See Loop."""
        return chunk


@dataclass(frozen=True, slots=True)
class ScanLoop:
    """Records of one iterator; a chunk is how many."""

    records: Iterator[Any]

    def count(self, chunk: int) -> int:
        """See Loop."""
        return chunk

    def run(self, chunk: int) -> None:
        """See Loop."""
        for _record in islice(self.records, chunk):
            pass

    def calls(self, chunk: int) -> Iterable[Call]:
        """See Loop."""
        return repeat(self.records.__next__, chunk)


@dataclass(slots=True)
class Work:
    """Operations to be timed."""

    loop: Loop
    streams: list[Iterator[Any]]  # one for each thread
    weight: int = 1  # what an operation counts as: a compaction counts as its records
    beside: Callable[[], AbstractContextManager[None]] = nullcontext  # what goes on meanwhile
    notes: dict[str, Any] = field(default_factory=dict)  # told with the result


@dataclass(kw_only=True)
class Stage:
    """Where a workload is made: a directory, and the system that opens it when it is first asked for."""

    settings: Settings
    threads: int
    directory: str
    options: StoreOptions
    open_system: OpenSystem
    maker: RecordMaker

    @cached_property
    def system(self) -> System:
        """The open store."""
        return self.open_system(self.directory, self.options)

    @property
    def opened(self) -> bool:
        """Whether the store was asked for."""
        return "system" in vars(self)

    def close(self) -> None:
        """Close the store, if it was opened."""
        opened = self.__dict__.pop("system", None)
        if opened is not None:
            opened.close()

    def streams(self, make: Callable[[list[int]], Any], numbers: Sequence[int], size: int = 0) -> list[Iterator[Any]]:
        """Streams that make a chunk from each few of these numbers, one stream for each thread."""
        total = len(numbers)
        size = size or chunk_size(total)
        share = -(-total // self.threads)
        parts = [islice(numbers, first, first + share) for first in range(0, total, share)]
        return [map(make, batches(part, size)) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One line of the report."""

    name: str
    what: str
    make: Callable[[Stage], Work]
    start: Literal["empty", "loaded", "copy"]  # "loaded" is shared and stays as it is; "copy" may be changed
    writes: bool = False  # tell when all background work was done, too
    sync: bool = False
    threads: int | None = None  # None: as the settings say
    cache: Literal["as set", "a tenth", "none"] = "as set"
    warm: bool = False  # one round beforehand, not counted


def chunk_size(count: int) -> int:
    """Operations of a chunk, when there are ``count`` in all."""
    return max(1, min(_MAX_CHUNK, count // _CHUNKS))
