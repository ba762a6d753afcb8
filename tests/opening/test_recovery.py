"""Opening a directory: what is refused, what is repaired, what is cleaned, and that nothing is taken for empty."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import lsmproc
from lsmproc import LSMStore
from lsmproc.errors import CorruptionError, LockedError, NotAStoreError, ReadOnlyError


def open_db(path: Path, **options: object) -> LSMStore:
    """A store without threads or processes."""
    return lsmproc.open(path, background="inline", **options)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store with a table and a log."""
    path = tmp_path / "store"
    with open_db(path) as db:
        db.put(b"old", b"1")
        db.flush_memtable()
        db.put(b"new", b"2")
    return path


def only(store: Path, pattern: str) -> Path:
    """The newest file of a kind."""
    return max(store.glob(pattern))


def test_a_store_holds_what_it_held(store: Path) -> None:
    """Tables and log, any number of times."""
    for _ in range(3):
        with open_db(store) as db:
            assert {b"old": b"1", b"new": b"2"} == dict(db.range())


def test_a_store_that_is_opened_often_does_not_collect_files(store: Path) -> None:
    """Openings and closings without writes leave as many files as before."""
    with open_db(store):
        pass
    before = len(list(store.iterdir()))
    for _ in range(5):
        open_db(store).close()
    assert before == len(list(store.iterdir()))


def test_sequence_numbers_go_on_after_a_reopen(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the clock was set back in between."""
    with open_db(store) as db:
        before = db.get_with_meta(b"new")
    monkeypatch.setattr("lsmproc.storage.file_system.PosixFileSystem.now_ns", staticmethod(lambda: 1))
    with open_db(store) as db:
        db.put(b"newer", b"3")
        after = db.get_with_meta(b"newer")
    assert before is not None
    assert after is not None
    assert before.sequence < after.sequence


def test_directories_that_are_no_stores_are_refused_untouched(tmp_path: Path) -> None:
    """A file, a directory with other files, a missing one, and one that may not be made."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"")
    for path, options in (
        ("file", {}), ("photos", {}), ("none", {"create_if_missing": False}), ("none", {"read_only": True}),
    ):  # fmt: skip
        with pytest.raises(NotAStoreError):
            open_db(tmp_path / path, **options)
    assert ["cat.png"] == os.listdir(tmp_path / "photos")
    assert not (tmp_path / "none").exists()


def test_error_if_exists_refuses_a_store_and_only_a_store(store: Path, tmp_path: Path) -> None:
    """An empty directory is fine."""
    with pytest.raises(NotAStoreError):
        open_db(store, error_if_exists=True)
    open_db(tmp_path / "new", error_if_exists=True).close()


def test_a_store_that_is_open_is_refused_and_not_called_damaged(tmp_path: Path) -> None:
    """Whatever the other owner is doing to its files."""
    with open_db(tmp_path / "store") as db:
        db.put(b"key", b"1")
        with pytest.raises(LockedError):
            open_db(tmp_path / "store")


@pytest.mark.parametrize("pattern", ["*.sst", "CURRENT", "MANIFEST-*"])
def test_a_missing_file_is_named_and_never_an_empty_store(store: Path, pattern: str) -> None:
    """Each kind of file in turn; nothing is changed, so putting it back is enough."""
    path = only(store, pattern)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises((CorruptionError, FileNotFoundError)) as caught:
        open_db(store)
    assert path.name in str(caught.value)
    path.write_bytes(content)
    with open_db(store) as db:
        assert {b"old": b"1", b"new": b"2"} == dict(db.range())


def test_a_missing_first_log_segment_is_named(tmp_path: Path) -> None:
    """The one that the manifest says is the oldest live one."""
    with open_db(tmp_path / "store") as db:
        db.put(b"key", b"1")
    path = min((tmp_path / "store").glob("*.wal"))
    path.unlink()
    with pytest.raises(CorruptionError) as caught:
        open_db(tmp_path / "store")
    assert path.name == caught.value.file


def test_a_table_of_another_size_is_corruption(store: Path) -> None:
    """Found at open, before anything reads it."""
    path = only(store, "*.sst")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptionError) as caught:
        open_db(store)
    assert path.name == caught.value.file


def test_what_the_manifest_does_not_name_is_removed_and_foreign_files_are_not(store: Path) -> None:
    """Orphans of every kind go; what is no file of a store stays."""
    orphans = [store / name for name in ("900000.sst", "MANIFEST-900001", "000000.wal", "tmp/1-1-1-0.sst")]
    for orphan in orphans:
        orphan.write_bytes(b"\0" * 10)
    (store / "notes.txt").write_bytes(b"")
    with open_db(store) as db:
        assert {b"old": b"1", b"new": b"2"} == dict(db.range())
    assert [] == [orphan for orphan in orphans if orphan.exists()]
    assert (store / "notes.txt").exists()


def test_a_read_only_store_takes_no_write(store: Path) -> None:
    """And shows everything."""
    with open_db(store, read_only=True) as db:
        assert {b"old": b"1", b"new": b"2"} == dict(db.range())
        with pytest.raises(ReadOnlyError):
            db.put(b"key", b"1")
