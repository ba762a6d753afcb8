"""Real processes, really killed: nothing acknowledged is lost, nothing wrong is found, nothing is left behind.

The long form of these runs is ``lsmproc stress --full``.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmproc.stress import StressReport

RunPlan = Callable[..., StressReport]

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "errors": 0}

pytestmark = pytest.mark.timeout(120)


def broken(report: StressReport) -> dict[str, int]:
    """The figures of a report that count broken promises."""
    figures = report.figures()
    return {name: figures[name] for name in NOTHING_BROKEN}


@pytest.mark.parametrize("sync", ["none", "interval", "every_write", "mix"])
def test_an_owner_that_is_killed_under_load_loses_nothing(run_plan: RunPlan, sync: str) -> None:
    """Whatever the sync policy: the kernel keeps what a dead process wrote."""
    report = run_plan(seed=len(sync), owner_kills=6, sync=(sync,), cycles_per_episode=2)
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)


def test_a_killed_flush_worker_is_not_noticed_by_the_application(run_plan: RunPlan) -> None:
    """No write raises, and its job is done by the next worker."""
    report = run_plan(seed=12, flush_worker_kills=15, interval_seconds=(0.02, 0.2), cycles_per_episode=5)
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)


def test_a_killed_compaction_worker_is_not_noticed_by_the_application(run_plan: RunPlan) -> None:
    """No write raises, and its job is done by another worker."""
    report = run_plan(seed=13, compaction_worker_kills=15, interval_seconds=(0.02, 0.2), cycles_per_episode=5)
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)


def test_a_stopped_worker_disturbs_neither_its_owner_nor_the_next_one(run_plan: RunPlan) -> None:
    """A worker that wakes up after its owner has died finds the store in other hands, and leaves."""
    report = run_plan(seed=14, worker_stops=6, interval_seconds=(0.02, 0.2))
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)


def test_a_damaged_sealed_log_is_flushed_from_memory(run_plan: RunPlan) -> None:
    """The flush worker refuses the segment, and the owner still has its records."""
    report = run_plan(seed=15, log_damages=5, interval_seconds=(0.02, 0.2))
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)
