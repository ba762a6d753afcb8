"""What tests of real host programs share: a module for the host to import, its environment, and a way to start it."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import lsmproc
from tests.tally import Tally

StartHost = Callable[..., "subprocess.Popen[str]"]

DEADLINE_SECONDS = 60.0

# What each host imports: work that flushes and compacts in worker processes, and what it has done.
STORE_WORK = '''
import lsmproc

TINY = dict(memtable_max_bytes=4096, sstable_max_bytes=4096, level_base_bytes=8192, level0_compaction_trigger=2)


def work(db):
    """Write, flush and compact; the kinds of workers that did a job."""
    for number in range(300):
        db.put(b"user:%03d" % (number % 100), b"name %d " % number * 10)
    db.flush_memtable(timeout=20)
    db.compact_range(timeout=20)
    db.wait_idle(20)
    assert db.get(b"user:007") == b"name 207 " * 10
    assert sum(1 for _ in db.range(prefix=b"user:")) == 100
    return ",".join(sorted({worker.kind for worker in db.stats().workers if worker.jobs_done}))


def work_in(path):
    """The same in a store that is opened and closed for it."""
    with lsmproc.open(path, **TINY) as db:
        return work(db)
'''


@pytest.fixture
def needs(tally: Tally) -> Callable[[str], None]:
    """Skip the test, loudly, where the host program is not installed."""

    def check(module: str) -> None:
        if importlib.util.find_spec(module) is None:
            tally.skip("host programs", 1, f"{module} is not installed")

    return check


@pytest.fixture
def host_environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a host that finds this package and the modules in ``tmp_path``."""
    (tmp_path / "store_work.py").write_text(STORE_WORK)
    paths = [str(Path(lsmproc.__file__).parents[1]), str(tmp_path)]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def start_host(host_environment: dict[str, str], tmp_path: Path) -> Iterator[StartHost]:
    """Start ``python -m MODULE ARGUMENTS`` in ``tmp_path``, in a process group of its own; killed after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, python: str = sys.executable) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [python, *arguments],
            cwd=tmp_path,
            env=host_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        for each in family(process.pid):
            each.kill()
        process.communicate(timeout=10)


def family(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it, as far as they live."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
