"""Lines of LOG come back as they were written; what is no such line costs itself only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmproc.formats.event_lines import MAX_LINE_BYTES, decode_event_lines, encode_event_line, time_text

EVENT = {"time": "2026-01-31T12:00:00.123Z", "event": "flush_finished", "job": 7, "tables": [13], "text": "ä\n"}


def test_a_line_comes_back_and_has_the_form_that_is_documented() -> None:
    """Golden bytes: programs read them."""
    line = encode_event_line(EVENT)
    expected = b'{"time":"2026-01-31T12:00:00.123Z","event":"flush_finished","job":7,"tables":[13],'
    assert expected + b'"text":"\\u00e4\\n"}\n' == line
    assert ([EVENT], 0) == decode_event_lines(line)


def test_time_is_utc_with_milliseconds() -> None:
    """Cut and not rounded: no event comes before what led to it."""
    assert "1970-01-01T00:00:00.000Z" == time_text(999_999)
    assert "2023-11-14T22:13:20.999Z" == time_text(1_700_000_000_999_999_999)


@pytest.mark.parametrize(
    "torn", [b'{"time":"x","ev', b"[1]", b"{}", b"null", b"\xff\xfe", b"{" * 50_000, b'{"time":1,"event":"x"}']
)
def test_what_is_no_line_is_counted_and_skipped(torn: bytes) -> None:
    """A torn line, one that a disk has damaged, one that somebody planted."""
    line = encode_event_line(EVENT)
    assert ([EVENT, EVENT], 1) == decode_event_lines(line + torn + b"\n" + line)


def test_a_line_is_never_longer_than_a_reader_takes() -> None:
    """Long texts are cut; if that is not enough, time and kind are left."""
    (cut,), _ = decode_event_lines(encode_event_line({**EVENT, "text": "x" * 10_000}))
    assert 4096 == len(cut["text"])  # type: ignore[arg-type]
    line = encode_event_line({**EVENT, "tables": list(range(30_000))})
    assert len(line) < MAX_LINE_BYTES
    assert {"time": EVENT["time"], "event": "flush_finished", "cut": True} == decode_event_lines(line)[0][0]


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read(data: bytes) -> None:
    """Nothing is raised."""
    decode_event_lines(data)
