"""What hostile input has broken once, by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from zlib import crc32

import msgpack
import pytest

import lsmproc
from lsmproc.config.toml_file import parse_toml
from lsmproc.errors import ConfigError, CorruptionError
from lsmproc.formats.bounded_msgpack import FlatReader, decode_tree
from lsmproc.formats.column_arrays import decode_array
from lsmproc.formats.file_names import parse_file_name
from lsmproc.formats.frame_decoding import decode_frame, decode_frames
from lsmproc.formats.log_format import (
    KIND_MANIFEST,
    KIND_WAL,
    LogHeader,
    batch_body,
    chain_seed,
    encode_header,
    put_body,
)
from lsmproc.formats.messages import decode_message
from lsmproc.formats.table_format import decode_properties
from lsmproc.formats.version_edit import VersionEdit, decode_version_edit, encode_version_edit
from lsmproc.storage.directory_lock import owner_of
from lsmproc.storage.manifest import read_manifest
from lsmproc.storage.wal_reader import Records, apply_frames, read_log
from tests.hostile.log_targets import EDIT, HEADER, STORE, log_of
from tests.hostile.memory_files import memory_files

KEY, VALUE, NIL = b"\xc6\0\0\0\1k", b"\xc6\0\0\0\1v", b"\xc0"
SEQUENCE = b"\xcf" + (7).to_bytes(8, "big")


def array(*items: bytes) -> bytes:
    """A column of a batch, as a writer makes it."""
    return b"\xdd" + len(items).to_bytes(4, "big") + b"".join(items)


@pytest.mark.parametrize("decode", [decode_message, decode_version_edit, decode_properties, decode_array])
@pytest.mark.parametrize("tail", [b"\xc0", b"\xc0\xc0"])
@pytest.mark.parametrize("depth", [9, 900, 1000, 1023, 1024, 5000])
def test_arrays_in_arrays_are_corruption_at_any_depth(
    decode: Callable[[bytes], object], tail: bytes, depth: int
) -> None:
    """The text of an error showed the value, and the text of a value a thousand levels deep is a RecursionError."""
    if decode is not decode_array:
        with pytest.raises(CorruptionError):
            decode(b"\x91" * depth + tail)
    elif tail != b"\xc0" or depth > 1024:
        with pytest.raises(CorruptionError):
            decode_array(b"\x91" * depth + tail, 5)


@pytest.mark.parametrize(
    "places",
    [
        array(KEY) + VALUE,
        KEY + array(VALUE),
        array(KEY) + NIL,
        NIL + array(VALUE),
        array(KEY, KEY) + array(VALUE),
        array(KEY) + array(VALUE, VALUE),
        array(NIL) + array(VALUE),
        NIL + NIL,
    ],
)
def test_a_frame_that_is_half_a_batch_ends_the_log(places: bytes) -> None:
    """Its checksum is right: it raised TypeError, or put numbers and tuples where values belong."""
    body = SEQUENCE + places
    data = log_of([put_body(1, b"a", b"1"), body])
    records: Records = {}
    log = read_log(memory_files(a=data), "a", KIND_WAL, STORE, lambda frames: apply_frames(records, frames))
    assert {b"a": (1, b"1")} == records
    assert log.dirty_tail
    only = decode_frame(log_of([body])[64:], chain_seed(HEADER))
    assert only is not None
    assert 0 == only.size


@pytest.mark.parametrize("sequence", [1 << 63, (1 << 64) - 1, -1])
def test_a_sequence_that_no_clock_reaches_is_corruption(sequence: int) -> None:
    """The next one had no place in 64 bits, so that the first write after the opening raised struct.error."""
    lead = b"\xd3" if sequence < 0 else b"\xcf"
    body = lead + (sequence % (1 << 64)).to_bytes(8, "big") + KEY + VALUE
    with pytest.raises(CorruptionError, match="sequence"):
        read_log(memory_files(a=log_of([body])), "a", KIND_WAL, STORE, lambda frames: None)


@pytest.mark.parametrize("field", ["log_number", "next_file_number", "last_sequence", "epoch"])
def test_a_manifest_with_a_counter_beyond_63_bits_is_corruption(field: str) -> None:
    """The same for the numbers of the next file and the next opening."""
    name = "MANIFEST-000005"
    header = encode_header(LogHeader(KIND_MANIFEST, STORE, 5, 7))
    for number, sound in (((1 << 63) - 1, True), (1 << 63, False)):
        body = put_body(1, b"version_edit", encode_version_edit(VersionEdit(**{field: number})))
        fs = memory_files(**{"CURRENT": f"{name} {crc32(name.encode()):08x}\n".encode(), name: log_of([body], header)})
        if sound:
            assert number == getattr(read_manifest(fs).version, field)
        else:
            with pytest.raises(CorruptionError, match=name):
                read_manifest(fs)


def test_a_file_name_with_a_number_beyond_63_bits_is_no_file_of_a_store(tmp_path: Path) -> None:
    """The next file's number had no place in its header, and every opening failed."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"a", b"1")
    for name in ("9223372036854775808.sst", "18446744073709551615.wal", "99999999999999999999.sst"):
        assert parse_file_name(name) is None
        (tmp_path / name).write_bytes(b"x")
    with lsmproc.open(tmp_path, background="inline") as db:
        assert b"1" == db.get(b"a")
        db.put(b"b", b"2")


