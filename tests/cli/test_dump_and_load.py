"""dump writes what load reads: every byte, in both formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]

RECORDS = {
    b"": b"",
    b"\x00\xff": b"he\n",
    b"tab\tline\nreturn\rback\\slash": b"\t\n\r\\",
    "ö".encode(): "ü \U0001f600".encode(),
    b"\\t": b"\\x00",
    bytes(range(256)): bytes(reversed(range(256))),
    b" ": b" ",
}


@pytest.mark.parametrize("options", [(), ("--hex",), ("--format", "tsv"), ("--json",)])
def test_what_is_dumped_and_loaded_is_the_same(run: Run, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Empty, binary, and everything that looks like an escape."""
    with lsmproc.open(tmp_path / "old", background="inline") as db:
        for key, value in RECORDS.items():
            db.put(key, value)
    dumped = run("dump", "records", tmp_path / "old", *options)
    assert len(RECORDS) == dumped.out.count(b"\n")
    form = ("--format", "tsv") if "tsv" in options else ()
    loaded = run("load", tmp_path / "new", *form, "--json", stdin=dumped.out)
    assert {"records": len(RECORDS), "bytes": sum(len(k) + len(v) for k, v in RECORDS.items())} == json.loads(
        loaded.out
    )
    with lsmproc.open(tmp_path / "new", read_only=True) as db:
        assert RECORDS == dict(db.range())


def test_files_are_read_in_order_and_by_their_ending(run: Run, tmp_path: Path) -> None:
    """A later file counts over an earlier one; .tsv is TSV."""
    (tmp_path / "one.tsv").write_bytes(b"a\t1\nb\t1\n")
    (tmp_path / "two.jsonl").write_text('{"key": "a", "value": "2"}\n\n{"key_base64": "/w==", "value_hex": "00"}\n')
    done = run("load", tmp_path / "store", tmp_path / "one.tsv", tmp_path / "two.jsonl")
    assert (0, b"4 records, 8 bytes of keys and values\n") == (done.code, done.out)
    with lsmproc.open(tmp_path / "store", read_only=True) as db:
        assert {b"a": b"2", b"b": b"1", b"\xff": b"\0"} == dict(db.range())


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b"no json", "Expecting value"),
        (b"[]", "a JSON object is needed"),
        (b'{"key": "a"}', "one of 'value'"),
        (b'{"key": "a", "key_hex": "61", "value": ""}', "one of 'key'"),
        (b'{"key": 1, "value": ""}', "must be a string"),
        (b'{"key_hex": "6", "value": ""}', "cannot be decoded"),
        (b'{"key_base64": "!", "value": ""}', "cannot be decoded"),
        (b'{"key": "\\ud800", "value": ""}', "cannot be decoded"),
        (b'{"key": "' + b"k" * 140_000 + b'", "value": ""}', "above the limit"),
        (b"\xff", "utf-8"),
        (b"key\tvalue", 'a line looks like {"key": "user:1", "value": "alice"}; TSV is read with --format tsv'),
        (b"[" * 100_000, "recursion"),
    ],
)
def test_a_bad_line_is_named_and_the_lines_before_it_are_kept(
    run: Run, tmp_path: Path, line: bytes, complaint: str
) -> None:
    """File and line, so that the rest can be mended and loaded."""
    done = run("load", tmp_path, stdin=b'{"key": "good", "value": "1"}\n' + line + b"\n")
    assert (2, True, True) == (done.code, done.err.startswith("lsmproc: stdin:2: "), complaint in done.err)
    assert b"1\n" == run("get", tmp_path, "good").out


@pytest.mark.parametrize("line", [b"no tab", b"two\ttabs\there", b"bad\\q\tescape", b"end\t\\"])
def test_a_bad_line_of_tsv_is_named(run: Run, tmp_path: Path, line: bytes) -> None:
    """A line that could mean two things means none."""
    done = run("load", tmp_path, "--format", "tsv", stdin=line)
    assert (2, True) == (done.code, "stdin:1: " in done.err)


def test_dump_writes_a_new_file_only(run: Run, tmp_path: Path) -> None:
    """A dump never replaces the last one."""
    run("put", tmp_path / "store", "a", "1")
    assert 0 == run("dump", "records", tmp_path / "store", "--output", tmp_path / "d").code
    assert b'{"key": "a", "value": "1"}\n' == (tmp_path / "d").read_bytes()
    assert 2 == run("dump", "records", tmp_path / "store", "--output", tmp_path / "d").code


def test_dump_writes_only_the_selected_records(run: Run, tmp_path: Path) -> None:
    """The range options are those of scan."""
    run("load", tmp_path, "--format", "tsv", stdin=b"a1\t1\na2\t2\nb1\t3\n")
    assert b"a1\t1\na2\t2\n" == run("dump", "records", tmp_path, "--format", "tsv", "--prefix", "a").out


def test_load_reads_a_file_that_dump_named(run: Run, tmp_path: Path) -> None:
    """Both go by the ending, unless told otherwise."""
    run("put", tmp_path / "my store", "a", "1")
    assert 0 == run("dump", "records", tmp_path / "my store", "--output", tmp_path / "z.tsv").code
    assert b"a\t1\n" == (tmp_path / "z.tsv").read_bytes()
    assert 0 == run("load", tmp_path / "copy", tmp_path / "z.tsv").code
    assert b"1\n" == run("get", tmp_path / "copy", "a").out
    run("dump", "records", tmp_path / "my store", "--output", tmp_path / "json.tsv", "--json")
    assert b'{"key": "a", "value": "1"}\n' == (tmp_path / "json.tsv").read_bytes()


@pytest.mark.parametrize(
    "options",
    [("--hex", "--format", "tsv"), ("--hex",), ("--format", "tsv", "--json"), ("--prefix", "a", "--start", "a")],
)
def test_dump_refuses_what_contradicts_itself_and_makes_no_file(
    run: Run, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """An option that would be ignored is a mistake."""
    run("put", tmp_path / "store", "a", "1")
    done = run("dump", "records", tmp_path / "store", "--output", tmp_path / "d.tsv", *options)
    assert (2, False) == (done.code, (tmp_path / "d.tsv").exists())
