"""lsmproc config: values with their origins, all problems at once, differences, explanations."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.config import profile_names

Run = Callable[..., Any]


def test_show_prints_each_setting_with_its_origin(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, environment and command line, each named."""
    file = tmp_path / "app.toml"
    file.write_text('\nblock_bytes = "8KiB"\n')
    monkeypatch.setenv("LSMPROC_FLUSH_WORKERS", "3")
    done = run("config", "show", file, "--set", "compaction_workers=5", "--json")
    tree = json.loads(done.out)
    assert {"value": '"8KiB"', "origin": f"{file}:2"} == tree["block_bytes"]
    assert {"value": "3", "origin": "environment LSMPROC_FLUSH_WORKERS"} == tree["flush_workers"]
    assert {"value": "5", "origin": "argument"} == tree["compaction_workers"]
    assert "default" == tree["wal"]["origin"]
    changed = run("config", "show", file, "--changed").out.decode().splitlines()
    assert 2 == len(changed)


def test_a_command_works_with_the_options_of_the_store(run: Run, tmp_path: Path) -> None:
    """A quick put leaves no table of another kind in a service's store; a profile that is named counts instead."""
    with lsmproc.open(tmp_path / "s", background="inline", filter="none", block_bytes=8192):
        pass
    assert 0 == run("put", tmp_path / "s", "a", "1").code
    shown = json.loads(run("config", "show", tmp_path / "s", "--changed", "--json").out)
    assert {"value": '"none"', "origin": "OPTIONS of the store"} == shown["filter"]
    assert {"background", "block_bytes", "filter"} == set(shown)
    with lsmproc.open(tmp_path / "s", background="inline", filter="none", block_bytes=8192) as db:
        assert () == db.option_changes
    named = json.loads(run("config", "show", tmp_path / "s", "--profile", "durable", "--changed", "--json").out)
    assert {"wal_sync", "wal_flush_every_write", "max_immutable_memtables"} == set(named)


def test_check_tells_all_problems_and_exits_with_1(run: Run, tmp_path: Path) -> None:
    """An operator mends the file in one go."""
    file = tmp_path / "app.toml"
    file.write_text("compaction_workers = 0\nrate_limt = 1\nlevel0_stop_writes_trigger = 8\n")
    done = run("config", "check", file)
    lines = done.out.decode().splitlines()
    assert (1, "3 problems, 0 warnings") == (done.code, lines[-1])
    assert [f"problem: {file}:1", f"problem: {file}:2", f"problem: {file}:3"] == [
        ":".join(line.split(":")[:3]) for line in lines[:-1]
    ]


def test_check_holds_a_limit_against_what_the_store_was_seen_to_do(run: Run, tmp_path: Path) -> None:
    """Sequence numbers are times, so level 0 tells how fast it was filled."""
    with lsmproc.open(tmp_path / "s", background="inline", level0_compaction_trigger=9, compression="none") as db:
        for number in range(20_000):
            db.put(b"%08d" % number, b"v" * 100)
        db.flush_memtable()
    done = run("config", "check", tmp_path / "s", "--set", "rate_limit_bytes_per_sec=1KiB")
    assert 0 == done.code
    assert "warning: argument: rate_limit_bytes_per_sec 0.0 MiB/s is below the flush rate seen" in done.out.decode()
    assert "writes will stop after about" in done.out.decode()


def test_diff_compares_profiles_files_and_stores(run: Run, tmp_path: Path) -> None:
    """Exit code 1 says that there is a difference, as diff does."""
    with lsmproc.open(tmp_path / "s", background="inline"):
        pass
    (tmp_path / "app.toml").write_text("background = 'inline'\nblock_bytes = 8192\n")
    done = run("config", "diff", tmp_path / "s", tmp_path / "app.toml")
    assert (1, b'block_bytes: "4KiB" -> "8KiB"\n') == (done.code, done.out)
    assert 0 == run("config", "diff", "durable", "durable").code
    assert 1 == run("config", "diff", "default", "bulk-load").code
    assert 2 == run("config", "diff", "default", "nowhere").code


def test_explain_and_profiles_tell_what_there_is(run: Run) -> None:
    """From the same words as the documentation."""
    explained = run("config", "explain", "wal_sync", "wal").out.decode()
    assert ["at any time, with db.set_options().", "by opening the store again."] == [
        line.removeprefix("Changed: ") for line in explained.splitlines() if line.startswith("Changed:")
    ]
    assert "did you mean 'wal_sync'" in run("config", "explain", "wal_snc").err
    listed = run("config", "profiles").out.decode().splitlines()
    assert list(profile_names()) == [line.split()[0] for line in listed]
    assert run("config", "profiles", "shared-host").out.startswith(b"# For machines that belong to others")


def test_config_alone_says_what_it_can_do(run: Run) -> None:
    """As dump does."""
    assert (2, True) == ((done := run("config")).code, "show, check, diff" in done.err)
