"""Versions: what an edit makes of a tree, and which edits do not fit."""

from __future__ import annotations

import pytest

from lsmproc.errors import CorruptionError
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.storage.version import Version, key_range, overlapping


def _table(number: int, smallest: str, largest: str, sequence: int = 1) -> FileMetadata:
    return FileMetadata(number, 100, 0, 0, smallest.encode(), largest.encode(), 10, 0, sequence, sequence, 90)


def _numbers(version: Version, level: int) -> list[int]:
    return [file.number for file in version.levels[level]]


def test_level_0_stands_newest_first_whatever_the_order_of_arrival() -> None:
    """By largest sequence, not by file number: a merge within level 0 gets a high number for old records."""
    edit = VersionEdit(added=((0, _table(9, "a", "z", 5)), (0, _table(3, "a", "z", 7)), (0, _table(4, "a", "z", 6))))
    assert [3, 4, 9] == _numbers(Version().apply(edit), 0)


def test_deeper_levels_stand_ascending_by_key() -> None:
    """Whatever the order in the edit."""
    edit = VersionEdit(added=((2, _table(1, "m", "p")), (2, _table(2, "a", "c")), (2, _table(3, "x", "z"))))
    assert [2, 1, 3] == _numbers(Version().apply(edit), 2)


def test_an_edit_leaves_the_old_version_as_it_was() -> None:
    """Readers go on with the version they hold."""
    before = Version().apply(VersionEdit(added=((1, _table(1, "a", "c")),)))
    after = before.apply(VersionEdit(removed=((1, 1),)))
    assert [1] == _numbers(before, 1)
    assert [] == _numbers(after, 1)


def test_a_table_moves_to_another_level_in_one_edit() -> None:
    """Removed here and added there under the same number: a trivial move."""
    table = _table(1, "a", "c")
    before = Version().apply(VersionEdit(added=((1, table),)))
    after = before.apply(VersionEdit(added=((2, table),), removed=((1, 1),)))
    assert ((2, table),) == after.files()


def test_levels_that_an_edit_does_not_touch_are_shared() -> None:
    """No copy of what stays the same."""
    before = Version().apply(VersionEdit(added=((1, _table(1, "a", "c")), (2, _table(2, "a", "c")))))
    after = before.apply(VersionEdit(removed=((1, 1),)))
    assert before.levels[2] is after.levels[2]


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (VersionEdit(removed=((1, 8),)), "removes table 8 from level 1"),
        (VersionEdit(removed=((2, 1),)), "removes table 1 from level 2"),
        (VersionEdit(removed=((1, 1), (1, 1))), "removes table 1 from level 1"),
        (VersionEdit(added=((2, _table(1, "x", "z")),)), "adds table 1, which is live already"),
        (VersionEdit(added=((1, _table(2, "c", "d")),)), "overlap"),
        (VersionEdit(added=((1, _table(2, "0", "z")),)), "overlap"),
        (VersionEdit(log_number=4), "log number back from 5 to 4"),
        (VersionEdit(next_file_number=8), "next file number back from 9 to 8"),
        (VersionEdit(last_sequence=6), "last sequence back from 7 to 6"),
        (VersionEdit(epoch=1), "epoch back from 2 to 1"),
    ],
)
def test_an_edit_that_does_not_fit_is_corruption(edit: VersionEdit, text: str) -> None:
    """A table removed that is not there, added twice or overlapping, a counter that goes back: all are named."""
    version = Version(log_number=5, next_file_number=9, last_sequence=7, epoch=2)
    version = version.apply(VersionEdit(added=((1, _table(1, "a", "c")),)))
    with pytest.raises(CorruptionError, match=text):
        version.apply(edit)


def test_counters_stay_when_an_edit_says_nothing_of_them() -> None:
    """None leaves a counter as it is; an equal value is no step back."""
    version = Version(log_number=5, next_file_number=9, last_sequence=7, epoch=2)
    after = version.apply(VersionEdit(next_file_number=9, last_sequence=8))
    assert (5, 9, 8, 2) == (after.log_number, after.next_file_number, after.last_sequence, after.epoch)


def test_log_segments_stay_until_they_are_flushed_or_listed_anew() -> None:
    """A list replaces the one before; none leaves it; a log number takes those below out of it."""
    version = Version().apply(VersionEdit(log_number=3, segments=((3, 70), (5, 0))))
    assert ((3, 70), (5, 0)) == version.apply(VersionEdit(last_sequence=8)).segments
    assert ((5, 0),) == version.apply(VersionEdit(log_number=4)).segments
    assert ((5, 90), (6, 0)) == version.apply(VersionEdit(log_number=5, segments=((3, 70), (5, 90), (6, 0)))).segments
    assert () == version.apply(VersionEdit(segments=())).segments


def test_a_snapshot_edit_leads_from_nothing_to_the_same_version() -> None:
    """Tables, counters and log segments alike."""
    version = Version(log_number=5, next_file_number=9, last_sequence=7, epoch=2).apply(
        VersionEdit(
            added=((0, _table(1, "a", "c", 2)), (0, _table(2, "a", "c", 3)), (6, _table(3, "a", "c"))),
            segments=((5, 64),),
        )
    )
    copy = Version().apply(version.snapshot_edit())
    assert version.levels == copy.levels
    assert version.snapshot_edit() == copy.snapshot_edit()


@pytest.mark.parametrize(
    ("smallest", "largest", "expected"),
    [
        ("a", "z", [1, 2, 3]),
        ("c", "c", [1]),
        ("c", "e", [1, 2]),
        ("d", "d", []),
        ("0", "9", []),
        ("zz", "zzz", []),
        ("g", "j", [2]),
    ],
)
def test_overlapping_counts_both_ends_in(smallest: str, largest: str, expected: list[int]) -> None:
    """Tables [a, c], [e, g] and [k, z] against a key range."""
    level = (_table(1, "a", "c"), _table(2, "e", "g"), _table(3, "k", "z"))
    assert expected == [file.number for file in overlapping(level, smallest.encode(), largest.encode())]


def test_key_range_is_the_hull_of_all_tables() -> None:
    """The smallest of the smallest and the largest of the largest keys."""
    assert (b"a", b"z") == key_range([_table(1, "c", "z"), _table(2, "a", "d")])


def test_level_bytes_add_up_the_file_sizes() -> None:
    """Of one level only."""
    version = Version().apply(VersionEdit(added=((1, _table(1, "a", "c")), (1, _table(2, "d", "e")))))
    assert 200 == version.level_bytes(1)
    assert 0 == version.level_bytes(2)
