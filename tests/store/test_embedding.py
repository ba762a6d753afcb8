"""The README's snippet works wherever Python runs, with workers that really flush and compact."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

RunScript = Callable[..., "subprocess.CompletedProcess[str]"]

SNIPPET = """
import lsmproc

def work(path):
    tiny = dict(memtable_max_bytes=4096, sstable_max_bytes=4096, level_base_bytes=8192, level0_compaction_trigger=2)
    with lsmproc.open(path, **tiny) as db:
        for number in range(300):
            db.put(b"user:%03d" % (number % 100), b"name %d " % number * 10)
        assert db.get(b"user:007") == b"name 207 " * 10
        assert sum(1 for _ in db.range(prefix=b"user:")) == 100
        db.flush_memtable(timeout=20)
        db.compact_range(timeout=20)
        db.wait_idle(20)
        jobs = {}
        for worker in db.stats().workers:
            jobs[worker.kind] = jobs.get(worker.kind, 0) + worker.jobs_done
        assert db.stats().background_error is None
    return ", ".join(kind for kind, count in sorted(jobs.items()) if count)
"""

LEFT = """
import psutil
print("left:", len(psutil.Process().children(recursive=True)))
"""

PLAIN = SNIPPET + "print(work('store'))\n" + LEFT
THREAD = (
    SNIPPET
    + """
import threading
thread = threading.Thread(target=lambda: print(work("store")))
thread.start()
thread.join()
"""
    + LEFT
)
POOL = (
    SNIPPET
    + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*set(pool.map(work, ["one", "two"])))
    pool.close()
    pool.join()
"""
    + LEFT
)
DAEMON = (
    SNIPPET
    + """
import multiprocessing
process = multiprocessing.get_context("fork").Process(target=lambda: print(work("store"), flush=True), daemon=True)
process.start()
process.join()
"""
    + LEFT
)


@pytest.mark.parametrize(
    ("body", "way"),
    [
        (PLAIN, "file"),
        (PLAIN, "command"),
        (PLAIN, "standard input"),
        (THREAD, "file"),
        (POOL, "file"),
        (DAEMON, "file"),
    ],
    ids=["plain script", "python -c", "piped to python -", "thread", "pool", "daemonic process"],
)
def test_the_snippet_works_with_workers_at_work(run_script: RunScript, body: str, way: str) -> None:
    """Without a main guard; both kinds of worker have done jobs, and no process is left."""
    finished = run_script(body, way=way)
    assert ("compaction, flush\nleft: 0\n", "", 0) == (finished.stdout, finished.stderr, finished.returncode)
