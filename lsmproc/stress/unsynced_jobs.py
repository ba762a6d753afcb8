"""Jobs that do not sync the tables they write: the sabotage ``skip-table-sync``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.formats.messages import FlushRequest
from lsmproc.storage.file_system import PosixFileSystem
from lsmproc.workers import compaction_worker, flush_worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import CompactionDone, CompactionRequest, FlushDone
    from lsmproc.workers.job_run import OpenFileSystem


class UnsyncedFileSystem(PosixFileSystem):
    """The real disk, without the syncs of files."""

    def fdatasync(self, fd: int) -> None:
        """Say yes."""


def run(
    request: FlushRequest | CompactionRequest, grant: Callable[[int], None], _open_file_system: OpenFileSystem
) -> FlushDone | CompactionDone:
    """As lsmproc.workers.flush_worker and compaction_worker, on a file system that does not sync."""
    if isinstance(request, FlushRequest):
        return flush_worker.run(request, grant, UnsyncedFileSystem)
    return compaction_worker.run(request, grant, UnsyncedFileSystem)
