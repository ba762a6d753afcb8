"""What both kinds of table reader share: bytes of one table file, checked against what the manifest says of it.

Every error names the file, and the offset where one is known.
"""

from __future__ import annotations

from operator import lt
from typing import TYPE_CHECKING

import xxhash

from lsmproc.errors import ClosedError, CorruptionError
from lsmproc.formats.block import MAX_RAW_BLOCK_BYTES, STORED_OVERHEAD, unseal_block
from lsmproc.formats.table_format import (
    FOOTER,
    BlockHandle,
    Footer,
    Properties,
    decode_footer,
    decode_properties,
)
from lsmproc.storage.file_system import storage_error
from lsmproc.storage.table_output import TableTotals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.open_file import OpenFile, OpenFiles

    OnDamage = Callable[[CorruptionError], None]

_READ_BYTES = 1 << 20

# What a section takes beyond the bytes of keys and values, for each record and in all: none takes more.
_RECORD_OVERHEAD = 64
_SECTION_OVERHEAD = 1024


class TableInput:
    """One table file, opened when first read. Thread-safe."""

    def __init__(
        self,
        fs: FileSystem,
        metadata: FileMetadata,
        name: str,
        open_files: OpenFiles,
        on_damage: OnDamage | None = None,
    ) -> None:
        """Bind to the file; opens nothing yet. ``on_damage`` is told of each error that ``damage`` makes."""
        self._on_damage = on_damage
        self.file: OpenFile | None = None  # the pool may take it away at any time
        self.name = name
        self._fs = fs
        self._pread = fs.pread
        self._metadata = metadata
        self._unique_id = metadata.unique_id
        self._open_files = open_files
        self._closed = False
        # A properties section may hold the one key of a table twice. What is larger is refused before it takes memory.
        self._largest_section = 2 * metadata.raw_bytes + _RECORD_OVERHEAD * metadata.entries + _SECTION_OVERHEAD
        self.largest_block: int = min(MAX_RAW_BLOCK_BYTES, self._largest_section)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly ``size`` bytes; raises CorruptionError where the file ends before."""
        file = self.file or self._open()
        file.used = True
        try:
            data = self._pread(file.fd, size, offset)
        except OSError as error:
            raise storage_error(error, self.name) from error
        if len(data) != size:
            data += self._read_rest(file, offset + len(data), size - len(data))
        return data

    def section(self, offset: int, size: int, largest: int | None = None) -> bytes:
        """The raw content of the stored section at ``offset``, of a block unless its ``largest`` size is given."""
        largest = self.largest_block if largest is None else min(largest, self._largest_section)
        if size > largest + STORED_OVERHEAD:
            raise self.damage(f"a section of {size} bytes is too large for this table", offset)
        return self.block(offset, size, largest)

    def block(self, offset: int, size: int, largest: int) -> bytes:
        """As section, of a size that is known to be possible: every read that no cache answers comes here."""
        file = self.file or self._open()
        file.used = True
        try:
            data = self._pread(file.fd, size, offset)
            if len(data) != size:
                data = self.read(offset, size)
            return unseal_block(data, self._unique_id ^ offset, largest)
        except CorruptionError as error:
            raise error if error.file else self.damage(error, offset) from error
        except OSError as error:
            raise storage_error(error, self.name) from error

    def damage(self, error: Exception | str, offset: int | None = None) -> CorruptionError:
        """The error to raise for damage found in this file."""
        damage = CorruptionError(str(error), file=self.name, offset=offset)
        if self._on_damage is not None:
            self._on_damage(damage)
        return damage

    def load_footer(self, magic: bytes) -> tuple[Footer, Properties]:
        """Footer and properties; raises CorruptionError unless they are those of the table in the manifest."""
        size = self._metadata.size
        file = self.file or self._open()
        found = self._fs.size(file.fd)
        if found != size:
            raise self.damage(f"the file has {found} bytes, but the manifest describes a table of {size}")
        start = max(0, size - FOOTER.size)
        try:
            footer = decode_footer(self.read(start, size - start), size)
        except CorruptionError as error:
            raise self.damage(error, start) from error
        if footer.magic != magic:
            raise self.damage("the file is a table of another format", start)
        if footer.unique_id != self._unique_id:
            raise self.damage(
                f"the file holds the table {footer.unique_id:016x} where the manifest describes the table "
                f"{self._unique_id:016x}: it was replaced or comes from another store"
            )
        handle = footer.properties
        try:
            properties = decode_properties(self.section(handle.offset, handle.size))
        except CorruptionError as error:
            raise error if error.file else self.damage(error, handle.offset) from error
        self._compare(properties, handle)
        return footer, properties

    def verify(self, parts: Iterable[tuple[list[bytes], list[bytes | None], list[int]]]) -> None:
        """Check the checksum of the whole file, then that all its records add up to what the manifest says."""
        checksum = xxhash.xxh3_64()
        size = self._metadata.size
        for offset in range(0, size, _READ_BYTES):
            checksum.update(self.read(offset, min(_READ_BYTES, size - offset)))
        if checksum.intdigest() != self._metadata.checksum:
            raise self.damage("the file does not match its checksum in the manifest")
        totals = TableTotals()
        try:
            for keys, values, sequences in parts:
                if not all(map(lt, keys, keys[1:])):
                    raise self.damage("the keys of a block do not ascend")
                totals.add(keys, values, sequences)
            fields = totals.fields()
        except ValueError as error:
            raise self.damage(error) from error
        if fields != _described(self._metadata):
            raise self.damage("the records do not add up to what the manifest says of the table")

    def close(self) -> None:
        """Give the descriptor back once no read uses it. Idempotent."""
        self._closed = True
        self._open_files.forget(self)

    def _open(self) -> OpenFile:
        if self._closed:
            raise ClosedError(f"the table {self.name} is closed")
        try:
            return self._open_files.open(self._fs, self.name, self)
        except FileNotFoundError as error:
            raise self.damage("the table is missing") from error

    def _read_rest(self, file: OpenFile, offset: int, size: int) -> bytes:
        """Go on after a short read, which is legal before the end of the file too."""
        parts: list[bytes] = []
        while size:
            try:
                part = self._pread(file.fd, size, offset)
            except OSError as error:
                raise storage_error(error, self.name) from error
            if not part:
                raise self.damage(f"the file ends {size} bytes early", offset)
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return b"".join(parts)

    def _compare(self, properties: Properties, handle: BlockHandle) -> None:
        said = (
            properties.smallest,
            properties.largest,
            properties.entries,
            properties.tombstones,
            properties.smallest_sequence,
            properties.largest_sequence,
            properties.raw_bytes,
        )
        if said != _described(self._metadata) or properties.unique_id != self._unique_id:
            raise self.damage("the table's properties are not those in the manifest", handle.offset)


def _described(metadata: FileMetadata) -> tuple[bytes, bytes, int, int, int, int, int]:
    """The part of a description that the records determine, as TableTotals.fields gives it."""
    return (
        metadata.smallest,
        metadata.largest,
        metadata.entries,
        metadata.tombstones,
        metadata.smallest_sequence,
        metadata.largest_sequence,
        metadata.raw_bytes,
    )
