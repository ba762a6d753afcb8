"""Adds up what cannot be derived from the state of a store: its operations, its jobs, the work on its levels.

Counting is kept off the hot paths. The calls of frequent operations are counted by tickets and one in many is timed
(see latency.py); of one get in ``GET_SAMPLED_EVERY`` the way through the sources is followed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

from lsmproc.formats.messages import CompactionDone, FlushDone, FlushRequest, JobFailed
from lsmproc.formats.version_edit import LEVEL_COUNT
from lsmproc.statistics.latency import Histogram, Operation
from lsmproc.statistics.read_samples import ReadSamples
from lsmproc.statistics.stats_tree import (
    JobRecord,
    JobStats,
    JobSums,
    LatencyStats,
    LevelStats,
    ReadStats,
    RunningJob,
    WriteStats,
)

if TYPE_CHECKING:
    from lsmproc.formats.messages import CompactionRequest

# Primes. A sample costs about two microseconds: below 1 % of so many calls.
GET_SAMPLED_EVERY = 1021
WRITE_SAMPLED_EVERY = 251
LONG_SAMPLED_EVERY = 61  # of batches, get_many and ranges, which take ten times as long and more

LAST_JOBS = 32
RECENT_SECONDS = 60.0


class Statistics:
    """Adds up the operations and the background work of one open store.

    The operations are attributes, to be used as latency.py says. The other methods are thread-safe; they are called
    once for each job.
    """

    __slots__ = (
        "_clock",
        "_compactions",
        "_failed_jobs",
        "_flushes",
        "_idle_bytes",
        "_idle_compactions",
        "_last_jobs",
        "_levels",
        "_lock",
        "_opened",
        "_running",
        "batch",
        "batch_records",
        "compaction",
        "delete",
        "flush",
        "get",
        "get_many",
        "get_many_keys",
        "next_window",
        "open",
        "peeks",
        "put",
        "range",
        "read_samples",
        "seek",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at zero."""
        self.put: Operation = Operation(WRITE_SAMPLED_EVERY)
        self.delete: Operation = Operation(WRITE_SAMPLED_EVERY)
        self.batch: Operation = Operation(LONG_SAMPLED_EVERY)
        self.batch_records: int = 0
        self.get: Operation = Operation(GET_SAMPLED_EVERY)
        self.get_many: Operation = Operation(LONG_SAMPLED_EVERY)
        self.get_many_keys: int = 0
        self.peeks: int = 0  # that found an answer in memory; the others become gets
        self.range: Operation = Operation(LONG_SAMPLED_EVERY)
        self.seek: Histogram = Histogram()  # of sampled ranges: until the first records are there
        self.next_window: Histogram = Histogram()  # of sampled ranges: until the next records are there
        self.flush: Histogram = Histogram()
        self.compaction: Histogram = Histogram()
        self.open: Histogram = Histogram()
        self.read_samples: ReadSamples = ReadSamples()
        self._clock = clock
        self._opened = clock()
        self._lock = Lock()
        self._failed_jobs = 0
        self._idle_compactions = 0
        self._idle_bytes = 0
        self._levels = [_LevelWork() for _ in range(LEVEL_COUNT)]
        self._running: dict[int, tuple[RunningJob, float]] = {}  # by job, with the time it was handed over
        self._last_jobs: deque[JobRecord] = deque(maxlen=LAST_JOBS)
        self._flushes = _JobWork()
        self._compactions = _JobWork()

    @property
    def uptime_seconds(self) -> float:
        """Seconds since the store was opened."""
        return self._clock() - self._opened

    @property
    def failed_jobs(self) -> int:
        """Attempts at jobs that failed."""
        return self._failed_jobs

    @property
    def idle_compactions(self) -> tuple[int, int]:
        """How many compactions were done in idle time, and the bytes that they wrote."""
        with self._lock:
            return self._idle_compactions, self._idle_bytes

    @property
    def reads(self) -> ReadStats:
        """The read counters as they stand."""
        return self.read_samples.stats(
            self.get.calls + self.get_many_keys + self.peeks, self.range.calls, GET_SAMPLED_EVERY
        )

    @property
    def writes(self) -> WriteStats:
        """The write counters as they stand."""
        return WriteStats(self.put.calls, self.delete.calls, self.batch.calls, self.batch_records)

    def operations(self, log_syncs: Histogram) -> dict[str, LatencyStats]:
        """Calls and latencies of each operation by its name; the log keeps those of its syncs."""
        return {
            "put": self.put.stats(),
            "delete": self.delete.stats(),
            "batch": self.batch.stats(),
            "get": self.get.stats(),
            "get_many": self.get_many.stats(),
            "seek": self.seek.stats(LONG_SAMPLED_EVERY),
            "next": self.next_window.stats(LONG_SAMPLED_EVERY),
            "flush": self.flush.stats(),
            "compaction": self.compaction.stats(),
            "log_sync": log_syncs.stats(),
            "open": self.open.stats(),
        }

    def job_begun(self, request: FlushRequest | CompactionRequest) -> None:
        """A job was handed to the background."""
        flush = isinstance(request, FlushRequest)
        if isinstance(request, FlushRequest):
            size, level = sum(segment.end for segment in request.segments), 0
        else:
            size, level = sum(file.size for run in request.runs for file in run), request.output_level
        job = RunningJob(request.job, "flush" if flush else "compaction", level, size, 0.0)
        with self._lock:
            self._running[request.job] = (job, self._clock())

    def job_answered(self, reply: FlushDone | CompactionDone | JobFailed) -> None:
        """A job was answered: it is under way no more, and counts if it was done."""
        with self._lock:
            running, _ = self._running.pop(reply.job, (None, 0.0))
            if running is None or isinstance(reply, JobFailed):
                return
            record = _record_of(running, reply)
            self._last_jobs.append(record)
            flush = isinstance(reply, FlushDone)
            (self._flushes if flush else self._compactions).add(record, self._clock())
            (self.flush if flush else self.compaction).record(int(record.seconds * 1e9))

    @property
    def jobs(self) -> JobStats:
        """Jobs under way and done."""
        with self._lock:
            now = self._clock()
            span = min(RECENT_SECONDS, now - self._opened)
            return JobStats(
                tuple(replace(job, seconds=now - since) for job, since in self._running.values()),
                tuple(self._last_jobs),
                self._flushes.sums(now, span),
                self._compactions.sums(now, span),
            )

    def record_flush(self, raw_bytes: int, written_bytes: int, seconds: float) -> None:
        """A memtable of ``raw_bytes`` became a table of ``written_bytes`` in level 0."""
        with self._lock:
            self._levels[0].add(raw_bytes, 0, written_bytes, seconds)

    def record_compaction(
        self, output_level: int, *, from_above: int, from_level: int, written: int, seconds: float
    ) -> None:
        """A merge read so many bytes from above its output level and from it, and wrote so many."""
        with self._lock:
            if output_level:
                self._levels[output_level].add(from_above, from_level, written, seconds)
            else:
                # A merge within level 0 brings nothing new into it: all that it reads was counted as it was flushed.
                self._levels[0].add(0, from_above + from_level, written, seconds)

    def record_move(self, output_level: int, size_bytes: int) -> None:
        """Tables of ``size_bytes`` were moved to ``output_level`` unread."""
        with self._lock:
            self._levels[output_level].bytes_moved += size_bytes

    def record_idle_compaction(self, written_bytes: int) -> None:
        """A merge or a move, recorded as such already, was done in idle time."""
        with self._lock:
            self._idle_compactions += 1
            self._idle_bytes += written_bytes

    def record_failure(self) -> None:
        """An attempt at a job failed."""
        with self._lock:
            self._failed_jobs += 1

    def levels(self, files: Sequence[int], sizes: Sequence[int], scores: Sequence[float]) -> tuple[LevelStats, ...]:
        """The level table, from the present counts of tables, bytes and scores by level."""
        with self._lock:
            return tuple(
                LevelStats(
                    number,
                    files[number],
                    sizes[number],
                    scores[number],
                    work.bytes_from_above,
                    work.bytes_from_level,
                    work.bytes_written,
                    work.bytes_moved,
                    work.seconds,
                    work.compactions,
                )
                for number, work in enumerate(self._levels)
            )


