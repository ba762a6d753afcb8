"""A checkpoint is a store of its own that holds what the store held, and costs a moment."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.errors import StorageError
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.verification import verify_store

OpenStore = Callable[..., lsmproc.LSMStore]


def test_a_checkpoint_holds_the_moment_and_lives_on_by_itself(
    open_store: OpenStore, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    """Whatever happens to the original, and to itself, afterwards."""
    with open_store(**tiny) as db:
        for number in range(300):
            db.put(b"%04d" % number, b"v" * 30)
        held = dict(db.range())
        info = db.checkpoint(tmp_path / "copy")
        assert (0, len(db.live_files())) == (info.copied_bytes, info.tables)
        links = [os.stat(tmp_path / "copy" / file.name).st_nlink for file in db.live_files()]
        assert {2} == set(links)
        for number in range(0, 300, 2):
            db.delete(b"%04d" % number)
        db.compact_range()
    lsmproc.destroy(tmp_path / "store")
    assert ("sound", []) == ((report := verify_store(tmp_path / "copy")).verdict, report.notes)
    for new_key in (b"n1", b"n2"):
        with open_store("copy", **tiny) as copy:
            assert () == copy.option_changes
            assert held == dict(copy.range())
            copy.put(new_key, b"1")
            held[new_key] = b"1"
            copy.compact_range()


def test_an_empty_store_makes_an_empty_checkpoint(open_store: OpenStore, tmp_path: Path) -> None:
    """No special case."""
    with open_store() as db:
        assert 0 == db.checkpoint(tmp_path / "copy").tables
    with open_store("copy", create_if_missing=False) as copy:
        assert [] == list(copy)


def test_where_no_link_is_given_files_are_copied(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another file system, say."""

    def refuse(*_: object) -> None:
        raise StorageError(errno.EXDEV, os.strerror(errno.EXDEV), "000001.sst")

    monkeypatch.setattr(PosixFileSystem, "link", refuse)
    with open_store() as db:
        db.put(b"a", b"1")
        info = db.checkpoint(tmp_path / "copy")
        assert 0 < info.copied_bytes == info.bytes
    assert "sound" == verify_store(tmp_path / "copy").verdict


@pytest.mark.parametrize("where", ["store", "store/inside", "used", "file"])
def test_a_place_that_is_not_free_is_refused(open_store: OpenStore, tmp_path: Path, where: str) -> None:
    """Nothing is written there, and the store goes on."""
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter").touch()
    (tmp_path / "file").touch()
    with open_store() as db:
        db.put(b"a", b"1")
        with pytest.raises(lsmproc.NotAStoreError):
            db.checkpoint(tmp_path / where)
        assert b"1" == db.get(b"a")
    assert not (tmp_path / "store" / "inside").exists()
    assert "sound" == verify_store(tmp_path / "store").verdict


def test_a_checkpoint_that_fails_half_way_leaves_nothing_and_can_be_made_again(
    open_store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CURRENT comes last, and what was linked is taken away."""
    link, calls = PosixFileSystem.link, []

    def fail_second(self: PosixFileSystem, name: str, directory: str) -> None:
        calls.append(name)
        if len(calls) == 2:
            raise StorageError(errno.EIO, os.strerror(errno.EIO), name)
        link(self, name, directory)

    monkeypatch.setattr(PosixFileSystem, "link", fail_second)
    with open_store(level0_compaction_trigger=9) as db:
        for number in range(3):
            db.put(b"%d" % number, b"1")
            db.flush_memtable()
        with pytest.raises(StorageError):
            db.checkpoint(tmp_path / "copy")
        assert ["LOCK"] == os.listdir(tmp_path / "copy")
        with pytest.raises(lsmproc.NotAStoreError):
            open_store("copy", create_if_missing=False)
        assert 3 == db.checkpoint(tmp_path / "copy").tables
        assert 3 == len(db.live_files()), "the original keeps its own names"
    assert "sound" == verify_store(tmp_path / "copy").verdict


def test_a_reader_makes_no_checkpoint(open_store: OpenStore, tmp_path: Path) -> None:
    """It could not flush the log."""
    open_store().close()
    with open_store(read_only=True) as db, pytest.raises(lsmproc.ReadOnlyError):
        db.checkpoint(tmp_path / "copy")
