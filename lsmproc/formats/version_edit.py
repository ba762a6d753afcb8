"""What the manifest records: the description of one table, and one change to the set of live tables.

A version edit is stored as one msgpack array (see :func:`encode_version_edit`)::

    [ 2,                                     layout of this array
      added:   [[level, file], ...],         file = the fields of FileMetadata in their order
      removed: [[level, file number], ...],
      log_number | nil,                      every segment below it is flushed
      next_file_number | nil,                no number from it on was ever used
      last_sequence | nil,                   highest sequence number in the tables
      epoch | nil,                           grows by one at each opening by an owner
      [[number, synced end], ...] | nil ]    live log segments: their names are durable, and so are so many bytes

The log segments are what an opening holds the directory against: one that is listed, and that no later edit says is
flushed, must be there and must not end before its synced end. The list replaces the one of any edit before.

Fields are only ever added at the end of an array, with a new layout number. Layout 1, without segments, was never
released and is refused.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import msgpack

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import decode_tree, shown

LAYOUT = 2
LEVEL_COUNT = 7


@dataclass(frozen=True, slots=True)
class FileMetadata:
    """One live table, as the manifest knows it; enough to notice a damaged, swapped or foreign file."""

    number: int  # file number; 0 for a job's output that the owner has not named yet
    size: int  # bytes of the file
    checksum: int  # xxh3-64 over all bytes of the file
    unique_id: int  # 64 random bits drawn by the builder; seeds the checksum of each block
    smallest: bytes  # first key
    largest: bytes  # last key
    entries: int  # records, tombstones included
    tombstones: int
    smallest_sequence: int
    largest_sequence: int
    raw_bytes: int  # bytes of all keys and values


@dataclass(frozen=True, slots=True)
class VersionEdit:
    """One atomic change of the tree: tables added and removed, and counters that only grow."""

    added: tuple[tuple[int, FileMetadata], ...] = ()  # (level, file)
    removed: tuple[tuple[int, int], ...] = ()  # (level, file number)
    log_number: int | None = None
    next_file_number: int | None = None
    last_sequence: int | None = None
    epoch: int | None = None
    segments: tuple[tuple[int, int], ...] | None = None  # (number of a live log segment, its synced end)


def encode_file_metadata(file: FileMetadata) -> list[object]:
    """The fields of ``file`` as a msgpack array."""
    return list(astuple(file))


def decode_file_metadata(fields: object) -> FileMetadata:
    """The inverse of :func:`encode_file_metadata`; raises CorruptionError on anything else."""
    if not isinstance(fields, (list, tuple)) or len(fields) != len(_FILE_FIELD_TYPES):
        raise CorruptionError("a table description has the wrong shape")
    for field, expected in zip(fields, _FILE_FIELD_TYPES, strict=True):
        if type(field) is not expected or (isinstance(field, int) and field < 0):
            raise CorruptionError(f"a table description holds {shown(field)} where {expected.__name__} belongs")
    return FileMetadata(*fields)


_FILE_FIELD_TYPES: tuple[type, ...] = (int, int, int, int, bytes, bytes, int, int, int, int, int)


def encode_version_edit(edit: VersionEdit) -> bytes:
    """One edit as bytes, for the manifest and for messages."""
    packed: bytes = msgpack.packb(
        [
            LAYOUT,
            [[level, encode_file_metadata(file)] for level, file in edit.added],
            [list(pair) for pair in edit.removed],
            edit.log_number,
            edit.next_file_number,
            edit.last_sequence,
            edit.epoch,
            None if edit.segments is None else [list(pair) for pair in edit.segments],
        ]
    )
    return packed


def decode_version_edit(data: bytes) -> VersionEdit:
    """The inverse of :func:`encode_version_edit`; raises CorruptionError on anything else."""
    try:
        layout, added, removed, *counters, segments = decode_tree(data, largest_string=0)
        if layout != LAYOUT:
            raise CorruptionError(f"version edit layout {shown(layout)} is unknown; this release reads layout {LAYOUT}")
        if len(counters) != 4 or not all(c is None or (type(c) is int and c >= 0) for c in counters):
            raise CorruptionError("the counters of a version edit are malformed")
        log_number, next_file_number, last_sequence, epoch = counters
        return VersionEdit(
            tuple((_level(level), decode_file_metadata(file)) for level, file in added),
            tuple((_level(level), _number(number)) for level, number in removed),
            log_number,
            next_file_number,
            last_sequence,
            epoch,
            None if segments is None else tuple((_number(number), _end(end)) for number, end in segments),
        )
    except (ValueError, TypeError) as error:
        raise CorruptionError(f"a version edit cannot be decoded: {error}") from error


def _level(value: object) -> int:
    if type(value) is not int or not 0 <= value < LEVEL_COUNT:
        raise CorruptionError(f"{shown(value)} is no level")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value <= 0:
        raise CorruptionError(f"{shown(value)} is no file number")
    return value


def _end(value: object) -> int:
    if type(value) is not int or value < 0:
        raise CorruptionError(f"{shown(value)} is no end of a log segment")
    return value
