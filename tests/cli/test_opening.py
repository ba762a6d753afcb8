"""How commands open a store: with the settings given, never against an owner, never by accident."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.errors import StorageError
from lsmproc.storage.file_system import PosixFileSystem

Run = Callable[..., Any]

FOLLOWING = [("get", "k"), ("scan",)]
READING = [*FOLLOWING, ("dump records",), ("stats",)]
WRITING = [("put", "k", "v"), ("delete", "k"), ("load",)]


@pytest.mark.parametrize("command", [("dump records",), ("stats",), *WRITING, ("verify",)])
def test_a_store_that_is_open_is_left_alone_and_its_owner_named(
    run: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """The message says whom to ask."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k", b"1")
        done = run(*command[0].split(), tmp_path, *command[1:])
        assert (2, True) == (done.code, f"pid {os.getpid()}" in done.err)
        assert [True, command != ("verify",)] == [str(tmp_path) in done.err, "--wait" in done.err]
        assert b"1" == db.get(b"k")


@pytest.mark.parametrize("command", [*READING, ("delete", "k"), ("verify",)])
def test_a_command_that_needs_a_store_makes_none(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """A mistyped path is an error, not an empty store."""
    path = tmp_path / "nothing"
    done = run(*command[0].split(), path, *command[1:])
    assert (2, False) == (done.code, path.exists())
    assert [True, False] == [str(path) in done.err, "create_if_missing" in done.err]


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
        (("--set", "foo=1"), "lsmproc put --set help lists all settings"),
        (("--wait", "-1"), "no number of seconds"),
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
        assert 0 == run(*command[0].split(), tmp_path, *command[1:]).code
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


@pytest.mark.parametrize("command", [*READING, *WRITING])
def test_damage_is_told_with_the_path_and_what_to_do(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Exit code 1, and one line that can be pasted."""
    path = tmp_path / "my store"
    run("put", path, "k", "v")
    (path / "CURRENT").write_bytes(b"?")
    done = run(*command[0].split(), path, *command[1:])
    assert (1, 1, True) == (done.code, done.err.count("\n"), f"lsmproc verify '{path}'" in done.err)
    assert "backup" in done.err


def test_a_file_that_cannot_be_read_is_named_with_its_store(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not with a name that is one of a million."""
    run("put", tmp_path, "k", "v")
    name = min(path.name for path in tmp_path.glob("MANIFEST*"))
    refuse_to_open(monkeypatch, name)
    assert f"lsmproc: {tmp_path / name}: Permission denied\n" == run("get", tmp_path, "k").err
    assert f"{name}: the file could not be read: Permission denied\n" in run("verify", tmp_path).out.decode()


def refuse_to_open(monkeypatch: pytest.MonkeyPatch, refused: str) -> None:
    """Let the system deny one file, as it does to everyone but root."""
    really_open = PosixFileSystem.open

    def refuse(self: PosixFileSystem, name: str, flags: int) -> int:
        if name == refused:
            raise StorageError(13, "Permission denied", name)
        return really_open(self, name, flags)

    monkeypatch.setattr(PosixFileSystem, "open", refuse)


@pytest.mark.parametrize("command", [*READING, *WRITING, ("verify",)])
def test_every_command_says_damaged_when_current_is_lost(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """Tables and a log are no empty place."""
    run("put", tmp_path, "k", "v")
    (tmp_path / "CURRENT").unlink()
    done = run(*command[0].split(), tmp_path, *command[1:])
    assert (1, True) == (done.code, "CURRENT" in done.err + done.out.decode())


@pytest.mark.parametrize("command", FOLLOWING)
def test_a_store_that_is_open_elsewhere_is_followed(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    """What is only in its owner's log is there, and standard error says whose state it is."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k", b"1")
        done = run(command[0], tmp_path, *command[1:])
        assert (0, True, True) == (done.code, done.out.endswith(b"1\n"), "open elsewhere" in done.err)
