"""Workloads that read: point reads with caches of several sizes, multireads, scans, seeks, reads beside writes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from lsmproc.bench.records import batches
from lsmproc.bench.workloads.work import BatchLoop, BinaryLoop, ScanLoop, Stage, UnaryLoop, Work, Workload, chunk_size
from lsmproc.bench.workloads.writes import overwrite_half

_HOT_SHARE = 100  # one key in so many is hot
_MAX_HOT = 10_000
_PACE_SECONDS = 0.005
_JOIN_SECONDS = 120.0


def _gets(stage: Stage, numbers: Sequence[int]) -> Work:
    return Work(UnaryLoop(stage.system.get), stage.streams(stage.maker.keys, numbers))


def _readrandom(stage: Stage) -> Work:
    return _gets(stage, stage.maker.drawn(stage.settings.read_num))


def _readhot(stage: Stage) -> Work:
    count = max(1, min(stage.settings.num // _HOT_SHARE, _MAX_HOT))
    order = stage.maker.shuffled()
    return _gets(stage, [order[rank] for rank in stage.maker.drawn(stage.settings.read_num, count)])


def _readmissing(stage: Stage) -> Work:
    """Keys between those that exist, as in db_bench: an existing key and a dot."""

    def chunk(numbers: list[int]) -> list[bytes]:
        return [key + b"." for key in stage.maker.keys(numbers)]

    return Work(UnaryLoop(stage.system.get), stage.streams(chunk, stage.maker.drawn(stage.settings.read_num)))


def _multireadrandom(stage: Stage) -> Work:
    size, maker = stage.settings.batch_size, stage.maker

    def chunk(numbers: list[int]) -> list[list[bytes]]:
        return [maker.keys(batch) for batch in batches(numbers, size)]

    numbers = maker.drawn(stage.settings.read_num)
    per_chunk = size * max(1, chunk_size(len(numbers)) // size)
    return Work(BatchLoop(stage.system.get_many), stage.streams(chunk, numbers, per_chunk))


def _scan(stage: Stage, *, reverse: bool) -> Work:
    counts = stage.streams(len, range(stage.settings.num))
    return Work(ScanLoop(stage.system.scan(reverse=reverse)), counts)


def _seekrandom(stage: Stage) -> Work:
    count, maker = stage.settings.seek_nexts, stage.maker

    def chunk(numbers: list[int]) -> list[tuple[bytes, int]]:
        return [(key, count) for key in maker.keys(numbers)]

    numbers = maker.drawn(max(1, stage.settings.read_num // count))
    return Work(BinaryLoop(stage.system.seek), stage.streams(chunk, numbers))


def _readwhilewriting(stage: Stage) -> Work:
    work = _readrandom(stage)
    work.beside = lambda: _paced_writer(stage, work.notes)
    return work


def _readwhilecompacting(stage: Stage) -> Work:
    """Reads for as long as a full compaction takes."""
    overwrite_half(stage)
    compacted = threading.Event()

    @contextmanager
    def compaction() -> Iterator[None]:
        thread = threading.Thread(target=_compact_and_tell, args=(stage, compacted))
        thread.start()
        try:
            yield
        finally:
            thread.join(_JOIN_SECONDS)

    def stream() -> Iterator[list[bytes]]:
        yield stage.maker.keys(stage.maker.drawn(chunk_size(stage.settings.num)))
        while not compacted.is_set():
            yield stage.maker.keys(stage.maker.drawn(chunk_size(stage.settings.num)))

    return Work(UnaryLoop(stage.system.get), [stream()], beside=compaction)


def _compact_and_tell(stage: Stage, compacted: threading.Event) -> None:
    try:
        stage.system.compact()
    finally:
        compacted.set()


@contextmanager
def _paced_writer(stage: Stage, notes: dict[str, Any]) -> Iterator[None]:
    """A thread that overwrites random records at the rate of the settings, or as fast as it comes to it."""
    stop = threading.Event()
    records = stage.maker.records(stage.maker.drawn(min(stage.settings.num, 100_000), stage.settings.num))
    begun = time.perf_counter()
    written = 0

    def write() -> None:
        nonlocal written
        put = stage.system.put
        while not stop.wait(_PACE_SECONDS):
            due = int((time.perf_counter() - begun) * stage.settings.write_rate)
            while written < due and not stop.is_set():
                put(*records[written % len(records)])
                written += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(_JOIN_SECONDS)
        notes["puts beside, per second"] = round(written / (time.perf_counter() - begun))


READS = (
    Workload(
        name="readhot",
        what="gets of one key in a hundred, again and again",
        make=_readhot,
        start="loaded",
        warm=True,
    ),
    Workload(
        name="readrandom",
        what="gets of random keys; the block cache holds a tenth of the data",
        make=_readrandom,
        start="loaded",
        cache="a tenth",
        warm=True,
    ),
    Workload(
        name="readpagecache",
        what="gets of random keys without a block cache: the kernel's page cache only",
        make=_readrandom,
        start="loaded",
        cache="none",
    ),
    Workload(name="readmissing", what="gets of keys that do not exist", make=_readmissing, start="loaded", warm=True),
    Workload(
        name="multireadrandom",
        what="many random keys at once; an operation is a key in throughput, a call in latency",
        make=_multireadrandom,
        start="loaded",
        warm=True,
    ),
    Workload(
        name="readseq",
        what="all records, ascending; an operation is a record",
        make=partial(_scan, reverse=False),
        start="loaded",
        threads=1,
    ),
    Workload(
        name="readreverse",
        what="all records, descending",
        make=partial(_scan, reverse=True),
        start="loaded",
        threads=1,
    ),
    Workload(
        name="seekrandom",
        what="a seek to a random key and the records behind it; an operation is a seek with its reads",
        make=_seekrandom,
        start="loaded",
        warm=True,
    ),
    Workload(
        name="readwhilewriting",
        what="gets of random keys while another thread puts at a fixed rate",
        make=_readwhilewriting,
        start="copy",
        warm=True,
    ),
    Workload(
        name="readwhilecompacting",
        what="gets of random keys for as long as a full compaction takes",
        make=_readwhilecompacting,
        start="copy",
        threads=1,
    ),
)
