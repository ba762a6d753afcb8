"""Freeing what flushed memtables held: by the writers or in portions, and not before the last reader has left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lsmproc
from lsmproc.maintenance.obsolete_memtables import ObsoleteMemtables
from lsmproc.memtable.obsolete_entries import free_entries
from tests.conftest import Eventually

COUNT = 20_000


class Steps:
    """A callback thread that does one step when it is told to."""

    def __init__(self) -> None:
        self.posted: deque[Callable[[], None]] = deque()
        self.rests = 0

    def rest(self, _seconds: float) -> None:
        """Count."""
        self.rests += 1

    def run(self) -> None:
        """Do all steps there are."""
        while self.posted:
            self.posted.popleft()()


class Writers:
    """Writers who write, or do not, when they are told to; a time that passes when it is told to."""

    def __init__(self) -> None:
        self.last_sequence = 1
        self.obsolete: deque[dict[Any, Any]] = deque()
        self.now = 100.0

    def take_obsolete(self) -> deque[dict[Any, Any]]:
        """As the write path."""
        taken, self.obsolete = self.obsolete, deque()
        return taken

    def clock(self) -> float:
        """The time."""
        return self.now


def entries() -> dict[int, tuple[int]]:
    """What a large memtable holds."""
    return {number: (number,) for number in range(COUNT)}


def test_a_dict_that_nobody_reads_is_freed_in_many_portions() -> None:
    """Between two portions other threads get the interpreter lock."""
    steps = Steps()
    obsolete = ObsoleteMemtables(steps.posted.append, None, steps.rest)
    obsolete.add(entries())
    assert 1 == len(steps.posted)
    steps.run()
    assert not obsolete.waiting
    assert steps.rests > 10


def test_a_dict_that_is_still_read_keeps_its_entries_until_the_reader_leaves() -> None:
    """And does not keep the ones behind it from being freed."""
    steps = Steps()
    obsolete = ObsoleteMemtables(steps.posted.append, None, steps.rest)
    read = entries()
    obsolete.add(read)
    obsolete.add(entries())
    steps.run()
    assert COUNT == len(read)
    assert obsolete.waiting
    del read
    obsolete.wake()
    steps.run()
    assert not obsolete.waiting


def test_small_dicts_and_too_many_dicts_are_left_alone() -> None:
    """Waiting costs memory, so only few may wait, and only where that is worth it."""
    steps = Steps()
    obsolete = ObsoleteMemtables(steps.posted.append, None, steps.rest)
    obsolete.add(dict.fromkeys(range(100)))
    assert not obsolete.waiting
    held = [entries() for _ in range(20)]
    for each in held:
        obsolete.add(each)
    held.clear()
    steps.run()
    assert not obsolete.waiting
    assert steps.rests < 20 * COUNT // 500


def test_a_store_frees_the_memtable_it_has_flushed(tmp_path: Path) -> None:
    """Its own references are gone when the background is idle; a snapshot's go with it."""
    with lsmproc.open(tmp_path / "store", background="inline") as store:
        for number in range(COUNT):
            store.put(b"%d" % number, b"value")
        snapshot = store.snapshot()
        store.flush_memtable()
        waiting = store._parts.maintenance._obsolete
        assert waiting.waiting
        assert b"value" == snapshot.get(b"7")
        snapshot.close()
        del snapshot
        store._parts.maintenance.tick()
        assert not waiting.waiting
        assert b"value" == store.get(b"7")


def test_while_writes_go_on_the_writers_are_given_what_nobody_reads() -> None:
    """Nothing is freed beside them: a portion would make a put wait."""
    steps, writers = Steps(), Writers()
    obsolete = ObsoleteMemtables(steps.posted.append, writers, steps.rest, writers.clock)
    read = entries()
    obsolete.add(read)
    obsolete.add(entries())
    steps.run()
    assert [COUNT] == list(map(len, writers.obsolete))
    assert COUNT == len(read)
    assert 0 == steps.rests
    free_entries(writers.obsolete, COUNT)
    assert obsolete.waiting
    del read
    obsolete.wake()
    steps.run()
    assert [COUNT] == list(map(len, writers.obsolete))


def test_what_the_writers_leave_is_freed_once_they_have_paused() -> None:
    """A store that nobody writes to any more keeps nothing of its flushed memtables."""
    steps, writers = Steps(), Writers()
    obsolete = ObsoleteMemtables(steps.posted.append, writers, steps.rest, writers.clock)
    obsolete.add(entries())
    steps.run()
    free_entries(writers.obsolete, 100)
    writers.now, writers.last_sequence = 101.0, 2
    obsolete.wake()
    steps.run()
    assert [COUNT - 100] == list(map(len, writers.obsolete))
    writers.now = 102.0
    obsolete.wake()
    steps.run()
    assert not obsolete.waiting
    assert steps.rests > 10


def test_writers_who_come_back_are_given_the_rest() -> None:
    """The portions end with the first write."""
    steps, writers = Steps(), Writers()
    obsolete = ObsoleteMemtables(steps.posted.append, writers, steps.rest, writers.clock)
    obsolete.add(entries())
    steps.run()
    writers.now = 101.0
    obsolete.wake()
    steps.posted.popleft()()
    assert not writers.obsolete
    writers.last_sequence = 2
    steps.run()
    assert 1 == steps.rests
    assert COUNT - 500 == len(writers.obsolete[0])


def test_puts_and_batches_free_the_memtables_they_are_given(tmp_path: Path) -> None:
    """Two entries with a put, as many as it brings with a batch, and the dict itself with the last."""
    with lsmproc.open(tmp_path / "store", background="inline") as store:
        obsolete = store._write_path.obsolete
        obsolete.append({b"%d" % number: (1, b"") for number in range(100)})
        store.put(b"key", b"value")
        assert 98 == len(obsolete[0])
        with store.write_batch() as batch:
            for number in range(90):
                batch.put(b"%d" % number, b"value")
        assert 8 == len(obsolete[0])
        store.delete(b"key")
        store.put(b"key", b"value", sync=True)
        assert 5 == len(obsolete[0])
        with store.write_batch() as batch:
            for number in range(90):
                batch.put(b"%d" % number, b"value")
        assert not obsolete


def test_a_closed_store_keeps_nothing_of_its_flushed_memtables(tmp_path: Path) -> None:
    """What the writers had not freed yet goes with it."""
    with lsmproc.open(tmp_path / "store", background="inline") as store:
        store._write_path.obsolete.append(entries())
    assert not store._write_path.obsolete
    assert not store._parts.maintenance._obsolete.waiting


def test_a_store_that_rests_frees_what_its_writers_have_left(tmp_path: Path, eventually: Eventually) -> None:
    """The ticker finds that nobody writes."""
    with lsmproc.open(tmp_path / "store", background="thread") as store:
        for number in range(COUNT):
            store.put(b"%d" % number, b"value")
        store.flush_memtable()
        waiting = store._parts.maintenance._obsolete
        eventually(lambda: not waiting.waiting)
        assert b"value" == store.get(b"7")
