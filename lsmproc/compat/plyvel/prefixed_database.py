"""plyvel's view of the part of a database below a prefix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lsmproc.compat.plyvel.iterators import Iterator
from lsmproc.compat.plyvel.snapshot import Snapshot
from lsmproc.compat.plyvel.write_batch import WriteBatch

if TYPE_CHECKING:
    from lsmproc.compat.plyvel.database import DB


class PrefixedDB:
    """The records whose keys begin with a prefix, under keys without it. Keeps its database alive."""

    def __init__(self, *, db: DB, prefix: bytes) -> None:
        """Look at ``db`` through ``prefix``; made by ``prefixed_db()``."""
        if not isinstance(prefix, bytes):
            raise TypeError(f"a prefix is bytes, not {type(prefix).__name__}")
        self._db = db
        self._prefix = prefix

    @property
    def db(self) -> DB:
        """The whole database."""
        return self._db

    @property
    def prefix(self) -> bytes:
        """What all keys here begin with in the whole database."""
        return self._prefix

    def get(self, key: bytes, default: Any = None, *, verify_checksums: bool = False, fill_cache: bool = True) -> Any:
        """As DB.get."""
        return self._db.get(
            self._prefix + key, default=default, verify_checksums=verify_checksums, fill_cache=fill_cache
        )

    def put(self, key: bytes, value: Any, *, sync: bool = False) -> None:
        """As DB.put."""
        self._db.put(self._prefix + key, value, sync=sync)

    def delete(self, key: bytes, *, sync: bool = False) -> None:
        """As DB.delete."""
        self._db.delete(self._prefix + key, sync=sync)

    def write_batch(self, *, transaction: bool = False, sync: bool = False) -> WriteBatch:
        """As DB.write_batch, for keys below the prefix."""
        return WriteBatch(self._db, self._prefix, transaction, sync)

    def iterator(self, **options: Any) -> Iterator:
        """As DB.iterator: bounds and seeks are keys without the prefix."""
        return Iterator(self._db, self._db.take_snapshot(), self._prefix, **options)

    def snapshot(self) -> Snapshot:
        """As DB.snapshot, of the part below the prefix."""
        return Snapshot(db=self._db, prefix=self._prefix)

    def prefixed_db(self, prefix: bytes) -> PrefixedDB:
        """The part below a further prefix."""
        return PrefixedDB(db=self._db, prefix=self._prefix + prefix)

    def __iter__(self) -> Iterator:
        """All records below the prefix."""
        return self.iterator()

    __contains__ = None  # As in DB.

    def __repr__(self) -> str:
        """The prefix."""
        return f"<plyvel.PrefixedDB with prefix {self._prefix!r} at {id(self):#x}>"
