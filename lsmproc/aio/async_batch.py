"""A write batch whose commit is awaited."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from lsmproc.aio.lanes import Lane
    from lsmproc.write_batch import WriteBatch


class AsyncBatch:
    """Collects puts and deletes in memory; ``async with`` writes them together, or nothing if the block raises.

    One task at a time. If its task is cancelled while it is written, all of it is written or nothing, and the batch is
    not to be used again: a thread may still be reading it.
    """

    def __init__(self, lane: Lane, batch: WriteBatch) -> None:
        """Write ``batch`` on the threads of ``lane``."""
        self._lane = lane
        self._batch = batch

    def put(self, key: bytes, value: bytes | bytearray | memoryview) -> None:
        """Set ``key`` to ``value``. Raises TypeError, RecordTooLargeError; the batch is then as before."""
        self._batch.put(key, value)

    def delete(self, key: bytes) -> None:
        """Remove ``key``, whether it is there or not. Raises TypeError, RecordTooLargeError."""
        self._batch.delete(key)

    def clear(self) -> None:
        """Forget everything collected so far."""
        self._batch.clear()

    async def write(self) -> None:
        """Commit what was collected, then begin anew. Raises what ``LSMStore.put`` raises."""
        await self._lane.run(self._batch.write)

    def __len__(self) -> int:
        """How many writes were collected."""
        return len(self._batch)

    async def __aenter__(self) -> Self:
        """The batch itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write, or discard if the block raised or was cancelled."""
        if kind is None:
            await self.write()
        else:
            self._batch.clear()
