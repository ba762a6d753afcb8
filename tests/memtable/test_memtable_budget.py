"""The memtables of many stores under one budget: the largest is flushed first, small ones are left alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import lsmproc
from lsmproc.env import Env
from lsmproc.errors import BackgroundError, ConfigError
from lsmproc.memtable.memtable_budget import MemtableBudget, Memtables
from lsmproc.pacing.ticker import Ticker

Eventually = Callable[..., None]


class StandIn:
    """The memtables of a store that is not there."""

    def __init__(self, active: int, waiting: int = 0, error: Exception | None = None) -> None:
        self.active, self.waiting, self.error = active, waiting, error
        self.rotated = 0
        self.member = Memtables(lambda: self.active, lambda: self.active + self.waiting, self.rotate)

    def rotate(self) -> None:
        if self.error is not None:
            raise self.error
        self.rotated += 1
        self.waiting += self.active
        self.active = 0


@pytest.fixture
def budget() -> MemtableBudget:
    """A thousand bytes; looked at by nobody but the test, since nobody else knows the members."""
    return MemtableBudget(1000, _SilentTicker())


class _SilentTicker(Ticker):
    """Never calls."""

    def add(self, callback: Callable[[], None], interval_seconds: float) -> None:
        """Forget it."""


def test_nothing_is_rotated_below_the_budget(budget: MemtableBudget) -> None:
    """However unequal the stores are."""
    stores = [StandIn(900), StandIn(100)]
    for store in stores:
        budget.join(store.member)
    budget.enforce()
    assert 1000 == budget.bytes
    assert [0, 0] == [store.rotated for store in stores]


def test_the_largest_are_rotated_until_half_of_the_budget_is_left(budget: MemtableBudget) -> None:
    """The small ones go on."""
    stores = [StandIn(100), StandIn(500), StandIn(200), StandIn(450)]
    for store in stores:
        budget.join(store.member)
    budget.enforce()
    assert [0, 1, 0, 1] == [store.rotated for store in stores]


def test_what_waits_for_its_flush_counts_but_does_not_rotate_small_memtables(budget: MemtableBudget) -> None:
    """More flushes would not free it sooner."""
    stores = [StandIn(10, waiting=5000), StandIn(20)]
    for store in stores:
        budget.join(store.member)
    budget.enforce()
    assert [0, 0] == [store.rotated for store in stores]


def test_a_store_that_cannot_be_flushed_does_not_hold_up_the_others(budget: MemtableBudget) -> None:
    """Its writers have been told already."""
    stores = [StandIn(900, error=BackgroundError("no")), StandIn(800)]
    for store in stores:
        budget.join(store.member)
    budget.enforce()
    assert 1 == stores[1].rotated


def test_a_store_that_left_is_not_counted(budget: MemtableBudget) -> None:
    """Leaving twice does no harm."""
    store = StandIn(2000)
    budget.join(store.member)
    budget.leave(store.member)
    budget.leave(store.member)
    budget.enforce()
    assert (0, 0) == (budget.bytes, store.rotated)


@pytest.mark.parametrize("value", [0, -1, True, 4096, "a lot", 1.5])
def test_a_budget_that_is_none_is_refused(value: object) -> None:
    """With its name and what it has to be."""
    with pytest.raises(ConfigError, match="memtable_budget_bytes"):
        Env(memtable_budget_bytes=value)  # type: ignore[arg-type]


def test_many_stores_stay_within_the_budget_of_their_env(tmp_path: Path, eventually: Eventually) -> None:
    """None of them comes near its own limit; everything is still there, and no thread outlives the stores."""
    value = b"v" * 1000
    with Env(background="thread", memtable_budget_bytes="1 MiB") as env:
        stores = [lsmproc.open(tmp_path / str(number), env=env, wal_sync="none") for number in range(10)]
        for number in range(300):
            for db in stores:
                db.put(b"%d" % number, value)
        eventually(lambda: env.memtable_budget.bytes <= 1 << 20, what="within the budget")
        eventually(lambda: any(db.stats().levels[0].files for db in stores), what="some store was flushed")
        assert all(300 == sum(1 for _ in db.range()) for db in stores)
        for db in stores:
            db.close()
    assert "lsmproc-ticker" not in {thread.name for thread in threading.enumerate()}
