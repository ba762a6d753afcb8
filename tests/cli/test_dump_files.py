"""dump wal, sst and manifest: what single files hold, sound or not, from the file alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc

Run = Callable[..., Any]
Row = dict[str, Any]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A closed store with a table of several blocks and every kind of frame in the log."""
    path = tmp_path / "store"
    with lsmproc.open(path, background="inline", block_bytes=512, compression="none") as db:
        for number in range(100):
            db.put(b"key %04d" % number, b"value %d" % number)
        db.delete(b"key 0099")
        db.flush_memtable()
        db.put(b"k\xff", b"1")
        db.delete(b"k\xff")
        with db.write_batch() as batch:
            batch.put(b"a", b"1")
            batch.delete(b"b")
        db.sync()
    return path


def rows(run: Run, *arguments: object, code: int = 0) -> list[Row]:
    """The rows of a dump as JSON."""
    done = run("dump", *arguments, "--json")
    assert code == done.code, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def of(found: list[Row], kind: str) -> list[Row]:
    """The rows of one kind."""
    return [row for row in found if row["row"] == kind]


def log_of(store: Path) -> Path:
    """The segment that holds records."""
    (path,) = [path for path in store.glob("*.wal") if path.read_bytes().strip(b"\0")]
    return path


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def test_every_frame_of_a_segment_is_shown_from_the_file_alone(run: Run, store: Path, tmp_path: Path) -> None:
    """Without a store around it: offsets follow each other, sequence numbers never go back."""
    shutil.copy(log_of(store), tmp_path / "alone.wal")
    found = rows(run, "wal", tmp_path / "alone.wal")
    frames = of(found, "frame")
    assert ["put", "delete", "batch"] == [frame["kind"] for frame in frames if frame["records"]]
    assert [frame["offset"] + frame["bytes"] for frame in frames[:-1]] == [frame["offset"] for frame in frames[1:]]
    sequences = [frame["sequence"] for frame in frames]
    assert [sorted(sequences), {"ok"}] == [sequences, {frame["crc"] for frame in frames}]
    (summary,) = of(found, "summary")
    assert (4, None, len(frames)) == (summary["records"], summary["first_bad_byte"], summary["frames"])
    assert frames[-1]["offset"] == max(frame.get("durable_end", 0) for frame in frames)


def test_frames_behind_a_bad_one_are_shown(run: Run, store: Path) -> None:
    """With the first bad byte and why; exit code 1."""
    log = log_of(store)
    sound = of(rows(run, "wal", log), "frame")
    flip(log, sound[1]["offset"] + 20)
    found = rows(run, "wal", log, code=1)
    assert ["ok", "bad", *["ok"] * (len(sound) - 2)] == [frame["crc"] for frame in of(found, "frame")]
    assert [(sound[1]["offset"], sound[2]["offset"])] == [(gap["offset"], gap["end"]) for gap in of(found, "gap")]
    assert sound[1]["offset"] == of(found, "summary")[0]["first_bad_byte"]
    assert b"first bad byte" in run("dump", "wal", log).out


def test_a_damaged_checksum_alone_is_told_from_damaged_content(run: Run, store: Path) -> None:
    """The next frame proves the content."""
    log = log_of(store)
    sound = of(rows(run, "wal", log), "frame")
    flip(log, sound[1]["offset"] + 2)
    found = rows(run, "wal", log, code=1)
    assert len(sound) == len(of(found, "frame"))
    assert "bad, content proven by the next frame" == of(found, "frame")[1]["crc"]
    assert sound[1]["offset"] + 1 == of(found, "summary")[0]["first_bad_byte"]


def test_a_torn_tail_is_no_damage(run: Run, store: Path) -> None:
    """It is what a crash leaves: shown, with exit code 0."""
    log = log_of(store)
    log.write_bytes(log.read_bytes().rstrip(b"\0") + b"\xce\x01\x02")
    found = rows(run, "wal", store)
    assert [True] == [gap["torn_tail"] for gap in of(found, "gap")]
    assert "torn tail" in of(found, "summary")[0]["problem"]


def test_limit_and_summary_show_less_and_check_all(run: Run, store: Path) -> None:
    """The summary counts what was not shown."""
    log = log_of(store)
    every = rows(run, "wal", log)
    some = rows(run, "wal", log, "--limit", 2)
    none = rows(run, "wal", log, "--summary")
    assert [2, 0] == [len(of(found, "frame")) for found in (some, none)]
    assert of(every, "summary") == of(some, "summary") == of(none, "summary")


def test_keys_are_shown_as_asked(run: Run, store: Path) -> None:
    """Hexadecimal, or text with escapes; in JSON as dump records has them."""
    log = log_of(store)
    assert b" 6bff" in run("dump", "wal", log, "--hex").out
    assert b" k\\xff" in run("dump", "wal", log).out
    assert "a/8=" == of(rows(run, "wal", log), "frame")[0]["first_key_base64"]
    assert "6bff" == of(rows(run, "wal", log, "--hex"), "frame")[0]["first_key_hex"]


