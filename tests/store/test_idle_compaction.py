"""What a store does with its level 0 when nobody writes: looked at by hand, inline, with a clock that tests turn."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import lsmproc
from lsmproc.maintenance import maintenance
from lsmproc.statistics import format_stats
from tests.conftest import Eventually
from tests.store.conftest import OpenStore

AFTER_SECONDS = 1.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        """Begin anywhere."""
        self.seconds = 100.0

    def __call__(self) -> float:
        """The time."""
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all stores that the test opens, as far as idle time goes."""
    clock, watch = Clock(), maintenance.IdleWatch
    monkeypatch.setattr(maintenance, "IdleWatch", lambda after, reads, _: watch(after, reads, clock))
    return clock


def fill(db: lsmproc.LSMStore, tables: int, *, records: int = 50) -> None:
    """Flush so many tables into level 0, all over the same keys."""
    for table in range(tables):
        for n in range(records):
            db.put(b"%06d" % (n * 7), b"%d" % table * 40)
        db.flush_memtable()


def look(db: lsmproc.LSMStore, clock: Clock, seconds: float) -> tuple[int, ...]:
    """Let the time pass and the ticker look twice; how many tables each level has then."""
    db._parts.maintenance.tick_idle()
    clock.seconds += seconds
    db._parts.maintenance.tick_idle()
    return tuple(level.files for level in db.stats().levels)


def test_level0_is_merged_down_once_nobody_writes(open_store: OpenStore, clock: Clock) -> None:
    """Below its trigger, after the time that the setting says, and not before."""
    db = open_store()
    fill(db, 3)
    assert 3 == look(db, clock, 0.9 * AFTER_SECONDS)[0]
    assert (0, 0, 0, 0, 0, 0, 1) == look(db, clock, 0.2 * AFTER_SECONDS)
    assert b"2" * 40 == db.get(b"000007")


def test_a_write_makes_the_wait_begin_again(open_store: OpenStore, clock: Clock) -> None:
    """Idle is who took no write for the whole time."""
    db = open_store()
    fill(db, 2)
    look(db, clock, 0.9 * AFTER_SECONDS)
    db.put(b"k", b"v")
    assert 2 == look(db, clock, 0.9 * AFTER_SECONDS)[0]
    assert 0 == look(db, clock, 0.2 * AFTER_SECONDS)[0]


def test_a_write_between_the_look_and_the_work_calls_it_off(open_store: OpenStore, clock: Clock) -> None:
    """What was found to be idle may not be any more when its turn comes."""
    db = open_store()
    fill(db, 2)
    parts = db._parts.maintenance
    look(db, clock, 0.9 * AFTER_SECONDS)
    clock.seconds += AFTER_SECONDS

    def write_first(callback: Any) -> None:
        db.put(b"k", b"v")
        callback()

    parts._call_soon = write_first  # type: ignore[method-assign]
    parts.tick_idle()
    assert 2 == db.stats().levels[0].files


def test_a_little_is_not_merged_into_a_lot_until_reads_have_paid_for_it(open_store: OpenStore, clock: Clock) -> None:
    """A large level is not rewritten for each small table, but for the reads that have to pass that."""
    db = open_store()
    fill(db, 2, records=2000)
    look(db, clock, AFTER_SECONDS)
    fill(db, 1, records=50)
    assert (1, 0, 0, 0, 0, 0, 1) == look(db, clock, 2 * AFTER_SECONDS)
    for _ in range(200):
        list(db.range(b"000007", b"000014"))
    assert (0, 0, 0, 0, 0, 0, 1) == look(db, clock, 0.0)


@pytest.mark.parametrize("options", [{"compaction_style": "tiered"}, {"idle_compaction_after_ms": None}], ids=str)
def test_who_does_not_want_it_keeps_the_tables(open_store: OpenStore, clock: Clock, options: dict[str, Any]) -> None:
    """Off by the setting, and where several runs are meant to be."""
    db = open_store(**options)
    fill(db, 3)
    assert 3 == look(db, clock, 1000 * AFTER_SECONDS)[0]


def test_paused_background_work_stays_paused(open_store: OpenStore, clock: Clock) -> None:
    """Idle time is no reason to compact in a block that forbids it."""
    db = open_store()
    fill(db, 2)
    with db.background_paused():
        assert 2 == look(db, clock, 2 * AFTER_SECONDS)[0]
    assert 0 == look(db, clock, 0.0)[0]


def test_the_figures_tell_what_was_done_in_idle_time(open_store: OpenStore, clock: Clock) -> None:
    """How often, and how much was written for it."""
    db = open_store()
    fill(db, 2)
    assert 0 == db.stats().idle_compactions
    look(db, clock, AFTER_SECONDS)
    stats = db.stats()
    assert (1, stats.levels[6].bytes_written) == (stats.idle_compactions, stats.idle_compaction_bytes)
    assert "Idle compactions: 1, " in format_stats(stats)


def test_a_store_with_threads_finds_its_idle_time_by_itself(open_store: OpenStore, eventually: Eventually) -> None:
    """The ticker looks; nobody has to call anything."""
    db = open_store(background="thread", idle_compaction_after_ms=1)
    fill(db, 2)
    eventually(lambda: not db.stats().levels[0].files, what="level 0 was merged in idle time")
    assert threading.active_count() > 1
    assert b"1" * 40 == db.get(b"000007")
