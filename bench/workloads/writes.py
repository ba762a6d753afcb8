"""Workloads that write: db_bench's fill family, overwrite, deleterandom, compact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lsmproc.bench.workloads.work import BatchLoop, BinaryLoop, CallLoop, Stage, UnaryLoop, Work, Workload, chunk_size

_MANY_THREADS = 8


def _puts(stage: Stage, numbers: Sequence[int]) -> Work:
    return Work(BinaryLoop(stage.system.put), stage.streams(stage.maker.records, numbers))


def _fillseq(stage: Stage) -> Work:
    return _puts(stage, range(stage.settings.num))


def _fillrandom(stage: Stage) -> Work:
    return _puts(stage, stage.maker.shuffled())


def _overwrite(stage: Stage) -> Work:
    return _puts(stage, stage.maker.drawn(stage.settings.num))


def _fillsync(stage: Stage) -> Work:
    return _puts(stage, stage.maker.shuffled()[: stage.settings.synced_num])


def _fillbatch(stage: Stage) -> Work:
    size, maker = stage.settings.batch_size, stage.maker

    def chunk(numbers: list[int]) -> list[Any]:
        records = maker.records(numbers)
        return [records[at : at + size] for at in range(0, len(records), size)]

    numbers = maker.shuffled()
    per_chunk = size * max(1, chunk_size(len(numbers)) // size)
    return Work(BatchLoop(stage.system.write), stage.streams(chunk, numbers, per_chunk))


def _deleterandom(stage: Stage) -> Work:
    return Work(UnaryLoop(stage.system.delete), stage.streams(stage.maker.keys, stage.maker.shuffled()))


def _compact(stage: Stage) -> Work:
    """Merge a loaded store, half of whose records were written once more."""
    overwrite_half(stage)

    def stream() -> Iterator[list[Any]]:
        yield [stage.system.compact]

    return Work(CallLoop(), [stream()], weight=stage.settings.num)


def overwrite_half(stage: Stage) -> None:
    """Leave something to compact: half as many random writes as there are records."""
    put = stage.system.put
    for key, value in stage.maker.records(stage.maker.drawn(stage.settings.num // 2, stage.settings.num)):
        put(key, value)
    stage.system.flush()


WRITES = (
    Workload(
        name="fillseq",
        what="puts of ascending keys into an empty store",
        make=_fillseq,
        start="empty",
        writes=True,
    ),
    Workload(
        name="fillrandom",
        what="puts of each key once, in random order, into an empty store",
        make=_fillrandom,
        start="empty",
        writes=True,
    ),
    Workload(
        name="overwrite",
        what="puts of random keys into a loaded store",
        make=_overwrite,
        start="copy",
        writes=True,
    ),
    Workload(
        name="fillbatch",
        what="the same as fillrandom in batches; an operation is a record in throughput, a batch in latency",
        make=_fillbatch,
        start="empty",
        writes=True,
    ),
    Workload(
        name="fillsync",
        what="puts that each survive power loss, by one thread; a fraction of the count",
        make=_fillsync,
        start="empty",
        writes=True,
        sync=True,
        threads=1,
    ),
    Workload(
        name="fillsync8",
        what="the same by eight threads",
        make=_fillsync,
        start="empty",
        writes=True,
        sync=True,
        threads=_MANY_THREADS,
    ),
    Workload(
        name="deleterandom",
        what="deletes of each key of a loaded store, in random order",
        make=_deleterandom,
        start="copy",
        writes=True,
    ),
    Workload(
        name="compact",
        what="one full compaction after half of the records were overwritten; an operation is a record",
        make=_compact,
        start="copy",
        threads=1,
    ),
)
