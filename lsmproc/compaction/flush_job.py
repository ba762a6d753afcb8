"""The flush job: sealed log segments become one level-0 table.

The segments are the immutable memtables: reading them in order into one dict leaves the newest record of each key, and
sorting that is all there is to do. Tombstones are kept, since older records may lie in any level.
"""

from __future__ import annotations

import time
from operator import itemgetter
from typing import TYPE_CHECKING

from lsmproc.compaction.job_outputs import JobOutputs, random_unique_id
from lsmproc.errors import CorruptionError
from lsmproc.formats.messages import FlushDone, JobCost
from lsmproc.storage.wal_reader import read_segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from lsmproc.formats.messages import FlushRequest, JobOutput, SegmentEnd
    from lsmproc.storage.file_system import FileSystem

    Records = dict[bytes, tuple[int, bytes | None]]
    ReadSegment = Callable[[FileSystem, SegmentEnd, bytes], Records]

# Records handed to the builder at a time: they stay in the processor's cache from sorting to compression.
_STEP_RECORDS = 1024


def run_flush_job(
    fs: FileSystem,
    request: FlushRequest,
    grant: Callable[[int], None],
    *,
    read: ReadSegment = read_segment,
    new_unique_id: Callable[[], int] = random_unique_id,
) -> FlushDone:
    """Do what the request says; ``grant(bytes)`` is called before each write and, with 0, after each segment.

    Whatever is raised (JobCancelled by ``grant``, StorageError, CorruptionError), nothing of the attempt is left.
    """
    wall, cpu = time.perf_counter(), time.thread_time()
    records: Records = {}
    for segment in request.segments:
        records.update(read(fs, segment, request.store_uuid))
        grant(0)
    outputs = JobOutputs(fs, request, grant, new_unique_id)
    try:
        tables = _write(records, outputs)
    except BaseException:
        outputs.abandon()
        raise
    cost = JobCost(
        len(records),
        sum(output.file.entries for output in tables),
        sum(segment.end for segment in request.segments),
        sum(output.file.size for output in tables),
        time.perf_counter() - wall,
        time.thread_time() - cpu,
    )
    return FlushDone(request.job, request.attempt, tables, cost)


def _write(records: Records, outputs: JobOutputs) -> tuple[JobOutput, ...]:
    """All records, in key order, as one table."""
    keys = sorted(records)
    entries = list(map(records.__getitem__, keys))
    sequences = list(map(itemgetter(0), entries))
    values = list(map(itemgetter(1), entries))
    for start in range(0, len(keys), _STEP_RECORDS):
        stop = start + _STEP_RECORDS
        outputs.add(keys[start:stop], values[start:stop], sequences[start:stop])
    tables = outputs.finish()
    written = sum(output.file.entries for output in tables)
    if written != len(records):
        raise CorruptionError(f"a flush wrote {written} records of {len(records)}")
    return tables
