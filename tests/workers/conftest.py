"""What tests of worker processes share: a process background with stand-in jobs, and scripts that use one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lsmproc
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.job_run import Reply, Request
from lsmproc.workers.process_background import ProcessBackground

STAND_INS = Path(__file__).parents[1] / "stand_ins"

# What each script begins with: a background with stand-in jobs, and a job that is answered before ``run`` returns.
SCRIPT_START = """
import os, signal, sys, threading
import lsmproc_stand_in_jobs as jobs
from lsmproc.protocols import Priority
from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.workers.process_background import ProcessBackground

def make(flushers=1, compactors=1):
    return ProcessBackground(flushers, compactors, RateLimiter(None), flush_runner="lsmproc_stand_in_jobs",
                             compaction_runner="lsmproc_stand_in_jobs")

def run(background, request):
    answered = threading.Event()
    replies = []
    background.submit(request, Priority.FLUSH, lambda reply: (replies.append(reply), answered.set()))
    assert answered.wait(20), "no answer"
    return type(replies[0]).__name__
"""


class Runs:
    """A process background under test, its answers, and ways to wait for them."""

    def __init__(self, background: ProcessBackground, limiter: RateLimiter) -> None:
        self.background = background
        self.limiter = limiter
        self.replies: list[Reply] = []
        self._changed = threading.Condition()

    def submit(self, request: Request, priority: Priority = Priority.FLUSH) -> None:
        self.background.submit(request, priority, self._on_reply)

    def wait(self, count: int, timeout: float = 10.0) -> list[Reply]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.replies) >= count, timeout), f"got only {self.replies}"
            return list(self.replies)

    def run(self, request: Request, timeout: float = 10.0) -> Reply:
        """Submit one request and return its answer. REQUIRES: no other is unanswered."""
        count = len(self.replies)
        self.submit(request)
        return self.wait(count + 1, timeout)[-1]

    def pids(self, state: str = "") -> list[int]:
        reports = self.background.worker_reports()
        return [report.pid for report in reports if report.pid is not None and state in {"", report.state}]

    def _on_reply(self, reply: Reply) -> None:
        with self._changed:
            self.replies.append(reply)
            self._changed.notify_all()


@pytest.fixture
def make_runs(stand_in_jobs: ModuleType) -> Iterator[Callable[..., Runs]]:
    """Makes process backgrounds with stand-in jobs and closes them after the test."""
    made = []

    def make(
        flushers: int = 1,
        compactors: int = 1,
        rate: int | None = None,
        niceness: int = 0,
        idle_seconds: float | None = None,
    ) -> Runs:
        name = stand_in_jobs.__name__
        limiter = RateLimiter(rate)
        runners = {"flush_runner": name, "compaction_runner": name}
        runs = Runs(
            ProcessBackground(flushers, compactors, limiter, niceness, idle_seconds=idle_seconds, **runners), limiter
        )
        made.append(runs)
        return runs

    yield make
    for runs in made:
        runs.background.close(2.0)


@pytest.fixture
def runs(make_runs: Callable[..., Runs]) -> Runs:
    """One process background with one worker of each kind."""
    return make_runs()


@pytest.fixture
def script_environment() -> dict[str, str]:
    """The environment of a script that imports this package and the stand-in jobs."""
    package_parent = str(Path(lsmproc.__file__).parents[1])
    return os.environ | {"PYTHONPATH": os.pathsep.join([package_parent, str(STAND_INS)]), "PYTHONWARNINGS": "error"}


@pytest.fixture
def start_script(
    script_environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a script that uses a process background; it runs in ``tmp_path``, in a process group of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(body: str) -> subprocess.Popen[str]:
        path = tmp_path / "script.py"
        path.write_text(SCRIPT_START + body)
        process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=tmp_path,
            env=script_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=10)


@pytest.fixture
def script_start() -> str:
    """What each script begins with."""
    return SCRIPT_START
