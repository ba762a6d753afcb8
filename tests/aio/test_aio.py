"""The store for asyncio: its calls, that none of them holds up the event loop, and what a cancelled one leaves."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

import lsmproc
import lsmproc.aio
from lsmproc.aio.lanes import Lane
from lsmproc.storage.file_system import PosixFileSystem
from tests.conftest import Eventually

DEADLINE_SECONDS = 20
LOOP_STEPS = 200  # that the event loop makes while a call waits

Main = Callable[[lsmproc.aio.AsyncStore], Coroutine[Any, Any, None]]


def run(coroutine: Awaitable[None]) -> None:
    """Run to the end, with asyncio's own checks on and a deadline."""

    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await coroutine

    asyncio.run(limited(), debug=False)


def run_with_store(path: Path, main: Main, **options: Any) -> None:
    """Open a store, run, close it."""

    async def opened() -> None:
        async with lsmproc.aio.open(path, **{"background": "thread", **options}) as db:
            await main(db)

    run(opened())


class Gate:
    """A call of the operating system that waits until it is let go; counts how many came."""

    def __init__(self, call: Callable[..., Any]) -> None:
        """Open."""
        self._call = call
        self._open = threading.Event()
        self._open.set()
        self.reached = threading.Event()
        self.threads: set[str] = set()

    def shut(self) -> None:
        """Let none through from now on."""
        self._open.clear()

    def open(self) -> None:
        """Let all through."""
        self._open.set()

    def __call__(self, *arguments: Any) -> Any:
        """Wait, then call."""
        self.threads.add(threading.current_thread().name)
        if not self._open.is_set():
            self.reached.set()
        assert self._open.wait(DEADLINE_SECONDS)
        return self._call(*arguments)


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The disk's syncs."""
    gate = Gate(os.fdatasync)
    monkeypatch.setattr(os, "fdatasync", gate)
    yield gate
    gate.open()


@pytest.fixture
def preads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """The disk's reads."""
    gate = Gate(os.pread)
    monkeypatch.setattr(PosixFileSystem, "pread", staticmethod(gate))
    yield gate
    gate.open()


async def goes_on_while_waiting(task: asyncio.Task[Any], reached: threading.Event) -> None:
    """The event loop makes its steps while the call of ``task`` is known to wait."""
    while not reached.is_set():
        await asyncio.sleep(0)
        assert not task.done()
    for _ in range(LOOP_STEPS):
        await asyncio.sleep(0)
    assert not task.done()


def test_every_call_does_what_it_does_without_asyncio(tmp_path: Path) -> None:
    """The whole interface once around."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        await db.put(b"a", b"1", sync=True)
        await db.put(b"b", b"2")
        await db.delete(b"a")
        assert (None, b"2", b"x") == (await db.get(b"a"), await db.get(b"b"), await db.get(b"a", b"x"))
        async with db.write_batch() as batch:
            for n in range(2000):
                batch.put(b"%05d" % n, b"v%d" % n)
            assert 2000 == len(batch)
        assert [b"v7", None] == await db.get_many(iter([b"00007", b"none"]))
        async with db.snapshot() as snapshot:
            await db.put(b"00007", b"new")
            assert b"v7" == await snapshot.get(b"00007") == await db.get(b"00007", snapshot=snapshot)
            assert [(b"00007", b"v7")] == [record async for record in db.range(b"00007", b"00008", snapshot=snapshot)]
        assert snapshot.closed
        result = await db.flush_memtable()
        assert result is not None
        assert 1 == len(result.tables)
        await db.compact_range()
        await db.compact_level(0)
        await db.wait_idle(10)
        await db.sync()
        assert [b"%05d" % n for n in range(2000)] + [b"b"] == [key async for key in db]
        assert [b"b", b"01999"] == [key async for key in db.keys(start=b"01999", reverse=True)]
        assert [b"v1999", b"2"] == [value async for value in db.values(start=b"01999")]
        assert [(b"b", b"2")] == [record async for record in db.items(prefix=b"b")]
        assert await db.approximate_size() > 0
        assert 1 == len(await db.live_files())
        assert (await db.stats()).path == db.path == str(tmp_path)
        assert (entry := await db.get_with_meta(b"b"))
        assert b"2" == entry.value
        assert b"00001" == await db.run(lambda store, key: next(store.keys(start=key)), b"00001")
        assert not db.closed

    run_with_store(tmp_path, main)


def test_the_loop_goes_on_while_a_write_waits_for_its_sync(tmp_path: Path, syncs: Gate) -> None:
    """And a read is answered meanwhile."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        await db.put(b"a", b"1")
        syncs.shut()
        task = asyncio.create_task(db.put(b"b", b"2", sync=True))
        await goes_on_while_waiting(task, syncs.reached)
        assert b"1" == await db.get(b"a")
        syncs.open()
        await task
        assert b"2" == await db.get(b"b")

    run_with_store(tmp_path, main, wal_sync="none")


