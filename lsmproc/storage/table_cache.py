"""The readers of all live tables of one store, by file number. A reader is made once and kept while its table lives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import table_name
from lsmproc.storage.tables import open_table

if TYPE_CHECKING:
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader
    from lsmproc.storage.block_cache import BlockCache
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.open_file import OpenFiles
    from lsmproc.storage.table_input import OnDamage


class TableCache:
    """Hands out readers. Thread-safe."""

    def __init__(
        self, fs: FileSystem, cache: BlockCache, open_files: OpenFiles, on_damage: OnDamage | None = None
    ) -> None:
        """Read tables of ``fs``, with blocks and descriptors from pools that other stores may share.

        ``on_damage`` is told of damage as it is found, besides whoever reads.
        """
        self._on_damage = on_damage
        self._fs = fs
        self._cache = cache
        self._open_files = open_files
        self._readers: dict[int, TableReader] = {}
        self._lock = threading.Lock()
        self._make_error: Callable[[], Exception] | None = None

    def reader(self, file: FileMetadata) -> TableReader:
        """The reader of ``file``, opened and checked against its description the first time.

        Raises CorruptionError when the file is missing, damaged, or not the one described; ClosedError.
        """
        reader = self._readers.get(file.number)
        if reader is None:
            with self._lock:
                reader = self._readers.get(file.number)
                if self._make_error is not None:
                    raise self._make_error()
                if reader is None:
                    reader = self._open(file, table_name(file.number))
                    self._readers[file.number] = reader
        return reader

    def drop(self, number: int) -> None:
        """Forget and close the reader of a table that no version names any more."""
        with self._lock:
            reader = self._readers.pop(number, None)
        if reader is not None:
            reader.close()

    def _open(self, file: FileMetadata, name: str) -> TableReader:
        try:
            return open_table(
                self._fs,
                file,
                name,
                cache=self._cache,
                open_files=self._open_files,
                on_damage=self._on_damage,
            )
        except CorruptionError as error:
            if self._on_damage is not None:
                self._on_damage(error)
            raise

    def forked(self, make_error: Callable[[], Exception]) -> None:
        """In a forked child: give out no reader. Those that are out share their descriptors with the parent."""
        self._lock = threading.Lock()  # a thread of the parent may have held the old one
        self._make_error = make_error
        self._readers = {}

    def close(self, make_error: Callable[[], Exception]) -> None:
        """Close all readers and raise ``make_error()`` when asked for one. Idempotent."""
        with self._lock:
            self._make_error = make_error
            readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.close()
