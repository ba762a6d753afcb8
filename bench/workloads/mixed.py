"""YCSB's core workloads A to F: reads, updates, inserts, short scans and read-modify-writes in fixed shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lsmproc.bench.workloads.work import Call, CallLoop, Stage, Work, Workload

_MAX_SCAN = 100


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the kinds of operations, which add up to one."""

    read: float = 0.0
    update: float = 0.0
    insert: float = 0.0
    scan: float = 0.0
    modify: float = 0.0
    latest: bool = False  # the newest records are the popular ones


def _mixed(stage: Stage, mix: Mix) -> Work:
    inserted = [0]

    def chunk(numbers: list[int]) -> list[Call]:
        return _operations(stage, mix, len(numbers), inserted)

    count = stage.settings.read_num if not mix.scan else max(1, stage.settings.read_num // 10)
    return Work(CallLoop(), stage.streams(chunk, range(count)))


def _operations(stage: Stage, mix: Mix, count: int, inserted: list[int]) -> list[Call]:
    """So many operations drawn from the mix; ``inserted`` counts the records added behind the loaded ones."""
    system, maker, total = stage.system, stage.maker, stage.settings.num
    kinds = maker.rng.choices(
        ("read", "update", "insert", "scan", "modify"),
        (mix.read, mix.update, mix.insert, mix.scan, mix.modify),
        k=count,
    )
    if mix.latest:
        numbers: Sequence[int] = [max(0, total + inserted[0] - 1 - rank) for rank in maker.zipfian_ranks(count)]
    else:
        numbers = maker.zipfian(count)
    operations: list[Call] = []
    for kind, key, value in zip(kinds, maker.keys(numbers), maker.values(count), strict=True):
        match kind:
            case "read":
                operations.append(partial(system.get, key))
            case "update":
                operations.append(partial(system.put, key, value))
            case "insert":
                (new,) = maker.keys([total + inserted[0]])
                inserted[0] += 1
                operations.append(partial(system.put, new, value))
            case "scan":
                operations.append(partial(system.seek, key, maker.rng.randint(1, _MAX_SCAN)))
            case _:
                operations.append(partial(_modify, system.get, system.put, key, value))
    return operations


def _modify(get: Callable[[bytes], Any], put: Callable[[bytes, bytes], Any], key: bytes, value: bytes) -> None:
    get(key)
    put(key, value)


def _ycsb(letter: str, what: str, mix: Mix) -> Workload:
    return Workload(
        name=f"ycsb-{letter}", what=f"{what}; zipfian keys", make=partial(_mixed, mix=mix), start="copy", warm=True
    )


MIXED = (
    _ycsb("a", "half reads, half updates", Mix(read=0.5, update=0.5)),
    _ycsb("b", "95 % reads, 5 % updates", Mix(read=0.95, update=0.05)),
    _ycsb("c", "reads", Mix(read=1.0)),
    _ycsb("d", "95 % reads of the latest records, 5 % inserts", Mix(read=0.95, insert=0.05, latest=True)),
    _ycsb("e", "95 % scans of 1 to 100 records, 5 % inserts", Mix(scan=0.95, insert=0.05)),
    _ycsb("f", "half reads, half read-modify-writes", Mix(read=0.5, modify=0.5)),
)