def test_the_loop_goes_on_while_a_read_waits_for_the_disk(tmp_path: Path, preads: Gate) -> None:
    """Cold: the table has not been read since the store was opened."""
    with lsmproc.open(tmp_path, background="inline") as db:
        db.put(b"a", b"1")
        db.flush_memtable()

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        preads.shut()
        task = asyncio.create_task(db.get(b"a"))
        await goes_on_while_waiting(task, preads.reached)
        await db.put(b"b", b"2")
        assert b"2" == await db.get(b"b")
        preads.open()
        assert b"1" == await task

    run_with_store(tmp_path, main)


def test_the_loop_goes_on_while_writes_are_stalled(tmp_path: Path) -> None:
    """More writes than there are threads wait; reads, of memory and of files, are answered all the same."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        with db.store.background_paused():
            for n in range(4):
                await db.put(b"%d" % n, b"v")
                await db.flush_memtable()
            writes = [asyncio.create_task(db.put(b"w%d" % n, b"v")) for n in range(20)]
            assert "stop" == (await db.stats()).stall.state
            for _ in range(LOOP_STEPS):
                await asyncio.sleep(0)
            assert [False] * 20 == [write.done() for write in writes]
            assert b"v" == await db.get(b"1")
            assert [b"0", b"1", b"2", b"3"] == [key async for key in db]
            with pytest.raises(lsmproc.WriteStallTimeout):
                await db.run(lambda store: store.put(b"x", b"", timeout=0))
        await asyncio.gather(*writes)
        assert b"v" == await db.get(b"w19")

    triggers = {"level0_slowdown_writes_trigger": 3, "level0_stop_writes_trigger": 4, "level0_compaction_trigger": 2}
    run_with_store(tmp_path, main, **triggers)


def test_what_memory_knows_is_answered_without_a_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put, a deletion, a key that no table can hold, and a row that was read before."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        await db.put(b"flushed", b"1")
        await db.flush_memtable()
        await db.put(b"put", b"2")
        await db.delete(b"deleted")
        await db.get(b"flushed")
        monkeypatch.setattr(db._lanes.reads, "run", None)
        assert (b"1", b"2", None) == (await db.get(b"flushed"), await db.get(b"put"), await db.get(b"deleted"))
        with pytest.raises(TypeError):
            await db.get(b"on disk, for all that memory knows")

    run_with_store(tmp_path, main)


def test_a_write_that_is_cancelled_before_it_began_never_happens(tmp_path: Path, syncs: Gate) -> None:
    """One that a thread has begun comes to its end; both leave the store in order."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        syncs.shut()
        begun = asyncio.create_task(db.put(b"begun", b"1", sync=True))
        await goes_on_while_waiting(begun, syncs.reached)
        waiting = asyncio.create_task(db.put(b"waiting", b"2"))
        await asyncio.sleep(0)
        for task in (begun, waiting):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        syncs.open()
        await db.put(b"after", b"3", sync=True)
        assert [b"after", b"begun"] == [key async for key in db]

    run_with_store(tmp_path, main, wal_sync="none", write_threads=1)


def test_a_batch_whose_block_raises_or_is_cancelled_writes_nothing(tmp_path: Path) -> None:
    """As the batch without asyncio."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        with pytest.raises(KeyError):
            async with db.write_batch() as batch:
                batch.put(b"a", b"1")
                raise KeyError

        async def never_ending() -> None:
            async with db.write_batch() as batch:
                batch.put(b"b", b"1")
                await asyncio.Event().wait()

        task = asyncio.create_task(never_ending())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [] == [key async for key in db]

    run_with_store(tmp_path, main)


def test_a_cancelled_step_of_a_loop_loses_no_record(tmp_path: Path, preads: Gate) -> None:
    """The chunk that a thread was reading is what the next step hands out."""
    with lsmproc.open(tmp_path, background="inline") as db:
        with db.write_batch() as batch:
            for n in range(3000):
                batch.put(b"%05d" % n, bytes(100))
        db.flush_memtable()

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        records = db.keys()
        seen = [await anext(records)]
        preads.shut()
        while True:
            step = asyncio.ensure_future(anext(records))
            while not step.done() and not preads.reached.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0)
            if not step.done():
                break
            seen.append(await step)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step
        preads.open()
        seen += [key async for key in records]
        assert [b"%05d" % n for n in range(3000)] == seen
        assert [] == await records.next_chunk()

    run_with_store(tmp_path, main, block_cache_bytes=0)


def test_a_loop_left_early_lets_go_of_what_it_read(tmp_path: Path) -> None:
    """Closed, or only dropped; and one that failed can be tried again."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        async with db.write_batch() as batch:
            for n in range(100):
                batch.put(b"%d" % n, b"")
        async for _ in db.range():
            break
        async with db.range() as records:
            assert 16 == len(await records.next_chunk())
            assert 1 == (await db.stats()).snapshots.count
        assert 0 == (await db.stats()).snapshots.count
        with pytest.raises(TypeError):
            await anext(db.range("text"))  # type: ignore[arg-type]

    run_with_store(tmp_path, main)


