"""The log format, byte by byte: what is written is found again, and nothing else is ever taken for it."""

from __future__ import annotations

from random import Random
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.errors import CorruptionError
from lsmproc.formats.frame_decoding import DecodedFrames, decode_frames
from lsmproc.formats.log_format import (
    HEADER_SIZE,
    KIND_WAL,
    LogHeader,
    batch_body,
    chain_seed,
    decode_header,
    delete_body,
    encode_header,
    frame,
    is_seal,
    latest_promise,
    promise_body,
    put_body,
    seal_body,
)

HEADER = LogHeader(KIND_WAL, bytes(range(16)), 7, 0xDEADBEEF, 5, 1234, 0xCAFEBABE)
SEED = chain_seed(encode_header(HEADER))

GOLDEN_HEADER = (
    "4c534d504c4f4701" "01" "01" "0000" "deadbeef" "000102030405060708090a0b0c0d0e0f"
    "0000000000000007" "0000000000000005" "00000000000004d2" "cafebabe"
)  # fmt: skip
GOLDEN_PUT = "cf0000000000000102c6000000016bc60000000276" + "00"
GOLDEN_DELETE = "cf0000000000000103c6000000016bc0"
GOLDEN_BATCH = "cf0000000000000104dd00000002c60000000161c60000000162dd00000002c60000000131c0"
GOLDEN_SEAL = "cf0000000000000104c0c60000000893" + b"SEALED".hex() + "93"

Frame = tuple[int, object, object]


def log_of(bodies: list[bytes], seed: int = SEED) -> tuple[bytes, list[int]]:
    """Chained frames, and where each ends."""
    data, ends, checksum = b"", [], seed
    for body in bodies:
        checksum = crc32(body, checksum)
        data += frame(checksum, body)
        ends.append(len(data))
    return data, ends


def frames_of(decoded: DecodedFrames) -> list[Frame]:
    """The columns as rows."""
    return list(zip(decoded.sequences, decoded.keys, decoded.values, strict=True))


BODIES = [
    put_body(10, b"key", b"value"),
    put_body(11, b"", b""),
    put_body(12, b"\0", b"ends in zeros\0\0\0"),
    delete_body(13, b"key"),
    batch_body(14, [b"a", b"b", b"a"], [b"1", None, b"\0"]),
    promise_body(14, SEED, 200),
    put_body(15, b"last", b"zeros\0\0"),
]
SYNCED = b"\x93SYNCED\x93" + (200).to_bytes(8, "big")
FRAMES: list[Frame] = [
    (10, b"key", b"value"),
    (11, b"", b""),
    (12, b"\0", b"ends in zeros\0\0\0"),
    (13, b"key", None),
    (14, (b"a", b"b", b"a"), (b"1", None, b"\0")),
    (14, None, SYNCED + crc32(SYNCED, SEED).to_bytes(4, "big")),
    (15, b"last", b"zeros\0\0"),
]  # fmt: skip


def test_the_header_has_the_bytes_that_earlier_releases_wrote() -> None:
    """The header's fields stand where the drawing says, followed by their checksum."""
    encoded = encode_header(HEADER)
    assert GOLDEN_HEADER == encoded[:-4].hex()
    assert crc32(encoded[:-4]) == int.from_bytes(encoded[-4:], "big")
    assert HEADER == decode_header(encoded, "x")


@pytest.mark.parametrize(
    ("golden", "body"),
    [
        (GOLDEN_PUT, put_body(0x102, b"k", b"v\0")),
        (GOLDEN_DELETE, delete_body(0x103, b"k")),
        (GOLDEN_BATCH, batch_body(0x104, [b"a", b"b"], [b"1", None])),
        (GOLDEN_SEAL, seal_body(0x104)),
    ],
)
def test_bodies_have_the_bytes_that_earlier_releases_wrote(golden: str, body: bytes) -> None:
    """Each kind of frame is fixed to the byte."""
    assert golden == body.hex()


def test_a_promise_has_the_bytes_that_earlier_releases_wrote() -> None:
    """Mark, durable end, and a checksum of its own that starts from the header's."""
    payload = b"\x93SYNCED\x93" + (77).to_bytes(8, "big")
    expected = (
        b"\xcf" + (5).to_bytes(8, "big") + b"\xc0\xc6\0\0\0\x14" + payload + crc32(payload, SEED).to_bytes(4, "big")
    )
    assert expected == promise_body(5, SEED, 77)


@pytest.mark.parametrize("position", range(HEADER_SIZE))
def test_a_flipped_bit_of_the_header_is_corruption_that_names_the_file(position: int) -> None:
    """No byte of a header can change unnoticed."""
    for bit in range(8):
        damaged = bytearray(encode_header(HEADER))
        damaged[position] ^= 1 << bit
        with pytest.raises(CorruptionError) as caught:
            decode_header(bytes(damaged), "000007.wal")
        assert "000007.wal" == caught.value.file
        assert caught.value.offset in {0, 9}


@pytest.mark.parametrize("size", range(HEADER_SIZE))
def test_a_short_header_is_corruption_at_its_end(size: int) -> None:
    """The error tells where the file ends."""
    with pytest.raises(CorruptionError) as caught:
        decode_header(encode_header(HEADER)[:size], "000007.wal")
    assert ("000007.wal", size) == (caught.value.file, caught.value.offset)


