"""A compaction that takes half a minute and never asks for its owner: the sabotage ``deaf-worker``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lsmproc.compaction.compaction_job import run_compaction_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import CompactionDone, CompactionRequest
    from lsmproc.workers.job_run import OpenFileSystem

_SECONDS = 30.0  # far more than an owner that was killed is given for its workers to end


def run(request: CompactionRequest, _grant: Callable[[int], None], open_file_system: OpenFileSystem) -> CompactionDone:
    """As lsmproc.workers.compaction_worker, but slow and deaf."""
    time.sleep(_SECONDS)
    file_system = open_file_system(request.directory)
    try:
        return run_compaction_job(file_system, request, lambda _size: None)
    finally:
        file_system.shut()
