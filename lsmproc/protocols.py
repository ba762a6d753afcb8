"""The seams of the engine on one page: each pluggable part, what it promises, and who implements it.

Every Protocol here has at least two implementations in this package, and one contract suite under
``tests/contracts`` that all of them pass.

==================  ==========================================  ===================================
part                implementations                             chosen by
==================  ==========================================  ===================================
log                 PwriteWal, MappedWal                        ``LSMConfig.wal``
memtable            DictMemtable, SortedDictMemtable            ``LSMConfig.memtable``
filter              BlockedBloomFilter, NoFilter                ``LSMConfig.filter``
table               BlockTable*, PlainTable*                    ``LSMConfig.table_format``
compaction picker   LeveledPicker, TieredPicker                 ``LSMConfig.compaction_style``
manifest            LogManifest, SnapshotManifest               ``LSMConfig.manifest``
background          Process-, Thread-, InlineBackground         ``LSMConfig.background``
==================  ==========================================  ===================================
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lsmproc.compaction.compaction import Compaction
    from lsmproc.events.event import Event
    from lsmproc.formats.log_format import LogHeader
    from lsmproc.formats.messages import (
        CompactionDone,
        CompactionRequest,
        FlushDone,
        FlushRequest,
        JobFailed,
        SegmentEnd,
    )
    from lsmproc.formats.version_edit import FileMetadata, VersionEdit
    from lsmproc.storage.version import Version
    from lsmproc.workers.placement import Placement
    from lsmproc.workers.worker_report import WorkerReport

# What a memtable holds for a key: (sequence, value), or (sequence, value, older entry) when a live snapshot still
# sees the older one. A value of None is a tombstone. Always one immutable tuple, so readers need no lock.
MemtableEntry = tuple[Any, ...]

# Columns of ascending records: keys, their values (None is a tombstone).
Columns = tuple[list[bytes], list["bytes | None"]]

# A part of a sorted range: ascending keys, the first and the end of those that belong to it, the bound of what they
# cover of the range (the start, or in reverse the stop, at which it goes on; None if that is all of it), and the values
# beside the keys: a list, or the raw block that holds both.
Part = tuple[Sequence[bytes], int, int, "bytes | None", "bytes | list[bytes | None]"]


class Missing:
    """The type of MISSING: no entry at all, which is not the same as a tombstone (None)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing()


