"""The beginning of a range, for as little as possible: most ranges end after a few records.

The merge of merge_windows.py is made for long scans. To start it costs a generator, a cursor and a decoded block for
each source, more than ten records are worth. Here each source is asked once, for a *part*: the keys around the range's
beginning that it has at hand (a block's), and the bound up to which it knows them. The nearest bound, or the nearest of
the sources' next but few keys, is how far the first window reaches, and only the values up to there are decoded and
merged. No state is kept: whoever wants more goes on from the bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from lsmproc.formats.block import decode_values
from lsmproc.protocols import Part, TableReader

# Records of the first windows of a range, from each source at most; then the merge of windows takes over. Twelve,
# because callers like to ask for ten.
FIRST_RECORDS = (12, 48)


def merged_part(parts: list[Part], count: int) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """The first records of ``parts``, newest first: up to ``count`` of each, all below the third, the bound.

    At the bound the range goes on; None is the end. There may be no record at all if a part knows nothing.
    """
    bound: bytes | None = None
    for keys, low, high, known, _ in parts:
        own = keys[low + count] if low + count < high else known
        if own is not None and (bound is None or own < bound):
            bound = own
    found: dict[bytes, bytes | None] = {}
    for keys, low, high, _, values in reversed(parts):
        end = high if bound is None else bisect_left(keys, bound, low, high)
        if low < end:
            column = values[low:end] if type(values) is list else decode_values(values, low, end)  # type: ignore[arg-type]
            if len(parts) == 1:
                return list(keys[low:end]), list(column), bound
            found.update(zip(keys[low:end], column))  # noqa: B905 (both are end - low long)
    order = sorted(found)
    return order, list(map(found.__getitem__, order)), bound


def merged_part_reverse(parts: list[Part], count: int) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """The mirror image: the last records of ``parts``, ascending; none is below the bound, the stop to go on at."""
    bound: bytes | None = None
    for keys, low, high, known, _ in parts:
        own = keys[high - count] if low < high - count else known
        if own is not None and (bound is None or own > bound):
            bound = own
    found: dict[bytes, bytes | None] = {}
    for keys, low, high, _, values in reversed(parts):
        first = low if bound is None else bisect_left(keys, bound, low, high)
        if first < high:
            column = values[first:high] if type(values) is list else decode_values(values, first, high)  # type: ignore[arg-type]
            if len(parts) == 1:
                return list(keys[first:high]), list(column), bound
            found.update(zip(keys[first:high], column))  # noqa: B905 (both are high - first long)
    order = sorted(found)
    return order, list(map(found.__getitem__, order)), bound


def level_part(
    level: tuple[list[bytes], Sequence[TableReader], list[bytes]],
    start: bytes | None,
    stop: bytes | None,
    *,
    reverse: bool,
    fill_cache: bool,
) -> Part | None:
    """The part of one sorted run, given by the largest keys of its tables, their readers and their smallest keys."""
    largest_keys, readers, smallest_keys = level
    if reverse:
        index = len(readers) - 1 if stop is None else bisect_left(smallest_keys, stop) - 1
        if index < 0:
            return None
        part = readers[index].part(start, stop, reverse=True, fill_cache=fill_cache)
        if part is not None and part[3] is None and index and (start is None or smallest_keys[index] > start):
            return (*part[:3], smallest_keys[index], part[4])
        return part
    index = 0 if start is None else bisect_left(largest_keys, start)
    if index == len(readers):
        return None
    part = readers[index].part(start, stop, reverse=False, fill_cache=fill_cache)
    if part is not None and part[3] is None and index + 1 < len(readers):
        following = smallest_keys[index + 1]
        if stop is None or following < stop:
            return (*part[:3], following, part[4])
    return part
