"""Merging: the newest record of each key, in order, whatever the windows; and which tombstones may go."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmproc.compaction.merge import TombstoneRule
from lsmproc.iterators.merge_windows import Window, merge_windows, merge_windows_reverse, merged

KEYS = st.binary(max_size=2)
RUNS = st.lists(st.sets(KEYS, max_size=60), max_size=5)


def windows_of(keys: set[bytes], run: int, columns: int, rng: random.Random, *, reverse: bool) -> Iterator[Window]:
    """A source: the keys of one run in windows of random length, each record naming its run."""
    ordered = sorted(keys)
    windows: list[Window] = []
    while ordered:
        part, ordered = ordered[: (size := rng.randrange(1, 20))], ordered[size:]
        windows.append((part, *([(column, run, key) for key in part] for column in range(columns))))
    return iter(windows[::-1] if reverse else windows)


@pytest.mark.parametrize("columns", [0, 1, 2, 3])
@pytest.mark.parametrize("reverse", [False, True])
@given(runs=RUNS, seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_the_newest_record_of_each_key_comes_out_in_order(
    columns: int, reverse: bool, runs: list[set[bytes]], seed: int
) -> None:
    """Forward and backward, for any number of columns; every window ascends and none is empty."""
    rng = random.Random(seed)
    merge = merge_windows_reverse if reverse else merge_windows
    merged = list(merge([windows_of(keys, run, columns, rng, reverse=reverse) for run, keys in enumerate(runs)]))
    assert all(window[0] for window in merged)
    if reverse:
        merged.reverse()
    newest = {key: run for run, keys in reversed(list(enumerate(runs))) for key in keys}
    assert sorted(newest) == [key for window in merged for key in window[0]]
    for column in range(columns):
        expected = [(column, newest[key], key) for key in sorted(newest)]
        assert expected == [record for window in merged for record in window[column + 1]]


@pytest.mark.parametrize("merge", [merge_windows, merge_windows_reverse])
def test_windows_that_no_other_source_covers_pass_through_untouched(
    merge: Callable[[Sequence[Iterator[Window]]], Iterator[Window]],
) -> None:
    """The very same tuples come out, not copies."""
    low = ([b"a", b"b"], [1, 2])
    high = ([b"x", b"y"], [3, 4])
    merged = list(merge([iter([low]), iter([high])]))
    assert {id(low), id(high)} == {id(window) for window in merged}


@pytest.mark.parametrize("largest", [0, 1, 2])
@pytest.mark.parametrize("others", [3, 80])
def test_the_newest_record_wins_wherever_the_largest_part_stands(largest: int, others: int) -> None:
    """Few records are put into the largest part, many are merged with it: the result is the same."""
    draw = random.Random(largest)
    parts: list[Window] = []
    model: dict[bytes, int] = {}
    for age in range(3):
        keys = sorted(draw.sample([b"%03d" % number for number in range(150)], 120 if age == largest else others))
        parts.append((keys, [age] * len(keys)))
        model = dict(zip(keys, parts[-1][1], strict=True)) | model
    before = deepcopy(parts)
    keys, values = merged(parts)
    assert sorted(model.items()) == list(zip(keys, values, strict=True))
    assert before == parts


def test_long_windows_are_merged_in_steps() -> None:
    """However long the windows, a step stays small; a source that ends early changes nothing."""
    even = [b"%06d" % i for i in range(0, 20_000, 2)]
    odd = [b"%06d" % i for i in range(1, 9_000, 2)]
    merged = list(merge_windows([iter([(even, even)]), iter([(odd, odd)])]))
    assert sorted(even + odd) == [key for window in merged for key in window[0]]
    assert all(len(window[0]) <= 1024 for window in merged[:-1])


@given(
    keys=st.sets(KEYS, min_size=1, max_size=40),
    deeper=st.lists(st.tuples(KEYS, KEYS).map(lambda pair: (min(pair), max(pair))), max_size=6),
    below=st.integers(0, 12),
    seed=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_a_tombstone_goes_only_when_old_and_over_nothing(
    keys: set[bytes], deeper: list[tuple[bytes, bytes]], below: int, seed: int
) -> None:
    """The window-wise rule decides as a look at each record would."""
    rng = random.Random(seed)
    ordered = sorted(keys)
    values = [rng.choice([None, b"", b"v"]) for _ in ordered]
    sequences = [rng.randrange(1, 12) for _ in ordered]
    kept = [
        (key, value, sequence)
        for key, value, sequence in zip(ordered, values, sequences, strict=True)
        if value is not None or sequence >= below or any(low <= key <= high for low, high in deeper)
    ]
    assert kept == list(zip(*TombstoneRule(deeper, below).thinned((ordered, values, sequences)), strict=True))
