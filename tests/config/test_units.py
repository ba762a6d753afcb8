"""Sizes and times as people write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmproc.config.units import (
    format_bytes,
    format_milliseconds,
    format_seconds,
    parse_bytes,
    parse_milliseconds,
    parse_seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("4096", 4096), ("64MiB", 64 << 20), (" 1.5 kib ", 1536), ("1_000 B", 1000), ("0.25GiB", 256 << 20)],
)
def test_a_size_in_words_is_read_as_bytes(text: str, size: int) -> None:
    """Binary units, whatever their case, with decimals as long as whole bytes result."""
    assert size == parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("64MB", "did you mean '64MiB'?"),
        ("10k", "did you mean '10KiB'?"),
        ("3 parsecs", "'parsecs' is no unit of size"),
        ("0.3B", "not a whole number of bytes"),
        ("-5MiB", "must be a size"),
        ("", "must be a size"),
        ("٣MiB", "must be a size"),
    ],
)
def test_a_size_that_is_none_is_refused_with_a_remedy(text: str, sentence: str) -> None:
    """Decimal units are ambiguous in practice, so they are refused with the binary unit as the proposal."""
    with pytest.raises(ValueError, match=sentence.replace("?", r"\?")):
        parse_bytes(text)


def test_a_bare_number_counts_in_the_unit_of_the_setting() -> None:
    """The unit ends the name of the setting, so a number without one is in that unit."""
    assert (250, 250) == (parse_milliseconds("250"), parse_seconds("250"))


def test_a_time_in_words_is_read_exactly() -> None:
    """Times go through integers, so that no fraction is lost."""
    assert (1500, 90, 604_800) == (parse_milliseconds("1.5s"), parse_seconds("1.5min"), parse_seconds("7d"))


def test_a_time_that_is_none_is_refused() -> None:
    """An unknown unit and a fraction of the smallest unit are both mistakes of the writer."""
    with pytest.raises(ValueError, match="'us' is no unit of time"):
        parse_milliseconds("10us")
    with pytest.raises(ValueError, match="not a whole number of seconds"):
        parse_seconds("250ms")


@pytest.mark.parametrize(
    ("write", "read"),
    [(format_bytes, parse_bytes), (format_milliseconds, parse_milliseconds), (format_seconds, parse_seconds)],
)
@given(amount=st.integers(0, 1 << 60) | st.integers(0, 1 << 20).map(lambda n: n << 30))
def test_every_amount_survives_being_written_and_read(
    write: Callable[[int], str], read: Callable[[str], int], amount: int
) -> None:
    """Text is only another spelling of the number."""
    assert amount == read(write(amount))
