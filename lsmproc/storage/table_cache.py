"""The readers of all live tables of one store, by file number. A reader is made once and kept while its table lives."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from lsmproc.formats.file_names import table_name
from lsmproc.storage.tables import open_table

if TYPE_CHECKING:
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader
    from lsmproc.storage.block_cache import BlockCache
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.open_file import OpenFiles


class TableCache:
    """Hands out readers. Thread-safe."""

    def __init__(self, fs: FileSystem, cache: BlockCache, open_files: OpenFiles) -> None:
        """Read tables of ``fs``, with blocks and descriptors from pools that other stores may share."""
        self._fs = fs
        self._cache = cache
        self._open_files = open_files
        self._readers: dict[int, TableReader] = {}
        self._lock = threading.Lock()

    def reader(self, file: FileMetadata) -> TableReader:
        """The reader of ``file``, opened and checked against its description the first time.

        Raises CorruptionError when the file is missing, damaged, or not the one described.
        """
        reader = self._readers.get(file.number)
        if reader is None:
            with self._lock:
                reader = self._readers.get(file.number)
                if reader is None:
                    name = table_name(file.number)
                    reader = open_table(self._fs, file, name, cache=self._cache, open_files=self._open_files)
                    self._readers[file.number] = reader
        return reader

    def drop(self, number: int) -> None:
        """Forget and close the reader of a table that no version names any more."""
        with self._lock:
            reader = self._readers.pop(number, None)
        if reader is not None:
            reader.close()

    def close(self) -> None:
        """Close all readers. Idempotent."""
        with self._lock:
            readers, self._readers = self._readers, {}
        for reader in readers.values():
            reader.close()
