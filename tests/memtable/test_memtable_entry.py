"""Entries and their links to older ones."""

from __future__ import annotations

import pytest

from lsmproc.memtable.memtable_entry import columns_at, entry_at


@pytest.mark.parametrize(
    ("sequence", "expected"), [(9, (8, b"c")), (8, (8, b"c")), (7, (5, None)), (4, (2, b"a")), (1, None)]
)
def test_a_reader_sees_the_newest_entry_of_its_time(sequence: int, expected: tuple[int, bytes | None] | None) -> None:
    """Links are followed to the first entry that is not too new; a tombstone is an entry."""
    found = entry_at((8, b"c", (5, None, (2, b"a"))), sequence)
    assert expected == (found if found is None else found[:2])


def test_an_empty_link_ends_the_history() -> None:
    """A third element of None means the same as no third element."""
    assert entry_at((8, b"c", None), 7) is None


def test_columns_leave_out_keys_of_the_future() -> None:
    """Older links are followed, tombstones and empty values stay."""
    entries = [(3, b"x"), (9, b"y", (1, b"w")), (9, b"z"), (2, None), (9, b"v", (3, b""))]
    expected = [b"a", b"b", b"d", b"e"], [b"x", b"w", None, b""]
    assert expected == columns_at([b"a", b"b", b"c", b"d", b"e"], entries, 5)
    assert ([], []) == columns_at([], [], 5)
