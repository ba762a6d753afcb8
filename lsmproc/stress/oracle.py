"""The oracle: what the store must hold, kept in the parent and told by nothing but acknowledgements.

For each thread the operations form one sequence. Those acknowledged count; the one after them may be there whole or
not at all; those after that must not be. What is found of the open one is taken as the truth from then on. What a
power cut may take besides is the matter of ``power_oracle``.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from lsmproc.stress.operations import LoadShape, Operation, operations
from lsmproc.stress.power_oracle import Ack, CutCycle
from lsmproc.stress.stamped_value import OperationId, describe_value

Record = tuple[bytes, bytes, int]  # key, value, sequence number, as the store shows it

_HISTORY = 50  # operations of a key that a report shows
_MOST_PROBLEMS = 20  # of one look, that a report shows


@dataclass(frozen=True, slots=True)
class Written:
    """The last write of a key; a value of None is a deletion."""

    by: OperationId
    value: bytes | None
    sure: bool = True  # False if an open operation may have written the same value again


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise."""

    kind: str  # "lost", "wrong", "resurrected", "torn batch", "hole", "order", "orphan", "left", "error", ...
    text: str
    history: tuple[str, ...] = ()  # the last operations on the key


class Oracle:
    """Knows every operation of a run of cycles on one store."""

    def __init__(self, seed: int, shape: LoadShape) -> None:
        """An empty store."""
        self.acked: int = 0  # operations, in all cycles
        self._seed = seed
        self._shape = shape
        self._state: dict[bytes, Written] = {}
        self._history: defaultdict[bytes, deque[str]] = defaultdict(lambda: deque(maxlen=_HISTORY))
        self._streams: list[Iterator[Operation]] = []
        self._open: list[Operation | None] = [None] * shape.threads
        self._cut: CutCycle | None = None
        self.survived: int = 0  # operations of the cycle that a power cut ended, once they were looked at

    @property
    def pending(self) -> int:
        """Operations whose outcome is not known yet."""
        return sum(operation is not None for operation in self._open)

    def begin(self, cycle: int) -> None:
        """The threads start the operations of a cycle. REQUIRES: a look since the last one."""
        self._streams = [operations(self._seed, cycle, thread, self._shape) for thread in range(self._shape.threads)]

    def finish(self, acks: Sequence[int], *, killed: bool, refused: Collection[int] = ()) -> None:
        """Each thread got so many acknowledgements in this cycle.

        One more operation may have happened: of every thread if the owner was ``killed``, else of those threads whose
        last operation was ``refused`` with an error.
        """
        for thread, (stream, count) in enumerate(zip(self._streams, acks, strict=True)):
            for _ in range(count):
                self._apply(next(stream), "acknowledged")
            self._open[thread] = next(stream) if killed or thread in refused else None
        self.acked += sum(acks)
        self._streams = []

    def cut(self, order: Sequence[Ack], old: int, before: int) -> None:
        """Power was lost after these acknowledgements.

        The first ``old`` of them are promised for their age; those after the first ``before`` came when power was going
        already, and promise nothing.
        """
        self._cut = CutCycle(self._streams, order, old, before)
        self.acked += len(order)
        self._streams = []

    def judge_damaged(
        self,
        cycle: int,
        acks: Sequence[Ack],
        found: Mapping[bytes, bytes],
        unreadable: Collection[bytes],
        *,
        torn: bool,
        synced: bool = True,
    ) -> tuple[bool, list[Problem]]:
        """Look at what can be read of a damaged copy of the store, without learning from it.

        ``cycle`` has these acknowledgements and is not finished. All of it must be there but for ``unreadable`` keys;
        if the log was damaged (``torn``) a prefix is right too, with all that was durable, unless nothing can tell
        where the log ended (not ``synced``). Returns whether something of the cycle is missing, and what is wrong.
        """
        streams = [operations(self._seed, cycle, thread, self._shape) for thread in range(self._shape.threads)]
        copy = CutCycle(streams, acks, old=0 if torn else len(acks), before=len(acks) if synced else 0)
        touched = copy.ignore(unreadable)
        left, wrong = copy.survivors(self._value, found, self._seed)
        problems = [Problem(kind, text) for kind, text in wrong]
        records = {key: (value, 0) for key, value in found.items()}
        for key in sorted((records.keys() | self._state.keys()) - touched - set(unreadable)):
            problems += self._compare(key, records)
        acked = [sum(each == thread for each, _ in acks) for thread in range(len(left))]
        return any(most < count for (_, most), count in zip(left, acked, strict=True)), problems[:_MOST_PROBLEMS]

    def look(self, records: Iterable[Record]) -> list[Problem]:
        """Compare with what the store holds, and learn what became of the open operations."""
        found = {key: (value, sequence) for key, value, sequence in records}
        problems = self._settle_cut(found) if self._cut else []
        problems += [problem for operation in self._open if operation for problem in self._settle(operation, found)]
        self._open = [None] * self._shape.threads
        for key in sorted(found.keys() | self._state.keys()):
            problems += self._compare(key, found)
        if not problems:
            problems = list(self._check_order(found))
        return problems[:_MOST_PROBLEMS]

    def _apply(self, operation: Operation, how: str, *, sure: bool = True) -> None:
        for key, value in zip(operation.keys, operation.values, strict=True):
            self._state[key] = Written(operation.id, value, sure=sure)
            what = "delete" if value is None else f"put {len(value)} bytes"
            identity = operation.id
            self._history[key].append(
                f"cycle {identity.cycle} thread {identity.thread} #{identity.index}: {what}, {how}"
            )

    def _settle_cut(self, found: dict[bytes, tuple[bytes, int]]) -> list[Problem]:
        """Find out what a power cut has left, and take it for the truth if it may be."""
        assert self._cut is not None
        held = {key: value for key, (value, _) in found.items()}
        survivors, problems = self._cut.survivors(self._value, held, self._seed)
        for (least, most), performed in zip(survivors, self._cut.operations, strict=True):
            for operation in performed[:least]:
                self._apply(operation, "there after a power cut")
            for operation in performed[least:most]:
                # It wrote what was there already, so nothing tells whether it is the one that is there.
                self._apply(operation, "perhaps there after a power cut", sure=False)
        self.survived = sum(most for _, most in survivors)
        self._cut = None
        return [Problem(kind, text) for kind, text in problems]

    def _settle(self, operation: Operation, found: dict[bytes, tuple[bytes, int]]) -> Iterator[Problem]:
        """Find out whether an open operation happened: all its records or none."""
        new = dict(zip(operation.keys, operation.values, strict=True))
        seen = {key: found[key][0] if key in found else None for key in new}
        if all(self._value(key) == value for key, value in new.items()):
            self._state.update((key, Written(operation.id, new[key], sure=False)) for key in new)
            return
        if all(seen[key] == value for key, value in new.items()):
            self._apply(operation, "not acknowledged, but there")
            return
        differing = [key for key, value in new.items() if value != self._value(key)]
        there = [key for key in differing if seen[key] == new[key]]
        if there:
            yield Problem(
                "torn batch",
                f"operation {operation.id} wrote {len(there)} of its {len(differing)} records: "
                f"{there[0]!r} is there and {next(key for key in differing if key not in there)!r} is not",
                tuple(self._history[there[0]]),
            )

    def _compare(self, key: bytes, found: dict[bytes, tuple[bytes, int]]) -> Iterator[Problem]:
        expected = self._value(key)
        actual = found[key][0] if key in found else None
        if actual == expected:
            return
        should = "nothing" if expected is None else describe_value(expected, self._seed, key)
        last = self._state.get(key)
        if actual is None:
            kind, text = "lost", f"{key!r} is missing; it should hold {should}"
        elif expected is None:
            kind = "resurrected" if last is not None else "foreign"
            text = f"{key!r} holds {describe_value(actual, self._seed, key)}; it should hold nothing"
        else:
            kind = "wrong"
            text = f"{key!r} holds {describe_value(actual, self._seed, key)}; it should hold {should}"
        yield Problem(kind, text, tuple(self._history[key]))

    def _check_order(self, found: dict[bytes, tuple[bytes, int]]) -> Iterator[Problem]:
        """Sequence numbers must follow the order of the writes, and no two operations may share one."""
        by_thread: defaultdict[int, set[tuple[OperationId, int]]] = defaultdict(set)
        users: dict[int, OperationId] = {}
        for key, (_, sequence) in found.items():
            if not self._state[key].sure:
                continue
            identity = self._state[key].by
            by_thread[identity.thread].add((identity, sequence))
            if users.setdefault(sequence, identity) != identity:
                yield Problem("order", f"sequence {sequence} is used by {users[sequence]} and by {identity}")
        for written in by_thread.values():
            for (earlier, low), (later, high) in pairwise(sorted(written)):
                if low >= high:
                    yield Problem("order", f"{earlier} has sequence {low} and the later {later} has {high}")

    def _value(self, key: bytes) -> bytes | None:
        last = self._state.get(key)
        return None if last is None else last.value
