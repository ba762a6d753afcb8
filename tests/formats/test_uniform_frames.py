"""Rows of equally long puts: the short cut of the log's decoder gives what the general way gives, and no more."""

from __future__ import annotations

from zlib import crc32

import pytest

from lsmproc.formats.frame_decoding import DecodedFrames, decode_frames
from lsmproc.formats.log_format import batch_body, delete_body, frame, promise_body, put_body
from lsmproc.formats.uniform_frames import uniform_puts

SEED = 77
COUNT = 40


def log_of(bodies: list[bytes]) -> bytes:
    """The frames of ``bodies`` in a chain."""
    log, checksum = b"", SEED
    for body in bodies:
        checksum = crc32(body, checksum)
        log += frame(checksum, body)
    return log


def puts(count: int = COUNT, value_bytes: int = 9) -> list[bytes]:
    """Puts of equal length under growing sequence numbers."""
    return [put_body(n + 5, b"key%03d" % n, b"%d" % (n % 10) * value_bytes) for n in range(count)]


def rows_of(decoded: DecodedFrames) -> list[tuple[object, object, object]]:
    """What was decoded, frame by frame."""
    return list(zip(decoded.sequences, decoded.keys, decoded.values, strict=True))


ROWS = [(n + 5, b"key%03d" % n, b"%d" % (n % 10) * 9) for n in range(COUNT)]


def test_a_row_of_equal_puts_is_decoded_as_a_whole() -> None:
    """Columns, bytes and checksum are those of the row."""
    log = log_of(puts())
    sequences, keys, values, size, checksum = uniform_puts(log, len(log), SEED)
    assert ROWS == list(zip(sequences, keys, values, strict=True))
    assert len(log) == COUNT * size
    assert decode_frames(log, SEED).checksum == checksum


@pytest.mark.parametrize("value_bytes", [0, 1, 300])
def test_values_of_any_length_come_out_as_they_went_in(value_bytes: int) -> None:
    """Empty values are values."""
    decoded = decode_frames(log_of(puts(value_bytes=value_bytes)), SEED)
    assert [b"%d" % (n % 10) * value_bytes for n in range(COUNT)] == decoded.values
    assert decoded.plain


def test_no_damaged_byte_is_accepted() -> None:
    """Whatever byte of a row is changed, the frames before that one count, and nothing behind."""
    log = log_of(puts())
    size = len(log) // COUNT
    for position in range(len(log)):
        damaged = bytearray(log)
        damaged[position] ^= 0x10
        assert ROWS[: position // size] == rows_of(decode_frames(bytes(damaged), SEED))


def test_no_damaged_record_is_accepted_when_a_row_is_checked_as_a_whole() -> None:
    """Damage outside of the checksums between the records ends the row as ever; damage in them changes no record."""
    log = log_of(puts())
    size = len(log) // COUNT
    for position in range(len(log)):
        damaged = bytearray(log)
        damaged[position] ^= 0x10
        frame, place = divmod(position, size)
        expected = ROWS if 1 <= place < 5 and frame < COUNT - 1 else ROWS[:frame]
        assert expected == rows_of(decode_frames(bytes(damaged), SEED, as_whole=True))


def test_a_row_checked_as_a_whole_ends_in_the_same_chain() -> None:
    """Whatever is read behind it starts from the same checksum."""
    bodies = puts(200)
    log = log_of(bodies)
    assert decode_frames(log, SEED) == decode_frames(log, SEED, as_whole=True)


def test_a_row_that_is_cut_short_ends_with_its_last_whole_frame() -> None:
    """A torn frame behind a row does not count, whatever zeros follow."""
    log = log_of(puts())
    size = len(log) // COUNT
    for end in range(len(log) - 2 * size, len(log)):
        for padding in (b"", bytes(100)):
            assert end // size == len(decode_frames(log[:end] + padding, SEED).keys)


@pytest.mark.parametrize(
    "other",
    [put_body(900, b"longer key", b"v"), delete_body(900, b"k"), batch_body(900, [b"a", b"b"], [b"1", None])],
    ids=["put", "delete", "batch"],
)
@pytest.mark.parametrize("place", [0, 1, 20, COUNT])
def test_a_row_with_another_frame_in_it_goes_on_behind_that(other: bytes, place: int) -> None:
    """Frames of another length or kind are found in their place."""
    bodies = puts()
    bodies.insert(place, other)
    decoded = decode_frames(log_of(bodies), SEED)
    sequences = [row[0] for row in ROWS]
    assert [*sequences[:place], 900, *sequences[place:]] == decoded.sequences
    assert all(type(key) is bytes for key in decoded.keys) or not decoded.plain


def test_a_row_with_a_promise_in_it_is_not_called_plain() -> None:
    """Who looks for promises must not pass over it."""
    decoded = decode_frames(log_of([*puts(), promise_body(46, SEED, 64), *puts()]), SEED)
    assert not decoded.plain
    assert 2 * COUNT + 1 == len(decoded.keys)


def test_frames_of_another_chain_are_not_decoded() -> None:
    """A row whose first checksum does not follow from the seed is no row."""
    log = log_of(puts())
    assert [] == decode_frames(log, SEED + 1).keys
