"""Merges sorted sources window by window, so that no Python bytecode runs per record.

A *window* is a tuple of parallel lists: the keys, ascending and not empty, then any number of further columns
(values, sequences). A *source* is an iterator of windows that follow each other in key order. Sources are given
newest first; where several hold a key, the newest one's record wins and the others disappear.

One step of the merge takes the key range that every source is known for: up to the least of the windows' last
keys. The parts of the windows in that range go into a dict, oldest source first, so that newer records overwrite
older ones (``dict.update``), and the dict's keys are sorted: they are a few ascending runs one after the other,
which timsort merges by galloping. All of that is C. Where only one source has records in the range, its part
passes through without a merge, and a whole window passes through as it is, not even copied. Where one source has
nearly all of them, the few others are put into a copy of its part.

The backward merge is the mirror image: windows come in descending order, but each is still an ascending one.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from lsmproc.errors import CorruptionError

Window = tuple[list[Any], ...]

UNORDERED = "the keys of a table do not ascend; lsmproc verify tells which"

# Records of one source in one step. Measured: from 256 to 1024 are equal, 4096 is a quarter slower because the records
# of a step no longer fit into the processor's cache. A window of less than twice as many is not cut: the rest would be
# a step of its own.
STEP_RECORDS = 512

# A part with so many times the records of all others together takes those in one by one: such a record costs 0.35 us,
# where the dict takes 0.13 us for each record of all parts, and as long as for so many to begin with.
_SPLICE_SHARE = 4
_DICT_RECORDS = 24


class _Cursor:
    """The unread part ``[start, end)`` of a source's current window."""

    __slots__ = ("end", "keys", "source", "start", "window")

    def __init__(self, source: Iterator[Window]) -> None:
        self.source = source
        self.window: Window = ([],)
        self.keys: list[bytes] = []
        self.start = 0
        self.end = 0

    def advance(self) -> bool:
        """Load the source's next window; False at the source's end."""
        window = next(self.source, None)
        if window is None:
            return False
        self.window = window
        self.keys = window[0]
        self.start = 0
        self.end = len(self.keys)
        return True

    def step_end(self) -> int:
        """Where the next step of an ascending merge ends at the latest."""
        return self.end if self.end - self.start < 2 * STEP_RECORDS else self.start + STEP_RECORDS

    def step_start(self) -> int:
        """Where the next step of a descending merge begins at the latest."""
        return 0 if self.end < 2 * STEP_RECORDS else self.end - STEP_RECORDS

    def rest(self) -> Window:
        """The unread part as a window."""
        return _cut(self.window, self.start, self.end)


def merge_windows(sources: Sequence[Iterator[Window]]) -> Iterator[Window]:
    """Merge sources whose windows ascend; yields ascending windows.

    REQUIRES: sources newest first; all windows have the same number of columns.
    """
    live = [cursor for cursor in map(_Cursor, sources) if cursor.advance()]
    while len(live) > 1:
        bound = min([cursor.keys[cursor.step_end() - 1] for cursor in live])
        inside = [cursor for cursor in live if cursor.keys[cursor.start] <= bound]
        if not inside:
            raise CorruptionError(UNORDERED)
        if len(inside) == 1:
            bound = _lone_bound(inside[0], live)
        parts: list[Window] = []
        ended = False
        for cursor in inside:
            start, cursor.start = cursor.start, bisect_right(cursor.keys, bound, cursor.start, cursor.end)
            parts.append(_cut(cursor.window, start, cursor.start))
            ended = ended or cursor.start == cursor.end
        yield parts[0] if len(parts) == 1 else merged(parts)
        if ended:
            live = [cursor for cursor in live if cursor.start < cursor.end or cursor.advance()]
    if live:
        yield live[0].rest()
        yield from live[0].source


