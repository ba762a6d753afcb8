"""The operations of one thread, and what a store holds after some of them."""

from __future__ import annotations

from itertools import islice

from lsmproc.stress.operations import LoadShape, Operation, operations
from lsmproc.stress.oracle import Record

SEED = 5
SHAPE = LoadShape(threads=1, keys_per_thread=20, value_max_bytes=200, batch_max_records=4, sync_one_in=0)
COUNT = 60


def stream() -> list[Operation]:
    """What the one thread does in cycle 1."""
    return list(islice(operations(SEED, 1, 0, SHAPE), COUNT + 200))


def records_after(done: list[Operation]) -> dict[bytes, Record]:
    """What a store holds after some operations, by key."""
    records: dict[bytes, Record] = {}
    for sequence, operation in enumerate(done, 100):
        for key, value in zip(operation.keys, operation.values, strict=True):
            if value is None:
                records.pop(key, None)
            else:
                records[key] = (key, value, sequence)
    return records


def acks_of(count: int) -> list[tuple[int, int]]:
    """The acknowledgements of the first operations of the one thread."""
    return [(0, number) for number in range(1, count + 1)]
