"""The one place where the tree changes: numbers, failed edits, and files that readers still need."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import pytest

from lsmproc.errors import CorruptionError, StorageError
from lsmproc.formats.version_edit import FileMetadata, VersionEdit
from lsmproc.storage.version import Version
from lsmproc.storage.version_set import FileNumbers, VersionSet


class MemoryManifest:
    """Keeps what it is told, or fails."""

    number = 1

    def __init__(self) -> None:
        self.edits: list[VersionEdit] = []
        self.failure: BaseException | None = None
        self.doubted = False
        self.late = False  # the failure comes once the edit is recorded

    def append(self, edit: VersionEdit, after: Version) -> None:
        """Remember the edit."""
        if self.failure is not None and not self.late:
            raise self.failure
        self.edits.append(edit)
        assert after.next_file_number == edit.next_file_number
        if self.failure is not None:
            raise self.failure

    def doubt(self) -> None:
        """Remember that, too."""
        self.doubted = True

    def close(self) -> None:
        """Nothing is open."""


def table(number: int) -> FileMetadata:
    """A description of a table of 100 bytes."""
    return FileMetadata(number, 100, 1, 1, b"%03d" % number, b"%03d" % number, 1, 0, 1, 1, 10)


@pytest.fixture
def manifest() -> MemoryManifest:
    """Where edits go."""
    return MemoryManifest()


@pytest.fixture
def version_set(manifest: MemoryManifest) -> VersionSet:
    """Three tables in level 0."""
    version_set = VersionSet(manifest, Version(), FileNumbers(1))
    version_set.log_and_apply(VersionEdit(added=tuple((0, table(n)) for n in (1, 2, 3))))
    return version_set


def test_numbers_are_given_out_once_to_all_threads() -> None:
    """No two takers get the same."""
    numbers = FileNumbers(7)
    with ThreadPoolExecutor(4) as pool:
        taken = [
            number for part in pool.map(lambda _: [numbers.take() for _ in range(200)], range(8)) for number in part
        ]
    assert list(range(7, 7 + 1600)) == sorted(taken)
    assert 7 + 1600 == numbers.next


def test_each_edit_records_how_far_numbers_were_given_out(version_set: VersionSet, manifest: MemoryManifest) -> None:
    """A number that was taken before the edit is never taken again after a reopen."""
    numbers = [version_set.numbers.take() for _ in range(5)]
    version_set.log_and_apply(VersionEdit())
    assert max(numbers) + 1 == manifest.edits[-1].next_file_number == version_set.current.next_file_number


def test_a_failed_edit_changes_nothing(version_set: VersionSet, manifest: MemoryManifest) -> None:
    """Neither one that does not fit nor one that cannot be made durable."""
    before = version_set.current
    with pytest.raises(CorruptionError):
        version_set.log_and_apply(VersionEdit(removed=((1, 1),)))
    manifest.failure = StorageError(5, "no")
    with pytest.raises(StorageError):
        version_set.log_and_apply(VersionEdit(removed=((0, 1),)))
    assert before is version_set.current
    assert (0, []) == (version_set.retired_bytes, version_set.take_obsolete())


def test_a_removed_table_is_obsolete_once_no_reader_holds_a_version_with_it(version_set: VersionSet) -> None:
    """Each is reported once, and counted until then."""
    held = version_set.current
    version_set.log_and_apply(VersionEdit(removed=((0, 1), (0, 2))))
    gc.collect()
    assert (200, []) == (version_set.retired_bytes, version_set.take_obsolete())
    del held
    gc.collect()
    assert [1, 2] == version_set.take_obsolete()
    assert (0, []) == (version_set.retired_bytes, version_set.take_obsolete())


def test_a_table_that_moved_to_another_level_is_not_obsolete(version_set: VersionSet) -> None:
    """Its file lives on under another level."""
    version_set.log_and_apply(VersionEdit(removed=((0, 1),), added=((1, table(1)),)))
    gc.collect()
    assert [] == version_set.take_obsolete()


@pytest.mark.parametrize("late", [False, True])
def test_an_edit_that_may_have_been_recorded_is_not_followed_by_another_one(
    version_set: VersionSet, manifest: MemoryManifest, late: bool
) -> None:
    """An interrupt may come when the edit is in the manifest and not in memory: the next state is written whole."""
    before = version_set.current
    manifest.failure, manifest.late = KeyboardInterrupt(), late
    with pytest.raises(KeyboardInterrupt):
        version_set.log_and_apply(VersionEdit(removed=((0, 1),)))
    assert (True, before) == (manifest.doubted, version_set.current)
    assert [] == version_set.take_obsolete()
