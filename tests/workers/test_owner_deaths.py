"""However the owner ends, its workers are gone at once, and a program that ends normally is not held up by them."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

GONE_SECONDS = 10.0  # a busy worker that does not look for its owner holds its job three times as long

StartScript = Callable[[str], "subprocess.Popen[str]"]

IDLE_AND_BUSY = pytest.mark.parametrize("state", ["idle", "busy"])

# Prints the process ids of two workers, one of which may hold a job, and then waits for its end.
TWO_WORKERS = """
background = make()
run(background, jobs.flush(1)), run(background, jobs.compaction(2))
if {busy}:
    background.submit(jobs.compaction(3, jobs.HOLD, os.getcwd()), Priority.DEEPER, lambda reply: None)
    while not os.path.exists(jobs.mark_name(3)):
        threading.Event().wait(0.002)
print(*(report.pid for report in background.worker_reports()), flush=True)
"""
WAIT = "\nthreading.Event().wait(60)\n"


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The workers whose process ids a script has printed."""
    assert process.stdout is not None
    pids = [int(word) for word in process.stdout.readline().split()]
    assert 2 == len(pids), process.communicate(timeout=10)[1]
    return [psutil.Process(pid) for pid in pids]


def still_alive(workers: list[psutil.Process]) -> list[psutil.Process]:
    """The workers that still run after ``GONE_SECONDS``. The ended ones may wait for init to reap them."""
    pause = threading.Event()
    deadline = time.monotonic() + GONE_SECONDS
    while any(map(runs, workers)) and time.monotonic() < deadline:
        pause.wait(0.002)
    return list(filter(runs, workers))


def runs(process: psutil.Process) -> bool:
    """Whether a process has not ended yet."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@IDLE_AND_BUSY
def test_workers_leave_when_their_owner_is_killed(start_script: StartScript, state: str) -> None:
    """The end of a pipe tells them, in the middle of a job too."""
    process = start_script(TWO_WORKERS.format(busy=state == "busy") + WAIT)
    workers = workers_of(process)
    process.kill()
    assert [] == still_alive(workers)
    assert "" == process.communicate(timeout=10)[1]


def test_workers_leave_though_a_forked_child_lives_on(start_script: StartScript) -> None:
    """The child of a fork closes its copies of the pipes, so they end with the owner."""
    fork = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
pid = os.fork()
if pid == 0:
    threading.Event().wait(60)
    os._exit(0)
print(pid, flush=True)
"""
    process = start_script(TWO_WORKERS.format(busy=True) + fork + WAIT)
    workers = workers_of(process)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    alive = still_alive(workers)
    os.kill(child, signal.SIGKILL)
    assert [] == alive


@IDLE_AND_BUSY
def test_a_program_that_forgets_close_ends_at_once(start_script: StartScript, state: str) -> None:
    """Exit code 0, nothing on stderr, no worker left, and all that long before its job would have ended."""
    process = start_script(TWO_WORKERS.format(busy=state == "busy"))
    workers = workers_of(process)
    assert (0, "") == (process.wait(10), process.communicate(timeout=10)[1])
    assert [] == still_alive(workers)


@IDLE_AND_BUSY
def test_a_dropped_background_closes_itself(start_script: StartScript, state: str) -> None:
    """The thread that supervises the workers does not keep the background alive."""
    drop = """
import gc, weakref
gone = weakref.ref(background)
thread = next(each for each in threading.enumerate() if each.name == "lsmproc-supervisor")
del background
gc.collect()
thread.join(10)
print(gone() is None, thread.is_alive())
"""
    process = start_script(TWO_WORKERS.format(busy=state == "busy") + drop)
    workers = workers_of(process)
    output, errors = process.communicate(timeout=10)
    assert ("True False\n", "") == (output, errors)
    assert [] == still_alive(workers)


def test_an_exception_that_ends_the_program_is_all_it_prints(start_script: StartScript) -> None:
    """The background adds nothing to the traceback of the program."""
    process = start_script(TWO_WORKERS.format(busy=True) + "\nraise SystemExit('the end')\n")
    workers = workers_of(process)
    assert (1, "the end\n") == (process.wait(10), process.communicate(timeout=10)[1])
    assert [] == still_alive(workers)


def test_an_interrupt_of_the_whole_group_is_survived_by_workers(start_script: StartScript, tmp_path: Path) -> None:
    """Twenty Ctrl-C while workers start and run: the owner decides, no worker prints a traceback, the job is done."""
    script = """
signal.signal(signal.SIGINT, lambda *_: None)
background = make()
replies = []
done = threading.Event()
print("ready", flush=True)
request = jobs.flush(1, jobs.HOLD, os.getcwd())
background.submit(request, Priority.FLUSH, lambda reply: (replies.append(reply), done.set()))
while not done.wait(0.01):
    pass
print(type(replies[0]).__name__, replies[0].attempt)
background.close(2)
"""
    process = start_script(script)
    assert process.stdout is not None
    assert "ready\n" == process.stdout.readline()
    for _ in range(20):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.01)  # spread over the start of the worker, 50 to 100 ms
    (tmp_path / "release").touch()
    assert ("FlushDone 1\n", "") == process.communicate(timeout=10)


def test_a_stop_of_the_whole_group_leaves_no_worker(start_script: StartScript) -> None:
    """A service manager sends SIGTERM to every process of a service: the owner dies of it, and its workers follow."""
    process = start_script(TWO_WORKERS.format(busy=True) + WAIT)
    workers = workers_of(process)
    os.killpg(process.pid, signal.SIGTERM)
    assert -signal.SIGTERM == process.wait(10)
    assert [] == still_alive(workers)
    assert "" == process.communicate(timeout=10)[1]
