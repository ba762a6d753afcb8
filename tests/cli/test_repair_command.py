"""The command repair: its report and its exit codes."""

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
    """A closed store of one table of several blocks."""
    with lsmproc.open(tmp_path / "store", background="inline", block_bytes=512) as db:
        for number in range(100):
            db.put(b"key %04d" % number, b"value %d" % number)
        db.flush_memtable()
    return tmp_path / "store"


def test_a_sound_store_is_exit_code_0(run: Run, store: Path, tmp_path: Path) -> None:
    """And what was kept is counted."""
    done = run("repair", store, "--into", tmp_path / "new")
    assert (0, True) == (done.code, b": all kept\n" in done.out)
    assert b"value 7\n" == run("get", tmp_path / "new", "key 0007").out


def test_what_is_lost_is_listed_with_its_keys_and_exit_code_1(run: Run, store: Path, tmp_path: Path) -> None:
    """As text and as JSON."""
    (table,) = store.glob("*.sst")
    data = bytearray(table.read_bytes())
    data[3] ^= 1
    table.write_bytes(data)
    done = run("repair", store, "--into", tmp_path / "one")
    assert (1, True) == (done.code, f"lost: {table.name} at byte 0: ".encode() in done.out)
    assert b"keys from key 0000 to key 00" in done.out
    report = json.loads(run("repair", store, "--into", tmp_path / "two", "--json").out)
    assert ("something lost", 1, b"key 0000".hex(), 0) == (
        report["verdict"],
        len(report["losses"]),
        report["losses"][0]["smallest_hex"],
        report["losses"][0]["tombstones"],
    )


def test_a_doubt_is_exit_code_1(run: Run, store: Path, tmp_path: Path) -> None:
    """Without a manifest nobody knows which deletions were dropped."""
    for path in store.glob("MANIFEST-*"):
        path.unlink()
    done = run("repair", store, "--into", tmp_path / "new")
    assert (1, True) == (done.code, b"in doubt: no manifest says" in done.out)


def test_what_cannot_be_done_is_exit_code_2_and_one_line(run: Run, store: Path, tmp_path: Path) -> None:
    """In use, not empty, inside of the store, no store."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_bytes(b"")
    for path, into in ((store, tmp_path / "full"), (store, store / "new"), (tmp_path / "nothing", tmp_path / "new")):
        done = run("repair", path, "--into", into)
        assert (2, 1, b"") == (done.code, done.err.count("\n"), done.out)
    with lsmproc.open(store, background="inline"):
        assert 2 == run("repair", store, "--into", tmp_path / "new").code
    assert 2 == run("repair", store).code
