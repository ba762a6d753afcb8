"""Hostile log files: segments, manifests and CURRENT, with checksums put right where the content is to be reached."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any
from zlib import crc32

import msgpack

from lsmproc.formats.log_format import (
    HEADER_SIZE,
    KIND_MANIFEST,
    KIND_WAL,
    LogHeader,
    batch_body,
    chain_seed,
    decode_header,
    delete_body,
    encode_header,
    frame,
    promise_body,
    put_body,
    seal_body,
)
from lsmproc.formats.messages import SegmentEnd
from lsmproc.formats.version_edit import FileMetadata, VersionEdit, decode_version_edit, encode_version_edit
from lsmproc.storage.manifest import read_manifest
from lsmproc.storage.wal_reader import Records, apply_frames, is_blank, read_log
from lsmproc.storage.wal_recovery import replay_log
from lsmproc.storage.wal_runs import read_runs
from tests.hostile.memory_files import memory_files
from tests.hostile.mutation import NUMBERS, changed_bytes, changed_tree, nested, packed
from tests.storage.sorted_runs import newest_of

Case = Callable[[Random], bool]

STORE = b"one store's uuid"
HEADER = encode_header(LogHeader(KIND_WAL, STORE, 1, 7))
BODIES = [
    put_body(10, b"key", b"value"),
    delete_body(11, b"key"),
    batch_body(12, [b"a", b"b", b"a"], [b"1", None, bytes(40)]),
    promise_body(12, chain_seed(HEADER), 200),
    put_body(13, b"last", b"zeros\0\0"),
    batch_body(14, [b"%d" % n for n in range(3000)], [None] * 3000),
    seal_body(14),
]
FILE = FileMetadata(7, 300, 2**64 - 1, 12, b"a", b"c", 3, 1, 10, 20, 250)
EDIT = VersionEdit(((0, FILE), (3, FILE)), ((1, 5), (2, 6)), 8, 9, 1000, 4)


def log_of(bodies: list[bytes], header: bytes = HEADER) -> bytes:
    """A log file whose chain of checksums is right."""
    parts, checksum = [header], chain_seed(header)
    for body in bodies:
        checksum = crc32(body, checksum)
        parts.append(frame(checksum, body))
    return b"".join(parts)


def damaged_log(rng: Random) -> bool:
    """A log with a few bytes changed anywhere, zeros behind it now and then."""
    data = log_of(rng.choices(BODIES, k=rng.randint(0, 6))) + bytes(rng.choice((0, 0, 100)))
    return _read_segment(changed_bytes(rng, data))


def crafted_frames(rng: Random) -> bool:
    """Frames whose checksums are right and whose content is anything."""
    bodies = rng.choices(BODIES, k=rng.randint(0, 3))
    bodies += [_crafted_body(rng) for _ in range(rng.randint(1, 3))]
    rng.shuffle(bodies)
    return _read_segment(log_of(bodies))


def crafted_headers(rng: Random) -> bool:
    """Headers whose checksum is right, in a chain of segments, with every number out of range."""
    headers = [
        LogHeader(rng.choice((KIND_WAL, KIND_WAL, rng.randrange(256))), STORE, number, 7, *_numbers(rng, number))
        for number in (1, 2, 3)
    ]
    files = {
        f"00000{n}.wal": log_of(rng.choices(BODIES, k=2), encode_header(header)) for n, header in enumerate(headers, 1)
    }
    fs = memory_files(**files)
    replayed = replay_log(fs, [1, 2, 3], rng.choice((0, 1, 2, 9)), STORE)
    _check_records(replayed.records)
    return True


def crafted_promises(rng: Random) -> bool:
    """Promises that check, of every length of the log, behind whole and broken frames."""
    seed = chain_seed(HEADER)
    bodies = [*rng.choices(BODIES, k=2), promise_body(5, seed, rng.choice(NUMBERS) % (1 << 64))]
    data = log_of(bodies)
    return _read_segment(changed_bytes(rng, data) if rng.random() < 0.5 else data)


def log_headers(rng: Random) -> bool:
    """Headers with bytes changed, and their checksum put right."""
    fields = changed_bytes(rng, HEADER[:-4])[: HEADER_SIZE - 4]
    decode_header(fields + crc32(fields).to_bytes(4, "big"), "000001.wal")
    return True


def version_edits(rng: Random) -> bool:
    """Edits of every wrong shape."""
    edit = decode_version_edit(packed(rng, changed_tree(rng, msgpack.unpackb(encode_version_edit(EDIT)), 0.02)))
    assert all(type(file) is FileMetadata for _, file in edit.added)
    return True


def manifests(rng: Random) -> bool:
    """Manifests whose frames check and hold edits that do not fit, and CURRENT files that name something else."""
    header = encode_header(LogHeader(KIND_MANIFEST, STORE, 5, 7))
    trees = [
        changed_tree(rng, msgpack.unpackb(encode_version_edit(edit)), 0.002)
        for edit in (
            VersionEdit(((0, FILE),), (), 3, 9, 50, 1),
            VersionEdit((), ((0, 7),)),
            VersionEdit(((3, FILE),), (), 4),
        )
    ]
    bodies = [put_body(n, rng.choice((b"version_edit",) * 19 + (b"x",)), packed(rng, t)) for n, t in enumerate(trees)]
    if rng.random() < 0.2:
        bodies.append(_crafted_body(rng))
    name = rng.choice(("MANIFEST-000005",) * 6 + ("MANIFEST-000006", "../MANIFEST-000005", "MANIFEST-5", "000005.wal"))
    current = f"{name} {crc32(name.encode()):08x}\n".encode()
    if rng.random() < 0.2:
        current = changed_bytes(rng, current)
    recovered = read_manifest(memory_files(**{"CURRENT": current, "MANIFEST-000005": log_of(bodies, header)}))
    assert recovered.version.next_file_number < 1 << 63
    return True


def _read_segment(data: bytes) -> bool:
    """Read a segment in every way; what comes out is records and nothing else."""
    fs = memory_files(**{"000001.wal": data})
    records: Records = {}
    blank = is_blank(fs, "000001.wal")
    log = read_log(fs, "000001.wal", KIND_WAL, STORE, lambda frames: apply_frames(records, frames))
    _check_records(records)
    assert not blank
    again = newest_of(read_runs(fs, SegmentEnd(1, log.end, log.checksum, log.last_sequence), STORE))
    assert records == again
    return True


def _check_records(records: dict[Any, Any]) -> None:
    for key, (sequence, value) in records.items():
        assert type(key) is bytes
        assert type(sequence) is int
        assert value is None or type(value) is bytes


def _crafted_body(rng: Random) -> bytes:
    """The body of a frame in the form of a valid one, with anything in its four places."""
    places = [
        rng.choice((b"\xcf", b"\xcf", b"\xd3")) + (rng.choice(NUMBERS) % (1 << 64)).to_bytes(8, "big"),
        _crafted_part(rng),
        _crafted_part(rng),
    ]
    if rng.random() < 0.1:
        places.pop(rng.randrange(3))
    return b"".join(places)


def _crafted_part(rng: Random) -> bytes:
    count = rng.choice((0, 1, 2, 5, 3000))
    items = [rng.choice((b"\xc6\0\0\0\1x", b"\xc6\0\0\0\0", b"\xc0", b"\xc4\1x", b"\1", b"\x90")) for _ in range(count)]
    match rng.randrange(9):
        case 0:
            return nested(rng)
        case 1:
            return packed(rng, changed_tree(rng, [1, b"x", [None]], 0.3))
        case 2 | 3 | 4:
            told = rng.choice((count, count, count, count + 1, 1 << 20, (1 << 32) - 1))
            return b"\xdd" + told.to_bytes(4, "big") + b"".join(items)
        case 5:
            return b"\xdd" + count.to_bytes(4, "big") + b"\xc6\0\0\0\1x" * count
        case 6:
            return b"\xc6" + rng.choice((0, 1, 70_000, 1 << 31, (1 << 32) - 1)).to_bytes(4, "big") + b"x"
        case 7:
            return b"\xc0"
    return b"\xc6\0\0\0\1k"


def _numbers(rng: Random, number: int) -> tuple[int, int, int]:
    """Predecessor, its end and its checksum: those of a chain of empty segments, or anything."""
    if rng.random() < 0.5:
        return number - 1, rng.choice((0, 64, 64)), chain_seed(HEADER)
    return tuple(rng.choice(NUMBERS) % (1 << bits) for bits in (64, 64, 32))  # type: ignore[return-value]


TARGETS: dict[str, Callable[[], Case]] = {
    "damaged logs": lambda: damaged_log,
    "crafted frames": lambda: crafted_frames,
    "crafted segment headers": lambda: crafted_headers,
    "crafted promises": lambda: crafted_promises,
    "log headers": lambda: log_headers,
    "version edits": lambda: version_edits,
    "manifests": lambda: manifests,
}
