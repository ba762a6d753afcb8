"""What a compaction worker runs: tables, or one key range of them, are merged into tables of a deeper level."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lsmproc.compaction.compaction_job import run_compaction_job

if TYPE_CHECKING:
    from lsmproc.formats.messages import CompactionDone, CompactionRequest
    from lsmproc.workers.job_run import OpenFileSystem


def run(request: CompactionRequest, grant: Callable[[int], None], open_file_system: OpenFileSystem) -> CompactionDone:
    """Run one compaction in the store's directory; see lsmproc.workers.job_run."""
    file_system = open_file_system(request.directory)
    try:
        return run_compaction_job(file_system, request, grant)
    finally:
        file_system.shut()
