"""The compaction job: merge tables, or one key range of them, into tables of the output level.

The newest record of each key survives; a tombstone survives unless it is old enough and covers nothing. Records
are counted on their way in and out, and a job that cannot account for every record fails instead of installing
less than it took.
"""

from __future__ import annotations

import resource
import time
from bisect import bisect_right
from typing import TYPE_CHECKING

from lsmproc.compaction.job_outputs import JobOutputs, random_unique_id
from lsmproc.compaction.merge import MergeInput, TombstoneRule, Window
from lsmproc.errors import CorruptionError
from lsmproc.formats.file_names import table_name
from lsmproc.formats.messages import CompactionDone, JobCost
from lsmproc.storage.open_file import OpenFiles
from lsmproc.storage.tables import open_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lsmproc.formats.messages import CompactionRequest, JobOutput
    from lsmproc.formats.version_edit import FileMetadata
    from lsmproc.protocols import TableReader
    from lsmproc.storage.file_system import FileSystem

# An output stops growing when it overlaps this many times max_file_bytes one level below: merging it further down
# would then cost too much at once (LevelDB, kMaxGrandParentOverlapBytes).
_GRANDPARENT_FILES = 10

# One table per run is open at a time; of a process that may open few, half are left to whatever else it opens.
_OPEN_FILES = 64
_FEWEST_OPEN_FILES = 4


def run_compaction_job(
    fs: FileSystem,
    request: CompactionRequest,
    grant: Callable[[int], None],
    *,
    new_unique_id: Callable[[], int] = random_unique_id,
) -> CompactionDone:
    """Do what the request says; ``grant(bytes)`` is called before each write, and with 0 while reading.

    Whatever is raised (JobCancelled by ``grant``, StorageError, CorruptionError), nothing of the attempt is left.
    """
    wall, cpu = time.perf_counter(), time.thread_time()
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # RLIM_INFINITY is negative
    half = allowed // 2 if allowed >= 0 else _OPEN_FILES
    open_files = OpenFiles(max(_FEWEST_OPEN_FILES, min(_OPEN_FILES, half)))

    def open_reader(file: FileMetadata) -> TableReader:
        return open_table(fs, file, table_name(file.number), cache=None, open_files=open_files)

    source = MergeInput(open_reader, request.start, request.stop, grant, request.options.max_file_bytes)
    outputs = JobOutputs(fs, request, grant, new_unique_id)
    try:
        tables = _merge(request, source, outputs)
    except BaseException:
        outputs.abandon()
        raise
    cost = JobCost(
        source.records_read,
        sum(output.file.entries for output in tables),
        source.bytes_read,
        sum(output.file.size for output in tables),
        time.perf_counter() - wall,
        time.thread_time() - cpu,
    )
    return CompactionDone(request.job, request.attempt, tables, cost)


def _merge(request: CompactionRequest, source: MergeInput, outputs: JobOutputs) -> tuple[JobOutput, ...]:
    rule = None
    if any(file.tombstones for run in request.runs for file in run):
        rule = TombstoneRule(request.deeper, request.droppable_below)
    cutter = _OutputCutter(request, outputs)
    merged = 0
    dropped = 0
    windows = source.merged(request.runs)
    for window in windows:
        count = len(window[0])
        merged += count
        if rule is not None:
            window = rule.thinned(window)  # noqa: PLW2901 (the unthinned one is done with)
            dropped += count - len(window[0])
        if window[0]:
            cutter.add(window)
    tables = outputs.finish()
    written = sum(output.file.entries for output in tables)
    if written + dropped != merged or merged > source.records_read:
        raise CorruptionError(
            f"a compaction read {source.records_read} records, merged {merged}, dropped {dropped} and wrote {written}"
        )
    return tables


class _OutputCutter:
    """Decides where one output ends and the next begins; always between two keys."""

    def __init__(self, request: CompactionRequest, outputs: JobOutputs) -> None:
        self._outputs = outputs
        # A table of level 0 is a run of its own, so the outputs of one compaction into it must be one.
        self._limit = request.options.max_file_bytes if request.output_level > 0 else None
        grandparents: Sequence[tuple[bytes, bytes, int]] = sorted(request.grandparents) if self._limit else ()
        self._ends = [largest for _, largest, _ in grandparents]
        self._sizes = [size for _, _, size in grandparents]
        self._most_overlap = _GRANDPARENT_FILES * request.options.max_file_bytes
        self._passed = -1  # grandparents that end before the next record; -1 before the first record
        self._overlap = 0  # bytes of those that the current output has passed

    def add(self, window: Window) -> None:
        """Write the records of a window, cutting where an output is full."""
        keys, values, sequences = window
        start = 0
        for stop in self._grandparent_cuts(keys):
            if stop > start:
                self._outputs.add(keys[start:stop], values[start:stop], sequences[start:stop])
            self._outputs.cut()
            start = stop
        if start:
            keys, values, sequences = keys[start:], values[start:], sequences[start:]
        self._outputs.add(keys, values, sequences)
        if self._limit is not None and self._outputs.size >= self._limit:
            self._outputs.cut()
            self._overlap = 0

    def _grandparent_cuts(self, keys: list[bytes]) -> list[int]:
        """Where to cut a window because the output would overlap too much below; steps over tables, not records."""
        if self._passed < 0:
            self._passed = bisect_right(self._ends, keys[0])
        cuts = []
        while self._passed < len(self._ends) and self._ends[self._passed] < keys[-1]:
            self._overlap += self._sizes[self._passed]
            if self._overlap > self._most_overlap:
                cuts.append(bisect_right(keys, self._ends[self._passed]))
                self._overlap = 0
            self._passed += 1
        return cuts
