"""The store for asyncio: ``async with lsmproc.aio.open(path) as db: await db.put(b"key", b"value")``.

What may wait for a disk, a lock or a stall runs on a few threads of the store's own, so the event loop never does: a
stalled write, a sync and a cold read hold up their own task only. Reads, writes and maintenance have threads of their
own each, so stalled writes do not keep reads waiting. A ``get`` that memory can answer (memtables, row cache) is
answered at once without a thread: it takes no lock and reads no file.

Cancelling a task is safe at each await: a write has then happened as a whole or not at all (which of the two is not
told, as with any write whose answer is lost), a store that was being opened is closed again, a loop over a range goes
on where it was when it is resumed, and nothing is left open.

An AsyncStore belongs to the event loop that first uses it. The LSMStore below it may be used by threads meanwhile.
"""

from __future__ import annotations

from lsmproc.aio.async_batch import AsyncBatch
from lsmproc.aio.async_range import AsyncRange
from lsmproc.aio.async_snapshot import AsyncSnapshot
from lsmproc.aio.async_store import AsyncStore, open_async, wrap
from lsmproc.aio.async_store import open_async as open  # noqa: A004 - lsmproc.aio.open(), as lsmproc.open()

__all__ = ["AsyncBatch", "AsyncRange", "AsyncSnapshot", "AsyncStore", "open", "open_async", "wrap"]