@dataclass(slots=True)
class _LevelWork:
    """Sums for one level."""

    bytes_from_above: int = 0
    bytes_from_level: int = 0
    bytes_written: int = 0
    bytes_moved: int = 0
    seconds: float = 0.0
    compactions: int = 0

    def add(self, from_above: int, from_level: int, written: int, seconds: float) -> None:
        self.bytes_from_above += from_above
        self.bytes_from_level += from_level
        self.bytes_written += written
        self.seconds += seconds
        self.compactions += 1


class _JobWork:
    """Sums over the jobs of one kind."""

    def __init__(self) -> None:
        self._sums = JobSums()
        self._recent: deque[tuple[float, int]] = deque()  # when, and bytes written; of the last minute

    def add(self, record: JobRecord, now: float) -> None:
        """Count a job that was done."""
        sums = self._sums
        self._sums = JobSums(
            sums.jobs + 1,
            sums.records_read + record.records_read,
            sums.records_written + record.records_written,
            sums.bytes_read + record.bytes_read,
            sums.bytes_written + record.bytes_written,
            sums.seconds + record.seconds,
            sums.cpu_seconds + record.cpu_seconds,
            max(sums.peak_memory_bytes, record.peak_memory_bytes),
        )
        self._recent.append((now, record.bytes_written))
        self._forget(now)

    def sums(self, now: float, span: float) -> JobSums:
        """The sums, with the rate over the last ``span`` seconds."""
        self._forget(now)
        recent = sum(size for _, size in self._recent)
        return replace(self._sums, recent_bytes_per_second=recent / span if span > 0 else 0.0)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()


def _record_of(running: RunningJob, reply: FlushDone | CompactionDone) -> JobRecord:
    cost = reply.cost
    return JobRecord(
        job=reply.job,
        kind=running.kind,
        level=running.level,
        attempt=reply.attempt,
        finished_at=time.time(),
        records_read=cost.records_read,
        records_written=cost.records_written,
        bytes_read=cost.bytes_read,
        bytes_written=cost.bytes_written,
        seconds=cost.seconds,
        cpu_seconds=cost.cpu_seconds,
        pid=cost.pid,
        peak_memory_bytes=cost.peak_memory_bytes,
    )
