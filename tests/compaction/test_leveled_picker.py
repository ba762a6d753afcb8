"""What the leveled picker chooses: the script testdata/leveled.txt, and the figures it gives about a tree."""

from __future__ import annotations

import pytest

from lsmproc.compaction.level_targets import level_targets
from lsmproc.compaction.leveled_picker import LeveledOptions, LeveledPicker
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.storage.version import Version
from tests.compaction.picker_script import Case, cases

PICKER = LeveledPicker(
    LeveledOptions(level0_compaction_trigger=4, level_base_bytes=100, level_size_multiplier=10, max_file_bytes=20)
)


@pytest.mark.parametrize("case", cases("leveled.txt"), ids=lambda case: case.name)
def test_picks_what_the_script_says(case: Case) -> None:
    """Each case of testdata/leveled.txt."""
    assert case.expected == case.outcome(PICKER)


def _tree(*sizes: int, runs: int = 0) -> Version:
    """A tree with one table of each size from level 1 on, and ``runs`` tables of 10 bytes in level 0."""
    levels = [(0, 10)] * runs + [(level, size) for level, size in enumerate(sizes, start=1) if size]
    files = tuple(
        (level, FileMetadata(number, size, 0, 0, b"a", b"z", size, 0, number, number, size))
        for number, (level, size) in enumerate(levels, start=1)
    )
    return Version().apply(VersionEdit(added=files))


def test_targets_of_a_small_store_make_the_last_level_the_base() -> None:
    """Up to level_base_bytes the store is level 0 and the last level."""
    assert 6 == level_targets([0, 0, 0, 0, 0, 0, 90], 100, 10).base_level
    assert 6 == level_targets([0, 0, 0, 0, 0, 0, 0], 100, 10).base_level


def test_targets_grow_by_the_multiplier_from_the_base_level_down() -> None:
    """The largest level sets the targets of those above it; none is below level_base_bytes."""
    targets = level_targets([0, 0, 0, 0, 0, 0, 50_000], 100, 10)
    assert 3 == targets.base_level
    assert (0, 0, 0, 100, 500, 5_000, 50_000) == targets.target_bytes
    assert 0 == targets.lowest_unneeded_level


def test_the_base_level_is_never_below_a_level_that_holds_tables() -> None:
    """Level 0 must not pass older data; instead the levels that are not needed are emptied."""
    targets = level_targets([0, 0, 5, 0, 0, 0, 900], 100, 10)
    assert 2 == targets.base_level
    assert 4 == targets.lowest_unneeded_level


def test_scores_are_runs_over_trigger_and_bytes_over_target() -> None:
    """The last level never wants work."""
    assert (0.75, 0, 0, 0, 0, 1.2, 0) == PICKER.scores(_tree(0, 0, 0, 0, 120, 900, runs=3))


def test_scores_of_level_0_follow_its_bytes_when_they_weigh_more() -> None:
    """Few large runs are as much work as many small ones."""
    picker = LeveledPicker(LeveledOptions(level0_compaction_trigger=100, level_base_bytes=20))
    assert 1.5 == picker.scores(_tree(runs=3))[0]


def test_debt_is_nothing_while_no_level_wants_work() -> None:
    """A tree within its targets owes no rewriting."""
    assert 0 == PICKER.debt_bytes(_tree(0, 0, 0, 0, 90, 900, runs=3))


def test_debt_counts_level_0_with_the_base_level_and_excess_with_its_share_below() -> None:
    """4 runs of 10 bytes, 120 bytes above a target of 100, 900 below."""
    # 40 and 120 to merge level 0; then 60 bytes too many in level 5, and 60/160 of level 6 with them.
    assert 40 + 120 + 60 + 60 * 900 // 160 == PICKER.debt_bytes(_tree(0, 0, 0, 0, 120, 900, runs=4))


@pytest.mark.parametrize(("runs", "expected"), [(0, 1), (7, 1), (8, 2), (16, 3)])
def test_parallelism_is_earned_by_runs_in_level_0(runs: int, expected: int) -> None:
    """One more compaction at once for every 8 runs, with the default triggers."""
    assert expected == LeveledPicker(LeveledOptions()).parallelism(_tree(runs=runs))


def test_parallelism_is_earned_by_debt() -> None:
    """Level 5 far above its target."""
    assert PICKER.parallelism(_tree(0, 0, 0, 0, 1000, 2000)) > 1
