"""A store is removed whole, and nothing that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

import lsmproc


def make(path: Path) -> Path:
    """A closed store with a file of each kind."""
    with lsmproc.open(path, background="inline") as db:
        db.put(b"a", b"1")
        db.flush_memtable()
        db.put(b"b", b"1")
    return path


def test_nothing_is_left_of_a_destroyed_store(tmp_path: Path) -> None:
    """Its directory included."""
    lsmproc.destroy(make(tmp_path / "store"))
    assert [] == list(tmp_path.iterdir())
    lsmproc.destroy(tmp_path / "store", missing_ok=True)
    with pytest.raises(lsmproc.NotAStoreError, match="check the path"):
        lsmproc.destroy(tmp_path / "store")


def test_an_open_store_is_not_destroyed(tmp_path: Path) -> None:
    """Not by its own process either, nor under a reader."""
    for read_only in (False, True):
        with lsmproc.open(make(tmp_path / "store"), background="inline", read_only=read_only) as db:
            with pytest.raises(lsmproc.LockedError):
                lsmproc.destroy(tmp_path / "store")
            assert b"1" == db.get(b"a")


@pytest.mark.parametrize("what", ["empty", "foreign", "link", "file"])
def test_what_is_no_store_is_left_alone(tmp_path: Path, what: str) -> None:
    """A mistyped path costs nothing."""
    path = tmp_path / what
    match what:
        case "empty":
            path.mkdir()
        case "foreign":
            make(path)
            (path / "letter.txt").touch()
        case "link":
            path.symlink_to(make(tmp_path / "store"))
        case _:
            path.touch()
    before = sorted(str(found) for found in tmp_path.rglob("*"))
    with pytest.raises(lsmproc.NotAStoreError):
        lsmproc.destroy(path)
    assert before == sorted(str(found) for found in tmp_path.rglob("*") if found.name != "LOCK" or what != "empty")


def test_what_an_interrupted_destruction_left_is_destroyed_too(tmp_path: Path) -> None:
    """CURRENT has gone first."""
    path = make(tmp_path / "store")
    (path / "CURRENT").unlink()
    lsmproc.destroy(path)
    assert not path.exists()
