"""An embeddable LSM-tree key-value store whose flushes and compactions run in other processes.

::

    import lsmproc

    with lsmproc.open("/data/sessions") as db:
        db.put(b"user:1", b"alice")
        assert db.get(b"user:1") == b"alice"
        for key, value in db.range(prefix=b"user:"):
            print(key, value)
"""

from __future__ import annotations

from lsmproc.config import LSMConfig
from lsmproc.env import Env
from lsmproc.errors import (
    BackgroundError,
    ClosedError,
    ConfigError,
    CorruptionError,
    DurabilityError,
    Error,
    ForkedHandleError,
    IteratorInvalidError,
    LockedError,
    NoSpaceError,
    NotAStoreError,
    ReadOnlyError,
    RecordTooLargeError,
    StorageError,
    WorkerDiedError,
    WriteStallTimeout,
)
from lsmproc.iterators.db_iterator import DBIterator
from lsmproc.maintenance_results import CompactionResult, FlushResult, LiveFile
from lsmproc.read_view import Entry
from lsmproc.snapshot import Snapshot
from lsmproc.statistics import Stats, format_stats
from lsmproc.store import LSMStore
from lsmproc.store import open_store as open  # noqa: A004 - lsmproc.open(), as in dbm.open()
from lsmproc.write_batch import WriteBatch

__all__ = [
    "BackgroundError",
    "ClosedError",
    "CompactionResult",
    "ConfigError",
    "CorruptionError",
    "DBIterator",
    "DurabilityError",
    "Entry",
    "Env",
    "Error",
    "FlushResult",
    "ForkedHandleError",
    "IteratorInvalidError",
    "LSMConfig",
    "LSMStore",
    "LiveFile",
    "LockedError",
    "NoSpaceError",
    "NotAStoreError",
    "ReadOnlyError",
    "RecordTooLargeError",
    "Snapshot",
    "Stats",
    "StorageError",
    "WorkerDiedError",
    "WriteBatch",
    "WriteStallTimeout",
    "format_stats",
    "open",
]