class Wal(Protocol):
    """One segment of the write-ahead log. The caller serialises all methods but ``sync``.

    Made with ``(fs, number, allocate_bytes)``, ahead of its use; part of the log from ``begin`` on.
    """

    number: int
    name: str
    durable_end: int  # bytes that need no sync: those that were synced, and a promise right behind them
    synced_end: int  # bytes known to survive power loss
    sealed: bool
    doubtful: bool  # an append raised, and whether its frame is in the file or not is not known

    @property
    def end(self) -> int:
        """Bytes written so far."""

    @property
    def last_sequence(self) -> int:
        """Sequence number of the last commit in the log."""

    def begin(self, header: LogHeader, last_sequence: int) -> None:
        """Write the header."""

    def append(self, body: bytes, sequence: int, /) -> int:
        """Append one frame, return the new end. After an exception ``end`` and ``last_sequence`` tell whether the frame
        counts, as long as the segment is not ``doubtful``.
        """

    def sync(self) -> int:
        """Make every frame appended before the call durable; returns the end that this covers."""

    def promise(self, durable_end: int) -> None:
        """Leave in the log that it is durable up to there."""

    def seal_end(self) -> SegmentEnd:
        """What ``seal`` would return, were it called next. Writes nothing."""

    def seal(self) -> SegmentEnd:
        """Append the seal and describe the finished segment. No frame can follow."""

    def trim(self) -> None:
        """Give back allocated space that was not used. No frame can follow."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""


class Memtable(Protocol):
    """The newest records, in memory, over the log segments that hold the same records.

    Writers insert into ``entries`` directly under the commit lock; readers look keys up there without a lock.
    """

    @property
    def entries(self) -> MutableMapping[bytes, MemtableEntry]:
        """Newest entry of each key, in no order. A key is never removed: a tombstone is inserted."""

    def window(
        self, start: bytes | None, stop: bytes | None, sequence: int, limit: int, *, reverse: bool
    ) -> tuple[list[bytes], list[bytes | None], bytes | None]:
        """Up to ``limit`` records of [start, stop) as a reader at ``sequence`` sees them.

        Returns the keys and values, always ascending, and the bound at which to go on: the next ``start``
        (forward) or the next ``stop`` (reverse), or None when the range is exhausted.
        """

    def columns(self) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """All newest records, ascending: keys, values, sequences. REQUIRES: no writer."""


class Filter(Protocol):
    """Says of a key hash whether a table may hold the key. Never a false no."""

    def may_contain(self, key_hash: int, /) -> bool:
        """False only if no key with this hash was added."""


class TableBuilder(Protocol):
    """Writes one table: add ascending columns, then finish (or abandon)."""

    def add(self, keys: list[bytes], values: list[bytes | None], sequences: list[int]) -> None:
        """Append records. REQUIRES: keys ascend strictly, within the call and across calls; not empty."""

    @property
    def size(self) -> int:
        """Bytes the file will have at least, if finished now."""

    def finish(self) -> FileMetadata:
        """Write the rest, sync, close and verify by reading back. The number in the result is 0."""

    def abandon(self) -> None:
        """Close and remove the unfinished file. Idempotent; harmless after finish."""


class TableReader(Protocol):
    """Reads one immutable table. Thread-safe, without locks on the read path."""

    metadata: FileMetadata
    filter: tuple[Sequence[int], int]  # words and their count, to be probed as bloom_filter.py says, before ``find``

    def find(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """As get, without asking the filter: the caller has done so."""

    def get(self, key: bytes, key_hash: int, /) -> bytes | Missing | None:
        """The value, None for a tombstone, MISSING if the table does not hold the key."""

    def lookup(self, key: bytes, key_hash: int, /) -> tuple[int, bytes | None] | Missing:
        """As get, with the sequence number: ``(sequence, value)``."""

    @property
    def block_count(self) -> int:
        """How many blocks the table has, at least 1."""

    def find_block(self, key: bytes) -> int:
        """Index of the first block whose last key is >= key; block_count if there is none."""

    def part(self, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool) -> Part | None:
        """What is at hand of [start, stop) next to its beginning, or in reverse to its end; None if that is nothing."""

    def columns(self, first: int, count: int, *, fill_cache: bool = True) -> Columns:
        """Keys and values of ``count`` adjacent blocks from block ``first``, ascending."""

    def columns_with_sequences(self, first: int, count: int) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """As columns, with the sequence numbers, past the cache: for merges."""

    def verify(self) -> None:
        """Re-read every byte and check every checksum, the order and the counts; raises CorruptionError."""

    def close(self) -> None:
        """Give the descriptor back once no read uses it. Idempotent."""


class Manifest(Protocol):
    """Where version edits become durable."""

    @property
    def number(self) -> int:
        """File number of the manifest file in use."""

    def append(self, edit: VersionEdit, after: Version) -> None:
        """Make ``edit`` survive power loss; ``after`` is the version it leads to."""

    def doubt(self) -> None:
        """Record a whole new state with the next edit: whether the last edit counts is not known."""

    def close(self) -> None:
        """Give the descriptor back. Idempotent."""


class CompactionPicker(Protocol):
    """Decides what to compact next. Pure: no state, no clock, no I/O.

    REQUIRES of the caller: tables of flushes are installed in the order of their memtables; a compaction is in
    ``running`` from its pick until its edit is applied or it is given up; a compaction into level 0 writes one table
    (no limit on its size), because every table of level 0 is a run of its own.
    """

    def pick(self, version: Version, running: Sequence[Compaction]) -> Compaction | None:
        """The most useful compaction that can run beside ``running``, or None."""

    def manual(
        self,
        version: Version,
        level: int,
        start: bytes | None = None,
        stop: bytes | None = None,
        *,
        running: Sequence[Compaction] = (),
    ) -> Compaction | None:
        """Merge what ``level`` holds of [start, stop) one level down; the last level is rewritten in place.

        None when there is nothing to do, or when a running compaction is in the way: only with ``running`` empty
        does it mean the former.
        """

    def pick_idle(self, version: Version, paid_bytes: int) -> Compaction | None:
        """What is worth merging although nothing asks for it, while the store is idle; None if that is nothing.

        ``paid_bytes``: how much rewriting the reads since the last change of level 0 have paid for.
        """

    def parallelism(self, version: Version) -> int:
        """How many compactions the state of the tree justifies at once, at least 1; the caller has its own limit."""

    def scores(self, version: Version) -> tuple[float, ...]:
        """Compaction score of each level; a level wants work from 1.0 on."""

    def debt_bytes(self, version: Version) -> int:
        """Estimate of the bytes to rewrite until no level wants work."""


class Priority(IntEnum):
    """Who goes first at the rate limiter and for a worker (SILK, ATC'19): lower values win."""

    FLUSH = 0
    LEVEL0 = 1
    DEEPER = 2


class Background(Protocol):
    """Runs jobs, elsewhere or here. ``on_reply`` gets the answer exactly once for each submitted request."""

    def submit(
        self,
        request: FlushRequest | CompactionRequest,
        priority: Priority,
        on_reply: Callable[[FlushDone | CompactionDone | JobFailed], None],
    ) -> None:
        """Run the request as soon as a worker is free; a higher priority overtakes. Never blocks on the job
        (except inline, which runs it before returning).
        """

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the background's thread, where replies are delivered too, one at a time."""

    def promote(self, directory: str, priorities: frozenset[Priority]) -> None:
        """Have jobs of these priorities of the store in ``directory`` rank with flushes, waiting and running ones,
        until the next call for it: writes stall for want of them.
        """

    def set_workers(self, flush: int, compaction: int) -> None:
        """Change how many jobs of each kind may run at once, now. Running jobs are not interrupted."""

    def place_workers(self, flush: Placement, compaction: Placement) -> None:
        """Change how the workers of each kind stand beside other processes, now; only processes can be placed."""

    def worker_reports(self) -> tuple[WorkerReport, ...]:
        """What each worker is doing."""

    def watch(self, publish: Callable[[Event], None]) -> None:
        """Publish what happens to worker processes, WorkerStarted and WorkerDied, until ``unwatch``."""

    def unwatch(self, publish: Callable[[Event], None]) -> None:
        """End ``watch``. Harmless if it was not begun."""

    def close(self, timeout: float) -> None:
        """Stop all workers; requests not answered yet are answered with JobFailed. Idempotent."""
