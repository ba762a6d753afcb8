"""Short ranges: the first records of overlapping sources, whole up to the bound, newest first."""

from __future__ import annotations

from bisect import bisect_left
from random import Random

import pytest

from lsmproc.errors import CorruptionError
from lsmproc.formats.block import BlockEncoder
from lsmproc.iterators.short_ranges import PartOf, following_windows, merged_part, merged_part_reverse
from lsmproc.protocols import Part


def some_parts(draw: Random) -> tuple[list[Part], dict[bytes, bytes | None]]:
    """Parts of a few sources, as raw blocks or lists, and what a reader sees of all their records."""
    parts: list[Part] = []
    model: dict[bytes, bytes | None] = {}
    for age in range(draw.randrange(1, 5)):
        keys = sorted({b"%03d" % draw.randrange(60) for _ in range(draw.randrange(1, 30))})
        values = [draw.choice([None, b"", b"%d" % age]) for _ in keys]
        low = draw.randrange(len(keys))
        high = draw.randrange(low + 1, len(keys) + 1)
        raw = BlockEncoder().encode(keys, values, [1] * len(keys))
        parts.append((keys, low, high, None, draw.choice([raw, values])))
        model = dict(zip(keys[low:high], values[low:high], strict=True)) | model
    return parts, model


@pytest.mark.parametrize("seed", range(300))
def test_the_first_records_of_all_parts_are_merged_up_to_the_bound(seed: int) -> None:
    """Everything on this side of the bound, and the newest record of each key; the bound is the next key."""
    draw = Random(seed)
    parts, model = some_parts(draw)
    count = draw.choice([4, 10, 100])
    keys, values, bound = merged_part(parts, count)
    expected = sorted(key for key in model if bound is None or key < bound)
    assert (expected, [model[key] for key in expected]) == (keys, values)
    assert bound in model if bound is not None else len(keys) == len(model)
    assert len(keys) >= 1
    keys, values, bound = merged_part_reverse(parts, count)
    expected = sorted(key for key in model if bound is None or key >= bound)
    assert (expected, [model[key] for key in expected]) == (keys, values)
    assert bound in model if bound is not None else len(keys) == len(model)
    assert len(keys) >= 1


@pytest.mark.parametrize("count", [1, 2, 100])
def test_no_record_lies_beyond_what_every_part_knows(count: int) -> None:
    """A part with a bound may be hiding records behind it."""
    keys = [b"a", b"c", b"e"]
    known: Part = (keys, 0, 3, None, [b"1", b"2", b"3"])
    ends_early: Part = ([b"b"], 0, 1, b"b\0", [b"4"])
    assert merged_part([known, ends_early], count)[0] == [b"a", b"b"]
    starts_late: Part = ([b"d"], 0, 1, b"d", [b"4"])
    assert merged_part_reverse([known, starts_late], count)[0] == [b"d", b"e"][-count:]


def test_one_part_passes_through_and_none_is_the_end() -> None:
    """Nothing to merge."""
    part: Part = ([b"a", b"b", b"c"], 1, 3, None, [b"1", b"2", b"3"])
    assert ([b"b", b"c"], [b"2", b"3"], None) == merged_part([part], 16)
    assert ([b"b", b"c"], [b"2", b"3"], None) == merged_part_reverse([part], 16)
    assert ([], [], None) == merged_part([], 16) == merged_part_reverse([], 16)


def test_a_part_that_ends_the_window_too_soon_is_followed_once() -> None:
    """Its next records join it, so that the others need not be asked again; the next end is the bound."""
    ends_early: Part = ([b"b", b"d"], 0, 2, b"d\0", [b"1", b"2"])
    known: Part = ([b"a", b"c", b"e", b"g"], 0, 4, None, [b"3", b"4", b"5", b"6"])
    asked = []

    def follow(index: int, bound: bytes) -> Part:
        asked.append((index, bound))
        return [b"f", b"h"], 0, 2, b"h\0", BlockEncoder().encode([b"f", b"h"], [b"7", b"8"], [1, 1])

    keys, values, bound = merged_part([known, ends_early], 4, follow)
    assert [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"] == keys
    assert [b"3", b"1", b"4", b"2", b"5", b"7", b"6", b"8"] == values
    assert bound == b"h\0"
    assert asked == [(1, b"d\0")]


def test_nothing_follows_a_part_whose_source_has_ended() -> None:
    """The part was all there is of it."""
    part: Part = ([b"a"], 0, 1, b"a\0", [b"1"])
    assert ([b"a"], [b"1"], None) == merged_part([part], 10, lambda _index, _bound: None)


def test_a_part_with_enough_records_is_not_followed() -> None:
    """The window ends where it does."""
    part: Part = ([b"a", b"b"], 0, 2, b"b\0", [b"1", b"2"])
    assert ([b"a", b"b"], [b"1", b"2"], b"b\0") == merged_part([part], 2, lambda _index, _bound: pytest.fail("asked"))


def pieces_of(keys: list[bytes], values: list[bytes | None], size: int, asked: list[bytes | None]) -> PartOf:
    """A source that has ``size`` records at hand, and notes where it was asked."""

    def part_of(start: bytes | None, stop: bytes | None, _reverse: bool, _fill_cache: bool) -> Part | None:
        asked.append(start)
        low = bisect_left(keys, start or b"")
        end = len(keys) if stop is None else bisect_left(keys, stop)
        if low >= end:
            return None
        high = min(low + size, end)
        raw = BlockEncoder().encode(keys[low:high], values[low:high], [1] * (high - low))
        return keys[low:high], 0, high - low, None if high == end else keys[high - 1] + b"\0", raw

    return part_of


@pytest.mark.parametrize("seed", range(100))
def test_a_range_goes_on_in_the_parts_it_has_and_tells_every_record_once(seed: int) -> None:
    """Blocks of all sizes: up to the last bound, all records in order, the newest of each key, none asked for twice."""
    draw = Random(seed)
    sources, asked, model = [], [], {}
    for age in range(draw.randrange(1, 4)):
        keys = sorted({b"%03d" % draw.randrange(400) for _ in range(draw.randrange(1, 200))})
        values = [draw.choice([None, b"", b"%d" % age]) for _ in keys]
        asked.append([])
        sources.append(pieces_of(keys, values, draw.randrange(1, 40), asked[-1]))
        model = dict(zip(keys, values, strict=True)) | model
    start, stop = b"050", draw.choice([None, b"350"])
    live = [(source, part) for source in sources if (part := source(start, stop, False, True))]
    parts = [part for _, part in live]
    keys, values, bound = merged_part(parts, 10, lambda index, bound: live[index][0](bound, stop, False, True))
    if bound is not None:
        windows = list(following_windows([source for source, _ in live], parts, bound, stop, True))
        keys += [key for more, _, _ in windows for key in more]
        values += [value for _, column, _ in windows for value in column]
        bound = windows[-1][2]
    end = stop if bound is None else bound
    expected = sorted(key for key in model if key >= start and (end is None or key < end))
    assert (expected, [model[key] for key in expected]) == (keys, values)
    assert bound is None or len(keys) >= 100
    assert all(len(starts) == len(set(starts)) for starts in asked)


def test_a_source_that_goes_back_is_damaged() -> None:
    """Its keys do not ascend; to go on would tell records twice, or for ever."""
    part: Part = ([b"a", b"b"], 0, 2, b"b\0", [b"1", b"2"])
    with pytest.raises(CorruptionError, match="do not ascend"):
        list(following_windows([lambda *_: ([b"a"], 0, 1, b"a\0", [b"1"])], [part], b"b\0", None, True))
