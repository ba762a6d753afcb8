"""What a memtable keeps of the past: for each live snapshot the one entry that it sees, and nothing else."""

from __future__ import annotations

import random

from lsmproc.memtable.memtable_entry import entry_at
from lsmproc.protocols import MemtableEntry
from lsmproc.reading.live_snapshots import LiveSnapshots


def chain_of(entry: MemtableEntry) -> list[int]:
    """Sequence numbers of an entry and its older ones."""
    numbers = [entry[0]]
    while len(entry) == 3:
        entry = entry[2]
        numbers.append(entry[0])
    return numbers


def test_one_long_snapshot_and_short_ones_around_each_write_keep_two_values() -> None:
    """What only a released snapshot saw does not pile up behind the one that stays."""
    snapshots = LiveSnapshots()
    entry: MemtableEntry = (1, b"1")
    snapshots.take(1, object())
    for sequence in range(2, 200):
        snapshots.take(sequence - 1, token := object())
        entry = snapshots.linked((sequence, b"%d" % sequence), entry)
        snapshots.release(token)
        assert len(chain_of(entry)) <= 3
    assert [199, 198, 1] == chain_of(entry)
    assert [200, 1] == chain_of(snapshots.linked((200, b"200"), entry))


def test_without_a_snapshot_that_sees_it_nothing_is_kept() -> None:
    """Links end with the last snapshot, and entries newer than all of them are not linked to."""
    snapshots = LiveSnapshots()
    snapshots.take(5, token := object())
    first: MemtableEntry = (5, b"5")
    second = snapshots.linked((6, b"6"), first)
    assert [7, 5] == chain_of(snapshots.linked((7, b"7"), second))
    snapshots.release(token)
    assert [7] == chain_of(snapshots.linked((7, b"7"), second))
    assert (0, ()) == (snapshots.newest, snapshots.sequences())


def test_what_is_linked_rightly_already_is_taken_as_it_is() -> None:
    """No entry is built anew for nothing."""
    snapshots = LiveSnapshots()
    entry: MemtableEntry = (1, b"1")
    for sequence in range(2, 6):
        snapshots.take(sequence - 1, object())
        entry = snapshots.linked((sequence, b""), entry)
    assert [5, 4, 3, 2, 1] == chain_of(entry)
    assert entry[2] is snapshots.linked((6, b""), entry)[2]
    snapshots.take(5, object())
    assert entry is snapshots.linked((6, b""), entry)[2]


def test_every_live_snapshot_sees_what_it_saw_and_no_chain_is_longer_than_their_number() -> None:
    """A random history of one key, against a plain list of all that was ever written."""
    chance = random.Random(7)
    for _ in range(100):
        snapshots = LiveSnapshots()
        live: dict[object, int] = {}
        written = [1]
        entry: MemtableEntry = (1, b"1")
        for sequence in range(2, 80):
            match chance.randrange(4):
                case 0:
                    token = object()
                    live[token] = snapshots.take(sequence - 1, token)
                case 1 if live:
                    snapshots.release(token := chance.choice(list(live)))
                    del live[token]
                case _:
                    new: MemtableEntry = (sequence, b"%d" % sequence)
                    entry = snapshots.linked(new, entry) if snapshots.newest else new
                    written.append(sequence)
                    assert len(chain_of(entry)) <= len(set(live.values())) + 1
            for at in live.values():
                seen = entry_at(entry, at)
                assert max(each for each in written if each <= at) == (seen and seen[0])
        assert tuple(sorted(live.values())) == snapshots.sequences()
