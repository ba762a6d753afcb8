"""Freeing what flushed memtables held: in portions, and not before the last reader has left."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

import lsmproc
from lsmproc.maintenance.obsolete_entries import ObsoleteEntries

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


def entries() -> dict[int, tuple[int]]:
    """What a large memtable holds."""
    return {number: (number,) for number in range(COUNT)}


def test_a_dict_that_nobody_reads_is_freed_in_many_portions() -> None:
    """Between two portions other threads get the interpreter lock."""
    steps = Steps()
    obsolete = ObsoleteEntries(steps.posted.append, steps.rest)
    obsolete.add(entries())
    assert 1 == len(steps.posted)
    steps.run()
    assert not obsolete.waiting
    assert steps.rests > 10


def test_a_dict_that_is_still_read_keeps_its_entries_until_the_reader_leaves() -> None:
    """And does not keep the ones behind it from being freed."""
    steps = Steps()
    obsolete = ObsoleteEntries(steps.posted.append, steps.rest)
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
    obsolete = ObsoleteEntries(steps.posted.append, steps.rest)
    obsolete.add({1: 2})
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
