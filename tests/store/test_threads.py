"""Many threads on one store at once: nothing is lost, torn or waited for in vain."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

import lsmproc
from tests.store.recording_file_system import RecordingDisk

OpenStore = Callable[..., lsmproc.LSMStore]

WAIT_SECONDS = 30.0
ALL_BACKGROUNDS = pytest.mark.parametrize("background", ["inline", "thread", "process"])


def run_threads(*bodies: Callable[[], None]) -> None:
    """Run each body in a thread of its own, all at once; raise what any of them raised."""
    raised: list[BaseException] = []
    start = threading.Barrier(len(bodies))

    def run(body: Callable[[], None]) -> None:
        try:
            start.wait(WAIT_SECONDS)
            body()
        except BaseException as error:  # noqa: BLE001 - the test raises it
            raised.append(error)

    threads = [threading.Thread(target=run, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert not any(thread.is_alive() for thread in threads)
    if raised:
        raise raised[0]


@ALL_BACKGROUNDS
def test_threads_read_and_write_at_once(open_store: OpenStore, background: str, tiny: dict[str, Any]) -> None:
    """Each writer owns its keys and always reads its own last value; readers see only what somebody wrote."""
    store = open_store(background=background, **tiny)
    left: list[dict[bytes, bytes]] = [{} for _ in range(4)]
    done = threading.Event()

    def write(thread: int) -> None:
        draw, mine = random.Random(thread), left[thread]
        for number in range(400):
            key = b"%d key %02d" % (thread, draw.randrange(60))
            match draw.randrange(8):
                case 0:
                    store.delete(key)
                    mine.pop(key, None)
                case 1:
                    with store.write_batch() as batch:
                        for part in range(4):
                            batch.put(key + b"%d" % part, b"%d" % number)
                    mine.update((key + b"%d" % part, b"%d" % number) for part in range(4))
                case _:
                    value = b"%d of %d " % (number, thread) * 3
                    store.put(key, value)
                    mine[key] = value
            assert mine.get(key) == store.get(key)

    def write_all(thread: int) -> None:
        try:
            write(thread)
        finally:
            finished[thread] = True
            if all(finished):
                done.set()

    def read() -> None:
        while not done.is_set():
            keys = [key for key, _ in store.range()]
            assert sorted(set(keys)) == keys
            store.get_many(keys[:50])
            with store.iterator(reverse=True, include_value=False) as iterator:
                descending = list(iterator)
            assert sorted(set(descending), reverse=True) == descending
            assert store.get(b"never written") is None

    finished = [False] * 4
    run_threads(*(lambda thread=thread: write_all(thread) for thread in range(4)), read, read)  # type: ignore[misc]
    expected = {key: value for records in left for key, value in records.items()}
    assert expected == dict(store.items())
    store.flush_memtable(timeout=WAIT_SECONDS)
    store.wait_idle(WAIT_SECONDS)
    assert expected == dict(store.items())
    store.close()
    assert expected == dict(open_store(background=background, **tiny).items())


def test_threads_that_sync_share_their_syncs(open_store: OpenStore) -> None:
    """Group commit: a disk sync covers every writer that waits for one at that moment."""
    disk = RecordingDisk()
    env = lsmproc.Env(background="inline", open_file_system=disk.open)
    store = open_store(env=env, wal_sync="every_write")
    commits = 60

    def write(thread: int) -> None:
        for number in range(commits):
            store.put(b"%d %d" % (thread, number), b"v")

    before = disk.count("sync")
    run_threads(*(lambda thread=thread: write(thread) for thread in range(8)))  # type: ignore[misc]
    syncs = disk.count("sync") - before
    assert 8 * commits == len(list(store))
    assert 1 <= syncs < 8 * commits * 0.75, f"{syncs} syncs for {8 * commits} commits"
    store.close()
    env.close()


@ALL_BACKGROUNDS
def test_a_snapshot_never_shows_part_of_a_batch(open_store: OpenStore, background: str, tiny: dict[str, Any]) -> None:
    """All keys of a batch have the value of the same batch, in each snapshot, iterator, range and after reopening."""
    store = open_store(background=background, **tiny)
    keys = [b"key %02d" % number for number in range(20)]
    done = threading.Event()

    def write(thread: int) -> None:
        try:
            for number in range(60):
                with store.write_batch() as batch:
                    for key in keys:
                        batch.put(key, b"%d of %d" % (number, thread))
        finally:
            done.set()

    def read() -> None:
        while not done.is_set():
            with store.snapshot() as snapshot:
                assert 1 >= len({snapshot.get(key) for key in keys})
                assert 1 >= len({value for _, value in snapshot.range()})
                assert 1 >= len(set(snapshot.iterator(include_key=False, reverse=True)))
            assert 1 >= len({value for _, value in store.range()})
            assert 1 >= len(set(store.values()))

    run_threads(lambda: write(0), lambda: write(1), read, read)
    store.close()
    assert 1 == len(set(open_store(background=background, **tiny).values()))


@ALL_BACKGROUNDS
def test_close_may_come_from_any_thread_at_any_time(
    open_store: OpenStore, background: str, tiny: dict[str, Any]
) -> None:
    """Readers and writers get ClosedError, nobody hangs, and what was acknowledged is there."""
    store = open_store(background=background, **tiny)
    written: list[set[bytes]] = [set(), set()]
    enough = threading.Event()

    def write(thread: int) -> None:
        try:
            for number in range(100_000):
                key = b"%d %06d" % (thread, number)
                store.put(key, b"v" * 40)
                written[thread].add(key)
                if number == 200:
                    enough.set()
        except lsmproc.ClosedError:
            return

    def read() -> None:
        try:
            while True:
                list(store.range())
                with store.snapshot() as snapshot:
                    snapshot.get(b"0 000000")
        except lsmproc.ClosedError:
            return

    def close() -> None:
        enough.wait(WAIT_SECONDS)
        store.close()

    run_threads(lambda: write(0), lambda: write(1), read, close, close)
    assert written[0] | written[1] <= set(open_store(background=background, **tiny))
