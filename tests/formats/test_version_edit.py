"""Version edits as bytes: golden bytes, round trips, and what is refused."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.errors import CorruptionError
from lsmproc.formats.version_edit import (
    LEVEL_COUNT,
    FileMetadata,
    VersionEdit,
    decode_file_metadata,
    decode_version_edit,
    encode_file_metadata,
    encode_version_edit,
)

TABLE = FileMetadata(7, 300, 2**64 - 1, 12, b"a", b"\xff\x00", 3, 1, 10, 20, 250)
EDIT = VersionEdit(((0, TABLE),), ((1, 5), (6, 6)), 3, 8, 20, None, ((3, 300), (7, 0)))
# Written to disk: when this fails, stores of earlier releases cannot be read any more.
GOLDEN = bytes.fromhex(
    "98"  # an array of 8
    "02"  # layout 2
    "91 92 00 9b 07 cd012c cfffffffffffffffff 0c c40161 c402ff00 03 01 0a 14 ccfa"  # added: level 0, TABLE
    "92 9201 05 9206 06"  # removed: table 5 of level 1, table 6 of level 6
    "03 08 14 c0"  # log number, next file number, last sequence, no epoch
    "92 9203cd012c 920700"  # segments: 3 synced up to byte 300, 7 not synced
)

NUMBERS = st.integers(0, 2**64 - 1)
COUNTERS = st.none() | NUMBERS
TABLES = st.builds(
    FileMetadata,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.binary(),
    st.binary(),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
)
LEVELS = st.integers(0, LEVEL_COUNT - 1)
EDITS = st.builds(
    VersionEdit,
    st.lists(st.tuples(LEVELS, TABLES), max_size=3).map(tuple),
    st.lists(st.tuples(LEVELS, st.integers(1, 2**64 - 1)), max_size=3).map(tuple),
    COUNTERS,
    COUNTERS,
    COUNTERS,
    COUNTERS,
    st.none() | st.lists(st.tuples(st.integers(1, 2**64 - 1), NUMBERS), max_size=3).map(tuple),
)


def test_the_bytes_of_an_edit_never_change() -> None:
    """Golden bytes, both ways."""
    assert GOLDEN == encode_version_edit(EDIT)
    assert EDIT == decode_version_edit(GOLDEN)


@settings(max_examples=100, deadline=None)
@given(EDITS)
def test_every_edit_comes_back_as_it_was(edit: VersionEdit) -> None:
    """Any levels, tables and counters."""
    assert edit == decode_version_edit(encode_version_edit(edit))


def test_a_table_description_comes_back_as_it_was() -> None:
    """As part of messages, too, where arrays arrive as lists."""
    assert TABLE == decode_file_metadata(encode_file_metadata(TABLE))


def _fields(**changes: object) -> bytes:
    names = ("layout", "added", "removed", "log_number", "next_file_number", "last_sequence", "epoch", "segments")
    fields: list[object] = [2, [], [], None, None, None, None, None]
    for name, value in changes.items():
        fields[names.index(name)] = value
    packed: bytes = msgpack.packb(fields)
    return packed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x00" * 16,
        GOLDEN[:-1],
        GOLDEN + b"\x00",
        msgpack.packb({}),
        msgpack.packb("text"),
        msgpack.packb([]),
        msgpack.packb([2, [], []]),
        msgpack.packb([1, [], [], None, None, None, None]),
        msgpack.packb([2, [], [], None, None, None, None]),
        msgpack.packb([2, [], [], None, None, None, None, None, None]),
        msgpack.packb(msgpack.ExtType(5, b"x")),
        b"\x91" * 100_000,
        _fields(layout=1),
        _fields(layout=3),
        _fields(layout=None),
        _fields(added=5),
        _fields(added=[5]),
        _fields(added=[[0, []]]),
        _fields(added=[[LEVEL_COUNT, encode_file_metadata(TABLE)]]),
        _fields(added=[[-1, encode_file_metadata(TABLE)]]),
        _fields(added=[[True, encode_file_metadata(TABLE)]]),
        _fields(added=[[0, [*encode_file_metadata(TABLE)[:-1], -1]]]),
        _fields(added=[[0, [*encode_file_metadata(TABLE)[:-1], 1.0]]]),
        _fields(added=[[0, [*encode_file_metadata(TABLE), 1]]]),
        _fields(removed=[[0]]),
        _fields(removed=[[0, 0]]),
        _fields(removed=[[7, 1]]),
        _fields(removed=[[0, "1"]]),
        _fields(log_number=-1),
        _fields(epoch=True),
        _fields(last_sequence=1.5),
        _fields(next_file_number=[]),
        _fields(segments=5),
        _fields(segments=[5]),
        _fields(segments=[[3]]),
        _fields(segments=[[3, 0, 0]]),
        _fields(segments=[[0, 0]]),
        _fields(segments=[[3, -1]]),
        _fields(segments=[[3, True]]),
        _fields(segments=[["3", 0]]),
    ],
)
def test_anything_else_is_corruption(data: bytes) -> None:
    """Hostile or damaged bytes raise CorruptionError and nothing else."""
    with pytest.raises(CorruptionError):
        decode_version_edit(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_an_edit_or_corruption(data: bytes) -> None:
    """No other exception, whatever the input."""
    try:
        decode_version_edit(data)
    except CorruptionError:
        return
