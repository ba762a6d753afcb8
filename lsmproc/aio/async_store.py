"""AsyncStore: LSMStore's calls as coroutines. What each of them promises and raises stands there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar, overload

from lsmproc.aio.async_batch import AsyncBatch
from lsmproc.aio.async_range import AsyncRange
from lsmproc.aio.async_snapshot import AsyncSnapshot
from lsmproc.aio.lanes import Lanes
from lsmproc.aio.later import Later
from lsmproc.open_store import open_store
from lsmproc.opening.store_parts import CLOSE_SECONDS
from lsmproc.timeouts import checked_timeout

if TYPE_CHECKING:
    from lsmproc.maintenance.maintenance_results import CompactionResult, FlushResult, LiveFile
    from lsmproc.reading.read_view import Entry
    from lsmproc.statistics import Stats
    from lsmproc.store import LSMStore

Default = TypeVar("Default")
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_IN_A_FILE = object()


def open_async(
    path: str | os.PathLike[str], /, *, read_threads: int = 4, write_threads: int = 4, **options: Any
) -> Later[AsyncStore]:
    """Open a store: ``db = await lsmproc.aio.open(path)``, or ``async with lsmproc.aio.open(path) as db``.

    Args:
        path: the store's directory.
        read_threads: how many reads that memory cannot answer run at the same time.
        write_threads: how many writes, so how many tasks share one sync at most.
        **options: those of ``lsmproc.open``, which also tells what is raised.
    """

    async def opened() -> AsyncStore:
        lanes = Lanes(read_threads=read_threads, write_threads=write_threads)
        opening = lanes.upkeep.submit(open_store, path, **options)
        try:
            store = await asyncio.wrap_future(opening)
        except BaseException:
            opening.add_done_callback(_close_unwanted)  # If its task was cancelled, the thread opens it all the same.
            lanes.close()
            raise
        return AsyncStore(store, lanes)

    return Later(opened)


def wrap(store: LSMStore, *, read_threads: int = 4, write_threads: int = 4) -> AsyncStore:
    """A store that is open already, for asyncio; closing either of them closes both."""
    return AsyncStore(store, Lanes(read_threads=read_threads, write_threads=write_threads))


class AsyncStore:
    """An LSMStore whose calls are awaited. Close it, or use it with ``async with``."""

    def __init__(self, store: LSMStore, lanes: Lanes) -> None:
        """Made by ``open`` and ``wrap``."""
        self._store = store
        self._lanes = lanes
        self._closing: Future[None] | None = None

    @property
    def store(self) -> LSMStore:
        """The store below, for what has no coroutine here; its calls may wait."""
        return self._store

    async def run(
        self,
        function: Callable[Concatenate[LSMStore, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call ``function(store, ...)`` on a thread of the reads: for a walk with an iterator, or many calls in one."""
        return await self._lanes.reads.run(function, self._store, *args, **kwargs)

    # Single records

    async def put(
        self,
        key: bytes,
        value: bytes | bytearray | memoryview,
        *,
        sync: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is that of the write, which then has not happened
    ) -> None:
        """As LSMStore.put."""
        await self._lanes.writes.run(self._store.put, key, value, sync=sync, timeout=timeout)

    async def delete(
        self,
        key: bytes,
        *,
        sync: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as in put
    ) -> None:
        """As LSMStore.delete."""
        await self._lanes.writes.run(self._store.delete, key, sync=sync, timeout=timeout)

    @overload
    async def get(self, key: bytes, default: None = None, *, snapshot: AsyncSnapshot | None = None) -> bytes | None: ...
    @overload
    async def get(self, key: bytes, default: Default, *, snapshot: AsyncSnapshot | None = None) -> bytes | Default: ...
    async def get(self, key: bytes, default: Any = None, *, snapshot: AsyncSnapshot | None = None) -> Any:
        """As LSMStore.get. Without a thread if memory knows the answer."""
        if snapshot is not None:
            return await snapshot.get(key, default)
        value = self._store.peek(key, _IN_A_FILE)
        if value is _IN_A_FILE:
            return await self._lanes.reads.run(self._store.get, key, default)
        return default if value is None else value

    async def get_with_meta(self, key: bytes) -> Entry | None:
        """As LSMStore.get_with_meta."""
        return await self._lanes.reads.run(self._store.get_with_meta, key)

    async def get_many(self, keys: Iterable[bytes], default: Any = None) -> list[Any]:
        """As LSMStore.get_many: all from one state. ``keys`` is iterated over before anything is awaited."""
        return await self._lanes.reads.run(self._store.get_many, list(keys), default)

    # Ranges

    def range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        fill_cache: bool = True,
        snapshot: AsyncSnapshot | None = None,
    ) -> AsyncRange[tuple[bytes, bytes]]:
        """The records of a range for ``async for``, from one state: that at its first step, or of ``snapshot``."""
        if snapshot is not None:
            return snapshot.range(start, stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache)
        return AsyncRange(
            self._lanes.reads,
            lambda: self._store.range(start, stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache),
        )

    def items(
        self, start: bytes | None = None, stop: bytes | None = None, **options: Any
    ) -> AsyncRange[tuple[bytes, bytes]]:
        """The records of a range; options are those of ``LSMStore.iterator``."""
        return AsyncRange(self._lanes.reads, lambda: self._store.items(start, stop, **options))

    def keys(self, start: bytes | None = None, stop: bytes | None = None, **options: Any) -> AsyncRange[bytes]:
        """The keys of a range; options are those of ``LSMStore.iterator``."""
        return AsyncRange(self._lanes.reads, lambda: self._store.keys(start, stop, **options))

    def values(self, start: bytes | None = None, stop: bytes | None = None, **options: Any) -> AsyncRange[bytes]:
        """The values of a range; options are those of ``LSMStore.iterator``."""
        return AsyncRange(self._lanes.reads, lambda: self._store.values(start, stop, **options))

    def __aiter__(self) -> AsyncRange[bytes]:
        """The keys, in order."""
        return self.keys()

    def snapshot(self) -> Later[AsyncSnapshot]:
        """The store as it is now: ``async with db.snapshot() as snapshot``, or ``await`` it and close it later."""

        async def taken() -> AsyncSnapshot:
            # A snapshot whose task was cancelled is let go when nobody refers to it.
            return AsyncSnapshot(self._lanes.reads, await self._lanes.reads.run(self._store.snapshot))

        return Later(taken)

    # Batches

    def write_batch(self, *, sync: bool | None = None, timeout: float | None = None) -> AsyncBatch:
        """As LSMStore.write_batch, for ``async with``."""
        return AsyncBatch(self._lanes.writes, self._store.write_batch(sync=sync, timeout=timeout))

    # Maintenance

    async def flush_memtable(self, *, wait: bool = True, timeout: float | None = None) -> FlushResult | None:  # noqa: ASYNC109 - the flush goes on after it
        """As LSMStore.flush_memtable."""
        return await self._lanes.upkeep.run(self._store.flush_memtable, wait=wait, timeout=timeout)

    async def compact_level(
        self,
        level: int,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        wait: bool = True,
        timeout: float | None = None,  # noqa: ASYNC109 - the merge goes on after it
    ) -> CompactionResult:
        """As LSMStore.compact_level."""
        return await self._lanes.upkeep.run(self._store.compact_level, level, start, stop, wait=wait, timeout=timeout)

    async def compact_range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - the merge goes on after it
    ) -> tuple[CompactionResult, ...]:
        """As LSMStore.compact_range."""
        return await self._lanes.upkeep.run(self._store.compact_range, start, stop, timeout=timeout)

    async def wait_idle(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as there
        """As LSMStore.wait_idle."""
        await self._lanes.upkeep.run(self._store.wait_idle, timeout)

    async def sync(self) -> None:
        """As LSMStore.sync."""
        await self._lanes.writes.run(self._store.sync)

    async def approximate_size(self, start: bytes | None = None, stop: bytes | None = None) -> int:
        """As LSMStore.approximate_size."""
        return await self._lanes.reads.run(self._store.approximate_size, start, stop)

    # Looking inside

    async def stats(self) -> Stats:
        """As LSMStore.stats."""
        return await self._lanes.reads.run(self._store.stats)

    async def live_files(self) -> list[LiveFile]:
        """As LSMStore.live_files."""
        return await self._lanes.reads.run(self._store.live_files)

    @property
    def path(self) -> str:
        """The store's directory."""
        return self._store.path

    @property
    def closed(self) -> bool:
        """Whether the store was closed, or is being closed."""
        return self._closing is not None or self._store.closed

    # The end

    async def close(self, *, flush: bool = False, timeout: float = CLOSE_SECONDS) -> None:  # noqa: ASYNC109 - as there
        """As LSMStore.close. Idempotent. It goes on to its end if its task is cancelled."""
        timeout = checked_timeout(timeout)  # Here: a close that has begun counts as done.
        if self._closing is None:
            self._closing = self._lanes.upkeep.submit(self._store.close, flush=flush, timeout=timeout)
            self._closing.add_done_callback(lambda _: self._lanes.close())
        await asyncio.shield(asyncio.wrap_future(self._closing))

    async def __aenter__(self) -> Self:
        """The store itself, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    def __repr__(self) -> str:
        """The store."""
        return f"<AsyncStore of {self._store!r}>"


def _close_unwanted(opening: Future[LSMStore]) -> None:
    """Close a store that nobody waits for any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
