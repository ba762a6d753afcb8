"""What a power cut may leave, judged on operations whose outcome is known."""

from __future__ import annotations

from collections.abc import Iterator

from lsmproc.stress.operations import Operation
from lsmproc.stress.power_oracle import CutCycle
from lsmproc.stress.stamped_value import OperationId


def puts(thread: int, *, synced: tuple[int, ...] = ()) -> Iterator[Operation]:
    """A thread that counts upwards in a key of its own, and adds a second key at each even number."""
    number = 0
    while True:
        value = b"%d" % number
        keys = (b"key %d" % thread, b"even %d" % thread) if number % 2 == 0 else (b"key %d" % thread,)
        identity = OperationId(0, number, thread)
        yield Operation(identity, keys, (value,) * len(keys), number in synced, look_back=False)
        number += 1


def state(*counts: int) -> dict[bytes, bytes]:
    """What the store holds after so many operations of each thread."""
    found = {}
    for thread, count in enumerate(counts):
        if count:
            found[b"key %d" % thread] = b"%d" % (count - 1)
            found[b"even %d" % thread] = b"%d" % ((count - 1) // 2 * 2)
    return found


def nothing(_key: bytes) -> None:
    """The store was empty before the cycle."""


def alternating(count: int) -> list[tuple[int, int]]:
    """Acknowledgements of two threads in turn, ``count`` each."""
    return [(thread, number) for number in range(1, count + 1) for thread in (0, 1)]


def test_every_prefix_is_right_when_nothing_was_promised() -> None:
    """From none of the operations to one more than were acknowledged."""
    for survived in range(7):
        cycle = CutCycle([puts(0)], [(0, n) for n in range(1, 6)], old=0)
        assert ([(survived, survived)], []) == cycle.survivors(nothing, state(survived), 1)


def test_half_a_batch_is_no_prefix() -> None:
    """Operation 2 wrote two keys, and one of them is missing."""
    cycle = CutCycle([puts(0)], [(0, n) for n in range(1, 6)], old=0)
    found = {**state(3), b"even 0": b"0"}
    assert ["no prefix"] == [kind for kind, _ in cycle.survivors(nothing, found, 1)[1]]


def test_a_synced_operation_that_is_gone_is_lost() -> None:
    """It was acknowledged, so it was durable, and with it all before it."""
    cycle = CutCycle([puts(0, synced=(3,))], [(0, n) for n in range(1, 6)], old=0)
    assert [4] == cycle.promised
    assert ["lost"] == [kind for kind, _ in cycle.survivors(nothing, state(3), 1)[1]]
    assert [] == cycle.survivors(nothing, state(4), 1)[1]


def test_a_sync_covers_what_other_threads_were_told_before_it_began() -> None:
    """And not what they were told while it ran."""
    cycle = CutCycle([puts(0, synced=(3,)), puts(1)], alternating(6), old=0)
    # Operation 3 of thread 0 began when its operation 2 was acknowledged: thread 1 had two then.
    assert [4, 2] == cycle.promised


def test_old_acknowledgements_are_promised() -> None:
    """The policy "interval" bounds how long a write may stay unsynced."""
    assert [2, 1] == CutCycle([puts(0), puts(1)], alternating(6), old=3).promised


def test_a_hole_between_threads_is_noticed() -> None:
    """Thread 0 has an operation that began after lost ones of thread 1 were acknowledged."""
    cycle = CutCycle([puts(0), puts(1)], alternating(6), old=0)
    assert ["hole"] == [kind for kind, _ in cycle.survivors(nothing, state(6, 2), 1)[1]]
    assert [] == cycle.survivors(nothing, state(6, 5), 1)[1]


def test_an_operation_that_changes_nothing_is_neither_there_nor_gone() -> None:
    """Its value stood there before; only its sequence number would tell."""
    writes = [Operation(OperationId(0, n, 0), (b"key",), (b"",), sync=False, look_back=False) for n in range(4)]
    cycle = CutCycle([iter(writes)], [(0, 1), (0, 2)], old=0)
    assert ([(1, 3)], []) == cycle.survivors(nothing, {b"key": b""}, 1)
