"""A hundred stores in one process: one pool, nothing started before it is needed, everything gone at the end."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

import lsmproc

STORES = 100


def test_a_hundred_stores_share_one_pool_and_leave_nothing(tmp_path: Path) -> None:
    """No process before the first flush, one flush worker for all of them, none after the Env is closed."""
    owner = psutil.Process()
    with lsmproc.Env(flush_workers=1, compaction_workers=1) as env:
        stores = [lsmproc.open(tmp_path / str(number), env=env) for number in range(STORES)]
        for number, db in enumerate(stores):
            db.put(b"number", b"%d" % number)
        assert [] == owner.children()
        for db in stores:
            db.flush_memtable(wait=False)
        for db in stores:
            db.wait_idle(60)
        assert 1 == len(owner.children())
        assert {"flush"} == {worker.kind for worker in stores[0].stats().workers if worker.pid is not None}
        for db in stores[:50]:
            db.close()
        # Half of the partitions went; the others go on, with the same pool.
        stores[-1].put(b"number", b"again")
        stores[-1].flush_memtable(timeout=20)
        assert [b"%d" % number for number in range(50, STORES - 1)] == [db.get(b"number") for db in stores[50:-1]]
        for db in stores[50:]:
            db.close()
        assert "lsmproc-ticker" not in {thread.name for thread in threading.enumerate()}
    assert [] == owner.children()


def test_a_store_with_much_work_does_not_keep_the_others_from_theirs(tmp_path: Path) -> None:
    """With one worker of each kind, a small store is flushed and compacted while a large one still has a backlog."""
    busy_options = {"memtable_max_bytes": 64 << 10, "level0_compaction_trigger": 2, "level0_stop_writes_trigger": 100}
    value = b"v" * 500
    stop = threading.Event()
    with lsmproc.Env(flush_workers=1, compaction_workers=1) as env:
        busy = lsmproc.open(tmp_path / "busy", env=env, level0_slowdown_writes_trigger=99, **busy_options)
        small = lsmproc.open(tmp_path / "small", env=env)

        def write_on() -> None:
            number = 0
            while not stop.is_set():
                busy.put(b"%d" % (number * 7919 % 5000), value)
                number += 1

        writer = threading.Thread(target=write_on)
        writer.start()
        try:
            for number in range(5):
                small.put(b"key", b"%d" % number)
                small.flush_memtable(timeout=20)
            small.compact_range(timeout=20)
            assert b"4" == small.get(b"key")
        finally:
            stop.set()
            writer.join()
            busy.close()
            small.close()