def test_the_text_of_lock_may_be_nested_deeply() -> None:
    """It is for a message only; the parser's RecursionError took the message's place."""
    assert not owner_of(memory_files(LOCK=b"[" * 4096))
    text = json.dumps({"pid": 1, "host": "h", "command": "c", "since": "s"}).encode()
    assert owner_of(memory_files(LOCK=text)).startswith("pid 1 on h")


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"[" * 2000 + b"]" * 2000,
        b"a = " + b"1" * 5000,
        b"a." * 30_000 + b"a = 1",
        b" " * 60_000 + b"x",
        b"a" * 60_000,
        b"a = 1\n" * 100_000,
    ],
    ids=["brackets", "digits", "dots", "spaces", "letters", "lines"],
)
@pytest.mark.timeout(10)
def test_settings_that_take_the_parser_to_its_limits_are_a_config_error(text: bytes) -> None:
    """They were a RecursionError, a ValueError, and half a minute."""
    with pytest.raises(ConfigError, match=r"app\.toml"):
        parse_toml(text, "app.toml")


@pytest.mark.parametrize("seed", range(8))
def test_batches_of_every_size_come_back_whatever_stands_beside_them(seed: int) -> None:
    """Columns above 2,048 items are read another way than those below; both meet in one log, zeros at the end."""
    rng = Random(seed)
    bodies, expected, records = [], {}, {}
    for sequence in range(1, 40):
        count = rng.choice((0, 1, 1, 5, 2047, 2048, 2049, 4096, 4097, 9000)) if rng.random() < 0.5 else None
        keys = [b"%d-%d" % (sequence, n) for n in range(count or 1)]
        values = [rng.choice((None, b"", b"v" * rng.randrange(40), bytes(3))) for _ in keys]
        if count is None:
            keys, values = keys[:1], [bytes(rng.randrange(5))]
            bodies.append(put_body(sequence, keys[0], values[0] or b""))
        else:
            keys, values = keys[:count], values[:count]
            bodies.append(batch_body(sequence, keys, values))
        expected.update({key: (sequence, value) for key, value in zip(keys, values, strict=True)})
    data = log_of(bodies)[64:]
    for padding in (b"", bytes(5), bytes(5000)):
        frames = decode_frames(data + padding, chain_seed(HEADER))
        apply_frames(records, frames)
        assert (expected, len(data)) == (records, frames.size)
    log = read_log(memory_files(a=HEADER + data), "a", KIND_WAL, STORE, lambda frames: None)
    assert 64 + len(data) == log.end


def test_a_frame_longer_than_a_chunk_is_asked_for_again_only_while_it_may_be_whole() -> None:
    """None says that bytes are missing, no frames that more of them would not help."""
    data = log_of([batch_body(1, [b"%04d" % n for n in range(5000)], [b"v"] * 5000)])[64:]
    seed = chain_seed(HEADER)
    for size in (0, 1, 5, 14, 18, 20, 1000, len(data) // 2, len(data) - 1):
        assert decode_frame(data[:size], seed) is None
    whole = decode_frame(data + b"rest", seed)
    assert whole is not None
    assert len(data) == whole.size
    for place in (0, 14, 19, 1000, len(data) - 3):
        damaged = bytearray(data)
        damaged[place] ^= 0x40
        broken = decode_frame(bytes(damaged), seed)
        assert broken is None or broken.size == 0


def test_a_tree_has_no_more_objects_than_its_bytes_can_mean() -> None:
    """Empty arrays are a byte each; nothing that is written comes near."""
    with pytest.raises(CorruptionError, match="more objects"):
        decode_tree(b"\xdd\0\x10\0\0" + b"\x90" * (1 << 20), largest_string=0)
    assert EDIT == decode_version_edit(encode_version_edit(EDIT))


@pytest.mark.parametrize("item", [{}, {b"k": 1}, [1], "text", msgpack.Timestamp(1, 1), msgpack.ExtType(5, b""), 1.5])
def test_a_flat_array_takes_only_the_types_that_are_asked_for(item: object) -> None:
    """Empty maps and extensions pass every limit that msgpack has of its own."""
    reader = FlatReader(msgpack.packb([b"a", item]))
    assert 2 == reader.array_header()
    with pytest.raises(CorruptionError):
        reader.items(2, {bytes})
