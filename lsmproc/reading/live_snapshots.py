"""Which past states somebody still reads, and what the memtable must keep for them.

A snapshot is a view and a sequence number. Tables and immutable memtables do not change, so only the memtable has to
keep a past: when a write replaces an entry that a live snapshot may still see, the new entry links to the old one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.protocols import MemtableEntry

_LINKED_LENGTH = 3  # fields of an entry with a link to an older one


class LiveSnapshots:
    """The live snapshots of one store. Used under the commit mutex, but for ``release``."""

    def __init__(self) -> None:
        """None yet."""
        self.newest: int = 0  # sequence number; 0 without a live snapshot, which is what every write asks for
        self._sequences: dict[object, int] = {}  # by token
        self._live: list[int] | None = []  # the same, oldest first; None until it is asked for
        self._released: deque[object] = deque()  # tokens given back and not taken out yet

    def take(self, sequence: int, token: object) -> int:
        """Keep what a reader at ``sequence`` sees until ``token`` is released; returns ``sequence``.

        The token is the caller's, who has it before anything is kept: so an interrupt leaves nothing that could not
        be released. REQUIRES: not below the sequence number of any snapshot before; a token of its own.
        """
        if self._released:
            self._forget_released()
        self._live = None
        self._sequences[token] = sequence
        self.newest = sequence or 1  # A store without writes has sequence 0, but its snapshots count as well.
        return sequence

    def release(self, token: object) -> None:
        """Stop keeping what a snapshot shows; harmless if nothing is kept.

        Takes no lock: the garbage collector may call it at any instruction.
        """
        self._released.append(token)

    def sequences(self) -> tuple[int, ...]:
        """Sequence numbers of the live snapshots, oldest first."""
        self._forget_released()
        return tuple(self._sequences.values())

    def linked(self, entry: MemtableEntry, replaced: MemtableEntry | None) -> MemtableEntry:
        """``entry``, with links to the older ones that live snapshots still see: at most one for each snapshot."""
        if self._released:
            self._forget_released()
        older = replaced
        while older is not None and older[0] > self.newest:
            older = older[2] if len(older) == _LINKED_LENGTH else None
        # A batch may name a key twice: the later one replaces the earlier at the same sequence number.
        if older is None or older[0] == entry[0]:
            return entry
        return (*entry, older if len(older) != _LINKED_LENGTH else self._pruned(older))

    def _pruned(self, newest: MemtableEntry) -> MemtableEntry:
        """``newest`` with those older entries of its chain that are the newest one to some live snapshot."""
        live = self._live
        if live is None:
            live = self._live = list(self._sequences.values())  # They were taken in this order.
        kept = [newest]
        entry = newest
        while len(entry) == _LINKED_LENGTH:
            successor, entry = entry[0], entry[2]
            index = bisect_left(live, entry[0])
            if index < len(live) and live[index] < successor:
                kept.append(entry)
        # Entries are immutable: from the oldest up, what has the right link already is taken as it is.
        pruned = kept.pop()[:2] if len(kept[-1]) == _LINKED_LENGTH else kept.pop()
        for entry in reversed(kept):
            pruned = entry if entry[2] is pruned else (entry[0], entry[1], pruned)
        return pruned

    def _forget_released(self) -> None:
        while self._released:
            # In this order, so that an interrupt between the two forgets nothing.
            self._sequences.pop(self._released[0], None)
            self._released.popleft()
        self._live = None
        self.newest = (next(reversed(self._sequences.values())) or 1) if self._sequences else 0