def merge_windows_reverse(sources: Sequence[Iterator[Window]]) -> Iterator[Window]:
    """Merge sources whose windows descend; yields windows in descending order, each of them ascending.

    REQUIRES: sources newest first; all windows have the same number of columns.
    """
    live = [cursor for cursor in map(_Cursor, sources) if cursor.advance()]
    while len(live) > 1:
        bound = max([cursor.keys[cursor.step_start()] for cursor in live])
        inside = [cursor for cursor in live if cursor.keys[cursor.end - 1] >= bound]
        if not inside:
            raise CorruptionError(UNORDERED)
        if len(inside) == 1:
            bound = _lone_bound_reverse(inside[0], live)
        parts: list[Window] = []
        ended = False
        for cursor in inside:
            end, cursor.end = cursor.end, bisect_left(cursor.keys, bound, 0, cursor.end)
            parts.append(_cut(cursor.window, cursor.end, end))
            ended = ended or cursor.end == 0
        yield parts[0] if len(parts) == 1 else merged(parts)
        if ended:
            live = [cursor for cursor in live if cursor.end > 0 or cursor.advance()]
    if live:
        yield live[0].rest()
        yield from live[0].source


def merged(parts: list[Window]) -> Window:
    """Merge windows of one key range, newest first, into one; for equal keys the newest record wins."""
    if len(parts[0]) != 2:
        return _merge_columns(parts)
    counts = [len(keys) for keys, _ in parts]
    most = max(counts)
    if (sum(counts) - most) * _SPLICE_SHARE <= most + _DICT_RECORDS:
        return _spliced(parts, counts.index(most))
    found: dict[bytes, Any] = {}
    for keys, column in reversed(parts):
        found.update(zip(keys, column, strict=True))
    order = sorted(found)
    return order, list(map(found.__getitem__, order))


def _spliced(parts: list[Window], largest: int) -> Window:
    """The same for one large part and few records beside it, which are put in where they belong, one by one."""
    order, values = map(list, parts[largest])
    for keys, column in reversed(parts[:largest]):
        place = 0
        for key, value in zip(keys, column, strict=True):
            place = bisect_left(order, key, place)
            if place < len(order) and order[place] == key:
                values[place] = value
            else:
                order.insert(place, key)
                values.insert(place, value)
    for keys, column in parts[largest + 1 :]:
        place = 0
        for key, value in zip(keys, column, strict=True):
            place = bisect_left(order, key, place)
            if place == len(order) or order[place] != key:
                order.insert(place, key)
                values.insert(place, value)
    return order, values


def _lone_bound(lone: _Cursor, live: list[_Cursor]) -> bytes:
    """The last key of ``lone`` before any other source's first one: all of that passes through at once."""
    others = min([cursor.keys[cursor.start] for cursor in live if cursor is not lone])
    return lone.keys[bisect_left(lone.keys, others, lone.start, lone.end) - 1]


def _lone_bound_reverse(lone: _Cursor, live: list[_Cursor]) -> bytes:
    """The first key of ``lone`` after any other source's last one."""
    others = max([cursor.keys[cursor.end - 1] for cursor in live if cursor is not lone])
    return lone.keys[bisect_right(lone.keys, others, 0, lone.end)]


def _cut(window: Window, start: int, end: int) -> Window:
    """The records ``[start, end)`` of a window; the window itself when that is all of it."""
    if start == 0 and end == len(window[0]):
        return window
    return tuple([column[start:end] for column in window])


def _merge_columns(parts: list[Window]) -> Window:
    """The same for several columns: the dict holds places in the joined columns.

    Measured for two columns: a fifth faster than a dict for each.
    """
    places: dict[bytes, int] = {}
    joined: list[list[Any]] = [[] for _ in parts[0][1:]]
    count = 0
    for keys, *columns in reversed(parts):
        places.update(zip(keys, range(count, count + len(keys)), strict=True))
        count += len(keys)
        for whole, column in zip(joined, columns, strict=True):
            whole.extend(column)
    order = sorted(places)
    if len(order) == 1:
        place = places[order[0]]
        return (order, *[[whole[place]] for whole in joined])
    # For more than one item, the quickest way to pick: half of what map and __getitem__ take.
    pick = itemgetter(*itemgetter(*order)(places))
    return (order, *[list(pick(whole)) for whole in joined])
