"""What type checkers must understand of programs that use lsmproc, and what they must refuse; only read by them.

A line that must be refused carries a comment that both checkers take; mypy reports one that has no effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import lsmproc
import lsmproc.aio
import lsmproc.dbm
from lsmproc.compat import plyvel


def reads(db: lsmproc.LSMStore, snapshot: lsmproc.Snapshot) -> None:
    """A default decides what ``get`` returns."""
    assert_type(db.get(b"a"), bytes | None)
    assert_type(db.get(b"a", b""), bytes)
    assert_type(db.get(b"a", 0), bytes | int)
    assert_type(db.get(b"a", None, snapshot=snapshot), bytes | None)
    assert_type(snapshot.get(b"a"), bytes | None)
    assert_type(snapshot.get(b"a", "x"), bytes | str)
    assert_type(db[b"a"], bytes)
    assert_type(b"a" in db, bool)
    assert_type(list(db), list[bytes])
    assert_type(db.range(b"a", reverse=True), Iterator[tuple[bytes, bytes]])
    assert_type(list(db.items()), list[tuple[bytes, bytes]])
    assert_type(db.get_with_meta(b"a"), lsmproc.Entry | None)
    assert_type(db.prefixed_db(b"p").get(b"a", b""), bytes)
    assert_type(db.peek(b"a", 0), bytes | int | None)


def writes(db: lsmproc.LSMStore) -> None:
    """Buffers are values, text and None are not."""
    db.put(b"a", bytearray(b"x"), sync=True, timeout=1)
    db[b"a"] = memoryview(b"x")
    with db.write_batch(sync=True) as batch:
        assert_type(batch, lsmproc.WriteBatch)
        batch.put(b"a", b"x")
    db.put("a", b"x")  # type: ignore[arg-type]
    db.put(b"a", "x")  # type: ignore[arg-type]
    db.put(b"a", None)  # type: ignore[arg-type]
    db.get("a")  # type: ignore[call-overload]
    db.range(b"a", 5)  # type: ignore[arg-type]
    db.put(b"a", b"x", True)  # type: ignore[call-arg]
    len(db)  # type: ignore[arg-type]


def opening() -> None:
    """Config values are checked, options of ``open`` at run time."""
    with lsmproc.open("/x", block_bytes="4KiB") as db:
        assert_type(db, lsmproc.LSMStore)
    config = lsmproc.LSMConfig(data_dir="/x", wal_sync="every_write")
    assert_type(config.block_bytes, int)
    assert_type(config.replace(block_bytes=4096), lsmproc.LSMConfig)
    lsmproc.LSMConfig(data_dir="/x", wal_sync="sometimes")  # type: ignore[arg-type]
    lsmproc.LSMConfig("/x")  # type: ignore[call-arg]
    config.block_bytes = 5  # type: ignore[misc]


async def coroutines(db: lsmproc.aio.AsyncStore) -> None:
    """The same types, awaited."""
    assert_type(await db.get(b"a"), bytes | None)
    assert_type(await db.get(b"a", b""), bytes)
    assert_type(await db.put(b"a", b"1"), None)
    assert_type([record async for record in db.range()], list[tuple[bytes, bytes]])
    assert_type([key async for key in db], list[bytes])
    async with db.snapshot() as snapshot:
        assert_type(snapshot, lsmproc.aio.AsyncSnapshot)
        assert_type(await snapshot.get(b"a", 5), bytes | int)
    async with db.write_batch() as batch:
        assert_type(batch, lsmproc.aio.AsyncBatch)
    assert_type(await lsmproc.aio.open("/x"), lsmproc.aio.AsyncStore)
    assert_type(await db.run(lsmproc.LSMStore.get_many, [b"a"]), list[Any])
    await db.put("a", b"1")  # type: ignore[arg-type]


def others(db: plyvel.DB, words: lsmproc.dbm.Database) -> None:
    """The interfaces of other stores."""
    assert_type(db.approximate_sizes((b"a", b"b")), list[int])
    assert_type(db.get_property(b"leveldb.stats"), bytes | None)
    assert_type(words["a"], bytes)
    assert_type(words.keys(), list[bytes])
    words["a"] = "text"
    words["a"] = 5  # type: ignore[assignment]
    db.get_property("text")  # type: ignore[arg-type]
