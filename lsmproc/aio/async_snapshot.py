"""A snapshot for asyncio."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from lsmproc.aio.async_range import AsyncRange

if TYPE_CHECKING:
    from lsmproc.aio.lanes import Lane
    from lsmproc.snapshot import Snapshot

Default = TypeVar("Default")


class AsyncSnapshot:
    """The store as it was when the snapshot was taken. Close it: it keeps replaced tables on disk."""

    def __init__(self, lane: Lane, snapshot: Snapshot) -> None:
        """Read ``snapshot`` on the threads of ``lane``; made by ``AsyncStore.snapshot()``."""
        self._lane = lane
        self._snapshot = snapshot

    @property
    def sequence(self) -> int:
        """Sequence number of the last write that the snapshot shows."""
        return self._snapshot.sequence

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot below."""
        return self._snapshot

    @overload
    async def get(self, key: bytes) -> bytes | None: ...
    @overload
    async def get(self, key: bytes, default: Default) -> bytes | Default: ...
    async def get(self, key: bytes, default: Any = None) -> Any:
        """The value that ``key`` had, or ``default``."""
        return await self._lane.run(self._snapshot.get, key, default)

    def range(
        self,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        prefix: bytes | None = None,
        reverse: bool = False,
        fill_cache: bool = True,
    ) -> AsyncRange[tuple[bytes, bytes]]:
        """The records of [start, stop) in key order, for ``async for``."""
        return AsyncRange(
            self._lane,
            lambda: self._snapshot.range(start, stop, prefix=prefix, reverse=reverse, fill_cache=fill_cache),
        )

    @property
    def closed(self) -> bool:
        """Whether the snapshot was closed."""
        return self._snapshot.closed

    async def close(self) -> None:
        """Stop keeping the state. Idempotent. Takes no lock and waits for nothing."""
        self._snapshot.close()

    async def __aenter__(self) -> Self:
        """The snapshot itself, to be closed at the end of the block."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()
