"""The module of plyvel that programs import for the names of its classes, to annotate with or to ask isinstance."""

from __future__ import annotations

from lsmproc.compat.plyvel.database import DB
from lsmproc.compat.plyvel.errors import CorruptionError, Error, IOError, IteratorInvalidError  # noqa: A004 - its name
from lsmproc.compat.plyvel.iterators import Iterator, RawIterator
from lsmproc.compat.plyvel.prefixed_database import PrefixedDB
from lsmproc.compat.plyvel.snapshot import Snapshot
from lsmproc.compat.plyvel.whole_database import destroy_db, repair_db
from lsmproc.compat.plyvel.write_batch import WriteBatch

__all__ = [
    "DB",
    "CorruptionError",
    "Error",
    "IOError",
    "Iterator",
    "IteratorInvalidError",
    "PrefixedDB",
    "RawIterator",
    "Snapshot",
    "WriteBatch",
    "destroy_db",
    "repair_db",
]
