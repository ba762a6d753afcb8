"""How commands open a store: with the settings given, never against an owner, never by accident."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]

READING = [("get", "k"), ("scan",), ("dump",), ("stats",)]
WRITING = [("put", "k", "v"), ("delete", "k"), ("load",)]


@pytest.mark.parametrize("command", [*READING, *WRITING, ("verify",)])
def test_a_store_that_is_open_is_left_alone_and_its_owner_named(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The message says whom to ask."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k", b"1")
        done = run(command[0], tmp_path, *command[1:])
        assert (2, True) == (done.code, f"pid {os.getpid()}" in done.err)
        assert b"1" == db.get(b"k")


@pytest.mark.parametrize("command", [*READING, ("delete", "k"), ("verify",)])
def test_a_command_that_needs_a_store_makes_none(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A mistyped path is an error, not an empty store."""
    path = tmp_path / "nothing"
    done = run(command[0], path, *command[1:])
    assert (2, False) == (done.code, path.exists())
    assert str(path) in done.err


def test_a_foreign_directory_is_refused(run: Run, tmp_path: Path) -> None:
    """No file of a store is made among the files of others."""
    (tmp_path / "letter.txt").write_text("mine")
    assert 2 == run("put", tmp_path, "a", "1").code
    assert ["letter.txt"] == os.listdir(tmp_path)


def test_settings_come_from_profile_file_and_command_line(run: Run, tmp_path: Path) -> None:
    """A later one counts over an earlier one."""
    (tmp_path / "c.toml").write_text('block_cache_bytes = "1MiB"\nmemtable_max_bytes = "1MiB"\n')
    store = tmp_path / "store"
    given = ("--profile", "small-footprint", "--config", tmp_path / "c.toml", "--set", "block_cache_bytes=2MiB")
    assert 0 == run("put", store, "a", "1", *given).code
    stats = json.loads(run("stats", store, *given, "--json").out)
    assert 2 << 20 == stats["block_cache"]["limit_bytes"]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (("--set", "memtabel=dict"), "did you mean 'memtable'?"),
        (("--set", "compression=zip"), "must be 'none', 'lz4' or 'zstd'"),
        (("--set", "memtable"), "KEY=VALUE"),
        (("--profile", "durabel"), "did you mean 'durable'?"),
        (("--config", "/nowhere.toml"), "/nowhere.toml"),
    ],
)
def test_a_wrong_setting_is_explained_and_nothing_is_made(
    run: Run, tmp_path: Path, settings: tuple[str, ...], complaint: str
) -> None:
    """Usage errors come before the store."""
    done = run("put", tmp_path / "store", "a", "1", *settings)
    assert (2, True, False) == (done.code, complaint in done.err, (tmp_path / "store").exists())


def test_flags_and_lists_can_be_set(run: Run, tmp_path: Path) -> None:
    """Values are read as TOML reads them."""
    given = ("--set", "wal_flush_every_write=true", "--set", "bloom_bits_per_key=[10, 8]", "--set", "compression=none")
    assert 0 == run("put", tmp_path, "a", "1", *given).code


def test_reading_changes_no_table_and_no_log(run: Run, tmp_path: Path) -> None:
    """Commands that read open the store read-only."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k", b"1")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.name != "LOCK"}
    for command in READING:
        assert 0 == run(command[0], tmp_path, *command[1:]).code
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file() and path.name != "LOCK"}
    assert before == after


def test_stats_prints_the_level_table_and_the_tables(run: Run, tmp_path: Path) -> None:
    """The form that users of LevelDB and RocksDB know, or JSON."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k\xff", b"1")
        db.flush_memtable()
    text = run("stats", tmp_path, "--files").out.decode()
    assert [True, True] == ["Level  Files" in text, "k\\xff .. k\\xff" in text]
    tree = json.loads(run("stats", tmp_path, "--files", "--json").out)
    assert [(0, 1, "a/8=")] == [(f["level"], f["entries"], f["smallest_base64"]) for f in tree["files"]]
