"""A status page comes back as it was written, and one that is half written is never taken for a page."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmproc.errors import CorruptionError
from lsmproc.formats.status_page import (
    MAX_CONTENT_BYTES,
    SLOT_BYTES,
    decode_status,
    encode_status_page,
    slot_offset,
)


def file_of(*pages: tuple[int, bytes]) -> bytes:
    """The bytes of a file into which these pages were written, one after the other."""
    content = bytearray()
    for number, page in pages:
        start = slot_offset(number)
        content.extend(bytes(max(0, start + len(page) - len(content))))
        content[start : start + len(page)] = page
    return bytes(content)


def test_the_newest_page_counts() -> None:
    """Whichever slot it is in, and however long the one before was."""
    pages = [
        (number, encode_status_page(number, {"n": number, "fill": "x" * (100 - number)})) for number in range(5, 9)
    ]
    for count in range(1, 5):
        number, content = decode_status(file_of(*pages[:count]))
        assert (4 + count, 4 + count) == (number, content["n"])


def test_the_bytes_of_a_page_do_not_change() -> None:
    """Golden bytes: a reader of another release understands them."""
    expected = "4c534d535441543101000000070000000300000000000000f40317cb896588d57b2261223a317d"
    assert expected == encode_status_page(3, {"a": 1}).hex()


@pytest.mark.parametrize("cut", [0, 1, 8, 24, 31, 32, 40])
def test_a_page_that_is_half_written_leaves_the_one_before(cut: int) -> None:
    """A kill or a reader may come between any two bytes."""
    old, new = encode_status_page(4, {"n": 4}), encode_status_page(6, {"n": 6, "more": "y" * 30})
    mixed = new[:cut] + old[cut:]
    other = encode_status_page(5, {"n": 5})
    assert {"n": 5} == decode_status(file_of((5, other), (4, mixed)))[1] or cut == 0


def test_content_that_fits_no_slot_is_refused() -> None:
    """It would run into the other slot."""
    encode_status_page(0, {"x": "y" * (MAX_CONTENT_BYTES - 8)})
    with pytest.raises(ValueError, match="above the limit"):
        encode_status_page(0, {"x": "y" * (MAX_CONTENT_BYTES - 7)})


@given(st.binary(max_size=200), st.integers(0, 60))
def test_bytes_that_are_no_page_raise_and_nothing_else(data: bytes, at: int) -> None:
    """Also those that differ from a page in a few bytes only."""
    page = bytearray(encode_status_page(1, {"n": 1, "text": "z" * 20}))
    page[at % len(page)] ^= 1 + at
    for content in (data, bytes(SLOT_BYTES) + bytes(page)):
        with pytest.raises(CorruptionError):
            decode_status(content)


@pytest.mark.parametrize("body", [b"[1]", b"{", b"[" * 30_000, b"\xff"])
def test_a_page_with_a_right_checksum_and_no_object_in_it_is_no_page(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can write there can also compute the checksum."""

    class Body(str):
        __slots__ = ()

        def encode(self, *_: str) -> bytes:
            return body

    monkeypatch.setattr("lsmproc.formats.status_page.json.dumps", lambda *_args, **_options: Body())
    page = encode_status_page(2, {})
    with pytest.raises(CorruptionError):
        decode_status(file_of((2, page)))
