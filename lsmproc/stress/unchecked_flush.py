"""A flush that does not check where its log segments end: the sabotage ``no-seal-check``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lsmproc.compaction.flush_job import run_flush_job
from lsmproc.formats.file_names import wal_name
from lsmproc.formats.log_format import KIND_WAL
from lsmproc.storage.wal_reader import Records, apply_frames, read_log
from lsmproc.storage.wal_runs import Run, sorted_run

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import FlushDone, FlushRequest, SegmentEnd
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.workers.job_run import OpenFileSystem


def run(request: FlushRequest, grant: Callable[[int], None], open_file_system: OpenFileSystem) -> FlushDone:
    """As lsmproc.workers.flush_worker, but damage in a segment is taken for its end."""
    file_system = open_file_system(request.directory)
    try:
        return run_flush_job(file_system, request, grant, read=_read_what_there_is)
    finally:
        file_system.shut()


def _read_what_there_is(fs: FileSystem, segment: SegmentEnd, store_uuid: bytes) -> list[Run]:
    records: Records = {}
    read_log(
        fs,
        wal_name(segment.number),
        KIND_WAL,
        store_uuid,
        lambda frames: apply_frames(records, frames),
        stop_at=segment.end,
    )
    sequences = [sequence for sequence, _ in records.values()]
    return [sorted_run(list(records), [value for _, value in records.values()], sequences)] if records else []
