"""Messages survive their trip as bytes, and bytes that are no message are refused."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import (
    MAX_MESSAGE_BYTES,
    CompactionDone,
    CompactionRequest,
    FlushDone,
    FlushRequest,
    Grant,
    GrantRequest,
    JobCost,
    JobFailed,
    JobOutput,
    LogRecord,
    Message,
    Pace,
    Progress,
    Ready,
    SegmentEnd,
    Stop,
    TableOptions,
    decode_message,
    encode_message,
)
from lsmproc.formats.version_edit import FileMetadata

_U64 = 2**64 - 1
_FILE = FileMetadata(13, 4096, _U64, _U64, b"a", b"\xff" * 300, 35, 2, 1, _U64, 4000)
_OPTIONS = TableOptions("plain", 8192, "zstd", "none", 16, 1 << 30)
_COST = JobCost(10, 9, 8, 7, 0.5, 0.25, 4321, 1 << 33)

MESSAGES: list[Message] = [
    FlushRequest(1, 2, "/data/ä", b"\x00" * 16, 3, (SegmentEnd(4, 5, 6, _U64), SegmentEnd(5, 0, 0, 0)), _OPTIONS, True),
    FlushRequest(1, 1, "", b"", 0, (), TableOptions(), False),
    CompactionRequest(
        7, 1, "/d", 3, ((_FILE,), (_FILE, _FILE)), None, b"m", 6, ((b"a", b"b"),), ((b"", b"z", 9),), 5, _OPTIONS, False
    ),
    FlushDone(1, 2, (JobOutput("tmp/3-1-2-0.sst", _FILE),), _COST),
    CompactionDone(7, 1, (), _COST),
    JobFailed(7, 3, "StorageError", "no", "Traceback\n", True),
    Ready(4321),
    GrantRequest(7, 1 << 20),
    Grant(0),
    Pace(True),
    Stop(),
    Progress(7, 1 << 20),
    LogRecord("lsmproc.workers", 30, "ä"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_each_message_comes_back_as_it_went(message: Message) -> None:
    """Every field, with its type."""
    assert message == decode_message(encode_message(message))


def test_the_bytes_of_a_message_do_not_change() -> None:
    """Owner and worker are of one version, but a capture of yesterday's messages should still be readable."""
    assert "91 09" == encode_message(Stop()).hex(" ")
    assert "93 06 07 cd 10 00" == encode_message(GrantRequest(7, 4096)).hex(" ")
    assert "92 08 c3" == encode_message(Pace(True)).hex(" ")


@pytest.mark.parametrize(
    "array",
    [
        None,
        [],
        {},
        [99],
        [-1],
        ["6", 1],
        [True],
        [6, 1],
        [6, 1, 2, 3],
        [6, 1, "2"],
        [6, 1, -2],
        [6, 1, 2.0],
        [6, True, 2],
        [8, 1],
        [5, None],
        [1, *[0] * 13],
        [2, 1, 1, [["name", [1, 2]]], [0, 0, 0, 0, 0.0, 0.0, 0, 0]],
        [2, 1, 1, 5, [0, 0, 0, 0, 0.0, 0.0, 0, 0]],
        [2, 1, 1, [], [0, 0, 0, 0, 0.0, 0.0]],
        [2, 1, 1, [], [0, 0, 0, 0, "0", 0.0, 0, 0]],
        [2, 1, 1, [], [0, 0, 0, 0, 0.0, 0.0, 0, -1]],
    ],
    ids=repr,
)
def test_a_message_of_the_wrong_shape_is_refused(array: object) -> None:
    """Unknown kinds, missing and surplus fields, wrong types and negative numbers."""
    with pytest.raises(CorruptionError):
        decode_message(msgpack.packb(array))


def test_an_extension_type_is_refused() -> None:
    """Extension types and timestamps could make objects that no field expects."""
    with pytest.raises(CorruptionError):
        decode_message(msgpack.packb([7, msgpack.ExtType(4, b"x")]))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_cut_message_is_refused(message: Message) -> None:
    """At every length."""
    encoded = encode_message(message)
    for length in range(len(encoded)):
        with pytest.raises(CorruptionError):
            decode_message(encoded[:length])


@given(st.binary(max_size=100))
def test_random_bytes_only_ever_fail_as_corruption(data: bytes) -> None:
    """No other exception, whatever comes out of a pipe."""
    try:
        decode_message(data)
    except CorruptionError:
        return


@given(st.sampled_from(MESSAGES), st.integers(0, 10_000), st.integers(0, 255))
def test_a_flipped_byte_gives_a_message_or_corruption(message: Message, place: int, byte: int) -> None:
    """A damaged message cannot make anything but plain data."""
    encoded = bytearray(encode_message(message))
    encoded[place % len(encoded)] = byte
    try:
        decoded = decode_message(bytes(encoded))
    except CorruptionError:
        return
    assert dataclasses.is_dataclass(decoded)


def test_a_message_above_the_limit_is_neither_sent_nor_read() -> None:
    """A length cap keeps a damaged pipe from filling the memory."""
    with pytest.raises(ValueError, match="above the limit"):
        encode_message(JobFailed(1, 1, "E", "x" * MAX_MESSAGE_BYTES, "", True))
    with pytest.raises(CorruptionError):
        decode_message(bytes(MAX_MESSAGE_BYTES + 1))