def test_all_kinds_of_frames_are_decoded_together() -> None:
    """Puts, deletes, batches and control frames, with zeros at every end."""
    data, ends = log_of(BODIES)
    for padding in (b"", b"\0", bytes(4096)):
        decoded = decode_frames(data + padding, SEED)
        assert FRAMES == frames_of(decoded)
        assert ends[-1] == decoded.size


def test_a_seal_is_told_from_every_other_frame() -> None:
    """Also from a put whose value looks like one."""
    data, _ = log_of([put_body(1, b"k", b"\x93SEALED\x93"), seal_body(1)])
    decoded = decode_frames(data, SEED)
    assert [False, True] == list(map(is_seal, decoded.keys, decoded.values))


def test_every_cut_of_a_log_decodes_to_the_whole_frames_before_it() -> None:
    """Whatever length is left, alone or with the zeros of preallocated space behind it."""
    data, ends = log_of(BODIES)
    for size in range(len(data) + 1):
        whole = sum(end <= size for end in ends)
        for padding in (b"", bytes(100)):
            decoded = decode_frames(data[:size] + padding, SEED)
            # A frame whose missing bytes were zeros is whole again with the zeros behind the cut.
            assert frames_of(decoded) == FRAMES[: len(decoded.sequences)]
            assert len(decoded.sequences) in ({whole} if not padding else {whole, whole + 1})
            if not padding:
                assert ([0, *ends][whole], whole) == (decoded.size, len(decoded.keys))


def test_every_changed_byte_of_a_log_ends_it_there_at_the_latest() -> None:
    """Each byte in several ways: what is decoded is always a true prefix, up to the frame that was hit."""
    data, ends = log_of(BODIES)
    rng = Random(5)
    for position in range(len(data)):
        hit = sum(end <= position for end in ends)
        for change in (0xFF, 0x01, 0x80, 0xCE ^ 0xD2, rng.randrange(1, 256)):
            damaged = bytearray(data)
            damaged[position] ^= change
            decoded = frames_of(decode_frames(bytes(damaged), SEED))
            assert decoded == FRAMES[: len(decoded)]
            # The tag of the checksum may turn into another that reads as the same number: then nothing is lost.
            first_byte = position in {0, *ends}
            assert len(decoded) == hit or (first_byte and len(decoded) == len(FRAMES))


def test_frames_only_check_in_their_place_and_order_and_in_their_own_log() -> None:
    """Swapped, repeated, dropped, stale and foreign frames end the log."""
    data, ends = log_of(BODIES)
    pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    swapped = b"".join([pieces[0], pieces[2], pieces[1], *pieces[3:]])
    assert FRAMES[:1] == frames_of(decode_frames(swapped, SEED))
    repeated = b"".join([pieces[0], pieces[0], *pieces[1:]])
    assert FRAMES[:1] == frames_of(decode_frames(repeated, SEED))
    dropped = b"".join([pieces[0], *pieces[2:]])
    assert FRAMES[:1] == frames_of(decode_frames(dropped, SEED))
    stale = b"".join(pieces[:3]) + log_of(BODIES, SEED + 1)[0][ends[2] :]
    assert FRAMES[:3] == frames_of(decode_frames(stale, SEED))
    for header in (
        LogHeader(KIND_WAL, bytes(16), 7, 0xDEADBEEF, 5, 1234, 0xCAFEBABE),
        LogHeader(KIND_WAL, bytes(range(16)), 8, 0xDEADBEEF, 5, 1234, 0xCAFEBABE),
        LogHeader(KIND_WAL, bytes(range(16)), 7, 0xDEADBEE0, 5, 1234, 0xCAFEBABE),
    ):
        assert [] == frames_of(decode_frames(data, chain_seed(encode_header(header))))


@pytest.mark.parametrize(
    "junk", [b"", bytes(1), bytes(100_000), b"\xc0" * 40, b"\xcc", b"\xd4\x01\x02" * 9, b"\x93" * 9]
)
def test_what_no_writer_produced_is_no_frame(junk: bytes) -> None:
    """Zeros, nils, extension types and nested arrays give nothing, and raise nothing."""
    for before in ([], BODIES[:2]):
        data, ends = log_of(before)
        decoded = decode_frames(data + junk, SEED)
        assert (FRAMES[: len(before)], ends[-1] if ends else 0) == (frames_of(decoded), decoded.size)


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=200), whole=st.integers(0, len(BODIES)))
def test_any_bytes_behind_a_log_neither_raise_nor_add_a_frame(data: bytes, whole: int) -> None:
    """Random bytes are never taken for a frame."""
    log, ends = log_of(BODIES[:whole])
    decoded = decode_frames(log + data, SEED)
    assert FRAMES[:whole] == frames_of(decoded)
    assert ([0, *ends][whole]) == decoded.size


def test_the_latest_promise_is_found_behind_damage_and_only_in_its_own_log() -> None:
    """Promises check without the chain, and bind the log they were made in."""
    data, _ = log_of([promise_body(1, SEED, 100), put_body(2, b"k", b"v"), promise_body(2, SEED, 150)])
    assert 150 == latest_promise(b"\xa5" * 7 + data[3:], SEED)
    assert 0 == latest_promise(data, SEED + 1)
    assert 100 == latest_promise(data[:-1], SEED)
    at = data.find(b"SYNCED")
    assert 150 == latest_promise(data[:at] + b"X" + data[at + 1 :], SEED)
    assert 0 == latest_promise(b"\x93SYNCED\x93" * 20, SEED)
