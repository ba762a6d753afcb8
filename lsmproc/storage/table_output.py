"""What both kinds of table builder share: the growing file, and the totals of the records."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from operator import add

import xxhash

from lsmproc.errors import StorageError
from lsmproc.formats.version_edit import FileMetadata
from lsmproc.storage.file_system import CREATE_NEW, FileSystem

# A grant is asked for, and a stop felt, at least once per this many bytes: with a limiter of 8 MiB/s a second holds 32
# such pieces, so that one more or less is 3 % of the rate. Four times as much saved 2 % of a compaction's time at most.
_WRITE_BYTES = 256 << 10


class TableOutput:
    """A new file, written from start to end in large pieces, with the checksum of all its bytes."""

    def __init__(self, fs: FileSystem, name: str, grant: Callable[[int], None]) -> None:
        """Create ``name``, which must not exist."""
        self._fs = fs
        self._name = name
        self._grant = grant
        self._parts: list[bytes] = []
        self._waiting = 0  # bytes in parts
        self._written = 0
        self._hash = xxhash.xxh3_64()
        self._finished = False
        self._fd = fs.open(name, CREATE_NEW)

    @property
    def size(self) -> int:
        """Bytes appended so far."""
        return self._written + self._waiting

    @property
    def checksum(self) -> int:
        """xxh3-64 of all bytes. REQUIRES: finished."""
        return self._hash.intdigest()

    def append(self, data: bytes) -> None:
        """Add bytes at the end; every quarter of a mebibyte is written, with a grant."""
        self._parts.append(data)
        self._waiting += len(data)
        if self._waiting >= _WRITE_BYTES:
            self._write_out()

    def finish(self, footer: Callable[[int], bytes]) -> None:
        """Append what ``footer`` makes of the file's final size, then write, sync and close."""
        length = len(footer(0))
        self.append(footer(self.size + length))
        self._write_out()
        self._fs.fdatasync(self._fd)
        self._close()
        self._finished = True

    def abandon(self) -> None:
        """Close and remove the file, unless it is finished. Idempotent."""
        if self._fd >= 0:
            self._close()
        if not self._finished:
            self._finished = True
            with suppress(StorageError):  # nobody names the file: the next open of the store removes it
                self._fs.unlink(self._name)

    def _write_out(self) -> None:
        data = memoryview(b"".join(self._parts))
        self._parts.clear()
        self._waiting = 0
        for start in range(0, len(data), _WRITE_BYTES):
            piece = data[start : start + _WRITE_BYTES]
            self._grant(len(piece))
            self._fs.write_all(self._fd, piece, self._written)
            self._hash.update(piece)
            self._written += len(piece)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        self._fs.close(fd)


class TableTotals:
    """Counts and bounds of the records added to a builder."""

    def __init__(self) -> None:
        self._smallest = b""
        self._largest = b""
        self._entries = 0
        self._tombstones = 0
        self._smallest_sequence = (1 << 64) - 1
        self._largest_sequence = 0
        self.raw_bytes: int = 0

    def add(
        self, keys: list[bytes], values: list[bytes | None], sequences: list[int]
    ) -> tuple[list[int], tuple[int, int] | None]:
        """Count records; returns the bytes of key and value of each, and the lengths of both if all have the same.

        Raises ValueError unless they follow those before. REQUIRES: the keys ascend; it would cost to look.
        """
        if not keys or not len(keys) == len(values) == len(sequences):
            raise ValueError("a table takes equally long columns that are not empty")
        if self._entries == 0:
            self._smallest = keys[0]
        elif keys[0] <= self._largest:
            raise ValueError(f"the key {keys[0]!r:.60} does not follow {self._largest!r:.60}")
        self._largest = keys[-1]
        count = len(keys)
        self._entries += count
        lengths = None
        key_bytes = list(map(len, keys))
        try:
            value_bytes = list(map(len, values))  # type: ignore[arg-type]
        except TypeError:  # a tombstone has no length
            self._tombstones += values.count(None)
            value_bytes = list(map(len, map({None: b""}.get, values, values)))  # type: ignore[arg-type]
        else:
            if key_bytes.count(key_bytes[0]) == value_bytes.count(value_bytes[0]) == count:
                lengths = (key_bytes[0], value_bytes[0])
        sizes = [sum(lengths)] * count if lengths else list(map(add, key_bytes, value_bytes))
        self.raw_bytes += sum(sizes)
        lowest = min(sequences)
        highest = max(sequences)
        self._smallest_sequence = min(self._smallest_sequence, lowest)
        self._largest_sequence = max(self._largest_sequence, highest)
        return sizes, lengths

    def fields(self) -> tuple[bytes, bytes, int, int, int, int, int]:
        """The totals in the order of Properties and FileMetadata. Raises ValueError if nothing was added."""
        if self._entries == 0:
            raise ValueError("a table needs at least one record")
        return (
            self._smallest,
            self._largest,
            self._entries,
            self._tombstones,
            self._smallest_sequence,
            self._largest_sequence,
            self.raw_bytes,
        )

    def metadata(self, file: TableOutput, unique_id: int) -> FileMetadata:
        """The description of the finished file; its number is 0."""
        return FileMetadata(0, file.size, file.checksum, unique_id, *self.fields())
