"""Worker processes stand where they are told to stand beside others, from their start and while they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

import psutil
import pytest

from lsmproc.workers.placement import Placement

Eventually = Callable[..., None]

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system places no processes")


def place_of(pid: int) -> tuple[int, set[int], int]:
    """Niceness on top of ours, CPUs, and value of the io priority."""
    return (
        os.getpriority(os.PRIO_PROCESS, pid) - os.nice(0),
        os.sched_getaffinity(pid),
        psutil.Process(pid).ionice().value,
    )


def test_a_running_worker_is_moved_and_the_next_one_starts_there(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, eventually: Eventually
) -> None:
    """No restart is needed to step back further, and a new process stands where the old one stood."""
    runs = make_runs()
    runs.run(stand_in_jobs.compaction(1))
    (pid,) = runs.pids()
    cpu = min(os.sched_getaffinity(0))
    there = Placement(3, "low", (cpu,))
    runs.background.place_workers(Placement(cpus=(cpu,)), there)
    expected = (min(3, 19 - os.nice(0)), {cpu}, 7)
    eventually(lambda: expected == place_of(pid))
    runs.run(stand_in_jobs.compaction(2, stand_in_jobs.DIE_ONCE))
    (second,) = runs.pids()
    assert pid != second
    eventually(lambda: expected == place_of(second))
    runs.run(stand_in_jobs.flush(3))
    flusher = next(pid for pid in runs.pids() if pid != second)
    eventually(lambda: (0, {cpu}, 0) == (place_of(flusher)[0], place_of(flusher)[1], place_of(flusher)[2] % 4))


def test_a_worker_that_may_not_come_forward_is_replaced(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a privileged process may lower a niceness; a new worker has it from the start."""
    runs = make_runs(niceness=3)
    runs.run(stand_in_jobs.compaction(1))
    (pid,) = runs.pids()

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refused)
    runs.background.place_workers(Placement(), Placement(0))
    eventually(lambda: pid not in runs.pids())
    runs.run(stand_in_jobs.compaction(2))
    (second,) = runs.pids()
    assert 0 == place_of(second)[0]


def test_a_cpu_that_is_not_there_is_logged_and_the_worker_works(
    make_runs: Callable[..., Any], stand_in_jobs: ModuleType, caplog: pytest.LogCaptureFixture, eventually: Eventually
) -> None:
    """A wrong place is no reason to lose a flush."""
    runs = make_runs()
    runs.background.place_workers(Placement(), Placement(cpus=(4095,)))
    assert 1 == runs.run(stand_in_jobs.compaction(1)).job
    eventually(lambda: "cannot be given CPUs (4095,)" in caplog.text)
