"""The beginning of a range, for as little as possible: most ranges end after a few records.

The merge of merge_windows.py is made for long scans. To start it costs a generator, a cursor and a decoded block for
each source, more than ten records are worth. Here each source is asked once, for a *part*: the keys around the range's
beginning that it has at hand (a block's), and the bound up to which it knows them. From the keys of all parts follows
how far the first few records of the range reach, and only the values up to there are decoded and merged. No state is
kept: whoever wants more goes on from the bound.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from lsmproc.formats.block import decode_values
from lsmproc.iterators.merge_windows import merge_parts
from lsmproc.protocols import Columns, Part, TableReader

# Records of the first windows of a range, about; then the merge of windows takes over.
FIRST_RECORDS = (16, 64)


def merged_part(parts: list[Part], count: int) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """About the first ``count`` records of ``parts``, newest first, where each copy of a record counts.

    It may be none at all, if the parts outnumber ``count`` or one of them knows nothing. The third is the start at
    which to go on, None at the end.
    """
    bounds = [part[3] for part in parts if part[3] is not None]
    bound = min(bounds) if bounds else None
    heads: list[bytes] = []
    for keys, low, high, _, _ in parts:
        heads += keys[low : min(low + count + 1, high)]
    if len(heads) > count:
        heads.sort()
        if bound is None or heads[count] < bound:
            bound = heads[count]
    live: list[Columns] = []
    for keys, low, high, _, values in parts:
        end = high if bound is None else bisect_left(keys, bound, low, high)
        if low < end:
            live.append((keys[low:end], _values(values, low, end)))
    return _merged(live, bound)


def merged_part_reverse(parts: list[Part], count: int) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    """The mirror image: the last records of ``parts``, ascending, and the stop at which to go on."""
    bounds = [part[3] for part in parts if part[3] is not None]
    bound = max(bounds) if bounds else None
    tails: list[bytes] = []
    for keys, low, high, _, _ in parts:
        tails += keys[max(high - count - 1, low) : high]
    if len(tails) > count:
        tails.sort()
        if bound is None or tails[-count] > bound:
            bound = tails[-count]
    live: list[Columns] = []
    for keys, low, high, _, values in parts:
        first = low if bound is None else bisect_left(keys, bound, low, high)
        if first < high:
            live.append((keys[first:high], _values(values, first, high)))
    return _merged(live, bound)


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


def _merged(live: list[Columns], bound: bytes | None) -> tuple[list[bytes], list[bytes | None], bytes | None]:
    if len(live) == 1:
        return (*live[0], bound)
    if not live:
        return [], [], bound
    keys, values = merge_parts(live)
    return keys, values, bound


def _values(values: bytes | list[bytes | None], low: int, high: int) -> list[bytes | None]:
    """The values ``[low, high)`` of a part, which has them as a list or in a raw block."""
    return values[low:high] if isinstance(values, list) else decode_values(values, low, high)
