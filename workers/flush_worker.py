"""What a flush worker runs: sealed log segments become one level-0 table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.compaction.flush_job import run_flush_job

if TYPE_CHECKING:
    from lsmproc.formats.messages import FlushDone, FlushRequest
    from lsmproc.workers.job_run import OpenFileSystem


def run(request: FlushRequest, grant: Callable[[int], None], open_file_system: OpenFileSystem) -> FlushDone:
    """Run one flush in the store's directory; see lsmproc.workers.job_run."""
    file_system = open_file_system(request.directory)
    try:
        return run_flush_job(file_system, request, grant)
    finally:
        file_system.shut()
