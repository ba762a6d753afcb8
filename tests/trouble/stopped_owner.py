"""A scenario in which a program is stopped together with its worker."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from lsmproc.pacing.rate_limiter import RateLimiter
from lsmproc.protocols import Priority
from lsmproc.workers.process_background import ProcessBackground
from tests.trouble.ledger import until

_HANG_SECONDS = 1.0
_STOPPED_SECONDS = 3.0


def stopped_together(directory: Path) -> list[Any]:
    """Both are stopped for three times the limit; the worker goes on a little later. The job's answer and attempt."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "stand_ins"))
    import lsmproc_stand_in_jobs as jobs

    name = jobs.__name__
    background = ProcessBackground(
        1, 1, RateLimiter(None), hang_seconds=_HANG_SECONDS, flush_runner=name, compaction_runner=name
    )
    answered = threading.Event()
    replies: list[Any] = []
    background.submit(
        jobs.flush(1, jobs.HOLD, directory),
        Priority.FLUSH,
        lambda reply: (replies.append(reply), answered.set()),  # type: ignore[func-returns-value]
    )
    mark = directory / jobs.mark_name(1)
    until(mark.exists, 10, "the job runs")
    owner, worker = os.getpid(), int(mark.read_text())
    script = (
        f"kill -STOP {worker} {owner}; sleep {_STOPPED_SECONDS}; kill -CONT {owner}; sleep 0.3; kill -CONT {worker}"
    )
    subprocess.run(["sh", "-c", script], check=True, timeout=20)
    (directory / "release").touch()
    assert answered.wait(10), "no answer"
    background.close(1.0)
    return [type(replies[0]).__name__, replies[0].attempt]
