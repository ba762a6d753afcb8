"""Every message between the owner and its background workers, and their bytes.

Messages are frozen dataclasses of plain data. On the wire a message is one msgpack array ``[kind, field, ...]``
of at most ``MAX_MESSAGE_BYTES``; nothing is pickled, so a hostile or damaged message can only fail to decode.

The owner sends FlushRequest, CompactionRequest, Grant, Pace and Stop; a worker answers with Ready, FlushDone,
CompactionDone, JobFailed, GrantRequest, Progress and LogRecord.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgpack

from lsmproc.errors import CorruptionError
from lsmproc.formats.bounded_msgpack import decode_tree, shown
from lsmproc.formats.version_edit import FileMetadata, decode_file_metadata, encode_file_metadata

MAX_MESSAGE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """Where a log segment ends and what its frames must add up to; part of FlushRequest."""

    number: int  # file number of the segment
    end: int  # bytes from the start of the file to the end of the last frame
    checksum: int  # running CRC after the last frame
    last_sequence: int  # sequence of the last commit, 0 if the segment is empty


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How tables are written; part of both requests."""

    table_format: str = "block"  # "block" or "plain"
    block_bytes: int = 4096  # raw bytes at which a block is closed
    compression: str = "lz4"  # "none", "lz4" or "zstd"
    filter_kind: str = "bloom"  # "bloom" or "none"
    filter_bits_per_key: int = 12
    max_file_bytes: int = 32 << 20  # a compaction starts a new output above this; a flush writes one table


@dataclass(frozen=True, slots=True)
class FlushRequest:
    """Owner to flush worker: write the content of sealed log segments as one level-0 table.

    Answered by FlushDone or JobFailed.
    """

    job: int
    attempt: int
    directory: str  # of the store
    store_uuid: bytes  # a segment of another store is refused
    epoch: int  # of the owner's opening; part of the outputs' names, see file_names.job_output_name
    segments: tuple[SegmentEnd, ...]  # oldest first
    options: TableOptions
    paced: bool  # ask the rate limiter before writing


@dataclass(frozen=True, slots=True)
class CompactionRequest:
    """Owner to compaction worker: merge tables, or one key range of them, into tables of the output level.

    Answered by CompactionDone or JobFailed.
    """

    job: int
    attempt: int
    directory: str
    epoch: int
    runs: tuple[tuple[FileMetadata, ...], ...]  # newest first; the tables of a run are ascending and disjoint
    start: bytes | None  # only keys >= start ...
    stop: bytes | None  # ... and < stop are written
    output_level: int
    deeper: tuple[tuple[bytes, bytes], ...]  # (smallest, largest) of tables below the output: keep tombstones over them
    grandparents: tuple[tuple[bytes, bytes, int], ...]  # (smallest, largest, bytes) one level below the output
    droppable_below: int  # tombstones of a lower sequence may be dropped (retention)
    options: TableOptions
    paced: bool


@dataclass(frozen=True, slots=True)
class JobCost:
    """What a job read, wrote and used; part of both answers."""

    records_read: int
    records_written: int
    bytes_read: int
    bytes_written: int
    seconds: float
    cpu_seconds: float
    pid: int = 0  # of the process that did it, filled in there; 0 where the job ran in the owner
    peak_memory_bytes: int = 0  # most that this process ever had in memory; 0 if that is not known


@dataclass(frozen=True, slots=True)
class JobOutput:
    """One table that a job wrote and synced, still under its temporary name."""

    temporary_name: str
    file: FileMetadata  # number 0: the owner gives it its number


@dataclass(frozen=True, slots=True)
class FlushDone:
    """Worker to owner: the outputs of a FlushRequest: one, or none for empty segments."""

    job: int
    attempt: int
    outputs: tuple[JobOutput, ...]
    cost: JobCost


@dataclass(frozen=True, slots=True)
class CompactionDone:
    """Worker to owner: the outputs of a CompactionRequest, ascending; none when everything was dropped."""

    job: int
    attempt: int
    outputs: tuple[JobOutput, ...]
    cost: JobCost


@dataclass(frozen=True, slots=True)
class JobFailed:
    """Worker to owner: the job raised; its outputs are removed and its inputs untouched."""

    job: int
    attempt: int
    error: str  # class name of the exception
    message: str
    traceback: str
    retriable: bool  # False for corruption: another attempt reads the same bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """Worker to owner: the process has started and waits for its first request."""

    pid: int


@dataclass(frozen=True, slots=True)
class GrantRequest:
    """Worker to owner: may I write ``size`` bytes? Answered by Grant when the rate limiter allows it."""

    job: int
    size: int


