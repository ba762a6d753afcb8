"""The flush job: sealed log segments become one level-0 table.

The segments are the immutable memtables: they are read as sorted runs, and merging those leaves the newest record of
each key. Tombstones are kept, since older records may lie in any level.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lsmproc.compaction.job_outputs import JobOutputs, random_unique_id
from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import FlushDone, JobCost
from lsmproc.iterators.merge_windows import merge_windows
from lsmproc.storage.wal_runs import read_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import FlushRequest, JobOutput, SegmentEnd
    from lsmproc.storage.file_system import FileSystem
    from lsmproc.storage.wal_runs import Run

    ReadRuns = Callable[[FileSystem, SegmentEnd, bytes], list[Run]]

# Records handed to the builder at a time: they stay in the processor's cache from sorting to compression.
_STEP_RECORDS = 2048
_FEWEST_OF_A_RUN = 16


def run_flush_job(
    fs: FileSystem,
    request: FlushRequest,
    grant: Callable[[int], None],
    *,
    read: ReadRuns = read_runs,
    new_unique_id: Callable[[], int] = random_unique_id,
) -> FlushDone:
    """Do what the request says; ``grant(bytes)`` is called before each write and, with 0, after each segment.

    Whatever is raised (JobCancelled by ``grant``, StorageError, CorruptionError), nothing of the attempt is left.
    """
    wall, cpu = time.perf_counter(), time.thread_time()
    runs: list[Run] = []
    for segment in request.segments:
        runs += read(fs, segment, request.store_uuid)
        grant(0)
    records_read = sum(len(keys) for keys, _, _ in runs)
    outputs = JobOutputs(fs, request, grant, new_unique_id)
    try:
        tables = _write(runs, outputs)
    except BaseException:
        outputs.abandon()
        raise
    cost = JobCost(
        records_read,
        sum(output.file.entries for output in tables),
        sum(segment.end for segment in request.segments),
        sum(output.file.size for output in tables),
        time.perf_counter() - wall,
        time.thread_time() - cpu,
    )
    return FlushDone(request.job, request.attempt, tables, cost)


def _write(runs: list[Run], outputs: JobOutputs) -> tuple[JobOutput, ...]:
    """The newest records of all runs, the oldest of which is the first, in key order, as one table."""
    most = sum(len(keys) for keys, _, _ in runs)
    sources = [iter((run,)) for run in reversed(runs)]
    merged = 0
    for keys, values, sequences in merge_windows(sources, max(_FEWEST_OF_A_RUN, _STEP_RECORDS // max(1, len(runs)))):
        merged += len(keys)
        for start in range(0, len(keys), _STEP_RECORDS):
            stop = start + _STEP_RECORDS
            outputs.add(keys[start:stop], values[start:stop], sequences[start:stop])
    tables = outputs.finish()
    written = sum(output.file.entries for output in tables)
    if written != merged or merged > most:
        raise CorruptionError(f"a flush read {most} records, merged {merged} and wrote {written}")
    return tables
