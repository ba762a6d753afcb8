"""The iterator as users know it: a cursor between records, both ways, from several overlapping sources."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest

from lsmproc.errors import ClosedError, CorruptionError
from lsmproc.iterators.db_iterator import DBIterator, prefix_bounds, scan
from tests.iterators.record_table import ModelCursor, RandomTree

SEEDS = 60


def windows_of(*windows: dict[bytes, bytes | None]) -> Any:
    """A make_windows over fixed windows that honours the range."""

    def make_windows(start: bytes | None, stop: bytes | None, reverse: bool) -> Iterator[Any]:
        for window in reversed(windows) if reverse else windows:
            kept = [r for r in window.items() if (start is None or r[0] >= start) and (stop is None or r[0] < stop)]
            if kept:
                yield [key for key, _ in kept], [value for _, value in kept]

    return make_windows


LETTERS = windows_of({b"a": b"1", b"b": b"2"}, {b"c": None}, {b"d": b"", b"e": None, b"f": b"6"})
ALL = [(b"a", b"1"), (b"b", b"2"), (b"d", b""), (b"f", b"6")]


def random_range(tree: RandomTree) -> dict[str, Any]:
    """Bounds on and between keys, in either order, and a direction."""
    draw = tree.draw

    def bound() -> bytes | None:
        return None if draw.random() < 0.3 else draw.choice(tree.keys) + draw.choice([b"", b"x"])

    return {
        "start": bound(),
        "stop": bound(),
        "include_start": draw.random() < 0.5,
        "include_stop": draw.random() < 0.5,
        "reverse": draw.random() < 0.5,
    }


def records_in(tree: RandomTree, bounds: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The live records of a range, ascending."""
    start, stop = bounds["start"], bounds["stop"]
    return [
        (key, value)
        for key, value in tree.live.items()
        if value is not None
        and (start is None or key > start or (key == start and bounds["include_start"]))
        and (stop is None or key < stop or (key == stop and bounds["include_stop"]))
    ]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_scans_give_the_live_records_of_the_range(seed: int) -> None:
    """Newest record wins, tombstones hide, and both the scan and the iterator agree with the model."""
    tree = RandomTree(seed)
    for _ in range(20):
        bounds = random_range(tree)
        expected = records_in(tree, bounds)[:: -1 if bounds["reverse"] else 1]
        assert expected == list(scan(tree.make_windows, **bounds))
        assert expected == list(DBIterator(tree.make_windows, **bounds))


@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_mixture_of_steps_moves_one_cursor(seed: int) -> None:
    """next, prev, seeks, for loops left in the middle and a kept iter() share one position."""
    tree = RandomTree(seed)
    draw = tree.draw
    for _ in range(4):
        bounds = random_range(tree)
        model = ModelCursor(records_in(tree, bounds), reverse=bounds["reverse"])
        iterator = DBIterator(tree.make_windows, **bounds)
        kept = iter(iterator)
        for _ in range(120):
            match draw.choice(["next", "next", "prev", "prev", "kept", "for", "seek", "start", "stop"]):
                case "next":
                    assert model.step(ahead=True) == next(iterator, None)
                case "prev":
                    assert model.step(ahead=False) == previous(iterator)
                case "kept":
                    record = next(kept, None)
                    assert model.step(ahead=True) == record
                    if record is None:
                        kept = iter(iterator)
                case "for":
                    for record in islice(iterator, draw.choice([1, 5, 50])):
                        assert model.step(ahead=True) == record
                case "seek":
                    target = draw.choice(tree.keys) + draw.choice([b"", b"x"])
                    iterator.seek(target)
                    model.seek(target)
                case "start":
                    iterator.seek_to_start()
                    model.below = 0
                case "stop":
                    iterator.seek_to_stop()
                    model.below = len(model.records)


def previous(iterator: DBIterator) -> Any:
    """prev(), with None for StopIteration."""
    try:
        return iterator.prev()
    except StopIteration:
        return None


def test_a_for_loop_goes_on_where_next_stopped_and_prev_where_the_loop_broke() -> None:
    """The mixture that users write."""
    iterator = DBIterator(LETTERS)
    assert ALL[0] == next(iterator)
    for record in iterator:
        if record == ALL[2]:
            break
    assert ALL[2] == iterator.prev()
    assert ALL[2:] == list(iterator)


