"""The jobs of workers, on a file system in which one operation may be armed: see ``armed_disk``."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from lsmproc.formats.messages import FlushRequest
from lsmproc.stress.armed_disk import Armed, ArmedFileSystem, Trigger
from lsmproc.workers import compaction_worker, flush_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import CompactionDone, CompactionRequest, FlushDone
    from lsmproc.workers.job_run import OpenFileSystem


def run(
    request: FlushRequest | CompactionRequest, grant: Callable[[int], None], open_file_system: OpenFileSystem
) -> FlushDone | CompactionDone:
    """As lsmproc.workers.flush_worker and compaction_worker, but for what is armed when the job begins."""
    role = "flush" if isinstance(request, FlushRequest) else "compaction"
    root = os.path.dirname(request.directory)
    if (armed := Armed.read(root, role)) is not None:
        open_file_system = partial(ArmedFileSystem, trigger=Trigger(root, armed))
    if isinstance(request, FlushRequest):
        return flush_worker.run(request, grant, open_file_system)
    return compaction_worker.run(request, grant, open_file_system)
