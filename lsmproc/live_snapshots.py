"""Which past states somebody still reads, and what the memtable must keep for them.

A snapshot is a view and a sequence number. Tables and immutable memtables do not change, so only the memtable has to
keep a past: when a write replaces an entry that a live snapshot may still see, the new entry links to the old one.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmproc.protocols import MemtableEntry

_LINKED_LENGTH = 3  # fields of an entry with a link to an older one


class LiveSnapshots:
    """The live snapshots of one store. Used under the commit mutex, but for ``release``."""

    def __init__(self) -> None:
        """None yet."""
        self.newest = 0  # sequence number; 0 without a live snapshot, which is what every write asks for
        self._sequences: dict[int, int] = {}  # by token
        self._released: deque[int] = deque()  # tokens given back and not taken out yet
        self._tokens = count(1)

    def take(self, sequence: int) -> int:
        """Keep what a reader at ``sequence`` sees; returns the token to release it with."""
        token = next(self._tokens)
        self._sequences[token] = sequence
        self._forget_released()
        return token

    def release(self, token: int) -> None:
        """Stop keeping what a snapshot shows. Takes no lock: the garbage collector may call it at any instruction."""
        self._released.append(token)

    def sequences(self) -> tuple[int, ...]:
        """Sequence numbers of the live snapshots, oldest first."""
        self._forget_released()
        return tuple(sorted(self._sequences.values()))

    def linked(self, entry: MemtableEntry, replaced: MemtableEntry | None) -> MemtableEntry:
        """``entry``, with a link to the one it replaces if a live snapshot may still see that."""
        if self._released:
            self._forget_released()
        older = replaced
        while older is not None and older[0] > self.newest:
            older = older[2] if len(older) == _LINKED_LENGTH else None
        # A batch may name a key twice: the later one replaces the earlier at the same sequence number.
        return entry if older is None or older[0] == entry[0] else (*entry, older)

    def _forget_released(self) -> None:
        while self._released:
            self._sequences.pop(self._released.popleft(), None)
        # A store without writes has sequence 0, but its snapshots count as well.
        self.newest = max((max(sequence, 1) for sequence in self._sequences.values()), default=0)