def test_after_the_end_one_can_go_back() -> None:
    """StopIteration is not the end of a cursor's life."""
    iterator = DBIterator(LETTERS)
    assert ALL == list(iterator)
    with pytest.raises(StopIteration):
        next(iterator)
    back = [iterator.prev() for _ in ALL]
    assert ALL[::-1] == back
    with pytest.raises(StopIteration):
        iterator.prev()
    assert ALL == list(iterator)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("include_key", "include_value", "part"),
    [
        (True, True, ALL),
        (True, False, [k for k, _ in ALL]),
        (False, True, [v for _, v in ALL]),
        (False, False, [None] * 4),
    ],
)
def test_include_flags_choose_what_a_record_is(
    reverse: bool, include_key: bool, include_value: bool, part: list[Any]
) -> None:
    """Pairs, keys, values or None, the same from loops, steps and scans."""
    options: dict[str, Any] = {"reverse": reverse, "include_key": include_key, "include_value": include_value}
    expected = part[::-1] if reverse else part
    assert expected == list(scan(LETTERS, **options))
    iterator = DBIterator(LETTERS, **options)
    assert expected == list(iterator)
    assert expected[::-1] == [iterator.prev() for _ in part]
    assert expected == [next(iterator) for _ in part]


def test_seeks_outside_the_range_stop_at_its_ends() -> None:
    """Neither direction leaves the range after a seek."""
    iterator = DBIterator(LETTERS, b"b", b"e")
    iterator.seek(b"a")
    assert None is previous(iterator)
    assert ALL[1] == next(iterator)
    iterator.seek(b"z")
    assert None is next(iterator, None)
    assert ALL[2] == iterator.prev()
    with pytest.raises(TypeError, match="bytes"):
        iterator.seek("b")  # type: ignore[arg-type]


def test_nothing_is_read_before_the_first_step() -> None:
    """An iterator that is made and closed costs no read."""
    calls: list[Any] = []

    def make_windows(*bounds: Any) -> Iterator[Any]:
        calls.append(bounds)
        return iter(())

    iterator = DBIterator(make_windows, b"a", b"c")
    assert None is previous(iterator)
    assert [] == calls
    assert None is next(iterator, None)
    assert [(b"a", b"c", False)] == calls


def test_a_failed_read_leaves_the_cursor_where_it_was() -> None:
    """After an error the same step is tried again; no record is skipped."""
    failures = [CorruptionError("bad block"), CorruptionError("bad block")]

    def make_windows(start: bytes | None, stop: bytes | None, reverse: bool) -> Iterator[Any]:
        for keys, values in LETTERS(start, stop, reverse):
            if b"d" in keys and failures:
                raise failures.pop()
            yield keys, values

    iterator = DBIterator(make_windows)
    with pytest.raises(CorruptionError):
        list(iterator)
    with pytest.raises(CorruptionError):
        next(iterator)
    assert ALL[2:] == list(iterator)


def test_windows_are_not_changed() -> None:
    """Windows may belong to the block cache."""
    keys: list[bytes] = [b"a", b"b", b"c"]
    values: list[bytes | None] = [b"1", None, b""]
    assert [(b"c", b""), (b"a", b"1")] == list(scan(lambda *_: iter([(keys, values)]), reverse=True))
    assert ([b"a", b"b", b"c"], [b"1", None, b""]) == (keys, values)


def test_a_closed_iterator_says_so() -> None:
    """Every use raises, loops under way included; closing again is harmless and releases once."""
    released: list[int] = []
    with DBIterator(LETTERS, on_close=lambda: released.append(1)) as iterator:
        loop = iter(iterator)
        next(loop)
    iterator.close()
    assert [1] == released
    assert iterator.closed
    for use in (iterator.__next__, iterator.prev, iterator.seek_to_start, iterator.seek_to_stop, loop.__next__):
        with pytest.raises(ClosedError):
            use()
    with pytest.raises(ClosedError):
        iterator.seek(b"a")
    with pytest.raises(ClosedError):
        iter(iterator)


def test_an_iterator_nobody_holds_releases_its_snapshot() -> None:
    """A loop that is left early needs no close()."""
    released: list[int] = []
    for _ in DBIterator(LETTERS, on_close=lambda: released.append(1)):
        break
    assert [1] == released


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"", (b"", None)),
        (b"ab", (b"ab", b"ac")),
        (b"a\xff", (b"a\xff", b"b")),
        (b"\xff\xff", (b"\xff\xff", None)),
        (b"a\x00", (b"a\x00", b"a\x01")),
    ],
)
def test_prefix_bounds_enclose_exactly_the_keys_of_the_prefix(
    prefix: bytes, expected: tuple[bytes, bytes | None]
) -> None:
    """Checked against startswith for random keys around the prefix."""
    assert expected == prefix_bounds(prefix)
    draw = Random(1)
    for _ in range(500):
        key = bytes(draw.choices(b"\x00a\xfe\xffb", k=draw.randrange(4)))
        start, stop = expected
        assert key.startswith(prefix) == (key >= start and (stop is None or key < stop))
