"""The memtable that writers want: a plain dict, put in order only when somebody asks for a range.

A put is one dict insert and nothing else. Order is a sorted list of keys beside the dict that catches up with it
when a range is read. What is new since the last time needs no bookkeeping by the writers: a dict keeps insertion
order, an overwrite keeps its key's place, and no key is ever removed, so the sorted list always holds exactly the
first ``len(sorted list)`` keys of the dict, and the rest are the last ``len(entries) - len(sorted list)``.

What this relies on in CPython with the interpreter lock (exercised on 3.11; not made for free-threaded builds):

* ``entries[key] = entry``, ``entries.get(key)`` and ``list(map(entries.__getitem__, keys))`` with ``bytes`` keys run
  no Python bytecode between touching the dict's first and last slot, so they are atomic for other threads. A batch,
  ``entries.update(zip(...))``, is not: it allocates, an allocation may collect garbage, and a finalizer may let
  another thread in. A reader may then find part of the batch, at a sequence number it does not see yet.
* ``list(islice(reversed(entries), n))`` is atomic as well: nothing but the list grows while the dict is walked. The
  ``len(entries)`` before it is a separate step. So the length is read again afterwards: as it never shrinks, an
  equal length proves that the keys taken are the newest ``n``. Otherwise the step is repeated; after a few rounds
  (a writer would have to hit the same few opcodes each time) the keys are taken from the front, past the
  ones already in order, which needs no length and cannot be outrun.
* A RuntimeError ("dictionary changed size during iteration") cannot happen while the above holds; should a later
  interpreter let a writer in, it is answered with another round, as often as the limit allows, and then raised.

Readers of ranges take one lock per memtable, for as long as it takes to catch up and to copy the keys of one window;
writers never do. The first range over half a million keys takes 0.2 s, in steps: the slowest put beside it took 13 ms.
"""

from __future__ import annotations

from itertools import islice
from threading import Lock

from sortedcontainers import SortedList

from lsmproc.memtable.memtable_entry import SEQUENCE_OF, VALUE_OF, columns_at
from lsmproc.memtable.stepwise_sort import sorted_stepwise
from lsmproc.protocols import MemtableEntry

# Adding a key to n sorted ones costs as much as sorting n / 12 again (1 us against 80 ns; 10,000 to 500,000 keys).
_KEYS_IN_ORDER_PER_ADD = 12

_ATTEMPTS_FROM_THE_END = 8
_ATTEMPTS = 100


class DictMemtable:
    """See Memtable. REQUIRES: no key is ever removed from ``entries``."""

    __slots__ = ("_lock", "_order", "entries")

    def __init__(self, entries: dict[bytes, MemtableEntry] | None = None) -> None:
        """Start with ``entries``, which nobody else may change from now on, or empty."""
        self.entries: dict[bytes, MemtableEntry] = {} if entries is None else entries
        self._order: SortedList[bytes] = SortedList()
        self._lock = Lock()

    def window(
        self, start: bytes | None, stop: bytes | None, sequence: int, limit: int, *, reverse: bool
    ) -> tuple[list[bytes], list[bytes | None], bytes | None]:
        """See Memtable.window. REQUIRES: limit >= 1."""
        with self._lock:
            self._catch_up()
            # One key more than asked for tells whether the range goes on.
            keys = list(islice(self._order.irange(start, stop, (True, False), reverse), limit + 1))
        bound: bytes | None = None
        if len(keys) > limit:
            bound = keys[limit - 1] if reverse else keys[limit]
            keys.pop()
        if reverse:
            keys.reverse()
        seen, values = columns_at(keys, list(map(self.entries.__getitem__, keys)), sequence)
        return seen, values, bound

    def columns(self) -> tuple[list[bytes], list[bytes | None], list[int]]:
        """See Memtable.columns."""
        with self._lock:
            self._catch_up()
            keys = list(self._order)
        entries = list(map(self.entries.__getitem__, keys))
        return keys, list(map(VALUE_OF, entries)), list(map(SEQUENCE_OF, entries))

    def _catch_up(self) -> None:
        """Put the keys added since the last call in order. REQUIRES: the lock is held."""
        order = self._order
        if len(self.entries) == len(order):
            return
        added = _keys_after(self.entries, len(order))
        if len(added) * _KEYS_IN_ORDER_PER_ADD > len(order):
            self._order = SortedList(sorted_stepwise(list(order), added))
            return
        try:
            for key in added:
                order.add(key)
        except BaseException:
            # An interrupt between two statements of add() may leave the list and its length apart: start again.
            self._order = SortedList()
            raise


def _keys_after(entries: dict[bytes, MemtableEntry], count: int) -> list[bytes]:
    """All keys but the ``count`` oldest, in any order; the module's docstring says why this is right."""
    for attempt in range(_ATTEMPTS):
        try:
            if attempt >= _ATTEMPTS_FROM_THE_END:
                return list(islice(entries, count, None))
            length = len(entries)
            keys = list(islice(reversed(entries), length - count))
            if len(entries) == length:
                return keys
        except RuntimeError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")
