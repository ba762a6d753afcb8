"""Splitting a compaction over processes, and what lies below it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.compaction.compaction import Compaction
from lsmproc.compaction.key_ranges import grandparents, ranges_below, split
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.storage.version import Version


def _table(number: int, smallest: bytes, largest: bytes, size: int = 100, sequence: int = 1) -> FileMetadata:
    return FileMetadata(number, size, 0, 0, smallest, largest, size, 0, sequence, sequence, size)


def _compaction(*files: FileMetadata, level: int = 0, output_level: int = 6) -> Compaction:
    return Compaction(tuple((level, (file,)) for file in files), output_level, "test", 1.0)


def test_a_small_compaction_is_one_range() -> None:
    """Below twice the size of an output a second process is not worth it."""
    assert [(None, None)] == split(_compaction(_table(1, b"a", b"z", 199)), 4, 100)


def test_a_compaction_into_level_0_is_one_range() -> None:
    """Each output there is a run of its own."""
    assert [(None, None)] == split(_compaction(_table(1, b"a", b"z", 9999), output_level=0), 4, 100)


def test_one_wide_table_is_cut_into_equal_parts() -> None:
    """Its bytes are taken as spread evenly over its keys."""
    table = _table(1, b"\x00", b"\x80", 1000)
    assert [(None, b"\x20"), (b"\x20", b"\x40"), (b"\x40", b"\x60"), (b"\x60", None)] == split(
        _compaction(table), 4, 100
    )


def test_cuts_follow_the_bytes_and_not_the_keys() -> None:
    """Three quarters of the bytes lie in one narrow table: both cuts fall into it."""
    tables = [_table(1, b"key-a", b"key-b", 750), _table(2, b"key-c", b"key-z", 250)]
    (_, first), (_, second), _ = split(_compaction(*tables, level=5), 3, 100)
    assert first is not None
    assert second is not None
    assert b"key-a" < first < second <= b"key-b"


def test_no_part_is_smaller_than_an_output() -> None:
    """250 bytes with outputs of 100 make two parts at most."""
    assert 2 == len(split(_compaction(_table(1, b"a", b"z", 250)), 8, 100))


def test_keys_between_which_no_cut_can_be_estimated_stay_one_range() -> None:
    """Where the bytes looked at tell nothing, fewer parts come out, never overlapping ones."""
    table = _table(1, b"a", b"a" + b"\0" * 20, 1000)
    assert [(None, None)] == split(_compaction(table), 4, 100)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12), st.integers(1, 10**9)), min_size=1, max_size=8),
    st.integers(1, 9),
)
def test_ranges_cover_all_keys_once(tables: list[tuple[bytes, bytes, int]], parts: int) -> None:
    """Whatever the tables: adjacent, ascending, open at both ends, no more than asked for."""
    files = [
        _table(number, min(left, right), max(left, right), size)
        for number, (left, right, size) in enumerate(tables, start=1)
    ]
    ranges = split(_compaction(*files), parts, 1)
    assert 1 <= len(ranges) <= parts
    cuts = [stop for _, stop in ranges[:-1]]
    assert [start for start, _ in ranges] == [None, *cuts]
    assert ranges[-1][1] is None
    known = [cut for cut in cuts if cut is not None]
    assert len(known) == len(cuts)
    assert known == sorted(set(known))


VERSION = Version().apply(
    VersionEdit(
        added=(
            (0, _table(3, b"a", b"m", sequence=9)),
            (0, _table(2, b"k", b"z", sequence=8)),
            (0, _table(1, b"x", b"z", sequence=7)),
            (5, _table(4, b"a", b"c", 10)),
            (5, _table(5, b"x", b"y", 20)),
            (6, _table(6, b"b", b"l", 30)),
            (6, _table(7, b"m", b"z", 40)),
        )
    )
)


def test_below_a_compaction_lie_the_deeper_tables_that_it_overlaps() -> None:
    """From level 0 to level 5: of level 6, not of its output level, whose tables are inputs or out of the way."""
    compaction = _compaction(*VERSION.levels[0][:1], output_level=5)
    assert ((b"b", b"l"), (b"m", b"z")) == ranges_below(VERSION, compaction)


def test_below_a_merge_within_level_0_lie_its_older_tables_too() -> None:
    """Their records are older than those of the merge."""
    compaction = _compaction(*VERSION.levels[0][:2], output_level=0)
    assert {(b"a", b"c"), (b"x", b"y"), (b"b", b"l"), (b"m", b"z"), (b"x", b"z")} == set(
        ranges_below(VERSION, compaction)
    )


def test_nothing_lies_below_a_rewrite_of_the_last_level() -> None:
    """All tombstones may go."""
    compaction = _compaction(*VERSION.levels[6], level=6, output_level=6)
    assert () == ranges_below(VERSION, compaction)
    assert () == grandparents(VERSION, compaction)


def test_grandparents_are_the_overlapping_tables_one_level_below_the_output() -> None:
    """With their sizes, ascending."""
    compaction = _compaction(VERSION.levels[0][0], output_level=5)
    assert ((b"b", b"l", 30), (b"m", b"z", 40)) == grandparents(VERSION, compaction)
