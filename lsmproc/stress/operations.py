"""The load: an endless stream of operations for each thread, a pure function of seed, cycle and thread.

Parent and child both run this generator, so the acknowledgement of an operation is one small number. Each thread
owns its keys: the order of the writes of a key is the order in which one thread issued them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

from lsmproc.stress.stamped_value import MINIMUM_SIZE, OperationId, stamped_value


@dataclass(frozen=True, slots=True)
class LoadShape:
    """What the load looks like; drawn once for each episode."""

    threads: int
    keys_per_thread: int
    value_max_bytes: int
    batch_max_records: int
    sync_one_in: int  # 0: no operation asks for a sync of its own

    def to_json_dict(self) -> dict[str, Any]:
        """Plain data, for the command line of the child."""
        return asdict(self)

    @classmethod
    def from_json_dict(cls, fields: dict[str, Any]) -> Self:
        """The inverse of to_json_dict."""
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Operation:
    """One write: a put, a delete (value None) or a batch of several records that count together."""

    id: OperationId
    keys: tuple[bytes, ...]
    values: tuple[bytes | None, ...]
    sync: bool
    look_back: bool  # read the first key back once it is written


def key_of(thread: int, number: int) -> bytes:
    """The name of a thread's key."""
    return b"t%02d/%06d" % (thread, number)


def keys_of(shape: LoadShape) -> list[bytes]:
    """Every key that the load may ever write, ascending."""
    return [key_of(thread, number) for thread in range(shape.threads) for number in range(shape.keys_per_thread)]


def operations(seed: int, cycle: int, thread: int, shape: LoadShape) -> Iterator[Operation]:
    """What a thread does in a cycle, in order, without end."""
    chance = random.Random(f"{seed}/{cycle}/{thread}")  # noqa: S311 - a repeatable load, not a secret
    draw = chance.random
    index = 0
    while True:
        identity = OperationId(cycle, index, thread)
        kind = draw()
        count = 2 + int(draw() * (shape.batch_max_records - 1)) if kind < 0.1 else 1
        keys = tuple(key_of(thread, int(draw() ** 2 * shape.keys_per_thread)) for _ in range(count))
        deletes = 0.25 if count > 1 else 0.15
        values = tuple(
            None if draw() < deletes else stamped_value(seed, identity, position, key, _size(draw(), shape))
            for position, key in enumerate(keys)
        )
        sync = bool(shape.sync_one_in) and draw() * shape.sync_one_in < 1.0
        yield Operation(identity, keys, values, sync, draw() < 0.1)
        index += 1


def _size(chance: float, shape: LoadShape) -> int:
    """Mostly small sizes, some up to the maximum, and the empty value now and then."""
    if chance < 0.02:
        return 0
    return MINIMUM_SIZE + int(chance**3 * max(0, shape.value_max_bytes - MINIMUM_SIZE))
