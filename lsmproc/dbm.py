"""The interface of Python's ``dbm`` modules over a store: ``lsmproc.dbm.open(path, "c")``.

Made for programs that take any dbm: ``shelve.Shelf(lsmproc.dbm.open(path))``, or Scrapy with
``HTTPCACHE_DBM_MODULE = "lsmproc.dbm"``. As in ``dbm.gnu``, keys and values are bytes or text, which is encoded as
UTF-8; keys come back in their byte order. What is iterated is the database as it was when the iteration began, so
records may be written meanwhile. Unlike ``dbm.gnu``, ``firstkey`` and ``nextkey`` follow the order of the keys.

The flags: ``r`` read only (as ``read_only=True``: no owner may have it open), ``w`` read and write, ``c`` as ``w``
but made if missing, ``n`` always new: what was there is removed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, MutableMapping
from types import TracebackType
from typing import Any, Self, TypeVar

from lsmproc.errors import Error
from lsmproc.open_store import open_store
from lsmproc.storage.store_directory import remove_store
from lsmproc.store import LSMStore

Default = TypeVar("Default")
Text = str | bytes | bytearray | memoryview

__all__ = ["error", "open"]


class DbmError(Error, OSError):
    """A dbm that cannot be opened as asked, or that is closed."""


# What to catch, as in the dbm package: a tuple, because lsmproc's own errors come out as they are.
error: tuple[type[Exception], ...] = (DbmError, Error, OSError)

_FLAGS = {
    "r": {"read_only": True, "create_if_missing": False},
    "w": {"create_if_missing": False},
    "c": {"create_if_missing": True},
    "n": {"create_if_missing": True},
}


def open(  # noqa: A001 - the name that every dbm module has
    file: str | bytes | os.PathLike[str], flag: str = "r", mode: int = 0o666, **options: Any
) -> Database:
    """Open the store in the directory ``file``.

    Args:
        file: the directory.
        flag: "r", "w", "c" or "n", see the module's docstring.
        mode: of no effect: files of a store belong to their owner alone (0600).
        **options: any field of LSMConfig.

    Raises:
        error: there is no store, or no way to make one; a flag that is none.
    """
    del mode
    if flag not in _FLAGS:
        raise DbmError(f"the flag {flag!r} is none of 'r', 'w', 'c' and 'n'")
    path = os.fsdecode(file)
    if flag == "n":
        remove_store(os.path.abspath(path))
    return Database(open_store(path, **{**_FLAGS[flag], **options}))


class Database(MutableMapping[bytes, bytes]):
    """An open dbm: a mapping from bytes to bytes that also takes text. Close it, or use it as a context manager."""

    def __init__(self, store: LSMStore) -> None:
        """Take over ``store``; made by ``open()``."""
        self._store = store

    def __getitem__(self, key: Text) -> bytes:
        """The value of ``key``. Raises KeyError."""
        return self._opened()[_bytes(key)]

    def __setitem__(self, key: Text, value: Text) -> None:
        """Set ``key`` to ``value``."""
        self._opened().put(_bytes(key), _bytes(value))

    def __delitem__(self, key: Text) -> None:
        """Remove ``key``. Raises KeyError."""
        del self._opened()[_bytes(key)]

    def __contains__(self, key: object) -> bool:
        """Whether ``key`` has a value. Raises TypeError for what is neither bytes nor text."""
        return _bytes(key) in self._opened()

    def __iter__(self) -> Iterator[bytes]:
        """The keys, in order."""
        return self._opened().keys()

    def __len__(self) -> int:
        """How many keys there are, by a pass over all of them."""
        return sum(1 for _ in self._opened().iterator(include_key=False, include_value=False))

    def __bool__(self) -> bool:
        """Whether there is any record; looks for one."""
        return self.firstkey() is not None

    def get(self, key: Text, default: Any = None) -> Any:
        """The value of ``key``, or ``default``."""
        return self._opened().get(_bytes(key), default)

    def keys(self) -> list[bytes]:  # type: ignore[override]
        """All keys, as a list: so dbm has it."""
        return list(self)

    def setdefault(self, key: Text, default: Text = b"") -> bytes:
        """The value of ``key``, which is set to ``default`` if it has none."""
        value = self._opened().get(_bytes(key))
        if value is None:
            value = _bytes(default)
            self[key] = value
        return value

    def firstkey(self) -> bytes | None:
        """The first key in order, or None."""
        return next(self._opened().keys(), None)

    def nextkey(self, key: Text) -> bytes | None:
        """The first key above ``key``, or None."""
        return next(self._opened().keys(start=_bytes(key), include_start=False), None)

    def clear(self) -> None:
        """Remove every record."""
        self._opened().as_mapping().clear()

    def reorganize(self) -> None:
        """Give the space of removed and replaced records back."""
        self._opened().compact_range()

    def sync(self) -> None:
        """Make every write so far survive power loss. Nothing for a reader: a shelf syncs whenever it is closed."""
        store = self._opened()
        if not store.config.read_only:
            store.sync()

    def close(self) -> None:
        """Close. Idempotent; every use from now on raises ``error``."""
        self._store.close()

    def __enter__(self) -> Self:
        """The dbm itself, to be closed at the end of the block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _opened(self) -> LSMStore:
        if self._store.closed:
            raise DbmError("the dbm is closed: open it again with lsmproc.dbm.open()")
        return self._store


def _bytes(text: object) -> bytes:
    """Bytes as they are, text as UTF-8."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, (bytearray, memoryview)):
        return bytes(text)
    raise TypeError(f"keys and values of a dbm are bytes or text, not {type(text).__name__}")
