"""What an open store tells its subscribers and writes into its directory."""

from __future__ import annotations

import errno
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmproc
from lsmproc.errors import BackgroundError, CorruptionError, DurabilityError, StorageError
from lsmproc.events.event import EventsDropped, StoreClosed
from lsmproc.storage.file_system import PosixFileSystem
from tests.events.conftest import Heard, OpenStore, fill

Eventually = Callable[..., None]


def test_flushes_and_compactions_are_told_of_from_their_beginning_to_their_end(
    open_store: OpenStore, heard: Heard
) -> None:
    """With their files, so that the tables there are add up to the tables that were told of."""
    store = open_store()
    with store.subscribe(heard):
        fill(store)
        store.compact_range()
        store.wait_idle()
    assert len(heard.of("flush_begun")) == len(heard.of("flush_finished")) > 3
    assert len(heard.of("compaction_begun")) == len(heard.of("compaction_finished")) > 1
    created = {event.number for event in heard.of("table_created")}
    deleted = {event.number for event in heard.of("table_deleted")}
    assert {int(file.name[:6]) for file in store.live_files()} == created - deleted
    finished = heard.of("compaction_finished")[-1]
    assert (os.getpid(),) == finished.worker_pids
    assert finished.bytes_written > 0
    assert heard.names.index("flush_begun") < heard.names.index("table_created") < heard.names.index("flush_finished")


def test_the_last_event_is_the_end_of_the_store(open_store: OpenStore, heard: Heard) -> None:
    """And the subscription ends with it."""
    store = open_store()
    subscription = store.subscribe(heard)
    store.close()
    assert [StoreClosed] == [type(event) for event in heard.events]
    assert (True, store.path) == (subscription.closed, heard.events[0].path)  # type: ignore[union-attr]
    with pytest.raises(lsmproc.ClosedError):
        store.subscribe(heard)


def test_a_stall_is_told_of_with_its_reason_and_its_end(open_store: OpenStore, heard: Heard) -> None:
    """From normal over slowdown back to normal."""
    store = open_store(level0_slowdown_writes_trigger=3, level0_stop_writes_trigger=9)
    with store.subscribe(heard):
        with store.background_paused():
            for number in range(4):
                store.put(b"%d" % number, b"v", timeout=5)
                store.flush_memtable()
        store.wait_idle()
    changes = [(event.before, event.after, event.reason) for event in heard.of("stall_changed")]
    assert [("normal", "slowdown", "level 0 runs"), ("slowdown", "normal", "none")] == changes


def test_damage_is_told_of_once_for_each_place(open_store: OpenStore, heard: Heard) -> None:
    """However often it is read, and besides the error that each reader gets."""
    store = open_store(block_cache_bytes=0, row_cache_bytes=0)
    store.put(b"key", b"value" * 20)
    store.flush_memtable()
    (file,) = store.live_files()
    path = Path(store.path, file.name)
    content = bytearray(path.read_bytes())
    content[20] ^= 255
    path.write_bytes(content)
    with store.subscribe(heard):
        for _ in range(3):
            with pytest.raises(CorruptionError):
                store.get(b"key")
    assert [(file.name, 0)] == [(event.file, event.offset) for event in heard.of("corruption_found")]


def test_the_end_of_background_work_is_told_of_once(open_store: OpenStore, heard: Heard) -> None:
    """With the error that writes raise from then on."""
    store = open_store()
    with store.subscribe(heard):
        for text in ("first", "second"):
            store._parts.maintenance._fail(BackgroundError(text))
    assert [("BackgroundError", "first")] == [(event.error, event.message) for event in heard.of("background_failed")]


def test_a_failed_sync_of_the_log_is_told_of(open_store: OpenStore, heard: Heard) -> None:
    """It ends writes as well, though no background work has failed."""

    class Broken(PosixFileSystem):
        broken = False

        def fdatasync(self, fd: int) -> None:
            if self.broken:
                raise StorageError(errno.EIO, os.strerror(errno.EIO), "wal")
            super().fdatasync(fd)

    env = lsmproc.Env(background="thread", open_file_system=Broken)
    with env, open_store(env=env, event_log="off", status_page=False) as store, store.subscribe(heard):
        store._parts.fs.broken = True  # type: ignore[attr-defined]
        with pytest.raises(DurabilityError):
            store.put(b"key", b"value", sync=True)
        assert "DurabilityError" == heard.wait_for("background_failed").error
        store._parts.fs.broken = False  # type: ignore[attr-defined]


