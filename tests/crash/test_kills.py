"""Real processes, really killed: nothing acknowledged is lost, nothing wrong is found, nothing is left behind.

The long form (``pytest --full``) has 1,000 kills of owners and 500 of workers.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lsmproc.stress.report import StressReport
from tests.tally import Tally

RunPlan = Callable[..., StressReport]

NOTHING_BROKEN = {"lost": 0, "wrong": 0, "orphans": 0, "left processes": 0, "slow": 0, "errors": 0}

_LONGEST_SECONDS = 3500.0

pytestmark = pytest.mark.timeout(3600)


def broken(report: StressReport) -> dict[str, int]:
    """The figures of a report that count broken promises."""
    figures = report.figures()
    return {name: figures[name] for name in NOTHING_BROKEN}


def test_an_owner_that_is_killed_under_load_loses_nothing(run_plan: RunPlan, full: bool, tally: Tally) -> None:
    """Whatever the sync policy: the kernel keeps what a dead process wrote."""
    kills = 1000 if full else 12
    report = run_plan(
        seed=4, owner_kills=kills, cycles_per_episode=3, interval_seconds=(0.005, 0.2), seconds=_LONGEST_SECONDS
    )
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)
    assert 4 == len({cycle.sync for cycle in report.cycles})
    tally.add("kills of an owner under load", kills)


def test_the_end_or_the_stop_of_a_worker_is_not_noticed_by_the_application(
    run_plan: RunPlan, full: bool, tally: Tally
) -> None:
    """No write raises, and its job is done by another worker, or from memory if the log was damaged.

    A worker that wakes up after its owner has died finds the store in other hands, and leaves.
    """
    kills, others = (250, 50) if full else (4, 3)
    report = run_plan(
        seed=12,
        flush_worker_kills=kills,
        compaction_worker_kills=kills,
        worker_stops=others + 1,
        log_damages=others,
        interval_seconds=(0.02, 0.1),
        option_sets=("tiny", "small", "tiered", "plain"),
        seconds=_LONGEST_SECONDS,
    )
    assert (NOTHING_BROKEN, True) == (broken(report), report.complete)
    assert 5 == len({cycle.fault for cycle in report.cycles})
    tally.add("kills of a worker at work", 2 * kills)
