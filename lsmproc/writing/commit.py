"""One writer's records on their way through the queue of the write path."""

from __future__ import annotations

import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING

from lsmproc.errors import StorageError
from lsmproc.formats.log_format import batch_body, delete_body, put_body

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import MutableMapping

    from lsmproc.errors import Error
    from lsmproc.protocols import MemtableEntry, Wal
    from lsmproc.reading.live_snapshots import LiveSnapshots


# How long a leader that syncs waits for company: a writer needs some 50 us to come back after its commit.
_MOST_RESTS = 2
_REST_SECONDS = 0.00003

# A group ends with the commit that brings it over this, as in RocksDB (max_write_batch_group_size_bytes).
_GROUP_MAX_BYTES = 1 << 20


class Commit:
    """Records that become part of the store together, and what has become of them. Used under the mutex."""

    __slots__ = ("abandoned", "done", "error", "keys", "published", "sequence", "sync", "turn", "values")

    def __init__(self, keys: list[bytes], values: list[bytes | None], *, sync: bool) -> None:
        """Wait to be written: None among the values is a deletion; ``sync`` asks for durability."""
        self.keys: list[bytes] = keys
        self.values: list[bytes | None] = values
        self.sync: bool = sync
        self.sequence: int = 0  # once it is in the log
        self.published: bool = False
        self.done: bool = False
        self.abandoned: bool = False  # its writer has left: it must not be counted on to lead
        self.error: Error | None = None
        self.turn: threading.Lock = threading.Lock()  # held until the commit is done, or its writer is to lead
        self.turn.acquire()

    @property
    def size(self) -> int:
        """Bytes of its keys and values."""
        return sum(map(len, self.keys)) + sum(map(len, filter(None, self.values)))

    def body(self, sequence: int) -> bytes:
        """What the log holds of it. REQUIRES: it has records."""
        if len(self.keys) > 1:
            return batch_body(sequence, self.keys, self.values)
        value = self.values[0]
        return delete_body(sequence, self.keys[0]) if value is None else put_body(sequence, self.keys[0], value)

    def append(self, wal: Wal, sequence: int) -> None:
        """Append it to the log. A refusal becomes its error: the log is as before. REQUIRES: mutex; it has records."""
        try:
            wal.append(self.body(sequence), sequence)
            self.sequence = sequence
        except BaseException as error:
            if wal.last_sequence == sequence:
                self.sequence = sequence
            if not isinstance(error, StorageError):
                raise
            self.error = error

    def insert(self, entries: MutableMapping[bytes, MemtableEntry], snapshots: LiveSnapshots) -> None:
        """Enter the records into the memtable; twice does no harm. REQUIRES: it is in the log."""
        if snapshots.newest:
            for key, value in zip(self.keys, self.values, strict=True):
                entries[key] = snapshots.linked((self.sequence, value), entries.get(key))
        else:
            entries.update(zip(self.keys, zip(repeat(self.sequence), self.values)))  # noqa: B905

    def raise_error(self) -> None:
        """Raise what went wrong with it, if anything."""
        if self.error is not None:
            raise self.error

    def wake(self) -> None:
        """Let the writer go on if it waits. Once too often does no harm: it does not wait again. REQUIRES: mutex."""
        if self.turn.locked():
            self.turn.release()


class Company:
    """How many writers commit at the same time, so that one sync can serve them all.

    When a sync is done, its writers are let go together and most come back with the next write. The first of them
    leads, and would sync alone while the others wait for the sync after: so it rests a little until as many queue as
    were there the last time. A writer without company never rests.
    """

    def __init__(self) -> None:
        """One writer alone."""
        self._expected = 1

    def gather(self, queue: deque[Commit]) -> None:
        """Wait for the others, not for long. REQUIRES: the mutex is free."""
        rests = 0
        while len(queue) < self._expected and rests < _MOST_RESTS:
            time.sleep(_REST_SECONDS)
            rests += 1

    def finish(self, group: list[Commit], queue: deque[Commit]) -> None:
        """Mark a group as done, and count those who were there: in it, or behind it. REQUIRES: mutex."""
        for commit in group:
            commit.done = True
        self._expected = len(group) + len(queue)


def take_group(queue: deque[Commit], group: list[Commit]) -> None:
    """Move what is to be committed together from the front of ``queue`` to ``group``. Interrupted, nothing is lost."""
    size = 0
    while queue and size < _GROUP_MAX_BYTES:
        group.append(queue[0])
        size += queue.popleft().size