def test_failed_attempts_are_told_of_and_the_store_goes_on(open_store: OpenStore, heard: Heard) -> None:
    """As a full disk that has space again."""
    full = threading.Event()

    class Full(PosixFileSystem):
        def open(self, name: str, flags: int) -> int:
            if full.is_set() and name.startswith("tmp/"):
                raise StorageError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)
            return super().open(name, flags)

    env = lsmproc.Env(background="inline", open_file_system=Full)
    with env, open_store(env=env) as store, store.subscribe(heard):
        full.set()
        store.put(b"key", b"value")
        with pytest.raises(lsmproc.Error):
            store.flush_memtable(timeout=5)
        full.clear()
        store.wait_idle(timeout=20)
    failing = heard.of("job_failing")[0]
    assert ("flush", "StorageError") == (failing.kind, failing.error)
    assert 1 == len(heard.of("flush_finished"))


def test_workers_that_are_killed_under_load_are_told_of_and_nothing_else_is_lost(
    open_store: OpenStore, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """Real processes: each death, each start, and every flush to its end; LOG has the same events."""
    store = open_store(background="process", memtable_max_bytes="64KiB", sstable_max_bytes="64KiB")
    with caplog.at_level(logging.CRITICAL, "lsmproc"):
        with store.subscribe(heard):
            pids = []
            for round_number in range(1, 4):
                fill(store, 1500)
                pids.append(heard.wait_for("worker_started", round_number).pid)
                os.kill(pids[-1], signal.SIGKILL)
                fill(store, 1500)
                heard.wait_for("worker_died", round_number)
            store.flush_memtable(timeout=30)
        store.close()
    assert pids == [event.pid for event in heard.of("worker_died")][:3]
    written = list(lsmproc.read_events(store.path))
    assert pids == [event["pid"] for event in written if event["event"] == "worker_died"][:3]
    assert ("store_opened", "store_closed") == (written[0]["event"], written[-1]["event"])
    flushed = [event["worker_pid"] for event in written if event["event"] == "flush_finished"]
    assert os.getpid() not in flushed
    assert set(flushed) <= {event["pid"] for event in written if event["event"] == "worker_started"}


def test_an_inline_store_writes_no_file_unless_asked(open_store: OpenStore) -> None:
    """Tests and short scripts want the same operations each time; a store that is read only writes nothing at all."""
    fill(store := open_store())
    store.close()
    fill(store := open_store(event_log="on", event_log_max_bytes="1KiB", event_log_old_files=2))
    store.close()
    names = {"LOG", "LOG.old.1", "LOG.old.2", "STATUS"}
    assert names - {"STATUS"} == names & set(os.listdir(store.path))
    before = Path(store.path, "LOG").read_bytes()
    open_store(event_log="on", background="thread", read_only=True).close()
    assert before == Path(store.path, "LOG").read_bytes()
    with open_store(event_log_old_files=16):
        pass
    report = lsmproc.verify_store(store.path)
    assert ([], []) == (report.problems, report.notes)


def test_a_subscriber_that_floods_its_own_queue_is_told_of_the_gap(
    open_store: OpenStore, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A callback that is slower than the store misses events, and the store notices nothing."""
    monkeypatch.setattr("lsmproc.events.subscription.MOST_WAITING", 5)
    store, go_on = open_store(), threading.Event()

    def slow(event: Any) -> None:
        go_on.wait(20)
        heard(event)

    with store.subscribe(slow) as subscription:
        fill(store)
        go_on.set()
    dropped = sum(event.count for event in heard.events if isinstance(event, EventsDropped))
    assert subscription.dropped == dropped > 0


_FORK = """
import os, lsmproc
store = lsmproc.open("store", background="thread", memtable_max_bytes=2048, level0_compaction_trigger=50,
                     level0_slowdown_writes_trigger=60, level0_stop_writes_trigger=90)
heard = []
subscription = store.subscribe(heard.append)
child = os.fork()
if not child:
    store._parts.watch.publish(lsmproc.events.event.TableDeleted(number=1))
    store._parts.watch.tick()
    try:
        store.subscribe(heard.append)
    except lsmproc.ClosedError:
        os._exit(0 if subscription.closed and not heard else 1)
    os._exit(2)
status = os.waitpid(child, 0)[1]
for number in range(200):
    store.put(b"%d" % number, b"v" * 50)
store.close()
kinds = [type(event).__name__ for event in heard]
written = [event["event"] for event in lsmproc.read_events("store")]
print(status, "FlushFinished" in kinds, kinds[-1], written.count("store_closed"), written.count("table_deleted"))
"""


def test_a_forked_child_hears_and_writes_nothing(tmp_path: Path) -> None:
    """The store is the parent's, with all that it tells."""
    import subprocess
    import sys

    root = str(Path(lsmproc.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", _FORK], cwd=tmp_path, env=os.environ | {"PYTHONPATH": root}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ("0 True StoreClosed 1 0\n", "") == (done.stdout, done.stderr)