@dataclass(frozen=True, slots=True)
class Grant:
    """Owner to worker: ``size`` bytes may be written now; the answer to GrantRequest."""

    size: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Owner to worker, at any time: the limiter was switched on or off while a job runs."""

    paced: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Owner to worker: leave at the next block; a running job is abandoned. Not answered."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Worker to owner, from time to time: the job gets on. A worker that sends nothing at all is taken for hung."""

    job: int
    bytes_written: int  # so far, by this attempt


@dataclass(frozen=True, slots=True)
class LogRecord:
    """Worker to owner, at any time: what a logger said there; the owner's logger of that name says it again."""

    logger: str
    level: int  # of the logging module
    text: str


Message = (
    FlushRequest
    | CompactionRequest
    | FlushDone
    | CompactionDone
    | JobFailed
    | Ready
    | GrantRequest
    | Grant
    | Pace
    | Stop
    | Progress
    | LogRecord
)

# The position in this tuple is on the wire: append only.
_KINDS: tuple[type, ...] = (
    FlushRequest,
    CompactionRequest,
    FlushDone,
    CompactionDone,
    JobFailed,
    Ready,
    GrantRequest,
    Grant,
    Pace,
    Stop,
    Progress,
    LogRecord,
)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(_KINDS)}


def encode_message(message: Message) -> bytes:
    """A message as bytes; raises ValueError if they are more than MAX_MESSAGE_BYTES."""
    kind = type(message)
    packed: bytes = msgpack.packb([_KIND_NUMBERS[kind], *(_plain(getattr(message, f.name)) for f in fields(kind))])
    if len(packed) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a {kind.__name__} of {len(packed)} bytes is above the limit of {MAX_MESSAGE_BYTES}")
    return packed


def decode_message(data: bytes | memoryview) -> Message:
    """The inverse of :func:`encode_message`; raises CorruptionError on anything else."""
    if len(data) > MAX_MESSAGE_BYTES:
        raise CorruptionError(f"a message of {len(data)} bytes is above the limit of {MAX_MESSAGE_BYTES}")
    array = decode_tree(bytes(data), largest_string=MAX_MESSAGE_BYTES)
    if type(array) is not tuple or not array or type(array[0]) is not int or not 0 <= array[0] < len(_KINDS):
        raise CorruptionError(f"a message of unknown kind: {shown(array)}")
    kind = _KINDS[array[0]]
    message: Message = _decode_dataclass(kind, array[1:])
    return message


def _plain(value: object) -> object:
    """``value`` in the types that msgpack knows."""
    if type(value) is tuple:
        return [_plain(item) for item in value]
    if type(value) is FileMetadata:
        return encode_file_metadata(value)
    if type(value) in _NESTED:
        return [_plain(getattr(value, f.name)) for f in fields(value)]  # type: ignore[arg-type]
    return value


_NESTED = frozenset({SegmentEnd, TableOptions, JobCost, JobOutput})


def _decode_dataclass(kind: type, array: object) -> Any:
    hints = _field_types(kind)
    if type(array) is not tuple or len(array) != len(hints):
        raise CorruptionError(f"a {kind.__name__} has the wrong shape: {shown(array)}")
    return kind(*(_decode(hint, value, kind) for hint, value in zip(hints, array, strict=True)))


@cache
def _field_types(kind: type) -> tuple[Any, ...]:
    """The declared type of each field, in order. Resolving the annotations is slow, so it is done once a kind."""
    hints = get_type_hints(kind)
    return tuple(hints[field.name] for field in fields(kind))


def _decode(hint: Any, value: object, kind: type) -> object:
    """``value`` as the type ``hint`` declared for a field of ``kind``; raises CorruptionError if it is of another."""
    if hint is FileMetadata:
        return decode_file_metadata(value)
    if hint in _NESTED:
        return _decode_dataclass(hint, value)
    if get_origin(hint) is tuple:
        return _decode_tuple(hint, value, kind)
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint and type(value) not in get_args(hint):
        raise CorruptionError(f"a {kind.__name__} holds {shown(value)} where {hint} belongs")
    if type(value) is int and value < 0:
        raise CorruptionError(f"a {kind.__name__} holds the negative number {value}")
    return value


def _decode_tuple(hint: Any, value: object, kind: type) -> tuple[object, ...]:
    item_hints = get_args(hint)
    if type(value) is tuple and item_hints[-1] is Ellipsis:
        return tuple([_decode(item_hints[0], item, kind) for item in value])
    if type(value) is tuple and len(item_hints) == len(value):
        return tuple([_decode(item_hint, item, kind) for item_hint, item in zip(item_hints, value, strict=True)])
    raise CorruptionError(f"a {kind.__name__} holds {shown(value)} where {hint} belongs")
