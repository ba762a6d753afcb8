"""An embeddable LSM-tree key-value store whose flushes and compactions run in other processes.

::

    import lsmproc

    with lsmproc.open("/data/sessions") as db:
        db.put(b"user:1", b"alice")
        assert db.get(b"user:1") == b"alice"
        for key, value in db.range(prefix=b"user:"):
            print(key, value)

The public names are loaded at their first use: a worker process, which imports parts of this package, never loads
the store, and so starts in half the time with half the memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lsmproc import aio as aio
    from lsmproc import config as config
    from lsmproc import dbm as dbm
    from lsmproc import errors as errors
    from lsmproc import metrics as metrics
    from lsmproc import testing as testing
    from lsmproc.checkpoint import CheckpointInfo
    from lsmproc.config import LSMConfig, OptionChange
    from lsmproc.destruction import destroy
    from lsmproc.env import Env
    from lsmproc.errors import (
        BackgroundError,
        ClosedError,
        ConfigError,
        CorruptionError,
        DurabilityError,
        Error,
        ForkedHandleError,
        LockedError,
        NoSpaceError,
        NotAStoreError,
        ReadOnlyError,
        RecordTooLargeError,
        StorageError,
        WorkerDiedError,
        WriteStallTimeout,
    )
    from lsmproc.events.event import Event
    from lsmproc.events.subscription import Subscription
    from lsmproc.follower.follower import Follower, open_follower
    from lsmproc.follower.follower_stats import FollowerStats, Lag
    from lsmproc.iterators.db_iterator import DBIterator
    from lsmproc.maintenance.maintenance_results import CompactionResult, FlushResult, LiveFile
    from lsmproc.monitoring.stall_explanation import StallExplanation
    from lsmproc.monitoring.store_status import StoreStatus, read_events, read_status
    from lsmproc.open_store import open_store as open  # noqa: A004 - lsmproc.open(), as in dbm.open()
    from lsmproc.reading.read_view import Entry
    from lsmproc.repair.store_repair import repair_store
    from lsmproc.snapshot import Snapshot
    from lsmproc.statistics import Stats, format_stats
    from lsmproc.store import LSMStore
    from lsmproc.verification import verify_store
    from lsmproc.write_batch import WriteBatch

__all__ = [
    "BackgroundError",
    "CheckpointInfo",
    "ClosedError",
    "CompactionResult",
    "ConfigError",
    "CorruptionError",
    "DBIterator",
    "DurabilityError",
    "Entry",
    "Env",
    "Error",
    "Event",
    "FlushResult",
    "Follower",
    "FollowerStats",
    "ForkedHandleError",
    "LSMConfig",
    "LSMStore",
    "Lag",
    "LiveFile",
    "LockedError",
    "NoSpaceError",
    "NotAStoreError",
    "OptionChange",
    "ReadOnlyError",
    "RecordTooLargeError",
    "Snapshot",
    "StallExplanation",
    "Stats",
    "StorageError",
    "StoreStatus",
    "Subscription",
    "WorkerDiedError",
    "WriteBatch",
    "WriteStallTimeout",
    "destroy",
    "format_stats",
    "open",
    "open_follower",
    "read_events",
    "read_status",
    "repair_store",
    "verify_store",
]

# Where the names that are not errors live.
_HOMES = {
    "CheckpointInfo": "lsmproc.checkpoint",
    "CompactionResult": "lsmproc.maintenance.maintenance_results",
    "DBIterator": "lsmproc.iterators.db_iterator",
    "Entry": "lsmproc.reading.read_view",
    "Env": "lsmproc.env",
    "Event": "lsmproc.events.event",
    "FlushResult": "lsmproc.maintenance.maintenance_results",
    "Follower": "lsmproc.follower.follower",
    "FollowerStats": "lsmproc.follower.follower_stats",
    "LSMConfig": "lsmproc.config",
    "LSMStore": "lsmproc.store",
    "Lag": "lsmproc.follower.follower_stats",
    "LiveFile": "lsmproc.maintenance.maintenance_results",
    "Snapshot": "lsmproc.snapshot",
    "StallExplanation": "lsmproc.monitoring.stall_explanation",
    "Stats": "lsmproc.statistics",
    "OptionChange": "lsmproc.config",
    "StoreStatus": "lsmproc.monitoring.store_status",
    "Subscription": "lsmproc.events.subscription",
    "WriteBatch": "lsmproc.write_batch",
    "destroy": "lsmproc.destruction",
    "format_stats": "lsmproc.statistics",
    "read_events": "lsmproc.monitoring.store_status",
    "read_status": "lsmproc.monitoring.store_status",
    "open_follower": "lsmproc.follower.follower",
    "repair_store": "lsmproc.repair.store_repair",
    "verify_store": "lsmproc.verification",
}

# What the manual names through the package, as in ``lsmproc.metrics.serve(db)``: no import of its own is needed.
_MODULES = frozenset({"aio", "config", "dbm", "errors", "metrics", "testing"})


def __getattr__(name: str) -> Any:
    """Load a public name or module at its first use (PEP 562)."""
    if name in _MODULES:
        return import_module(f"lsmproc.{name}")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "open":
        value = import_module("lsmproc.open_store").open_store
    else:
        value = getattr(import_module(_HOMES.get(name, "lsmproc.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__, *_MODULES})
