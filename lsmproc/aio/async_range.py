"""A loop over records for ``async for``: they are read in chunks on a thread, and handed out from memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

if TYPE_CHECKING:
    from lsmproc.aio.lanes import Lane

Record = TypeVar("Record")

# The first chunk is small, because many loops end early; each is twice the one before, up to the largest. Then the
# cost of going to a thread and back, about 0.1 ms, is a small part of reading.
_FIRST_RECORDS = 16
_MOST_RECORDS = 1024
_MOST_BYTES = 1 << 20  # of a chunk, to a few records: large values would make it large


class AsyncRange(Generic[Record]):
    """The records of a range, from one state of the store; ``async for`` over it once.

    What it reads is kept until it ends, is closed or dropped. A cancelled step loses nothing: the next one goes on.
    """

    def __init__(self, lane: Lane, begin: Callable[[], Iterator[Record]]) -> None:
        """Read what ``begin()`` iterates over; it is called at the first step, on a thread."""
        self._lane = lane
        self._begin: Callable[[], Iterator[Record]] | None = begin
        self._source: Iterator[Record] = iter(())
        self._records: Iterator[Record] = iter(())
        self._limit = _FIRST_RECORDS
        self._pending: Future[list[Record]] | None = None  # the chunk being read

    def __aiter__(self) -> Self:
        """The loop itself."""
        return self

    async def __anext__(self) -> Record:
        """The next record."""
        while True:
            for record in self._records:
                return record
            await self._read_on()

    async def next_chunk(self) -> list[Record]:
        """The next records as a list, empty at the end: for loops that do less than a step of ``async for`` costs."""
        records = list(self._records)
        if not records:
            try:
                await self._read_on()
            except StopAsyncIteration:
                return []
            records = list(self._records)
        return records

    async def close(self) -> None:
        """End; what was read is let go. Idempotent."""
        pending, self._pending = self._pending, None
        if pending is not None:
            await asyncio.wait([asyncio.wrap_future(pending)])
        self._begin, self._source, self._records = None, iter(()), iter(())

    async def __aenter__(self) -> Self:
        """The loop itself, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _read_on(self) -> None:
        """Have the next chunk. Raises StopAsyncIteration if there is none."""
        if self._pending is None:
            self._pending = self._lane.submit(self._read_chunk)
        pending = self._pending
        try:
            # Not cancelled with its task: a chunk that a thread has begun to read is read, and the next step takes it.
            records = await asyncio.shield(asyncio.wrap_future(pending))
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._pending = None
            raise
        if self._pending is pending:
            self._pending = None
            self._records = iter(records)
            if not records:
                self._source = iter(())
                raise StopAsyncIteration

    def _read_chunk(self) -> list[Record]:
        if self._begin is not None:
            self._source, self._begin = self._begin(), None
        limit, self._limit = self._limit, min(2 * self._limit, _MOST_RECORDS)
        records: list[Record] = []
        size = 0
        for record in islice(self._source, limit):
            records.append(record)
            size += _bytes_of(record)
            if size >= _MOST_BYTES:
                break
        return records


def _bytes_of(record: Any) -> int:
    return len(record[0]) + len(record[1]) if type(record) is tuple else len(record)
