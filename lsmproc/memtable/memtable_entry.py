"""What a memtable holds for a key, and what of it a reader at a given sequence number sees.

An entry is one immutable tuple, swapped whole, so readers never see half of one::

    (sequence, value)                  value None is a tombstone
    (sequence, value, older entry)     while a live snapshot may still see the older one
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, repeat
from operator import is_not, itemgetter
from typing import Any

from lsmproc.protocols import MemtableEntry

SEQUENCE_OF = itemgetter(0)
VALUE_OF = itemgetter(1)

_PLAIN_LENGTH = 2  # fields of an entry without a link to an older one


def entry_at(entry: MemtableEntry, sequence: int) -> MemtableEntry | None:
    """The newest of ``entry`` and its older ones that was written at ``sequence`` or before; None if none was."""
    while entry[0] > sequence:
        if len(entry) == _PLAIN_LENGTH or entry[2] is None:
            return None
        entry = entry[2]
    return entry


def columns_at(
    keys: list[bytes], entries: Sequence[MemtableEntry], sequence: int
) -> tuple[list[bytes], list[bytes | None]]:
    """The keys and values of parallel ``keys`` and ``entries`` as a reader at ``sequence`` sees them.

    Keys whose every entry is newer than ``sequence`` are left out. Only a window that holds a newer entry costs
    Python bytecode per record.
    """
    if not keys:
        return [], []
    if max(map(SEQUENCE_OF, entries)) <= sequence:
        return keys, list(map(VALUE_OF, entries))
    past: list[Any] = [entry if entry[0] <= sequence else entry_at(entry, sequence) for entry in entries]
    seen = list(map(is_not, past, repeat(None)))
    return list(compress(keys, seen)), list(map(VALUE_OF, compress(past, seen)))
