"""Sorting many keys without holding the interpreter lock for long.

``list.sort`` is one call, and no other thread runs before it returns: a quarter of a second for half a million
random keys, in which every put of the host service waits. Here the same work is a row of calls of 2-3 ms, and takes no
longer in total: sort pieces, then merge them one key range at a time. The ranges are cut at keys sampled evenly from
all pieces, so each holds about as many keys as a piece (sample sort; Frazer and McKellar, JACM 1970).
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain

_PIECE_KEYS = 8192
_SAMPLES_PER_PIECE = 32


def sorted_stepwise(ordered: list[bytes], added: list[bytes]) -> list[bytes]:
    """All keys of ``ordered``, which ascend, and of ``added``, in any order, as one ascending list."""
    pieces = [sorted(added[first : first + _PIECE_KEYS]) for first in range(0, len(added), _PIECE_KEYS)]
    runs = [ordered, *pieces] if ordered else pieces
    stride = _PIECE_KEYS // _SAMPLES_PER_PIECE
    samples = sorted(chain.from_iterable([run[::stride] for run in runs]))
    merged: list[bytes] = []
    starts = [0] * len(runs)
    for cut in samples[_SAMPLES_PER_PIECE::_SAMPLES_PER_PIECE]:
        ends = [bisect_left(run, cut, start) for run, start in zip(runs, starts, strict=True)]
        merged += _merged_parts(runs, starts, ends)
        starts = ends
    merged += _merged_parts(runs, starts, list(map(len, runs)))
    return merged


def _merged_parts(runs: list[list[bytes]], starts: list[int], ends: list[int]) -> list[bytes]:
    """The parts of all runs from their start to their end, merged: timsort finds the runs and gallops."""
    part: list[bytes] = []
    for run, start, end in zip(runs, starts, ends, strict=True):
        part += run[start:end]
    part.sort()
    return part
