"""The beginning of a range, for as little as possible: most ranges end after a few records.

The merge of merge_windows.py is made for long scans. To start it costs a generator, a cursor and a decoded block for
each source, more than ten records are worth. Here each source is asked once, for a *part*: the keys around the range's
beginning that it has at hand (a block's), and the bound up to which it knows them. The nearest bound, or the nearest of
the sources' next but few keys, is how far the first window reaches, and only the values up to there are decoded and
merged. Where a source's block ends too soon, that source alone is asked for its next one: that is cheaper than to ask
all of them again. Forward, whoever wants more goes on in the parts of the first window (``following_windows``), so that
no block is fetched and decoded twice; in reverse, from the bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import decode_values
from lsmproc.iterators.merge_windows import UNORDERED, merged
from lsmproc.protocols import Columns, Memtable, Part, TableReader

# Records of the first windows of a range, from each source at most; then the merge of windows takes over. Ten, because
# that is what callers like to ask for.
FIRST_RECORDS = (10, 48)

# Records of the windows that go on in the parts of the first one, altogether: a range of a hundred never gets to the
# merge of windows, which costs as much to start as these.
FOLLOWING_RECORDS = 144

# To find the place in a memtable costs more than a few records.
_MEMTABLE_GROWTH = 4

# What a source gives of a range: (start, stop, reverse, fill_cache) -> the part at its beginning, or None.
PartOf = Callable[..., "Part | None"]

# The keys and values that a window takes of a part.
_Cut = tuple[Sequence[bytes], Sequence["bytes | None"]]


def merged_part(
    parts: list[Part], count: int, follow: Callable[[int, bytes], Part | None] | None = None
) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """The first records of ``parts``, newest first: up to ``count`` of each, all below the third, the bound.

    At the bound the range goes on; None is the end. There may be no record at all if a part knows nothing. Where a part
    ends the window before ``count`` of its own records, ``follow(its index, bound)`` is asked once for what follows it.
    """
    bound, nearest = _nearest_end(parts, count)
    if bound is not None and follow is not None and parts[nearest][2] - parts[nearest][1] < count:
        parts[nearest] = _joined(parts[nearest], follow(nearest, bound), count)
        bound, nearest = _nearest_end(parts, count)
    if len(parts) == 1:
        keys, low, high, _, values = parts[0]
        end = min(low + count, high)
        return list(keys[low:end]), _values(values, low, end), bound
    windows: list[_Cut] = []
    for keys, low, high, _, values in parts:
        end = high if bound is None else bisect_left(keys, bound, low, high)
        if low < end:
            column = values[low:end] if type(values) is list else decode_values(values, low, end)  # type: ignore[arg-type]
            windows.append((keys[low:end], column))
    return (*_merged(windows), bound)


def following_windows(
    sources: list[PartOf], parts: list[Part], start: bytes, stop: bytes | None, fill_cache: bool
) -> Iterator[tuple[list[bytes], list[bytes | None], bytes | None]]:
    """What follows the first window, which ended at ``start``: windows in the form of ``merged_part``.

    ``parts`` are what ``merged_part`` has left of them, beside their sources. The last window has no bound, or else the
    range is no short one any more. Raises what the sources raise, and CorruptionError where keys do not ascend.
    """
    left = FOLLOWING_RECORDS
    asked = list(zip(sources, parts, strict=True))
    while left > 0:
        # A part that was taken as a whole gives way to the one behind it, the others go on where the window ended.
        live: list[tuple[PartOf, Part]] = []
        for part_of, (keys, low, high, known, values) in asked:
            place = bisect_left(keys, start, low, high)
            if place < high or (known is not None and known > start):
                live.append((part_of, (keys, place, high, known, values)))
            elif known is not None and (following := part_of(start, stop, False, fill_cache)) is not None:
                live.append((part_of, following))
        asked = live
        window = merged_part([part for _, part in asked], left)
        yield window
        bound = window[2]
        if bound is None:
            return
        if bound <= start:
            raise CorruptionError(UNORDERED)
        start = bound
        left -= len(window[0])


def merged_part_reverse(parts: list[Part], count: int) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """The mirror image: the last records of ``parts``, ascending; none is below the bound, the stop to go on at."""
    bound: bytes | None = None
    for keys, low, high, known, _ in parts:
        own = keys[high - count] if low < high - count else known
        if own is not None and (bound is None or own > bound):
            bound = own
    windows: list[_Cut] = []
    for keys, low, high, _, values in parts:
        first = low if bound is None else bisect_left(keys, bound, low, high)
        if first < high:
            column = values[first:high] if type(values) is list else decode_values(values, first, high)  # type: ignore[arg-type]
            windows.append((keys[first:high], column))
    return (*_merged(windows), bound)


def _nearest_end(parts: list[Part], count: int) -> tuple[bytes | None, int]:
    """Up to which key all ``parts`` are known, if only ``count`` records of each are taken, and which of them ends."""
    bound: bytes | None = None
    nearest = 0
    for index, (keys, low, high, known, _) in enumerate(parts):
        own = keys[low + count] if low + count < high else known
        if own is not None and (bound is None or own < bound):
            bound, nearest = own, index
    return bound, nearest


def _joined(part: Part, following: Part | None, count: int) -> Part:
    """A part and up to ``count`` records of the one that follows it as one."""
    keys, low, high, _, values = part
    if following is None:
        return keys, low, high, None, values
    next_keys, first, end, known, next_values = following
    if end - first > count:
        end = first + count
        known = next_keys[end]
    joined = [*keys[low:high], *next_keys[first:end]]
    return joined, 0, len(joined), known, _values(values, low, high) + _values(next_values, first, end)


def _values(values: bytes | list[bytes | None], low: int, high: int) -> list[bytes | None]:
    """The values of the records ``[low, high)`` of a part."""
    if isinstance(values, list):
        return values[low:high]
    return list(decode_values(values, low, high)) if low < high else []


def _merged(windows: list[_Cut]) -> Columns:
    if len(windows) > 1:
        return merged(windows)  # type: ignore[return-value, arg-type]
    return (list(windows[0][0]), list(windows[0][1])) if windows else ([], [])


class MemtableParts:
    """Gives the parts of a memtable as a reader at ``sequence`` sees it: the first few records, then more at a time."""

    __slots__ = ("_count", "_memtable", "_sequence")

    def __init__(self, memtable: Memtable, sequence: int, count: int) -> None:
        """For one range, of which ``count`` records are wanted at first."""
        self._memtable = memtable
        self._sequence = sequence
        self._count = count

    def __call__(self, start: bytes | None, stop: bytes | None, reverse: bool, fill_cache: bool) -> Part:  # noqa: ARG002 (all is resident)
        """The part at the beginning of a range: so many records and one more."""
        keys, values, bound = self._memtable.window(start, stop, self._sequence, self._count + 1, reverse=reverse)
        self._count *= _MEMTABLE_GROWTH
        return keys, 0, len(keys), bound, values


def level_part(
    level: tuple[list[bytes], Sequence[TableReader], list[bytes]],
    start: bytes | None,
    stop: bytes | None,
    reverse: bool,
    fill_cache: bool,
) -> Part | None:
    """The part of one sorted run, given by the largest keys of its tables, their readers and their smallest keys."""
    largest_keys, readers, smallest_keys = level
    if reverse:
        index = len(readers) - 1 if stop is None else bisect_left(smallest_keys, stop) - 1
        if index < 0:
            return None
        part = readers[index].part(start, stop, True, fill_cache)
        if part is not None and part[3] is None and index and (start is None or smallest_keys[index] > start):
            return (*part[:3], smallest_keys[index], part[4])
        return part
    index = 0 if start is None else bisect_left(largest_keys, start)
    if index == len(readers):
        return None
    part = readers[index].part(start, stop, False, fill_cache)
    if part is not None and part[3] is None and index + 1 < len(readers):
        following = smallest_keys[index + 1]
        if stop is None or following < stop:
            return (*part[:3], following, part[4])
    return part