def test_an_opening_that_is_cancelled_leaves_nothing_open(tmp_path: Path, syncs: Gate, eventually: Eventually) -> None:
    """The thread that opens comes to its end, and closes what it opened."""

    async def main() -> None:
        syncs.shut()
        task = asyncio.ensure_future(lsmproc.aio.open(tmp_path / "store", background="inline"))
        while not syncs.reached.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        syncs.open()

    run(main())
    eventually(lambda: not any(thread.name.startswith("lsmproc-aio-") for thread in threading.enumerate()))
    lsmproc.open(tmp_path / "store", background="inline").close()


def test_closing_goes_on_when_its_task_is_cancelled(tmp_path: Path, eventually: Eventually) -> None:
    """Closing twice is closing once; afterwards every call says what to do."""

    async def main() -> None:
        db = await lsmproc.aio.open(tmp_path, background="thread")
        task = asyncio.create_task(db.close())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await db.close()
        assert db.closed
        for call in (lambda: db.get(b"a"), lambda: db.put(b"a", b""), lambda: anext(db.keys()), db.stats):
            with pytest.raises(lsmproc.ClosedError):
                await call()

    run(main())


def test_a_store_that_is_open_can_be_wrapped(tmp_path: Path) -> None:
    """For programs that use it from threads and from an event loop."""

    async def main() -> None:
        store = lsmproc.open(tmp_path, background="thread")
        async with lsmproc.aio.wrap(store) as db:
            store.put(b"a", b"1")
            assert b"1" == await db.get(b"a")
        assert store.closed

    run(main())


def test_many_tasks_at_once_lose_nothing(tmp_path: Path) -> None:
    """More than a lane lets in; writers that sync share their syncs."""

    async def main(db: lsmproc.aio.AsyncStore) -> None:
        await asyncio.gather(*(db.put(b"%05d" % n, b"%d" % n, sync=n % 100 == 0) for n in range(1500)))
        values = await asyncio.gather(*(db.get(b"%05d" % n) for n in range(1500)))
        assert [b"%d" % n for n in range(1500)] == values

    run_with_store(tmp_path, main)


def test_calls_that_wait_for_a_thread_when_the_store_is_closed_are_answered_and_not_cancelled() -> None:
    """A task that nobody has cancelled must not see a CancelledError; the closed store answers each call."""

    async def main() -> None:
        gate, lane = threading.Event(), Lane("test", 1)
        first = asyncio.create_task(lane.run(gate.wait, DEADLINE_SECONDS))
        second = asyncio.create_task(lane.run(str, 7))
        await asyncio.sleep(0)
        lane.close()
        with pytest.raises(lsmproc.ClosedError):
            await lane.run(str, 8)
        gate.set()
        assert [True, "7"] == await asyncio.gather(first, second)

    run(main())


_FORGETFUL = """
import asyncio, sys
import lsmproc.aio

async def main():
    triggers = dict(level0_compaction_trigger=2, level0_slowdown_writes_trigger=3, level0_stop_writes_trigger=4)
    db = await lsmproc.aio.open(sys.argv[1], **triggers)
    db.store.pause_background()
    for number in range(4):
        await db.put(b"%d" % number, b"")
        await db.flush_memtable()
    puts = [asyncio.create_task(db.put(b"%d" % number, b"")) for number in range(20)]
    await asyncio.wait(puts, timeout=0.2)
    assert not any(each.done() for each in puts)
    print("left open", flush=True)

asyncio.run(main())
"""


def test_a_program_that_forgets_its_store_while_writes_are_stalled_ends(tmp_path: Path) -> None:
    """The interpreter does not wait for threads that wait for room."""
    finished = subprocess.run(
        [sys.executable, "-c", _FORGETFUL, str(tmp_path / "store")],
        env=os.environ | {"PYTHONPATH": str(Path(lsmproc.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (0, "left open\n") == (finished.returncode, finished.stdout), finished.stderr
