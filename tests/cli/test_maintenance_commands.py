"""info, compact, flush, checkpoint, destroy, shell, and the small dumps: what an operator does to a closed store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store with two tables and something in its log."""
    with lsmproc.open(tmp_path / "store", background="inline", block_bytes=512, compression="none") as db:
        for _ in range(2):
            for number in range(50):
                db.put(b"key %03d" % number, b"value")
            db.flush_memtable()
        db.put(b"new", b"1")
    return tmp_path / "store"


def test_info_tells_of_a_store_without_its_lock(run: Run, store: Path) -> None:
    """Open or not."""
    tree = json.loads(run("info", store, "--json").out)
    assert (False, 2, 100) == (tree["open"], tree["tables"], tree["records_in_tables"])
    assert {"block_bytes": "512B", "background": "inline", "compression": "none"} == {
        name: json.loads(text) for name, text in tree["options"].items()
    }
    with lsmproc.open(store, background="inline"):
        done = run("info", store)
        assert (0, True) == (done.code, b"level 0              2 tables" in done.out)
        assert json.loads(run("info", store, "--json").out)["open"]
    lines = run("info", store).out.decode().splitlines()
    assert ["last owner"] == [line[:21].strip() for line in lines if "owner" in line]
    assert [] == [line for line in lines if line[20] != " "]
    assert 2 == run("info", store / "nothing").code


def test_flush_and_compact_say_what_they_did(run: Run, store: Path) -> None:
    """In bytes and records."""
    flushed = json.loads(run("flush", store, "--json").out)
    assert (1, 1) == (flushed["records"], len(flushed["tables"]))
    assert 0 == json.loads(run("flush", store, "--json").out)["records"]
    done = json.loads(run("compact", store, "--json").out)
    assert done["compactions"] >= 1
    assert done["bytes_after"] < done["bytes_before"]
    assert (2, True) == ((wrong := run("compact", store, "--level", 9)).code, "levels are 0 to 6" in wrong.err)


def test_checkpoint_makes_a_store_that_opens(run: Run, store: Path, tmp_path: Path) -> None:
    """With everything that the original held, its log included."""
    assert 0 == run("checkpoint", store, tmp_path / "copy").code
    assert b"1\n" == run("get", tmp_path / "copy", "new").out
    assert 2 == run("checkpoint", store, tmp_path / "copy").code


def test_destroy_asks_and_refuses(run: Run, store: Path, tmp_path: Path) -> None:
    """Without an answer nothing goes; no store is no store; an open store stays."""
    done = run("destroy", store)
    assert (2, True, True) == (done.code, "--yes" in done.err, store.exists())
    (tmp_path / "letters").mkdir()
    assert 2 == run("destroy", tmp_path / "letters", "--yes").code
    with lsmproc.open(store, background="inline"):
        done = run("destroy", store, "--yes")
        assert (2, True, True) == (done.code, "is open, by pid" in done.err, store.exists())
    assert 0 == run("destroy", store, "--yes").code
    assert not store.exists()


@pytest.mark.parametrize("command", ["compact", "flush", "shell"])
def test_nothing_writes_to_a_store_that_is_open_elsewhere(run: Run, store: Path, command: str) -> None:
    """It says who has it."""
    with lsmproc.open(store, background="inline"):
        done = run(command, store, stdin=b"put a 1\n")
        assert (2, True) == (done.code, "is open, by pid" in done.err)
    if command != "shell":
        assert 2 == run(command, store.parent / "nothing").code


def test_the_shell_reads_and_writes(run: Run, store: Path) -> None:
    """From a pipe, a line at a time."""
    lines = [
        b"put 'two words' 2",
        b"get 'two words'",
        b"scan key 1",
        b"delete new",
        b"get new",
        b"set block_bytes 8KiB",
    ]
    done = run("shell", store, stdin=b"\n".join([*lines, b"stats", b"flush", b"compact", b"", b"quit"]))
    shown = done.out.decode().splitlines()
    assert (0, "") == (done.code, done.err)
    assert ["2", "key 000\tvalue", "(and more; scan PREFIX 2 shows more)", "(no such key)"] == shown[:4]
    assert 'block_bytes: "512B" -> "8KiB"' == shown[4]
    assert True in ["records in 1 tables" in line for line in shown[5:]]
    assert shown[-1].endswith(" compactions")
    assert b"2\n" == run("get", store, "two words").out
    assert b"0a\n" == run("shell", store, "--hex", stdin=b"put 00ff 0a\nget 00ff\n").out


def test_the_shell_ends_at_the_first_mistake_of_a_script(run: Run, store: Path) -> None:
    """What follows may rely on it."""
    done = run("shell", store, stdin=b"gett a\nput a 1\n")
    assert (2, True) == (done.code, "no command 'gett'" in done.err)
    assert 1 == run("get", store, "a").code
    done = run("shell", store, stdin=b"scan a b\n")
    assert (2, "a LIMIT is a number of records, and not 'b'" in done.err) == (done.code, True)
    done = run("shell", store, "--read-only", stdin=b"put a 1\n")
    assert (2, True) == (done.code, "read_only=True" in done.err)


def test_a_dump_of_the_wrong_file_says_what_it_is(run: Run, store: Path, tmp_path: Path) -> None:
    """And which dump shows it."""
    (table, *_) = store.glob("*.sst")
    done = run("dump", "wal", table)
    assert (2, True) == (done.code, "is a table, not a log segment: lsmproc dump sst shows it" in done.err)
    (manifest,) = store.glob("MANIFEST-*")
    renamed = tmp_path / "renamed"
    renamed.write_bytes(manifest.read_bytes())
    assert "is a manifest, not a table" in run("sst", renamed).err
    assert (2, True) == ((done := run("wal", store / "OPTIONS")).code, "is the record of a store's options" in done.err)
    assert 2 == run("sst", store / "CURRENT").code


def test_dump_manifest_takes_current(run: Run, store: Path) -> None:
    """The way to the live manifest; one that names none is told."""
    (manifest,) = store.glob("MANIFEST-*")
    done = run("manifest", store / "CURRENT", "--summary")
    assert (0, True) == (done.code, manifest.name.encode() in done.out)
    (store / "CURRENT").write_text("nonsense\n")
    done = run("dump", "manifest", store / "CURRENT")
    assert (2, True) == (done.code, "names no manifest" in done.err)


def test_a_bad_filter_is_damage_in_the_summary_as_well(run: Run, store: Path) -> None:
    """--summary shows nothing else."""
    (table, *_) = store.glob("*.sst")
    rows = [json.loads(line) for line in run("sst", table, "--json").out.splitlines()]
    footer = next(row for row in rows if row["row"] == "footer")
    data = bytearray(table.read_bytes())
    data[footer["filter_offset"] + 3] ^= 0xFF
    table.write_bytes(data)
    done = run("sst", table, "--summary", "--json")
    summary = json.loads(done.out.splitlines()[-1])
    assert (1, footer["filter_offset"], "the filter does not check") == (
        done.code,
        summary["first_bad_byte"],
        summary["problem"],
    )


def test_stats_of_a_closed_store_count_its_log(run: Run, store: Path) -> None:
    """What the next opening will replay."""
    wal = json.loads(run("stats", store, "--json").out)["wal"]
    assert (1, True) == (wal["segments"], wal["bytes"] > 80)
