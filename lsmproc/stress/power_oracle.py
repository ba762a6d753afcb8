"""What a power cut may leave of one cycle: of each thread a prefix of its operations, and no hole.

A power cut may take writes that were acknowledged, unless they were promised to be durable. These rules hold under
every sync policy:

* what a thread has left is the state after some number of its operations, batches whole;
* that number is not below what was promised: an operation with a sync makes durable itself, and every operation of
  any thread that was acknowledged before it began;
* nothing survives that began after something lost was acknowledged: the log has no hole.

Operations without a visible effect (a key deleted twice) leave several numbers possible; each rule is then applied
to the number that is kindest to the store.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from lsmproc.stress.operations import Operation
from lsmproc.stress.stamped_value import describe_value

Ack = tuple[int, int]  # thread, operations done


class CutCycle:
    """The operations of a cycle that a power cut ended, and what was known of them."""

    def __init__(
        self, streams: Sequence[Iterator[Operation]], order: Sequence[Ack], old: int, before: int | None = None
    ) -> None:
        """``order``: the acknowledgements as they came; the first ``old`` of them are promised for their age.

        A sync promises something only among the first ``before`` (None: all).
        """
        done = [0] * len(streams)
        # The operation after the last acknowledged one may have happened.
        self.operations: list[list[Operation]] = [[next(stream)] for stream in streams]
        self.promised: list[int] = list(done)
        self._begun = [[tuple(done)] for _ in streams]  # for each operation: those acknowledged when it began
        for place, (thread, count) in enumerate(order):
            if self.operations[thread][count - 1].sync and (before is None or place < before):
                self._promise(self._begun[thread][count - 1])
                self._promise([count if each == thread else 0 for each in range(len(done))])
            done[thread] = count
            if place < old:
                self._promise(done)
            self._begun[thread].append(tuple(done))
            self.operations[thread].append(next(streams[thread]))

    def survivors(
        self, value: Callable[[bytes], bytes | None], found: Mapping[bytes, bytes], seed: int
    ) -> tuple[list[tuple[int, int]], list[tuple[str, str]]]:
        """How many operations of each thread are left, at least and at most, and what breaks a rule: kind and text.

        ``value`` tells what a key held before the cycle, ``found`` what the store holds now.
        """
        possible = [_possible(operations, value, found) for operations in self.operations]
        problems = [problem for thread in range(len(possible)) for problem in self._judge(thread, possible[thread])]
        for thread, numbers in enumerate(possible):
            if not numbers:
                problems.append(("no prefix", self._explain(thread, value, found, seed)))
        if not problems:
            problems += self._holes(possible)
        return [(min(numbers, default=0), max(numbers, default=0)) for numbers in possible], problems

    def ignore(self, keys: Collection[bytes]) -> set[bytes]:
        """Judge nothing by these keys; returns those that the operations touch besides."""
        hidden = set(keys)
        touched = {key for operations in self.operations for operation in operations for key in operation.keys}
        if hidden & touched:
            self.operations = [[_without(operation, hidden) for operation in each] for each in self.operations]
        return touched - hidden

    def _promise(self, done: Sequence[int]) -> None:
        self.promised = list(map(max, self.promised, done))

    def _judge(self, thread: int, possible: Sequence[int]) -> Iterator[tuple[str, str]]:
        promised = self.promised[thread]
        if possible and max(possible) < promised:
            yield (
                "lost",
                f"thread {thread} has {max(possible)} operations of this cycle left, and {promised} were durable",
            )

    def _holes(self, possible: Sequence[Sequence[int]]) -> Iterator[tuple[str, str]]:
        for thread, numbers in enumerate(possible):
            newest = min(numbers)
            before = self._begun[thread][newest - 1] if newest else ()
            for other, acknowledged in enumerate(before):
                if max(possible[other]) < acknowledged:
                    left = f"{max(possible[other])} of the {acknowledged} operations that were acknowledged before"
                    text = f"operation {newest - 1} of thread {thread} is there, and of thread {other} only {left}"
                    yield "hole", text

    def _explain(
        self, thread: int, value: Callable[[bytes], bytes | None], found: Mapping[bytes, bytes], seed: int
    ) -> str:
        """The number of operations that fits best, and a key that does not fit it."""
        operations = self.operations[thread]
        _, best = min((len(differing), number) for number, differing in _differing(operations, value, found))
        keys = next(sorted(differing) for number, differing in _differing(operations, value, found) if number == best)
        held = found.get(keys[0])
        text = "nothing" if held is None else describe_value(held, seed, keys[0])
        return (
            f"what thread {thread} has left is the state after no number of its operations; after {best} of them "
            f"{len(keys)} keys differ, such as {keys[0]!r}, which holds {text}"
        )


def _without(operation: Operation, hidden: set[bytes]) -> Operation:
    pairs = [pair for pair in zip(operation.keys, operation.values, strict=True) if pair[0] not in hidden]
    keys, values = tuple(key for key, _ in pairs), tuple(value for _, value in pairs)
    return replace(operation, keys=keys, values=values)


def _possible(
    operations: Sequence[Operation], value: Callable[[bytes], bytes | None], found: Mapping[bytes, bytes]
) -> list[int]:
    """After how many of the operations the keys that they touch hold what was found."""
    return [number for number, differing in _differing(operations, value, found) if not differing]


def _differing(
    operations: Sequence[Operation], value: Callable[[bytes], bytes | None], found: Mapping[bytes, bytes]
) -> Iterator[tuple[int, set[bytes]]]:
    """For each number of operations: the keys that then differ from what was found. The set changes with each step."""
    touched = {key for operation in operations for key in operation.keys}
    differing = {key for key in touched if value(key) != found.get(key)}
    yield 0, differing
    for number, operation in enumerate(operations, 1):
        for key, new in zip(operation.keys, operation.values, strict=True):
            if new == found.get(key):
                differing.discard(key)
            else:
                differing.add(key)
        yield number, differing
