"""The first part of the demo: the engine by hand, with a memtable and tables so small that everything happens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lsmproc.open_store import open_store

if TYPE_CHECKING:
    from lsmproc.cli.demo.narrator import Narrator
    from lsmproc.store import LSMStore

_WAIT_SECONDS = 30.0
_MANY = 2000


def walk(path: str, narrator: Narrator) -> None:
    """Walk through the engine in a new store at ``path``."""
    narrator.heading("1. A walk through the engine")
    narrator.say(
        "A store with a memtable of 16 KiB and tables of 16 KiB; flushes and compactions run in other processes.\n"
    )
    narrator.call('db = lsmproc.open(path, memtable_max_bytes="16KiB", sstable_max_bytes="16KiB")')
    with open_store(path, memtable_max_bytes="16KiB", sstable_max_bytes="16KiB", level_base_bytes="64KiB") as db:
        _write_and_read(db, narrator)
        _flush(db, narrator)
        _update(db, narrator)
        _compact(db, narrator)
        _read_a_range(db, narrator)
        _fill(db, narrator)


def _write_and_read(db: LSMStore, narrator: Narrator) -> None:
    narrator.say("\nWrites go to the log, then to the memtable; when put returns, every thread sees the value.")
    for key, value in ((b"user:1", b"alice"), (b"user:2", b"bob"), (b"user:3", b"carol"), (b"user:4", b"")):
        db.put(key, value)
        narrator.call(f"db.put({key!r}, {value!r})")
    db.delete(b"user:2")
    narrator.call("db.delete(b'user:2')")
    for key in (b"user:1", b"user:2", b"user:4"):
        narrator.call(f"db.get({key!r})", repr(db.get(key)))
    entry = db.get_with_meta(b"user:1")
    narrator.call("db.get_with_meta(b'user:1')", entry and f"sequence {entry.sequence}, from the {entry.source}")
    narrator.check("a key that was put has its value", b"alice", db.get(b"user:1"))
    narrator.check("a key that was deleted has none", None, db.get(b"user:2"))
    narrator.check("an empty value is a value", b"", db.get(b"user:4"))
    narrator.check("the record is in the memtable", "memtable", entry and entry.source)


def _flush(db: LSMStore, narrator: Narrator) -> None:
    narrator.say("\nA flush: the flush worker reads the sealed log segment and writes a table of level 0.")
    flushed = db.flush_memtable(timeout=_WAIT_SECONDS)
    narrator.call(
        "db.flush_memtable()", flushed and ", ".join(f"{t.name}, {t.entries} records" for t in flushed.tables)
    )
    workers = [worker for worker in db.stats().workers if worker.kind == "flush" and worker.jobs_done]
    for worker in workers:
        narrator.say(f"    done by {worker.name}, process {worker.pid}; this is process {os.getpid()}")
    narrator.say("    files in the directory:")
    for name in sorted(os.listdir(db.path)):
        narrator.say(f"      {name:<16} {_FILE_WORDS.get(name.rpartition('.')[2][:8], '')}")
    entry = db.get_with_meta(b"user:1")
    found = entry and f"{entry.value!r} from {_table(entry.file_number)}, level {entry.level}"
    narrator.call("db.get_with_meta(b'user:1')", found)
    narrator.check(
        "another process made the flush", True, bool(workers) and os.getpid() not in {w.pid for w in workers}
    )
    narrator.check("the read hits the table", ("table", 0), entry and (entry.source, entry.level))


_FILE_WORDS = {
    "wal": "a log segment",
    "sst": "a table",
    "MANIFEST": "the list of tables",
    "CURRENT": "names the manifest",
    "LOCK": "held by the owner",
    "tmp": "unfinished outputs of workers",
}


def _table(number: int | None) -> str:
    return f"table {number}"


def _update(db: LSMStore, narrator: Narrator) -> None:
    narrator.say("\nUpdates of the same keys: each flush adds a table of level 0, and the newest one counts.")
    with db.background_paused():
        for name in (b"alice the second", b"alice the third"):
            db.put(b"user:1", name)
            narrator.call(f"db.put(b'user:1', {name!r})")
            if name.endswith(b"third"):
                db.delete(b"user:3")
                narrator.call("db.delete(b'user:3')")
            db.flush_memtable(timeout=_WAIT_SECONDS)
            narrator.call("db.flush_memtable()")
        _show_tables(db, narrator)
        narrator.check("three tables overlap in level 0", [0, 0, 0], [table.level for table in db.live_files()])
        narrator.check("the newest value counts", b"alice the third", db.get(b"user:1"))
        narrator.check("a tombstone in a newer table hides the older record", None, db.get(b"user:3"))


def _compact(db: LSMStore, narrator: Narrator) -> None:
    narrator.say("\nA compaction worker merges them: old versions and tombstones go. Levels fill up from the last one.")
    before = sum(table.entries for table in db.live_files())
    result = db.compact_level(0, timeout=_WAIT_SECONDS)
    after = db.live_files()
    lower = ", ".join(f"level {level}" for level in sorted({table.level for table in after}))
    narrator.call(
        "db.compact_level(0)", f"{before} records in level 0 became {sum(t.entries for t in after)} in {lower}"
    )
    _show_tables(db, narrator)
    narrator.check("one compaction ran", 1, result.compactions)
    narrator.check("level 0 is empty", 0, sum(table.level == 0 for table in after))
    narrator.check("two records are left of seven", (7, 2), (before, sum(table.entries for table in after)))
    narrator.check("no tombstone is left", 0, sum(table.tombstones for table in after))
    narrator.check("the value is still the newest", b"alice the third", db.get(b"user:1"))


def _show_tables(db: LSMStore, narrator: Narrator) -> None:
    for table in db.live_files():
        keys = f"{table.smallest.decode()} .. {table.largest.decode()}"
        narrator.say(
            f"      L{table.level}  {table.name}  {table.entries} records, {table.tombstones} tombstones, {keys}"
        )


def _read_a_range(db: LSMStore, narrator: Narrator) -> None:
    narrator.say("\nA range merges memtable and tables, in key order; a snapshot keeps the state it was taken at.")
    with db.snapshot() as snapshot:
        db.put(b"user:2", b"bob again")
        narrator.call("snapshot = db.snapshot(); db.put(b'user:2', b'bob again')")
        now, then = list(db.range(b"user:1", b"user:4")), list(snapshot.range(b"user:1", b"user:4"))
    narrator.call("list(db.range(b'user:1', b'user:4'))", now)
    narrator.call("list(snapshot.range(b'user:1', b'user:4'))", then)
    newest = (b"user:1", b"alice the third")
    narrator.check("the range shows both writes, and ends before user:4", [newest, (b"user:2", b"bob again")], now)
    narrator.check("the snapshot does not show the later write", [newest], then)


def _fill(db: LSMStore, narrator: Narrator) -> None:
    narrator.say(f"\n{_MANY:,} more writes: the memtable fills up, is flushed and compacted without being asked.")
    for number in range(_MANY):
        db.put(b"item:%06d" % (number * 7919 % _MANY), b"value %d" % number * 5)
    db.wait_idle(_WAIT_SECONDS)
    narrator.call(f"for n in range({_MANY}): db.put(...)")
    stats = db.stats()
    for level in stats.levels:
        if level.files:
            narrator.say(f"      L{level.level}  {level.files} tables, {level.bytes:,} bytes")
    for worker in stats.workers:
        narrator.say(f"      {worker.name}, process {worker.pid}: {worker.jobs_done} jobs done")
    narrator.check("every record is there", _MANY, sum(1 for _ in db.range(prefix=b"item:")))
