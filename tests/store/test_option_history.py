"""What a store was opened with stays with it, and an opening with something else is told."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

import lsmproc
from lsmproc.config import OptionChange
from lsmproc.verification import verify_store

OpenStore = Callable[..., lsmproc.LSMStore]


def test_a_difference_at_reopening_is_told_and_logged(open_store: OpenStore, caplog: pytest.LogCaptureFixture) -> None:
    """The trap of a program that forgets an option: the filters are gone, and nobody is told."""
    with open_store(filter="bloom", block_cache_bytes="128MiB") as db:
        assert () == db.option_changes
    with caplog.at_level(logging.INFO, "lsmproc"), open_store(filter="none") as db:
        assert (
            OptionChange("block_cache_bytes", '"128MiB"', '"64MiB"'),
            OptionChange("filter", '"bloom"', '"none"'),
        ) == db.option_changes
        assert 'filter: "bloom" -> "none"' in caplog.text
    with open_store(filter="none") as db:
        assert () == db.option_changes


def test_a_reader_is_told_and_leaves_the_record_alone(open_store: OpenStore, tmp_path: Path) -> None:
    """What a reader was opened with is not what the store's owner chose."""
    open_store().close()
    before = (tmp_path / "store" / "OPTIONS").read_bytes()
    with open_store(read_only=True, block_bytes=8192) as db:
        assert ("block_bytes",) == tuple(change.name for change in db.option_changes)
    assert before == (tmp_path / "store" / "OPTIONS").read_bytes()


def test_what_an_env_decides_is_recorded_as_it_is_in_force(open_store: OpenStore, tmp_path: Path) -> None:
    """The store's own default of the workers means nothing beside the Env's."""
    with lsmproc.Env(background="inline", compaction_workers=7) as env:
        open_store(env=env).close()
    assert "\ncompaction_workers = 7\n" in (tmp_path / "store" / "OPTIONS").read_text()


@pytest.mark.parametrize("damage", [b"", b"\0" * 900, b"nonsense", b"\xff" * 100_000])
def test_a_damaged_record_is_noted_and_written_anew(open_store: OpenStore, tmp_path: Path, damage: bytes) -> None:
    """Nothing depends on it."""
    open_store().close()
    path = tmp_path / "store" / "OPTIONS"
    path.write_bytes(damage)
    report = verify_store(tmp_path / "store")
    assert ("sound", True) == (report.verdict, any(note.startswith("OPTIONS: ") for note in report.notes))
    with open_store(block_bytes=8192) as db:
        assert () == db.option_changes
    assert b'block_bytes = "8KiB"' in path.read_bytes()
    assert [] == verify_store(tmp_path / "store").notes


def test_the_same_options_write_nothing(open_store: OpenStore, tmp_path: Path) -> None:
    """An opening costs one small read."""
    open_store().close()
    before = (tmp_path / "store" / "OPTIONS").stat()
    open_store().close()
    after = (tmp_path / "store" / "OPTIONS").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
