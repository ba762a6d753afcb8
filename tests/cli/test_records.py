"""put, get, delete and scan: records go in and come out, byte for byte, with the promised exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]


def test_a_value_that_was_put_is_printed_by_get(run: Run, tmp_path: Path) -> None:
    """The two commands of the quick start."""
    assert 0 == run("put", tmp_path / "store", "user:1", "alice").code
    done = run("get", tmp_path / "store", "user:1")
    assert (0, b"alice\n", "") == (done.code, done.out, done.err)


def test_a_missing_key_is_exit_code_1_and_says_which(run: Run, tmp_path: Path) -> None:
    """Scripts ask for the code, people read the line."""
    run("put", tmp_path, "a", "1")
    done = run("get", tmp_path, "b")
    assert (1, b"", "lsmproc: no key b\n") == (done.code, done.out, done.err)
    asked = run("get", tmp_path, "b", "--json")
    assert (1, {"key": "b", "found": False}) == (asked.code, json.loads(asked.out))


def test_a_deleted_key_is_gone_and_deleting_it_again_is_fine(run: Run, tmp_path: Path) -> None:
    """Delete asks for a state, not for a change."""
    run("put", tmp_path, "a", "1")
    assert [0, 0] == [run("delete", tmp_path, "a").code, run("delete", tmp_path, "a").code]
    assert 1 == run("get", tmp_path, "a").code


def test_get_with_json_tells_where_the_record_was_found(run: Run, tmp_path: Path) -> None:
    """The fields of Entry, under their names."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"a", b"1")
        db.flush_memtable()
    found = json.loads(run("get", tmp_path, "a", "--json").out)
    assert {"key": "a", "found": True, "value": "1", "source": "table", "level": 0}.items() <= found.items()
    assert {"sequence", "file_number", "probes"} <= found.keys()


def test_hexadecimal_goes_in_and_out(run: Run, tmp_path: Path) -> None:
    """For keys that no shell can spell."""
    run("put", tmp_path, "--hex", "00ff", "0a0d")
    assert b"0a0d\n" == run("get", tmp_path, "--hex", "00ff").out
    assert b"00ff\t0a0d\n" == run("scan", tmp_path, "--hex").out
    assert {"key_hex": "00ff", "value_hex": "0a0d"} == json.loads(run("scan", tmp_path, "--hex", "--json").out)


def test_text_that_is_not_hexadecimal_is_refused(run: Run, tmp_path: Path) -> None:
    """Before anything is opened or made."""
    done = run("put", tmp_path / "store", "--hex", "xy", "00")
    assert (2, False) == (done.code, (tmp_path / "store").exists())
    assert "'xy' is not hexadecimal" in done.err


def test_what_is_not_printable_is_shown_as_escapes(run: Run, tmp_path: Path) -> None:
    """A value cannot move the cursor of the one who looks at it."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"k", "ö\x1b[2J\\".encode() + b"\xff")
    assert "ö\\x1b[2J\\\\\\xff\n".encode() == run("get", tmp_path, "k").out


def test_raw_prints_the_bytes_and_nothing_else(run: Run, tmp_path: Path) -> None:
    """For pictures and pipes; put --file is the way back."""
    data = bytes(range(256)) * 10
    (tmp_path / "picture").write_bytes(data)
    run("put", tmp_path / "store", "p", "--file", tmp_path / "picture")
    assert data == run("get", tmp_path / "store", "p", "--raw").out


def test_put_takes_the_value_from_stdin(run: Run, tmp_path: Path) -> None:
    """The name - is stdin, as everywhere."""
    run("put", tmp_path, "k", "--file", "-", stdin=b"from a pipe\n")
    assert b"from a pipe\n" == run("get", tmp_path, "k", "--raw").out


def test_put_wants_exactly_one_source_of_the_value(run: Run, tmp_path: Path) -> None:
    """Neither and both are mistakes."""
    assert 2 == run("put", tmp_path, "k").code
    assert 2 == run("put", tmp_path, "k", "v", "--file", "-").code
    done = run("put", tmp_path, "--file", "-", "k", "v")
    assert (2, True) == (done.code, "not both" in done.err)


def test_get_prints_bytes_or_json_but_not_both(run: Run, tmp_path: Path) -> None:
    """One of them would be ignored."""
    run("put", tmp_path, "k", "v")
    assert 2 == run("get", tmp_path, "k", "--raw", "--json").code


def test_what_begins_with_a_dash_comes_after_two(run: Run, tmp_path: Path) -> None:
    """As everywhere."""
    assert 0 == run("put", tmp_path, "--", "-key", "-value").code
    assert b"-value\n" == run("get", tmp_path, "--", "-key").out


@pytest.mark.parametrize(
    ("options", "keys"),
    [
        ((), "a b c"),
        (("--reverse",), "c b a"),
        (("--start", "b"), "b c"),
        (("--stop", "b"), "a"),
        (("--prefix", "c"), "c"),
        (("--limit", "2", "--reverse"), "c b"),
        (("--limit", "0"), ""),
    ],
)
def test_scan_selects_and_orders(run: Run, tmp_path: Path, options: tuple[str, ...], keys: str) -> None:
    """Start is included, stop is not, and limit counts after ordering."""
    with lsmproc.open(tmp_path, background="inline") as db:
        for key in (b"a", b"b", b"c"):
            db.put(key, b"value")
    assert keys.encode() == run("scan", tmp_path, "--keys-only", *options).out.replace(b"\n", b" ").strip()


def test_scan_refuses_what_contradicts_itself(run: Run, tmp_path: Path) -> None:
    """A prefix is a range already, and a count is not negative."""
    run("put", tmp_path, "a", "1")
    assert 2 == run("scan", tmp_path, "--prefix", "a", "--start", "a").code
    assert 2 == run("scan", tmp_path, "--limit", "-1").code


def test_a_closed_pipe_ends_a_scan_quietly(tmp_path: Path) -> None:
    """``lsmproc scan ... | head -1`` prints one line and no traceback."""
    import os
    import subprocess
    import sys

    with lsmproc.open(tmp_path, background="inline") as db, db.write_batch() as batch:
        for number in range(20_000):
            batch.put(b"%08d" % number, b"x" * 20)
    process = subprocess.Popen(
        [sys.executable, "-m", "lsmproc", "scan", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()
    assert (141, b"") == (process.wait(30), errors)