def test_every_part_of_a_table_is_shown(run: Run, store: Path, tmp_path: Path) -> None:
    """Footer, properties, index, filter; blocks that touch each other; and nothing is missing."""
    (table,) = store.glob("*.sst")
    shutil.copy(table, tmp_path / "copy")
    found = rows(run, "sst", tmp_path / "copy")
    blocks = of(found, "block")
    assert [0, *[block["offset"] + block["bytes"] for block in blocks[:-1]]] == [block["offset"] for block in blocks]
    assert (100, 1) == tuple(of(found, "properties")[0][name] for name in ("records", "tombstones"))
    assert [len(blocks)] == [part["blocks"] for part in of(found, "index")[0]["partitions"]]
    assert 0 < of(found, "filter")[0]["bits_set_percent"] < 100
    (summary,) = of(found, "summary")
    assert (100, 0, 0, None) == tuple(
        summary[name] for name in ("records", "bad_blocks", "records_missing", "first_bad_byte")
    )
    (described,) = of(rows(run, "manifest", store), "table")
    assert described["checksum"] == summary["checksum"]


def test_blocks_behind_a_bad_one_are_shown(run: Run, store: Path) -> None:
    """The index still knows where each begins, and which keys the bad one had."""
    (table,) = store.glob("*.sst")
    sound = of(rows(run, "sst", table), "block")
    flip(table, sound[2]["offset"] + 30)
    found = rows(run, "sst", table, code=1)
    assert [2] == [index for index, block in enumerate(of(found, "block")) if block["crc"] != "ok"]
    assert sound[2]["last_key"] == of(found, "block")[2]["last_key"]
    (summary,) = of(found, "summary")
    assert (sound[2]["offset"], sound[2]["records"]) == (summary["first_bad_byte"], summary["records_missing"])


@pytest.mark.parametrize("part", ["footer", "properties", "index", "filter"])
def test_damage_outside_of_the_blocks_hides_no_block(run: Run, store: Path, part: str) -> None:
    """And is named with its offset."""
    (table,) = store.glob("*.sst")
    sound = rows(run, "sst", table)
    (footer,) = of(sound, "footer")
    place = table.stat().st_size - 70 if part == "footer" else footer[f"{part}_offset"] + 2
    flip(table, place)
    found = rows(run, "sst", table, code=1)
    assert of(sound, "block") == of(found, "block")
    assert part in json.dumps([*of(found, "damage"), *of(found, "filter")])


def test_the_records_of_a_table_are_printed(run: Run, store: Path) -> None:
    """In key order, with sequence numbers; a deletion has no value."""
    (table,) = store.glob("*.sst")
    found = of(rows(run, "sst", table, "--records"), "record")
    assert [("key 0000", "value 0"), ("key 0099", None)] == [
        (found[place]["key"], found[place].get("value")) for place in (0, -1)
    ]
    assert 3 == len(of(rows(run, "sst", table, "--records", "--limit", 3), "record"))


def test_every_edit_of_a_manifest_is_shown_and_the_tree_it_leads_to(run: Run, store: Path) -> None:
    """As the store's own list of tables has it."""
    found = rows(run, "manifest", store)
    listed = json.loads(run("stats", store, "--files", "--json").out)["files"]
    assert [(file["name"], file["level"]) for file in listed] == [
        (table["name"], table["level"]) for table in of(found, "table")
    ]
    assert ["L0:000004.sst"] == [name for edit in of(found, "frame") for name in edit.get("added", [])]
    assert "CURRENT says MANIFEST-" in of(found, "note")[0]["text"]


def test_a_damaged_manifest_shows_the_edits_behind_the_damage(run: Run, store: Path) -> None:
    """Also when CURRENT is gone."""
    (path,) = store.glob("MANIFEST-*")
    (store / "CURRENT").unlink()
    first, *others = of(rows(run, "manifest", store), "frame")
    flip(path, first["offset"] + 30)
    found = rows(run, "manifest", store, code=1)
    assert others == [frame for frame in of(found, "frame") if frame["crc"] == "ok"]
    assert ["there is no CURRENT"] == [note["text"][:19] for note in of(found, "note")]


@pytest.mark.parametrize("kind", ["wal", "sst", "manifest"])
def test_a_file_of_an_open_store_is_read_with_a_word_of_warning(run: Run, store: Path, kind: str) -> None:
    """Its owner is not disturbed."""
    with lsmproc.open(store, background="inline") as db:
        db.put(b"new", b"1")
        target = store if kind != "sst" else next(store.glob("*.sst"))
        assert "is open: its owner may be changing" in of(rows(run, kind, target), "note")[0]["text"]
        db.put(b"newer", b"1")


def test_dumping_files_changes_nothing(run: Run, store: Path) -> None:
    """No byte and no time of change."""
    before = {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in store.rglob("*")}
    (table,) = store.glob("*.sst")
    for arguments in (("wal", store), ("sst", table), ("manifest", store)):
        rows(run, *arguments)
    assert before == {path: (path.stat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in before}


@pytest.mark.parametrize("arguments", [(), ("wal", "nothing"), ("sst", "."), ("manifest", "nothing"), ("wal", ".")])
def test_what_cannot_be_dumped_is_exit_code_2(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """A missing file, a directory without any, nothing at all."""
    monkeypatch.chdir(tmp_path)
    done = run("dump", *arguments)
    assert (2, 1) == (done.code, done.err.count("\n"))


@pytest.mark.parametrize("kind", ["wal", "sst", "manifest"])
def test_any_bytes_can_be_dumped(run: Run, tmp_path: Path, kind: str) -> None:
    """No file is so strange that it ends in a traceback, or takes for ever."""
    looks_like_blocks = b"\x01\x10\x00\x00\x00" * 20_000
    for number, data in enumerate((b"", bytes(1 << 20), b"\xce" * 200, bytes(range(256)) * 20, looks_like_blocks)):
        (tmp_path / f"{number}").write_bytes(data)
        assert run("dump", kind, tmp_path / f"{number}").code in {0, 1}
